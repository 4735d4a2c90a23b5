//! One suite for every backend: what the solver promises is promised by each of them.
//!
//! The CUDA backend runs on the simulated driver: the modules that ship, on a machine without a GPU
//! (or on a GPU: tests/support/driver.rs).
//! It is a backend as it chooses its paths, and one more with every path wherever that has kernels.
//! After each of its tests the simulator's sanitizers must have found nothing.

#[cfg(feature = "cuda")]
mod against_cpu;
mod broken;
mod golden;
mod growth;
#[cfg(feature = "cuda")]
mod large_blocks;
mod lent;
mod precision;
mod several;
mod solver;
#[path = "../support/mod.rs"]
mod support;
mod uncertainty;

#[cfg(feature = "cuda")]
use mechanistic::cuda::CudaPath;
use mechanistic::{Device, Error, Factorization, Options, ProblemShape, Real, Result, Solver};

/// A device, and how much of the suite it has time for.
pub struct Subject {
    device: Device,
    #[cfg(feature = "cuda")]
    path: CudaPath,
    /// Of the random cases, one in so many.
    one_in: u32,
    /// Of one system.
    most_points: usize,
}

impl Subject {
    fn cpu() -> Self {
        Subject {
            device: Device::Cpu,
            #[cfg(feature = "cuda")]
            path: CudaPath::Auto,
            one_in: 1,
            most_points: usize::MAX,
        }
    }

    /// The GPU: the simulated one, or the machine's own.
    #[cfg(feature = "cuda")]
    fn cuda() -> Self {
        Self::on_path(CudaPath::Auto)
    }

    /// Also where chunks or teams are otherwise chosen.
    #[cfg(feature = "cuda")]
    fn cuda_thread() -> Self {
        Self::on_path(CudaPath::Thread)
    }

    /// Also for short systems.
    #[cfg(feature = "cuda")]
    fn cuda_chunk() -> Self {
        Self::on_path(CudaPath::Chunk)
    }

    /// Also for systems that one block can solve.
    #[cfg(feature = "cuda")]
    fn cuda_span() -> Self {
        Self::on_path(CudaPath::Span)
    }

    /// Also where threads are otherwise chosen.
    #[cfg(feature = "cuda")]
    fn cuda_team() -> Self {
        Self::on_path(CudaPath::Team)
    }

    /// Also for other than least squares on small blocks.
    #[cfg(feature = "cuda")]
    fn cuda_team_chunk() -> Self {
        Self::on_path(CudaPath::TeamChunk)
    }

    #[cfg(feature = "cuda")]
    fn on_path(path: CudaPath) -> Self {
        support::driver::simulated();
        let device = Device::cuda(0).expect("the device can be opened; its kernels need nvcc");
        Subject { device, path, one_in: 8, most_points: 1000 }
    }

    /// A solver on the device.
    pub fn solver<T: Real>(&self, shape: &ProblemShape, options: &Options) -> Solver<T> {
        self.try_solver(shape, options).unwrap()
    }

    fn try_solver<T: Real>(&self, shape: &ProblemShape, options: &Options) -> Result<Solver<T>> {
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = &self.device {
            return Solver::on_cuda_path(device, shape, options, self.path);
        }
        Solver::on(&self.device, shape, options)
    }

    /// The factorizations that the device has.
    pub fn factorizations(&self) -> &'static [Factorization] {
        match self.device {
            Device::Cpu => &[Factorization::Cholesky, Factorization::SquareRoot],
            _ => &[Factorization::Cholesky],
        }
    }

    /// A solver by the square root, if the device has that; else it must say that it has not.
    pub fn square_root_solver<T: Real>(
        &self,
        shape: &ProblemShape,
        options: &Options,
    ) -> Option<Solver<T>> {
        let options = Options { factorization: Factorization::SquareRoot, ..*options };
        let solver = self.try_solver(shape, &options);
        if self.factorizations().contains(&Factorization::SquareRoot) {
            return Some(solver.unwrap());
        }
        match solver.err().unwrap() {
            Error::Argument { argument, message } => {
                assert_eq!(argument, "factorization");
                assert!(message.contains("CUDA device has no square root"), "{message}");
            }
            other => panic!("{other}"),
        }
        None
    }

    /// How many of so many random cases are to be run.
    pub fn cases(&self, count: u32) -> u32 {
        count.div_ceil(self.one_in)
    }

    fn finish(self) {
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = &self.device {
            device.synchronize().unwrap();
            support::driver::assert_no_reports();
        }
    }
}

