//! Nonlinear ODEs by auxiliary variables: a linear solve, and a loss that makes it nonlinear.

use crate::tape::{Array, Ode, Tape, Var};
use crate::tensor::Backend;
use crate::{Error, Inputs, Options, Real, Result};

/// What [`solve_with_auxiliaries`] records.
#[derive(Clone, Copy, Debug)]
pub struct AuxiliarySolve {
    /// (B, N, K, Q), as [`Tape::solve_ode`] gives it.
    pub solution: Var,
    /// Mean of (ν − g)², of rank 0.
    pub loss: Var,
}

/// The nonlinear ODE Σ c u^(j) + Σ_r g_r(t, u, u', …; φ) = b (eq. 2 of the paper) with an auxiliary
/// variable ν_r for every nonlinear term (its section 3.1, *Nonlinear ODEs*): solves the linear ODE
///
/// ```text
/// Σ_{k,j} c[k,j] u_k^(j) = b − Σ_r ν_r
/// ```
///
/// and returns the loss Σ (ν_r − g_r(u))², as a mean over systems, points, equations and terms.
/// Minimized together with any other loss, over ν, over the parameters φ of g, and over whatever
/// the ODE depends on, it makes u a solution of the nonlinear ODE as it vanishes.
///
/// * `ode`: the linear part c, b with initial values and steps,
/// * `auxiliaries` ν (B or 1, N or 1, E, R): R terms for each equation, a parameter or the output
///   of a network,
/// * `nonlinearity`: records g (B, N, E, R) from the solution u (B, N, K, Q).
///
/// Systems that cannot be solved count neither in the loss nor in its gradients; g sees zeros
/// there.
///
/// # Errors
/// [`Error::Shape`] for auxiliaries or a g of another shape; as [`Tape::solve_ode`].
pub fn solve_with_auxiliaries<T: Real, B: Backend>(
    tape: &mut Tape<T, B>,
    ode: &Ode,
    auxiliaries: Var,
    options: &Options,
    nonlinearity: impl FnOnce(&mut Tape<T, B>, Var) -> Result<Var>,
) -> Result<AuxiliarySolve> {
    let equations = *tape.shape(ode.inputs.rhs)?.last().unwrap_or(&0);
    let shape = tape.shape(auxiliaries)?.to_vec();
    let fits = |axis: usize, full: usize| axis == full || axis == 1;
    let [batch, points] = [ode.batch, ode.points];
    match shape[..] {
        [b, n, e, _] if fits(b, batch) && fits(n, points) && e == equations => {}
        _ => {
            let expected =
                format!("(B or 1, N or 1, E, R) = ({batch} or 1, {points} or 1, {equations}, R)");
            return Err(Error::Shape { argument: "auxiliaries".into(), expected, actual: shape });
        }
    }
    let terms = tape.sum(auxiliaries, &[3], false)?;
    let rhs = tape.sub(ode.inputs.rhs, terms)?;
    let solution =
        tape.solve_ode(&Ode { inputs: Inputs { rhs, ..ode.inputs }, ..*ode }, options)?;

    let solved = tape.ode_solved(solution)?;
    let zero = tape.constant(Array::scalar(T::zero()));
    let u = tape.select(&solved, solution, zero)?;
    let g = nonlinearity(tape, u)?;
    let expected = [batch, points, equations, shape[3]];
    if tape.shape(g)? != expected {
        let actual = tape.shape(g)?.to_vec();
        let expected = format!("(B, N, E, R) = {expected:?}");
        return Err(Error::Shape { argument: "nonlinearity".into(), expected, actual });
    }
    let difference = tape.sub(auxiliaries, g)?;
    let counted = tape.select(&solved, difference, zero)?;
    let square = tape.square(counted)?;
    let sum = tape.sum_all(square)?;
    let systems = solved.data().iter().filter(|&&solved| solved).count();
    let count = (systems * points * equations * shape[3]).max(1);
    let loss = tape.scale(sum, T::of(1.0 / count as f64))?;
    Ok(AuxiliarySolve { solution, loss })
}
