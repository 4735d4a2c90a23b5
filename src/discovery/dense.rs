//! Linear algebra with small dense vectors and symmetric matrices, for the information and the
//! covariance of the coefficients.

/// The powers of a matrix by which its largest eigenvalue is found.
const POWERS: usize = 100;
/// The number of columns of an inverse that are computed together, in vectors.
const TOGETHER: usize = 8;

/// Returns the inner product of two vectors of equal length.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        (0..LANES).for_each(|lane| sums[lane] += a[lane] * b[lane]);
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// Solves A x = b for positive definite A (n, n), overwriting the upper triangle of A with its
/// Cholesky factor and b with x. Returns `None` where a pivot is not positive.
pub(super) fn solve_positive(a: &mut [f64], b: &mut [f64]) -> Option<()> {
    factorize(a, b.len())?;
    substitute(a, b);
    Some(())
}

/// Returns the inverse of a positive definite matrix (n, n), or `None` where a pivot is not positive.
pub(super) fn invert_positive(a: &[f64], n: usize) -> Option<Vec<f64>> {
    // Scaled to unit diagonal, SAS = RᵀR, so that A⁻¹ = S R⁻¹ R⁻ᵀ S.
    let scale: Vec<f64> = (0..n).map(|i| 1.0 / a[i * n + i].sqrt()).collect();
    let mut factor: Vec<f64> = (0..n * n).map(|at| a[at] * scale[at / n] * scale[at % n]).collect();
    factorize(&mut factor, n)?;
    let mut inverse = vec![0.0; n * n];
    let mut columns = vec![[0.0; TOGETHER]; n];
    for first in (0..n).step_by(TOGETHER) {
        let rows = inverse[first * n..].chunks_exact_mut(n).take(TOGETHER);
        columns.fill([0.0; TOGETHER]);
        (0..rows.len()).for_each(|lane| columns[first + lane][lane] = scale[first + lane]);
        forward_together(&factor, &mut columns, first);
        back_together(&factor, &mut columns);
        for (lane, row) in rows.enumerate() {
            let solved = columns.iter().map(|column| column[lane]).zip(&scale);
            row.iter_mut().zip(solved).for_each(|(value, (x, s))| *value = x * s);
        }
    }
    Some(inverse)
}

/// Does what [`forward`] does, for right-hand sides that are zero before `first`, (n, TOGETHER).
fn forward_together(factor: &[f64], b: &mut [[f64; TOGETHER]], first: usize) {
    let n = b.len();
    for i in first..n {
        let row = &factor[i * n..][..n];
        let (done, later) = b.split_at_mut(i + 1);
        let solved = &mut done[i];
        solved.iter_mut().for_each(|x| *x /= row[i]);
        for (later, r) in later.iter_mut().zip(&row[i + 1..]) {
            (0..TOGETHER).for_each(|lane| later[lane] -= r * solved[lane]);
        }
    }
}

/// Does what [`back`] does, for right-hand sides (n, TOGETHER).
fn back_together(factor: &[f64], b: &mut [[f64; TOGETHER]]) {
    let n = b.len();
    for i in (0..n).rev() {
        let row = &factor[i * n..][..n];
        let mut known = [0.0; TOGETHER];
        for (x, r) in b[i + 1..].iter().zip(&row[i + 1..]) {
            (0..TOGETHER).for_each(|lane| known[lane] += r * x[lane]);
        }
        (0..TOGETHER).for_each(|lane| b[i][lane] = (b[i][lane] - known[lane]) / row[i]);
    }
}

/// Writes R of A = RᵀR into the upper triangle of A; returns `None` where a pivot is not positive.
fn factorize(a: &mut [f64], n: usize) -> Option<()> {
    for i in 0..n {
        let (done, rest) = a.split_at_mut(i * n);
        let row = &mut rest[..n];
        let whole = row[i];
        for above in done.chunks_exact(n) {
            let factor = above[i];
            row[i..].iter_mut().zip(&above[i..]).for_each(|(r, other)| *r -= factor * other);
        }
        if !(row[i] > f64::EPSILON * whole && row[i].is_finite()) {
            return None;
        }
        let root = row[i].sqrt();
        row[i..].iter_mut().for_each(|value| *value /= root);
    }
    Some(())
}

fn substitute(factor: &[f64], b: &mut [f64]) {
    forward(factor, b);
    back(factor, b);
}

/// Replaces b by R⁻ᵀb.
fn forward(factor: &[f64], b: &mut [f64]) {
    let n = b.len();
    for i in 0..n {
        b[i] /= factor[i * n + i];
        let solved = b[i];
        let row = &factor[i * n..][..n];
        b[i + 1..].iter_mut().zip(&row[i + 1..]).for_each(|(later, r)| *later -= r * solved);
    }
}

/// Replaces b by R⁻¹b.
fn back(factor: &[f64], b: &mut [f64]) {
    let n = b.len();
    for i in (0..n).rev() {
        let row = &factor[i * n..][..n];
        let known: f64 = row[i + 1..].iter().zip(&b[i + 1..]).map(|(r, x)| r * x).sum();
        b[i] = (b[i] - known) / row[i];
    }
}

