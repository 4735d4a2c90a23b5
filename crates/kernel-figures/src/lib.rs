//! Measures the CUDA kernels without a GPU, writes the figures to `docs/kernels.md`, and compares
//! them with those that the document states.

mod cache;
pub mod document;
pub mod estimate;
pub mod flow;
pub mod latency;
pub mod machine_code;
pub mod minimum;
pub mod misses;
pub mod pipeline;
pub mod resources;
pub mod targets;
pub mod timing;
pub mod workloads;

use std::{
    fs,
    path::{Path, PathBuf},
};

use cuda_sim::simulator::Simulator;

use document::{Content, Stated, StatedCounts, resource_cells};
use misses::{Direction, Place};
use resources::{Kernels, Module, assemble_all, find_ptxas, version_of};
use targets::{Figure, MOST_LAUNCHES};
use timing::Timing;
use workloads::{Measured, WORKLOADS, Workload};

/// The reasons for missed targets.
const MISSES: &str = include_str!("../misses.txt");

/// Returns the path of `docs/kernels.md` of this workspace.
pub fn document_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/kernels.md")
}

/// Measures everything and returns the document.
///
/// # Errors
/// The message says what fails, also when a kernel spills, a miss has no reason or a reason no
/// miss.
pub fn generate() -> Result<String, String> {
    let ptxas = find_ptxas()?;
    let version = version_of(&ptxas)?;
    let modules = Module::embedded()?;
    let kernels = assemble_all(&ptxas, &version, &modules.iter().collect::<Vec<_>>())?;
    let modules: Vec<(Module, Kernels)> = modules.into_iter().zip(kernels).collect();
    // What takes only the assembler fails before anything is measured.
    refuse_spills(modules.iter().map(|(_, kernels)| kernels))?;

    let simulator = Simulator::preload()?;
    let mut measured = Vec::new();
    for workload in WORKLOADS {
        eprintln!("measuring {workload}");
        measured.push(workload.measure(simulator)?);
    }
    let reasons = misses::read(MISSES)?;
    let missed: Vec<Place> = measured.iter().flat_map(Measured::missed).collect();
    misses::match_up(&reasons, &missed)?;
    let timing = Timing::new()?;
    let estimated =
        measured.iter().map(|m| timing.of_workload(m)).collect::<Result<Vec<_>, _>>()?;
    let content = Content {
        version: &version,
        modules: &modules,
        measured: &measured,
        reasons: &reasons,
        estimated: &estimated,
    };
    content.write()
}

/// Prints figures, instructions and estimated times of the workloads whose names contain `part`, which
/// is enough while a kernel is being changed.
///
/// # Errors
/// If a workload fails.
pub fn print_figures(part: &str) -> Result<(), String> {
    let chosen = |workload: &&Workload| workload.to_string().contains(part);
    let simulator = Simulator::preload()?;
    let timing = Timing::new()?;
    for workload in WORKLOADS.iter().filter(chosen) {
        let measured = workload.measure(simulator)?;
        let estimated = timing.of_workload(&measured)?;
        for direction in Direction::ALL {
            let run = measured.run(direction);
            print!("{workload}, {}: {} launches", direction.name(), run.launches.len());
            for (figure, value) in Figure::ALL.into_iter().zip(run.figures()) {
                print!(", {} {value:.2}", figure.name());
            }
            print!(", {} warp instructions", run.sums().total_warp_instructions());
            let estimated = estimated[direction as usize];
            let times = estimated.map(|e| document::microseconds(e.seconds));
            let pace = estimated.map(|e| format!("{:.1}", e.cycles / e.instructions));
            println!(
                ", estimated {} µs, {} cycles an instruction",
                times.join(" / "),
                pace.join(" / ")
            );
        }
        println!("    {}", measured.path);
    }
    Ok(())
}

/// Measures everything and writes the document.
///
/// # Errors
/// Those of [`generate`], and an error if the file cannot be written.
pub fn write() -> Result<(), String> {
    let (path, text) = (document_path(), generate()?);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let partial = path.with_extension("partial");
    fs::write(&partial, text).and_then(|()| fs::rename(&partial, &path)).map_err(failed)
}

