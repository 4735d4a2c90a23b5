//! The document `docs/kernels.md`: it is written from measurements, and read again to be compared
//! with new ones.

use std::fmt::Write as _;

use cuda_sim::assembler::Usage;

use crate::{
    estimate::{Estimate, occupancy},
    misses::{Direction, Place, Reason},
    resources::{Kernels, Module, architectures},
    targets::{Figure, moved},
    timing::Estimated,
    workloads::{Measured, Run},
};

/// The text before the tables, written by hand.
const INTRODUCTION: &str = include_str!("introduction.md");

/// The content of the document: everything that it shows.
pub struct Content<'a> {
    /// Version of the assembler.
    pub version: &'a str,
    /// Modules and their kernels.
    pub modules: &'a [(Module, Kernels)],
    /// Workloads with their measurements.
    pub measured: &'a [Measured],
    /// Reasons for which targets are missed.
    pub reasons: &'a [Reason],
    /// Estimates of the workloads: of solve and gradient, on each of [`architectures`].
    pub estimated: &'a [[[Estimated; 3]; 2]],
}

impl Content<'_> {
    /// Returns the whole document as Markdown.
    ///
    /// # Errors
    /// A kernel was launched that no module has.
    pub fn write(&self) -> Result<String, String> {
        let mut out = String::from(INTRODUCTION);
        self.write_figures(&mut out);
        self.write_misses(&mut out);
        self.write_estimates(&mut out)?;
        self.write_kernels(&mut out);
        Ok(out)
    }

    fn write_figures(&self, out: &mut String) {
        for direction in Direction::ALL {
            let _ = writeln!(out, "\n## Figures of the {}\n", direction.name());
            out.push_str("| B × N × K × order | simulated B | launches | KiB a system |");
            for figure in Figure::ALL {
                let _ = write!(out, " {} {} |", figure.name(), figure.target());
            }
            out.push_str("\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
            for measured in self.measured {
                let run = measured.run(direction);
                let (workload, launches) = (measured.workload, run.launches.len());
                let systems = workload.simulated;
                let kibibytes = moved(&run.sums()) as f64 / 1024.0 / systems as f64;
                let _ = write!(out, "| {workload} | {systems} | {launches} | {kibibytes:.1} |");
                for (figure, value) in Figure::ALL.into_iter().zip(run.figures()) {
                    let text = format!("{value:.2}");
                    if figure.target().is_missed_by(value) {
                        let _ = write!(out, " **{text}** |");
                    } else {
                        let _ = write!(out, " {text} |");
                    }
                }
                out.push('\n');
            }
        }
    }

    fn write_misses(&self, out: &mut String) {
        out.push_str("\n## Missed targets\n");
        if self.reasons.is_empty() {
            out.push_str("\nNone.\n");
        }
        for reason in self.reasons {
            let _ = write!(out, "\n* {}.\n  {}\n", what_is_missed(reason), reason.text);
        }
    }

    fn write_estimates(&self, out: &mut String) -> Result<(), String> {
        out.push_str("\n## On a GPU\n");
        for direction in Direction::ALL {
            let names = architectures().map(|(_, device)| device.name.replace("Simulated ", ""));
            let names = names.join(" / ");
            let _ = write!(
                out,
                "\n| {} | kernel | grid × block | shared, KiB | occupancy, %: {names} | \
                 least time, µs: {names} | bound by | estimated time, µs: {names} | \
                 cycles an instruction: {names} |\n\
                 |---|---|--:|--:|--:|--:|---|--:|--:|\n",
                direction.name(),
            );
            for (measured, estimated) in self.measured.iter().zip(self.estimated) {
                let run = measured.run(direction);
                let main = run.main_launch();
                let scale = measured.workload.batch as f64 / measured.workload.simulated as f64;
                let blocks = f64::from(main.config.grid.iter().product::<u32>()) * scale;
                let usage = self.usage(&main.kernel)?;
                let devices = architectures().map(|(_, device)| device);
                let occupancies = [0, 1, 2].map(|i| {
                    let Usage { registers, shared, .. } = usage[i];
                    format!("{:.0}", 100.0 * occupancy(main, registers, shared, &devices[i]))
                });
                let estimates =
                    devices.map(|device| Estimate::of_all(&run.launches, scale, &device));
                let times = estimates.map(|(seconds, _)| microseconds(seconds));
                let estimated = estimated[direction as usize];
                let pace = estimated.map(|e| format!("{:.1}", e.cycles / e.instructions));
                let mut bounds = estimates.map(|(_, bound)| bound).to_vec();
                bounds.dedup();
                let shared = usage[0].shared + main.config.dynamic_shared;
                let _ = writeln!(
                    out,
                    "| {} | `{}` | {} × {} | {:.1} | {} | {} | {} | {} | {} |",
                    measured.workload,
                    main.kernel,
                    blocks.ceil(),
                    main.config.block.iter().product::<u32>(),
                    f64::from(shared) / 1024.0,
                    occupancies.join(" / "),
                    times.join(" / "),
                    bounds.join(" / "),
                    estimated.map(|e| microseconds(e.seconds)).join(" / "),
                    pace.join(" / "),
                );
            }
        }
        out.push_str("\nHow each is solved:\n\n");
        for measured in self.measured {
            let _ = writeln!(out, "* {}: {}", measured.workload, measured.path);
        }
        Ok(())
    }

    fn usage(&self, kernel: &str) -> Result<&[Usage; 3], String> {
        let mut usages = self.modules.iter().filter_map(|(_, kernels)| kernels.get(kernel));
        usages.next().ok_or_else(|| format!("no module has the kernel {kernel} that was launched"))
    }

    fn write_kernels(&self, out: &mut String) {
        let _ = write!(out, "\n## Kernels\n\nAssembled by ptxas {}.\n", self.version);
        for (module, kernels) in self.modules {
            let _ = write!(out, "\n### {} {}\n\n", module.name, module.fingerprint);
            out.push_str("| kernel |");
            for (architecture, _) in architectures() {
                let _ = write!(out, " registers {architecture} |");
            }
            out.push_str(" spills, bytes | stack, bytes | static shared, bytes |\n");
            out.push_str("|---|--:|--:|--:|--:|--:|--:|\n");
            for (kernel, usage) in kernels {
                let cells = resource_cells(usage).map(|value| value.to_string());
                let _ = writeln!(out, "| {kernel} | {} |", cells.join(" | "));
            }
        }
    }
}

