//! The factor against dense matrices.

use super::*;
use crate::banded::lanes::Pack;

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
    ]
    .into_iter()
    .enumerate()
    {
        let shape = BandedShape { blocks, block, groups, bandwidth, border };
        let (terms, dense) = example(shape, index as u64 + 1);
        let n = shape.unknowns();
        let expected: Vec<f64> = (0..n).map(|i| (i as f64 * 0.7).sin() + 0.1).collect();
        let mut rhs: Vec<Pack<f64, 2>> = (0..n)
            .map(|i| (0..n).map(|j| dense[i * n + j] * expected[j]).sum::<f64>())
            .map(|value| Pack([value, -2.0 * value]))
            .collect();
        let mut factor = Factor::new(shape).unwrap();
        let mut window = Window::new(&shape).unwrap();
        let absorb = |t, window: &mut Window<Pack<f64, 2>>| {
            for &(_, row, column, value) in terms.iter().filter(|term| term.0 == t) {
                window.add(row, column, Pack::splat(value));
            }
            Ok(())
        };
        factor.factorize(&mut window, absorb).unwrap();
        assert_eq!(factor.breakdown(), [None, None]);
        factor.solve(&mut rhs);
        for (value, expected) in rhs.iter().zip(&expected) {
            assert!((value.0[0] - expected).abs() < 1e-12, "{shape:?}");
            assert!((value.0[1] + 2.0 * expected).abs() < 1e-12, "{shape:?}");
        }
    }
}

