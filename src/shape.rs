//! The sizes of a batch of problems, in the letters of the crate's front page.

mod batch;
mod places;

use crate::error::{Error, Result};
use crate::inputs::Inputs;

#[cfg(feature = "cuda")]
pub(crate) use batch::Sum;
pub(crate) use batch::leading_axes;
use batch::{PartlyShared, flatten};
pub(crate) use places::{Axis, Places, row_major};

/// The sizes of a [`Problem`](crate::Problem): those of the batch, and the extents of each input,
/// in which an axis of length 1 is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProblemShape {
    /// B: systems in the batch.
    pub(crate) batch: usize,
    /// N: time points.
    pub(crate) points: usize,
    /// Q − Qc: derivatives of the solution beyond the order of the equation, for which the
    /// coefficients have no columns.
    pub(crate) extra_derivatives: usize,
    /// Extents of the coefficients, (B or 1, N or 1, E, K, Qc).
    pub(crate) coefficients: [usize; 5],
    /// Extents of the right-hand side, (B or 1, N or 1, E).
    pub(crate) rhs: [usize; 3],
    /// Extents of the initial values, (B or 1, I, K, J).
    pub(crate) initial_values: [usize; 4],
    /// Extents of the steps, (B or 1, N−1 or 1, K or 1).
    pub(crate) steps: [usize; 3],
    /// Which axes of the batch are shared by which inputs, if an input shares some and not others.
    pub(crate) partly: Option<Box<PartlyShared>>,
}

/// The most derivatives that a solution may carry beyond the order of its equation.
pub(crate) const MOST_EXTRA_DERIVATIVES: usize = 16;

impl ProblemShape {
    /// Makes the shape of a batch of B = `batch` systems on N = `points` time points, after
    /// checking the inputs' shapes against B and N and against each other. K, Qc and E are read off
    /// the coefficients, I and J off the initial values; steps may lack the last axis. The solution
    /// has Q = Qc derivatives; [`with_extra_derivatives`](Self::with_extra_derivatives) makes it
    /// more.
    ///
    /// The batch may have several axes: every input then has as many leading axes as the coefficients, of
    /// full length or 1 each, and B is the product of the longest.
    ///
    /// # Errors
    /// [`Error::Shape`] names the array that does not fit, [`Error::Argument`] is for an empty
    /// batch, one with another number of systems than its axes, or fewer than two points,
    /// [`Error::OutOfMemory`] for sizes beyond any memory.
    pub fn new(batch: usize, points: usize, inputs: Inputs<&[usize]>) -> Result<Self> {
        Self::of_axes(&leading_axes(Some(batch), inputs)?, points, inputs)
    }

    /// Makes the shape of a batch whose leading axes have these lengths.
    pub(crate) fn of_axes(axes: &[usize], points: usize, inputs: Inputs<&[usize]>) -> Result<Self> {
        if let [batch] = *axes {
            return Self::checked_parts(batch, points, 0, inputs, None);
        }
        let (flat, partly) = flatten(axes, inputs)?;
        let batch = axes.iter().product();
        Self::checked_parts(batch, points, 0, flat.as_ref().map(|shape| &shape[..]), partly)
    }

    /// Returns the shape of the same inputs for a solution with `extra` derivatives beyond the order of
    /// the equation: Q = Qc + extra.
    ///
    /// # Errors
    /// [`Error::Argument`] for more than 16, [`Error::OutOfMemory`] as for [`new`](Self::new).
    pub fn with_extra_derivatives(&self, extra: usize) -> Result<Self> {
        ProblemShape { extra_derivatives: extra, ..self.clone() }.checked()
    }

