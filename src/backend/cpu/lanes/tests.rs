//! Every set of instructions computes the same bits.

use super::*;

/// What every operation makes of some numbers, as bits.
#[derive(Clone, Copy)]
struct Operations<'a>(&'a [f64]);

/// The same, compiled for one set of instructions.
struct On<'a, V>(&'a [f64], &'a mut Vec<u64>, std::marker::PhantomData<V>);

impl Choice for Operations<'_> {
    type Output = Vec<u64>;
    fn with<V: Vector>(self) -> Vec<u64> {
        let mut bits = Vec::new();
        V::run(On::<V>(self.0, &mut bits, std::marker::PhantomData));
        bits
    }
}

impl<V: Vector> Work for On<'_, V> {
    #[inline(always)]
    fn run(self) {
        let mut chunks = self.0.chunks_exact(LANES);
        let mut next = || V::from_array(*chunks.next().unwrap().first_chunk().unwrap());
        let mut rows = [next(), next(), next(), next(), next(), next(), next(), next()];
        let [a, b, c, ..] = rows;
        V::transpose(&mut rows);
        let results = [
            a + b,
            a - b,
            a * b,
            a / b,
            -a,
            a.plus(b, c),
            a.minus(b, c),
            a.abs().sqrt(),
            a.less(b, b, c),
        ];
        for result in rows.into_iter().chain(results) {
            self.1.extend(result.to_array().map(f64::to_bits));
        }
    }
}

#[test]
fn all_instructions_compute_the_same() {
    let mut numbers: Vec<f64> = (0..64).map(|i| (f64::from(i) * 1.7).sin() / 3.0).collect();
    numbers[3] = f64::INFINITY;
    numbers[13] = 0.0;
    let found = choose_all(Operations(&numbers));
    // The transpose comes first: lane j of row i is number 8·j + i.
    assert_eq!(f64::from_bits(found[0][1]), numbers[8]);
    assert!(found.iter().all(|bits| *bits == found[0]));
}

/// Comparisons of eight finite numbers with others, one of which may differ.
#[derive(Clone, Copy)]
struct Comparisons {
    differs: usize,
    by: f64,
}

impl Choice for Comparisons {
    type Output = [bool; 2];
    fn with<V: Vector>(self) -> [bool; 2] {
        let numbers = [1.0, -2.0, 0.0, 1e-308, 5.0, 1e300, -1e-300, 0.5];
        let mut others = numbers;
        others[self.differs] += self.by;
        let (numbers, others) = (V::from_array(numbers), V::from_array(others));
        let above = V::from_array([2.0, -1.0, 1e-9, 1.0, 6.0, 1e301, 1e-300, 0.6]);
        [numbers.same(others), others.all_less(above)]
    }
}

#[test]
fn comparisons_see_every_lane() {
    for lane in 0..LANES {
        let same = choose_all(Comparisons { differs: lane, by: 0.0 });
        assert!(same.iter().all(|found| *found == [true, true]), "{lane}: {same:?}");
        let other = choose_all(Comparisons { differs: lane, by: 1e302 });
        assert!(other.iter().all(|found| *found == [false, false]), "{lane}: {other:?}");
        let none = choose_all(Comparisons { differs: lane, by: f64::NAN });
        assert!(none.iter().all(|found| *found == [false, false]), "{lane}: {none:?}");
    }
    // Numbers below the normal ones differ too.
    let small = choose_all(Comparisons { differs: 3, by: 1e-308 });
    assert!(small.iter().all(|found| *found == [false, true]), "{small:?}");
}
