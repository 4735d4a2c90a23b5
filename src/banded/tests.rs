//! The factor against dense matrices.

use super::*;

/// (t, row, column, value) of the window.
type Term = (usize, usize, usize, f64);

/// A random SPD matrix of the given structure: M = Σ rowsᵀrows plus a diagonal, as window
/// terms and densely.
fn example(shape: BandedShape, seed: u64) -> (Vec<Term>, Vec<f64>) {
    let mut state = seed;
    let mut random = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as f64 / (1u64 << 31) as f64 * 2.0 - 1.0
    };
    let (p, unknowns) = (shape.block, shape.unknowns());
    let group = p / shape.groups;
    let mut terms = Vec::new();
    for t in 0..=shape.blocks {
        let present = |column: usize| {
            column >= shape.first_border()
                || (t < shape.blocks && t * p + column < shape.blocks * p)
        };
        for row in 0..shape.window() {
            for column in row..shape.window() {
                let (block, inner) = (column / p, row < p);
                let outermost = block == shape.bandwidth && column < shape.first_border();
                let same_group = (row % p) / group == (column % p) / group;
                if !present(row) || !present(column) || (t == shape.blocks && inner) {
                    continue;
                }
                if (t < shape.blocks && !inner && row != column)
                    || (outermost && inner && !same_group)
                {
                    continue;
                }
                let value = if row == column { 4.0 * unknowns as f64 } else { random() };
                terms.push((t, row, column, value));
            }
        }
    }
    let mut dense = vec![0.0; unknowns * unknowns];
    for &(t, row, column, value) in &terms {
        let index = |column: usize| {
            if column < shape.first_border() {
                t * p + column
            } else {
                shape.blocks * p + column - shape.first_border()
            }
        };
        let (i, j) = (index(row), index(column));
        dense[i * unknowns + j] += value;
        if i != j {
            dense[j * unknowns + i] += value;
        }
    }
    (terms, dense)
}

#[test]
fn solves_what_the_dense_matrix_multiplies() {
    for (index, (blocks, block, groups, bandwidth, border)) in [
        (1, 2, 1, 1, 0),
        (2, 3, 3, 1, 0),
        (5, 3, 1, 1, 2),
        (6, 6, 2, 1, 1),
        (6, 4, 2, 2, 3),
        (1, 4, 2, 2, 1),
        (2, 4, 4, 2, 0),
        (9, 6, 3, 2, 6),
        // Wide enough to collect rows, which are more than are collected at a time.
        (70, 4, 2, 2, WIDE + 90),
        // Exactly as many.
        (COLLECTED / 4, 4, 1, 1, WIDE),
    ]
    .into_iter()
    .enumerate()
    {
        let shape = BandedShape { blocks, block, groups, bandwidth, border };
        let (terms, dense) = example(shape, index as u64 + 1);
        let n = shape.unknowns();
        let expected: Vec<f64> = (0..n).map(|i| (i as f64 * 0.7).sin() + 0.1).collect();
        let product = |i: usize| (0..n).map(|j| dense[i * n + j] * expected[j]).sum();
        let mut rhs: Vec<f64> = (0..n).map(product).collect();
        let mut factor = Factor::new(shape).unwrap();
        let mut window = Window::new(&shape).unwrap();
        let absorb = |t, window: &mut Window| {
            for &(_, row, column, value) in terms.iter().filter(|term| term.0 == t) {
                window.add(row, column, value);
            }
            Ok(())
        };
        factor.factorize(&mut window, absorb).unwrap();
        assert_eq!(factor.breakdown(), None);
        factor.solve(&mut rhs);
        for (value, expected) in rhs.iter().zip(&expected) {
            assert!((value - expected).abs() < 1e-12, "{shape:?}");
        }
    }
}

#[test]
fn border_complement_and_inverse_are_inverse() {
    let shape = BandedShape { blocks: 4, block: 2, groups: 1, bandwidth: 1, border: 5 };
    let (terms, _) = example(shape, 3);
    let mut factor = Factor::new(shape).unwrap();
    let absorb = |t, window: &mut Window| {
        for &(_, row, column, value) in terms.iter().filter(|term| term.0 == t) {
            window.add(row, column, value);
        }
        Ok(())
    };
    factor.factorize(&mut Window::new(&shape).unwrap(), absorb).unwrap();
    let (complement, inverse) = (factor.border_complement(), factor.border_inverse());
    for at in 0..25 {
        let (i, j) = (at / 5, at % 5);
        let product: f64 = (0..5).map(|k| complement[i * 5 + k] * inverse[k * 5 + j]).sum();
        assert!((product - f64::from(u8::from(i == j))).abs() < 1e-13);
    }
}

#[test]
fn breakdown_names_the_pivot() {
    let shape = BandedShape { blocks: 3, block: 2, groups: 1, bandwidth: 1, border: 1 };
    let mut factor = Factor::new(shape).unwrap();
    let mut window = Window::new(&shape).unwrap();
    for wrong in [0.0, f64::NAN] {
        let absorb = |t, window: &mut Window| {
            for i in 0..if t < 3 { 2 } else { 0 } {
                window.add(i, i, if t == 1 && i == 1 { wrong } else { 4.0 });
            }
            if t == 3 {
                window.add(4, 4, 1.0);
            }
            Ok(())
        };
        factor.factorize(&mut window, absorb).unwrap();
        assert_eq!(factor.breakdown(), Some(Breakdown { block: 1, pivot: 1 }));
    }
}

/// Rows over all columns, added one after another, and the matrix of their products.
#[test]
fn squares_are_those_of_the_rows() {
    for border in [3, WIDE + STRIP + 5] {
        let shape = BandedShape { blocks: 150, block: 2, groups: 1, bandwidth: 1, border };
        let (p, n, unknowns) = (shape.block, shape.window(), shape.unknowns());
        let value = |t: usize, i: usize, column: usize| {
            let zero = (t + 3 * i + column).is_multiple_of(7);
            if zero { 0.0 } else { ((31 * t + 7 * i + column) as f64 * 1.37).sin() }
        };
        let mut rhs = vec![0.0; unknowns];
        let expected: Vec<f64> = (0..unknowns).map(|i| (i as f64 * 0.7).sin() + 0.1).collect();
        let unknown = |t: usize, column: usize| {
            if column < 2 * p { t * p + column } else { shape.blocks * p + column - 2 * p }
        };
        let rows =
            |t: usize| -> Vec<f64> { (0..2 * n).map(|at| value(t, at / n, at % n)).collect() };
        for t in 0..shape.blocks - 1 {
            for row in rows(t).chunks_exact(n) {
                let product: f64 =
                    (0..n).map(|column| row[column] * expected[unknown(t, column)]).sum();
                (0..n).for_each(|column| rhs[unknown(t, column)] += row[column] * product);
            }
        }
        rhs.iter_mut().zip(&expected).for_each(|(b, x)| *b += x);
        let mut factor = Factor::new(shape).unwrap();
        let absorb = |t: usize, window: &mut Window| {
            if t < shape.blocks {
                (0..p).for_each(|i| window.add(i, i, 1.0));
            } else {
                (2 * p..n).for_each(|i| window.add(i, i, 1.0));
            }
            if t + 1 < shape.blocks { window.add_squares(&rows(t)) } else { Ok(()) }
        };
        factor.factorize(&mut Window::new(&shape).unwrap(), absorb).unwrap();
        assert_eq!(factor.breakdown(), None);
        factor.solve(&mut rhs);
        for (value, expected) in rhs.iter().zip(&expected) {
            assert!((value - expected).abs() < 1e-9, "{border}: {value} {expected}");
        }
    }
}
