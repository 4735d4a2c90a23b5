//! The smoothness rows of one state over one step or two, for the systems in the lanes.
//!
//! The rows are C · diag(h^(j+shift)) with the table C of [`RowFamily`], so with y = diag(h^(j+shift))
//! z they are applied as C·y, and their Gram matrix is that of C between two diagonal matrices. What
//! [`RowFamily`] says of the rows is all that this module knows of them.

use super::block::load;
use super::lanes::{Vector, work};
use super::layout::Layout;
use super::points::Points;
use crate::error::Result;
use crate::memory::zeros;
use crate::options::Options;
use crate::rows::{RowFamily, pair_rows, pair_transition, triple_rows};
use crate::shape::ProblemShape;

/// The table of a family of rows, and its Gram matrix.
pub struct Table {
    /// Number of neighboring points, 2 or 3.
    pub points: usize,
    /// Number of rows.
    pub rows: usize,
    shift: i32,
    /// The powers j+shift of the length, (Q).
    exponents: Vec<f64>,
    /// C, (rows, points·Q).
    entries: Vec<f64>,
    /// CᵀC, (points·Q, points·Q).
    gram: Vec<f64>,
    /// Sums over the rows of C, (points·Q).
    sums: Vec<f64>,
    /// Of rows on two points, A of [`pair_transition`], and W = A P A⁻¹ for the diagonal matrix P of the
    /// exponents, both (Q, Q).
    transition: Vec<f64>,
    moved: Vec<f64>,
}

impl Table {
    fn new(family: &RowFamily, transition: Vec<f64>) -> Self {
        let (columns, entries) = (family.points * family.derivatives, family.table());
        let mut gram = vec![0.0; columns * columns];
        let mut sums = vec![0.0; columns];
        for row in entries.chunks_exact(columns) {
            for i in 0..columns {
                sums[i] += row[i];
                for j in 0..columns {
                    gram[i * columns + j] += row[i] * row[j];
                }
            }
        }
        let RowFamily { points, derivatives: q, rows, shift, .. } = *family;
        let exponents: Vec<f64> = (0..q).map(|j| j as f64 + f64::from(shift)).collect();
        // W A = A P, column by column: A has ones on its diagonal.
        let mut moved = vec![0.0; transition.len()];
        for (row, of_a) in moved.chunks_exact_mut(q).zip(transition.chunks_exact(q)) {
            for j in 0..q {
                let before: f64 = (0..j).map(|k| row[k] * transition[k * q + j]).sum();
                row[j] = of_a[j] * exponents[j] - before;
            }
        }
        Table { points, rows, shift, exponents, entries, gram, sums, transition, moved }
    }

    /// Computes length^(j+shift) for all j < Q.
    #[inline(always)]
    pub fn powers<V: Vector>(&self, length: V, powers: &mut [V]) {
        let mut power = V::splat(1.0);
        for _ in self.shift..0 {
            power = power / length;
        }
        for value in powers {
            *value = power;
            power = power * length;
        }
    }

    /// Returns d (length^power)/d length · length / length^power for derivative j: the power.
    #[inline(always)]
    pub fn exponent<V: Vector>(&self, derivative: usize) -> V {
        V::splat(self.exponents[derivative])
    }

    /// Returns the sum over the rows of C · diag(powers) in the column of a point's derivative.
    #[inline(always)]
    pub fn column_sum<V: Vector>(&self, point: usize, derivative: usize, powers: &[V]) -> V {
        V::splat(self.sums[point * powers.len() + derivative]) * powers[derivative]
    }

    /// Computes block (a, b) of squared · diag(powers) CᵀC diag(powers), (Q, Q).
    #[inline(always)]
    pub fn gram<V: Vector>(&self, [a, b]: [usize; 2], powers: &[V], squared: V, to: &mut [V]) {
        let q = powers.len();
        let columns = self.points * q;
        for i in 0..q {
            let scaled = squared * powers[i];
            let gram = &self.gram[(a * q + i) * columns + b * q..][..q];
            for j in 0..q {
                to[i * q + j] = V::splat(gram[j]) * (scaled * powers[j]);
            }
        }
    }

