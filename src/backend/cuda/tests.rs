//! One suite for every path: it computes what the processor does, whatever is shared and however the
//! arrays are stored, and trouble in one system stays there. The sizes on either side of a path's own
//! borders are tested with the path.

use half::{bf16, f16};

use super::driver::Buffer;
use super::path::problem::Values;
use super::path::results::SolutionBuffers;
use super::path::{CotangentView, Path};
use super::solve::batch::{Batch, Part};
use super::testing;
use super::testing::agreement::compare;
use super::testing::case::{Case, Sizes, noise};
use super::testing::paths::TestPath;
use crate::adjoint::Cotangent;
use crate::inputs::Inputs;
use crate::options::{Options, RowScaling, Smoothness, Weights};
use crate::real::Real;
use crate::solution::{Solution, Status};

/// A path, a batch that is no multiple of what its blocks take, and points that its chunks do not
/// share evenly.
#[derive(Clone, Copy)]
struct Subject {
    path: TestPath,
    batch: usize,
    points: usize,
}

macro_rules! on_every_path {
    ($($test:ident),* $(,)?) => {
        on_path! { thread: Subject { path: TestPath::Thread, batch: 70, points: 9 }, $($test),* }
        on_path! {
            thread_chunks:
            Subject { path: TestPath::ThreadChunks { bits: 3 }, batch: 12, points: 23 }, $($test),*
        }
        on_path! {
            thread_spans:
            Subject {
                path: TestPath::ThreadSpans { bits: 3, span_bits: 1 }, batch: 11, points: 23
            },
            $($test),*
        }
        on_path! {
            thread_spans_of_blocks:
            Subject {
                path: TestPath::ThreadSpans { bits: 6, span_bits: 5 }, batch: 9, points: 135
            },
            $($test),*
        }
        on_path! {
            team:
            Subject { path: TestPath::Team { shared_memory: None }, batch: 9, points: 9 }, $($test),*
        }
        on_path! {
            team_chunks:
            Subject {
                path: TestPath::TeamChunks { chunks: 5, systems: 3 }, batch: 11, points: 41
            },
            $($test),*
        }
        on_path! {
            team_halves:
            Subject { path: TestPath::TeamHalves { systems: 3 }, batch: 11, points: 12 },
            $($test),*
        }
    };
}

macro_rules! on_path {
    ($path:ident: $subject:expr, $($test:ident),*) => {
        mod $path {
            use super::{Subject, TestPath};

            $(
                #[test]
                fn $test() {
                    super::$test($subject);
                    super::testing::driver::assert_no_reports();
                }
            )*
        }
    };
}

on_every_path!(
    every_broadcast_axis_agrees_with_the_processor,
    any_number_of_refinements_agrees_with_the_processor,
    faults_of_one_system_do_not_reach_the_others,
    undetermined_systems_break_down,
    a_breakdown_names_its_point,
    a_system_alone_gives_the_same,
    gradients_that_are_not_wanted_leave_the_others_as_they_are,
    inputs_are_read_in_any_storage,
);

fn options(smoothness: Smoothness) -> Options {
    let weights = Weights { equation: 0.9, initial: 1.2, smoothness: 1.1, periodic: 1.0 };
    Options { smoothness, weights, roughness: 0.1, ..Options::default() }
}

impl Subject {
    /// One equation of second order.
    fn scalar(self) -> Sizes {
        let Subject { batch, points, .. } = self;
        Sizes { batch, points, states: 1, equations: 1, ..Sizes::SMALL }
    }

    /// Two equations of first order.
    fn pair(self) -> Sizes {
        Sizes { states: 2, order: 1, equations: 2, initial: (2, 1), ..self.scalar() }
    }
}

