//! Ten bodies under gravity, in the plane.

use mechanistic::nn::Rng;
use mechanistic::{Error, Result};

/// How many bodies there are.
pub const BODIES: usize = 10;
/// Length of a state: positions (BODIES, 2), then velocities.
pub const STATE: usize = 4 * BODIES;
/// Softens the attraction of bodies that come close: r² is more by its square.
const SOFTENING: f64 = 0.2;
/// Returns every pair of bodies.
pub fn pairs() -> impl Iterator<Item = (usize, usize)> {
    (0..BODIES).flat_map(|i| (i + 1..BODIES).map(move |j| (i, j)))
}

/// Returns the way from the first to the second body of each pair.
pub fn ways(state: &[f64]) -> impl Iterator<Item = [f64; 2]> {
    pairs().map(|(i, j)| [state[2 * j] - state[2 * i], state[2 * j + 1] - state[2 * i + 1]])
}

/// Writes the derivative of a state, given masses and, for each pair, force over distance.
pub fn newton(masses: &[f64], state: &[f64], factors: &[f64], out: &mut [f64]) {
    let (velocities, accelerations) = out.split_at_mut(STATE / 2);
    velocities.copy_from_slice(&state[STATE / 2..]);
    accelerations.fill(0.0);
    for (((i, j), way), factor) in pairs().zip(ways(state)).zip(factors) {
        for axis in 0..2 {
            accelerations[2 * i + axis] += factor * way[axis] / masses[i];
            accelerations[2 * j + axis] -= factor * way[axis] / masses[j];
        }
    }
}

/// Returns the states (points, STATE), `h` apart, of bodies of random masses that begin around a center
/// and circle it.
///
/// # Errors
/// [`Error::Data`] when two bodies collide.
pub fn simulated(points: usize, h: f64, rng: &mut Rng) -> Result<Vec<f64>> {
    let masses: Vec<f64> = (0..BODIES).map(|_| 0.5 + rng.uniform()).collect();
    let mut initial = vec![0.0; STATE];
    for body in 0..BODIES {
        let position = [rng.normal(), rng.normal()];
        for axis in 0..2 {
            initial[2 * body + axis] = position[axis];
            let turn = [-position[1], position[0]][axis];
            initial[STATE / 2 + 2 * body + axis] = 1.2 * turn + 0.3 * rng.normal();
        }
    }
    // The center of mass rests at the origin.
    let total: f64 = masses.iter().sum();
    for axis in 0..4 {
        let at = |body: usize| axis / 2 * STATE / 2 + 2 * body + axis % 2;
        let mean = (0..BODIES).map(|i| masses[i] * initial[at(i)]).sum::<f64>() / total;
        (0..BODIES).for_each(|body| initial[at(body)] -= mean);
    }
    let field = |state: &[f64], out: &mut [f64]| {
        let factor = |((i, j), way): ((usize, usize), [f64; 2])| {
            let square = way[0] * way[0] + way[1] * way[1] + SOFTENING * SOFTENING;
            masses[i] * masses[j] / square.powf(1.5)
        };
        let factors: Vec<f64> = pairs().zip(ways(state)).map(factor).collect();
        newton(&masses, state, &factors, out);
    };
    let states = systems::trajectory(&field, &initial, h, points);
    Ok(states.ok_or_else(|| Error::Data("two bodies collide".into()))?.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bodies_and_third_law_holds() {
        let states = simulated(20, 0.01, &mut Rng::new(3)).unwrap();
        assert_eq!(states, simulated(20, 0.01, &mut Rng::new(3)).unwrap());
        let masses: Vec<f64> = (1..=BODIES).map(|i| i as f64).collect();
        let mut slope = [0.0; STATE];
        newton(&masses, &states[..STATE], &vec![2.0; pairs().count()], &mut slope);
        assert_eq!(slope[..STATE / 2], states[STATE / 2..STATE]);
        for axis in 0..2 {
            let pull: f64 = (0..BODIES).map(|i| masses[i] * slope[STATE / 2 + 2 * i + axis]).sum();
            assert!(pull.abs() < 1e-10, "{pull}");
        }
        assert!(slope[STATE / 2].abs() > 0.1);
    }
}
