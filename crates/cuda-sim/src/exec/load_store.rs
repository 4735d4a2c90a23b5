//! Loads and stores (`ld`, `ldu`, `st` and their vectors): how they are decoded and what they do.
//!
//! Bounds, races and counters are the business of `access.rs`, which moves the bytes.
//! [`addresses`], [`space`] and the functions that take modifiers also serve `atomics.rs` and
//! `cp_async.rs`; the rest is for this file alone.

use super::access::{Addresses, Transfer};
use super::block::Worker;
use super::fault::Violation;
use super::lanes::{ALL, Frame, LANES, Lane, lanes_of};
use super::operation::Op;
use super::warp::Warp;
use crate::counters::Class;
use crate::ptx::Operand;
use crate::ptx::decode::{Address, Decoded, Decoder, Opcode, Space};
use crate::sanitizer::Kind;

/// A load or store of one to four elements per lane.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) space: Space,
    pub(crate) address: Address,
    /// Element size in bytes.
    pub(crate) bytes: u32,
    /// Whether a load extends elements narrower than their register by their sign, not by zeros.
    pub(crate) signed: bool,
    /// Whether it reads or writes, and whether it is strong; a strong store counts as an atomic
    /// one.
    pub(crate) kind: Kind,
    /// The register of each element: where it begins in the frame, and its bytes for one lane.
    /// `None` is an element that is loaded and discarded (`_`).
    pub(crate) registers: Vec<Option<(u32, u32)>>,
}

/// Returns the addresses that an operand gives, lane by lane.
pub(crate) fn addresses(frame: Frame, address: &Address) -> Addresses {
    let offset = address.offset as u64;
    // SAFETY: the decoder checked the width of the base.
    unsafe {
        if address.base_bytes == 8 {
            frame.get::<u64>(address.base).map(|base| base.wrapping_add(offset))
        } else {
            frame.get::<u32>(address.base).map(|base| u64::from(base.wrapping_add(offset as u32)))
        }
    }
}

/// Takes the state space of an opcode; an opcode without one has a generic address. Of the
/// parameters, only those of a call (`param::func`) are told apart here: `param` alone may mean
/// either kind, which [`decode`] settles.
pub(crate) fn space(opcode: &mut Opcode<'_>) -> Space {
    let names = [
        "global",
        "const",
        "shared",
        "shared::cta",
        "local",
        "param",
        "param::entry",
        "param::func",
    ];
    match opcode.take_one(&names) {
        Some("global") => Space::Global,
        Some("const") => Space::Const,
        Some("shared" | "shared::cta") => Space::Shared,
        Some("local" | "param::func") => Space::Local,
        Some(_) => Space::KernelParam,
        None => Space::Generic,
    }
}

/// Takes modifiers that say how to cache, which have no effect on the outcome.
pub(crate) fn take_cache_hints(opcode: &mut Opcode<'_>) {
    opcode.take_one(&["ca", "cg", "cs", "lu", "cv", "wb", "wt"]);
    opcode.take_prefixed("L1::");
    // There may be two: `L2::cache_hint`, and the size of a prefetch such as `L2::128B`.
    opcode.take_prefixed("L2::");
    opcode.take_prefixed("L2::");
}

/// Takes memory-ordering modifiers; returns whether the access is a strong one.
pub(crate) fn take_ordering(opcode: &mut Opcode<'_>) -> bool {
    let strong = opcode
        .take_one(&["volatile", "relaxed", "acquire", "release", "acq_rel", "mmio"])
        .is_some();
    let weak = opcode.take("weak");
    opcode.take_one(&["cta", "cluster", "gpu", "sys"]);
    strong && !weak
}

