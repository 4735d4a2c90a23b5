//! Integration of found equations: Dormand-Prince 5(4) with step control.
//!
//! The coefficients are those of Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations
//! I, table II.5.2.

use super::forcing::Forcing;
use super::right_hand_side::RightHandSide;
use crate::{Error, Result};

const RELATIVE_TOLERANCE: f64 = 1e-9;
/// The most evaluations of the right-hand side per output interval; beyond that, the integration is
/// given up as stiff or blown up.
const MAX_STEPS: usize = 10_000;
/// The factor by which a state must exceed everything in the data to count as a blow-up.
const BLOW_UP: f64 = 1e6;

const STAGES: [&[f64]; 6] = [
    &[1.0 / 5.0],
    &[3.0 / 40.0, 9.0 / 40.0],
    &[44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0],
    &[19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0],
    &[9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0],
    &[35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0],
];
/// The fractions of a step at which the stages are evaluated.
const NODES: [f64; 6] = [1.0 / 5.0, 3.0 / 10.0, 4.0 / 5.0, 8.0 / 9.0, 1.0, 1.0];
/// The differences of the fifth-order and the fourth-order weights.
const ERROR: [f64; 7] = [
    71.0 / 57600.0,
    0.0,
    -71.0 / 16695.0,
    71.0 / 1920.0,
    -17253.0 / 339200.0,
    22.0 / 525.0,
    -1.0 / 40.0,
];

/// Integrates the equations from `initial` (D: u, for order 2 then u') over the times `time` (M),
/// with the inputs `forcing` at these times, and returns the states at these times (M, K),
/// row-major. `forcing` is `Forcing::default()` if there are no inputs but the time.
///
/// `scale` (D) is the usual size of each state: errors are measured by it, and a state a million
/// times larger is a blow-up. From a blow-up on, all is NaN.
///
/// # Errors
/// [`Error::Shape`] naming the array whose length does not suit the equations or the times, and
/// [`Error::Argument`] if `forcing` has another number of inputs than the equations.
pub fn simulate(
    rhs: &RightHandSide<'_>,
    initial: &[f64],
    time: &[f64],
    forcing: &Forcing,
    scale: &[f64],
) -> Result<Vec<f64>> {
    let d = rhs.library.variables().len();
    for (argument, values) in [("initial", initial), ("scale", scale)] {
        if values.len() != d {
            return Err(Error::Shape {
                argument: argument.into(),
                expected: format!("(D) = ({d})"),
                actual: vec![values.len()],
            });
        }
    }
    forcing.check(rhs.library, time.len())?;
    Ok(trajectory(rhs, initial, time, forcing, scale))
}

/// Integrates as [`simulate`] does, where all lengths suit each other.
pub(super) fn trajectory(
    rhs: &RightHandSide<'_>,
    initial: &[f64],
    time: &[f64],
    forcing: &Forcing,
    scale: &[f64],
) -> Vec<f64> {
    let k = rhs.states();
    let mut states = vec![f64::NAN; time.len() * k];
    let mut integrator = Integrator::new(rhs, initial, scale);
    for (i, &t) in time.iter().enumerate() {
        if i > 0 {
            let [begin, end] = integrator.inputs();
            forcing.step(rhs.library, time, i - 1, [begin, end]);
            if !integrator.advance(t - time[i - 1]) {
                break;
            }
        }
        states[i * k..][..k].copy_from_slice(&integrator.state[..k]);
    }
    states
}

/// An integrator of the equations from one state.
pub(super) struct Integrator<'a> {
    rhs: &'a RightHandSide<'a>,
    scale: &'a [f64],
    state: Vec<f64>,
    /// Seven slopes, each of D values; the last slope of a step is the first of the next.
    slopes: Vec<Vec<f64>>,
    trial: Vec<f64>,
    /// The state of a stage and then the inputs (A).
    arguments: Vec<f64>,
    /// Inputs at the beginning and at the end of the interval (E).
    inputs: [Vec<f64>; 2],
    terms: Vec<f64>,
    /// Step that the error control proposes next; zero before the first.
    step: f64,
}

