//! Allocation in proportion to what a user asks for: it may fail, and says how much was wanted.

use crate::error::{Error, Result};

/// `count` default values, or an error that says how much was asked for.
pub(crate) fn zeros<V: Clone + Default>(what: &str, count: usize) -> Result<Vec<V>> {
    let bytes = count.saturating_mul(size_of::<V>());
    let mut values = Vec::new();
    values.try_reserve_exact(count).map_err(|_| Error::OutOfMemory { what: what.into(), bytes })?;
    values.resize(count, V::default());
    Ok(values)
}
