//! Layers, optimizers and checkpoints.

use approx::assert_abs_diff_eq;
use mechanistic::nn::{
    Activation, Initializer, Linear, Mlp, Optimizer, Parameters, Rng, Rule, Schedule,
    load_checkpoint, save_checkpoint,
};
use mechanistic::tape::{Array, Tape};
use mechanistic::{Error, Real};

/// A small regression problem and its network.
struct Training<T: Real> {
    parameters: Parameters<T>,
    net: Mlp,
    optimizer: Optimizer<T>,
    tape: Tape<T>,
}

impl<T: Real> Training<T> {
    fn new(rule: Rule, rate: f64) -> Self {
        let (mut parameters, mut rng) = (Parameters::new(), Rng::new(5));
        let sizes = [2, 24, 24, 1];
        let net = Mlp::new(&mut parameters, "net", &sizes, Activation::Tanh, &mut rng).unwrap();
        let optimizer = Optimizer::new(rule, rate);
        Training { parameters, net, optimizer, tape: Tape::new() }
    }

    /// One step on y = x₀ x₁ over a grid; the loss before it.
    fn step(&mut self) -> T {
        self.tape.clear();
        let side = 40;
        let points: Vec<[f64; 2]> = (0..side * side)
            .map(|i| [i / side, i % side].map(|j| 2.0 * j as f64 / (side - 1) as f64 - 1.0))
            .collect();
        let x = points.iter().flatten().map(|x| T::of(*x)).collect();
        let y = points.iter().map(|[a, b]| T::of(a * b)).collect();
        let x = self.tape.constant(Array::new([side * side, 2], x).unwrap());
        let target = self.tape.constant(Array::new([side * side, 1], y).unwrap());
        let y = self.net.forward(&mut self.tape, &self.parameters, x).unwrap();
        let loss = self.tape.mse(y, target).unwrap();
        let gradients = self.tape.backward(loss).unwrap();
        self.optimizer.step(&mut self.parameters, &gradients).unwrap();
        self.tape.scalar(loss).unwrap()
    }

    fn run(&mut self, steps: usize) -> Vec<T> {
        (0..steps).map(|_| self.step()).collect()
    }

    fn values(&self) -> Vec<Vec<T>> {
        self.parameters.iter().map(|(_, _, value)| value.data().to_vec()).collect()
    }
}

#[test]
fn every_rule_learns() {
    let rules = [
        (Rule::Sgd { momentum: 0.9 }, 0.05, 0.02),
        (Rule::adam(), 0.01, 0.002),
        (Rule::adam_w(0.001), 0.01, 0.002),
    ];
    for (rule, rate, reached) in rules {
        let losses = Training::<f64>::new(rule, rate).run(200);
        assert!(losses[199] < reached, "{rule:?}: {} to {}", losses[0], losses[199]);
    }
    let single = Training::<f32>::new(Rule::adam(), 0.01).run(200);
    assert!(single[199] < 0.002);
}

#[test]
fn training_does_not_depend_on_the_number_of_threads() {
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut training = Training::<f32>::new(Rule::adam(), 0.01);
            (training.run(20), training.values())
        })
    };
    let one = with(1);
    assert_eq!(one, with(1));
    assert_eq!(one, with(3));
}

#[test]
fn a_checkpoint_resumes_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    for rule in [Rule::adam_w(0.01), Rule::Sgd { momentum: 0.5 }] {
        let mut straight = Training::<f64>::new(rule, 0.01);
        straight.run(7);
        save_checkpoint(&path, &straight.parameters, &straight.optimizer).unwrap();
        let expected = straight.run(5);

        let mut resumed = Training::<f64>::new(rule, 0.01);
        load_checkpoint(&path, &mut resumed.parameters, &mut resumed.optimizer).unwrap();
        assert_eq!(resumed.optimizer.steps(), 7);
        assert_eq!(resumed.run(5), expected);
        assert_eq!(resumed.values(), straight.values());
    }
}

#[test]
fn a_checkpoint_that_does_not_fit_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut training = Training::<f64>::new(Rule::adam(), 0.01);
    training.run(2);
    save_checkpoint(&path, &training.parameters, &training.optimizer).unwrap();
    let whole = std::fs::read(&path).unwrap();

    let mut single = Training::<f32>::new(Rule::adam(), 0.01);
    let message = load_checkpoint(&path, &mut single.parameters, &mut single.optimizer)
        .unwrap_err()
        .to_string();
    assert!(message.contains("\"parameter.net.0.weight\": expected F32 [2, 24]"), "{message}");

    let mut target = Training::<f64>::new(Rule::adam(), 0.01);
    target.parameters.insert("extra", Array::scalar(1.0)).unwrap();
    let before = target.values();
    let mut load = |path: &std::path::Path| {
        load_checkpoint(path, &mut target.parameters, &mut target.optimizer).unwrap_err()
    };
    let message = load(&path).to_string();
    assert!(message.contains("\"parameter.extra\" is missing"), "{message}");
    for cut in [0, 7, 100, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(matches!(load(&path), Error::Format { .. }), "cut at {cut}");
    }
    assert!(matches!(load(&folder.path().join("absent")), Error::Io { .. }));
    assert_eq!(target.values(), before);

    std::fs::write(&path, &whole).unwrap();
    let mut other = Training::<f64>::new(Rule::sgd(), 0.01);
    let result = load_checkpoint(&path, &mut other.parameters, &mut other.optimizer);
    assert!(matches!(result, Err(Error::Format { .. })), "moments of another rule");
    let nowhere = folder.path().join("no/such/folder/model.safetensors");
    let result = save_checkpoint(&nowhere, &training.parameters, &training.optimizer);
    assert!(matches!(result, Err(Error::Io { .. })));
}

