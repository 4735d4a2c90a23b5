//! The model of the paper's section 5.7, Table 3: an ODE that fits a noisy sine.

use mechanistic::nn::{ParameterId, Parameters};
use mechanistic::tape::{Array, Ode, Tape, Var};
use mechanistic::{Backend, Inputs, Options, Result};

/// u'' + c₁ u' + c₀ u = b(t), with learned coefficients, right-hand side and initial values.
#[derive(Clone, Copy, Debug)]
pub struct SineFit {
    coefficients: ParameterId,
    rhs: ParameterId,
    start: ParameterId,
}

impl SineFit {
    /// Distance of the points.
    pub const H: f64 = 0.1;
    /// Rate of Adam.
    pub const RATE: f64 = 0.1;
    /// Norm that the gradient is clipped to.
    pub const CLIP: f64 = 1.0;

    /// Adds the parameters for this many points.
    ///
    /// # Errors
    /// When one of the names is taken.
    pub fn new(parameters: &mut Parameters<f64>, points: usize) -> Result<Self> {
        Ok(SineFit {
            coefficients: parameters.insert("coefficients", Array::vector(vec![1.0, 1.0]))?,
            rhs: parameters.insert("rhs", Array::full([1, points, 1], 0.0)?)?,
            start: parameters.insert("start", Array::full([1, 1, 1, 2], 0.0)?)?,
        })
    }

    /// Records u (1, N).
    ///
    /// # Errors
    /// Those of the tape.
    pub fn forward<B: Backend>(
        &self,
        tape: &mut Tape<f64, B>,
        parameters: &Parameters<f64, B>,
        points: usize,
    ) -> Result<Var> {
        let lower = tape.parameter(parameters, self.coefficients)?;
        let one = tape.constant(Array::vector(vec![1.0]));
        let coefficients = tape.concat(&[lower, one], 0)?;
        let ode = Ode {
            batch: 1,
            points,
            inputs: Inputs {
                coefficients: tape.reshape(coefficients, [1, 1, 1, 1, 3])?,
                rhs: tape.parameter(parameters, self.rhs)?,
                initial_values: tape.parameter(parameters, self.start)?,
                steps: tape.constant(Array::full([1, 1], Self::H)?),
            },
            extra_derivatives: 1,
        };
        let solution = tape.solve_ode(&ode, &Options::default())?;
        let u = tape.slice(solution, 3, 0..1)?;
        tape.reshape(u, [1, points])
    }
}
