//! The same record on the tape of the CPU and of a CUDA device.

use std::ops::Range;

use mechanistic::tape::{Array, Tape, Var};
use mechanistic::{Backend, Real, Result};

/// y and the gradients of Σ weights·y with respect to the inputs.
pub fn forward_backward<T: Real, B: Backend>(
    backend: &B,
    inputs: &[Array<f64>],
    build: impl Fn(&mut Tape<T, B>, &[Var]) -> Result<Var>,
) -> Vec<Array<T>> {
    let mut tape = Tape::on(backend.clone());
    let round = |array: &Array<f64>| {
        let data = array.data().iter().map(|x| T::of(*x)).collect();
        Array::new(array.shape(), data).unwrap()
    };
    let leaves: Vec<Var> = inputs.iter().map(|input| tape.leaf(round(input))).collect();
    let y = build(&mut tape, &leaves).unwrap();
    let weights = random(tape.shape(y).unwrap(), 99, -1.0..1.0);
    let gradients = tape.backward_from(y, &round(&weights)).unwrap();
    let mut results = vec![tape.value(y).unwrap().clone()];
    results.extend(leaves.iter().map(|leaf| gradients.value(*leaf).unwrap().clone()));
    results
}

/// Compares arrays, relative to the largest number of each.
pub fn compare<T: Real>(what: &str, cpu: &[Array<T>], cuda: &[Array<T>], tolerance: f64) {
    assert_eq!(cpu.len(), cuda.len());
    for (k, (cpu, cuda)) in cpu.iter().zip(cuda).enumerate() {
        assert_eq!(cpu.shape(), cuda.shape(), "{what}, array {k}");
        let finite = cpu.data().iter().map(|x| x.to_double().abs()).filter(|x| x.is_finite());
        let scale = finite.fold(0.0, f64::max);
        for (i, (a, b)) in cpu.data().iter().zip(cuda.data()).enumerate() {
            let (a, b) = (a.to_double(), b.to_double());
            let same = a == b || (a.is_nan() && b.is_nan());
            assert!(
                same || (a - b).abs() <= tolerance * scale,
                "{what} in {}, array {k} of shape {:?}, element {i}: {a} on the CPU, {b} on CUDA",
                T::NAME,
                cpu.shape()
            );
        }
    }
}

/// The same record on both backends in both types.
macro_rules! agree {
    ($inputs:expr, |$tape:ident, $x:ident| $body:expr) => {
        agree!($crate::support::backends::cuda(), $inputs, |$tape, $x| $body)
    };
    ($cuda:expr, $inputs:expr, |$tape:ident, $x:ident| $body:expr) => {{
        use mechanistic::cuda::Cuda;
        use mechanistic::tape::{Array, Tape, Var};
        use $crate::support::tape_agreement::{compare, forward_backward};
        let inputs: &[Array<f64>] = &$inputs;
        let shapes: Vec<&[usize]> = inputs.iter().map(Array::shape).collect();
        let what = format!("{} of {shapes:?}", stringify!($body));
        compare(
            &what,
            &forward_backward(&mechanistic::Cpu, inputs, |$tape: &mut Tape<f64>, $x: &[Var]| $body),
            &forward_backward($cuda, inputs, |$tape: &mut Tape<f64, Cuda>, $x: &[Var]| $body),
            1e-12,
        );
        compare(
            &what,
            &forward_backward(&mechanistic::Cpu, inputs, |$tape: &mut Tape<f32>, $x: &[Var]| $body),
            &forward_backward($cuda, inputs, |$tape: &mut Tape<f32, Cuda>, $x: &[Var]| $body),
            1e-5,
        );
    }};
}
pub(crate) use agree;

/// Numbers in the range, the same for the same seed.
pub fn random(shape: &[usize], seed: u64, range: Range<f64>) -> Array<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        range.start + (range.end - range.start) * (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    Array::new(shape, (0..shape.iter().product()).map(|_| next()).collect()).unwrap()
}

/// Of any sign.
pub fn any(shape: &[usize]) -> Array<f64> {
    random(shape, shape.len() as u64 + 3, -2.0..2.0)
}

/// Away from 0.
pub fn positive(shape: &[usize]) -> Array<f64> {
    random(shape, shape.len() as u64 + 17, 0.3..2.0)
}
