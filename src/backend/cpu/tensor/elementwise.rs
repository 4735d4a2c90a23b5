//! Functions of one or two numbers, applied element by element with NumPy broadcasting, and their
//! adjoints.

use super::CHUNK;
use super::walk::Walk;
use crate::Real;
use crate::tensor::function::{Binary, Unary};
use crate::tensor::layout::{broadcast_strides, contiguous};
use crate::threads::share;

/// Computes y = f(x) for every element.
pub fn unary<T: Real>(f: Unary<T>, x: &[T], y: &mut [T]) {
    use Unary::*;
    match f {
        Negate => map(x, y, |x| -x),
        Scale(c) => map(x, y, |x| c * x),
        Shift(c) => map(x, y, |x| x + c),
        Relu => map(x, y, |x| if x <= T::zero() { T::zero() } else { x }),
        Tanh => map(x, y, T::tanh),
        Sigmoid => map(x, y, sigmoid),
        Softplus => map(x, y, softplus),
        Gelu => map(x, y, |x| T::of(0.5) * x * (T::one() + gelu_argument(x).tanh())),
        Sin => map(x, y, T::sin),
        Cos => map(x, y, T::cos),
        Exp => map(x, y, T::exp),
        Ln => map(x, y, T::ln),
        Sqrt => map(x, y, T::sqrt),
        Square => map(x, y, |x| x * x),
        Reciprocal => map(x, y, T::recip),
        Powi(n) => map(x, y, |x| x.powi(n)),
        Powf(p) => map(x, y, |x| x.powf(p)),
    }
}

/// Adds gy · f'(x) to gx, where y = f(x).
pub fn unary_adjoint<T: Real>(f: Unary<T>, x: &[T], y: &[T], gy: &[T], gx: &mut [T]) {
    use Unary::*;
    let one = T::one();
    match f {
        Negate => accumulate(x, y, gy, gx, |_, _| -one),
        Scale(c) => accumulate(x, y, gy, gx, |_, _| c),
        Shift(_) => accumulate(x, y, gy, gx, |_, _| one),
        Relu => accumulate(x, y, gy, gx, |x, _| if x > T::zero() { one } else { T::zero() }),
        Tanh => accumulate(x, y, gy, gx, |_, y| one - y * y),
        Sigmoid => accumulate(x, y, gy, gx, |_, y| y * (one - y)),
        Softplus => accumulate(x, y, gy, gx, |x, _| sigmoid(x)),
        Gelu => accumulate(x, y, gy, gx, gelu_derivative),
        Sin => accumulate(x, y, gy, gx, |x, _| x.cos()),
        Cos => accumulate(x, y, gy, gx, |x, _| -x.sin()),
        Exp => accumulate(x, y, gy, gx, |_, y| y),
        Ln => accumulate(x, y, gy, gx, |x, _| x.recip()),
        Sqrt => accumulate(x, y, gy, gx, |_, y| (y + y).recip()),
        Square => accumulate(x, y, gy, gx, |x, _| x + x),
        Reciprocal => accumulate(x, y, gy, gx, |_, y| -y * y),
        // The function x⁰ is constant, at x = 0 too.
        Powi(0) => {}
        Powi(n) => {
            let factor = T::of(f64::from(n));
            accumulate(x, y, gy, gx, |x, _| factor * x.powi(n.saturating_sub(1)));
        }
        Powf(p) if p == T::zero() => {}
        Powf(p) => accumulate(x, y, gy, gx, |x, _| p * x.powf(p - one)),
    }
}
/// Returns e^x / (1 + e^x) without overflow for large |x|.
fn sigmoid<T: Real>(x: T) -> T {
    let decay = (-x.abs()).exp();
    let upper = (T::one() + decay).recip();
    if x >= T::zero() { upper } else { decay * upper }
}

/// Returns ln(1 + e^x) as max(x, 0) + ln(1 + e^−|x|), which does not overflow.
fn softplus<T: Real>(x: T) -> T {
    let rest = (-x.abs()).exp().ln_1p();
    if x > T::zero() { x + rest } else { rest }
}

const GELU_SCALE: f64 = 0.797_884_560_802_865_4; // √(2/π)
const GELU_CUBIC: f64 = 0.044_715;

fn gelu_argument<T: Real>(x: T) -> T {
    T::of(GELU_SCALE) * (x + T::of(GELU_CUBIC) * x * x * x)
}

