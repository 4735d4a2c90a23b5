//! The rows of the constraint matrix A, defined once for the assembly, its adjoint and the tests.
//!
//! The unknowns of one system are the blocks z_t = (z\[t,k,j\]), k < K, j ≤ order: the value and all
//! derivatives of every state at every time point. Three of the row families need no table:
//!
//! * **equation** (eq. 6 of the paper): Σ_{k,j<Qc} c\[t,e,k,j\] z\[t,k,j\] = b\[t,e\],
//! * **initial** (eq. 7): z\[i,k,j\] = v\[i,k,j\] for i < I, j < J,
//! * **periodic**: z\[0,k,j\] − z\[N−1,k,j\] = 0 for j < order.
//!
//! The smoothness rows (eqs. 8 and 9 of the paper) act on one state at a time and all have the
//! right-hand side zero. Each of their entries is a monomial in a length: the step h = s_t for rows
//! on two neighboring points, H = s_{t−1} + s_t for rows on three. A [`RowFamily`] is the list of
//! these monomials. The derivative of an entry with respect to the step is that of its monomial.
//!
//! Balanced rows ([`RowScaling`](crate::RowScaling)): a [`RowScale`] multiplies equation and
//! initial rows, with their right-hand sides, by a power of the step.

use crate::options::{Options, Smoothness};

/// A nonzero of a smoothness row: coefficient · length^power.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// Number of the row within the family.
    pub row: usize,
    /// Number of the point that the entry acts on, counted from the first point of the row.
    pub point: usize,
    /// Derivative j that the entry acts on.
    pub derivative: usize,
    /// Factor of the monomial.
    pub coefficient: f64,
    /// Exponent of the length, which is derivative + [`RowFamily::shift`].
    pub power: i32,
}

/// The smoothness rows that tie a few neighboring points together, for one state, as a list of
/// nonzeros.
#[derive(Clone, Debug, PartialEq)]
pub struct RowFamily {
    /// Number of rows.
    pub rows: usize,
    /// Number of neighboring points: 2 or 3.
    pub points: usize,
    /// Q, the values of the state at a point.
    pub derivatives: usize,
    /// Difference between the power of the length and the derivative, the same in every entry: 0,
    /// or −1 in central rows. The rows are therefore C · diag(length^(derivative + shift)).
    pub shift: i32,
    /// The nonzeros of all rows.
    pub entries: Vec<Entry>,
}

impl RowFamily {
    fn new(points: usize, order: usize, shift: i32) -> Self {
        RowFamily { rows: 0, points, derivatives: order + 1, shift, entries: Vec::new() }
    }

    /// Adds the row Σ coefficient · length^(derivative + shift) · z\[t + point, derivative\] = 0;
    /// the items are (point, derivative, coefficient).
    fn push(&mut self, entries: impl IntoIterator<Item = (usize, usize, f64)>) {
        let (row, shift) = (self.rows, self.shift);
        self.rows += 1;
        self.entries.extend(entries.into_iter().map(|(point, derivative, coefficient)| {
            let power = derivative as i32 + shift;
            Entry { row, point, derivative, coefficient, power }
        }));
    }

    /// Returns the table C of the rows C · diag(length^(derivative + shift)), (rows, points, Q),
    /// row-major.
    pub fn table(&self) -> Vec<f64> {
        let q = self.derivatives;
        let mut table = vec![0.0; self.rows * self.points * q];
        for entry in &self.entries {
            table[(entry.row * self.points + entry.point) * q + entry.derivative] +=
                entry.coefficient;
        }
        table
    }
}

/// The factor ℓ^power of an equation or initial row and its right-hand side, where ℓ is the mean
/// over the K states of the step s\[step\].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowScale {
    /// Number t of the step s_t.
    pub step: usize,
    /// Exponent of ℓ, which is 0 where rows are not balanced.
    pub power: i32,
}

impl RowScale {
    /// Returns the scale of a row at point t of `points`, whose highest derivative is `derivative`:
    /// the order of the equation for equation rows, j for initial rows.
    pub fn new(options: &Options, points: usize, t: usize, derivative: usize) -> Self {
        let power = if options.balanced() { derivative as i32 } else { 0 };
        RowScale { step: t.min(points.saturating_sub(2)), power }
    }
}

/// Returns the smoothness rows on two neighboring points t and t+1, whose length is h = s_t.
///
/// Taylor rows are, for each derivative j below the top one (`taylor_hold`: up to and including
/// it), the Taylor expansions forward and backward over the step, multiplied by h^j:
///
/// ```text
/// Σ_{m=j..order}   h^m  / (m−j)! · z[t,m]   −   h^j  · z[t+1,j] = 0
/// Σ_{m=j..order} (−h)^m / (m−j)! · z[t+1,m] − (−h)^j · z[t,j]   = 0
/// ```
///
/// Hermite rows are, for each derivative j below the top derivative, with m = order − j and a_i of
/// [`hermite_coefficients`], and one weak row with ω = [`Options::roughness`]:
///
/// ```text
/// Σ_{i=0..m} a_i h^(j+i) · (z[t,j+i] − (−1)^i z[t+1,j+i]) = 0
/// ω h^order · (z[t,order] − z[t+1,order])                 = 0
/// ```
pub fn pair_rows(options: &Options, order: usize) -> RowFamily {
    match options.smoothness {
        Smoothness::Taylor | Smoothness::TaylorCentral => taylor_rows(order, order),
        Smoothness::TaylorHold => taylor_rows(order, order + 1),
        Smoothness::Hermite => hermite_rows(order, options.roughness),
    }
}

