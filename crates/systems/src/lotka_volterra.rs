//! Random systems of the Lotka-Volterra kind.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::integrator::trajectory;

/// The probability that one species has an effect on another.
const COUPLING: f64 = 0.5;
/// The range that all species must stay in, and the least deviation of each over its trajectory.
const RANGE: std::ops::Range<f64> = 0.02..5.0;
const LEAST_DEVIATION: f64 = 0.05;

/// A system of K species, u_i' = u_i (r_i + Σ_j a_ij u_j), of which some a_ij are zero.
#[derive(Clone, Debug)]
pub struct LotkaVolterra {
    /// The rates of growth r (K).
    pub growth: Vec<f64>,
    /// The effects a of the species on each other (K, K), row-major.
    pub effects: Vec<f64>,
    /// The state at time 0 (K).
    pub initial: Vec<f64>,
}

impl LotkaVolterra {
    /// Returns a random system of so many species, and its states (each K) at `points` times `dt`
    /// apart: one whose species neither die out, nor explode, nor hardly change.
    pub fn random(seed: u64, species: usize, dt: f64, points: usize) -> (Self, Vec<Vec<f64>>) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut uniform = move |from: f64, to: f64| from + (to - from) * random.random::<f64>();
        loop {
            let mut system = LotkaVolterra {
                growth: (0..species).map(|_| uniform(0.3, 1.5)).collect(),
                effects: vec![0.0; species * species],
                initial: (0..species).map(|_| uniform(0.1, 1.0)).collect(),
            };
            for i in 0..species {
                for j in 0..species {
                    system.effects[i * species + j] = match (i == j, uniform(0.0, 1.0) < COUPLING) {
                        (true, _) => uniform(-1.2, -0.3),
                        (false, true) => uniform(-1.0, 1.0),
                        (false, false) => 0.0,
                    };
                }
            }
            let field = |u: &[f64], out: &mut [f64]| system.derivative(u, out);
            let states = trajectory(&field, &system.initial, dt, points).unwrap_or_default();
            let lively = (0..species).all(|i| {
                let values = || states.iter().map(|state| state[i]);
                let mean = values().sum::<f64>() / points as f64;
                let variance = values().map(|x| (x - mean).powi(2)).sum::<f64>() / points as f64;
                values().all(|x| RANGE.contains(&x)) && variance.sqrt() > LEAST_DEVIATION
            });
            if lively {
                return (system, states);
            }
        }
    }

    /// Writes the derivative u' at the state `u` into `out`.
    pub fn derivative(&self, u: &[f64], out: &mut [f64]) {
        let rows = self.effects.chunks_exact(u.len());
        for (i, (row, out)) in rows.zip(out).enumerate() {
            let effects: f64 = row.iter().zip(u).map(|(a, u)| a * u).sum();
            *out = u[i] * (self.growth[i] + effects);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_one_system() {
        let (one, states) = LotkaVolterra::random(3, 3, 0.1, 121);
        let (same, _) = LotkaVolterra::random(3, 3, 0.1, 121);
        let (other, _) = LotkaVolterra::random(4, 3, 0.1, 121);
        assert_eq!(one.effects, same.effects);
        assert_ne!(one.effects, other.effects);
        assert_eq!((states.len(), &states[0]), (121, &one.initial));
    }
}
