//! Substitution along a chain of blocks of a size that is known when it is compiled, with the unknowns of a
//! block in registers: the same operations in the same order as for any size, and so the same bits.

use super::Sweep;
use super::probe::Probes;
use crate::backend::cpu::block::Entry;
use crate::backend::cpu::lanes::{Vector, unrolled};
use crate::backend::cpu::layout::{Layout, triangle};
use crate::backend::cpu::smoothness::Smoothness;
use std::ops::Range;

impl<V: Vector> Sweep<'_, V> {
    /// Does what [`forward`](Self::forward) does, without a residual.
    #[inline(always)]
    pub(super) fn forward_chain<E: Entry<V>, const T: usize, const P: usize>(
        &mut self,
        layout: &Layout,
        factor: &[E],
        given: &[V],
        v: &mut [V],
    ) {
        match layout.opening && !E::SHARED {
            false => self.forward_part::<T, P, false>(layout, factor, given, v),
            true => self.forward_part::<T, P, true>(layout, factor, given, v),
        }
    }

    /// Does what [`backward`](Self::backward) does.
    #[inline(always)]
    pub(super) fn backward_chain<E: Entry<V>, const T: usize, const P: usize>(
        &mut self,
        layout: &Layout,
        factor: &[E],
        range: Range<usize>,
        x: &mut [V],
        probes: &mut Probes<'_, V>,
    ) {
        match (layout.opening && !E::SHARED, probes.of.len()) {
            (false, 0) => self.backward_part::<T, P, 1, false>(layout, factor, range, x, probes),
            (false, 1) if !E::SHARED => {
                self.backward_part::<T, P, 2, false>(layout, factor, range, x, probes);
            }
            (true, 0) => self.backward_part::<T, P, 1, true>(layout, factor, range, x, probes),
            (true, 2) => self.backward_part::<T, P, 3, true>(layout, factor, range, x, probes),
            _ => unreachable!("whole systems have one probe, parts of one two"),
        }
    }

    #[inline(always)]
    fn forward_part<const T: usize, const P: usize, const PART: bool>(
        &mut self,
        layout: &Layout,
        factor: &[impl Entry<V>],
        given: &[V],
        v: &mut [V],
    ) {
        let ((given, _), (v, _)) = (given.as_chunks::<P>(), v.as_chunks_mut::<P>());
        let zero = [V::default(); P];
        let (mut y, mut border) = (zero, zero);
        for t in 0..layout.chain {
            let mut now = y;
            for i in 0..P {
                now[i] += given[t][i];
            }
            y = zero;
            if PART && t == 0 {
                border = now;
                continue;
            }
            let (r, panel) = rows_of::<_, P>(factor, layout, t);
            transposed(r, &mut now);
            if PART {
                for i in 0..P {
                    for j in 0..P {
                        border[j] = border[j].minus(panel[i][j].lanes(), now[i]);
                    }
                }
            }
            v[t] = now;
            if t + 1 < layout.points {
                self.update::<T>(layout, t);
                upper(r, &mut now);
                for k in 0..P / T {
                    let e = coupling::<V, T>(&self.room.smoothness, k);
                    for i in 0..T {
                        for j in 0..T {
                            y[k * T + j] = y[k * T + j].minus(e[i][j], now[k * T + i]);
                        }
                    }
                }
            }
        }
        if PART {
            if layout.chain < layout.points {
                for i in 0..P {
                    v[layout.chain][i] = y[i] + given[layout.chain][i];
                }
            }
            v[layout.points] = border;
        }
    }

    /// Solves for X vectors, x and the probes.
    #[inline(always)]
    fn backward_part<const T: usize, const P: usize, const X: usize, const PART: bool>(
        &mut self,
        layout: &Layout,
        factor: &[impl Entry<V>],
        range: Range<usize>,
        x: &mut [V],
        Probes { whole, of: probes }: &mut Probes<'_, V>,
    ) {
        let ((x, _), (whole, _)) = (x.as_chunks_mut::<P>(), whole.as_chunks::<P>());
        let (start, end) = (range.start.max(usize::from(PART)), range.end.min(layout.chain));
        let (mut next, mut border) = ([[V::default(); P]; X], [[V::default(); P]; X]);
        if end < layout.points {
            next[0] = x[end];
        }
        if PART {
            border[0] = x[layout.points];
        }
        for i in 1..X {
            next[i].copy_from_slice(&probes[i - 1].blocks[..P]);
            if PART {
                border[i].copy_from_slice(&probes[i - 1].border);
            }
        }
        for t in (start..end).rev() {
            let coupled = t + 1 < layout.points;
            if coupled {
                self.update::<T>(layout, t);
            }
            let (r, panel) = rows_of::<_, P>(factor, layout, t);
            for which in 0..X {
                let mut now = if which == 0 { x[t] } else { probes[which - 1].unit_block(t) };
                // The border first, which need not wait for the block after this one.
                if PART {
                    for i in 0..P {
                        for j in 0..P {
                            now[i] = now[i].minus(panel[i][j].lanes(), border[which][j]);
                        }
                    }
                }
                if coupled {
                    let mut product = [V::default(); P];
                    for k in 0..P / T {
                        let e = coupling::<V, T>(&self.room.smoothness, k);
                        for i in 0..T {
                            let mut sum = e[i][0] * next[which][k * T];
                            for j in 1..T {
                                sum = sum.plus(e[i][j], next[which][k * T + j]);
                            }
                            product[k * T + i] = sum;
                        }
                    }
                    transposed(r, &mut product);
                    for i in 0..P {
                        now[i] -= product[i];
                    }
                }
                upper(r, &mut now);
                if which == 0 {
                    x[t] = now;
                } else {
                    probes[which - 1].finish(&mut now, &whole[t]);
                }
                next[which] = now;
            }
        }
        for i in 1..X {
            probes[i - 1].blocks[..P].copy_from_slice(&next[i]);
        }
    }
}