fn gelu_derivative<T: Real>(x: T, _: T) -> T {
    let (half, one) = (T::of(0.5), T::one());
    let tanh = gelu_argument(x).tanh();
    let slope = T::of(GELU_SCALE) * (one + T::of(3.0 * GELU_CUBIC) * x * x);
    half * (one + tanh) + half * x * (one - tanh * tanh) * slope
}

fn map<T: Real>(x: &[T], y: &mut [T], f: impl Fn(T) -> T + Sync) {
    let chunk = |(x, y): (&[T], &mut [T])| {
        for (x, y) in x.iter().zip(y) {
            *y = f(*x);
        }
    };
    share(x.chunks(CHUNK).zip(y.chunks_mut(CHUNK)), usize::MAX, chunk);
}

/// Computes y += x.
pub fn add<T: Real>(x: &[T], y: &mut [T]) {
    share(x.chunks(CHUNK).zip(y.chunks_mut(CHUNK)), usize::MAX, |(x, y)| {
        x.iter().zip(y).for_each(|(x, y)| *y += *x);
    });
}

/// Computes gx += gy · slope(x, y).
fn accumulate<T: Real>(x: &[T], y: &[T], gy: &[T], gx: &mut [T], slope: impl Fn(T, T) -> T + Sync) {
    share(gx.chunks_mut(CHUNK).enumerate(), usize::MAX, |(i, gx)| {
        let start = i * CHUNK;
        let inputs = x[start..].iter().zip(&y[start..]).zip(&gy[start..]);
        for (((x, y), gy), gx) in inputs.zip(gx) {
            *gx += *gy * slope(*x, *y);
        }
    });
}

/// The values and the shape of an operand.
pub type Operand<'a, T> = (&'a [T], &'a [usize]);

/// Computes y = f(a, b) for the broadcast operands; `shape` is their common shape.
pub fn binary<T: Real>(f: Binary, a: Operand<T>, b: Operand<T>, shape: &[usize], y: &mut [T]) {
    match f {
        Binary::Add => zip(a, b, shape, y, |a, b| a + b),
        Binary::Subtract => zip(a, b, shape, y, |a, b| a - b),
        Binary::Multiply => zip(a, b, shape, y, |a, b| a * b),
        Binary::Divide => zip(a, b, shape, y, |a, b| a / b),
    }
}

/// Adds gy · ∂y/∂a to ga, summed over the axes along which a is repeated.
pub fn binary_adjoint_a<T: Real>(
    f: Binary,
    a: &[usize],
    b: Operand<T>,
    shape: &[usize],
    gy: &[T],
    ga: &mut [T],
) {
    match f {
        Binary::Add | Binary::Subtract => add_reduced(gy, shape, ga, a),
        Binary::Multiply => accumulate_pair(a, b, shape, gy, ga, |g, b| g * b),
        Binary::Divide => accumulate_pair(a, b, shape, gy, ga, |g, b| g / b),
    }
}

/// Adds gy · ∂y/∂b to gb, summed over the axes along which b is repeated.
pub fn binary_adjoint_b<T: Real>(
    f: Binary,
    a: Operand<T>,
    b: Operand<T>,
    shape: &[usize],
    gy: &[T],
    gb: &mut [T],
) {
    match f {
        Binary::Add => add_reduced(gy, shape, gb, b.1),
        Binary::Subtract => {
            accumulate_pair(b.1, b, shape, gy, gb, |g, _| -g);
        }
        Binary::Multiply => accumulate_pair(b.1, a, shape, gy, gb, |g, a| g * a),
        Binary::Divide => {
            let (sa, sb) = (broadcast_strides(a.1, shape), broadcast_strides(b.1, shape));
            let walk = Walk::new(shape, [&contiguous(shape), &sa, &sb]);
            let [step_g, step_a, step_b] = walk.strides;
            walk.for_each(|[g, i, j]| {
                for r in 0..walk.run {
                    let (at, divisor) = (j + r * step_b, b.0[j + r * step_b]);
                    let slope = a.0[i + r * step_a] / divisor / divisor;
                    gb[at] -= gy[g + r * step_g] * slope;
                }
            });
        }
    }
}

