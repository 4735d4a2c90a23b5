//! The command `mnn solve`, which reads a file of linear ODEs and writes their solutions and
//! gradients.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use mechanistic::files::problem::{self, OwnedProblem, ProblemFile};
use mechanistic::{Cotangent, Device, DeviceName, Error, Real, Result, Solver, Status};

use crate::outputs;

/// Solve the batch of linear ODEs in a safetensors file
///
/// B systems, N points, E equations of K states, Qc = order + 1 values a state in the equations and
/// Q = Qc + extra derivatives in the solution.
///
/// The file holds the tensors `coefficients` (B or 1, N or 1, E, K, Qc), `rhs` (B or 1, N or 1, E),
/// `initial_values` (B or 1, I, K, J), `steps` (B or 1, N−1 or 1[, K or 1]) and, for gradients, a
/// `cotangent` (B, N, K, Q); all F64, or all F32, F16 or BF16. Options stand in its metadata under
/// the names of the flags below (with _ for -), and the flags override them. Where all tensors share
/// an axis, its length stands there too: `batch`, `points`. (`states`, `equations`, `order`,
/// `iv_steps` and `iv_orders`, that is K, E, Qc − 1, I and J, may, and then must agree.) The result
/// holds `solution` (B, N, K, Q), `status` (B; 0 solved, 1 breakdown, 2 input not finite, 3 step not
/// positive, 4 overflow), `initial_defect` (B; the part of the initial values that is missed),
/// `epsilon` (B) with a shared slack, and `grad_*` for each input, with
/// `grad_status` (B; as `status`: 2 a cotangent, 4 gradients not finite).
/// Where some system could not be solved or differentiated (exit code 1), the others are in the
/// result all the same, and sums over systems are those of the others.
#[derive(clap::Args)]
pub struct Arguments {
    /// The problem
    problem: PathBuf,
    /// Where the result goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// least_squares, or shared_epsilon (needs gamma and alpha)
    #[arg(long, value_name = "NAME")]
    formulation: Option<String>,
    /// Relaxation of the shared slack
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    gamma: Option<String>,
    /// Linear cost of the shared slack
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    alpha: Option<String>,
    /// Rows between neighboring points: taylor, taylor_hold, taylor_central or hermite
    #[arg(long, value_name = "NAME")]
    smoothness: Option<String>,
    /// Weight of the weak row of hermite
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    roughness: Option<String>,
    /// Scale of equation and initial rows: auto, unit or balanced
    #[arg(long, value_name = "NAME")]
    scaling: Option<String>,
    /// Derivatives of the solution beyond those in the coefficients, 0 by default: hermite is of
    /// fourth order with 1 (2 where steps jump), of second order without
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    extra_derivatives: Option<String>,
    /// Weight of the equation rows
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    weight_equation: Option<String>,
    /// Weight of the initial-value rows
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    weight_initial: Option<String>,
    /// Weight of the smoothness rows
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    weight_smoothness: Option<String>,
    /// Weight of the periodic rows
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    weight_periodic: Option<String>,
    /// Whether the last point closes on the first: true or false
    #[arg(long, value_name = "BOOL")]
    periodic: Option<String>,
    /// Whether the rows follow the growth of the solution, which would otherwise be lost where it
    /// grows by many orders of magnitude: true or false
    #[arg(long, value_name = "BOOL")]
    follow_growth: Option<String>,
    /// How the triangular factor is computed: auto, cholesky or square_root
    #[arg(long, value_name = "NAME")]
    factorization: Option<String>,
    /// Steps of iterative refinement; by default 1
    #[arg(long, value_name = "STEPS", allow_hyphen_values = true)]
    refinement: Option<String>,
    /// Where to compute: cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceName,
}

impl Arguments {
    /// Returns the options given as flags, by their keys in the file.
    fn overrides(&self) -> Vec<(&'static str, String)> {
        let flags = [
            ("formulation", &self.formulation),
            ("gamma", &self.gamma),
            ("alpha", &self.alpha),
            ("smoothness", &self.smoothness),
            ("roughness", &self.roughness),
            ("scaling", &self.scaling),
            ("extra_derivatives", &self.extra_derivatives),
            ("weight_equation", &self.weight_equation),
            ("weight_initial", &self.weight_initial),
            ("weight_smoothness", &self.weight_smoothness),
            ("weight_periodic", &self.weight_periodic),
            ("periodic", &self.periodic),
            ("follow_growth", &self.follow_growth),
            ("factorization", &self.factorization),
            ("refinement", &self.refinement),
        ];
        flags.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect()
    }
}

/// Reads the problem, solves it, and writes the result.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    if outputs::is_standard(&arguments.output) {
        return Err(Error::argument(
            "--output",
            "the result is a file, and not for standard output",
        ));
    }
    outputs::check(&[&arguments.problem], &[("--output", &arguments.output)])?;
    let problem = problem::read(&arguments.problem, &arguments.overrides())?;
    let device = arguments.device.open()?;
    match problem {
        ProblemFile::F64(problem) => solve(&problem, &device, &arguments.output),
        ProblemFile::F32(problem) => solve(&problem, &device, &arguments.output),
    }
}

fn solve<T: Real>(owned: &OwnedProblem<T>, device: &Device, output: &Path) -> Result<ExitCode> {
    let problem = owned.problem();
    let mut solver = Solver::<T>::on(device, problem.shape(), &owned.options)?;
    solver.solve(&problem)?;
    let cotangent = owned.cotangent().map(|values| Cotangent { values, epsilon: None });
    if let Some(cotangent) = &cotangent {
        solver.vjp(&problem, cotangent)?;
    }
    let (solution, gradients) = (solver.solution(), cotangent.map(|_| solver.gradients()));
    owned.write_results(output, solution, gradients)?;

    let [b, n, k, q] = problem.shape().solution();
    let failed = solution.status.iter().filter(|status| !status.is_ok()).count();
    let lost: Vec<Status> = gradients.map_or(vec![], |gradients| {
        // A system without a solution is reported once.
        let pairs = gradients.status.iter().zip(&solution.status);
        pairs.map(|(own, solved)| if solved.is_ok() { *own } else { Status::Ok }).collect()
    });
    crate::tell(format_args!(
        "{} of {b} systems solved in {}: solution (B, N, K, Q) = ({b}, {n}, {k}, {q}) in {}",
        b - failed,
        T::NAME,
        output.display()
    ));
    report_failures("", &solution.status);
    report_failures("no gradients: ", &lost);
    if owned.hermite_of_second_order() {
        crate::tell(format_args!(
            "mnn: hermite rows are of second order here, of fourth with --extra-derivatives 1"
        ));
    }
    let failed = failed > 0 || lost.iter().any(|status| !status.is_ok());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Prints the first few systems that failed, in what (`effect`), and why.
fn report_failures(effect: &str, status: &[Status]) {
    const SHOWN: usize = 10;
    let failed = || status.iter().enumerate().filter(|(_, status)| !status.is_ok());
    for (system, status) in failed().take(SHOWN) {
        crate::tell(format_args!("mnn: system {system}: {effect}{status}"));
    }
    let more = failed().count().saturating_sub(SHOWN);
    if more > 0 {
        crate::tell(format_args!("mnn: and {more} systems more"));
    }
}
