//! Elimination of the trajectory from one of its ends.

use std::ops::Range;

use super::coefficients::Squares;
use super::rows::{Rows, Step};
use crate::Result;
use crate::discovery::dense::dot;
use crate::gemm::{Matrix, product};
use crate::memory::zeros;
use crate::threads::on_one_thread;

/// The fraction of a column's size, before the rows are turned, up to which what is left of it on the
/// diagonal is rounding, squared.
const ROUNDING: f64 = 1e-28;
/// The most points whose rows are written before they are eliminated.
pub(super) const BLOCK: usize = 128;

/// The factor over the points that are eliminated from one end, in the order in which they are, and what is
/// left of them.
pub(super) struct Half {
    d: usize,
    c: usize,
    /// The rows of some points.
    block: Vec<Rows>,
    /// The parts over the coefficients after a point is eliminated, and those of the point before, (3D, c):
    /// the second D rows are those that are left of it.
    turned: Vec<f64>,
    before: Vec<f64>,
    /// What is left of the point before over the next state, and the residuals, (D, D + 1).
    left: Vec<f64>,
    /// Room for sums over the rows.
    sums: Vec<f64>,
    /// The sums of squares of the columns of both states before the rows are turned.
    sizes: Vec<f64>,
    /// The factor's parts R, S and v, (m, D, 2D + 1).
    along: Vec<f64>,
    /// The factor's part T, (m, D, c).
    across: Vec<f64>,
    /// The number of points that are eliminated.
    eliminated: usize,
    /// The rows about the coefficients alone.
    pub squares: Squares,
    /// Whether a state is not determined by the rows, or is not a number.
    broken: bool,
}

impl Half {
    /// Allocates the factor for m points of D variables and c coefficients.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) says how much was asked for.
    pub fn new(points: usize, d: usize, c: usize) -> Result<Self> {
        let what = "factor of the joint estimate";
        let rows = points.saturating_mul(d);
        let block = (0..points.min(BLOCK)).map(|_| Rows::new(d, c));
        Ok(Half {
            d,
            c,
            block: block.collect::<Result<_>>()?,
            turned: zeros(what, 3 * d * c)?,
            before: zeros(what, 3 * d * c)?,
            left: zeros(what, d * (d + 1))?,
            sums: zeros(what, 4 * d + 1)?,
            sizes: zeros(what, 2 * d)?,
            along: zeros(what, rows.saturating_mul(2 * d + 1))?,
            across: zeros(what, rows.saturating_mul(c))?,
            eliminated: 0,
            squares: Squares::new(c)?,
            broken: false,
        })
    }

