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

/// Makes `values` as long as `count` with default values, or shorter; the error is that of [`zeros`].
pub(crate) fn resize<V: Clone + Default>(
    what: &str,
    count: usize,
    values: &mut Vec<V>,
) -> Result<()> {
    values.truncate(count);
    grow(what, count, values)
}

/// What the memory of a solver is for when it cannot be had.
pub(crate) const SOLVER: &str = "the solver, its solution and gradients";

/// Memory that is kept free beside a large need, for what is small and for other threads: bytes.
const MARGIN: usize = 16 << 20;

/// Checks that memory for `counts` of values, each with the size of one in bytes, can be had all
/// together, so that the error names the whole need of a computation and not its last piece. The
/// memory is given back at once.
///
/// # Errors
/// [`Error::OutOfMemory`] names what (`what`) the memory is for.
pub fn ensure(what: &str, counts: &[(usize, usize)]) -> Result<()> {
    ensure_first(what, total(counts), 0)
}

/// Checks as [`ensure`] does that the `first` bytes of a computation can be had; the error also counts
/// those that it needs `later`.
pub fn ensure_first(what: &str, first: usize, later: usize) -> Result<()> {
    let bytes = first.saturating_add(later);
    Vec::<u8>::new()
        .try_reserve_exact(first.saturating_add(MARGIN))
        .map_err(|_| Error::OutOfMemory { what: what.into(), bytes })
}

/// Returns the bytes of `counts` of values, each with the size of one in bytes.
pub fn total(counts: &[(usize, usize)]) -> usize {
    counts.iter().fold(0, |sum, (count, size)| sum.saturating_add(count.saturating_mul(*size)))
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
        assert!(ensure_first("what comes later", 1, 1 << 60).is_ok());
        let error = ensure_first("both", 1 << 60, 8).unwrap_err().to_string();
        assert_eq!(error, "both: 1152921504606846984 bytes of memory cannot be had");
    }
}
