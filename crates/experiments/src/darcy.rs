//! Darcy flow through a porous square, the benchmark of Li et al. (2021): −∇·(a ∇u) = 1 with u = 0 on
//! the edges, for random permeabilities a of two values.

mod solver;

use std::ops::Range;
use std::path::Path;

use figures::{Axis, Figure, Panel};
use mechanistic::nn::{Optimizer, Parameters, Rng, Rule, save_checkpoint};
use mechanistic::tape::Array;
use mechanistic::{Error, Result};

use solver::{RandomField, Solver};

/// The two values of the permeability, where a random field is negative and where it is not.
pub const PERMEABILITIES: [f64; 2] = [3.0, 12.0];
/// Samples that are solved at once.
const CHUNK: usize = 16;

/// Samples of the flow on a regular grid of the unit square, edges included.
#[derive(Clone, Debug)]
pub struct Darcy {
    /// Points along a side.
    pub side: usize,
    /// Permeability a, (B, side, side).
    pub permeability: Vec<f64>,
    /// Pressure u, (B, side, side).
    pub pressure: Vec<f64>,
}

impl Darcy {
    /// Draws `count` samples, solved by central differences on a grid of `fine` points along a side,
    /// of which every `every`-th is kept.
    ///
    /// # Errors
    /// [`Error::Data`] unless the grid that is kept reaches from edge to edge.
    pub fn new(count: usize, fine: usize, every: usize, rng: &mut Rng) -> Result<Self> {
        if fine < 3 || every == 0 || !(fine - 1).is_multiple_of(every) {
            let message = format!("every {every}th of {fine} points does not reach the edge");
            return Err(Error::Data(message));
        }
        let side = (fine - 1) / every + 1;
        let mut samples = Darcy { side, permeability: vec![], pressure: vec![] };
        let (field, solver) = (RandomField::new(fine)?, Solver::new(fine)?);
        let coarse = |values: &[f64], to: &mut Vec<f64>| {
            for row in values.chunks_exact(fine).step_by(every) {
                to.extend(row.iter().step_by(every));
            }
        };
        for first in (0..count).step_by(CHUNK) {
            let own = CHUNK.min(count - first);
            let signs = field.draw(own, rng)?;
            let a = signs.iter().map(|value| PERMEABILITIES[usize::from(*value >= 0.0)]);
            let a: Vec<f64> = a.collect();
            let u = solver.solve(&a)?;
            for (a, u) in a.chunks_exact(fine * fine).zip(u.chunks_exact(fine * fine)) {
                coarse(a, &mut samples.permeability);
                coarse(u, &mut samples.pressure);
            }
        }
        Ok(samples)
    }

    /// Returns the inputs (B, side, side, 4) and pressures (B, side, side, 1) of some samples:
    /// permeability from −1 to 1, x, y, and 16 x (1 − x) y (1 − y), which vanishes at the edges as the
    /// pressure does.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] for an absurd number of samples.
    pub fn arrays(&self, samples: &[usize]) -> Result<[Array<f64>; 2]> {
        let (n, [low, high]) = (self.side, PERMEABILITIES);
        let (mut inputs, mut pressures) = (vec![], vec![]);
        for at in samples.iter().flat_map(|sample| sample * n * n..(sample + 1) * n * n) {
            let [y, x] = [at / n % n, at % n].map(|i| i as f64 / (n - 1) as f64);
            let a = 2.0 * (self.permeability[at] - low) / (high - low) - 1.0;
            inputs.extend([a, x, y, 16.0 * x * (1.0 - x) * y * (1.0 - y)]);
            pressures.push(self.pressure[at]);
        }
        let shape = |channels| [samples.len(), n, n, channels];
        Ok([Array::new(shape(4), inputs)?, Array::new(shape(1), pressures)?])
    }

