//! Atomic operations and reductions in global and shared memory: atom and red.
//!
//! The lanes of a warp go in order. Blocks that run at the same time share global memory, so that
//! an operation on it is a compare-and-swap on the host; kernels whose outcome depends on the order
//! of such operations run their blocks one after the other, see [`super::launch`].

use super::access::{Transfer, check_alignment, inside};
use super::block::Worker;
use super::fault::{FaultKind, Violation};
use super::half::{decode16, encode16};
use super::lanes::{Frame, LANES, lanes_of};
use super::load_store::{addresses, space, take_cache_hints, take_ordering};
use super::moves::space_of;
use super::operation::Op;
use super::rounding::{self, Format, Rounding};
use super::warp::Warp;
use crate::counters::Class;
use crate::ptx::Operand;
use crate::ptx::decode::{Address, Decoded, Decoder, Opcode, Space};
use crate::ptx::types::Type;
use crate::sanitizer::Kind;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

/// An atomic operation.
#[derive(Debug)]
pub(crate) struct Atomic {
    space: Space,
    address: Address,
    apply: Apply,
    bytes: u32,
    /// Register for the old value, if it is wanted.
    d: Option<u32>,
    /// Registers of the operand and, for `cas`, of the new value.
    b: u32,
    c: Option<u32>,
}

/// A function that computes the new value from the old one and the operands.
type Apply = fn(u64, u64, u64) -> u64;

/// Decodes `atom` and `red`.
pub(crate) fn decode<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    take_ordering(opcode);
    let space = space(opcode);
    take_cache_hints(opcode);
    opcode.take("noftz");
    let names = ["add", "min", "max", "inc", "dec", "and", "or", "xor", "exch", "cas"];
    let name = opcode.take_one(&names).ok_or_else(|| opcode.unknown())?;
    let ty = opcode.take_type()?;
    let apply = operation(name, ty).ok_or_else(|| opcode.unknown())?;
    let (d, rest) = match (opcode.name, operands) {
        ("atom", [d, rest @ ..]) => (Some(d), rest),
        (_, rest) => (None, rest),
    };
    let (address, b, c) = match (name, rest) {
        ("cas", [address, b, c]) => (address, b, Some(c)),
        ("cas", _) => return Err(opcode.unknown()),
        (_, [address, b]) => (address, b, None),
        _ => return Err(opcode.unknown()),
    };
    if matches!(space, Space::Local | Space::KernelParam | Space::Const) {
        return Err(opcode.unknown());
    }
    let bytes = ty.bytes();
    let returns = d.is_some_and(|d| decoder.is_read(d));
    let commutes = !matches!(name, "exch" | "cas" | "inc" | "dec")
        && !ty.is_float()
        && !matches!(ty, Type::F16x2 | Type::Bf16x2);
    if space != Space::Shared && (returns || !commutes || bytes == 2) {
        decoder.note_order_dependence();
    }
    decoder.note_access(bytes);
    let address = decoder.address(address)?;
    let b = decoder.source(b, bytes)?;
    let c = c.map(|c| decoder.source(c, bytes)).transpose()?;
    let d = match d {
        Some(d) => decoder.result_or_sink(d, bytes)?,
        None => None,
    };
    let atomic = Atomic { space, address, apply, bytes, d, b, c };
    Ok((Op::Atomic(Box::new(atomic)), Class::Atomic))
}

fn operation(name: &str, ty: Type) -> Option<Apply> {
    Some(match (name, ty) {
        ("add", Type::U32 | Type::S32) => |a, b, _| (a as u32).wrapping_add(b as u32).into(),
        ("add", Type::U64 | Type::S64) => |a, b, _| a.wrapping_add(b),
        ("add", Type::F32) => |a, b, _| {
            let sum = f32::from_bits(a as u32) + f32::from_bits(b as u32);
            super::float::canonical(sum).to_bits().into()
        },
        ("add", Type::F64) => |a, b, _| (f64::from_bits(a) + f64::from_bits(b)).to_bits(),
        ("add", Type::F16) => |a, b, _| add16(a, b, false).into(),
        ("add", Type::Bf16) => |a, b, _| add16(a, b, true).into(),
        ("add", Type::F16x2) => |a, b, _| add16x2(a, b, false),
        ("add", Type::Bf16x2) => |a, b, _| add16x2(a, b, true),
        ("min", Type::U32) => |a, b, _| (a as u32).min(b as u32).into(),
        ("max", Type::U32) => |a, b, _| (a as u32).max(b as u32).into(),
        ("min", Type::S32) => |a, b, _| (a as i32).min(b as i32) as u32 as u64,
        ("max", Type::S32) => |a, b, _| (a as i32).max(b as i32) as u32 as u64,
        ("min", Type::U64) => |a, b, _| a.min(b),
        ("max", Type::U64) => |a, b, _| a.max(b),
        ("min", Type::S64) => |a, b, _| (a as i64).min(b as i64) as u64,
        ("max", Type::S64) => |a, b, _| (a as i64).max(b as i64) as u64,
        ("inc", Type::U32) => |a, b, _| if a >= b { 0 } else { a + 1 },
        ("dec", Type::U32) => |a, b, _| if a == 0 || a > b { b } else { a - 1 },
        ("and", Type::B32 | Type::B64) => |a, b, _| a & b,
        ("or", Type::B32 | Type::B64) => |a, b, _| a | b,
        ("xor", Type::B32 | Type::B64) => |a, b, _| a ^ b,
        ("exch", Type::B32 | Type::B64) => |_, b, _| b,
        ("cas", Type::B16 | Type::B32 | Type::B64) => |a, b, c| if a == b { c } else { a },
        _ => return None,
    })
}