/// Returns about the ratio of the largest to the smallest eigenvalue of a positive definite matrix
/// (n, n), by powers of the matrix and of its inverse, which come near it from below. Where rounding
/// errors hide the smallest, it is 1/ε.
pub(super) fn condition_number(a: &[f64], n: usize) -> f64 {
    let mut factor = a.to_vec();
    if factorize(&mut factor, n).is_none() {
        return 1.0 / f64::EPSILON;
    }
    let largest = |apply: &dyn Fn(&mut Vec<f64>)| {
        // No eigenvector is likely to be orthogonal to this.
        let mut vector: Vec<f64> = (0..n).map(|i| (1.0 + i as f64).sin()).collect();
        let mut size = 0.0;
        for _ in 0..POWERS {
            apply(&mut vector);
            size = dot(&vector, &vector).sqrt();
            vector.iter_mut().for_each(|x| *x /= size);
        }
        size
    };
    let of_matrix = largest(&|x| *x = (0..n).map(|i| dot(&a[i * n..][..n], x)).collect());
    let of_inverse = largest(&|x| substitute(&factor, x));
    (of_matrix * of_inverse).min(1.0 / f64::EPSILON)
}

/// Returns the eigenvalues of a symmetric matrix (n, n), in no order, and their unit eigenvectors
/// as the rows of a matrix (n, n), by cyclic Jacobi rotations (Golub and Van Loan, Matrix
/// Computations, section 8.5).
pub(super) fn eigen(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut vectors = vec![0.0; n * n];
    (0..n).for_each(|i| vectors[i * n + i] = 1.0);
    for _ in 0..50 {
        let off: f64 = (0..n)
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .fold(0.0, |sum, (i, j)| sum + a[i * n + j] * a[i * n + j]);
        let trace: f64 = (0..n).map(|i| a[i * n + i].abs()).sum();
        if off.sqrt() <= f64::EPSILON * trace {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, n, p, q);
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), vectors)
}

/// Rotates rows and columns p and q so that a_pq becomes zero, and rows p and q of the vectors.
fn rotate(a: &mut [f64], vectors: &mut [f64], n: usize, p: usize, q: usize) {
    let apq = a[p * n + q];
    if apq == 0.0 {
        return;
    }
    let tau = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
    let t = tau.signum() / (tau.abs() + (1.0 + tau * tau).sqrt());
    let c = 1.0 / (1.0 + t * t).sqrt();
    let s = t * c;
    let mix = |x: &mut f64, y: &mut f64| (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    for i in 0..n {
        let (mut x, mut y) = (a[i * n + p], a[i * n + q]);
        mix(&mut x, &mut y);
        (a[i * n + p], a[i * n + q]) = (x, y);
    }
    for rows in [a, vectors] {
        let (upper, lower) = rows.split_at_mut(q * n);
        upper[p * n..][..n].iter_mut().zip(&mut lower[..n]).for_each(|(x, y)| mix(x, y));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hilbert-like: positive definite, all entries different.
    fn example(n: usize) -> Vec<f64> {
        (0..n * n)
            .map(|at| 1.0 / (1 + at / n + at % n) as f64 + f64::from(u8::from(at / n == at % n)))
            .collect()
    }

    #[test]
    fn solution_satisfies_the_system() {
        let n = 6;
        let a = example(n);
        let b: Vec<f64> = (0..n).map(|i| i as f64 - 2.5).collect();
        let mut x = b.clone();
        solve_positive(&mut a.clone(), &mut x).unwrap();
        for i in 0..n {
            let product: f64 = (0..n).map(|j| a[i * n + j] * x[j]).sum();
            assert!((product - b[i]).abs() < 1e-12);
        }
        let inverse = invert_positive(&a, n).unwrap();
        for i in 0..n {
            let product: f64 = (0..n).map(|j| inverse[i * n + j] * b[j]).sum();
            assert!((product - x[i]).abs() < 1e-12);
        }
        // Columns that are computed together are those that are computed alone, bit for bit.
        let n = 2 * TOGETHER + 3;
        let (a, mut factor) = (example(n), example(n));
        let inverse = invert_positive(&a, n).unwrap();
        let scale: Vec<f64> = (0..n).map(|i| 1.0 / a[i * n + i].sqrt()).collect();
        (0..n * n).for_each(|at| factor[at] = a[at] * scale[at / n] * scale[at % n]);
        factorize(&mut factor, n).unwrap();
        for j in 0..n {
            let mut alone = vec![0.0; n];
            alone[j] = scale[j];
            substitute(&factor, &mut alone);
            for i in 0..n {
                assert_eq!((alone[i] * scale[i]).to_bits(), inverse[j * n + i].to_bits());
            }
        }
        assert!(solve_positive(&mut [1.0, 1.0, 1.0, 1.0], &mut [1.0, 2.0]).is_none());
        assert_eq!(condition_number(&[1.0, 1.0, 1.0, 1.0], 2), 1.0 / f64::EPSILON);
    }

    /// The tridiagonal matrix (−1, 2, −1) has the eigenvalues 2 − 2 cos(iπ/(n + 1)), i = 1..n.
    #[test]
    fn eigenvalues_of_the_second_difference() {
        let n = 7;
        let entry = |at: usize| match (at / n).abs_diff(at % n) {
            0 => 2.0,
            1 => -1.0,
            _ => 0.0,
        };
        let (mut values, vectors) = eigen((0..n * n).map(entry).collect(), n);
        for (value, vector) in values.iter().zip(vectors.chunks_exact(n)) {
            for i in 0..n {
                let product: f64 = (0..n).map(|j| entry(i * n + j) * vector[j]).sum();
                assert!((product - value * vector[i]).abs() < 1e-13);
            }
        }
        values.sort_by(f64::total_cmp);
        let condition = condition_number(&(0..n * n).map(entry).collect::<Vec<_>>(), n);
        assert!((condition / (values[n - 1] / values[0]) - 1.0).abs() < 1e-3, "{condition}");
        for (i, value) in values.iter().enumerate() {
            let angle = std::f64::consts::PI * (i + 1) as f64 / (n + 1) as f64;
            assert!((value - (2.0 - 2.0 * angle.cos())).abs() < 1e-13);
        }
    }
}
