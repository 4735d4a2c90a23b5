//! The targets of the kernels, and the figures that say how far the kernels got.

use std::fmt;

use cuda_sim::counters::LaunchCounters;

use crate::minimum::Least;

/// The most launches of a solve, and of a gradient, that the target allows.
pub const MOST_LAUNCHES: usize = 2;

/// A figure that has a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// Bytes moved, relative to the fewest that must be moved.
    Bytes,
    /// Sectors, relative to the fewest that could hold the same bytes.
    Sectors,
    /// Passes over the banks of shared memory beyond the least, per request.
    Conflicts,
    /// Share of the lanes that took part in an instruction, in percent.
    Lanes,
    /// Floating-point operations, relative to the minimal count.
    Flops,
}

impl Figure {
    /// Lists all figures, in the order of the table's columns.
    pub const ALL: [Figure; 5] =
        [Self::Bytes, Self::Sectors, Self::Conflicts, Self::Lanes, Self::Flops];

    /// Returns the name in the table and in `misses.txt`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Sectors => "sectors",
            Self::Conflicts => "conflicts",
            Self::Lanes => "lanes",
            Self::Flops => "flops",
        }
    }

    /// Returns the target that the figure has.
    pub fn target(self) -> Target {
        match self {
            Self::Bytes => Target::AtMost(1.25),
            Self::Sectors => Target::AtMost(1.1),
            Self::Conflicts => Target::AtMost(0.05),
            Self::Lanes => Target::AtLeast(85.0),
            Self::Flops => Target::AtMost(1.5),
        }
    }
}

/// A bound that a figure must keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Small figures are good: at most this number.
    AtMost(f64),
    /// Large figures are good: at least this number.
    AtLeast(f64),
}

impl Target {
    /// Returns whether `value` misses the target.
    pub fn is_missed_by(self, value: f64) -> bool {
        // The comparison is written so that a NaN misses.
        match self {
            Self::AtMost(most) => value.is_nan() || value > most,
            Self::AtLeast(least) => value.is_nan() || value < least,
        }
    }

    /// Returns whether `value` is farther on the bad side than `stated`.
    pub fn is_worse(self, value: f64, stated: f64) -> bool {
        let excess = match self {
            Self::AtMost(_) => value - stated,
            Self::AtLeast(_) => stated - value,
        };
        excess.is_nan() || excess > ROUNDING
    }
}

/// The rounding error of the table, half of its last digit.
const ROUNDING: f64 = 0.005;

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "≤ {most}"),
            Self::AtLeast(least) => write!(f, "≥ {least}"),
        }
    }
}

/// Returns the figures of the launches of one solve or one adjoint, in the order of
/// [`Figure::ALL`], with the two decimals of the table.
pub fn figures(counters: &LaunchCounters, least: Least) -> [f64; 5] {
    let exact = Figure::ALL.map(|figure| match figure {
        Figure::Bytes => moved(counters) as f64 / least.bytes as f64,
        Figure::Sectors => counters.sectors_over_ideal(),
        Figure::Conflicts => counters.bank_conflicts_per_request(),
        Figure::Lanes => 100.0 * counters.active_lane_efficiency(),
        Figure::Flops => flops(counters) as f64 / least.flops as f64,
    });
    exact.map(|value| (100.0 * value).round() / 100.0)
}

/// Returns the bytes moved between the multiprocessors and memory, without any cache.
pub fn moved(counters: &LaunchCounters) -> u64 {
    32 * (counters.global_load_sectors + counters.global_store_sectors)
}

/// Returns the floating-point operations of either precision.
pub fn flops(counters: &LaunchCounters) -> u64 {
    let matrix = counters.matrix_f64_flops + counters.matrix_other_flops;
    counters.f32_flops() + counters.f64_flops() + matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_a_good_side() {
        let (most, least) = (Figure::Bytes.target(), Figure::Lanes.target());
        assert!(!most.is_missed_by(1.25) && most.is_missed_by(1.26));
        assert!(!least.is_missed_by(85.0) && least.is_missed_by(84.9));
        assert!(most.is_missed_by(f64::NAN) && least.is_worse(f64::NAN, 90.0));
        assert!(most.is_worse(1.02, 1.01) && !most.is_worse(1.01, 1.01));
        assert!(!most.is_worse(0.5, 1.01));
        assert!(least.is_worse(89.0, 90.0) && !least.is_worse(99.0, 90.0));
    }

    #[test]
    fn figures_are_ratios() {
        let mut counters = LaunchCounters {
            global_load_sectors: 20,
            global_load_ideal_sectors: 16,
            shared_load_requests: 100,
            bank_conflicts: 4,
            ..LaunchCounters::default()
        };
        counters.thread_instructions[cuda_sim::counters::Class::F64Fma as usize] = 320;
        counters.warp_instructions[cuda_sim::counters::Class::F64Fma as usize] = 10;
        let least = Least { bytes: 512, flops: 320 };
        assert_eq!(figures(&counters, least), [1.25, 1.25, 0.04, 100.0, 2.0]);
    }
}
