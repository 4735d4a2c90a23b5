//! Copies and memsets.

use std::{
    ffi::{c_int, c_uint, c_void},
    sync::Arc,
};

use super::{
    CuResult, Driver, Outcome, captures,
    contexts::current,
    driver, exports,
    guards::{Guard, Purpose, with_access},
    handles::Handle,
    queues::submit,
    say,
    streams::{self, Target, target},
    work::Work,
};
use crate::{
    faults::Operation,
    memory::{FIRST_ADDRESS, MemoryError},
};

/// One side of a copy: a place in device or host memory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Host(usize),
    Device(u64),
}

impl Place {
    /// With unified addresses, the address tells where the memory is; managed memory is the host's
    /// as well.
    fn of(address: u64) -> Self {
        if address < FIRST_ADDRESS { Self::Host(address as usize) } else { Self::Device(address) }
    }

    fn plus(self, bytes: usize) -> Self {
        match self {
            Self::Host(address) => Self::Host(address.wrapping_add(bytes)),
            Self::Device(address) => Self::Device(address.wrapping_add(bytes as u64)),
        }
    }
}

/// A copy of rows of `width` bytes; a row begins `pitch` bytes after the one before.
#[derive(Clone)]
pub(super) struct Copy {
    to: Place,
    from: Place,
    width: usize,
    height: usize,
    to_pitch: usize,
    from_pitch: usize,
    /// Bytes that `from` points to, where they were taken from memory of the caller's.
    _taken: Option<Arc<[u8]>>,
    /// Guards on page-locked memory, while the copy waits.
    _guards: Vec<Arc<Guard>>,
}

impl Copy {
    fn contiguous(to: Place, from: Place, bytes: usize) -> Self {
        Self::rows(to, from, bytes, 1, bytes, bytes)
    }

    fn rows(
        to: Place,
        from: Place,
        width: usize,
        height: usize,
        to_pitch: usize,
        from_pitch: usize,
    ) -> Self {
        Self { to, from, width, height, to_pitch, from_pitch, _taken: None, _guards: Vec::new() }
    }

