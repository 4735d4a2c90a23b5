//! The library's own pool of device memory.

use std::mem::zeroed;
use std::sync::Arc;

use cudarc::driver::result::mem_pool;
use cudarc::driver::sys::{
    CUmemAllocationType, CUmemLocationType, CUmemPool_attribute, CUmemPoolProps, CUmemoryPool,
};
use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DriverError};

/// A pool of device memory that keeps what is freed, so that the next allocation costs nothing. It is
/// not the device's own pool, which belongs to the whole program: PyTorch may allocate from that, and
/// what it gives back to the system is for the program to say.
pub struct Pool(CUmemoryPool);

// SAFETY: the driver's functions may be called for a pool from any thread.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    /// Makes a pool on a device, or none where the driver has no pools.
    pub fn new(context: &CudaContext) -> Result<Option<Self>, DriverError> {
        if !context.has_async_alloc() {
            return Ok(None);
        }
        // SAFETY: a plain structure, whose zeros stand for what the driver chooses.
        let mut properties: CUmemPoolProps = unsafe { zeroed() };
        properties.allocType = CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED;
        properties.location.type_ = CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE;
        properties.location.id = context.cu_device();
        let mut threshold = u64::MAX;
        // SAFETY: the properties are those of a pool on this device, and the attribute is a 64-bit
        // number.
        unsafe {
            let pool = Pool(mem_pool::create(&properties)?);
            let attribute = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
            mem_pool::set_attribute(pool.0, attribute, (&raw mut threshold).cast())?;
            Ok(Some(pool))
        }
    }

    /// Allocates space for `len` values, in the order of the stream.
    pub fn allocate<T>(
        &self,
        stream: &Arc<CudaStream>,
        len: usize,
    ) -> Result<CudaSlice<T>, DriverError> {
        stream.context().bind_to_thread()?;
        // SAFETY: pool and stream live, and the memory is as large as the slice says.
        unsafe {
            let bytes = len * size_of::<T>();
            let address = mem_pool::alloc_async(self.0, bytes, stream.cu_stream())?;
            Ok(stream.upgrade_device_ptr(address, len))
        }
    }

    /// Returns freed memory to the system.
    pub fn trim(&self) -> Result<(), DriverError> {
        // SAFETY: the pool lives as long as this object.
        unsafe { mem_pool::trim_to(self.0, 0) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: the pool is this object's. A driver that refuses has lost the device already.
        let _ = unsafe { mem_pool::destroy(self.0) };
    }
}
