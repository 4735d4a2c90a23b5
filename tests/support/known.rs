//! Linear ODEs with known solutions on \[0, 5\], which convergence is measured on.

use mechanistic::{Options, Problem, Result, Solver, View};

/// Every problem is on \[0, END\].
pub const END: f64 = 5.0;

/// Σ_{k,j≤m} c\[e,k,j\](t) u_k^(j)(t) = b\[e\](t), u^(j)(0) given for j < m.
pub struct KnownProblem {
    /// The equation.
    pub name: &'static str,
    /// K, and as many equations.
    pub states: usize,
    /// m.
    pub order: usize,
    /// (E, K, m + 1); equation e has u_e^(m) with coefficient 1 and no other derivative m.
    pub coefficients: fn(f64) -> Vec<f64>,
    /// (E).
    pub rhs: fn(f64) -> Vec<f64>,
    /// (K, m).
    pub initial_values: &'static [f64],
    /// (K): the solution.
    pub exact: fn(f64) -> Vec<f64>,
}

/// The four.
pub const PROBLEMS: [KnownProblem; 4] = [
    KnownProblem {
        name: "u'' + u = 0",
        states: 1,
        order: 2,
        coefficients: |_| vec![1.0, 0.0, 1.0],
        rhs: |_| vec![0.0],
        initial_values: &[0.0, 1.0],
        exact: |t| vec![t.sin()],
    },
    KnownProblem {
        name: "u' + cos(t) u = 0",
        states: 1,
        order: 1,
        coefficients: |t| vec![t.cos(), 1.0],
        rhs: |_| vec![0.0],
        initial_values: &[1.0],
        exact: |t| vec![(-t.sin()).exp()],
    },
    KnownProblem {
        name: "u'' + 0.06 t u' + (2 + sin t) u = b(t)",
        states: 1,
        order: 2,
        coefficients: |t| vec![2.0 + t.sin(), 0.06 * t, 1.0],
        rhs: |t| {
            let ((sin, cos), decay) = ((2.0 * t).sin_cos(), (-0.1 * t).exp());
            let u = decay * cos;
            let du = decay * (-0.1 * cos - 2.0 * sin);
            let ddu = decay * (-3.99 * cos + 0.4 * sin);
            vec![ddu + 0.06 * t * du + (2.0 + t.sin()) * u]
        },
        initial_values: &[1.0, -0.1],
        exact: |t| vec![(-0.1 * t).exp() * (2.0 * t).cos()],
    },
    KnownProblem {
        name: "u1' = 2 u2, u2' = -2 u1",
        states: 2,
        order: 1,
        coefficients: |_| vec![0.0, 1.0, -2.0, 0.0, 2.0, 0.0, 0.0, 1.0],
        rhs: |_| vec![0.0, 0.0],
        initial_values: &[1.0, 0.0],
        exact: |t| vec![(2.0 * t).cos(), -(2.0 * t).sin()],
    },
];

impl KnownProblem {
    /// Largest error of u at `times`, from 0 to [`END`], for a solution with `extra` derivatives
    /// beyond m.
    pub fn error(&self, times: &[f64], extra: usize, options: &Options) -> Result<f64> {
        self.at(times, extra, |problem| {
            let mut solver = Solver::new(problem.shape(), options)?;
            let values = &solver.solve(problem)?.values;
            Ok(self.largest_error(times, values))
        })
    }

    /// Largest error of u in a solution (1, N, K, Q) at `times`.
    pub fn largest_error(&self, times: &[f64], values: &[f64]) -> f64 {
        let q = values.len() / (times.len() * self.states);
        let exact = times.iter().flat_map(|&t| (self.exact)(t));
        let pairs = values.iter().step_by(q).zip(exact);
        pairs.map(|(value, exact)| (value - exact).abs()).fold(0.0, f64::max)
    }

    /// Hands the problem at `times`, with `extra` derivatives beyond m, to `then`.
    pub fn at<R>(
        &self,
        times: &[f64],
        extra: usize,
        then: impl FnOnce(&Problem<'_, f64>) -> Result<R>,
    ) -> Result<R> {
        let (n, k, m) = (times.len(), self.states, self.order);
        let coefficients: Vec<f64> = times.iter().flat_map(|&t| (self.coefficients)(t)).collect();
        let rhs: Vec<f64> = times.iter().flat_map(|&t| (self.rhs)(t)).collect();
        let steps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let shapes: [&[usize]; 4] = [&[1, n, k, k, m + 1], &[1, n, k], &[1, 1, k, m], &[1, n - 1]];
        let problem = Problem::builder()
            .points(n)
            .coefficients(View::new(shapes[0], &coefficients))
            .rhs(View::new(shapes[1], &rhs))
            .initial_values(View::new(shapes[2], self.initial_values))
            .steps(View::new(shapes[3], &steps))
            .build()?
            .with_extra_derivatives(extra)?;
        then(&problem)
    }
}

/// `points` times whose distances are proportional to `step` of their number, counted from 0.
pub fn graded(points: usize, step: impl Fn(usize) -> f64) -> Vec<f64> {
    let total: f64 = (0..points - 1).map(&step).sum();
    let ends = (0..points - 1).scan(0.0, |sum, t| {
        *sum += step(t);
        Some(END * *sum / total)
    });
    std::iter::once(0.0).chain(ends).collect()
}

/// `points` equally spaced times.
pub fn uniform(points: usize) -> Vec<f64> {
    graded(points, |_| 1.0)
}
