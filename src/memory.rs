//! Allocation of memory in proportion to what a user asks for, which fails with an error and not
//! with an abort.

use crate::error::{Error, Result};

/// Returns `count` default values, or an error that says for what (`what`) and how much memory was
/// wanted.
pub(crate) fn zeros<V: Clone + Default>(what: &str, count: usize) -> Result<Vec<V>> {
    let mut values = Vec::new();
    grow(what, count, &mut values)?;
    Ok(values)
}

/// Makes `values` as long as `count` with default values, if it is shorter; the error is that of
/// [`zeros`].
pub(crate) fn grow<V: Clone + Default>(
    what: &str,
    count: usize,
    values: &mut Vec<V>,
) -> Result<()> {
    if let Some(more) = count.checked_sub(values.len()) {
        let bytes = count.saturating_mul(size_of::<V>());
        let refused = |_| Error::OutOfMemory { what: what.into(), bytes };
        values.try_reserve_exact(more).map_err(refused)?;
        values.resize(count, V::default());
    }
    Ok(())
}

/// Memory that is kept free beside a large need, for what is small and for other threads: bytes.
const MARGIN: usize = 16 << 20;

/// Checks that memory for `counts` of values, each with the size of one in bytes, can be had all
/// together, so that the error names the whole need of a computation and not its last piece. The
/// memory is given back at once.
///
/// # Errors
/// [`Error::OutOfMemory`] names what (`what`) the memory is for.
pub fn ensure(what: &str, counts: &[(usize, usize)]) -> Result<()> {
    let total = counts
        .iter()
        .fold(0, |sum: usize, (count, size)| sum.saturating_add(count.saturating_mul(*size)));
    Vec::<u8>::new()
        .try_reserve_exact(total.saturating_add(MARGIN))
        .map_err(|_| Error::OutOfMemory { what: what.into(), bytes: total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_need_is_named() {
        assert!(ensure("little", &[(3, 8), (0, 1 << 50)]).is_ok());
        let error = ensure("much", &[(3, 8), (1 << 60, 8)]).unwrap_err().to_string();
        assert_eq!(error, "much: 9223372036854775832 bytes of memory cannot be had");
        let error = ensure("all", &[(1, 1), (usize::MAX, 8)]).unwrap_err().to_string();
        assert_eq!(error, format!("all: {} bytes of memory cannot be had", usize::MAX));
    }
}