    /// Eliminates these points, the first ones first if their steps are those after them, else the last ones
    /// first. `write` writes the rows of some points, in the order of the points, and `report` is told how many are
    /// done.
    ///
    /// # Errors
    /// Those of `report`, which end the work, and [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn eliminate(
        &mut self,
        points: Range<usize>,
        step: Step,
        write: &impl Fn(Range<usize>, Step, &mut [Rows]),
        report: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        self.squares.begin();
        (self.broken, self.eliminated) = (false, 0);
        self.begin_trajectory();
        let mut block = std::mem::take(&mut self.block);
        let mut left = points;
        let outcome = loop {
            let count = left.len().min(BLOCK);
            if count == 0 {
                break Ok(());
            }
            let rows = &mut block[..count];
            let outcome = match step {
                Step::Before => {
                    let own = left.end - count..left.end;
                    left.end = own.start;
                    write(own, step, rows);
                    rows.iter_mut().rev().try_for_each(|rows| self.reported(rows, report))
                }
                Step::After | Step::Neither => {
                    let own = left.start..left.start + count;
                    left.start = own.end;
                    write(own, step, rows);
                    rows.iter_mut().try_for_each(|rows| self.reported(rows, report))
                }
            };
            if outcome.is_err() {
                break outcome;
            }
        };
        self.block = block;
        outcome
    }

    fn reported(
        &mut self,
        rows: &mut Rows,
        report: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        report(self.eliminated)?;
        self.add(rows)
    }

    /// Eliminates one more point, where those from the other end meet these: what is left of both and the values
    /// of the point determine it. Returns whether all states are determined.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn join(
        &mut self,
        other: &mut Half,
        point: usize,
        write: &impl Fn(Range<usize>, Step, &mut [Rows]),
    ) -> Result<bool> {
        let (d, c) = (self.d, self.c);
        let mut block = std::mem::take(&mut self.block);
        let rows = &mut block[..1];
        write(point..point + 1, Step::Neither, rows);
        rows[0].join(&other.left, &other.before[d * c..2 * d * c]);
        let outcome = self.add(&mut rows[0]);
        self.block = block;
        outcome?;
        self.squares.add(&mut other.squares)?;
        Ok(!(self.broken || other.broken))
    }

    /// Begins a trajectory: nothing is left of points before.
    fn begin_trajectory(&mut self) {
        self.left.fill(0.0);
        self.before.fill(0.0);
    }

    /// Eliminates the state at the next point, and collects what has to do with the coefficients alone.
    fn add(&mut self, rows: &mut Rows) -> Result<()> {
        // Where the compiler knows how few variables there are, it unrolls the loops over them.
        match self.d {
            1 => self.add_of::<1>(rows),
            2 => self.add_of::<2>(rows),
            3 => self.add_of::<3>(rows),
            4 => self.add_of::<4>(rows),
            _ => self.add_of::<0>(rows),
        }
    }

    /// Does it for D variables, or as many as there are if D is zero.
    fn add_of<const D: usize>(&mut self, rows: &mut Rows) -> Result<()> {
        let (d, c) = (if D == 0 { self.d } else { D }, self.c);
        let length = 4 * d + 1;
        let of_left = rows.along.chunks_exact_mut(length).skip(d).take(d);
        for (row, left) in of_left.zip(self.left.chunks_exact(d + 1)) {
            row[..d].copy_from_slice(&left[..d]);
            row[d..2 * d].fill(0.0);
            row[2 * d] = left[d];
        }
        rows.across[d * c..].copy_from_slice(&self.before[d * c..2 * d * c]);

        // Without a step there are no defects, and nothing is left for the next point.
        let first = if rows.has_first { 0 } else { d };
        let has_next = rows.has_next;
        let left = if has_next { d } else { 0 };
        let count = rows.count - first;
        let across = Matrix::new(&rows.across[first * c..], 2 * d - first, c);
        let rows = &mut rows.along[first * length..][..count * length];
        self.sizes.fill(0.0);
        for row in rows.chunks_exact(length) {
            self.sizes.iter_mut().zip(row).for_each(|(sum, value)| *sum += value * value);
        }
        triangularize(rows, length, d + left, &mut self.sums);
        // Of the next state that nothing determines yet, only rounding is left.
        for i in d..d + left {
            if !is_determined(rows[i * length + i], self.sizes[i]) {
                rows[i * length + i] = 0.0;
            }
        }

        let turn = Matrix::new(rows, count, length).columns(2 * d + 1 + first, 2 * d - first);
        let turned = &mut self.turned[..count * c];
        on_one_thread(|| product(turn, across, turned, false))?;

        let (width, place) = (2 * d + 1, self.eliminated * d);
        for (i, own) in self.along[place * width..].chunks_exact_mut(width).take(d).enumerate() {
            own.copy_from_slice(&rows[i * length..][..width]);
            self.broken |= !is_determined(own[i], self.sizes[i]);
        }
        self.across[place * c..][..d * c].copy_from_slice(&turned[..d * c]);
        self.eliminated += 1;
        for i in d + left..count {
            self.squares.collect(&turned[i * c..][..c], rows[i * length + 2 * d])?;
        }
        if has_next {
            let kept = rows.chunks_exact(length).skip(d);
            for (left, row) in self.left.chunks_exact_mut(d + 1).zip(kept) {
                left.copy_from_slice(&row[d..=2 * d]);
            }
            std::mem::swap(&mut self.before, &mut self.turned);
        } else {
            self.begin_trajectory();
        }
        Ok(())
    }

    /// Computes the part of the step at one of the points (D), by the order in which they were eliminated, given
    /// that at the point eliminated next (D, or nothing) and that of the coefficients (c). Returns the part of the
    /// sum of squares that it removes.
    pub fn solve(&self, place: usize, own: &mut [f64], next: &[f64], coefficients: &[f64]) -> f64 {
        let (d, c, width) = (self.d, self.c, 2 * self.d + 1);
        let mut removed = 0.0;
        for i in (0..d).rev() {
            let row = &self.along[(place * d + i) * width..][..width];
            let across = &self.across[(place * d + i) * c..][..c];
            let mut sum = row[2 * d] - dot(across, coefficients);
            for (k, value) in own.iter().enumerate().skip(i + 1) {
                sum -= row[k] * value;
            }
            for (value, next) in row[d..2 * d].iter().zip(next) {
                sum -= value * next;
            }
            own[i] = sum / row[i];
            removed += row[2 * d] * row[2 * d];
        }
        removed
    }
}

/// Returns whether what is left on the diagonal of a column, the sum of whose squares was this before, is
/// more than rounding.
fn is_determined(diagonal: f64, squares: f64) -> bool {
    let square = diagonal * diagonal;
    square.is_normal() && square > ROUNDING * squares
}

/// Makes the first columns of some rows of this length upper triangular, by reflections I − v vᵀ·2/vᵀv of
/// all rows from the diagonal on. Zeros, of which there are many, cost nothing.
#[inline(always)]
fn triangularize(rows: &mut [f64], length: usize, columns: usize, sums: &mut [f64]) {
    for j in 0..columns {
        let (above, below) = rows.split_at_mut((j + 1) * length);
        let own = &mut above[j * length + j..];
        let sums = &mut sums[j..length];
        let squares: f64 = below.chunks_exact(length).map(|row| row[j] * row[j]).sum();
        if squares == 0.0 {
            continue;
        }
        let pivot = own[0];
        let diagonal = -(squares + pivot * pivot).sqrt().copysign(pivot);
        own[0] -= diagonal;
        let head = own[0];
        sums.iter_mut().zip(&*own).for_each(|(sum, value)| *sum = head * value);
        for row in below.chunks_exact(length).filter(|row| row[j] != 0.0) {
            let factor = row[j];
            sums.iter_mut().zip(&row[j..]).for_each(|(sum, value)| *sum += factor * value);
        }
        // 2/vᵀv.
        let scale = -1.0 / (diagonal * head);
        sums.iter_mut().for_each(|sum| *sum *= scale);
        own.iter_mut().zip(&*sums).for_each(|(value, sum)| *value -= head * sum);
        own[0] = diagonal;
        for row in below.chunks_exact_mut(length).filter(|row| row[j] != 0.0) {
            let factor = row[j];
            row[j..].iter_mut().zip(&*sums).for_each(|(value, sum)| *value -= factor * sum);
            row[j] = 0.0;
        }
    }
}