/// Decodes `ld`, `ldu` and `st`.
pub(crate) fn decode<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    let is_load = opcode.name != "st";
    let strong = take_ordering(opcode);
    let mut space = space(opcode);
    opcode.take("nc");
    take_cache_hints(opcode);
    let count = match opcode.take_one(&["v2", "v4", "v8"]) {
        Some("v2") => 2,
        Some("v4") => 4,
        Some(_) => 8,
        None => 1,
    };
    let ty = opcode.take_type()?;
    let bytes = ty.bytes();
    if bytes == 0 || bytes == 16 || bytes * count > 16 {
        return Err(format!("{}: accesses of more than 16 bytes", opcode.unknown()));
    }
    let [first, second] = operands else {
        return Err("two operands are expected".into());
    };
    let (value, address) = if is_load { (first, second) } else { (second, first) };
    let address = decoder.address(address)?;
    if matches!(space, Space::KernelParam) {
        // `.param` means the kernel's parameters, or those of a call or a device function.
        space = match address.space {
            Some(space) => space,
            None if decoder.is_entry => Space::KernelParam,
            None => Space::Local,
        };
    }
    if !matches!(space, Space::Local | Space::KernelParam | Space::Const) {
        decoder.note_access(bytes);
    }
    if strong && matches!(space, Space::Global | Space::Generic) {
        // Other blocks may write what a strong load sees, and a strong store races with none of
        // their strong accesses. In block order both are the same in every run; a block that waits
        // for a flag of a later one then runs into the watchdog (so it might on a device, where
        // nothing promises that the later block is resident).
        decoder.note_order_dependence();
    }
    let single = std::slice::from_ref(value);
    let elements = match value {
        Operand::Vector(elements) => elements.as_slice(),
        _ => single,
    };
    if elements.len() != count as usize {
        return Err(format!("{} registers for {count} elements", elements.len()));
    }
    let mut registers = Vec::new();
    for element in elements {
        let register = match (is_load, element) {
            (true, Operand::Name("_", 0)) => None,
            (true, _) => Some(decoder.result_any(element)?),
            (false, _) => Some(decoder.source_any(element, ty.register_bytes())?),
        };
        if register.is_some_and(|(_, width)| width < bytes) {
            return Err(format!("{element:?} is too narrow for {} bits", 8 * bytes));
        }
        registers.push(register);
    }
    let kind = match (is_load, strong) {
        (true, false) => Kind::Read,
        (true, true) => Kind::StrongRead,
        (false, false) => Kind::Write,
        (false, true) => Kind::Atomic,
    };
    let signed = ty.is_signed();
    let access = Access { space, address, bytes, signed, kind, registers };
    Ok((Op::Access(Box::new(access)), Class::Memory))
}

/// The bytes that each lane sends or receives, in the order of memory. A transfer goes through such
/// a copy if it has several elements, or one that its register is wider than.
type Staged = [[u8; 16]; LANES];

impl Worker<'_> {
    /// Carries out a load or store for the lanes of `mask`.
    pub(crate) fn access(
        &mut self,
        warp: &mut Warp,
        frame: Frame,
        access: &Access,
        mask: u32,
    ) -> Result<(), Box<Violation>> {
        let addresses = addresses(frame, &access.address);
        let is_load = matches!(access.kind, Kind::Read | Kind::StrongRead);
        // One element that fills its register moves between memory and the register directly.
        if let [Some((register, width))] = access.registers[..]
            && width == access.bytes
        {
            // SAFETY: the register has `width` bytes for each lane.
            let data = unsafe { frame.registers.add(register as usize) };
            let (kind, stride) = (access.kind, width as usize);
            let transfer = Transfer { bytes: access.bytes, kind, data, stride };
            return self.transfer(warp, access.space, &addresses, mask, &transfer);
        }
        let mut staged: Staged = [[0; 16]; LANES];
        let total = access.bytes * access.registers.len() as u32;
        if !is_load {
            stage(frame, access, &mut staged);
        }
        let data = staged.as_mut_ptr().cast();
        let transfer = Transfer { bytes: total, kind: access.kind, data, stride: 16 };
        self.transfer(warp, access.space, &addresses, mask, &transfer)?;
        if is_load {
            unstage(frame, access, &staged, mask);
        }
        Ok(())
    }
}

/// Copies what a store writes from the registers of all lanes to `staged`.
fn stage(frame: Frame, access: &Access, staged: &mut Staged) {
    let bytes = access.bytes as usize;
    for (i, &(register, width)) in access.registers.iter().flatten().enumerate() {
        for (lane, bytes_of_lane) in staged.iter_mut().enumerate() {
            // SAFETY: the register has `width` ≥ `bytes` bytes for each lane; little endian, so
            // its low part comes first.
            unsafe {
                let at = register as usize + lane * width as usize;
                let from = frame.registers.add(at);
                bytes_of_lane[i * bytes..].as_mut_ptr().copy_from(from, bytes);
            }
        }
    }
}

/// Copies what a load has read from `staged` to the registers of the lanes in `mask`, extended to
/// the width of the register.
fn unstage(frame: Frame, access: &Access, staged: &Staged, mask: u32) {
    let bytes = access.bytes as usize;
    for (i, register) in access.registers.iter().enumerate() {
        let Some((register, width)) = *register else {
            continue;
        };
        let value = |lane: usize| {
            let mut value = [0; 8];
            value[..bytes].copy_from_slice(&staged[lane][i * bytes..][..bytes]);
            let value = u64::from_le_bytes(value);
            let unused = 64 - 8 * bytes as u32;
            if access.signed { ((value << unused) as i64 >> unused) as u64 } else { value }
        };
        match width {
            2 => write(frame, register, mask, |lane| value(lane) as u16),
            4 => write(frame, register, mask, |lane| value(lane) as u32),
            _ => write(frame, register, mask, value),
        }
    }
}

/// Writes a value for each lane of `mask` to a register.
fn write<T: Lane>(frame: Frame, register: u32, mask: u32, value: impl Fn(usize) -> T) {
    let mut values = [T::default(); LANES];
    if mask == ALL {
        values = std::array::from_fn(value);
    } else {
        for lane in lanes_of(mask) {
            values[lane] = value(lane);
        }
    }
    // SAFETY: the decoder checked the width.
    unsafe { frame.set(register, &values, mask) };
}
