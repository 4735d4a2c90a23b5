//! Named ranges on the time line of Nsight Systems, with the feature `nvtx`; nothing without it, or
//! where the library of NVTX (libnvToolsExt) is not installed.

#[cfg(feature = "nvtx")]
use std::sync::OnceLock;

#[cfg(feature = "nvtx")]
use cudarc::nvtx;

/// Lasts until it is dropped.
#[cfg(feature = "nvtx")]
pub struct Range {
    _range: Option<nvtx::Range>,
}

/// Lasts until it is dropped.
#[cfg(not(feature = "nvtx"))]
pub struct Range;

/// Opens the range `mechanistic: <name>`.
#[cfg(feature = "nvtx")]
pub fn range(name: &str) -> Range {
    static PRESENT: OnceLock<bool> = OnceLock::new();
    // SAFETY: the library's initializers do nothing without a profiler.
    let present = *PRESENT.get_or_init(|| unsafe { nvtx::sys::is_culib_present() });
    Range { _range: present.then(|| nvtx::scoped_range(format!("mechanistic: {name}"))) }
}

/// Opens the range `mechanistic: <name>`.
#[cfg(not(feature = "nvtx"))]
pub fn range(_: &str) -> Range {
    Range
}
