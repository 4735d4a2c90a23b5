//! The elimination of a chain of blocks of a size that is known when it is compiled, with all of a
//! block in registers: the same operations in the same order as by a window of any size, and so the
//! same bits.

use super::block::{Left, Window};
use super::lanes::{LANES, Vector, unrolled};
use super::layout::{Context, Layout, triangle};
use super::pivots::{Pivots, Weakest};
use super::smoothness::Smoothness;
use super::sweep::Sweep;

/// Factorizes M and solves Rᵀ v = AᵀW²β. The arguments and the result are those of
/// [`factorize`](super::cholesky::factorize), for a layout that is [`fixed`](Layout::fixed) with blocks of P
/// unknowns.
#[inline(always)]
pub fn factorize<V: Vector, const T: usize, const P: usize>(
    sweep: &mut Sweep<'_, V>,
    layout: &Layout,
    factor: &mut [V],
    window: &mut Window<V>,
    pivots: &mut Pivots<V>,
    found: [&mut [V]; 2],
) -> V {
    match layout.opening {
        false => run::<V, T, P, false>(sweep, layout, factor, window, pivots, found),
        true => run::<V, T, P, true>(sweep, layout, factor, window, pivots, found),
    }
}

/// Does it for whole systems, or for parts of one with their first point in the border.
#[inline(always)]
fn run<V: Vector, const T: usize, const P: usize, const PART: bool>(
    sweep: &mut Sweep<'_, V>,
    layout: &Layout,
    factor: &mut [V],
    window: &mut Window<V>,
    pivots: &mut Pivots<V>,
    [whole, v]: [&mut [V]; 2],
) -> V {
    let (context, systems) = (sweep.context, sweep.systems);
    let fixed = &Context { layout, ..*context };
    let (whole, _) = whole.as_chunks_mut::<P>();
    let (v, _) = v.as_chunks_mut::<P>();
    let mut check = V::default();
    let mut weakest = pivots.weakest;
    let (mut front, mut border) = (Front::new(), Front::new());
    sweep.room.points.begin(context, systems, sweep.scales);
    for range in layout.ranges() {
        sweep.room.points.load(context, systems, range.clone());
        check += sweep.room.points.check();
        for t in range {
            let Front { block: diagonal, removed, y, spike } = &mut front;
            sweep.room.points.absorb_block::<T, P>(fixed, t, diagonal, y);
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
            if PART && t == 0 {
                border = front;
                front = Front::new();
                add_diagonal::<V, T, P>(smoothness, 2, &mut front.block);
                for i in 0..P {
                    for j in 0..P {
                        front.spike[i][j] = coupling[j][i];
                    }
                }
                continue;
            }
            let mut of_block = [V::default(); P];
            for i in 0..P {
                of_block[i] = diagonal[i][i] + removed[i];
            }
            eliminate::<V, T, P, PART>(
                diagonal,
                [&mut coupling, spike],
                y,
                &of_block,
                t * P,
                (&mut weakest, &mut pivots.broken),
            );
            whole[t] = of_block;
            v[t] = *y;
            let row = &mut factor[t * layout.row_values()..][..layout.row_values()];
            let (row, panel) = row.split_at_mut(triangle(P));
            unrolled!(i in 0..P => {
                let at = triangle(P) - triangle(P - i);
                row[at..][..P - i].copy_from_slice(&diagonal[i][i..]);
            });
            if !PART && layout.kept() > 0 {
                panel.copy_from_slice(coupling.as_flattened());
            }
            if PART {
                let panel = &mut panel.as_chunks_mut::<P>().0[..P];
                for i in 0..P {
                    for j in 0..P {
                        spike[i][j] = spike[i][j].without_remnants();
                    }
                    panel[i] = spike[i];
                }
                subtract::<V, P, P>(&mut border, spike, y);
            }
            if !last {
                front = next::<V, T, P, PART>(smoothness, &coupling, spike, y);
            }
        }
    }
    pivots.weakest = weakest;
    if PART {
        let Front { block, removed, y, spike } = &front;
        let left = [
            Left { block: block.as_flattened(), removed },
            Left { block: border.block.as_flattened(), removed: &border.removed },
        ];
        window.leave(left, spike.as_flattened());
        if layout.chain < layout.points {
            v[layout.chain] = *y;
        }
        v[layout.points] = border.y;
    }
    check
}

/// What is known of M and of AᵀW²β at a block, from the blocks before it.
struct Front<V, const P: usize> {
    /// Upper triangle of the diagonal block.
    block: [[V; P]; P],
    /// What elimination has subtracted from each diagonal entry.
    removed: [V; P],
    /// Right-hand side.
    y: [V; P],
    /// Coupling with the border, if there is one.
    spike: [[V; P]; P],
}

impl<V: Vector, const P: usize> Front<V, P> {
    #[inline(always)]
    fn new() -> Self {
        let zero = V::default();
        Front { block: [[zero; P]; P], removed: [zero; P], y: [zero; P], spike: [[zero; P]; P] }
    }
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
/// couplings those of R with the next block and with the border, and y becomes v. `whole` is the diagonal of
/// M, `unknown` the number of the first unknown.
#[inline(always)]
fn eliminate<V: Vector, const T: usize, const P: usize, const PART: bool>(
    diagonal: &mut [[V; P]; P],
    [coupling, spike]: [&mut [[V; P]; P]; 2],
    y: &mut [V; P],
    whole: &[V; P],
    unknown: usize,
    (weakest, broken): (&mut Weakest<V>, &mut [Option<usize>; LANES]),
) {
    let width = if PART { P } else { 0 };
    unrolled!(i in 0..P => {
        let reciprocal = weakest.reciprocal_root(diagonal[i][i], whole[i], unknown + i, broken);
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
        for j in 0..width {
            spike[i][j] = spike[i][j] * reciprocal;
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
            for j in 0..width {
                spike[k][j] = spike[k][j].minus(along, spike[i][j]);
            }
        }
    });
}

/// Returns what an eliminated block leaves for the next one.
#[inline(always)]
fn next<V: Vector, const T: usize, const P: usize, const PART: bool>(
    smoothness: &Smoothness<V>,
    coupling: &[[V; P]; P],
    spike: &[[V; P]; P],
    v: &[V; P],
) -> Front<V, P> {
    let mut front = Front::new();
    add_diagonal::<V, T, P>(smoothness, 2, &mut front.block);
    subtract::<V, T, P>(&mut front, coupling, v);
    if PART {
        unrolled!(m in 0..P => {
            for i in 0..(m / T + 1) * T {
                for j in 0..P {
                    front.spike[i][j] = front.spike[i][j].minus(coupling[m][i], spike[m][j]);
                }
            }
        });
    }
    front
}

/// Subtracts from the diagonal block and right-hand side of some unknowns what those take away that they
/// are coupled with: row m of the coupling reaches up to a multiple of T.
#[inline(always)]
fn subtract<V: Vector, const T: usize, const P: usize>(
    front: &mut Front<V, P>,
    coupling: &[[V; P]; P],
    v: &[V; P],
) {
    let Front { block, removed, y, .. } = front;
    for i in 0..P {
        removed[i] += block[i][i];
    }
    unrolled!(m in 0..P => {
        let reach = (m / T + 1) * T;
        for i in 0..reach {
            let along = coupling[m][i];
            for j in i..reach {
                block[i][j] = block[i][j].minus(along, coupling[m][j]);
            }
            y[i] = y[i].minus(along, v[m]);
        }
    });
    for i in 0..P {
        removed[i] -= block[i][i];
    }
}
