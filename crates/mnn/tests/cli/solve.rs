//! `mnn solve`: the golden files through the program, and every kind of file that cannot be used.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::{DONE, MISUSE, NUMERICAL_FAILURE, Workspace, repository};

/// A safetensors file in memory.
#[derive(Clone, Debug, Default)]
struct File {
    tensors: HashMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
    metadata: HashMap<String, String>,
}

impl File {
    fn parse(bytes: &[u8]) -> Self {
        let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
        let tensors = SafeTensors::deserialize(bytes).unwrap();
        let tensors = tensors.iter().map(|(name, view)| {
            let content = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
            (name.to_owned(), content)
        });
        File { tensors: tensors.collect(), metadata: header.metadata().clone().unwrap_or_default() }
    }

    fn golden(name: &str) -> Self {
        let path = repository(&format!("tests/golden/{name}.safetensors"));
        File::parse(&std::fs::read(path).unwrap())
    }

    fn bytes(&self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, (dtype, shape, bytes))| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        safetensors::serialize(views, Some(self.metadata.clone())).unwrap()
    }

    fn set(&mut self, name: &str, shape: &[usize], values: &[f64]) -> &mut Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensors.insert(name.into(), (Dtype::F64, shape.to_vec(), bytes));
        self
    }

    fn meta(&mut self, key: &str, value: &str) -> &mut Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    fn f64s(&self, name: &str) -> Vec<f64> {
        let (dtype, _, bytes) = &self.tensors[name];
        match dtype {
            Dtype::F64 => bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            Dtype::F32 => {
                bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect()
            }
            other => panic!("{other}"),
        }
    }

    /// The same numbers in another type.
    fn converted(&self, dtype: Dtype, convert: impl Fn(f64) -> Vec<u8>) -> Self {
        let mut file = self.clone();
        for (name, entry) in &mut file.tensors {
            let bytes = self.f64s(name).into_iter().flat_map(&convert).collect();
            *entry = (dtype, entry.1.clone(), bytes);
        }
        file
    }
}

/// u'' + u = 0 on 5 points, one system.
fn small() -> File {
    let mut file = File::default();
    file.set("coefficients", &[1, 1, 1, 1, 3], &[1.0, 0.0, 1.0])
        .set("rhs", &[1, 5, 1], &[0.0; 5])
        .set("initial_values", &[1, 1, 1, 2], &[0.0, 1.0])
        .set("steps", &[1, 1], &[0.1]);
    file
}

fn solve(file: &File, flags: &[&str]) -> File {
    let workspace = Workspace::new();
    workspace.write("p", file.bytes());
    workspace.run(&[&["solve", "p", "-o", "r"][..], flags].concat()).expect(DONE);
    assert_eq!(workspace.files(), ["p", "r"]);
    File::parse(&std::fs::read(workspace.path("r")).unwrap())
}

#[track_caller]
fn assert_close(actual: &File, expected: &File, name: &str, tolerance: f64) {
    assert_eq!(actual.tensors[name].1, expected.tensors[name].1, "shape of {name}");
    let (actual, expected) = (actual.f64s(name), expected.f64s(name));
    let scale = expected.iter().fold(0.0_f64, |scale, value| scale.max(value.abs()));
    for (a, e) in actual.iter().zip(&expected) {
        assert!((a - e).abs() <= tolerance * scale, "{name}: {a} instead of {e}");
    }
}

#[test]
fn golden_files_come_out_as_published() {
    let mut files = 0;
    for entry in std::fs::read_dir(repository("tests/golden")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "safetensors") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let golden = File::golden(name);
        let result = solve(&golden, &[]);
        assert_close(&result, &golden, "solution", 1e-8);
        assert_eq!(result.tensors.contains_key("epsilon"), name.starts_with("eps_"));
        if name.starts_with("eps_") {
            assert_close(&result, &golden, "epsilon", 1e-8);
        }
        for input in ["coefficients", "rhs", "initial_values", "steps"] {
            assert_close(&result, &golden, &format!("grad_{input}"), 1e-6);
        }
        assert!(result.tensors["status"].2.iter().all(|status| *status == 0));
        assert_eq!(result.metadata["smoothness"], golden.metadata["smoothness"]);
        files += 1;
    }
    assert_eq!(files, 15);
}