/// Returns the matrix A, (Q, Q), upper triangular with ones on its diagonal, with which all [`pair_rows`] are
/// combinations of the Q defects y_{t+1} − A y_t of y = diag(h^j) z: their table is C = C₁ \[−A, 1\], where C₁
/// are its columns of point t+1.
///
/// For Taylor rows A is the expansion forward, A_jm = 1/(m−j)!. Hermite rows are solved for z\[t+1\], the
/// top derivative first; the weak row is so whatever its weight.
pub fn pair_transition(options: &Options, order: usize) -> Vec<f64> {
    let q = order + 1;
    let mut transition = vec![0.0; q * q];
    for j in (0..q).rev() {
        let (row, below) = transition[j * q..].split_at_mut(q);
        row[j] = 1.0;
        if options.smoothness == Smoothness::Hermite {
            for (i, a) in hermite_coefficients(order - j).into_iter().enumerate().skip(1) {
                row[j + i] += a;
                let mirrored = if i % 2 == 0 { a } else { -a };
                for (entry, below) in row.iter_mut().zip(&below[(i - 1) * q..]) {
                    *entry -= mirrored * below;
                }
            }
        } else {
            for m in j + 1..q {
                row[m] = row[m - 1] / (m - j) as f64;
            }
        }
    }
    transition
}

/// Returns the Taylor rows of the derivatives j < `expanded`.
fn taylor_rows(order: usize, expanded: usize) -> RowFamily {
    let mut family = RowFamily::new(2, order, 0);
    for j in 0..expanded {
        for (from, to, sign) in [(0, 1, 1.0_f64), (1, 0, -1.0)] {
            let mut factorial = 1.0;
            let expansion = (j..=order).map(|m| {
                factorial *= (m - j).max(1) as f64;
                (from, m, sign.powi(m as i32) / factorial)
            });
            family.push(expansion.chain([(to, j, -sign.powi(j as i32))]));
        }
    }
    family
}

fn hermite_rows(order: usize, roughness: f64) -> RowFamily {
    let mut family = RowFamily::new(2, order, 0);
    for j in 0..order {
        let coefficients = hermite_coefficients(order - j);
        family.push(coefficients.into_iter().enumerate().flat_map(|(i, a)| {
            let mirrored = if i % 2 == 0 { -a } else { a };
            [(0, j + i, a), (1, j + i, mirrored)]
        }));
    }
    family.push([(0, order, roughness), (1, order, -roughness)]);
    family
}

/// Returns the coefficients a_0, ..., a_m of the two-point Hermite rows: a_i = m! (2m−i)! / ((2m)!
/// i! (m−i)!), those of the diagonal Padé approximant of e^x. The defect Σ a_i h^i (u^(i)(t) −
/// (−1)^i u^(i)(t+h)) of a smooth function is of order h^(2m+1).
pub fn hermite_coefficients(m: usize) -> Vec<f64> {
    let mut coefficient = 1.0;
    let mut coefficients = vec![coefficient];
    for i in 1..=m {
        coefficient *= (m + 1 - i) as f64 / ((2 * m + 1 - i) * i) as f64;
        coefficients.push(coefficient);
    }
    coefficients
}