/// Returns what is missed, as `*bytes of the solve, bytes of the gradient*: problem, problem;
/// *lanes of the solve*: problem`.
fn what_is_missed(reason: &Reason) -> String {
    let mut by_figure: Vec<(String, Vec<&str>)> = Vec::new();
    for Place { figure, direction, problem } in &reason.places {
        let name = format!("{} of the {}", figure.name(), direction.name());
        match by_figure.iter_mut().find(|(known, _)| *known == name) {
            Some((_, problems)) => problems.push(problem),
            None => by_figure.push((name, vec![problem])),
        }
    }
    let mut by_problems: Vec<(Vec<String>, Vec<&str>)> = Vec::new();
    for (name, problems) in by_figure {
        match by_problems.iter_mut().find(|(_, known)| *known == problems) {
            Some((names, _)) => names.push(name),
            None => by_problems.push((vec![name], problems)),
        }
    }
    let text = |(names, problems): &(Vec<String>, Vec<&str>)| {
        format!("*{}*: {}", names.join(", "), problems.join(", "))
    };
    by_problems.iter().map(text).collect::<Vec<_>>().join("; ")
}

/// Returns the table cells of a kernel: its registers on each architecture, and the largest spills,
/// stack and static shared memory on any.
pub fn resource_cells(usage: &[Usage; 3]) -> [u32; 6] {
    let most = |of: fn(&Usage) -> u32| usage.iter().map(of).max().unwrap_or(0);
    [
        usage[0].registers,
        usage[1].registers,
        usage[2].registers,
        most(|usage| usage.spill_stores + usage.spill_loads),
        most(|usage| usage.stack),
        most(|usage| usage.shared),
    ]
}