/// Returns the packed triangle R_tt and the rows of the border.
#[inline(always)]
fn rows_of<'a, F, const P: usize>(
    factor: &'a [F],
    layout: &Layout,
    t: usize,
) -> (&'a [F], &'a [[F; P]]) {
    let row = &factor[t * layout.row_values()..][..layout.row_values()];
    let (r, panel) = row.split_at(triangle(P));
    (r, panel.as_chunks().0)
}

/// Returns E of state k.
#[inline(always)]
fn coupling<V: Vector, const T: usize>(smoothness: &Smoothness<V>, k: usize) -> &[[V; T]] {
    let (rows, _) = smoothness.block(k, 1)[..T * T].as_chunks::<T>();
    rows
}

/// Solves Rᵀ v = y in place.
#[inline(always)]
fn transposed<V: Vector, const P: usize>(r: &[impl Entry<V>], y: &mut [V; P]) {
    unrolled!(i in 0..P => {
        let row = &r[triangle(P) - triangle(P - i)..][..P - i];
        y[i] = y[i] * row[0].lanes();
        for k in i + 1..P {
            y[k] = y[k].minus(row[k - i].lanes(), y[i]);
        }
    });
}

/// Solves R x = y in place; each x_i is made of two sums, as in [`solve_upper`](super::solve_upper).
#[inline(always)]
fn upper<V: Vector, const P: usize>(r: &[impl Entry<V>], y: &mut [V; P]) {
    unrolled!(step in 0..P => {
        let i = P - 1 - step;
        let row = &r[triangle(P) - triangle(P - i)..][..P - i];
        let mut sums = [y[i], V::default()];
        for back in 0..step {
            let k = P - 1 - back;
            sums[back % 2] = sums[back % 2].minus(row[k - i].lanes(), y[k]);
        }
        y[i] = (sums[0] + sums[1]) * row[0].lanes();
    });
}