#[test]
fn border_complement_and_inverse_are_inverse() {
    let shape = BandedShape { blocks: 4, block: 2, groups: 1, bandwidth: 1, border: 5 };
    let (terms, _) = example(shape, 3);
    let mut factor = Factor::<f64>::new(shape).unwrap();
    let absorb = |t, window: &mut Window<f64>| {
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
fn breakdown_names_the_pivot_and_leaves_other_lanes_alone() {
    let shape = BandedShape { blocks: 3, block: 2, groups: 1, bandwidth: 1, border: 1 };
    let mut factor = Factor::new(shape).unwrap();
    let mut window = Window::new(&shape).unwrap();
    let absorb = |t, window: &mut Window<Pack<f64, 3>>| {
        for i in 0..if t < 3 { 2 } else { 0 } {
            let singular = if t == 1 && i == 1 { 0.0 } else { 4.0 };
            window.add(i, i, Pack([4.0, singular, f64::NAN]));
        }
        if t == 3 {
            window.add(4, 4, Pack::splat(1.0));
        }
        Ok(())
    };
    factor.factorize(&mut window, absorb).unwrap();
    let place = |block, pivot| Some(Breakdown { block, pivot });
    assert_eq!(factor.breakdown(), [None, place(1, 1), place(0, 0)]);
    let mut rhs = vec![Pack([8.0, 8.0, 8.0]); 7];
    factor.solve(&mut rhs);
    assert!(rhs[..6].iter().all(|value| value.0[0] == 2.0) && rhs[6].0[0] == 8.0);
}

/// Rows of the given structure that begin at block t (n: in the border): (column, value) pairs in
/// window columns, those of the first group first, and right-hand sides.
fn example_rows(shape: BandedShape, t: usize) -> Vec<(Vec<(usize, f64)>, f64)> {
    let (p, first_border) = (shape.block, shape.first_border());
    let group = p / shape.groups;
    let border = first_border..shape.window();
    let mut state = t as u64 + 99;
    let mut random = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as f64 / (1u64 << 31) as f64 * 2.0 - 1.0
    };
    let mut row = |columns: Vec<usize>| {
        (columns.into_iter().map(|column| (column, random())).collect(), random())
    };
    if t == shape.blocks {
        return (0..shape.border + 1).map(|_| row(border.clone().collect())).collect();
    }
    // Fewer than P rows on the block itself; the others come from its neighbors.
    let mut rows: Vec<_> = (0..p - 1).map(|_| row((0..p).collect())).collect();
    let reached = (shape.bandwidth + 1).min(shape.blocks - t);
    for g in 0..shape.groups {
        for _ in 0..group + 1 {
            let inner = (0..reached).flat_map(|b| (0..group).map(move |i| b * p + g * group + i));
            rows.push(row(inner.chain(border.clone()).collect()));
        }
    }
    rows
}

#[test]
fn rows_have_the_factor_of_their_normal_matrix() {
    for (blocks, block, groups, bandwidth, border) in
        [(1, 2, 1, 1, 0), (5, 3, 1, 1, 2), (6, 6, 2, 1, 1), (6, 4, 2, 2, 3), (2, 4, 4, 2, 0)]
    {
        let shape = BandedShape { blocks, block, groups, bandwidth, border };
        let n = shape.unknowns();
        let mut cholesky = Factor::<f64>::new(shape).unwrap();
        let mut expected = vec![0.0; n];
        let absorb = |t, window: &mut Window<f64>| {
            for (row, rhs) in example_rows(shape, t) {
                for &(i, a) in &row {
                    let unknown = match i.checked_sub(shape.first_border()) {
                        Some(border) => blocks * block + border,
                        None => t * block + i,
                    };
                    expected[unknown] += a * rhs;
                    row.iter().filter(|(k, _)| *k >= i).for_each(|&(k, b)| window.add(i, k, a * b));
                }
            }
            Ok(())
        };
        cholesky.factorize(&mut Window::new(&shape).unwrap(), absorb).unwrap();
        for t in 0..blocks {
            cholesky.forward(t, &mut expected);
        }
        cholesky.forward_border(&mut expected);

        // The second lane has no rows at all: a breakdown that the first does not notice. Its
        // columns have other scales too.
        let mut factor = Factor::<Pack<f64, 2>>::new(shape).unwrap();
        let mut window = RowWindow::new(&shape).unwrap();
        let mut v = vec![Pack([0.0; 2]); n];
        let scale = |t: usize, scales: &mut [Pack<f64, 2>]| {
            scales.fill(Pack([[1.0, 0.25, 8.0][t % 3], 4.0]));
        };
        factor.restart_rows(&mut window, scale);
        for t in 0..=blocks {
            for (row, rhs) in example_rows(shape, t) {
                let entries = row.into_iter().map(|(column, value)| (column, Pack([value, 0.0])));
                factor.absorb_row(&mut window, entries, Pack([rhs, 0.0]));
            }
            if t < blocks {
                factor.eliminate_rows(t, &mut window, scale, &mut v);
            }
        }
        factor.eliminate_border_rows(&mut window, &mut v);

        assert_eq!(factor.breakdown(), [None, Some(Breakdown { block: 0, pivot: 0 })]);
        for (value, expected) in factor.values.iter().zip(&cholesky.values) {
            assert!((value.0[0] - expected).abs() < 1e-10 * expected.abs().max(1.0), "{shape:?}");
        }
        for (value, expected) in v.iter().zip(&expected) {
            assert!((value.0[0] - expected).abs() < 1e-10, "{shape:?}");
        }
    }
}

#[test]
fn rotations_by_noise_leave_the_rows_alone() {
    let mut factor =
        Factor::<f32>::new(BandedShape { blocks: 1, block: 2, groups: 1, bandwidth: 1, border: 0 })
            .unwrap();
    let mut window = RowWindow::new(factor.shape()).unwrap();
    let mut v = [0.0; 2];
    factor.restart_rows(&mut window, |_, scales| scales.fill(1.0));
    // The squares of 1e-21 and 2e-21 have no digits in single precision.
    for row in [[1e-21, 1.0], [2e-21, 1.0], [1.0, 0.0]] {
        factor.absorb_row(&mut window, row.into_iter().enumerate(), 1.0);
    }
    factor.eliminate_rows(0, &mut window, |_, _| (), &mut v);
    assert_eq!(factor.breakdown(), [None]);
    let norm = 1.0 / factor.values[trapezoid(4, 1) + 1];
    assert!((norm - 2.0_f32.sqrt()).abs() < 1e-6, "{norm}");
}
