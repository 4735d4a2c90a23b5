//! The paper's Table 3 (section 5.7): 100 iterations that fit a noisy sine by an ODE with learned
//! coefficients, right-hand side and initial values.

use std::path::Path;

use experiments::SineFit;
use mechanistic::nn::{Optimizer, Parameters, Rule, Training};
use mechanistic::tape::Array;
use mechanistic::{Cpu, Result};

/// As in benches/peers/sine.py.
const ITERATIONS: usize = 100;
const POINTS: usize = 1000;

/// Trains from the beginning in each turn.
pub fn run(folder: &Path) -> Result<()> {
    let noisy = crate::stored(folder, "noisy", &[ITERATIONS, POINTS])?;
    let targets = noisy.data().chunks_exact(POINTS);
    let targets = targets.map(|target| Array::new([1, POINTS], target.to_vec()));
    let targets = targets.collect::<Result<Vec<_>>>()?;
    crate::take_turns(|| {
        let mut parameters = Parameters::new();
        let model = SineFit::new(&mut parameters, POINTS)?;
        let optimizer = Optimizer::new(Rule::adam(), SineFit::RATE).with_clip(SineFit::CLIP);
        let mut training = Training::new(parameters, optimizer, Cpu)?;
        let mut last = f64::NAN;
        for target in &targets {
            last = training.step(|tape, parameters| {
                let target = tape.constant_from(target)?;
                let u = model.forward(tape, parameters, POINTS)?;
                tape.mse(u, target)
            })?;
        }
        Ok(last)
    })
}