    /// Checks the copy when it is ordered.
    pub(super) fn admit(&self, driver: &Driver) -> Outcome {
        driver.faults.check(Operation::Copy)?;
        if self.width == 0 {
            return Ok(());
        }
        for (place, pitch) in [(self.to, self.to_pitch), (self.from, self.from_pitch)] {
            match place {
                Place::Host(0) => return Err(CuResult::InvalidValue),
                Place::Host(_) => {}
                Place::Device(address) => {
                    for row in 0..self.height {
                        let address = address.wrapping_add((row * pitch) as u64);
                        let inside = driver.memory.check(address, self.width as u64);
                        inside.map_err(|error| refused(driver, "copy", &error))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Bytes from the first that is copied to or from a place to the last.
    fn extent(&self, pitch: usize) -> usize {
        if self.height == 0 { 0 } else { (self.height - 1) * pitch + self.width }
    }

    /// Returns the copy as it waits in a queue. What lies in pageable memory is taken from there
    /// now, as a driver does; page-locked memory is read and written later, and guarded until then.
    pub(super) fn delayed(mut self, driver: &Driver) -> Self {
        if let Place::Host(start) = self.from {
            let bytes = self.extent(self.from_pitch);
            if driver.is_pageable(start) {
                // SAFETY: the caller of the copy vouches for memory of this length.
                let taken = unsafe { std::slice::from_raw_parts(start as *const u8, bytes) };
                let taken: Arc<[u8]> = taken.into();
                self.from = Place::Host(taken.as_ptr() as usize);
                self._taken = Some(taken);
            } else {
                let guard = driver.host_memory.guard(start, bytes, Purpose::Read);
                self._guards.extend(guard.map(Arc::new));
            }
        }
        if let Place::Host(start) = self.to {
            let guard = driver.host_memory.guard(start, self.extent(self.to_pitch), Purpose::Write);
            self._guards.extend(guard.map(Arc::new));
        }
        self
    }

    pub(super) fn run(&self, driver: &Driver) -> Outcome {
        for row in 0..self.height {
            let to = self.to.plus(row * self.to_pitch);
            let from = self.from.plus(row * self.from_pitch);
            copy_row(driver, to, from, self.width)?;
        }
        Ok(())
    }
}

impl Driver {
    /// Whether memory of the host is neither page-locked nor managed.
    fn is_pageable(&self, address: usize) -> bool {
        !self.host_memory.contains(address) && self.memory.allocation_of(address as u64).is_none()
    }
}

fn copy_row(driver: &Driver, to: Place, from: Place, bytes: usize) -> Outcome {
    if bytes == 0 {
        return Ok(());
    }
    let memory = &driver.memory;
    // SAFETY: the caller of the copy vouches for host memory of this length, not null as checked
    // when the copy was ordered.
    let copy = || unsafe {
        match (from, to) {
            (Place::Host(from), Place::Host(to)) => {
                std::ptr::copy(from as *const u8, to as *mut u8, bytes);
                Ok(())
            }
            (Place::Host(from), Place::Device(to)) => {
                memory.write(to, std::slice::from_raw_parts(from as *const u8, bytes))
            }
            (Place::Device(from), Place::Host(to)) => {
                memory.read(from, std::slice::from_raw_parts_mut(to as *mut u8, bytes))
            }
            (Place::Device(from), Place::Device(to)) => memory.copy(to, from, bytes as u64),
        }
    };
    let guarded = |place| match place {
        Place::Host(start) if driver.host_memory.is_own(start) => Some(start),
        _ => None,
    };
    let starts: Vec<usize> = [from, to].into_iter().filter_map(guarded).collect();
    let outcome = if starts.is_empty() { copy() } else { with_access(&starts, bytes, copy) };
    outcome.map_err(|error| refused(driver, "copy", &error))
}

/// A memset of rows of `count` times the pattern.
#[derive(Clone)]
pub(super) struct Fill {
    address: u64,
    pattern: Vec<u8>,
    count: usize,
    height: usize,
    pitch: usize,
}

impl Fill {
    /// Checks the memset when it is ordered.
    pub(super) fn admit(&self, driver: &Driver) -> Outcome {
        driver.faults.check(Operation::Memset)?;
        let bytes = (self.pattern.len() as u64).saturating_mul(self.count as u64);
        for row in 0..self.height {
            let address = self.address.wrapping_add((row * self.pitch) as u64);
            let inside = driver.memory.check(address, bytes);
            inside.map_err(|error| refused(driver, "memset", &error))?;
        }
        Ok(())
    }

    pub(super) fn run(&self, driver: &Driver) -> Outcome {
        for row in 0..self.height {
            let address = self.address.wrapping_add((row * self.pitch) as u64);
            let filled = driver.memory.fill(address, &self.pattern, self.count as u64);
            filled.map_err(|error| refused(driver, "memset", &error))?;
        }
        Ok(())
    }
}

fn refused(driver: &Driver, operation: &str, error: &MemoryError) -> CuResult {
    driver.records.report(format!("invalid {operation}: {error}"));
    CuResult::InvalidValue
}

/// Carries out a copy that returns when it is done; it uses the legacy stream, which no capture
/// allows.
fn copy_now(to: Place, from: Place, bytes: usize) -> Outcome {
    refuse_captures()?;
    submit(0, Work::Copy(Copy::contiguous(to, from, bytes)))?;
    current()?.1.wait()
}

/// Refuses what waits for the legacy stream where a capture is in progress.
fn refuse_captures() -> Outcome {
    captures::refuse_if_unsafe(current()?.0)
}

fn copy_in(stream: Handle, to: Place, from: Place, bytes: usize) -> Outcome {
    order(stream, Copy::contiguous(to, from, bytes))
}

/// Orders a copy into a stream, and waits for it if it writes to pageable memory of the host, as
/// the driver does.
fn order(stream: Handle, copy: Copy) -> Outcome {
    let (driver, context) = current()?;
    let at_once = matches!(copy.to, Place::Host(start) if driver.is_pageable(start));
    let captured = matches!(target(driver, &context, stream)?, Target::Capture(_));
    submit(stream, Work::Copy(copy))?;
    if at_once && !captured { streams::wait(stream) } else { Ok(()) }
}

fn host<T>(pointer: *const T) -> Place {
    Place::Host(pointer as usize)
}

/// Carries out a memset of rows: `pattern` repeated `count` times, `height` rows `pitch` bytes
/// apart.
fn fill(
    stream: Option<Handle>,
    address: u64,
    pitch: usize,
    pattern: &[u8],
    count: usize,
    height: usize,
) -> Outcome {
    if !address.is_multiple_of(pattern.len() as u64) || !pitch.is_multiple_of(pattern.len()) {
        return Err(CuResult::InvalidValue);
    }
    if stream.is_none() {
        refuse_captures()?;
    }
    submit(
        stream.unwrap_or(0),
        Work::Fill(Fill { address, pattern: pattern.to_vec(), count, height, pitch }),
    )
}

/// The structure `CUDA_MEMCPY2D` of the driver API.
#[repr(C)]
pub struct Memcpy2d {
    from: Side,
    to: Side,
    width_in_bytes: usize,
    height: usize,
}

/// The source or the destination in `CUDA_MEMCPY2D`.
#[repr(C)]
struct Side {
    x_in_bytes: usize,
    y: usize,
    memory_type: c_int,
    host: usize,
    device: u64,
    array: usize,
    pitch: usize,
}

impl Side {
    fn place(&self) -> Outcome<Place> {
        let start = match self.memory_type {
            1 => Place::Host(self.host),
            2 => Place::Device(self.device),
            4 => Place::of(self.device),
            _ => {
                say("cuMemcpy2D: arrays are not supported");
                return Err(CuResult::NotSupported);
            }
        };
        Ok(start.plus(self.y * self.pitch + self.x_in_bytes))
    }
}

/// Carries out the copy that a `CUDA_MEMCPY2D` describes.
///
/// # Safety
/// `shape` is null or valid.
unsafe fn copy_2d(stream: Option<Handle>, shape: *const Memcpy2d) -> Outcome {
    // SAFETY: the caller's contract.
    let shape = unsafe { shape.as_ref() }.ok_or(CuResult::InvalidValue)?;
    let pitch = |side: &Side| match side.pitch {
        // A pitch of 0 stands for the width.
        0 => shape.width_in_bytes,
        pitch => pitch,
    };
    let (to, from) = (shape.to.place()?, shape.from.place()?);
    let (width, height) = (shape.width_in_bytes, shape.height);
    let copy = Copy::rows(to, from, width, height, pitch(&shape.to), pitch(&shape.from));
    if copy.height > 1 && copy.to_pitch.min(copy.from_pitch) < copy.width {
        return Err(CuResult::InvalidValue);
    }
    match stream {
        Some(stream) => order(stream, copy),
        None => {
            refuse_captures()?;
            order(0, copy)
        }
    }
}

exports! {
    fn cuMemcpy(to: u64, from: u64, bytes: usize) {
        copy_now(Place::of(to), Place::of(from), bytes)
    }
    fn cuMemcpyAsync(to: u64, from: u64, bytes: usize, stream: Handle) {
        copy_in(stream, Place::of(to), Place::of(from), bytes)
    }
    fn cuMemcpyHtoD_v2(to: u64, from: *const c_void, bytes: usize) {
        copy_now(Place::Device(to), host(from), bytes)
    }
    fn cuMemcpyHtoDAsync_v2(to: u64, from: *const c_void, bytes: usize, stream: Handle) {
        copy_in(stream, Place::Device(to), host(from), bytes)
    }
    fn cuMemcpyDtoH_v2(to: *mut c_void, from: u64, bytes: usize) {
        copy_now(host(to), Place::Device(from), bytes)
    }
    fn cuMemcpyDtoHAsync_v2(to: *mut c_void, from: u64, bytes: usize, stream: Handle) {
        copy_in(stream, host(to), Place::Device(from), bytes)
    }
    fn cuMemcpyDtoD_v2(to: u64, from: u64, bytes: usize) {
        copy_now(Place::Device(to), Place::Device(from), bytes)
    }
    fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, stream: Handle) {
        copy_in(stream, Place::Device(to), Place::Device(from), bytes)
    }
    fn cuMemcpyPeer(to: u64, to_context: Handle, from: u64, from_context: Handle, bytes: usize) {
        let contexts = &driver()?.contexts;
        contexts.get(to_context).and(contexts.get(from_context)).or(Err(CuResult::InvalidContext))?;
        copy_now(Place::Device(to), Place::Device(from), bytes)
    }
    fn cuMemcpyPeerAsync(
        to: u64,
        to_context: Handle,
        from: u64,
        from_context: Handle,
        bytes: usize,
        stream: Handle,
    ) {
        let contexts = &driver()?.contexts;
        contexts.get(to_context).and(contexts.get(from_context)).or(Err(CuResult::InvalidContext))?;
        copy_in(stream, Place::Device(to), Place::Device(from), bytes)
    }
    fn cuMemcpy2D_v2(shape: *const Memcpy2d) {
        copy_2d(None, shape)
    }
    fn cuMemcpy2DUnaligned_v2(shape: *const Memcpy2d) {
        copy_2d(None, shape)
    }
    fn cuMemcpy2DAsync_v2(shape: *const Memcpy2d, stream: Handle) {
        copy_2d(Some(stream), shape)
    }

    fn cuMemsetD8_v2(address: u64, value: u8, count: usize) {
        fill(None, address, 0, &[value], count, 1)
    }
    fn cuMemsetD16_v2(address: u64, value: u16, count: usize) {
        fill(None, address, 0, &value.to_le_bytes(), count, 1)
    }
    fn cuMemsetD32_v2(address: u64, value: c_uint, count: usize) {
        fill(None, address, 0, &value.to_le_bytes(), count, 1)
    }
    fn cuMemsetD8Async(address: u64, value: u8, count: usize, stream: Handle) {
        fill(Some(stream), address, 0, &[value], count, 1)
    }
    fn cuMemsetD16Async(address: u64, value: u16, count: usize, stream: Handle) {
        fill(Some(stream), address, 0, &value.to_le_bytes(), count, 1)
    }
    fn cuMemsetD32Async(address: u64, value: c_uint, count: usize, stream: Handle) {
        fill(Some(stream), address, 0, &value.to_le_bytes(), count, 1)
    }
    fn cuMemsetD2D8_v2(address: u64, pitch: usize, value: u8, width: usize, height: usize) {
        fill(None, address, pitch, &[value], width, height)
    }
    fn cuMemsetD2D16_v2(address: u64, pitch: usize, value: u16, width: usize, height: usize) {
        fill(None, address, pitch, &value.to_le_bytes(), width, height)
    }
    fn cuMemsetD2D32_v2(address: u64, pitch: usize, value: c_uint, width: usize, height: usize) {
        fill(None, address, pitch, &value.to_le_bytes(), width, height)
    }
    fn cuMemsetD2D8Async(
        address: u64,
        pitch: usize,
        value: u8,
        width: usize,
        height: usize,
        stream: Handle,
    ) {
        fill(Some(stream), address, pitch, &[value], width, height)
    }
    fn cuMemsetD2D16Async(
        address: u64,
        pitch: usize,
        value: u16,
        width: usize,
        height: usize,
        stream: Handle,
    ) {
        fill(Some(stream), address, pitch, &value.to_le_bytes(), width, height)
    }
    fn cuMemsetD2D32Async(
        address: u64,
        pitch: usize,
        value: c_uint,
        width: usize,
        height: usize,
        stream: Handle,
    ) {
        fill(Some(stream), address, pitch, &value.to_le_bytes(), width, height)
    }
}