    /// Adds to `along` the products Cᵀ(C·y + slack) of the scaled values y, (points·Q), row by row.
    /// Returns the sum of squares and the sum of C·y + slack over the rows.
    #[inline(always)]
    pub fn apply<V: Vector, const T: usize>(&self, y: &[V], slack: V, along: &mut [V]) -> [V; 2] {
        let columns = y.len();
        let (mut squares, mut sum) = (V::default(), V::default());
        for row in self.entries.chunks_exact(columns) {
            let product = dot::<V, T>(row, y, slack);
            add_row::<V, T>(row, product, along);
            squares = squares.plus(product, product);
            sum += product;
        }
        [squares, sum]
    }

    /// Returns the sum over the rows of (C·x + slack_x)·(C·y + slack_y), and its derivative by a
    /// parameter, where that of the scaled values x and y is `d_x` and `d_y`, row by row: the
    /// products with C nearly cancel where the solution is smooth, and those with CᵀC would lose
    /// the digits that are left.
    #[inline(always)]
    pub fn products<V: Vector, const T: usize>(
        &self,
        values: [&[V]; 4],
        [slack_x, slack_y]: [V; 2],
    ) -> [V; 2] {
        let (mut products, mut slopes) = (V::default(), V::default());
        for row in self.entries.chunks_exact(self.sums.len()) {
            let mut sums = [slack_x, slack_y, V::default(), V::default()];
            for at in (0..row.len()).step_by(T) {
                let row: &[f64; T] = row[at..].first_chunk().expect("as long as the values");
                for (sum, values) in sums.iter_mut().zip(values) {
                    let values: [V; T] = load(values, at);
                    for i in 0..T {
                        *sum = sum.plus(V::splat(row[i]), values[i]);
                    }
                }
            }
            let [x, y, d_x, d_y] = sums;
            products = products.plus(x, y);
            slopes = slopes.plus(x, d_y).plus(y, d_x);
        }
        [products, slopes]
    }

    /// Returns the same of scaled values at two points, (2, Q), by the length, from the defects d = y_{t+1} −
    /// A y_t, which cancel once and for all: rows are C₁ d, their products dᵀ C₁ᵀC₁ d. With h d y/dh = P y the
    /// defects change by P y_{t+1} − A P y_t = W d + (P − W) y_{t+1}. `defects` is room for them, (Q) each.
    #[inline(always)]
    pub fn products_of_pair<V: Vector>(
        &self,
        [x, y]: [&[V]; 2],
        [d_x, d_y]: [&mut [V]; 2],
        slacks: Option<[V; 2]>,
    ) -> [V; 2] {
        let q = d_x.len();
        self.find_defects(x, d_x);
        self.find_defects(y, d_y);
        let (mut products, mut slopes) = (V::default(), [V::default(); 2]);
        if let Some([slack_x, slack_y]) = slacks {
            let mut sum = V::splat(self.rows as f64) * slack_x;
            for i in 0..q {
                sum = sum.plus(V::splat(self.sums[q + i]), d_x[i]);
            }
            products = slack_y * sum;
        }
        for i in 0..q {
            let gram = &self.gram[(q + i) * 2 * q + q..][..q];
            let [mut along_x, mut along_y] = [V::default(); 2];
            for j in 0..q {
                along_x = along_x.plus(V::splat(gram[j]), d_x[j]);
                along_y = along_y.plus(V::splat(gram[j]), d_y[j]);
            }
            if let Some([slack_x, slack_y]) = slacks {
                along_x = along_x.plus(V::splat(self.sums[q + i]), slack_x);
                along_y = along_y.plus(V::splat(self.sums[q + i]), slack_y);
            }
            products = products.plus(along_x, d_y[i]);
            slopes[0] = slopes[0].plus(along_x, self.moved(i, d_y, &y[q..]));
            slopes[1] = slopes[1].plus(along_y, self.moved(i, d_x, &x[q..]));
        }
        [products, slopes[0] + slopes[1]]
    }