fn every_broadcast_axis_agrees_with_the_processor(subject: Subject) {
    for (seed, shared) in [
        0b0000_0001,
        0b0000_0010,
        0b0000_0011,
        0b0000_0100,
        0b0000_1000,
        0b0000_1100,
        0b0001_0000,
        0b0010_0000,
        0b0100_0000,
        0b0110_0000,
        0b1000_0000,
        0b1110_0000,
        0b1101_0101,
        0b1111_1111,
    ]
    .into_iter()
    .enumerate()
    {
        let sizes = Sizes { shared, ..subject.pair() };
        let options = Options { scaling: RowScaling::Balanced, ..options(Smoothness::TaylorHold) };
        let case = Case::<f64>::new(sizes, options, 100 + seed as u64);
        compare(subject.path, &case, 1e-10, &format!("shared {shared:08b}"));
        let case = Case::<f32>::new(sizes, options, 100 + seed as u64);
        compare(subject.path, &case, 1e-4, &format!("f32, shared {shared:08b}"));
    }
}

fn any_number_of_refinements_agrees_with_the_processor(subject: Subject) {
    for refinement in [0, 1, 2] {
        let options =
            Options { refinement_steps: Some(refinement), ..options(Smoothness::TaylorHold) };
        let what = format!("refinement {refinement}");
        compare(subject.path, &Case::<f32>::new(subject.pair(), options, 7), 2e-4, &what);
        compare(subject.path, &Case::<f64>::new(subject.pair(), options, 7), 1e-10, &what);
    }
}

/// Number of the systems that could not be solved; all others must be bit for bit as in `sound`.
fn count_faulty(sound: &Solution<f64>, broken: &Solution<f64>) -> usize {
    let size = sound.values.len() / sound.status.len();
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let mut faulty = 0;
    for (system, status) in broken.status.iter().enumerate() {
        if status.is_ok() {
            let range = system * size..(system + 1) * size;
            let (sound, broken) = (&sound.values[range.clone()], &broken.values[range]);
            assert_eq!(bits(sound), bits(broken), "system {system}");
        } else {
            faulty += 1;
        }
    }
    faulty
}

fn faults_of_one_system_do_not_reach_the_others(subject: Subject) {
    let options = options(Smoothness::TaylorHold);
    let Subject { batch, points, path } = subject;
    let mut case = Case::<f64>::new(subject.scalar(), options, 3);
    let sound = compare(path, &case, 1e-10, "sound");
    let (size, steps) = (points * 3, points - 1);
    // All over the batch; at the beginning, in the middle and at the end of a system.
    let system = |fault: usize| (fault + 1) * batch / 8;
    case.inputs.coefficients.data[system(0) * size + 5] = f64::NAN;
    case.inputs.rhs.data[system(1) * points + points - 1] = f64::INFINITY;
    case.inputs.initial_values.data[system(2) * 2] = f64::NEG_INFINITY;
    case.inputs.steps.data[system(3) * steps + steps / 2] = f64::NAN;
    // Two invalid steps: the first counts.
    case.inputs.steps.data[system(4) * steps + steps / 2] = 0.0;
    case.inputs.steps.data[system(4) * steps + steps - 1] = -1.0;
    case.inputs.steps.data[system(5) * steps + steps - 1] = -0.5;
    // c·b overflows, though both are finite.
    case.inputs.coefficients.data[system(6) * size + points / 2 * 3..][..3].fill(4.0);
    case.inputs.rhs.data[system(6) * points + points / 2] = f64::MAX;
    let broken = compare(path, &case, 1e-10, "faults");
    assert_eq!(broken.status[system(4)], Status::InvalidStep { step: steps / 2 });
    assert_eq!(count_faulty(&sound, &broken), 7);
}

