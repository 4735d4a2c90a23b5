//! The 32 lanes of a warp: registers, and arithmetic operations over all lanes.
//!
//! A register is 32 values side by side. An operation is a closure on scalars, made into a loop
//! over the lanes by [`unary`], [`binary`] or [`ternary`]; the loop is compiled twice, plainly and
//! for AVX2 with FMA, and the version the host can run is chosen when the instruction is decoded.
//! All 32 lanes are computed (the closures have no side effects) and the active ones are kept.

use std::mem::{size_of, zeroed};

/// The number of lanes of a warp.
pub(crate) const LANES: usize = 32;
/// The mask of all lanes.
pub(crate) const ALL: u32 = u32::MAX;

/// The registers and predicates of the function a warp is in.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    /// First register; registers are addressed by byte offsets from here.
    pub(crate) registers: *mut u8,
    /// First predicate; a predicate has one bit per lane.
    pub(crate) predicates: *mut u32,
}

/// The operands of an arithmetic instruction: offsets of registers or predicates; `e` is a second
/// result, a fourth source or a constant, as the operation defines it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Operands {
    pub(crate) d: u32,
    pub(crate) e: u32,
    pub(crate) a: u32,
    pub(crate) b: u32,
    pub(crate) c: u32,
}

/// An operation on the active lanes of a frame.
///
/// # Safety
/// The operands must lie inside the frame and have the widths the operation was made for.
pub(crate) type Alu = unsafe fn(Frame, &Operands, u32);

/// A type a register can hold.
pub(crate) trait Lane: Copy + Default + 'static {}
impl Lane for u16 {}
impl Lane for i16 {}
impl Lane for u32 {}
impl Lane for i32 {}
impl Lane for f32 {}
impl Lane for u64 {}
impl Lane for i64 {}
impl Lane for f64 {}

impl Frame {
    /// Returns the values of a register.
    ///
    /// # Safety
    /// `offset` is that of a register of `T`'s width in this frame.
    #[inline(always)]
    pub(crate) unsafe fn get<T: Lane>(self, offset: u32) -> [T; LANES] {
        // SAFETY: by contract; registers are aligned to 64 bytes.
        unsafe { self.registers.add(offset as usize).cast::<[T; LANES]>().read() }
    }

    /// Replaces the active lanes of a register.
    ///
    /// # Safety
    /// As for [`Frame::get`].
    #[inline(always)]
    pub(crate) unsafe fn set<T: Lane>(self, offset: u32, values: &[T; LANES], mask: u32) {
        // SAFETY: by contract.
        let register = unsafe { &mut *self.registers.add(offset as usize).cast::<[T; LANES]>() };
        if mask == ALL {
            *register = *values;
        } else {
            for lane in 0..LANES {
                register[lane] = if mask >> lane & 1 != 0 { values[lane] } else { register[lane] };
            }
        }
    }

    /// Returns a predicate, which has one bit per lane.
    ///
    /// # Safety
    /// `index` is that of a predicate of this frame.
    #[inline(always)]
    pub(crate) unsafe fn predicate(self, index: u32) -> u32 {
        // SAFETY: by contract.
        unsafe { *self.predicates.add(index as usize) }
    }

    /// Replaces the active lanes of a predicate.
    ///
    /// # Safety
    /// As for [`Frame::predicate`].
    #[inline(always)]
    pub(crate) unsafe fn set_predicate(self, index: u32, value: u32, mask: u32) {
        // SAFETY: by contract.
        let predicate = unsafe { &mut *self.predicates.add(index as usize) };
        *predicate = *predicate & !mask | value & mask;
    }
}

/// An arithmetic operation together with the widths of its operands in bytes; 0 for none.
#[derive(Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) run: Alu,
    pub(crate) d: u32,
    pub(crate) sources: [u32; 3],
    /// Value of `Operands::e`.
    pub(crate) e: u32,
}

/// Returns whether the AVX2 version can be used.
fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Returns the closure of a zero-sized closure type.
#[inline(always)]
pub(super) fn conjure<F: Copy>() -> F {
    const { assert!(size_of::<F>() == 0, "an operation may not capture") };
    // SAFETY: a value of `F` existed when the operation was made, and it has no bytes.
    unsafe { zeroed() }
}