    /// Computes the defects y_{t+1} − A y_t.
    #[inline(always)]
    fn find_defects<V: Vector>(&self, y: &[V], defects: &mut [V]) {
        let q = defects.len();
        let (now, next) = y.split_at(q);
        for i in 0..q {
            let row = &self.transition[i * q..][..q];
            let mut defect = next[i];
            for j in (i + 1..q).rev() {
                defect = defect.minus(V::splat(row[j]), now[j]);
            }
            defects[i] = defect - now[i];
        }
    }

    /// Returns value i of W d + (P − W) y_{t+1}.
    #[inline(always)]
    fn moved<V: Vector>(&self, i: usize, defects: &[V], next: &[V]) -> V {
        let q = defects.len();
        let row = &self.moved[i * q..][..q];
        let mut moved = V::splat(row[i]) * defects[i];
        for j in i + 1..q {
            moved = moved.plus(V::splat(row[j]), defects[j] - next[j]);
        }
        moved
    }

    /// Iterates over the rows of C.
    pub fn table(&self) -> impl Iterator<Item = &[f64]> {
        self.entries.chunks_exact(self.sums.len())
    }
}

/// Returns sum + row·y.
#[inline(always)]
fn dot<V: Vector, const T: usize>(row: &[f64], y: &[V], mut sum: V) -> V {
    for at in (0..y.len()).step_by(T) {
        let y: [V; T] = load(y, at);
        let row: &[f64; T] = row[at..].first_chunk().expect("as long as y");
        for i in 0..T {
            sum = sum.plus(V::splat(row[i]), y[i]);
        }
    }
    sum
}

/// Computes along += rowᵀ·product.
#[inline(always)]
fn add_row<V: Vector, const T: usize>(row: &[f64], product: V, along: &mut [V]) {
    for (row, along) in row.chunks_exact(T).zip(along.chunks_exact_mut(T)) {
        for i in 0..T {
            along[i] = along[i].plus(V::splat(row[i]), product);
        }
    }
}

/// The smoothness rows of a problem.
pub struct Smoothness<V> {
    /// Rows on two points.
    pub pair: Table,
    /// Rows on three points, if there are any.
    pub triple: Option<Table>,
    /// Lengths (K or 1) and factor that the blocks below are for.
    lengths: Vec<V>,
    factor: V,
    /// Blocks (0, 0), (0, 1) and (1, 1) of the weighted Gram matrix of the pairs, (K or 1, 3, Q, Q).
    blocks: Vec<V>,
    /// Powers of the lengths for the pairs, (K or 1, Q).
    pair_powers: Vec<V>,
    /// Reciprocals of the lengths, (K or 1).
    reciprocals: Vec<V>,
    /// Room for the powers of a length, (Q).
    room: Vec<V>,
}

