//! The elimination of a chain of blocks of a size that is known when it is compiled, with all of a
//! block in registers: the same operations in the same order as by a window of any size, and so the
//! same bits.

use super::block::pack;
use super::lanes::{Vector, unrolled};
use super::layout::{Context, Layout, triangle};
use super::pivots::{Pivot, Pivots};
use super::smoothness::Smoothness;
use super::sweep::Sweep;

/// What is known of M and of AᵀW²β at a block, from the blocks before it.
struct Front<V, const P: usize> {
    /// Upper triangle of the diagonal block.
    diagonal: [[V; P]; P],
    /// What elimination has subtracted from each diagonal entry.
    removed: [V; P],
    /// Right-hand side.
    y: [V; P],
}

impl<V: Vector, const P: usize> Front<V, P> {
    #[inline(always)]
    fn new() -> Self {
        Front { diagonal: [[V::default(); P]; P], removed: [V::default(); P], y: [V::default(); P] }
    }
}

/// Factorizes M and solves Rᵀ v = AᵀW²β. The arguments and the result are those of
/// [`factorize`](super::cholesky::factorize), for a layout that is [`plain`](Layout::plain).
#[inline(always)]
pub fn factorize<V: Vector, const T: usize, const P: usize>(
    sweep: &mut Sweep<'_, V>,
    layout: &Layout,
    factor: &mut [V],
    pivots: &mut Pivots<V>,
    whole: &mut [V],
    v: &mut [V],
) -> V {
    let (context, systems) = (sweep.context, sweep.systems);
    let fixed = &Context { layout, ..*context };
    let (whole, _) = whole.as_chunks_mut::<P>();
    let (v, _) = v.as_chunks_mut::<P>();
    let mut check = V::default();
    let mut front = Front::new();
    sweep.room.points.begin(context, systems, sweep.scales);
    for range in layout.ranges() {
        sweep.room.points.load(context, systems, range.clone());
        check += sweep.room.points.check();
        for t in range {
            let Front { diagonal, removed, y } = &mut front;
            let (points, one) = (&mut sweep.room.points, V::splat(1.0));
            points.absorb::<T>(fixed, t, one, diagonal.as_flattened_mut(), P, y);
            let last = t + 1 == layout.points;
            if !last {
                sweep.update::<T>(layout, t);
            }
            let smoothness = &sweep.room.smoothness;
            let mut coupling = [[V::default(); P]; P];
            if !last {
                add_diagonal::<V, T, P>(smoothness, 0, diagonal);
                add_coupling::<V, T, P>(smoothness, &mut coupling);
            }
            let mut of_block = [V::default(); P];
            for i in 0..P {
                of_block[i] = diagonal[i][i] + removed[i];
            }
            eliminate::<V, T, P>(diagonal, &mut coupling, y, &of_block, t * P, pivots);
            whole[t] = of_block;
            v[t] = *y;
            let row = &mut factor[t * triangle(P)..][..triangle(P)];
            pack(diagonal.as_flattened(), P, 0, P, row);
            if !last {
                front = next::<V, T, P>(smoothness, &coupling, y);
            }
        }
    }
    check
}

/// Adds block 0 or 2 of the Gram matrices of the pairs to the diagonal block of M.
#[inline(always)]
fn add_diagonal<V: Vector, const T: usize, const P: usize>(
    smoothness: &Smoothness<V>,
    block: usize,
    diagonal: &mut [[V; P]; P],
) {
    for k in 0..P / T {
        let gram = &smoothness.block(k, block)[..T * T];
        for i in 0..T {
            for j in i..T {
                diagonal[k * T + i][k * T + j] += gram[i * T + j];
            }
        }
    }
}

/// Writes the coupling with the next block: in row k·T + i the columns of state k.
#[inline(always)]
fn add_coupling<V: Vector, const T: usize, const P: usize>(
    smoothness: &Smoothness<V>,
    coupling: &mut [[V; P]; P],
) {
    for k in 0..P / T {
        let gram = &smoothness.block(k, 1)[..T * T];
        for i in 0..T {
            for j in 0..T {
                coupling[k * T + i][k * T + j] = gram[i * T + j];
            }
        }
    }
}

/// Eliminates a block: its diagonal becomes the triangle of R with reciprocals on the diagonal, the
/// coupling that of R with the next block, and y becomes v. `whole` is the diagonal of M, `unknown` the
/// number of the first unknown.
#[inline(always)]
fn eliminate<V: Vector, const T: usize, const P: usize>(
    diagonal: &mut [[V; P]; P],
    coupling: &mut [[V; P]; P],
    y: &mut [V; P],
    whole: &[V; P],
    unknown: usize,
    pivots: &mut Pivots<V>,
) {
    unrolled!(i in 0..P => {
        let reciprocal = pivots.reciprocal_root(diagonal[i][i], whole[i], unknown + i);
        // The coupling is block diagonal over the states, and elimination fills it below only.
        let reach = (i / T + 1) * T;
        diagonal[i][i] = reciprocal;
        for j in i + 1..P {
            diagonal[i][j] = diagonal[i][j] * reciprocal;
        }
        y[i] = y[i] * reciprocal;
        for j in 0..reach {
            coupling[i][j] = coupling[i][j] * reciprocal;
        }
        for k in i + 1..P {
            let along = diagonal[i][k];
            for j in k..P {
                diagonal[k][j] = diagonal[k][j].minus(along, diagonal[i][j]);
            }
            y[k] = y[k].minus(along, y[i]);
            for j in 0..reach {
                coupling[k][j] = coupling[k][j].minus(along, coupling[i][j]);
            }
        }
    });
}

/// Returns what an eliminated block leaves for the next one.
#[inline(always)]
fn next<V: Vector, const T: usize, const P: usize>(
    smoothness: &Smoothness<V>,
    coupling: &[[V; P]; P],
    v: &[V; P],
) -> Front<V, P> {
    let mut front = Front::new();
    let Front { diagonal, removed, y } = &mut front;
    add_diagonal::<V, T, P>(smoothness, 2, diagonal);
    for i in 0..P {
        removed[i] = diagonal[i][i];
    }
    unrolled!(m in 0..P => {
        let reach = (m / T + 1) * T;
        for i in 0..reach {
            let along = coupling[m][i];
            for j in i..reach {
                diagonal[i][j] = diagonal[i][j].minus(along, coupling[m][j]);
            }
            y[i] = y[i].minus(along, v[m]);
        }
    });
    for i in 0..P {
        removed[i] -= diagonal[i][i];
    }
    front
}
