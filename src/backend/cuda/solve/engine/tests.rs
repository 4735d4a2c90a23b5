use super::Engine;
use crate::backend::Engine as _;
use crate::backend::cuda::solve::paths::CudaPath;
use crate::backend::cuda::testing;
use crate::inputs::Inputs;
use crate::options::Options;
use crate::problem::{Problem, View};
use crate::solution::{SolutionMut, Status};

/// Solves a problem, and returns the solution and which inputs were copied.
fn solve(problem: &Problem<'_, f64>) -> (Vec<f64>, Inputs<bool>) {
    let (device, shape) = (testing::device(), problem.shape());
    let mut engine =
        Engine::<f64>::new(&device, shape, &Options::default(), CudaPath::Auto).unwrap();
    let mut values = vec![0.0; shape.solution().iter().product()];
    let mut status = vec![Status::Ok; shape.batch()];
    let solution = SolutionMut { values: &mut values, epsilon: None };
    engine.solve(problem, solution, &mut status).unwrap();
    assert!(status.iter().all(|status| status.is_ok()));
    (values, engine.staging.inputs.as_ref().map(|input| !input.copy.is_empty()))
}

/// Two times three systems on four points; coefficients and right-hand sides lie step first, the latter with so
/// many values from one point to the next.
fn solve_step_first(between: usize) -> (Vec<f64>, Inputs<bool>) {
    let coefficients: Vec<_> = (0..48).map(|i| 1.0 + 0.1 * f64::from(i).cos()).collect();
    let rhs: Vec<_> = (0..6 * 4)
        .flat_map(|i| {
            let gap = if i % 6 == 5 { between - 6 } else { 0 };
            std::iter::once(f64::from(i).sin()).chain(std::iter::repeat_n(f64::NAN, gap))
        })
        .collect();
    let of_rhs = [1, 2, between as isize, 1];
    let problem = Problem::builder()
        .coefficients(View::strided(&[2, 3, 4, 1, 1, 2], &[6, 2, 12, 2, 2, 1], &coefficients))
        .rhs(View::strided(&[2, 3, 4, 1], &of_rhs, &rhs))
        .initial_values(View::new(&[2, 1, 1, 1, 1], &[1.0, 2.0]))
        .steps(View::new(&[1, 1, 1], &[0.3]))
        .build()
        .unwrap();
    solve(&problem)
}

#[test]
fn arrays_without_gaps_are_not_copied() {
    let (values, copied) = solve_step_first(6);
    assert_eq!(copied, Inputs::default());
    let (same, copied) = solve_step_first(7);
    assert_eq!(copied, Inputs { rhs: true, ..Inputs::default() });
    assert_eq!(values, same);
    testing::driver::assert_no_reports();
}
