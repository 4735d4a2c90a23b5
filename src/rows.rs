//! The rows of the constraint matrix A, defined once.
//!
//! The unknowns of one system are the blocks z_t = (z\[t,k,j\]), k < K, j ≤ order: the value and all
//! derivatives of every state at every time point. Three of the row families need no table:
//!
//! * **equation** (eq. 6 of the paper): Σ_{k,j} c\[t,e,k,j\] z\[t,k,j\] = b\[t,e\],
//! * **initial** (eq. 7): z\[i,k,j\] = v\[i,k,j\] for i < I, j < J,
//! * **periodic**: z\[0,k,j\] − z\[N−1,k,j\] = 0 for j < order.
//!
//! The smoothness rows (eqs. 8 and 9) act on one state at a time and all have the right-hand side
//! zero. Each of their entries is a monomial in a length: the step h = s_t for rows on two
//! neighbouring points, H = s_{t−1} + s_t for rows on three. A [`RowFamily`] is the list of these
//! monomials. Assembly, adjoint, and the dense reference of the tests all read it; the derivative
//! with respect to the step is that of the monomial.

use crate::options::Smoothness;

/// One nonzero of a smoothness row: coefficient · length^power.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// Row within the family.
    pub row: usize,
    /// Point that the entry acts on, counted from the first one of the row.
    pub point: usize,
    /// Derivative j that the entry acts on.
    pub derivative: usize,
    /// Factor of the monomial.
    pub coefficient: f64,
    /// Exponent of the length; −1 occurs in central rows of order 1.
    pub power: i32,
}

/// The smoothness rows between a few neighbouring points, for one state.
#[derive(Clone, Debug, PartialEq)]
pub struct RowFamily {
    /// Number of rows.
    pub rows: usize,
    /// Number of neighbouring points: 2 or 3.
    pub points: usize,
    /// All nonzeros.
    pub entries: Vec<Entry>,
}

impl RowFamily {
    fn new(points: usize) -> Self {
        RowFamily { rows: 0, points, entries: Vec::new() }
    }

    /// Adds the row Σ coefficient · length^power · z\[t + point, derivative\] = 0.
    fn push(&mut self, entries: impl IntoIterator<Item = (usize, usize, f64, i32)>) {
        let row = self.rows;
        self.rows += 1;
        self.entries.extend(entries.into_iter().map(|(point, derivative, coefficient, power)| {
            Entry { row, point, derivative, coefficient, power }
        }));
    }
}

/// Rows on two neighbouring points t and t+1; the length is h = s_t.
///
/// For each j below the top derivative (`taylor_hold`: up to and including it), the Taylor
/// expansions forward and backward over the step, multiplied by h^j:
///
/// ```text
/// Σ_{m=j..order}   h^m  / (m−j)! · z[t,m]   −   h^j  · z[t+1,j] = 0
/// Σ_{m=j..order} (−h)^m / (m−j)! · z[t+1,m] − (−h)^j · z[t,j]   = 0
/// ```
pub fn pair_rows(smoothness: Smoothness, order: usize) -> RowFamily {
    let expanded = match smoothness {
        Smoothness::Taylor | Smoothness::TaylorCentral => order,
        Smoothness::TaylorHold => order + 1,
    };
    let mut family = RowFamily::new(2);
    for j in 0..expanded {
        for (from, to, sign) in [(0, 1, 1.0_f64), (1, 0, -1.0)] {
            let mut factorial = 1.0;
            let expansion = (j..=order).map(|m| {
                factorial *= (m - j).max(1) as f64;
                (from, m, sign.powi(m as i32) / factorial, m as i32)
            });
            family.push(expansion.chain([(to, j, -sign.powi(j as i32), j as i32)]));
        }
    }
    family
}

/// Rows on three neighbouring points t−1, t, t+1; the length is H = s_{t−1} + s_t.
///
/// `taylor_central` ties the top derivative to a central difference, multiplied by H^(order−1):
///
/// ```text
/// H^(order−2) · (z[t+1,order−1] − z[t−1,order−1]) − H^(order−1) · z[t,order] = 0
/// ```
pub fn triple_rows(smoothness: Smoothness, order: usize) -> Option<RowFamily> {
    if smoothness != Smoothness::TaylorCentral {
        return None;
    }
    let top = order as i32;
    let mut family = RowFamily::new(3);
    family.push([
        (0, order - 1, -1.0, top - 2),
        (1, order, -1.0, top - 1),
        (2, order - 1, 1.0, top - 2),
    ]);
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

    #[test]
    fn taylor_rows_vanish_on_polynomials_of_their_order() {
        for order in 1..=5 {
            let taylor = pair_rows(Smoothness::Taylor, order);
            assert_eq!(taylor.rows, 2 * order);
            let hold = pair_rows(Smoothness::TaylorHold, order);
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
            let family = triple_rows(Smoothness::TaylorCentral, order).unwrap();
            for degree in 0..=order as i32 {
                let defect = defects(&family, 0.6, &[0.7, 1.0, 1.3], degree);
                assert!(defect[0].abs() < 1e-12, "order {order}, degree {degree}");
            }
        }
        assert_eq!(triple_rows(Smoothness::Taylor, 2), None);
    }
}
