//! The factor against dense matrices.

use super::*;

/// A block, and the row, column and value of an entry of its window.
type Entry = (usize, usize, usize, f64);

/// Terms (t, row, column, value) of a random SPD matrix for the window, and the matrix, dense.
fn example(shape: BandedShape, seed: u64) -> (Vec<Entry>, Vec<f64>) {
    let mut state = seed;
    let mut random = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as f64 / (1u64 << 31) as f64 * 2.0 - 1.0
    };
    let p = shape.block;
    let unknowns = shape.blocks * p;
    let mut terms = Vec::new();
    let mut dense = vec![0.0; unknowns * unknowns];
    for t in 0..shape.blocks {
        for row in 0..p {
            for column in (row..2 * p).filter(|column| t * p + column < unknowns) {
                let value = if row == column { 4.0 * unknowns as f64 } else { random() };
                terms.push((t, row, column, value));
                let (i, j) = (t * p + row, t * p + column);
                dense[i * unknowns + j] = value;
                dense[j * unknowns + i] = value;
            }
        }
    }
    (terms, dense)
}

#[test]
fn solves_what_the_dense_matrix_multiplies() {
    for (seed, (blocks, block)) in [(1, 2), (2, 3), (5, 3), (6, 4), (9, 1)].into_iter().enumerate()
    {
        let shape = BandedShape { blocks, block };
        let (terms, dense) = example(shape, seed as u64 + 1);
        let n = blocks * block;
        let expected: Vec<f64> = (0..n).map(|i| (i as f64 * 0.7).sin() + 0.1).collect();
        let product = |i: usize| (0..n).map(|j| dense[i * n + j] * expected[j]).sum();
        let mut rhs: Vec<f64> = (0..n).map(product).collect();
        let mut factor = Factor::new(shape).unwrap();
        let mut window = Window::new(&shape).unwrap();
        factor.factorize(&mut window, |t, window| {
            for &(_, row, column, value) in terms.iter().filter(|term| term.0 == t) {
                window.add(row, column, value);
            }
        });
        assert_eq!(factor.breakdown(), None);
        factor.solve(&mut rhs);
        for (value, expected) in rhs.iter().zip(&expected) {
            assert!((value - expected).abs() < 1e-12, "{shape:?}");
        }
    }
}

#[test]
fn breakdown_names_the_pivot() {
    let shape = BandedShape { blocks: 3, block: 2 };
    let mut factor = Factor::new(shape).unwrap();
    let mut window = Window::new(&shape).unwrap();
    for wrong in [0.0, f64::NAN] {
        factor.factorize(&mut window, |t, window| {
            for i in 0..2 {
                window.add(i, i, if t == 1 && i == 1 { wrong } else { 4.0 });
            }
        });
        assert_eq!(factor.breakdown(), Some(Breakdown { block: 1, pivot: 1 }));
    }
}