macro_rules! lane_loops {
    (
        $make:ident, $plain:ident, $avx2:ident, $body:ident,
        ($($arg:ident: $field:ident $ty:ident),+)
    ) => {
        #[inline(always)]
        unsafe fn $body<$($ty: Lane,)+ D: Lane, F: Fn($($ty),+) -> D + Copy>(
            frame: Frame,
            operands: &Operands,
            mask: u32,
        ) {
            let f = conjure::<F>();
            // SAFETY: the decoder checked the operands' widths.
            unsafe {
                $(let $arg = frame.get::<$ty>(operands.$field);)+
                let mut out = [D::default(); LANES];
                for lane in 0..LANES {
                    out[lane] = f($($arg[lane]),+);
                }
                frame.set(operands.d, &out, mask);
            }
        }

        unsafe fn $plain<$($ty: Lane,)+ D: Lane, F: Fn($($ty),+) -> D + Copy>(
            frame: Frame,
            operands: &Operands,
            mask: u32,
        ) {
            // SAFETY: the caller's promise is passed on.
            unsafe { $body::<$($ty,)+ D, F>(frame, operands, mask) }
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $avx2<$($ty: Lane,)+ D: Lane, F: Fn($($ty),+) -> D + Copy>(
            frame: Frame,
            operands: &Operands,
            mask: u32,
        ) {
            // SAFETY: the caller's promise is passed on.
            unsafe { $body::<$($ty,)+ D, F>(frame, operands, mask) }
        }

        /// Makes the operation that applies the closure to every lane.
        pub(crate) fn $make<$($ty: Lane,)+ D: Lane, F: Fn($($ty),+) -> D + Copy + 'static>(
            _: F,
        ) -> Operation {
            let mut sources = [0; 3];
            for (source, bytes) in sources.iter_mut().zip([$(size_of::<$ty>() as u32),+]) {
                *source = bytes;
            }
            let mut run: Alu = $plain::<$($ty,)+ D, F>;
            #[cfg(target_arch = "x86_64")]
            if has_avx2() {
                run = $avx2::<$($ty,)+ D, F>;
            }
            let _ = has_avx2;
            Operation { run, d: size_of::<D>() as u32, sources, e: 0 }
        }
    };
}

lane_loops!(unary, unary_plain, unary_avx2, unary_body, (a: a A));
lane_loops!(binary, binary_plain, binary_avx2, binary_body, (a: a A, b: b B));
lane_loops!(ternary, ternary_plain, ternary_avx2, ternary_body, (a: a A, b: b B, c: c C));

/// A comparison of two registers, which returns the lanes where it holds.
///
/// # Safety
/// As for [`Alu`]; the arguments are the offsets of the two registers.
pub(crate) type Comparison = unsafe fn(Frame, u32, u32) -> u32;

#[inline(always)]
unsafe fn compare_body<T: Lane, F: Fn(T, T) -> bool + Copy>(frame: Frame, a: u32, b: u32) -> u32 {
    let f = conjure::<F>();
    // SAFETY: the decoder checked the operands' widths.
    let (a, b) = unsafe { (frame.get::<T>(a), frame.get::<T>(b)) };
    let mut holds = [0u8; LANES];
    for lane in 0..LANES {
        holds[lane] = u8::from(f(a[lane], b[lane]));
    }
    pack(&holds)
}

/// Packs 32 bytes that are 0 or 1 into bits.
#[inline(always)]
fn pack(bytes: &[u8; LANES]) -> u32 {
    let mut mask = 0;
    for (i, chunk) in bytes.as_chunks::<8>().0.iter().enumerate() {
        // The multiplication moves bit 0 of byte j to bit 56 + j.
        let eight = u64::from_le_bytes(*chunk).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        mask |= (eight as u32) << (8 * i);
    }
    mask
}

unsafe fn compare_plain<T: Lane, F: Fn(T, T) -> bool + Copy>(frame: Frame, a: u32, b: u32) -> u32 {
    // SAFETY: the caller's promise is passed on.
    unsafe { compare_body::<T, F>(frame, a, b) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn compare_avx2<T: Lane, F: Fn(T, T) -> bool + Copy>(frame: Frame, a: u32, b: u32) -> u32 {
    // SAFETY: the caller's promise is passed on.
    unsafe { compare_body::<T, F>(frame, a, b) }
}

/// Makes the comparison that applies the closure to every lane.
pub(crate) fn comparison<T: Lane, F: Fn(T, T) -> bool + Copy + 'static>(_: F) -> Comparison {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        return compare_avx2::<T, F>;
    }
    compare_plain::<T, F>
}

/// Iterates over the lanes of a mask, lowest first.
pub(crate) fn lanes_of(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lane = (mask != 0).then(|| mask.trailing_zeros() as usize)?;
        mask &= mask - 1;
        Some(lane)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pack_takes_one_bit_of_each_byte() {
        for mask in [0u32, 1, 0x8000_0000, 0xDEAD_BEEF, ALL] {
            let bytes = std::array::from_fn(|lane| (mask >> lane & 1) as u8);
            assert_eq!(pack(&bytes), mask);
        }
        assert_eq!(lanes_of(0b1010).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn inactive_lanes_keep_their_value() {
        let operation = binary(|a: u32, b: u32| a + b);
        let mut registers = [[7u32; LANES], [1; LANES], [2; LANES]];
        let frame = Frame { registers: registers.as_mut_ptr().cast(), predicates: &mut 0 };
        let operands = Operands { d: 0, a: 128, b: 256, ..Default::default() };
        // SAFETY: three registers of four bytes a lane.
        unsafe { (operation.run)(frame, &operands, 0b100) };
        assert_eq!((registers[0][1], registers[0][2], registers[0][3]), (7, 3, 7));
    }
}