fn undetermined_systems_break_down(subject: Subject) {
    // Without an equation, all polynomials of degree 2 satisfy the smoothness rows. Two initial
    // values leave one direction undetermined (with more, rounding decides which pivot is weakest).
    let undetermined = [0, subject.batch / 2, subject.batch - 1];
    // Few points: the error of what initial values alone determine grows fast with time.
    let (path, points) = match subject.path {
        TestPath::ThreadChunks { .. } => (TestPath::ThreadChunks { bits: 2 }, 11),
        TestPath::ThreadSpans { .. } => (TestPath::ThreadSpans { bits: 2, span_bits: 1 }, 11),
        TestPath::TeamChunks { systems, .. } => (TestPath::TeamChunks { chunks: 2, systems }, 16),
        whole => (whole, subject.points),
    };
    for given in [2, 3] {
        let sizes = Sizes { points, initial: (1, given), ..subject.scalar() };
        let mut case = Case::<f64>::new(sizes, options(Smoothness::Taylor), 5);
        for system in undetermined {
            case.inputs.coefficients.data[system * points * 3..][..points * 3].fill(0.0);
        }
        let solution = compare(path, &case, 1e-10, &format!("{given} initial values"));
        for (system, status) in solution.status.iter().enumerate() {
            let broken = matches!(status, Status::Breakdown { .. });
            let expected = given < 3 && undetermined.contains(&system);
            assert_eq!(broken, expected, "{given} initial values, {system}: {status:?}");
        }
    }
}

fn a_breakdown_names_its_point(subject: Subject) {
    // Without smoothness rows every point stands alone; with zero coefficients it has no pivot.
    let points = subject.points;
    let weights = Weights { smoothness: 0.0, ..Weights::default() };
    let options = Options { weights, ..options(Smoothness::Taylor) };
    let sizes =
        Sizes { batch: points, order: 1, equations: 2, initial: (0, 0), ..subject.scalar() };
    let mut case = Case::<f64>::new(sizes, options, 5);
    for system in 0..points {
        case.inputs.coefficients.data[(system * points + system) * 4..][..4].fill(0.0);
    }
    let problem = case.problem();
    let mut solver = subject.path.solver::<f64>(problem.shape(), &case.options);
    let solution = solver.solve(&problem).unwrap();
    for (point, status) in solution.status.iter().enumerate() {
        assert_eq!(*status, Status::Breakdown { point, pivot: 0 });
    }
}

/// Solution and gradient of a system do not depend on those that are solved with it.
fn a_system_alone_gives_the_same(subject: Subject) {
    let case = Case::<f64>::new(subject.scalar(), options(Smoothness::Hermite), 9);
    let run = |case: &Case<f64>| {
        let problem = case.problem();
        let values: usize = problem.shape().solution().iter().product();
        let mut solver = subject.path.solver::<f64>(problem.shape(), &case.options);
        let solution = solver.solve(&problem).unwrap().clone();
        let cotangent = vec![1.0; values];
        let cotangent = Cotangent { values: &cotangent, epsilon: None };
        let gradients = solver.vjp(&problem, &cotangent).unwrap().clone();
        [solution.values, gradients.inputs.coefficients, gradients.inputs.steps]
    };
    let whole = run(&case);
    for system in (0..case.batch).step_by(case.batch / 8) {
        for (alone, whole) in run(&case.system(system)).iter().zip(&whole) {
            let size = alone.len();
            assert_eq!(*alone, whole[system * size..][..size], "system {system}");
        }
    }
}

/// The gradients that are wanted, of a whole batch.
fn gradients(path: Box<dyn Path<f64>>, case: &Case<f64>, wanted: Inputs<bool>) -> Vec<Vec<f64>> {
    let device = testing::device();
    let problem = case.problem();
    let shape = problem.shape();
    let (mut batch, mut solution) =
        Batch::with_path(&device, shape, &case.options, path, |systems| {
            SolutionBuffers::<f64>::new(&device, shape, systems)
        })
        .unwrap();
    let upload = |values: &[f64]| Buffer::from_host(&device, "values", values).unwrap();
    let inputs = case.arrays().map(upload);
    let inputs = inputs.as_ref().map(Values::from);
    let part = batch.parts().next().unwrap();
    batch.factorize(part, inputs, &mut solution.view_mut(case.batch)).unwrap();
    batch.solve(part, inputs, &mut solution.view_mut(case.batch)).unwrap();
    let values = upload(&noise(1, shape.solution().iter().product()));
    let cotangent = CotangentView { values: values.view(), epsilon: None };
    let mut targets = case
        .arrays()
        .zip(wanted)
        .map(|(values, wanted)| wanted.then(|| upload(&vec![0.0; values.len()])));
    let mut weights = upload(&[0.0; 4]);
    let status = solution.details.status.view();
    let of_part = targets.as_mut().map(|target| target.as_mut().map(Buffer::view_mut));
    batch.vjp(part, inputs, &status, &cotangent, of_part, weights.view_mut()).unwrap();
    let all = targets.as_mut().map(|target| target.as_mut().map(Buffer::view_mut));
    batch.sum_gradients(all, weights.view_mut()).unwrap();
    let download = |buffer: &Buffer<f64>| {
        let mut values = vec![0.0; buffer.len()];
        buffer.copy_to_host("gradient", &mut values).unwrap();
        values
    };
    targets.as_ref().into_iter().flatten().chain([&weights]).map(download).collect()
}