#[test]
fn narrow_types_are_computed_in_f32() {
    let golden = File::golden("ls_scalar_order1");
    let f32s = golden.converted(Dtype::F32, |value| (value as f32).to_le_bytes().to_vec());
    let result = solve(&f32s, &[]);
    assert_eq!(result.tensors["solution"].0, Dtype::F32);
    assert_close(&result, &golden, "solution", 1e-4);
    assert_close(&result, &golden, "grad_steps", 1e-3);

    let halves =
        small().converted(Dtype::F16, |value| half::f16::from_f64(value).to_le_bytes().to_vec());
    let brains =
        small().converted(Dtype::BF16, |value| half::bf16::from_f64(value).to_le_bytes().to_vec());
    let expected = solve(&small(), &[]);
    for (file, tolerance) in [(halves, 1e-3), (brains, 1e-2)] {
        let result = solve(&file, &[]);
        assert_eq!(result.tensors["solution"].0, Dtype::F32);
        assert_close(&result, &expected, "solution", tolerance);
    }
}

#[test]
fn flags_override_the_metadata() {
    let golden = File::golden("ls_central");
    let mut other = golden.clone();
    other.meta("smoothness", "taylor").meta("weight_equation", "3").meta("periodic", "true");
    let flags = ["--smoothness", "taylor_central", "--weight-equation", "1", "--periodic", "false"];
    assert_eq!(solve(&other, &flags).tensors, solve(&golden, &[]).tensors);

    let golden = File::golden("eps_scalar_order2");
    let mut other = golden.clone();
    other.metadata.retain(|key, _| !["formulation", "gamma", "alpha"].contains(&key.as_str()));
    let flags = ["--formulation", "shared_epsilon", "--gamma", "0.5", "--alpha", "0.1"];
    assert_eq!(solve(&other, &flags).tensors, solve(&golden, &[]).tensors);
}

/// Who forgets the extra derivative is told what it costs.
#[test]
fn hermite_rows_of_second_order_are_pointed_out() {
    let told = |extra: &str| {
        let workspace = Workspace::new();
        workspace.write("p", small().bytes());
        let flags = ["solve", "p", "-o", "r", "--extra-derivatives", extra];
        workspace.run(&flags).expect(DONE).stderr.contains("of second order")
    };
    assert!(told("0"));
    assert!(!told("1"));
}

#[test]
fn hermite_rows_carry_extra_derivatives() {
    let mut file = small();
    file.meta("extra_derivatives", "1").meta("order", "2").set(
        "cotangent",
        &[1, 5, 1, 4],
        &[1.0; 20],
    );
    let result = solve(&file, &[]);
    assert_eq!(result.tensors["solution"].1, [1, 5, 1, 4]);
    assert_eq!(result.tensors["grad_coefficients"].1, [1, 1, 1, 1, 3]);
    // u = sin t, as far as fourth order sees it.
    let end = result.f64s("solution")[16];
    assert!((end - f64::sin(0.4)).abs() < 2e-6, "{end}");
    for (key, value) in [
        ("smoothness", "hermite"),
        ("roughness", "0.001"),
        ("scaling", "auto"),
        ("extra_derivatives", "1"),
        ("factorization", "auto"),
    ] {
        assert_eq!(result.metadata[key], value);
    }

    // The flags do what the metadata do.
    let mut other = file.clone();
    other.meta("extra_derivatives", "2").meta("scaling", "unit").meta("roughness", "0.5");
    other.meta("smoothness", "taylor").meta("factorization", "square_root");
    let flags = ["--extra-derivatives", "1", "--scaling", "balanced", "--roughness", "0.001"];
    let more = ["--smoothness", "hermite", "--factorization", "cholesky", "--refinement", "1"];
    assert_eq!(solve(&other, &[flags, more].concat()).tensors, result.tensors);
    assert_ne!(solve(&file, &["--roughness", "0.5"]).tensors, result.tensors);
    assert_ne!(solve(&file, &["--scaling", "unit"]).tensors, result.tensors);
}

#[test]
fn a_solution_that_grows_too_much_is_pointed_out_and_can_be_followed() {
    // u' = 20u, u(0) = 1 on [0, 1].
    let mut growing = File::default();
    growing
        .set("coefficients", &[1, 1, 1, 1, 2], &[-20.0, 1.0])
        .set("rhs", &[1, 101, 1], &[0.0; 101])
        .set("initial_values", &[1, 1, 1, 1], &[1.0])
        .set("steps", &[1, 1], &[0.01])
        .meta("extra_derivatives", "1");
    let workspace = Workspace::new();
    workspace.write("p", growing.bytes());
    let run = |flags: &[&str]| {
        let run = workspace.run(&[&["solve", "p", "-o", "r"][..], flags].concat()).expect(DONE);
        let result = File::parse(&std::fs::read(workspace.path("r")).unwrap());
        let end = result.f64s("solution")[100 * 3];
        (run.stderr, end / 20.0_f64.exp(), result.f64s("initial_defect")[0])
    };
    let (message, end, missed) = run(&[]);
    assert!(message.contains("miss their initial values"), "{message}");
    assert!(end < 1e-6 && missed > 1e-3, "{end:e}, {missed:e}");
    let (message, end, missed) = run(&["--follow-growth", "true"]);
    assert!(!message.contains("miss their initial values"), "{message}");
    assert!((end - 1.0).abs() < 1e-3 && missed < 1e-6, "{end:e}, {missed:e}");
}