/// Returns a time in microseconds with three digits.
pub fn microseconds(seconds: f64) -> String {
    let value = 1e6 * seconds;
    match value {
        ..1.0 => format!("{value:.3}"),
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

impl Measured {
    /// Returns the run of one direction.
    pub fn run(&self, direction: Direction) -> &Run {
        match direction {
            Direction::Solve => &self.forward,
            Direction::Gradient => &self.adjoint,
        }
    }

    /// Returns the figures that miss their targets.
    pub fn missed(&self) -> Vec<Place> {
        let mut missed = Vec::new();
        for direction in Direction::ALL {
            let problem = self.workload.to_string();
            for (figure, value) in Figure::ALL.into_iter().zip(self.run(direction).figures()) {
                if figure.target().is_missed_by(value) {
                    missed.push(Place { figure, direction, problem: problem.clone() });
                }
            }
        }
        missed
    }
}

/// The tables of a document that was written before, to be compared with new measurements.
#[derive(Debug, PartialEq)]
pub struct Stated {
    /// Version of the assembler.
    pub version: String,
    /// Modules with their kernels.
    pub modules: Vec<StatedModule>,
    /// Counts of every problem and direction.
    pub counted: Vec<StatedCounts>,
}

/// The counts that a document states for one direction of one problem.
#[derive(Debug, PartialEq)]
pub struct StatedCounts {
    /// Direction: solve or gradient.
    pub direction: Direction,
    /// Name of the workload.
    pub problem: String,
    /// Number of kernel launches.
    pub launches: usize,
    /// Figures in the order of [`Figure::ALL`].
    pub figures: [f64; 5],
}

/// A module as a document states it.
#[derive(Debug, PartialEq)]
pub struct StatedModule {
    /// Name of the module.
    pub name: String,
    /// Fingerprint of the module's text.
    pub fingerprint: String,
    /// Names of the kernels and their [`resource_cells`].
    pub kernels: Vec<(String, Vec<u32>)>,
}

/// Reads the tables of a document.
///
/// # Errors
/// The message names the line that is not as [`Content::write`] writes it.
pub fn read(text: &str) -> Result<Stated, String> {
    let mut stated = Stated { version: String::new(), modules: Vec::new(), counted: Vec::new() };
    let mut direction = None;
    for line in text.lines() {
        let wrong = || format!("docs/kernels.md: not understood: {line}");
        if let Some(rest) = line.strip_prefix("Assembled by ptxas ") {
            stated.version = rest.trim_end_matches('.').into();
        } else if let Some(rest) = line.strip_prefix("### ") {
            let (name, fingerprint) = rest.split_once(' ').ok_or_else(wrong)?;
            let (name, fingerprint) = (name.into(), fingerprint.into());
            stated.modules.push(StatedModule { name, fingerprint, kernels: Vec::new() });
        } else if let Some(rest) = line.strip_prefix("## ") {
            let name = rest.strip_prefix("Figures of the ");
            direction = Direction::ALL.into_iter().find(|known| Some(known.name()) == name);
        } else if line.starts_with("| ") && !line.contains("| registers ") {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            if let Some(direction) = direction {
                if cells[0] != "B × N × K × order" {
                    let launches = cells.get(2).and_then(|cell| cell.parse().ok());
                    let launches = launches.ok_or_else(wrong)?;
                    let figures = numbers(cells.get(4..).unwrap_or_default()).ok_or_else(wrong)?;
                    let figures = figures.try_into().map_err(|_| wrong())?;
                    let problem = cells[0].into();
                    stated.counted.push(StatedCounts { direction, problem, launches, figures });
                }
            } else if let Some(module) = stated.modules.last_mut() {
                let values = cells[1..].iter().map(|cell| cell.parse().ok());
                let values = values.collect::<Option<Vec<u32>>>().ok_or_else(wrong)?;
                module.kernels.push((cells[0].into(), values));
            }
        }
    }
    Ok(stated)
}

fn numbers(cells: &[&str]) -> Option<Vec<f64>> {
    cells.iter().map(|cell| cell.trim_matches('*').parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{minimum::Least, workloads::WORKLOADS};
    use cuda_sim::{counters::LaunchCounters, exec::LaunchConfig, simulator::LaunchRecord};

    fn run(conflicts: u64) -> Run {
        let counters = LaunchCounters {
            warps: 4,
            global_load_sectors: 40,
            global_load_ideal_sectors: 40,
            shared_load_requests: 100,
            bank_conflicts: conflicts,
            ..LaunchCounters::default()
        };
        let config = LaunchConfig { grid: [4, 1, 1], block: [32, 1, 1], dynamic_shared: 512 };
        let launches = vec![LaunchRecord { kernel: "sum".into(), config, counters }];
        Run { launches, profiles: Default::default(), least: Least { bytes: 1024, flops: 1 } }
    }

    #[test]
    fn what_is_written_is_read() {
        let module = Module::new("reduce", vec![".version 8.8\n".into()]);
        let usage = Usage { registers: 32, shared: 4096, ..Usage::default() };
        let kernels = Kernels::from([("sum".to_owned(), [usage; 3])]);
        let fingerprint = module.fingerprint.clone();
        let workload = WORKLOADS[0];
        let measured =
            Measured { workload, path: "one thread".into(), forward: run(4), adjoint: run(6) };
        let reasons = [Reason { places: measured.missed(), text: "For the test.".into() }];
        let content = Content {
            version: "13.5.37",
            modules: &[(module, kernels)],
            measured: &[measured],
            reasons: &reasons,
            estimated: &[[[Estimated { seconds: 1e-6, cycles: 9.0, instructions: 2.0 }; 3]; 2]],
        };
        let text = content.write().unwrap();
        let counts = |direction, conflicts| StatedCounts {
            direction,
            problem: workload.to_string(),
            launches: 1,
            figures: [1.25, 1.0, conflicts, 0.0, 0.0],
        };
        let expected = Stated {
            version: "13.5.37".into(),
            modules: vec![StatedModule {
                name: "reduce".into(),
                fingerprint,
                kernels: vec![("sum".into(), vec![32, 32, 32, 0, 0, 4096])],
            }],
            counted: vec![counts(Direction::Solve, 0.04), counts(Direction::Gradient, 0.06)],
        };
        assert_eq!(read(&text), Ok(expected));
        assert!(text.contains("| 1.25 | 1.00 | **0.06** | **0.00** |"), "{text}");
        assert!(text.contains("*lanes of the solve, conflicts of the gradient, lanes of the gradient*: 1 × 1000 × 1 × 2 f64"), "{text}");
        assert!(text.contains("| `sum` | 4 × 32 | 4.5 | 45 / 50 / 50 |"), "{text}");
        let estimates = " | memory | 1.00 / 1.00 / 1.00 | 4.5 / 4.5 / 4.5 |\n";
        assert!(text.contains(estimates), "{text}");
    }

    #[test]
    fn times_have_three_digits() {
        let texts = [1.234e-7, 1.234e-6, 12.34e-6, 1.234e-3].map(microseconds);
        assert_eq!(texts, ["0.123", "1.23", "12.3", "1234"]);
    }
}