fn zip<T: Real>(
    (a, sa): Operand<T>,
    (b, sb): Operand<T>,
    shape: &[usize],
    y: &mut [T],
    f: impl Fn(T, T) -> T + Sync,
) {
    let walk = Walk::new(
        shape,
        [&contiguous(shape), &broadcast_strides(sa, shape), &broadcast_strides(sb, shape)],
    );
    let [_, step_a, step_b] = walk.strides;
    let run = |a: &[T], b: &[T], y: &mut [T]| match (step_a, step_b) {
        (1, 1) => (a.iter().zip(b).zip(y)).for_each(|((a, b), y)| *y = f(*a, *b)),
        (1, 0) => a.iter().zip(y).for_each(|(a, y)| *y = f(*a, b[0])),
        (0, 1) => b.iter().zip(y).for_each(|(b, y)| *y = f(a[0], *b)),
        _ => (y.iter_mut().enumerate()).for_each(|(r, y)| *y = f(a[r * step_a], b[r * step_b])),
    };
    if y.len() <= CHUNK {
        walk.for_each(|[k, i, j]| run(&a[i..], &b[j..], &mut y[k..k + walk.run]));
    } else if walk.run == y.len() {
        share(y.chunks_mut(CHUNK).enumerate(), usize::MAX, |(task, y)| {
            let first = task * CHUNK;
            run(&a[first * step_a..], &b[first * step_b..], y);
        });
    } else {
        let runs = (CHUNK / walk.run).max(1);
        share(y.chunks_mut(runs * walk.run).enumerate(), usize::MAX, |(task, y)| {
            let first = task * runs;
            walk.for_each_of(first..first + y.len() / walk.run, |[k, i, j]| {
                let k = k - first * walk.run;
                run(&a[i..], &b[j..], &mut y[k..k + walk.run]);
            });
        });
    }
}

/// Adds f(gy, other) to `target`, reduced to its shape.
fn accumulate_pair<T: Real>(
    target_shape: &[usize],
    (other, other_shape): Operand<T>,
    shape: &[usize],
    gy: &[T],
    target: &mut [T],
    f: impl Fn(T, T) -> T,
) {
    let walk = Walk::new(
        shape,
        [
            &contiguous(shape),
            &broadcast_strides(target_shape, shape),
            &broadcast_strides(other_shape, shape),
        ],
    );
    let [step_g, step_t, step_o] = walk.strides;
    walk.for_each(|[g, t, o]| {
        if (step_g, step_t, step_o) == (1, 1, 1) {
            let runs = (gy[g..].iter().zip(&other[o..])).zip(&mut target[t..t + walk.run]);
            runs.for_each(|((g, o), t)| *t += f(*g, *o));
        } else {
            for r in 0..walk.run {
                target[t + r * step_t] += f(gy[g + r * step_g], other[o + r * step_o]);
            }
        }
    });
}

/// The fewest columns of a task that adds up rows: less than some cache lines of each row would be
/// fetched for little.
const FEWEST_COLUMNS: usize = 64;

/// Adds x to `target`, summed over the axes along which the target's shape is repeated to give x's
/// shape.
pub fn add_reduced<T: Real>(x: &[T], shape: &[usize], target: &mut [T], target_shape: &[usize]) {
    let repeat = broadcast_strides(target_shape, shape);
    let walk = Walk::new(shape, [&contiguous(shape), &repeat]);
    let [step_x, step_t] = walk.strides;
    if x.len() > CHUNK && walk.run == target.len() && (step_x, step_t) == (1, 1) {
        // Whole rows are added up, as for the gradient of a bias: a task has some of the columns.
        let rows = x.len() / walk.run;
        let columns = (CHUNK / rows).max(FEWEST_COLUMNS);
        return share(target.chunks_mut(columns).enumerate(), usize::MAX, |(task, target)| {
            walk.for_each(|[i, _]| {
                let row = x[i + task * columns..].iter().zip(&mut *target);
                row.for_each(|(x, t)| *t += *x);
            });
        });
    }
    walk.for_each(|[i, t]| match (step_x, step_t) {
        (1, 1) => {
            let runs = x[i..].iter().zip(&mut target[t..t + walk.run]);
            runs.for_each(|(x, t)| *t += *x);
        }
        (1, 0) => target[t] += super::reduce::sum_run(&x[i..i + walk.run]),
        _ => {
            for r in 0..walk.run {
                target[t + r * step_t] += x[i + r * step_x];
            }
        }
    });
}

