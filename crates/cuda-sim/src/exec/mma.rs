//! The matrix multiply-accumulate of a warp, mma.sync, for f64, tf32, f16 and bf16.
//!
//! The fragments are laid out as the PTX ISA describes them. Every product is exact and the sums
//! of an element go through fused multiply-adds in the accumulator's type, in the order of k; the
//! ISA leaves the order and the precision of the intermediate sums of narrow types open.

use super::block::Worker;
use super::fault::{FaultKind, Violation};
use super::half::decode16;
use super::lanes::{ALL, Frame, LANES};
use super::operation::Op;
use super::warp::Warp;
use crate::counters::Class;
use crate::ptx::Operand;
use crate::ptx::decode::{Decoded, Decoder, Opcode};
use crate::ptx::types::Type;

/// An `mma.sync`: D = A·B + C with A of m×k, B of k×n.
#[derive(Debug)]
pub(crate) struct Mma {
    m: usize,
    n: usize,
    k: usize,
    element: Type,
    d: Vec<u32>,
    a: Vec<u32>,
    b: Vec<u32>,
    c: Vec<u32>,
}

/// Decodes `mma.sync.aligned.shape.row.col.dtype.atype.btype.ctype d, a, b, c`.
pub(crate) fn decode<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    opcode.take("aligned");
    let shape = opcode.take_one(&["m8n8k4", "m16n8k4", "m16n8k8", "m16n8k16"]);
    let layout = opcode.take("sync") && opcode.take("row") && opcode.take("col");
    let types =
        [opcode.take_type()?, opcode.take_type()?, opcode.take_type()?, opcode.take_type()?];
    let ([d, a, b, c], true) = (operands, layout) else {
        return Err(opcode.unknown());
    };
    let element = types[1];
    let (m, n, k) = match (shape, types) {
        (Some("m8n8k4"), [Type::F64, Type::F64, Type::F64, Type::F64]) => (8, 8, 4),
        (Some("m16n8k4"), [Type::F32, Type::Tf32, Type::Tf32, Type::F32]) => (16, 8, 4),
        (Some("m16n8k8"), [Type::F32, Type::Tf32, Type::Tf32, Type::F32]) => (16, 8, 8),
        (Some("m16n8k8"), [Type::F32, Type::F16, Type::F16, Type::F32]) => (16, 8, 8),
        (Some("m16n8k8"), [Type::F32, Type::Bf16, Type::Bf16, Type::F32]) => (16, 8, 8),
        (Some("m16n8k16"), [Type::F32, Type::F16, Type::F16, Type::F32]) => (16, 8, 16),
        (Some("m16n8k16"), [Type::F32, Type::Bf16, Type::Bf16, Type::F32]) => (16, 8, 16),
        _ => return Err(opcode.unknown()),
    };
    let wide = if element == Type::F64 { 8 } else { 4 };
    let per_register = if element.bytes() == 2 { 2 } else { 1 };
    let mut sources = |operand: &Operand<'a>, elements: usize| {
        let list = list(operand);
        if list.len() * LANES != elements {
            return Err(format!("{} registers for {elements} elements", list.len()));
        }
        list.iter().map(|register| decoder.source(register, wide)).collect::<Decoded<Vec<_>>>()
    };
    let a = sources(a, m * k / per_register)?;
    let b = sources(b, k * n / per_register)?;
    let c = sources(c, m * n)?;
    if list(d).len() != c.len() {
        return Err(format!("{} result registers for {} elements", list(d).len(), m * n));
    }
    let d = list(d).iter().map(|d| decoder.result(d, wide)).collect::<Decoded<Vec<_>>>()?;
    Ok((Op::Mma(Box::new(Mma { m, n, k, element, d, a, b, c })), Class::Matrix))
}

/// Returns the registers of a fragment; a fragment of one register may stand without braces.
fn list<'x, 'a>(operand: &'x Operand<'a>) -> &'x [Operand<'a>] {
    match operand {
        Operand::Vector(list) => list,
        single => std::slice::from_ref(single),
    }
}

impl Mma {
    /// Returns row and column of element `i` of lane `lane` of A.
    fn place_a(&self, lane: usize, i: usize) -> (usize, usize) {
        let (group, thread) = (lane / 4, lane % 4);
        match self.element {
            // Rows of the elements alternate by 8, then columns by 4.
            Type::F64 | Type::Tf32 => (group + 8 * (i % 2), thread + 4 * (i / 2)),
            // The elements are pairs of neighbors in k; pairs alternate rows by 8, then columns by
            // 8.
            _ => (group + 8 * (i / 2 % 2), 2 * thread + i % 2 + 8 * (i / 4)),
        }
    }