/// Returns the smoothness rows on three neighboring points t−1, t, t+1, whose length is H = s_{t−1}
/// + s_t, or `None` for a family that has none.
///
/// `taylor_central` ties the top derivative to a central difference, multiplied by H^(order−1):
///
/// ```text
/// H^(order−2) · (z[t+1,order−1] − z[t−1,order−1]) − H^(order−1) · z[t,order] = 0
/// ```
pub fn triple_rows(options: &Options, order: usize) -> Option<RowFamily> {
    if options.smoothness != Smoothness::TaylorCentral {
        return None;
    }
    let mut family = RowFamily::new(3, order, -1);
    family.push([(0, order - 1, -1.0), (1, order, -1.0), (2, order - 1, 1.0)]);
    Some(family)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Value of every row for u(t) = t^degree around t = 1, all derivatives exact.
    fn defects(family: &RowFamily, length: f64, times: &[f64], degree: i32) -> Vec<f64> {
        let mut defects = vec![0.0; family.rows];
        for entry in &family.entries {
            let mut value = 1.0;
            for i in 0..entry.derivative as i32 {
                value *= f64::from((degree - i).max(0));
            }
            value *= times[entry.point].powi((degree - entry.derivative as i32).max(0));
            defects[entry.row] += entry.coefficient * length.powi(entry.power) * value;
        }
        defects
    }

    fn options(smoothness: Smoothness) -> Options {
        Options { smoothness, ..Options::default() }
    }

    #[test]
    fn taylor_rows_vanish_on_polynomials_of_their_order() {
        for order in 1..=5 {
            let taylor = pair_rows(&options(Smoothness::Taylor), order);
            assert_eq!(taylor.rows, 2 * order);
            let hold = pair_rows(&options(Smoothness::TaylorHold), order);
            assert_eq!(hold.rows, 2 * order + 2);
            for degree in 0..=order as i32 {
                for family in [&taylor, &hold] {
                    for defect in defects(family, 0.3, &[1.0, 1.3], degree) {
                        assert!(defect.abs() < 1e-12, "order {order}, degree {degree}");
                    }
                }
            }
            let beyond = defects(&taylor, 0.3, &[1.0, 1.3], order as i32 + 1);
            assert!(beyond.iter().all(|defect| defect.abs() > 1e-6));
        }
    }

    #[test]
    fn central_rows_vanish_on_polynomials_of_their_order_on_uniform_grids() {
        for order in 1..=4 {
            let family = triple_rows(&options(Smoothness::TaylorCentral), order).unwrap();
            for degree in 0..=order as i32 {
                let defect = defects(&family, 0.6, &[0.7, 1.0, 1.3], degree);
                assert!(defect[0].abs() < 1e-12, "order {order}, degree {degree}");
            }
        }
        assert_eq!(triple_rows(&options(Smoothness::Taylor), 2), None);
    }

    #[test]
    fn hermite_rows_vanish_on_polynomials_of_twice_their_order() {
        for order in 1..=5 {
            let family = pair_rows(&options(Smoothness::Hermite), order);
            assert_eq!(family.rows, order + 1);
            for j in 0..order {
                // Row j sees the derivatives from u^(j) on, which is exact to degree 2(order − j).
                let exact = j + 2 * (order - j);
                for degree in 0..=exact as i32 {
                    let defect = defects(&family, 0.3, &[1.0, 1.3], degree)[j];
                    assert!(defect.abs() < 1e-11, "order {order}, j {j}, degree {degree}");
                }
                let beyond = defects(&family, 0.3, &[1.0, 1.3], exact as i32 + 1)[j];
                assert!(beyond.abs() > 1e-9, "order {order}, j {j}: {beyond:e}");
            }
        }
        // The trapezoidal rule and its fourth-order relative.
        assert_eq!(hermite_coefficients(1), [1.0, 0.5]);
        assert_eq!(hermite_coefficients(2), [1.0, 0.5, 1.0 / 12.0]);
    }

    #[test]
    fn rows_on_two_points_are_combinations_of_their_defects() {
        let mut all: Vec<_> = Smoothness::ALL.map(options).into();
        all.push(Options { roughness: 0.0, ..options(Smoothness::Hermite) });
        for (options, order) in all.iter().flat_map(|options| (1..=5).map(move |i| (options, i))) {
            let (q, table) = (order + 1, pair_rows(options, order).table());
            let transition = pair_transition(options, order);
            for row in table.chunks_exact(2 * q) {
                let (before, after) = row.split_at(q);
                for m in 0..q {
                    let combined: f64 = (0..q).map(|j| after[j] * transition[j * q + m]).sum();
                    assert!((before[m] + combined).abs() < 1e-15, "{options:?}, order {order}");
                }
            }
            for (at, entry) in transition.into_iter().enumerate() {
                let (j, m) = (at / q, at % q);
                assert!(if j == m { entry == 1.0 } else { m > j || entry == 0.0 });
            }
        }
    }

    #[test]
    fn entries_are_those_of_the_table_times_powers_of_the_length() {
        let length = 0.3_f64;
        for smoothness in Smoothness::ALL {
            for order in 1..=5 {
                let options = options(smoothness);
                for family in [Some(pair_rows(&options, order)), triple_rows(&options, order)] {
                    let Some(family) = family else { continue };
                    assert_eq!(family.shift, if family.points == 2 { 0 } else { -1 });
                    let columns = family.points * (order + 1);
                    let mut rows = family.table();
                    assert_eq!(rows.len(), family.rows * columns);
                    for (index, value) in rows.iter_mut().enumerate() {
                        let derivative = (index % (order + 1)) as i32;
                        *value *= length.powi(derivative + family.shift);
                    }
                    for Entry { row, point, derivative, coefficient, power } in family.entries {
                        rows[row * columns + point * (order + 1) + derivative] -=
                            coefficient * length.powi(power);
                    }
                    assert!(rows.iter().all(|value| value.abs() < 1e-15), "{rows:?}");
                }
            }
        }
    }
}