#[test]
fn sizes_are_read_off_the_tensors() {
    let result = solve(&small(), &[]);
    assert_eq!(result.tensors["solution"].1, [1, 5, 1, 3]);
    let mut shared = small();
    shared.set("rhs", &[1, 1, 1], &[0.0]).meta("points", "5");
    assert_eq!(solve(&shared, &[]).tensors, result.tensors);
    let mut steps = small();
    steps.set("rhs", &[1, 1, 1], &[0.0]).set("steps", &[1, 4], &[0.1; 4]);
    assert_eq!(solve(&steps, &[]).tensors, result.tensors);
}

#[test]
fn a_broken_system_leaves_the_others_and_exit_code_1() {
    let mut file = small();
    file.set("steps", &[4, 1], &[0.1, -0.1, 0.1, f64::NAN]);
    let workspace = Workspace::new();
    workspace.write("p", file.bytes());
    let run = workspace.run(&["solve", "p", "-o", "r"]).expect(NUMERICAL_FAILURE);
    assert_eq!(
        run.stderr,
        "2 of 4 systems solved in f64: solution (B, N, K, Q) = (4, 5, 1, 3) in r\n\
         mnn: system 1: step 0 is not positive\n\
         mnn: system 3: not all values of steps are finite\n\
         mnn: hermite rows are of second order here, of fourth with --extra-derivatives 1\n"
    );
    let result = File::parse(&std::fs::read(workspace.path("r")).unwrap());
    assert_eq!(result.tensors["status"].2, [0, 3, 0, 2]);
    let values = result.f64s("solution");
    assert_eq!(values[..15], solve(&small(), &[]).f64s("solution"));
    assert_eq!(values[..15], values[30..45]);
    assert!(values[15..30].iter().chain(&values[45..]).all(|value| value.is_nan()));
}

#[test]
fn a_broken_cotangent_is_reported_and_leaves_the_others() {
    let of_second = |value: f64| {
        let mut file = small();
        let mut cotangent = vec![1.0; 4 * 5 * 3];
        cotangent[15..30].fill(value);
        file.set("steps", &[4, 1], &[0.1; 4]).set("cotangent", &[4, 5, 1, 3], &cotangent);
        let workspace = Workspace::new();
        workspace.write("p", file.bytes());
        let run = workspace.run(&["solve", "p", "-o", "r"]);
        (run, File::parse(&std::fs::read(workspace.path("r")).unwrap()))
    };
    let (whole, without) = of_second(0.0);
    whole.expect(DONE);
    assert_eq!(without.tensors["grad_status"].2, [0; 4]);
    for (value, code, reason) in [
        (f64::NAN, 2, "not all values of the cotangent are finite"),
        (f64::MAX, 4, "the numbers overflow, the result is not finite"),
    ] {
        let (run, result) = of_second(value);
        let run = run.expect(NUMERICAL_FAILURE);
        let message = format!("\nmnn: system 1: no gradients: {reason}\n");
        assert!(run.stderr.starts_with("4 of 4 systems solved"), "{}", run.stderr);
        assert!(run.stderr.contains(&message), "{}", run.stderr);
        assert_eq!(result.tensors["grad_status"].2, [0, code, 0, 0]);
        for name in ["coefficients", "rhs", "initial_values", "steps"] {
            let name = format!("grad_{name}");
            assert_eq!(result.f64s(&name), without.f64s(&name), "{name}");
        }
    }
}