impl<V: Vector> Smoothness<V> {
    /// Makes the rows for problems of this shape.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(shape: &ProblemShape, options: &Options, layout: &Layout) -> Result<Self> {
        let (q, states, order) = (layout.derivatives, layout.step_states, shape.order());
        let mut lengths = zeros("smoothness rows", states)?;
        lengths.fill(V::splat(f64::NAN));
        Ok(Smoothness {
            pair: Table::new(&pair_rows(options, order), pair_transition(options, order)),
            triple: triple_rows(options, order).map(|family| Table::new(&family, Vec::new())),
            lengths,
            factor: V::splat(f64::NAN),
            blocks: zeros("smoothness rows", states * 3 * q * q)?,
            pair_powers: zeros("smoothness rows", states * q)?,
            reciprocals: zeros("smoothness rows", states)?,
            room: zeros("smoothness rows", q)?,
        })
    }

    /// Computes the Gram matrices of the pairs over a step of these lengths, (K or 1), whose rows are
    /// multiplied by `factor`; on a uniform grid they are there already.
    #[inline(always)]
    pub fn update<const T: usize>(&mut self, lengths: &[V], factor: V) {
        let mut known = self.factor.same(factor);
        for (state, length) in lengths.iter().enumerate() {
            known &= self.lengths[state].same(*length);
        }
        if !known {
            V::run(Update::<V, T> { smoothness: self, lengths, factor });
        }
    }

    #[inline(always)]
    fn update_inlined<const T: usize>(&mut self, lengths: &[V], factor: V) {
        self.lengths.copy_from_slice(lengths);
        self.factor = factor;
        for (reciprocal, length) in self.reciprocals.iter_mut().zip(lengths) {
            *reciprocal = V::splat(1.0) / *length;
        }
        let q = if T == 1 { self.room.len() } else { T };
        let squared = factor * factor;
        let powers = self.pair_powers.chunks_exact_mut(q);
        for ((length, powers), blocks) in
            lengths.iter().zip(powers).zip(self.blocks.chunks_exact_mut(3 * q * q))
        {
            self.pair.powers(*length, powers);
            for (block, points) in blocks.chunks_exact_mut(q * q).zip([[0, 0], [0, 1], [1, 1]]) {
                self.pair.gram(points, &powers[..q], squared, block);
            }
        }
    }

    /// Returns the table of the rows of state k from point t on over `span` points, the powers of
    /// their length, and its reciprocal.
    #[inline(always)]
    pub fn rows(
        &mut self,
        points: &Points<V>,
        layout: &Layout,
        t: usize,
        k: usize,
        span: usize,
    ) -> (&Table, &[V], V) {
        let q = layout.derivatives;
        if span == 2 {
            let of_state = k.min(layout.step_states - 1);
            let powers = &self.pair_powers[of_state * q..][..q];
            return (&self.pair, powers, self.reciprocals[of_state]);
        }
        let length = points.step(layout, t, k) + points.step(layout, t + 1, k);
        let table = self.triple.as_ref().expect("there are rows on three points");
        table.powers(length, &mut self.room);
        (table, &self.room[..q], V::splat(1.0) / length)
    }

    /// Returns a block of the weighted Gram matrix of state k, (Q, Q): 0 for points (t, t), 1 for (t,
    /// t+1), 2 for (t+1, t+1).
    #[inline(always)]
    pub fn block(&self, k: usize, block: usize) -> &[V] {
        let q = self.room.len();
        let of_state = k.min(self.lengths.len() - 1);
        &self.blocks[(of_state * 3 + block) * q * q..][..q * q]
    }
}

work! {
    Update<'a; T: usize> {
        smoothness: &'a mut Smoothness<V>,
        lengths: &'a [V],
        factor: V,
    }
    smoothness.update_inlined::<T>(lengths, factor)
}

/// Computes y = E x, E being the coupling of a block with the next.
#[inline(always)]
pub fn couple<V: Vector>(smoothness: &Smoothness<V>, layout: &Layout, x: &[V], y: &mut [V]) {
    let q = layout.derivatives;
    for (k, (x, y)) in x.chunks_exact(q).zip(y.chunks_exact_mut(q)).enumerate() {
        let e = &smoothness.block(k, 1)[..q * q];
        for i in 0..q {
            let mut sum = e[i * q] * x[0];
            for j in 1..q {
                sum = sum.plus(e[i * q + j], x[j]);
            }
            y[i] = sum;
        }
    }
}

/// Computes y −= Eᵀ x, E being the coupling of a block with the next.
#[inline(always)]
pub fn subtract_coupled<V: Vector>(
    smoothness: &Smoothness<V>,
    layout: &Layout,
    x: &[V],
    y: &mut [V],
) {
    let q = layout.derivatives;
    for (k, (x, y)) in x.chunks_exact(q).zip(y.chunks_exact_mut(q)).enumerate() {
        let e = &smoothness.block(k, 1)[..q * q];
        for i in 0..q {
            for j in 0..q {
                y[j] = y[j].minus(e[i * q + j], x[i]);
            }
        }
    }
}