impl<'a> Integrator<'a> {
    /// Makes an integrator at `initial` (D), which measures errors by `scale` (D).
    pub fn new(rhs: &'a RightHandSide<'a>, initial: &[f64], scale: &'a [f64]) -> Self {
        let state = initial.to_vec();
        let mut integrator = Integrator {
            rhs,
            scale,
            trial: state.clone(),
            arguments: vec![0.0; rhs.library.arguments()],
            inputs: [(); 2].map(|()| vec![0.0; rhs.library.inputs().len()]),
            state,
            slopes: vec![vec![0.0; initial.len()]; 7],
            terms: vec![0.0; rhs.library.len()],
            step: 0.0,
        };
        integrator.begin();
        integrator
    }

    /// Returns the inputs at the beginning and at the end of the next interval, to be set: (E) each.
    pub fn inputs(&mut self) -> [&mut [f64]; 2] {
        self.inputs.each_mut().map(|inputs| &mut inputs[..])
    }

    /// Computes the first slope, with the inputs at the beginning of the interval.
    fn begin(&mut self) {
        self.slope(0, false, 0.0);
    }

    /// Computes a slope, of `trial` or else of `state`, where this fraction of the interval is past.
    fn slope(&mut self, number: usize, of_trial: bool, past: f64) {
        let state = if of_trial { &self.trial } else { &self.state };
        let (variables, inputs) = self.arguments.split_at_mut(state.len());
        variables.copy_from_slice(state);
        let [begin, end] = &self.inputs;
        for ((input, begin), end) in inputs.iter_mut().zip(begin).zip(end) {
            *input = begin + past * (end - begin);
        }
        self.rhs.derivative(&self.arguments, &mut self.terms, &mut self.slopes[number]);
    }

    /// Returns the state after `interval` from `state`, by two equal steps without control of their
    /// error, which is of sixth order in the interval.
    pub fn over(&mut self, state: &[f64], interval: f64) -> &[f64] {
        self.state.copy_from_slice(state);
        self.begin();
        for half in [0.0, 0.5] {
            self.attempt(0.5 * interval, [half, half + 0.5]);
            self.state.copy_from_slice(&self.trial);
            self.slopes.swap(0, 6);
        }
        &self.state
    }

    /// Integrates over `interval`; returns false after a blow-up.
    fn advance(&mut self, interval: f64) -> bool {
        let mut done = 0.0;
        // Inputs may have jumped.
        if !self.inputs[0].is_empty() {
            self.begin();
        }
        if self.step == 0.0 {
            self.step = interval / 16.0;
        }
        for _ in 0..MAX_STEPS {
            let last = done + self.step >= interval;
            let step = if last { interval - done } else { self.step };
            let end = if last { 1.0 } else { (done + step) / interval };
            let error = self.attempt(step, [done / interval, end]);
            if error <= 1.0 {
                self.state.copy_from_slice(&self.trial);
                self.slopes.swap(0, 6);
                done += step;
                let sizes = self.state.iter().zip(self.scale);
                if sizes.into_iter().any(|(u, s)| u.abs() > BLOW_UP * s) {
                    return false;
                }
            }
            // A NaN error fails the comparison above, and gets the smallest factor.
            let factor = if error.is_nan() { 0.1 } else { 0.9 * error.max(1e-10).powf(-0.2) };
            let proposal = step * factor.clamp(0.1, 5.0);
            if error <= 1.0 && last {
                // The last step was shortened to end at the interval's end, which must not shorten
                // the next steps.
                self.step = self.step.max(proposal);
                return true;
            }
            self.step = proposal;
        }
        false
    }

