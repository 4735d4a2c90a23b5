//! Asynchronous copies from global to shared memory: cp.async and its groups.
//!
//! The source is read when the copy is issued; the destination is written when the copy is waited
//! for. Between the two, the destination counts as never written, so that a kernel that forgets to
//! wait is found out. The race check sees a write both times, because the write may happen at any
//! moment between them.

use super::access::{Addresses, Transfer, check_alignment, inside};
use super::block::Worker;
use super::fault::{FaultKind, Violation};
use super::lanes::{Frame, LANES, lanes_of};
use super::load_store::{addresses, take_cache_hints};
use super::operation::Op;
use super::warp::Warp;
use crate::counters::Class;
use crate::ptx::Operand;
use crate::ptx::decode::{Address, Decoded, Decoder, Opcode, Space};
use crate::sanitizer::Kind;

/// An instruction of the `cp.async` family.
#[derive(Debug)]
pub(crate) enum AsyncCopy {
    Copy {
        to: Address,
        from: Address,
        bytes: u32,
        /// Register with the number of bytes to read; the rest of the element is filled with zeros.
        source_bytes: Option<u32>,
    },
    /// Closes the group of the copies since the last one.
    Commit,
    /// Waits until at most this many groups are pending.
    Wait(u32),
    WaitAll,
}

/// A copy of a warp that has been issued.
#[derive(Debug)]
struct Pending {
    mask: u32,
    to: Addresses,
    bytes: u32,
    data: [[u8; 16]; LANES],
    /// Number of the group of each lane.
    group: [u32; LANES],
}

/// The copies that a warp has under way.
#[derive(Debug, Default)]
pub(crate) struct AsyncCopies {
    pending: Vec<Pending>,
    /// Number of groups that each lane has closed.
    closed: [u32; LANES],
}

impl AsyncCopies {
    /// Forgets all copies.
    pub(crate) fn clear(&mut self) {
        self.pending.clear();
        self.closed = [0; LANES];
    }
}

/// Decodes `cp.async…`.
pub(crate) fn decode<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    if !opcode.take("async") {
        return Err(opcode.unknown());
    }
    let copy = match (opcode.take_one(&["commit_group", "wait_group", "wait_all"]), operands) {
        (Some("commit_group"), []) => AsyncCopy::Commit,
        (Some("wait_group"), [Operand::Integer(n)]) => AsyncCopy::Wait(*n as u32),
        (Some("wait_all"), []) => AsyncCopy::WaitAll,
        (None, [to, from, Operand::Integer(bytes), rest @ ..]) if rest.len() <= 1 => {
            let bytes = *bytes as u32;
            take_cache_hints(opcode);
            let to_shared = opcode.take("shared") || opcode.take("shared::cta");
            if !to_shared || !opcode.take("global") || !matches!(bytes, 4 | 8 | 16) {
                return Err(opcode.unknown());
            }
            // With a source size, only part of the element may be read: any multiple of four bytes.
            decoder.note_access(if rest.is_empty() { bytes } else { 4 });
            let source_bytes = match rest.first() {
                Some(operand) if decoder.is_predicate(operand) => return Err(opcode.unknown()),
                Some(operand) => Some(decoder.source(operand, 4)?),
                None => None,
            };
            let (to, from) = (decoder.address(to)?, decoder.address(from)?);
            AsyncCopy::Copy { to, from, bytes, source_bytes }
        }
        _ => return Err(opcode.unknown()),
    };
    Ok((Op::AsyncCopy(Box::new(copy)), Class::Memory))
}