/// Computes y = x where the mask holds and `otherwise` elsewhere, all broadcast to `shape`.
pub fn select<T: Real>(
    (mask, mask_shape): (&[bool], &[usize]),
    (x, x_shape): Operand<T>,
    (otherwise, otherwise_shape): Operand<T>,
    shape: &[usize],
    y: &mut [T],
) {
    let walk = Walk::new(
        shape,
        [
            &contiguous(shape),
            &broadcast_strides(mask_shape, shape),
            &broadcast_strides(x_shape, shape),
            &broadcast_strides(otherwise_shape, shape),
        ],
    );
    let [sy, sm, sx, so] = walk.strides;
    walk.for_each(|[k, m, i, j]| {
        for r in 0..walk.run {
            y[k + r * sy] = if mask[m + r * sm] { x[i + r * sx] } else { otherwise[j + r * so] };
        }
    });
}

/// Adds gy to `target` where the mask equals `side`, reduced to the target's shape.
pub fn select_adjoint<T: Real>(
    (mask, mask_shape): (&[bool], &[usize]),
    side: bool,
    shape: &[usize],
    gy: &[T],
    target: &mut [T],
    target_shape: &[usize],
) {
    let walk = Walk::new(
        shape,
        [
            &contiguous(shape),
            &broadcast_strides(mask_shape, shape),
            &broadcast_strides(target_shape, shape),
        ],
    );
    let [sg, sm, st] = walk.strides;
    walk.for_each(|[g, m, t]| {
        for r in 0..walk.run {
            if mask[m + r * sm] == side {
                target[t + r * st] += gy[g + r * sg];
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shape of several tasks, the last one smaller, that cut through rows.
    const SHAPE: [usize; 2] = [331, 301];

    fn numbers(count: usize) -> Vec<f64> {
        (0..count).map(|i| (0.7 * i as f64).sin()).collect()
    }

    #[test]
    fn functions_of_many_elements_are_those_of_each() {
        let x = numbers(SHAPE[0] * SHAPE[1]);
        assert!(x.len() > 5 * CHUNK);
        let (mut y, gy) = (vec![0.0; x.len()], numbers(x.len() + 9)[9..].to_vec());
        unary(Unary::Tanh, &x, &mut y);
        let mut gx = vec![0.25; x.len()];
        unary_adjoint(Unary::Tanh, &x, &y, &gy, &mut gx);
        for i in 0..x.len() {
            assert_eq!(y[i], x[i].tanh());
            assert_eq!(gx[i], 0.25 + gy[i] * (1.0 - y[i] * y[i]));
        }
        add(&x, &mut gx);
        assert_eq!(gx[70_001], 0.25 + gy[70_001] * (1.0 - y[70_001] * y[70_001]) + x[70_001]);
    }

    #[test]
    fn many_pairs_are_broadcast_as_each() {
        let [rows, columns] = SHAPE;
        for a_shape in [[rows, columns], [rows, 1], [1, columns], [1, 1]] {
            for b_shape in [[rows, columns], [rows, 1], [1, columns]] {
                let (a, b) = (numbers(a_shape[0] * a_shape[1]), numbers(b_shape[0] * b_shape[1]));
                let mut y = vec![0.0; rows * columns];
                binary(Binary::Subtract, (&a, &a_shape), (&b, &b_shape), &SHAPE, &mut y);
                let at = |shape: [usize; 2], row: usize, column: usize| {
                    (row % shape[0]) * shape[1] + column % shape[1]
                };
                for (i, y) in y.iter().enumerate() {
                    let (row, column) = (i / columns, i % columns);
                    assert_eq!(*y, a[at(a_shape, row, column)] - b[at(b_shape, row, column)]);
                }
            }
        }
    }

    #[test]
    fn many_rows_are_added_up_in_order() {
        let [rows, columns] = SHAPE;
        let x = numbers(rows * columns);
        let mut sum = vec![0.5; columns];
        add_reduced(&x, &SHAPE, &mut sum, &[columns]);
        for (column, sum) in sum.iter().enumerate() {
            let of_column = x[column..].iter().step_by(columns);
            assert_eq!(*sum, of_column.fold(0.5, |sum, x| sum + x));
        }
    }
}
