//! Solutions and gradients of both formulations against figures computed in f64 with the two
//! published PyTorch implementations of the method (tests/golden/README.md).

use super::Subject;
use crate::support::close::difference;
use mechanistic::{Cotangent, Formulation, Options, Problem, Smoothness, View, Weights};
use safetensors::SafeTensors;
use std::collections::HashMap;
use std::path::Path;

struct Golden {
    name: String,
    metadata: HashMap<String, String>,
    tensors: HashMap<String, (Vec<usize>, Vec<f64>)>,
}

impl Golden {
    fn all() -> Vec<Golden> {
        // Asked for when the test runs, because it may run on another machine.
        let root = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
        let mut files: Vec<_> = std::fs::read_dir(Path::new(&root).join("tests/golden"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
            .collect();
        files.sort();
        assert_eq!(files.len(), 15);
        files
            .into_iter()
            .map(|path| {
                let bytes = std::fs::read(&path).unwrap();
                let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
                let tensors = SafeTensors::deserialize(&bytes)
                    .unwrap()
                    .iter()
                    .map(|(name, tensor)| {
                        let values = tensor
                            .data()
                            .chunks_exact(8)
                            .map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap()))
                            .collect();
                        (name.to_owned(), (tensor.shape().to_vec(), values))
                    })
                    .collect();
                Golden {
                    name: path.file_stem().unwrap().to_string_lossy().into_owned(),
                    metadata: header.metadata().clone().unwrap(),
                    tensors,
                }
            })
            .collect()
    }

    fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(&self, key: &str) -> Option<T> {
        self.metadata.get(key).map(|text| text.parse().unwrap())
    }

    fn options(&self) -> Options {
        let smoothness = self.metadata["smoothness"].as_str();
        let formulation = match self.metadata["formulation"].as_str() {
            "least_squares" => Formulation::LeastSquares,
            "shared_epsilon" => Formulation::SharedSlack {
                gamma: self.number("gamma").unwrap(),
                alpha: self.number("alpha").unwrap(),
            },
            other => panic!("unknown formulation {other}"),
        };
        Options {
            smoothness: *Smoothness::ALL.iter().find(|kind| kind.name() == smoothness).unwrap(),
            formulation,
            weights: Weights {
                equation: self.number("weight_equation").unwrap_or(1.0),
                initial: self.number("weight_initial").unwrap_or(1.0),
                smoothness: self.number("weight_smoothness").unwrap_or(1.0),
                periodic: 1.0,
            },
            periodic: self.number("periodic").unwrap_or(false),
            ..Options::default()
        }
    }

    fn view(&self, name: &str) -> View<'_, f64> {
        let (shape, values) = &self.tensors[name];
        View::new(shape, values)
    }

    fn problem(&self) -> Problem<'_, f64> {
        Problem::builder()
            .batch(self.number("batch").unwrap())
            .points(self.number("points").unwrap())
            .coefficients(self.view("coefficients"))
            .rhs(self.view("rhs"))
            .initial_values(self.view("initial_values"))
            .steps(self.view("steps"))
            .build()
            .unwrap()
    }
}

pub fn solutions_and_gradients_agree_with_the_published_implementations(subject: &Subject) {
    let mut failures = Vec::new();
    for golden in Golden::all() {
        let problem = golden.problem();
        let mut solver = subject.solver(problem.shape(), &golden.options());
        let solution = solver.solve(&problem).unwrap();
        assert!(solution.status.iter().all(|status| status.is_ok()), "{}", golden.name);
        let mut check = |what: &str, actual: &[f64], tolerance: f64| {
            let deviation = difference(actual, golden.view(what).data);
            println!("{} {what}: {deviation:.1e}", golden.name);
            let agrees = deviation <= tolerance;
            if !agrees {
                failures.push(format!("{} {what}: {deviation:.1e}", golden.name));
            }
        };
        check("solution", &solution.values, 1e-8);
        if golden.tensors.contains_key("epsilon") {
            check("epsilon", &solution.epsilon, 1e-8);
        }
        let cotangent = Cotangent { values: golden.view("cotangent").data, epsilon: None };
        let gradients = solver.vjp(&problem, &cotangent).unwrap();
        check("grad_coefficients", &gradients.inputs.coefficients, 1e-6);
        check("grad_rhs", &gradients.inputs.rhs, 1e-6);
        check("grad_initial_values", &gradients.inputs.initial_values, 1e-6);
        check("grad_steps", &gradients.inputs.steps, 1e-6);
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