fn gradients_that_are_not_wanted_leave_the_others_as_they_are(subject: Subject) {
    // Nothing shared, some of it, everything.
    for shared in [0, 0b0101_0110, 0xff] {
        let case = Case::new(Sizes { shared, ..subject.pair() }, Options::default(), 5);
        let gradients = |wanted| {
            let path = subject.path.path(case.problem().shape(), &case.options);
            gradients(path, &case, Inputs::from(wanted))
        };
        let all = gradients([true; 4]);
        for unwanted in 0..4 {
            let mut expected = all.clone();
            expected.remove(unwanted);
            let wanted = std::array::from_fn(|index| index != unwanted);
            assert_eq!(gradients(wanted), expected, "without gradient {unwanted}");
        }
        assert_eq!(gradients([false; 4]), all[4..], "weights alone");
    }
}

fn inputs_are_read_in_any_storage(subject: Subject) {
    fn check<T: Real>(subject: Subject) {
        // Values that every storage has exactly.
        let sizes = Sizes { batch: 3, ..subject.scalar() };
        let case = Case::<T>::new(sizes, options(Smoothness::Taylor), 4)
            .map(|value| T::of((value.to_double() * 16.0).round() / 16.0));
        let problem = case.problem();
        let shape = problem.shape();
        let mut solver = subject.path.solver::<T>(shape, &case.options);
        let values: usize = shape.solution().iter().product();
        let expected = solver.solve(&problem).unwrap();

        let device = testing::device();
        let path = subject.path.path(shape, &case.options);
        let (mut batch, ()) =
            Batch::<T>::with_path(&device, shape, &case.options, path, |_| Ok(())).unwrap();
        let [c, b, v, s] = case.arrays().into();
        let half: Vec<f16> = c.iter().map(|x| f16::from_f64(x.to_double())).collect();
        let brain: Vec<bf16> = b.iter().map(|x| bf16::from_f64(x.to_double())).collect();
        let single: Vec<f32> = v.iter().map(|x| x.to_double() as f32).collect();
        let double: Vec<f64> = s.iter().map(|x| x.to_double()).collect();
        let half = Buffer::from_host(&device, "coefficients", &half).unwrap();
        let brain = Buffer::from_host(&device, "rhs", &brain).unwrap();
        let single = Buffer::from_host(&device, "initial_values", &single).unwrap();
        let double = Buffer::from_host(&device, "steps", &double).unwrap();
        let inputs = Inputs {
            coefficients: (&half).into(),
            rhs: (&brain).into(),
            initial_values: (&single).into(),
            steps: (&double).into(),
        };
        let mut solution = SolutionBuffers::<T>::new(&device, shape, 3).unwrap();
        let whole = Part { first: 0, systems: 3 };
        batch.solve(whole, inputs, &mut solution.view_mut(3)).unwrap();
        let mut actual = vec![T::zero(); values];
        solution.values.copy_to_host("solution", &mut actual).unwrap();
        assert!(expected.status.iter().all(|status| status.is_ok()));
        assert_eq!(actual, expected.values);
    }
    check::<f32>(subject);
    check::<f64>(subject);
}
