//! `--device`: the simulated GPU through the program.

use crate::{DONE, MISUSE, Run, Workspace, repository};

impl Workspace {
    /// Runs the program where the simulated driver is the system's.
    fn run_simulated(&self, device: &str, arguments: &[&str]) -> Run {
        let libraries = self.path("libraries");
        cuda_sim::simulator::link_into(&libraries).unwrap();
        let mut command = self.command(arguments);
        command.env("LD_LIBRARY_PATH", libraries).env("CUDA_SIM_DEVICE", device);
        command.output().unwrap().into()
    }
}

#[test]
fn a_golden_file_is_solved_on_the_device() {
    let workspace = Workspace::new();
    let problem = repository("tests/golden/ls_scalar_order2.safetensors");
    let problem = problem.to_str().unwrap();
    let arguments = |device: &'static str, output: &'static str| {
        ["solve", problem, "--device", device, "-o", output]
    };
    workspace.run(&arguments("cpu", "cpu.safetensors")).expect(DONE);
    let run = workspace.run_simulated("h100", &arguments("cuda:0", "cuda.safetensors"));
    let run = run.expect(DONE);
    assert!(!run.stderr.contains("[cuda-sim]"), "{}", run.stderr);
    let read = |name: &str| {
        let bytes = std::fs::read(workspace.path(name)).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        ["solution", "grad_coefficients", "grad_steps"].map(|name| {
            let data = tensors.tensor(name).unwrap().data().as_chunks::<8>().0.to_vec();
            data.into_iter().map(f64::from_le_bytes).collect::<Vec<_>>()
        })
    };
    for (cpu, cuda) in read("cpu.safetensors").iter().zip(&read("cuda.safetensors")) {
        let scale = cpu.iter().fold(0.0_f64, |scale, value| scale.max(value.abs()));
        assert!(cpu.iter().zip(cuda).all(|(a, b)| (a - b).abs() <= 1e-8 * scale));
    }
}

#[test]
fn a_device_that_is_not_there_is_misuse_and_says_why() {
    let workspace = Workspace::new();
    let bench = ["bench", "--batch", "1", "--points", "3", "--states", "1", "--order", "1"];
    let with = |device: &'static str| [&bench[..], &["--device", device]].concat();
    let message = workspace.run_simulated("none", &with("cuda")).expect(MISUSE).stderr;
    assert!(message.contains("opening CUDA device 0: no CUDA device was found"), "{message}");
    let message = workspace.run_simulated("h100", &with("cuda:7")).expect(MISUSE).stderr;
    assert!(message.contains("this machine has device 0 only"), "{message}");
    let message = workspace.run(&with("gpu")).expect(MISUSE).stderr;
    assert!(message.contains("expected cpu, cuda or cuda:N"), "{message}");
    let mut hidden = workspace.command(&with("cuda"));
    hidden.env("LD_LIBRARY_PATH", "").env("CUDA_VISIBLE_DEVICES", "");
    let message = Run::from(hidden.output().unwrap()).expect(MISUSE).stderr;
    assert!(message.starts_with("mnn: while opening CUDA device 0: no CUDA d"), "{message}");

    // What can be refused without the device is refused without it.
    let joint = ["discover", "a.csv", "--method", "joint", "--device", "cuda:7"];
    let message = workspace.run_simulated("none", &joint).expect(MISUSE).stderr;
    let expected = "mnn: --device: the joint method runs on the CPU; leave --device out, or take \
                    the network method (--method network); got cuda:7\n";
    assert_eq!(message, expected);
    let message = workspace.run_simulated("none", &["discover", "a.csv", "--device", "cuda"]);
    assert!(message.expect(MISUSE).stderr.starts_with("mnn: a.csv: "), "the table comes first");
}

/// x' = −0.5 x, with a little noise that has no period. On a GPU the network method is the default.
#[test]
fn the_network_method_finds_the_same_equation_on_the_device() {
    let workspace = Workspace::new();
    let mut table = "t,x\n".to_owned();
    for i in 0..41 {
        let t = 0.1 * f64::from(i);
        let noise = 1e-3 * (12.9898 * f64::from(i * i)).sin();
        table += &format!("{t},{}\n", 2.0 * (-0.5 * t).exp() + noise);
    }
    std::fs::write(workspace.path("decay.csv"), table).unwrap();
    let arguments = ["discover", "decay.csv", "--degree", "1"];
    let network = ["--method", "network", "--quiet"];
    let cpu = workspace.run(&[&arguments[..], &network].concat()).expect(DONE);
    let cuda = [&arguments[..], &["--device", "cuda"]].concat();
    let cuda = workspace.run_simulated("h100", &cuda).expect(DONE);
    assert!(cpu.stdout.starts_with("x' = -0.5"), "{}", cpu.stdout);
    assert_eq!(cuda.stdout, cpu.stdout);
    let notes = |text: &str| cuda.stderr.lines().filter(|line| line.contains(text)).count();
    assert_eq!(notes("the network method, on cuda:0: the joint method"), 1, "{}", cuda.stderr);
    assert_eq!(notes("[cuda-sim]"), 0, "{}", cuda.stderr);
}

#[test]
fn info_lists_devices_and_what_is_missing() {
    let workspace = Workspace::new();
    let text = workspace.run_simulated("h100", &["info"]).expect(DONE).stdout;
    assert!(text.contains("cuda:0 (") && text.contains("H100"), "{text}");
    assert!(text.contains("\nkernels:       compute_80"), "{text}");
    let text = workspace.run_simulated("none", &["info"]).expect(DONE).stdout;
    assert!(text.contains("no cuda:0 (") && text.contains("no CUDA device was found"), "{text}");
}