/// One parameter x with loss g·x, so that its gradient is g.
fn one_step(optimizer: &mut Optimizer<f64>, parameters: &mut Parameters<f64>, g: &[f64]) {
    let id = parameters.find("x").unwrap();
    let mut tape = Tape::new();
    let x = tape.parameter(parameters, id).unwrap();
    let g = tape.constant(Array::vector(g));
    let product = tape.mul(x, g).unwrap();
    let loss = tape.sum_all(product).unwrap();
    let gradients = tape.backward(loss).unwrap();
    optimizer.step(parameters, &gradients).unwrap();
}

fn parameter(values: &[f64]) -> Parameters<f64> {
    let mut parameters = Parameters::new();
    parameters.insert("x", Array::vector(values)).unwrap();
    parameters
}

fn current(parameters: &Parameters<f64>) -> Vec<f64> {
    parameters.get(parameters.find("x").unwrap()).unwrap().data().to_vec()
}

#[test]
fn rules_follow_their_formula() {
    let mut parameters = parameter(&[1.0]);
    let mut sgd = Optimizer::new(Rule::Sgd { momentum: 0.5 }, 0.1);
    one_step(&mut sgd, &mut parameters, &[2.0]);
    one_step(&mut sgd, &mut parameters, &[2.0]);
    assert_abs_diff_eq!(current(&parameters)[0], 1.0 - 0.2 - 0.3, epsilon = 1e-15);

    // Adam's first step is the rate in the direction of the sign, whatever the size of g.
    let mut parameters = parameter(&[1.0, 1.0]);
    let mut adam = Optimizer::new(Rule::adam(), 0.1);
    one_step(&mut adam, &mut parameters, &[300.0, -0.01]);
    assert_abs_diff_eq!(current(&parameters)[..], [0.9, 1.1][..], epsilon = 1e-6);

    // AdamW decays by rate · decay · x apart from the gradient.
    let mut parameters = parameter(&[2.0]);
    let mut adam_w = Optimizer::new(Rule::adam_w(0.5), 0.1);
    one_step(&mut adam_w, &mut parameters, &[0.0]);
    assert_abs_diff_eq!(current(&parameters)[0], 1.9, epsilon = 1e-15);
}

#[test]
fn clipping_and_schedule_scale_the_step() {
    let mut parameters = parameter(&[0.0, 0.0]);
    let mut sgd = Optimizer::new(Rule::sgd(), 1.0)
        .with_clip(1.0)
        .with_schedule(Schedule::Exponential { decay: 0.5 });
    one_step(&mut sgd, &mut parameters, &[3.0, 4.0]);
    assert_abs_diff_eq!(current(&parameters)[..], [-0.6, -0.8][..], epsilon = 1e-15);
    one_step(&mut sgd, &mut parameters, &[0.1, 0.0]);
    assert_abs_diff_eq!(current(&parameters)[0], -0.65, epsilon = 1e-15);
}

#[test]
fn a_gradient_that_is_not_finite_changes_nothing() {
    let mut parameters = parameter(&[1.0]);
    let mut optimizer = Optimizer::new(Rule::adam(), 0.1);
    let mut tape = Tape::new();
    let x = tape.parameter(&parameters, parameters.find("x").unwrap()).unwrap();
    let y = tape.scale(x, f64::NAN).unwrap();
    let loss = tape.sum_all(y).unwrap();
    let gradients = tape.backward(loss).unwrap();
    let error = optimizer.step(&mut parameters, &gradients).unwrap_err();
    assert_eq!(error.to_string(), "the gradient of step 0 is not finite");
    assert_eq!(current(&parameters), [1.0]);
}

#[test]
fn names_and_stores_are_checked() {
    let mut parameters = Parameters::<f64>::new();
    let id = parameters.insert("w", Array::scalar(1.0)).unwrap();
    assert!(parameters.insert("w", Array::scalar(2.0)).is_err());
    let other = Parameters::<f64>::new();
    assert!(other.get(id).is_err());
    assert!(Tape::new().parameter(&other, id).is_err());
    assert_eq!(parameters.clone().get(id).unwrap().data(), [1.0]);
    let mut rng = Rng::new(0);
    let short = Mlp::new(&mut parameters, "net", &[3], Activation::Relu, &mut rng);
    assert!(matches!(short, Err(Error::Argument { .. })));
}

#[test]
fn a_linear_layer_is_a_product_and_a_sum() {
    let (mut parameters, mut rng) = (Parameters::<f64>::new(), Rng::new(0));
    let initializer = Initializer::Normal(1.0);
    let layer = Linear::new(&mut parameters, "layer", 2, 1, initializer, &mut rng).unwrap();
    parameters.data_mut(layer.weight).unwrap().copy_from_slice(&[2.0, 3.0]);
    parameters.data_mut(layer.bias).unwrap()[0] = 0.5;
    let mut tape = Tape::new();
    let x = tape.constant(Array::new([1, 2, 2], vec![1.0, 0.0, 1.0, 1.0]).unwrap());
    let y = layer.forward(&mut tape, &parameters, x).unwrap();
    assert_eq!(tape.value(y).unwrap(), &Array::new([1, 2, 1], vec![2.5, 5.5]).unwrap());
}
