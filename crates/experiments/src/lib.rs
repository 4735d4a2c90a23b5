//! What the experiments of the paper share; each experiment is one file in `examples/`.
//!
//! An experiment implements [`Experiment`]: it computes on the backend of its [`Lab`] and returns a
//! [`Report`], whose figure and table [`run`] writes to `target/figures/`.

mod arguments;
mod comparison;
mod darcy;
mod data;
mod equations;
mod experiment;
mod history;
pub mod many_bodies;
mod nested_circles;
mod neural_ode;
mod newton;
mod periodic;
mod plane;
mod progress;
mod report;
mod runge_kutta;
mod sindy;
mod sine_fit;
pub mod two_bodies;
mod vibrations;

pub use arguments::Arguments;
pub use comparison::FieldComparison;
pub use darcy::{Darcy, PERMEABILITIES};
pub use data::{
    Truth, column, dataset, largest, noisy, position_error, relative_rms, trajectories,
};
pub use equations::{TrueTerms, coefficient_errors, field, simulated};
pub use experiment::{Experiment, Lab, run};
pub use history::History;
pub use nested_circles::NestedCircles;
pub use neural_ode::NeuralOde;
pub use newton::solve_newton;
pub use periodic::PeriodicDerivative;
pub use plane::{Grid, arrows, relative_error};
pub use report::Report;
pub use runge_kutta::runge_kutta;
pub use sindy::{Stlsq, stlsq};
pub use sine_fit::SineFit;
pub use vibrations::Vibrations;

/// Makes the test of an experiment on the CPU: it runs with the arguments, and the function checks
/// the report. For experiments that take minutes on the simulated CUDA device.
#[macro_export]
macro_rules! test_on_the_cpu {
    ($experiment:ty, $arguments:expr, $check:expr) => {
        #[cfg(test)]
        mod tests {
            use super::*;

            #[test]
            fn cpu() {
                let lab = $crate::Lab::new::<$experiment>($arguments, mechanistic::Cpu).unwrap();
                $check(<$experiment as $crate::Experiment>::run(&lab).unwrap());
            }
        }
    };
}

/// Makes the lab of the simulated CUDA device; only for tests, as it loads the simulator first.
#[macro_export]
macro_rules! simulated_lab {
    ($experiment:ty, $arguments:expr) => {{
        cuda_sim::simulator::Simulator::preload().unwrap();
        let name = mechanistic::DeviceName::Cuda(0);
        let arguments = $crate::Arguments { device: name, ..$arguments };
        let device = mechanistic::Device::cuda(0).unwrap();
        let cuda = mechanistic::cuda::Cuda::on(device.gpu().unwrap()).unwrap();
        $crate::Lab::new::<$experiment>(arguments, cuda).unwrap()
    }};
}

/// Makes the test of an experiment on the simulated CUDA device, as [`test_on_the_cpu!`] does on the
/// CPU.
#[macro_export]
macro_rules! test_on_the_device {
    ($experiment:ty, $arguments:expr, $check:expr) => {
        #[cfg(test)]
        mod device_tests {
            use super::*;

            #[test]
            fn cuda() {
                let lab = $crate::simulated_lab!($experiment, $arguments);
                $check(<$experiment as $crate::Experiment>::run(&lab).unwrap());
            }
        }
    };
}

/// Makes the test that a few training steps of an experiment give the same figures of these names on
/// the CPU and on the simulated CUDA device. For experiments whose claim takes minutes there. A
/// function that computes less may stand in for the experiment's own.
#[macro_export]
macro_rules! test_that_devices_agree {
    ($experiment:ty, $arguments:expr, $names:expr) => {
        $crate::test_that_devices_agree!(
            $experiment,
            <$experiment as $crate::Experiment>::run,
            $arguments,
            $names
        );
    };
    ($experiment:ty, $run:expr, $arguments:expr, $names:expr) => {
        #[cfg(test)]
        mod device_tests {
            use super::*;

            #[test]
            fn cuda() {
                let lab = $crate::simulated_lab!($experiment, $arguments);
                let found = $run(&lab).unwrap();
                let lab = $crate::Lab::new::<$experiment>($arguments, mechanistic::Cpu).unwrap();
                let expected = $run(&lab).unwrap();
                for name in $names {
                    let (found, expected) = (found.value(name), expected.value(name));
                    let error = (found - expected).abs();
                    assert!(error <= 1e-6 * expected.abs(), "{name}: {found}, not {expected}");
                }
            }
        }
    };
}

/// Makes the test that an experiment gives the same figures of these names, to the bit, on one thread
/// and on more.
#[macro_export]
macro_rules! test_that_threads_do_not_matter {
    ($experiment:ty, $arguments:expr, $names:expr) => {
        #[cfg(test)]
        mod thread_tests {
            use super::*;

            #[test]
            fn threads() {
                let figures = |threads: usize| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                    pool.unwrap().install(|| {
                        let lab =
                            $crate::Lab::new::<$experiment>($arguments, mechanistic::Cpu).unwrap();
                        let report = <$experiment as $crate::Experiment>::run(&lab).unwrap();
                        $names.map(|name| report.value(name).to_bits())
                    })
                };
                let one = figures(1);
                assert_eq!(figures(2), one);
                assert_eq!(figures(3), one);
            }
        }
    };
}

/// Makes the tests of an experiment on the CPU and on the simulated CUDA device.
#[macro_export]
macro_rules! test_on_every_device {
    ($experiment:ty, $arguments:expr, $check:expr) => {
        $crate::test_on_the_cpu!($experiment, $arguments, $check);
        $crate::test_on_the_device!($experiment, $arguments, $check);
    };
}