    /// Writes data for training and test to a safetensors file for other programs, as
    /// `parameter.training.permeability` and so on, (B, side, side) each.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub fn write(path: &Path, training: &Darcy, test: &Darcy) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|source| Error::Io { path: folder.to_owned(), source })?;
        }
        let mut arrays = Parameters::<f64>::new();
        for (name, data) in [("training", training), ("test", test)] {
            let shape = [data.count(), data.side, data.side];
            let permeability = Array::new(shape, data.permeability.clone())?;
            arrays.insert(format!("{name}.permeability"), permeability)?;
            arrays.insert(format!("{name}.pressure"), Array::new(shape, data.pressure.clone())?)?;
        }
        save_checkpoint(path, &arrays, &Optimizer::new(Rule::sgd(), 0.0))
    }

    /// Returns maps of the first sample's permeability and pressure, of what was `found` as its
    /// pressure (side, side), and of the difference.
    #[must_use]
    pub fn figure(&self, found: &[f64]) -> Figure {
        let n = self.side;
        let (a, u) = (&self.permeability[..n * n], &self.pressure[..n * n]);
        let error: Vec<f64> = found.iter().zip(u).map(|(found, u)| (found - u).abs()).collect();
        let largest = |values: &[f64]| values.iter().fold(0.0, |most: f64, value| most.max(*value));
        let panel = |title: &str, values: &[f64], range: Range<f64>| {
            let most =
                if range.end < 1.0 { format!("{:.1e}", range.end) } else { range.end.to_string() };
            let title = format!("{title}, {} to {most}", range.start);
            let unit = |name| Axis::over(name, 0.0..1.0);
            Panel::new(&title, unit("x"), unit("y")).with_map(values, n, range)
        };
        let [low, high] = PERMEABILITIES;
        let panels = vec![
            panel("permeability", a, low..high),
            panel("pressure", u, 0.0..largest(u)),
            panel("MNN", found, 0.0..largest(u)),
            panel("error of MNN", &error, 0.0..largest(&error)),
        ];
        Figure::grid(4, 300, 300, panels)
    }

    /// Returns the number of samples.
    #[must_use]
    pub fn count(&self) -> usize {
        self.pressure.len() / (self.side * self.side)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_satisfy_the_scheme_and_the_edges() {
        let (n, count) = (33, 3);
        let samples = Darcy::new(count, n, 1, &mut Rng::new(5)).unwrap();
        assert_eq!((samples.side, samples.count()), (n, count));
        let mut parts = [0, 0];
        for b in 0..count {
            let sample = b * n * n..(b + 1) * n * n;
            let (a, u) = (&samples.permeability[sample.clone()], &samples.pressure[sample]);
            for (at, (a_own, u_own)) in a.iter().zip(u).enumerate() {
                parts[usize::from(*a_own == PERMEABILITIES[1])] += 1;
                let (i, j) = (at / n, at % n);
                if [i, j].iter().any(|&i| i == 0 || i == n - 1) {
                    assert_eq!(*u_own, 0.0);
                    continue;
                }
                let flux = |other: usize| 0.5 * (a_own + a[other]) * (u_own - u[other]);
                let sum: f64 = [at - n, at + n, at - 1, at + 1].map(flux).iter().sum();
                let squares = ((n - 1) * (n - 1)) as f64;
                assert!((sum * squares - 1.0).abs() < 1e-6, "{b} {i} {j}: {}", sum * squares);
            }
        }
        assert!(parts.iter().all(|&part| part > count * n * n / 5), "{parts:?}");
    }

    #[test]
    fn a_coarser_grid_has_the_same_samples() {
        let fine = Darcy::new(1, 33, 1, &mut Rng::new(1)).unwrap();
        let coarse = Darcy::new(1, 33, 4, &mut Rng::new(1)).unwrap();
        assert_eq!(coarse.side, 9);
        for at in 0..81 {
            let same = (at / 9 * 4) * 33 + at % 9 * 4;
            assert_eq!(coarse.pressure[at], fine.pressure[same]);
            assert_eq!(coarse.permeability[at], fine.permeability[same]);
        }
        assert!(Darcy::new(1, 33, 5, &mut Rng::new(1)).is_err());
    }
}
