//! Allocation of memory in proportion to what a user asks for, which fails with an error and not
//! with an abort.

use crate::error::{Error, Result};

/// Returns `count` default values, or an error that says for what (`what`) and how much memory was
/// wanted.
pub(crate) fn zeros<V: Clone + Default>(what: &str, count: usize) -> Result<Vec<V>> {
    let bytes = count.saturating_mul(size_of::<V>());
    let mut values = Vec::new();
    values.try_reserve_exact(count).map_err(|_| Error::OutOfMemory { what: what.into(), bytes })?;
    values.resize(count, V::default());
    Ok(values)
}
