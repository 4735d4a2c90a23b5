//! Newton's second law on pieces of a measured motion, which the experiments with bodies solve.

use mechanistic::tape::{Array, Ode, Tape, Var};
use mechanistic::{Backend, Inputs, Options, Result};

/// Solves c u'' = f for each of C coordinates on every piece of a motion, from its first state:
/// (S, N, 2·C), positions before velocities.
///
/// * `coefficients` c (C),
/// * `forces` f (S, C, N) at the points of the pieces, `h` apart,
/// * `states` (S, N, 2·C): the motion, of which the first state of each piece is used.
///
/// # Errors
/// Those of [`Tape::solve_ode`].
pub fn solve_newton<B: Backend>(
    tape: &mut Tape<f64, B>,
    coefficients: Var,
    forces: Var,
    states: &[f64],
    h: f64,
) -> Result<Var> {
    let &[pieces, coordinates, points] = tape.shape(forces)? else {
        return Err(mechanistic::Error::argument("forces", "expected (S, C, N)"));
    };
    let leading = tape.reshape(coefficients, [1, coordinates, 1])?;
    let leading = tape.broadcast_to(leading, [pieces, coordinates, 1])?;
    let lower = tape.constant(Array::full([pieces, coordinates, 2], 0.0)?);
    let coefficients = tape.concat(&[lower, leading], 2)?;
    let starts = states.chunks_exact(2 * coordinates * points);
    let starts = starts.flat_map(|u| (0..coordinates).flat_map(|k| [u[k], u[coordinates + k]]));
    let starts = starts.collect();
    let batch = pieces * coordinates;
    let ode = Ode {
        batch,
        points,
        inputs: Inputs {
            coefficients: tape.reshape(coefficients, [batch, 1, 1, 1, 3])?,
            rhs: tape.reshape(forces, [batch, points, 1])?,
            initial_values: tape.constant(Array::new([batch, 1, 1, 2], starts)?),
            steps: tape.constant(Array::full([1, 1], h)?),
        },
        extra_derivatives: 1,
    };
    let solution = tape.solve_ode(&ode, &Options::default())?;
    let u = tape.slice(solution, 3, 0..2)?;
    let u = tape.reshape(u, [pieces, coordinates, points, 2])?;
    let u = tape.permute(u, &[0, 2, 3, 1])?;
    tape.reshape(u, [pieces, points, 2 * coordinates])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2 u'' = 1, 4 v'' = −1 from (0, 1) and (3, −1): parabolas.
    #[test]
    fn constant_forces_give_parabolas() {
        let (h, n) = (0.1, 5);
        let states = |t: f64| [t * t / 4.0, 3.0 + t - t * t / 8.0, t / 2.0, 1.0 - t / 4.0];
        let motion: Vec<f64> = (0..2 * n).flat_map(|i| states(h * i as f64)).collect();
        let mut tape = Tape::new();
        let coefficients = tape.constant(Array::vector(vec![2.0, 4.0]));
        let forces = [[1.0; 5], [-1.0; 5], [1.0; 5], [-1.0; 5]].concat();
        let forces = tape.constant(Array::new([2, 2, n], forces).unwrap());
        let found = solve_newton(&mut tape, coefficients, forces, &motion, h).unwrap();
        assert_eq!(tape.shape(found).unwrap(), [2, n, 4]);
        for (found, expected) in tape.value(found).unwrap().data().iter().zip(&motion) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
    }
}