    fn checked_parts(
        batch: usize,
        points: usize,
        extra: usize,
        Inputs { coefficients, rhs, initial_values, steps }: Inputs<&[usize]>,
        partly: Option<Box<PartlyShared>>,
    ) -> Result<Self> {
        if batch == 0 {
            return Err(Error::argument("batch", "there must be at least one system"));
        }
        if points < 2 {
            let message = format!("there must be at least two time points, got {points}");
            return Err(Error::argument("points", message));
        }
        if extra > MOST_EXTRA_DERIVATIVES {
            let message = format!("at most {MOST_EXTRA_DERIVATIVES} are possible, got {extra}");
            return Err(Error::argument("extra_derivatives", message));
        }
        let (n, s) = (points, points - 1);
        // The numbers of systems that the inputs have values of, unless all systems share them.
        let own = partly.as_ref().map_or(Inputs::from([batch; 4]), |partly| partly.systems());
        let fits = |axis: usize, full: usize| axis == full || axis == 1;
        let mismatch = |argument: &str, expected: String, actual: &[usize]| Error::Shape {
            argument: argument.into(),
            expected,
            actual: actual.to_vec(),
        };

        let &[cb, cn, e, k, columns] = coefficients else {
            let expected = "(B or 1, N or 1, E, K, Qc)".to_owned();
            return Err(mismatch("coefficients", expected, coefficients));
        };
        let b = own.coefficients;
        if !fits(cb, b) || !fits(cn, n) || e == 0 || k == 0 || columns < 2 {
            let expected = format!(
                "(B or 1, N or 1, E, K, Qc) = ({b} or 1, {n} or 1, at least 1, at least 1, at least 2)"
            );
            return Err(mismatch("coefficients", expected, coefficients));
        }
        let &[rb, rn, re] = rhs else {
            return Err(mismatch("rhs", "(B or 1, N or 1, E)".into(), rhs));
        };
        let b = own.rhs;
        if !fits(rb, b) || !fits(rn, n) || re != e {
            let expected = format!("(B or 1, N or 1, E) = ({b} or 1, {n} or 1, {e})");
            return Err(mismatch("rhs", expected, rhs));
        }
        let &[ib, i, ik, j] = initial_values else {
            return Err(mismatch("initial_values", "(B or 1, I, K, J)".into(), initial_values));
        };
        let q = columns.saturating_add(extra);
        let b = own.initial_values;
        if !fits(ib, b) || i > n || ik != k || j > q {
            let expected = format!("(B or 1, I, K, J) = ({b} or 1, at most {n}, {k}, at most {q})");
            return Err(mismatch("initial_values", expected, initial_values));
        }
        let (sb, sn, sk) = match *steps {
            [sb, sn] => (sb, sn, 1),
            [sb, sn, sk] => (sb, sn, sk),
            _ => {
                let expected = "(B or 1, N-1 or 1) or (B or 1, N-1 or 1, K or 1)".to_owned();
                return Err(mismatch("steps", expected, steps));
            }
        };
        let b = own.steps;
        if !fits(sb, b) || !fits(sn, s) || !fits(sk, k) {
            let expected = format!("(B or 1, N-1 or 1, K or 1) = ({b} or 1, {s} or 1, {k} or 1)");
            return Err(mismatch("steps", expected, steps));
        }
        let shape = ProblemShape {
            batch,
            points,
            extra_derivatives: extra,
            coefficients: [cb, cn, e, k, columns],
            rhs: [rb, rn, re],
            initial_values: [ib, i, ik, j],
            steps: [sb, sn, sk],
            partly,
        };
        shape.check_size()?;
        Ok(shape)
    }

    /// Checks a shape whose fields may contradict each other and returns it.
    pub(crate) fn checked(&self) -> Result<Self> {
        let (inputs, partly) = (self.inputs(), self.partly.clone());
        Self::checked_parts(self.batch, self.points, self.extra_derivatives, inputs, partly)
    }

    /// Returns the bytes of the results in `T`: the solution, its tangent or variances, and the
    /// gradients.
    pub(crate) fn result_bytes<T>(&self) -> usize {
        let inputs = self.inputs().into_iter().map(|axes| axes.iter().product());
        let solution = self.batch.saturating_mul(self.points.saturating_mul(self.block()));
        let values = inputs.fold(solution.saturating_mul(2), usize::saturating_add);
        values.saturating_mul(size_of::<T>())
    }

