//! Where the arithmetic is done. Above this seam nothing knows which backend runs; below it
//! nothing knows about networks or files.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;

/// Values that every backend of this build can hold.
#[cfg(feature = "cuda")]
pub trait Storable: cuda::memory::Element {}
/// Values that every backend of this build can hold.
#[cfg(not(feature = "cuda"))]
pub trait Storable {}

impl Storable for f32 {}
impl Storable for f64 {}