fn add16(a: u64, b: u64, bf16: bool) -> u16 {
    let format = if bf16 { Format::BF16 } else { Format::F16 };
    let (a, b) = (decode16(a as u16, bf16), decode16(b as u16, bf16));
    encode16(rounding::fma(a, 1.0, b, format, Rounding::Nearest), bf16, Rounding::Nearest)
}

fn add16x2(a: u64, b: u64, bf16: bool) -> u64 {
    u64::from(add16(a >> 16, b >> 16, bf16)) << 16 | u64::from(add16(a, b, bf16))
}

impl Worker<'_> {
    /// Carries out an atomic operation for the lanes of `mask`, one after the other.
    pub(crate) fn atomic(
        &mut self,
        warp: &mut Warp,
        frame: Frame,
        atomic: &Atomic,
        mask: u32,
    ) -> Result<(), Box<Violation>> {
        let mut addresses = addresses(frame, &atomic.address);
        let mut shared = if atomic.space == Space::Shared { mask } else { 0 };
        if atomic.space == Space::Generic {
            for lane in lanes_of(mask) {
                let (space, window) = space_of(addresses[lane]);
                match space {
                    Space::Shared => shared |= 1 << lane,
                    Space::Global => {}
                    _ => {
                        let message = format!("atomic operation in {space} memory");
                        let lane = Some(lane as u32);
                        return Err(Violation::new(FaultKind::IllegalAddress, lane, message));
                    }
                }
                addresses[lane] -= window;
            }
        }
        check_alignment(atomic.space, &addresses, mask, atomic.bytes, "atomic operation")?;
        let count = u64::from((mask & shared).count_ones());
        self.counters.shared_atomics += count;
        self.counters.global_atomics += u64::from(mask.count_ones()) - count;
        // SAFETY: the decoder checked the widths.
        let (b, c) = unsafe {
            let get = |register| match atomic.bytes {
                2 => frame.get::<u16>(register).map(u64::from),
                4 => frame.get::<u32>(register).map(u64::from),
                _ => frame.get::<u64>(register),
            };
            (get(atomic.b), atomic.c.map_or([0; LANES], get))
        };
        let mut old = [0; LANES];
        for lane in lanes_of(mask) {
            let is_shared = shared >> lane & 1 != 0;
            let apply = |value| (atomic.apply)(value, b[lane], c[lane]);
            old[lane] =
                self.atomic_lane(warp, is_shared, addresses[lane], atomic.bytes, lane, apply)?;
        }
        if let Some(d) = atomic.d {
            // SAFETY: the decoder checked the widths.
            unsafe {
                match atomic.bytes {
                    2 => frame.set(d, &old.map(|x| x as u16), mask),
                    4 => frame.set(d, &old.map(|x| x as u32), mask),
                    _ => frame.set(d, &old, mask),
                }
            }
        }
        Ok(())
    }

    fn atomic_lane(
        &mut self,
        warp: &Warp,
        is_shared: bool,
        address: u64,
        bytes: u32,
        lane: usize,
        apply: impl Fn(u64) -> u64,
    ) -> Result<u64, Box<Violation>> {
        let lane = lane as u32;
        let (space, region) = if is_shared {
            (Space::Shared, self.shared_region())
        } else {
            (
                Space::Global,
                self.global_region(address, lane, bytes, (Space::Global, "atomic operation"))?,
            )
        };
        let mut one = [0; LANES];
        one[lane as usize] = address;
        if inside(&region, &one, 1 << lane, bytes) == 0 {
            let message = format!(
                "atomic operation on {bytes} bytes at {address:#x}, past the end of {} bytes",
                region.bytes
            );
            let kind = if is_shared { FaultKind::OutOfBounds } else { FaultKind::IllegalAddress };
            return Err(Violation::new(kind, Some(lane), message));
        }
        let at = (address - region.address) as usize;
        self.check_initialized(space, &region, at, bytes as usize, lane)?;
        let transfer =
            Transfer { bytes, kind: Kind::Atomic, data: std::ptr::null_mut(), stride: 0 };
        self.note(warp, space, &region, at, bytes as usize, lane, &transfer, std::ptr::null())?;
        if !is_shared {
            self.synchronize_through(address);
        }
        // SAFETY: the address lies inside the region and is aligned; the region is memory of the
        // host that other threads reach through the same atomics, or by accesses the race check
        // reports.
        Ok(unsafe {
            let memory = region.data.add(at);
            let order = Ordering::SeqCst;
            match bytes {
                2 => {
                    let update = |x: u16| Some(apply(x.into()) as u16);
                    either(AtomicU16::from_ptr(memory.cast()).fetch_update(order, order, update))
                        .into()
                }
                4 => {
                    let update = |x: u32| Some(apply(x.into()) as u32);
                    either(AtomicU32::from_ptr(memory.cast()).fetch_update(order, order, update))
                        .into()
                }
                _ => {
                    let update = |x| Some(apply(x));
                    either(AtomicU64::from_ptr(memory.cast()).fetch_update(order, order, update))
                }
            }
        })
    }
}

/// Returns the old value, whether or not it was replaced.
fn either<T>(old: Result<T, T>) -> T {
    match old {
        Ok(old) | Err(old) => old,
    }
}
