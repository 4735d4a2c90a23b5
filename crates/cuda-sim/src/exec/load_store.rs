//! Loads and stores: ld, st, ldu and their vectors.

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
    /// Whether elements narrower than their register are sign-extended.
    pub(crate) signed: bool,
    pub(crate) kind: Kind,
    /// Registers and their widths; `None` for an element that is discarded.
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

/// Takes the state space of an opcode; none is generic.
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

/// The lanes' sides of a transfer whose elements do not lie in registers as in memory.
pub(crate) type Staged = [[u8; 16]; LANES];

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

/// Copies registers to the lanes' sides of a store.
fn stage(frame: Frame, access: &Access, staged: &mut Staged) {
    let bytes = access.bytes as usize;
    for (i, &(register, width)) in access.registers.iter().flatten().enumerate() {
        for (lane, side) in staged.iter_mut().enumerate() {
            // SAFETY: the register has `width` ≥ `bytes` bytes for each lane; little endian, so
            // its low part comes first.
            unsafe {
                let at = register as usize + lane * width as usize;
                let from = frame.registers.add(at);
                side[i * bytes..].as_mut_ptr().copy_from(from, bytes);
            }
        }
    }
}

/// Copies the lanes' sides of a load to registers.
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
