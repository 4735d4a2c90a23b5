//! Every set of instructions computes the same bits.

use super::*;

/// What every operation makes of some numbers, as bits.
struct Operations<'a> {
    numbers: &'a [f64],
    bits: &'a mut Vec<u64>,
}

impl Operations<'_> {
    #[inline(always)]
    fn of<V: Vector>(self) {
        let mut chunks = self.numbers.chunks_exact(LANES);
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
            V::splat(f64::from(u8::from(a.all_less(a + V::splat(1.0))))),
            V::splat(f64::from(u8::from(a.same(a)) + 2 * u8::from(a.same(b)))),
        ];
        for result in rows.into_iter().chain(results) {
            self.bits.extend(result.to_array().map(f64::to_bits));
        }
    }
}

struct On<'a, V>(Operations<'a>, std::marker::PhantomData<V>);

impl<V: Vector> Work for On<'_, V> {
    #[inline(always)]
    fn run(self) {
        self.0.of::<V>();
    }
}

fn bits<V: Vector>(numbers: &[f64]) -> Vec<u64> {
    let mut bits = Vec::new();
    V::run(On::<V>(Operations { numbers, bits: &mut bits }, std::marker::PhantomData));
    bits
}

#[test]
fn all_instructions_compute_the_same() {
    let mut numbers: Vec<f64> = (0..64).map(|i| (f64::from(i) * 1.7).sin() / 3.0).collect();
    numbers[3] = f64::INFINITY;
    numbers[13] = 0.0;
    let expected = bits::<Portable>(&numbers);
    // The transpose comes first: lane j of row i is number 8·j + i.
    assert_eq!(f64::from_bits(expected[1]), numbers[8]);
    #[cfg(target_arch = "x86_64")]
    {
        if x86::Avx2::exists() {
            assert_eq!(bits::<x86::Avx2>(&numbers), expected);
        }
        if x86::Avx512::exists() {
            assert_eq!(bits::<x86::Avx512>(&numbers), expected);
        }
    }
}