    /// Checks that the arrays are small enough to be addressed. Steps and initial values are no
    /// larger than the solution.
    fn check_size(&self) -> Result<()> {
        let addressable = |axes: &[usize]| {
            let values =
                axes.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis))?;
            values.checked_mul(size_of::<f64>()).filter(|&bytes| bytes <= isize::MAX as usize)
        };
        let solution = [self.batch, self.points, self.states(), self.derivatives()];
        let rhs = [self.batch, self.points, self.equations()];
        for (what, axes) in
            [("coefficients", &self.coefficients[..]), ("rhs", &rhs), ("solution", &solution)]
        {
            if addressable(axes).is_none() {
                return Err(Error::OutOfMemory { what: what.into(), bytes: usize::MAX });
            }
        }
        Ok(())
    }

    /// Returns B, the number of systems in the batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Returns N, the number of time points.
    pub fn points(&self) -> usize {
        self.points
    }

    /// Returns Q − Qc, the number of derivatives of the solution beyond the order of the equation, for
    /// which the coefficients have no columns.
    pub fn extra_derivatives(&self) -> usize {
        self.extra_derivatives
    }

    /// Returns the extents of each input; an axis of length 1 is shared. The first is the number of systems
    /// that have values of their own: B or 1, or in between where the batch has several axes and the input
    /// shares some of them. A gradient has as many values as these extents tell.
    pub fn inputs(&self) -> Inputs<&[usize]> {
        Inputs {
            coefficients: &self.coefficients,
            rhs: &self.rhs,
            initial_values: &self.initial_values,
            steps: &self.steps,
        }
    }

    /// Returns the extents of the coefficients, (B or 1, N or 1, E, K, Qc).
    pub fn coefficients(&self) -> [usize; 5] {
        self.coefficients
    }

    /// Returns the extents of the right-hand side, (B or 1, N or 1, E).
    pub fn rhs(&self) -> [usize; 3] {
        self.rhs
    }

    /// Returns the extents of the initial values, (B or 1, I, K, J).
    pub fn initial_values(&self) -> [usize; 4] {
        self.initial_values
    }

    /// Returns the extents of the steps, (B or 1, N−1 or 1, K or 1).
    pub fn steps(&self) -> [usize; 3] {
        self.steps
    }

    /// Returns K, the number of states.
    pub fn states(&self) -> usize {
        self.coefficients[3]
    }

    /// Returns Q = order + 1, the number of values of a state at a point: u, u', ..., u^(order).
    pub fn derivatives(&self) -> usize {
        self.equation_derivatives().saturating_add(self.extra_derivatives)
    }

    /// Returns Qc ≤ Q, how many of u, u', ... occur in the equation.
    pub fn equation_derivatives(&self) -> usize {
        self.coefficients[4]
    }

    /// Returns m = Qc − 1, the order of the highest derivative in the equation.
    pub fn equation_order(&self) -> usize {
        self.equation_derivatives() - 1
    }

    /// Returns Q − 1, the order of the highest derivative in the solution.
    pub fn order(&self) -> usize {
        self.derivatives() - 1
    }

    /// Returns P = K·Q, the number of values of a time point.
    pub fn block(&self) -> usize {
        self.states() * self.derivatives()
    }

    /// Returns E, the number of equations per time point.
    pub fn equations(&self) -> usize {
        self.coefficients[2]
    }

    /// Returns I, the number of points with initial values.
    pub fn initial_points(&self) -> usize {
        self.initial_values[1]
    }

    /// Returns J, how many of u, u', ... are given at each of the I points with initial values.
    pub fn initial_derivatives(&self) -> usize {
        self.initial_values[3]
    }

    /// Says in what another shape differs from this one, for which a solver was made.
    pub(crate) fn difference(&self, other: &Self) -> String {
        let mut parts = Vec::new();
        for (what, own, others) in [
            ("systems", self.batch, other.batch),
            ("points", self.points, other.points),
            ("extra derivatives", self.extra_derivatives, other.extra_derivatives),
        ] {
            if own != others {
                parts.push(format!("{own} {what}, the problem has {others}"));
            }
        }
        for (name, (own, others)) in Inputs::NAMES.zip(self.inputs().zip(other.inputs())) {
            if own != others {
                parts.push(format!("{name} {own:?}, the problem has {others:?}"));
            }
        }
        if parts.is_empty() {
            parts.push("other axes of the batch that inputs share".into());
        }
        format!("the solver was made for {}", parts.join("; for "))
    }

    /// Returns the extents of the solution, (B, N, K, Q).
    pub fn solution(&self) -> [usize; 4] {
        [self.batch, self.points, self.states(), self.derivatives()]
    }

    /// Returns how the arrays of the inputs are laid out. The coefficients are indexed by
    /// (t, e, k·Qc + j), the right-hand side by (t, e, 0), the initial values by (i, k, j), the steps
    /// by (t, k, 0).
    pub(crate) fn layouts(&self) -> Inputs<InputLayout> {
        let [cb, cn, e, states, columns] = self.coefficients;
        let c = states * columns;
        let [rb, rn, _] = self.rhs;
        let [ib, i, k, j] = self.initial_values;
        let [sb, sn, sk] = self.steps;
        Inputs {
            coefficients: InputLayout::new(cb, cn * e * c, [stride(cn, e * c), c, 1]),
            rhs: InputLayout::new(rb, rn * e, [stride(rn, e), 1, 0]),
            initial_values: InputLayout::new(ib, i * k * j, [k * j, j, 1]),
            steps: InputLayout::new(sb, sn * sk, [stride(sn, sk), stride(sk, 1), 0]),
        }
    }

    /// Returns which inputs share some axes of the batch and not others.
    pub(crate) fn partly_shared(&self) -> Inputs<bool> {
        self.partly.as_ref().map_or(Inputs::default(), |partly| partly.inputs())
    }

    /// Returns the sums that make, of an array with values for every system, the gradient of each input that is
    /// partly shared.
    #[cfg(feature = "cuda")]
    pub(crate) fn sums(&self) -> Inputs<Vec<Sum>> {
        let values = self.inputs().map(|axes| axes[1..].iter().product());
        let sums = self.partly.as_ref().map(|partly| partly.sums(values)).unwrap_or_default();
        sums.zip(self.partly_shared()).map(|(sums, partly)| if partly { sums } else { Vec::new() })
    }

    /// Returns the shape of the same problem where what is partly shared has values for every system.
    #[cfg(feature = "cuda")]
    pub(crate) fn expanded(&self) -> Self {
        let mut shape = ProblemShape { partly: None, ..self.clone() };
        let firsts = Inputs {
            coefficients: &mut shape.coefficients[0],
            rhs: &mut shape.rhs[0],
            initial_values: &mut shape.initial_values[0],
            steps: &mut shape.steps[0],
        };
        for (first, partly) in firsts.zip(self.partly_shared()) {
            if partly {
                *first = self.batch;
            }
        }
        shape
    }

    /// Returns the places of the inputs' values in arrays that lie row-major and without gaps, as gradients
    /// do.
    pub(crate) fn places(&self) -> Inputs<Places> {
        let axes = self.inputs().map(row_major);
        let of_partly = self
            .partly
            .as_ref()
            .map(|partly| partly.axes(self.inputs().map(|extents| extents[1..].iter().product())));
        let of_partly = of_partly.map_or(Inputs::default(), |axes| axes.map(Some));
        axes.zip(of_partly).zip(FIRST_INNER).map(|((axes, of_partly), first)| {
            let inner = inner_axes(first, &axes[1..]);
            match of_partly {
                Some(batch) => Places::new(batch, inner),
                None => Places::new([Axis { extent: self.batch, ..axes[0] }], inner),
            }
        })
    }
}