    /// Makes one step into `trial` and `slopes[6]`, between these fractions of the interval; returns
    /// the error relative to the tolerance.
    fn attempt(&mut self, step: f64, [from, to]: [f64; 2]) -> f64 {
        for (stage, weights) in STAGES.iter().enumerate() {
            for (i, trial) in self.trial.iter_mut().enumerate() {
                let increment: f64 =
                    weights.iter().zip(&self.slopes).map(|(w, slope)| w * slope[i]).sum();
                *trial = self.state[i] + step * increment;
            }
            self.slope(stage + 1, true, from + NODES[stage] * (to - from));
        }
        let mut worst: f64 = 0.0;
        for (i, scale) in self.scale.iter().enumerate() {
            let error: f64 = ERROR.iter().zip(&self.slopes).map(|(w, slope)| w * slope[i]).sum();
            let relative = (step * error).abs() / (RELATIVE_TOLERANCE * scale);
            // The comparison is written out because `max` would drop a NaN.
            worst = if relative > worst || relative.is_nan() { relative } else { worst };
        }
        worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::{Dataset, Interpolation, Library, Settings, Trajectory};

    #[test]
    fn oscillator_follows_the_cosine() {
        let settings = Settings { order: 2, degree: 1, ..Settings::default() };
        let library = Library::new(&["x".into()], &settings).unwrap();
        let mut rhs = RightHandSide::new(&library, &settings);
        rhs.numerator[1] = -4.0;
        let time: Vec<f64> = (0..200).map(|i| 0.1 * f64::from(i)).collect();
        let states = simulate(&rhs, &[1.0, 0.0], &time, &Forcing::default(), &[1.0, 1.0]).unwrap();
        for (x, t) in states.iter().zip(&time) {
            assert!((x - (2.0 * t).cos()).abs() < 1e-6, "{t}: {x}");
        }
    }

    #[test]
    fn blow_up_becomes_nan() {
        let settings = Settings::default();
        let library = Library::new(&["x".into()], &settings).unwrap();
        let mut rhs = RightHandSide::new(&library, &settings);
        rhs.numerator[2] = 1.0; // x' = x², infinite at t = 1
        let time: Vec<f64> = (0..20).map(|i| 0.1 * f64::from(i)).collect();
        let states = simulate(&rhs, &[1.0], &time, &Forcing::default(), &[1.0]).unwrap();
        assert!((states[9] - 10.0).abs() < 1e-5, "{}", states[9]);
        assert!(states[10..].iter().all(|x| x.is_nan()));
    }

    /// x' = u with u = t from straight lines and from steps of height 1/2, and x' = t².
    #[test]
    fn inputs_and_the_time_enter() {
        let settings = Settings { degree: 2, explicit_time: true, ..Settings::default() };
        let (states, inputs) = (["x".to_owned()], ["u".to_owned()]);
        let library = Library::with_inputs(&states, &inputs, &settings).unwrap();
        let time: Vec<f64> = (0..9).map(|i| 0.5 * f64::from(i)).collect();
        let data = Dataset {
            states: states.to_vec(),
            inputs: inputs.to_vec(),
            trajectories: vec![Trajectory {
                time: time.clone(),
                values: vec![0.0; 9],
                inputs: time.clone(),
            }],
        };
        for (factors, interpolation, expected) in [
            ("u", Interpolation::Linear, 8.0),
            ("u", Interpolation::Hold, 7.0),
            ("t^2", Interpolation::Linear, 64.0 / 3.0),
        ] {
            let mut rhs = RightHandSide::new(&library, &settings);
            rhs.numerator[library.position(&[factors.into()]).unwrap()] = 1.0;
            let forcing = Forcing::new(&data, 0, &[interpolation], &time);
            let states = simulate(&rhs, &[0.0], &time, &forcing, &[1.0]).unwrap();
            assert!((states[8] - expected).abs() < 1e-9, "{factors} {states:?}");
        }

        let rhs = RightHandSide::new(&library, &settings);
        let refused = |initial: &[f64], time: &[f64], forcing: &Forcing, scale: &[f64]| {
            simulate(&rhs, initial, time, forcing, scale).unwrap_err().to_string()
        };
        let forcing = Forcing::new(&data, 0, &[Interpolation::Hold], &time);
        let message = refused(&[0.0], &time, &Forcing::default(), &[1.0]);
        assert_eq!(message, "forcing: the equations have 1 inputs (u), got 0");
        let message = refused(&[0.0], &time[1..], &forcing, &[1.0]);
        assert_eq!(message, "forcing: has inputs at 9 times, but there are 8");
        assert!(refused(&[0.0, 1.0], &time, &forcing, &[1.0]).starts_with("initial: "));
        assert!(refused(&[0.0], &time, &forcing, &[]).starts_with("scale: "));
    }
}
