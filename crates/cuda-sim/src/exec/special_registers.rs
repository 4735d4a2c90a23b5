//! The special registers, which hold the place of a thread, and clocks.

/// A special register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub(crate) enum SpecialRegister {
    /// Thread, block size, block and grid size; the axis is 0, 1 or 2.
    Tid(u8),
    Ntid(u8),
    Ctaid(u8),
    Nctaid(u8),
    LaneId,
    WarpId,
    Nwarpid,
    SmId,
    Nsmid,
    GridId,
    LanemaskEq,
    LanemaskLe,
    LanemaskLt,
    LanemaskGe,
    LanemaskGt,
    DynamicSharedBytes,
    TotalSharedBytes,
    /// Number of instructions that the warp has executed so far, because there is no timing model.
    Clock,
    ClockHi,
    Clock64,
    GlobalTimer,
    GlobalTimerLo,
    GlobalTimerHi,
}

/// The place of a warp in its launch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    /// Coordinates of the block in the grid.
    pub(crate) block_index: [u32; 3],
    /// Number of the warp in its block.
    pub(crate) warp: u32,
    pub(crate) multiprocessors: u32,
    /// Number of warps that a multiprocessor holds.
    pub(crate) warps_per_multiprocessor: u32,
    pub(crate) linear_block: u64,
    pub(crate) dynamic_shared: u32,
    pub(crate) total_shared: u32,
}

impl SpecialRegister {
    /// Returns the register of this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let axis = |suffix: &str| ["x", "y", "z"].iter().position(|&a| a == suffix);
        if let Some((stem, suffix)) = name.split_once('.') {
            let axis = axis(suffix)? as u8;
            return Some(match stem {
                "%tid" => Self::Tid(axis),
                "%ntid" => Self::Ntid(axis),
                "%ctaid" => Self::Ctaid(axis),
                "%nctaid" => Self::Nctaid(axis),
                _ => return None,
            });
        }
        Some(match name {
            "%laneid" => Self::LaneId,
            "%warpid" => Self::WarpId,
            "%nwarpid" => Self::Nwarpid,
            "%smid" => Self::SmId,
            "%nsmid" => Self::Nsmid,
            "%gridid" => Self::GridId,
            "%lanemask_eq" => Self::LanemaskEq,
            "%lanemask_le" => Self::LanemaskLe,
            "%lanemask_lt" => Self::LanemaskLt,
            "%lanemask_ge" => Self::LanemaskGe,
            "%lanemask_gt" => Self::LanemaskGt,
            "%dynamic_smem_size" => Self::DynamicSharedBytes,
            "%total_smem_size" => Self::TotalSharedBytes,
            "%clock" => Self::Clock,
            "%clock_hi" => Self::ClockHi,
            "%clock64" => Self::Clock64,
            "%globaltimer" => Self::GlobalTimer,
            "%globaltimer_lo" => Self::GlobalTimerLo,
            "%globaltimer_hi" => Self::GlobalTimerHi,
            _ => return None,
        })
    }

    /// Returns the width in bytes.
    pub(crate) fn bytes(self) -> u32 {
        match self {
            Self::Clock64 | Self::GlobalTimer | Self::GridId => 8,
            _ => 4,
        }
    }

    /// Returns whether the register stays the same while a warp runs.
    pub(crate) fn is_constant(self) -> bool {
        !matches!(
            self,
            Self::Clock
                | Self::ClockHi
                | Self::Clock64
                | Self::GlobalTimer
                | Self::GlobalTimerLo
                | Self::GlobalTimerHi
        )
    }

    /// Returns whether the register differs between the blocks of a launch.
    pub(crate) fn depends_on_block(self) -> bool {
        matches!(self, Self::Ctaid(_) | Self::SmId)
    }

    /// Returns the register's value in a lane, if it is constant.
    pub(crate) fn value(self, place: &Place, lane: u32) -> u64 {
        let thread = place.warp * 32 + lane;
        let [bx, by, _] = place.block;
        u64::from(match self {
            Self::Tid(0) => thread % bx,
            Self::Tid(1) => thread / bx % by,
            Self::Tid(_) => thread / bx / by,
            Self::Ntid(axis) => place.block[usize::from(axis)],
            Self::Ctaid(axis) => place.block_index[usize::from(axis)],
            Self::Nctaid(axis) => place.grid[usize::from(axis)],
            Self::LaneId => lane,
            Self::WarpId => place.warp,
            Self::Nwarpid => place.warps_per_multiprocessor,
            // Blocks go round the multiprocessors in order.
            Self::SmId => (place.linear_block % u64::from(place.multiprocessors)) as u32,
            Self::Nsmid => place.multiprocessors,
            Self::GridId => 0,
            Self::LanemaskEq => 1 << lane,
            Self::LanemaskLe => u32::MAX >> (31 - lane),
            Self::LanemaskLt => (1 << lane) - 1,
            Self::LanemaskGe => u32::MAX << lane,
            Self::LanemaskGt => !(u32::MAX >> (31 - lane)),
            Self::DynamicSharedBytes => place.dynamic_shared,
            Self::TotalSharedBytes => place.total_shared,
            _ => 0,
        })
    }

    /// Returns the register's value when the warp has executed `instructions`, if it is a clock.
    pub(crate) fn clock(self, instructions: u64) -> u64 {
        match self {
            Self::ClockHi | Self::GlobalTimerHi => instructions >> 32,
            Self::Clock | Self::GlobalTimerLo => instructions & 0xFFFF_FFFF,
            _ => instructions,
        }
    }
}