/// The axis of [`Places`] that is the first one of a system in each input: initial values have no time.
pub(crate) const FIRST_INNER: Inputs<usize> =
    Inputs { coefficients: 0, rhs: 0, initial_values: 1, steps: 0 };

/// Returns the axes of a system as [`Places`] has them, given those that the input has, from `first` on.
pub(crate) fn inner_axes(first: usize, axes: &[Axis]) -> [Axis; 4] {
    let mut inner = [Axis { extent: 1, stride: 0 }; 4];
    inner[first..][..axes.len()].copy_from_slice(axes);
    inner
}

/// The place of the values of one input in its array, as strides, which are 0 along shared axes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InputLayout {
    /// Number of values of one system; of all systems, if the batch shares them.
    pub values: usize,
    /// Distance between systems.
    pub system: usize,
    /// Distances along the other axes: time; equation or state; column.
    pub inner: [usize; 3],
}

impl InputLayout {
    fn new(batch: usize, values: usize, inner: [usize; 3]) -> Self {
        InputLayout { values, system: stride(batch, values), inner }
    }

    /// Returns whether all systems share the array.
    pub fn shared(&self) -> bool {
        self.system == 0
    }

    /// Returns the number of values of `systems` systems.
    pub fn total(&self, systems: usize) -> usize {
        if self.shared() { self.values } else { self.values.saturating_mul(systems) }
    }
}

/// Returns the distance in memory between neighbors along an axis, which is 0 where the axis is
/// shared.
fn stride(extent: usize, inner: usize) -> usize {
    if extent == 1 { 0 } else { inner }
}