#[test]
fn malformed_files_get_their_message() {
    let with = |change: &dyn Fn(&mut File)| {
        let mut file = small();
        change(&mut file);
        file.bytes()
    };
    let whole = small().bytes();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "not a complete safetensors file: "),
        ("header cut", whole[..20].to_vec(), "not a complete safetensors file: "),
        ("data cut", whole[..whole.len() - 1].to_vec(), "not a complete safetensors file: "),
        ("too long", [&whole[..], b"x"].concat(), "not a complete safetensors file: "),
        ("text", b"t,x\n0,1\n1,2\n3,4\n".to_vec(), "not a complete safetensors file: "),
        (
            "no coefficients",
            with(&|file| drop(file.tensors.remove("coefficients"))),
            "tensor `coefficients` is missing",
        ),
        ("no rhs", with(&|file| drop(file.tensors.remove("rhs"))), "tensor `rhs` is missing"),
        (
            "no initial values",
            with(&|file| drop(file.tensors.remove("initial_values"))),
            "tensor `initial_values` is missing (if there are none, shape (1, 0, K, 0))",
        ),
        ("no steps", with(&|file| drop(file.tensors.remove("steps"))), "tensor `steps` is missing"),
        (
            "unknown tensor",
            with(&|file| {
                file.set("right", &[1], &[0.0]);
            }),
            "unknown tensor `right`; known: coefficients, rhs, initial_values, steps, cotangent",
        ),
        (
            "integers",
            with(&|file| file.tensors.get_mut("rhs").unwrap().0 = Dtype::I64),
            "tensor `rhs`: expected F64, F32, F16 or BF16, got I64",
        ),
        (
            "mixed precision",
            with(&|file| {
                let zeros = (Dtype::F32, vec![1, 5, 1], vec![0; 20]);
                file.tensors.insert("rhs".into(), zeros);
            }),
            "tensors `coefficients` and `rhs`: one is F64, one is not",
        ),
        (
            "axes missing",
            with(&|file| {
                file.set("coefficients", &[3], &[1.0, 0.0, 1.0]);
            }),
            "tensor coefficients: expected shape (B or 1, N or 1, E, K, Qc), got [3]",
        ),
        (
            "wrong equations",
            with(&|file| {
                file.set("rhs", &[1, 5, 2], &[0.0; 10]);
            }),
            "tensor rhs: expected shape (B or 1, N or 1, E) = (1 or 1, 5 or 1, 1), got [1, 5, 2]",
        ),
        (
            "wrong rhs",
            with(&|file| {
                file.set("coefficients", &[1, 4, 1, 1, 3], &[1.0; 12]);
            }),
            "tensor rhs: expected shape (B or 1, N or 1, E) = (1 or 1, 4 or 1, 1), got [1, 5, 1]",
        ),
        (
            "wrong steps",
            with(&|file| {
                file.set("steps", &[1, 5], &[0.1; 5]);
            }),
            "tensor steps: expected shape (B or 1, N-1 or 1, K or 1) = (1 or 1, 4 or 1, 1 or 1), \
             got [1, 5]",
        ),
        (
            "wrong cotangent",
            with(&|file| {
                file.set("cotangent", &[1, 5, 1, 2], &[0.0; 10]);
            }),
            "tensor cotangent: expected shape (B, N, K, Q) = [1, 5, 1, 3], got [1, 5, 1, 2]",
        ),
        (
            "empty axis",
            with(&|file| {
                file.set("coefficients", &[1, 1, 0, 1, 3], &[]);
            }),
            "tensor coefficients: expected shape (B or 1, N or 1, E, K, Qc) = (1 or 1, 5 or 1, at \
             least 1, at least 1, at least 2), got [1, 1, 0, 1, 3]",
        ),
        (
            "all shared",
            with(&|file| {
                file.set("rhs", &[1, 1, 1], &[0.0]);
            }),
            "every tensor is shared over time: metadata `points` must say how many points",
        ),
        (
            "one point",
            with(&|file| {
                file.set("rhs", &[1, 1, 1], &[0.0]).meta("points", "1");
            }),
            "points: there must be at least two time points, got 1",
        ),
        (
            "wrong size",
            with(&|file| {
                file.meta("order", "3");
            }),
            "metadata `order` is 3, the tensors have 2",
        ),
        (
            "size not a number",
            with(&|file| {
                file.meta("states", "one");
            }),
            "metadata `states`: expected a whole number, got \"one\"",
        ),
        (
            "unknown key",
            with(&|file| {
                file.meta("smoothnes", "taylor");
            }),
            "unknown metadata `smoothnes`; known: formulation, gamma, alpha, smoothness, ",
        ),
        (
            "unknown smoothness",
            with(&|file| {
                file.meta("smoothness", "rough");
            }),
            "metadata `smoothness`: expected taylor, taylor_hold, taylor_central, hermite, \
             got \"rough\"",
        ),
        (
            "unknown formulation",
            with(&|file| {
                file.meta("formulation", "x");
            }),
            "metadata `formulation`: expected least_squares, shared_epsilon, got \"x\"",
        ),
        (
            "no gamma",
            with(&|file| {
                file.meta("formulation", "shared_epsilon");
            }),
            "formulation shared_epsilon needs `gamma`",
        ),
        (
            "gamma",
            with(&|file| {
                file.meta("formulation", "shared_epsilon").meta("gamma", "nan");
            }),
            "metadata `gamma`: expected a finite number, got \"nan\"",
        ),
        (
            "negative weight",
            with(&|file| {
                file.meta("weight_initial", "-1");
            }),
            "metadata `weight_initial`: expected a number that is not negative, got \"-1\"",
        ),
        (
            "periodic",
            with(&|file| {
                file.meta("periodic", "maybe");
            }),
            "metadata `periodic`: expected true or false, got \"maybe\"",
        ),
        (
            "roughness",
            with(&|file| {
                file.meta("roughness", "-0.1");
            }),
            "metadata `roughness`: expected a number that is not negative, got \"-0.1\"",
        ),
        (
            "scaling",
            with(&|file| {
                file.meta("scaling", "half");
            }),
            "metadata `scaling`: expected auto, unit, balanced, got \"half\"",
        ),
        (
            "extra derivatives",
            with(&|file| {
                file.meta("extra_derivatives", "17");
            }),
            "metadata `extra_derivatives`: expected a whole number of at most 16, got \"17\"",
        ),
        (
            "factorization",
            with(&|file| {
                file.meta("factorization", "lu");
            }),
            "metadata `factorization`: expected auto, cholesky, square_root, got \"lu\"",
        ),
        (
            "refinement",
            with(&|file| {
                file.meta("refinement", "-1");
            }),
            "metadata `refinement`: expected a whole number, got \"-1\"",
        ),
    ];
    for (name, bytes, message) in cases {
        let workspace = Workspace::new();
        workspace.write("p", bytes).write("r", "kept");
        let run = workspace.run(&["solve", "p", "-o", "r"]);
        assert!(run.stderr.starts_with(&format!("mnn: p: {message}")), "{name}: {}", run.stderr);
        assert_eq!((run.code, run.stdout.as_str()), (MISUSE, ""), "{name}");
        assert_eq!(workspace.files(), ["p", "r"], "{name}");
        assert_eq!(std::fs::read(workspace.path("r")).unwrap(), b"kept", "{name}");
    }
}