/// Compares the checked-in document with the kernels of this build: it checks what the assembler
/// says of every module whose text has changed, the figures of the workloads that are marked as
/// tested, and that every miss has a reason.
///
/// # Errors
/// The message lists everything that is worse than stated, one item a line.
pub fn check() -> Result<(), String> {
    let path = document_path();
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let stated = document::read(&text)?;
    let mut complaints = check_resources(&stated)?;
    complaints.extend(check_reasons(&stated).err());

    let simulator = Simulator::preload()?;
    for workload in WORKLOADS.iter().filter(|workload| workload.tested) {
        complaints.extend(compare_figures(&stated, &workload.measure(simulator)?));
    }
    if complaints.is_empty() {
        return Ok(());
    }
    complaints.push("if this is as it should be: cargo xtask kernels".into());
    Err(complaints.join("\n"))
}

fn check_resources(stated: &Stated) -> Result<Vec<String>, String> {
    let ptxas = find_ptxas()?;
    let version = version_of(&ptxas)?;
    let modules = Module::embedded()?;
    // The same assembler says the same about the same text, so that only changed texts are
    // assembled.
    let known = |module: &Module| {
        let same = |stated: &document::StatedModule| {
            stated.name == module.name && stated.fingerprint == module.fingerprint
        };
        version == stated.version && stated.modules.iter().any(same)
    };
    let changed: Vec<&Module> = modules.iter().filter(|module| !known(module)).collect();
    let kernels = assemble_all(&ptxas, &version, &changed)?;
    refuse_spills(&kernels)?;
    let mut complaints: Vec<String> = stated.modules.iter().flat_map(stated_spills).collect();
    for (module, kernels) in changed.iter().zip(&kernels) {
        // The registers that another assembler assigns are not those of the table.
        if version == stated.version {
            complaints.extend(compare_resources(stated, module, kernels));
        }
    }
    for stated in &stated.modules {
        if !modules.iter().any(|module| module.name == stated.name) {
            complaints
                .push(format!("docs/kernels.md has the module {}, which is gone", stated.name));
        }
    }
    Ok(complaints)
}

/// Returns an error that names every kernel that spills, if there is one.
fn refuse_spills<'a>(modules: impl IntoIterator<Item = &'a Kernels>) -> Result<(), String> {
    let spills: Vec<String> = modules.into_iter().flat_map(spilling).collect();
    if spills.is_empty() { Ok(()) } else { Err(spills.join("\n")) }
}

fn spilling(kernels: &Kernels) -> Vec<String> {
    let mut complaints = Vec::new();
    for (kernel, usages) in kernels {
        for ((architecture, _), usage) in resources::architectures().iter().zip(usages) {
            let spills = usage.spill_stores + usage.spill_loads;
            if spills > 0 {
                complaints.push(format!("{kernel} spills {spills} bytes on {architecture}"));
            }
        }
    }
    complaints
}

fn stated_spills(module: &document::StatedModule) -> Vec<String> {
    let spills = |(_, cells): &&(String, Vec<u32>)| cells[SPILLS] > 0;
    let text = |(kernel, _): &(String, Vec<u32>)| format!("docs/kernels.md: {kernel} spills");
    module.kernels.iter().filter(spills).map(text).collect()
}

/// The place of the spills in [`resource_cells`].
const SPILLS: usize = 3;

/// Returns what is worse than stated: more registers, stack or shared memory, and kernels that are
/// new or gone.
fn compare_resources(stated: &Stated, module: &Module, kernels: &Kernels) -> Vec<String> {
    let mut complaints = Vec::new();
    let stated = stated.modules.iter().find(|stated| stated.name == module.name);
    let stated = stated.map_or(&[][..], |module| &module.kernels);
    for (kernel, usage) in kernels {
        let Some((_, cells)) = stated.iter().find(|(name, _)| name == kernel) else {
            complaints.push(format!("docs/kernels.md lacks the kernel {kernel}"));
            continue;
        };
        let now = resource_cells(usage);
        if now.iter().zip(cells).any(|(now, stated)| now > stated) {
            complaints.push(format!("{kernel} takes {now:?}; docs/kernels.md states {cells:?}"));
        }
    }
    for (kernel, _) in stated {
        if !kernels.contains_key(kernel) {
            complaints.push(format!("docs/kernels.md has the kernel {kernel}, which is gone"));
        }
    }
    complaints
}

/// Checks that every figure that the document states and that misses its target has a reason, and
/// that no other has one.
fn check_reasons(stated: &Stated) -> Result<(), String> {
    let mut missed = Vec::new();
    for StatedCounts { direction, problem, figures, .. } in &stated.counted {
        for (figure, value) in Figure::ALL.into_iter().zip(figures) {
            if figure.target().is_missed_by(*value) {
                missed.push(Place { figure, direction: *direction, problem: problem.clone() });
            }
        }
    }
    misses::match_up(&misses::read(MISSES)?, &missed)
}

