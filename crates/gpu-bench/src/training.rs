//! Times of a training step of the tape: a network gives the coefficients of an equation, which is
//! solved, and the loss is differentiated.

use std::{sync::Arc, time::Instant};

use mechanistic::cuda::{Cuda, CudaDevice};
use mechanistic::nn::{Activation, Mlp, Optimizer, Parameters, Rng, Rule};
use mechanistic::tape::{Array, Ode, Tape};
use mechanistic::{Inputs, Options, Real, Result};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::{Failure, median, table::Table};

/// Steps before the measured ones, and the measured ones.
const WARM_UP: usize = 3;
const STEPS: usize = 20;
/// Features of an example.
const FEATURES: usize = 8;

/// Measures steps of a small network, as the bench of the CPU does, and of one whose matrices are
/// large enough for cuBLAS to matter.
pub fn measure(device: &Arc<CudaDevice>, tiny: bool) -> std::result::Result<Table, Failure> {
    let mut table = Table::new(&[
        "batch",
        "points",
        "hidden",
        "precision",
        "step on the device, µs",
        "step of the program, µs",
        "loss",
    ]);
    let sizes = if tiny {
        vec![(4, 6, 16)]
    } else {
        vec![(512, 50, 64), (512, 50, 1024), (4096, 50, 1024)]
    };
    for (batch, points, hidden) in sizes {
        for (name, times) in [
            ("f64", steps::<f64>(device, batch, points, hidden, tiny)?),
            ("f32", steps::<f32>(device, batch, points, hidden, tiny)?),
        ] {
            let [on_device, of_program, loss] = times;
            table.push([
                batch.into(),
                points.into(),
                hidden.into(),
                name.into(),
                on_device.into(),
                of_program.into(),
                loss.into(),
            ]);
        }
    }
    let variable = std::env::var("MECHANISTIC_CUBLAS");
    table.notes.push(format!(
        "MECHANISTIC_CUBLAS={}; on: there is one, off: not used, else: used where it is found",
        variable.as_deref().unwrap_or_default()
    ));
    Ok(table)
}

/// Returns the medians in microseconds, of the device's clock and of the program's, and the last
/// loss.
fn steps<T: Real>(
    device: &Arc<CudaDevice>,
    batch: usize,
    points: usize,
    hidden: usize,
    tiny: bool,
) -> Result<[f64; 3]> {
    let cuda = Cuda::on(device)?;
    let mut parameters = Parameters::<T>::new();
    let sizes = [FEATURES, hidden, hidden, 3 * points];
    let net = Mlp::new(&mut parameters, "net", &sizes, Activation::Tanh, &mut Rng::new(0))?;
    let mut parameters = parameters.to::<Cuda>()?;
    let mut optimizer = Optimizer::<T, Cuda>::new(Rule::adam(), 1e-4);
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut array = |shape: &[usize]| -> Result<Array<T>> {
        let count: usize = shape.iter().product();
        let values = (0..count).map(|_| T::of(random.random_range(-1.0..1.0))).collect();
        Array::new(shape, values)
    };
    let (input, target) = (array(&[batch, FEATURES])?, array(&[batch, points, 1, 1])?);
    let initial = array(&[batch, 1, 1, 2])?;
    let constant = |shape: &[usize], value: f64| Array::new(shape, vec![T::of(value)]);
    let mut tape = Tape::<T, Cuda>::on(cuda);
    let mut last = 0.0;
    let mut step = || -> Result<()> {
        tape.clear();
        let x = tape.constant(input.clone());
        let flat = net.forward(&mut tape, &parameters, x)?;
        let ode = Ode {
            batch,
            points,
            inputs: Inputs {
                coefficients: tape.reshape(flat, [batch, points, 1, 1, 3])?,
                rhs: tape.constant(constant(&[1, 1, 1], 0.0)?),
                initial_values: tape.constant(initial.clone()),
                steps: tape.constant(constant(&[1, 1], 0.1)?),
            },
            extra_derivatives: 1,
        };
        let solution = tape.solve_ode(&ode, &Options::default())?;
        let values = tape.slice(solution, 3, 0..1)?;
        let target = tape.constant(target.clone());
        let loss = tape.mse(values, target)?;
        let gradients = tape.backward(loss)?;
        optimizer.step(&mut parameters, &gradients)?;
        tape.recycle(gradients);
        last = tape.scalar(loss)?.to_double();
        Ok(())
    };
    let (warm_up, steps) = if tiny { (1, 1) } else { (WARM_UP, STEPS) };
    (0..warm_up).try_for_each(|_| step())?;
    let (mut on_device, mut of_program) = (Vec::new(), Vec::new());
    for _ in 0..steps {
        let begin = Instant::now();
        on_device.push(device.time(&mut step)?.as_secs_f64() * 1e6);
        of_program.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    let of = |times| median(times).expect("there are some");
    Ok([of(on_device), of(of_program), last])
}