    /// Returns row and column of element `i` of lane `lane` of B.
    fn place_b(&self, lane: usize, i: usize) -> (usize, usize) {
        let (group, thread) = (lane / 4, lane % 4);
        match self.element {
            Type::F64 | Type::Tf32 => (thread + 4 * i, group),
            _ => (2 * thread + i % 2 + 8 * (i / 2), group),
        }
    }

    /// Returns row and column of element `i` of lane `lane` of C and D.
    fn place_c(lane: usize, i: usize) -> (usize, usize) {
        (lane / 4 + 8 * (i / 2), 2 * (lane % 4) + i % 2)
    }
}

impl Worker<'_> {
    /// Carries out an `mma.sync`, which all lanes of the warp must execute.
    pub(crate) fn mma(
        &mut self,
        warp: &mut Warp,
        frame: Frame,
        mma: &Mma,
        mask: u32,
    ) -> Result<(), Box<Violation>> {
        if mask != ALL {
            let message = format!("mma.sync is executed by lanes {mask:#010x} only");
            let lane = Some(mask.trailing_zeros());
            return Err(Violation::new(FaultKind::BarrierDivergence, lane, message));
        }
        warp.synchronize_lanes();
        let (m, n, k) = (mma.m, mma.n, mma.k);
        // The largest shape is 16×8×16, and inputs are exact in f64.
        let (mut a, mut b) = ([[0.0f64; 16]; 16], [[0.0f64; 8]; 16]);
        for lane in 0..LANES {
            for i in 0..m * k / LANES {
                let (row, column) = mma.place_a(lane, i);
                a[row][column] = mma.value(frame, &mma.a, lane, i);
            }
            for i in 0..k * n / LANES {
                let (row, column) = mma.place_b(lane, i);
                b[row][column] = mma.value(frame, &mma.b, lane, i);
            }
        }
        let flops = (2 * m * n * k) as u64;
        if mma.element == Type::F64 {
            self.counters.matrix_f64_flops += flops;
        } else {
            self.counters.matrix_other_flops += flops;
        }
        // SAFETY (both blocks): the decoder checked the widths. All sources are read before the
        // first result is written, since they may share registers.
        if mma.element == Type::F64 {
            let mut sums: Vec<_> = mma.c.iter().map(|&c| unsafe { frame.get::<f64>(c) }).collect();
            for (i, out) in sums.iter_mut().enumerate() {
                for (lane, sum) in out.iter_mut().enumerate() {
                    let (row, column) = Mma::place_c(lane, i);
                    *sum = (0..k).fold(*sum, |sum, j| a[row][j].mul_add(b[j][column], sum));
                }
            }
            for (&d, out) in mma.d.iter().zip(&sums) {
                unsafe { frame.set(d, out, ALL) };
            }
        } else {
            let mut sums: Vec<_> = mma.c.iter().map(|&c| unsafe { frame.get::<f32>(c) }).collect();
            for (i, out) in sums.iter_mut().enumerate() {
                for (lane, sum) in out.iter_mut().enumerate() {
                    let (row, column) = Mma::place_c(lane, i);
                    *sum = (0..k)
                        .fold(*sum, |sum, j| (a[row][j] as f32).mul_add(b[j][column] as f32, sum));
                }
            }
            for (&d, out) in mma.d.iter().zip(&sums) {
                unsafe { frame.set(d, out, ALL) };
            }
        }
        Ok(())
    }
}

impl Mma {
    /// Returns element `i` of a lane's fragment.
    fn value(&self, frame: Frame, registers: &[u32], lane: usize, i: usize) -> f64 {
        // SAFETY (all blocks below): the decoder checked the widths.
        match self.element {
            Type::F64 => unsafe { frame.get::<f64>(registers[i])[lane] },
            // The low 13 bits of a tf32 number are ignored.
            Type::Tf32 => unsafe {
                f32::from_bits(frame.get::<u32>(registers[i])[lane] & !0x1FFF).into()
            },
            element => unsafe {
                let pair = frame.get::<u32>(registers[i / 2])[lane];
                decode16((pair >> (16 * (i % 2))) as u16, element == Type::Bf16)
            },
        }
    }
}