#[test]
fn absurd_sizes_are_refused() {
    let mut file = small();
    file.set("rhs", &[1, 1, 1], &[0.0]).meta("points", "4000000000000000000");
    let workspace = Workspace::new();
    workspace.write("p", file.bytes());
    let run = workspace.run(&["solve", "p", "-o", "r"]).expect(MISUSE);
    assert!(run.stderr.contains("bytes of memory cannot be had"), "{}", run.stderr);
    assert_eq!(workspace.files(), ["p"]);
}

#[test]
fn wrong_flags_and_paths_are_named() {
    let workspace = Workspace::new();
    workspace.write("p", small().bytes());
    for (flags, message) in [
        (
            &["--gamma", "x", "--formulation", "shared_epsilon"][..],
            "--gamma: expected a finite number, got \"x\"",
        ),
        (
            &["--weight-smoothness", "-1"],
            "--weight-smoothness: expected a number that is not negative, got \"-1\"",
        ),
        (
            &["--smoothness", "x"],
            "--smoothness: expected taylor, taylor_hold, taylor_central, hermite, \
             got \"x\"",
        ),
    ] {
        let run = workspace.run(&[&["solve", "p", "-o", "r"][..], flags].concat()).expect(MISUSE);
        assert_eq!(run.stderr, format!("mnn: {message}\n"));
    }
    let run = workspace.run(&["solve", "./p", "-o", "-"]).expect(MISUSE);
    assert!(run.stderr.starts_with("mnn: --output: "), "{}", run.stderr);
    let run = workspace.run(&["solve", "absent", "-o", "r"]).expect(MISUSE);
    assert!(run.stderr.starts_with("mnn: absent: "), "{}", run.stderr);
    let run = workspace.run(&["solve", "p", "-o", "absent/r"]).expect(MISUSE);
    assert!(run.stderr.starts_with("mnn: absent/r: "), "{}", run.stderr);
    assert_eq!(workspace.files(), ["p"]);
}
