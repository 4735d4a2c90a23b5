//! Changes of the resolution of two-dimensional maps.

use crate::tape::{Array, Tape, Var};
use crate::tensor::Backend;
use crate::{Error, Real, Result};

/// A change of the resolution of maps (B, H, W, C), whose outermost points stay where they are.
///
/// Every new point is a weighted mean of the old ones along each axis. The weights fall linearly with
/// the distance, to zero at that of two neighboring points of the coarser of the two grids: linear
/// interpolation where the resolution grows, a smoothing mean where it falls.
#[derive(Clone, Debug)]
pub struct Resize<T: Real, B: Backend> {
    /// (new H, H) and (new W, W).
    weights: [Array<T, B>; 2],
}

impl<T: Real, B: Backend> Resize<T, B> {
    /// Prepares the change from (H, W) points to others.
    ///
    /// # Errors
    /// [`Error::Argument`] when a map has no points.
    pub fn new(from: [usize; 2], to: [usize; 2]) -> Result<Self> {
        if from.contains(&0) || to.contains(&0) {
            return Err(Error::argument("resize", format!("{from:?} to {to:?} has an empty axis")));
        }
        let weights = |axis: usize| Ok(B::wrap(weights(from[axis], to[axis])?));
        Ok(Resize { weights: [weights(0)?, weights(1)?] })
    }

    /// Records the maps of the new resolution.
    ///
    /// # Errors
    /// [`Error::Shape`] unless x is (B, H, W, C) with the H and W that this was made for.
    pub fn forward(&self, tape: &mut Tape<T, B>, x: Var) -> Result<Var> {
        let [rows, columns] = &self.weights;
        let ([new_h, h], [new_w, w]) = (sizes(rows), sizes(columns));
        let &[batch, _, _, channels] = tape.shape(x)? else { return Err(misfit(tape, x, h, w)) };
        if tape.shape(x)?[1..3] != [h, w] {
            return Err(misfit(tape, x, h, w));
        }
        let rows = tape.constant_from(rows)?;
        let columns = tape.constant_from(columns)?;
        let x = tape.reshape(x, [batch, h, w * channels])?;
        let x = tape.matmul(rows, x)?;
        let x = tape.reshape(x, [batch, new_h, w, channels])?;
        let x = tape.matmul(columns, x)?;
        tape.reshape(x, [batch, new_h, new_w, channels])
    }
}

fn sizes<T: Real, B: Backend>(matrix: &Array<T, B>) -> [usize; 2] {
    matrix.shape().try_into().expect("it was made as a matrix")
}

fn misfit<T: Real, B: Backend>(tape: &Tape<T, B>, x: Var, h: usize, w: usize) -> Error {
    match tape.shape(x) {
        Ok(actual) => {
            let expected = format!("(B, {h}, {w}, C)");
            Error::Shape { argument: "x".into(), expected, actual: actual.to_vec() }
        }
        Err(error) => error,
    }
}

/// Returns the weights (to, from) of a change of resolution along one axis.
fn weights<T: Real>(from: usize, to: usize) -> Result<Array<T>> {
    let place = |i: usize, count: usize| match count {
        1 => 0.5,
        _ => i as f64 / (count - 1) as f64,
    };
    let reach = 1.0 / (from.min(to).max(2) - 1) as f64;
    let mut weights = Array::full([to, from], T::zero())?;
    for (i, row) in weights.data_mut().chunks_exact_mut(from).enumerate() {
        let weight = |j: usize| (1.0 - (place(i, to) - place(j, from)).abs() / reach).max(0.0);
        let sum: f64 = (0..from).map(weight).sum();
        row.iter_mut().enumerate().for_each(|(j, entry)| *entry = T::of(weight(j) / sum));
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finer_grids_interpolate_and_coarser_ones_average() {
        let finer = weights::<f64>(3, 5).unwrap();
        let expected =
            [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]];
        assert_eq!(finer.data(), expected.as_flattened());
        let coarser = weights::<f64>(5, 3).unwrap();
        let (two, one) = (2.0 / 3.0, 1.0 / 3.0);
        let expected =
            [two, one, 0.0, 0.0, 0.0, 0.0, 0.25, 0.5, 0.25, 0.0, 0.0, 0.0, 0.0, one, two];
        for (weight, expected) in coarser.data().iter().zip(expected) {
            assert!((weight - expected).abs() < 1e-15, "{weight} {expected}");
        }
        assert_eq!(weights::<f64>(4, 4).unwrap().data().iter().sum::<f64>(), 4.0);
        assert_eq!(weights::<f64>(1, 3).unwrap().data(), [1.0; 3]);
        assert_eq!(weights::<f64>(3, 1).unwrap().data(), [0.25, 0.5, 0.25]);
    }
}