impl Worker<'_> {
    /// Carries out an instruction of the family for the lanes of `mask`.
    pub(crate) fn async_copy(
        &mut self,
        warp: &mut Warp,
        frame: Frame,
        copy: &AsyncCopy,
        mask: u32,
    ) -> Result<(), Box<Violation>> {
        match *copy {
            AsyncCopy::Copy { to, from, bytes, source_bytes } => {
                let to = addresses(frame, &to);
                let from = addresses(frame, &from);
                // SAFETY: the decoder checked the width.
                let wanted = source_bytes
                    .map_or([bytes; LANES], |register| unsafe { frame.get::<u32>(register) });
                self.issue(warp, to, &from, bytes, &wanted, mask)
            }
            AsyncCopy::Commit => {
                for lane in lanes_of(mask) {
                    warp.copies.closed[lane] += 1;
                }
                Ok(())
            }
            AsyncCopy::Wait(allowed) => {
                let limit = warp.copies.closed.map(|closed| closed.saturating_sub(allowed));
                self.complete(warp, mask, &limit)
            }
            AsyncCopy::WaitAll => self.complete(warp, mask, &[u32::MAX; LANES]),
        }
    }

    fn issue(
        &mut self,
        warp: &mut Warp,
        to: Addresses,
        from: &Addresses,
        bytes: u32,
        wanted: &[u32; LANES],
        mask: u32,
    ) -> Result<(), Box<Violation>> {
        let mut data = [[0u8; 16]; LANES];
        // Lanes that read the same number of bytes go together.
        let mut rest = mask;
        while rest != 0 {
            let amount = wanted[rest.trailing_zeros() as usize];
            let group =
                lanes_of(rest).filter(|&l| wanted[l] == amount).fold(0, |group, l| group | 1 << l);
            rest &= !group;
            if amount > bytes || (amount != bytes && !amount.is_multiple_of(4)) {
                let message = format!("cp.async of {amount} of {bytes} bytes");
                let lane = Some(group.trailing_zeros());
                return Err(Violation::new(FaultKind::Unsupported, lane, message));
            }
            if amount != 0 {
                // The address is aligned as for the whole element, however little of it is read.
                check_alignment(Space::Global, from, group, bytes, "asynchronous load")?;
                let side = data.as_mut_ptr().cast();
                let transfer = Transfer { bytes: amount, kind: Kind::Read, data: side, stride: 16 };
                self.transfer(warp, Space::Global, from, group, &transfer)?;
            }
        }
        self.counters.async_copy_bytes += u64::from(bytes) * u64::from(mask.count_ones());
        check_alignment(Space::Shared, &to, mask, bytes, "asynchronous store")?;
        let region = self.shared_region();
        let side = data.as_mut_ptr().cast();
        let transfer = Transfer { bytes, kind: Kind::Write, data: side, stride: 16 };
        let outside = mask & !inside(&region, &to, mask, bytes);
        if outside != 0 {
            return Err(self.shared_out_of_bounds(&to, outside, &transfer));
        }
        for lane in lanes_of(mask) {
            let (at, size) = (to[lane] as usize, bytes as usize);
            // The memory is compared with itself: whether two writes agree is only known when the
            // data arrive.
            let unchanged = region.data.wrapping_add(at);
            let space = Space::Shared;
            self.note(warp, space, &region, at, size, lane as u32, &transfer, unchanged)?;
            // While the copy is in flight, the destination holds nothing that may be read.
            unsafe { region.initialized.add(at).write_bytes(0, size) };
        }
        let group = warp.copies.closed;
        warp.copies.pending.push(Pending { mask, to, bytes, data, group });
        Ok(())
    }

    /// Finishes the copies of groups below `limit`, for the lanes of `mask`.
    fn complete(
        &mut self,
        warp: &mut Warp,
        mask: u32,
        limit: &[u32; LANES],
    ) -> Result<(), Box<Violation>> {
        let mut pending = std::mem::take(&mut warp.copies.pending);
        for copy in &mut pending {
            let done = lanes_of(copy.mask & mask)
                .filter(|&lane| copy.group[lane] < limit[lane])
                .fold(0, |done, lane| done | 1 << lane);
            if done == 0 {
                continue;
            }
            copy.mask &= !done;
            let data = copy.data.as_mut_ptr().cast();
            let transfer = Transfer { bytes: copy.bytes, kind: Kind::Write, data, stride: 16 };
            self.transfer(warp, Space::Shared, &copy.to, done, &transfer)?;
        }
        pending.retain(|copy| copy.mask != 0);
        warp.copies.pending = pending;
        Ok(())
    }
}
