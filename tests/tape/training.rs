//! Whole training steps on a CUDA device: what they compute. What they copy, and what they do when the
//! device fails, is in tests/tape_faults.rs.

use crate::support::backends::cuda;
use crate::support::driver::assert_no_reports;
use crate::support::training::{Model, train};
use approx::assert_abs_diff_eq;
use mechanistic::cuda::Cuda;
use mechanistic::nn::{Optimizer, Parameters, Rule, load_checkpoint, save_checkpoint};
use mechanistic::tape::{Array, Tape};
use mechanistic::{Cpu, Error};

#[test]
fn training_is_that_of_the_cpu() {
    for rule in [Rule::Sgd { momentum: 0.9 }, Rule::adam(), Rule::adam_w(0.01)] {
        let (losses, values) = train::<f64, Cpu>(&Cpu, rule, 6);
        let (cuda_losses, cuda_values) = train::<f64, Cuda>(cuda(), rule, 6);
        assert!(losses[5] < losses[0], "{losses:?}");
        for (a, b) in losses.iter().zip(&cuda_losses) {
            assert_abs_diff_eq!(a, b, epsilon = 1e-9 * a);
        }
        assert_abs_diff_eq!(values.concat()[..], cuda_values.concat()[..], epsilon = 1e-8);
    }
    let (single, _) = train::<f32, Cpu>(&Cpu, Rule::adam(), 6);
    let (cuda_single, _) = train::<f32, Cuda>(cuda(), Rule::adam(), 6);
    for (a, b) in single.iter().zip(&cuda_single) {
        assert_abs_diff_eq!(a, b, epsilon = 1e-3 * a);
    }
    assert_no_reports();
}

#[test]
fn training_again_gives_the_same_bits() {
    let first = train::<f64, Cuda>(cuda(), Rule::adam(), 4);
    assert_eq!(first, train::<f64, Cuda>(cuda(), Rule::adam(), 4));
}

#[test]
fn a_gradient_that_is_not_finite_changes_nothing() {
    for rule in [Rule::sgd(), Rule::adam()] {
        let mut parameters = Parameters::<f64>::new();
        let id = parameters.insert("w", Array::vector([4.0, 0.0])).unwrap();
        let mut parameters = parameters.to::<Cuda>().unwrap();
        let mut optimizer = Optimizer::new(rule, 0.1);
        let mut tape = Tape::on(cuda().clone());
        let mut step = |parameters: &mut Parameters<f64, Cuda>, shift: f64| {
            tape.clear();
            let w = tape.parameter(parameters, id).unwrap();
            let w = tape.shift(w, shift).unwrap();
            let root = tape.sqrt(w).unwrap();
            let loss = tape.sum_all(root).unwrap();
            let gradients = tape.backward(loss).unwrap();
            let outcome = optimizer.step(parameters, &gradients);
            (outcome, optimizer.check())
        };
        // √ at 0 has an infinite slope: the step after it tells, as `check` does.
        let (at_once, checked) = step(&mut parameters, 0.0);
        at_once.unwrap();
        let message = checked.unwrap_err().to_string();
        assert!(message.contains("gradient of step 0 is not finite"), "{message}");
        assert_eq!(parameters.get(id).unwrap().data(), [4.0, 0.0]);
        assert!(matches!(step(&mut parameters, 1.0).0, Err(Error::Data(_))));
        assert_eq!(parameters.get(id).unwrap().data(), [4.0, 0.0]);
        let (at_once, checked) = step(&mut parameters, 1.0);
        at_once.and(checked).unwrap();
        assert!(parameters.get(id).unwrap().data().iter().all(|w| *w < 4.0));
    }
}

#[test]
fn a_checkpoint_moves_between_devices() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("checkpoint.safetensors");
    let mut model = Model::<f64, Cuda>::new(cuda(), Rule::adam());
    for _ in 0..3 {
        model.step().unwrap();
    }
    save_checkpoint(&path, &model.parameters, &model.optimizer).unwrap();
    let expected: Vec<f64> = (0..3).map(|_| model.step().unwrap()).collect();
    let mut same = Model::<f64, Cuda>::new(cuda(), Rule::adam());
    load_checkpoint(&path, &mut same.parameters, &mut same.optimizer).unwrap();
    assert_eq!(expected, (0..3).map(|_| same.step().unwrap()).collect::<Vec<_>>());
    let mut other = Model::<f64, Cpu>::new(&Cpu, Rule::adam());
    load_checkpoint(&path, &mut other.parameters, &mut other.optimizer).unwrap();
    for expected in expected {
        let loss = other.step().unwrap();
        assert_abs_diff_eq!(loss, expected, epsilon = 1e-9 * expected);
    }
}
