//! The least that a solve has to do, to which what the kernels do is compared.
//!
//! Counted from the mathematics alone: sweeps over the time points of one system, each of which reads
//! what it needs and writes what it makes once, and the arithmetic of these sweeps with the zeros of
//! the rows and of the factor left out. `docs/kernels.md` gives the same formulas in words.

use mechanistic::{ProblemShape, rows::RowFamily};

/// Sizes and options of a least-squares problem with rows on pairs of points, all inputs but the steps
/// with a batch axis and a time axis.
#[derive(Clone, Debug)]
pub struct Minimum {
    batch: usize,
    points: usize,
    states: usize,
    derivatives: usize,
    equation_derivatives: usize,
    equations: usize,
    /// Initial values of a state: I·J.
    initial: usize,
    /// Rows between two points and nonzeros of these rows, for each state.
    rows: usize,
    nonzeros: usize,
    /// Bytes of a value of inputs and results; factor and vectors are in double precision.
    value: usize,
    /// Values of all inputs.
    inputs: usize,
    refinement: usize,
}

/// Bytes and floating-point operations of a whole batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Least {
    /// Bytes read and written.
    pub bytes: usize,
    /// A multiply-add counts two, anything else one.
    pub flops: usize,
}

impl Minimum {
    /// Of problems of this shape in numbers of `value` bytes.
    pub fn new(shape: &ProblemShape, family: &RowFamily, value: usize, refinement: usize) -> Self {
        let [_, _, equations, states, equation_derivatives] = shape.coefficients();
        let [_, initial_points, _, initial_derivatives] = shape.initial_values();
        let inputs = shape.coefficients().iter().product::<usize>()
            + shape.rhs().iter().product::<usize>()
            + shape.initial_values().iter().product::<usize>()
            + shape.steps().iter().product::<usize>();
        Minimum {
            batch: shape.batch(),
            points: shape.points(),
            states,
            derivatives: equation_derivatives + shape.extra_derivatives(),
            equation_derivatives,
            equations,
            initial: initial_points * initial_derivatives,
            rows: family.rows,
            nonzeros: family.entries.len(),
            value,
            inputs,
            refinement,
        }
    }

    /// Of a solve.
    pub fn forward(&self) -> Least {
        let solve = self.cholesky() + 2 * self.substitution();
        let refine = self.residual() + self.unknowns() + 2 * self.substitution();
        // Factorize and substitute forward, then back.
        let first = self.input_bytes() + 2 * (self.factor_bytes() + self.vector_bytes());
        let status = 12 + self.value;
        let solution = self.unknowns() * self.value;
        Least {
            bytes: first
                + self.batch * (solution + status)
                + self.refinement * (self.refinement_bytes() + self.input_bytes()),
            flops: self.batch * (solve + self.refinement * refine),
        }
    }

    /// Of the gradients with respect to every input and weight.
    pub fn adjoint(&self) -> Least {
        let refine = self.residual() + self.unknowns() + 2 * self.substitution();
        let once = 2 * self.substitution() + self.gradients();
        let cotangent = self.batch * self.unknowns() * self.value;
        // Substitute forward and back; inputs and solution are read, and gradients written, on the
        // way back.
        let first = cotangent
            + 2 * (self.factor_bytes() + self.vector_bytes())
            + 2 * self.input_bytes()
            + self.vector_bytes();
        // The residual needs the inputs and the cotangent again.
        let again = self.refinement_bytes() + self.input_bytes() + cotangent + self.vector_bytes();
        Least {
            bytes: first + self.refinement * again,
            flops: self.batch * (once + self.refinement * refine),
        }
    }

    /// P.
    fn block(&self) -> usize {
        self.states * self.derivatives
    }

    /// N·P.
    fn unknowns(&self) -> usize {
        self.points * self.block()
    }

    fn input_bytes(&self) -> usize {
        self.inputs * self.value
    }

    /// Of vectors of unknowns between sweeps, which are in double precision.
    fn vector_bytes(&self) -> usize {
        self.batch * self.unknowns() * 8
    }

    fn factor_bytes(&self) -> usize {
        let p = self.block();
        let values = self.points * p * (p + 1) / 2 + (self.points - 1) * self.link();
        self.batch * values * 8
    }

    /// Forward: the iterate and the factor are read, a vector written. Back: vector, factor and
    /// iterate are read; the iterate is what the previous sweep back wrote.
    fn refinement_bytes(&self) -> usize {
        2 * self.factor_bytes() + 5 * self.vector_bytes()
    }

    /// Nonzeros of R_{t,t+1}: column k begins at the first row of its state.
    fn link(&self) -> usize {
        (0..self.block()).map(|k| self.below(k)).sum()
    }

    /// Rows of column k of R_{t,t+1} that are not zero.
    fn below(&self, k: usize) -> usize {
        self.block() - k / self.derivatives * self.derivatives
    }

