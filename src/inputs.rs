//! The four inputs of a problem: one thing for each of them.

/// One thing for each of the four inputs of a problem: its array, its gradient, its name.
///
/// ```
/// use mechanistic::Inputs;
///
/// let values = Inputs { coefficients: 8, rhs: 4, initial_values: 1, steps: 3 };
/// let bytes = values.map(|values| 8 * values);
/// assert_eq!(bytes.coefficients, 64);
/// for (name, bytes) in Inputs::NAMES.zip(bytes) {
///     println!("{name}: {bytes} bytes");
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inputs<A> {
    /// What belongs to the coefficients c, (B or 1, N or 1, E, K, Qc).
    pub coefficients: A,
    /// What belongs to the right-hand side b, (B or 1, N or 1, E).
    pub rhs: A,
    /// What belongs to the initial values, (B or 1, I, K, J).
    pub initial_values: A,
    /// What belongs to the steps, (B or 1, N−1 or 1, K or 1).
    pub steps: A,
}

impl Inputs<&'static str> {
    /// The names of the inputs, as errors and statuses spell them.
    pub const NAMES: Self = Inputs {
        coefficients: "coefficients",
        rhs: "rhs",
        initial_values: "initial_values",
        steps: "steps",
    };
}

impl<A> Inputs<A> {
    /// Calls `f` for each input, in the order of the fields.
    pub fn map<B>(self, mut f: impl FnMut(A) -> B) -> Inputs<B> {
        Inputs {
            coefficients: f(self.coefficients),
            rhs: f(self.rhs),
            initial_values: f(self.initial_values),
            steps: f(self.steps),
        }
    }

    /// Calls `f` for each input, in the order of the fields, up to the first error.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn try_map<B, E>(self, mut f: impl FnMut(A) -> Result<B, E>) -> Result<Inputs<B>, E> {
        Ok(Inputs {
            coefficients: f(self.coefficients)?,
            rhs: f(self.rhs)?,
            initial_values: f(self.initial_values)?,
            steps: f(self.steps)?,
        })
    }

    /// Pairs what belongs to the same input.
    pub fn zip<B>(self, other: Inputs<B>) -> Inputs<(A, B)> {
        Inputs {
            coefficients: (self.coefficients, other.coefficients),
            rhs: (self.rhs, other.rhs),
            initial_values: (self.initial_values, other.initial_values),
            steps: (self.steps, other.steps),
        }
    }

    /// Borrows what belongs to each input.
    pub fn as_ref(&self) -> Inputs<&A> {
        Inputs {
            coefficients: &self.coefficients,
            rhs: &self.rhs,
            initial_values: &self.initial_values,
            steps: &self.steps,
        }
    }

    /// Borrows what belongs to each input, to be changed.
    pub fn as_mut(&mut self) -> Inputs<&mut A> {
        Inputs {
            coefficients: &mut self.coefficients,
            rhs: &mut self.rhs,
            initial_values: &mut self.initial_values,
            steps: &mut self.steps,
        }
    }
}

/// Iterates over coefficients, right-hand side, initial values and steps, in this order.
impl<A> IntoIterator for Inputs<A> {
    type Item = A;
    type IntoIter = std::array::IntoIter<A, 4>;

    fn into_iter(self) -> Self::IntoIter {
        <[A; 4]>::from(self).into_iter()
    }
}

/// Coefficients, right-hand side, initial values and steps, in this order.
impl<A> From<Inputs<A>> for [A; 4] {
    fn from(inputs: Inputs<A>) -> Self {
        [inputs.coefficients, inputs.rhs, inputs.initial_values, inputs.steps]
    }
}

/// Coefficients, right-hand side, initial values and steps, in this order.
impl<A> From<[A; 4]> for Inputs<A> {
    fn from([coefficients, rhs, initial_values, steps]: [A; 4]) -> Self {
        Inputs { coefficients, rhs, initial_values, steps }
    }
}