fn compare_figures(stated: &Stated, measured: &Measured) -> Vec<String> {
    let mut complaints = Vec::new();
    let problem = measured.workload.to_string();
    for direction in Direction::ALL {
        let of_this = |row: &&StatedCounts| row.direction == direction && row.problem == problem;
        let Some(stated) = stated.counted.iter().find(of_this) else {
            complaints.push(format!("docs/kernels.md lacks the {} of {problem}", direction.name()));
            continue;
        };
        let run = measured.run(direction);
        let (launches, most) = (run.launches.len(), MOST_LAUNCHES.min(stated.launches));
        if launches > most {
            let direction = direction.name();
            complaints.push(format!("{direction} of {problem}: {launches} launches, not {most}"));
        }
        for ((figure, now), stated) in
            Figure::ALL.into_iter().zip(run.figures()).zip(stated.figures)
        {
            if figure.target().is_worse(now, stated) {
                let place = Place { figure, direction, problem: problem.clone() };
                complaints.push(format!("{place}: {now:.3}; docs/kernels.md states {stated}"));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use cuda_sim::{
        assembler::Usage, counters::LaunchCounters, exec::LaunchConfig, simulator::LaunchRecord,
    };
    use document::StatedModule;
    use minimum::Least;
    use std::collections::BTreeMap;
    use workloads::Run;

    #[test]
    fn spills_and_more_registers_are_found() {
        let module = Module::new("sums", vec![".version 8.8\n".into()]);
        let usage = Usage { registers: 32, ..Usage::default() };
        let spilled = Usage { spill_stores: 8, spill_loads: 4, stack: 16, ..usage };
        let kernels = Kernels::from([("sum".to_owned(), [usage, usage, spilled])]);
        assert_eq!(refuse_spills([&kernels]), Err("sum spills 12 bytes on sm_100".into()));

        let stated = |kernel: &str, cells: [u32; 6]| Stated {
            version: String::new(),
            counted: Vec::new(),
            modules: vec![StatedModule {
                name: "sums".into(),
                fingerprint: String::new(),
                kernels: vec![(kernel.into(), cells.into())],
            }],
        };
        let compare = |stated: Stated| compare_resources(&stated, &module, &kernels);
        assert!(compare(stated("sum", [32, 40, 32, 12, 16, 0])).is_empty());
        let worse = compare(stated("sum", [32, 31, 32, 12, 16, 0]));
        assert!(worse.len() == 1 && worse[0].contains("sum takes [32, 32, 32, 12, 16, 0]"));
        let renamed = compare(stated("total", [32, 32, 32, 12, 16, 0]));
        assert!(renamed[0].contains("lacks the kernel sum") && renamed[1].contains("total"));
        assert_eq!(stated_spills(&stated("sum", [32, 32, 32, 12, 16, 0]).modules[0]).len(), 1);
    }

    #[test]
    fn more_launches_and_worse_figures_are_found() {
        let counters = LaunchCounters::default();
        let config = LaunchConfig { grid: [1, 1, 1], block: [32, 1, 1], dynamic_shared: 0 };
        let launch = LaunchRecord { kernel: "sum".into(), config, counters };
        let run = |launches: usize| Run {
            launches: vec![launch.clone(); launches],
            profiles: BTreeMap::new(),
            least: Least { bytes: 1, flops: 1 },
        };
        let workload = WORKLOADS[0];
        let measured = Measured { workload, path: String::new(), forward: run(1), adjoint: run(3) };
        let lanes = measured.forward.figures()[3];
        let stated = |launches: [usize; 2], lanes: f64| Stated {
            version: String::new(),
            modules: Vec::new(),
            counted: Direction::ALL
                .into_iter()
                .zip(launches)
                .map(|(direction, launches)| StatedCounts {
                    direction,
                    problem: workload.to_string(),
                    launches,
                    figures: [0.0, 1.0, 0.0, lanes, 0.0],
                })
                .collect(),
        };
        let compare = |launches, lanes| compare_figures(&stated(launches, lanes), &measured);
        let gradient = format!("gradient of {workload}: 3 launches, not 2");
        assert_eq!(compare([1, 2], lanes), std::slice::from_ref(&gradient));
        // The target holds whatever the document states.
        assert_eq!(compare([1, 3], lanes), [gradient]);
        assert_eq!(compare([0, 2], lanes).len(), 2);
        assert_eq!(compare([1, 2], lanes + 10.0).len(), 3);
    }
}