/// All tests of the suite for one backend, and more of them.
macro_rules! conformance {
    ($backend:ident $(, $module:ident::$test:ident)* $(,)?) => {
        conformance! { $backend:
            solver::solutions_are_those_of_the_dense_reference,
            solver::gradients_are_central_differences_of_the_dense_reference,
            solver::forward_mode_is_the_transpose_of_reverse_mode,
            solver::corner_shapes_are_solved_and_differentiated,
            solver::the_square_root_has_digits_where_cholesky_has_none,
            solver::single_precision_agrees_with_double_to_rounding,
            precision::double_precision_by_default_has_nine_digits,
            precision::single_precision_by_default_is_exact_to_rounding,
            precision::unrefined_solutions_have_the_digits_of_their_factorization,
            precision::derivatives_in_single_precision_are_those_of_double,
            precision::long_and_fine_grids_are_solved_in_single_precision,
            precision::the_unit_of_time_does_not_matter,
            precision::weights_near_the_end_of_the_range_are_no_trap,
            uncertainty::the_estimate_is_within_a_factor_of_ten_of_the_true_error,
            uncertainty::variances_in_single_precision_are_those_of_double,
            uncertainty::a_system_that_was_not_solved_has_no_estimate_and_no_variances,
            growth::growth_is_followed_with_the_option_and_its_loss_is_reported_without,
            growth::growth_is_followed_in_single_precision,
            growth::every_row_family_follows_growth,
            growth::a_solution_that_does_not_grow_hardly_changes,
            growth::a_state_that_begins_at_zero_is_not_lost_in_silence,
            lent::results_in_memory_of_the_caller_are_the_same,
            lent::results_in_memory_of_the_caller_are_the_same_in_single_precision,
            lent::a_gradient_that_is_not_wanted_may_overflow,
            lent::memory_of_another_length_is_refused,
            several::several_derivatives_are_those_of_each,
            several::one_of_several_cotangents_that_is_not_finite_leaves_the_others_alone,
            several::a_sum_that_overflows_leaves_other_cotangents_alone,
            several::several_derivatives_without_memory_for_all_are_refused,
            golden::solutions_and_gradients_agree_with_the_published_implementations,
            broken::a_broken_system_is_reported_and_leaves_its_neighbors_bit_identical,
            broken::a_breakdown_names_its_pivot_and_an_overflow_is_told_from_it,
            broken::a_broken_system_has_no_derivative_and_no_residuals,
            broken::a_broken_system_adds_nothing_to_the_gradient_of_shared_inputs,
            broken::gradients_that_are_not_finite_are_reported_and_left_out,
            broken::a_sum_of_one_system_that_cannot_be_stored_is_its_overflow,
            broken::a_gradient_of_the_weights_beyond_single_precision_changes_no_other,
            broken::tangents_that_are_not_finite_are_reported,
            broken::an_inverse_that_is_not_finite_is_reported,
            broken::derivatives_need_a_solve_and_arrays_that_fit,
            broken::residuals_are_the_norms_of_the_defects,
            broken::a_system_without_digits_left_is_a_breakdown,
            broken::what_the_rows_do_not_determine_is_a_breakdown,
            $($module::$test,)*
        }
    };
    ($backend:ident: $($module:ident::$test:ident),* $(,)?) => {
        mod $backend {
            $(
                #[test]
                fn $test() {
                    let subject = super::Subject::$backend();
                    super::$module::$test(&subject);
                    subject.finish();
                }
            )*
        }
    };
}

/// The suite for the CUDA backend with each of these paths, and the comparison with the CPU.
#[cfg(feature = "cuda")]
macro_rules! cuda_conformance {
    ($($backend:ident),* $(,)?) => {
        $(conformance! {
            $backend,
            against_cpu::everything_agrees_on_random_problems,
            against_cpu::large_batches_and_long_grids_agree,
            against_cpu::results_are_the_same_in_every_run,
            against_cpu::the_plan_tells_how_a_batch_is_solved,
        })*
    };
}

conformance!(cpu);
#[cfg(feature = "cuda")]
cuda_conformance!(cuda, cuda_thread, cuda_chunk, cuda_span, cuda_team, cuda_team_chunk);