    /// Arithmetic of forming M and Aᵀβ and of M = RᵀR.
    fn cholesky(&self) -> usize {
        let (n, k, q, p) = (self.points, self.states, self.derivatives, self.block());
        let columns = k * self.equation_derivatives;
        // w²c, then w²cᵀc in the upper triangle, w²cb.
        let equation = columns + columns * (columns + 1) + 2 * columns;
        // Powers of the step, then one product an entry, added to the diagonal blocks.
        let smoothness = k * (2 * q + q * q + 2 * q * (q + 1));
        let triangle: usize = (0..p).map(|i| (p - i) * (2 * i + 1)).sum();
        let link: usize = (0..p).map(|k| self.below(k) * self.below(k)).sum();
        let update: usize = (0..p).map(|k| (k + 1) * 2 * self.below(k)).sum();
        n * (self.equations * equation + triangle)
            + (n - 1) * (smoothness + link + update)
            + 3 * self.states * self.initial
    }

    /// Arithmetic of one substitution with R or Rᵀ.
    fn substitution(&self) -> usize {
        let p = self.block();
        self.points * p * p + (self.points - 1) * 2 * self.link()
    }

    /// Arithmetic of AᵀW²(β − Az), row by row.
    fn residual(&self) -> usize {
        let columns = self.states * self.equation_derivatives;
        let equation = 4 * columns + 2;
        // Both points' values times powers of the step before, and the sums after.
        let smoothness = 4 * self.nonzeros + self.rows + 5 * self.derivatives;
        self.points * self.equations * equation
            + (self.points - 1) * self.states * smoothness
            + 4 * self.states * self.initial
    }

    /// Arithmetic of ∂ℓ/∂β = w²a·g, ∂ℓ/∂a = r g − w²(a·g) z, and of the weights and steps.
    fn gradients(&self) -> usize {
        let columns = self.states * self.equation_derivatives;
        // a·z, a·g; r, w²a·g and the weight's share; the coefficients'.
        let equation = 4 * columns + 6 + 3 * columns;
        // The same for the smoothness rows, whose values are those of the table times powers of the
        // step; Σ over the rows of r times the entry and of w²(a·g) times the entry give the step's.
        let smoothness = 8 * self.nonzeros + 6 * self.rows + 15 * self.derivatives;
        self.points * self.equations * equation
            + (self.points - 1) * self.states * smoothness
            + 6 * self.states * self.initial
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mechanistic::{Inputs, Options, Smoothness, rows::pair_rows};

    fn minimum(states: usize, order: usize, refinement: usize) -> Minimum {
        let (b, n, q) = (3, 5, order + 1);
        let shape = ProblemShape::new(
            b,
            n,
            Inputs {
                coefficients: &[b, n, states, states, q],
                rhs: &[b, n, states],
                initial_values: &[b, 1, states, order],
                steps: &[1, 1],
            },
        );
        let options = Options { smoothness: Smoothness::TaylorHold, ..Options::default() };
        let family = pair_rows(&options, order);
        Minimum::new(&shape.unwrap(), &family, 8, refinement)
    }

    #[test]
    fn one_state_by_hand() {
        // P = 2: three entries of R_tt and four of R_{t,t+1}, at 5 points and 4 steps.
        let minimum = minimum(1, 1, 0);
        assert_eq!(minimum.factor_bytes(), 3 * (5 * 3 + 4 * 4) * 8);
        assert_eq!(minimum.substitution(), 5 * 4 + 4 * 8);
        // Roots 2, one quotient, one square subtracted; two columns with two quotients and one
        // product each; three sums of two products.
        let (triangle, link, update) = (2 + 1 + 2, 2 * 4, 3 * 4);
        let (equation, smoothness) = (2 + 6 + 4, 4 + 4 + 12);
        let cholesky = 5 * (equation + triangle) + 4 * (smoothness + link + update) + 3;
        assert_eq!(minimum.cholesky(), cholesky);
        let forward = minimum.forward();
        assert_eq!(forward.flops, 3 * (cholesky + 2 * (5 * 4 + 4 * 8)));
        let inputs = (3 * (5 * 2 + 5 + 1) + 1) * 8;
        let vector = 3 * 10 * 8;
        let outputs = vector + 3 * 20;
        assert_eq!(forward.bytes, inputs + 2 * (3 * 31 * 8 + vector) + outputs);
    }

    #[test]
    fn states_are_coupled_by_what_lies_below() {
        // K = 2, Q = 2: columns of the first state have four rows, those of the second two.
        assert_eq!(minimum(2, 1, 0).link(), 4 + 4 + 2 + 2);
    }

    #[test]
    fn refinement_adds() {
        let [plain, refined] = [0, 1].map(|steps| minimum(2, 2, steps));
        assert!(refined.forward().flops > plain.forward().flops);
        assert!(refined.adjoint().bytes > plain.adjoint().bytes);
    }
}
