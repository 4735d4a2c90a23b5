//! Comparison of arrays by their largest value. The unit tests of the library include this file too.

use mechanistic::Real;

/// Largest difference, relative to the largest expected value. Where one is NaN, both must be.
#[track_caller]
pub fn difference<A: Real, E: Real>(actual: &[A], expected: &[E]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let mut largest = f64::MIN_POSITIVE;
    let mut difference = 0.0_f64;
    for (actual, expected) in actual.iter().zip(expected) {
        let (actual, expected) = (actual.to_double(), expected.to_double());
        assert_eq!(actual.is_nan(), expected.is_nan(), "{actual} instead of {expected}");
        if !expected.is_nan() {
            largest = largest.max(expected.abs());
            difference = difference.max((actual - expected).abs());
        }
    }
    difference / largest
}

/// No value may be further off than `tolerance` of the largest expected one, or of 1.
#[track_caller]
pub fn assert_close<A: Real, E: Real>(actual: &[A], expected: &[E], tolerance: f64, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0_f64, |scale, value| scale.max(value.to_double().abs()));
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        assert!(
            (actual.to_double() - expected.to_double()).abs() <= tolerance * scale,
            "{what}[{index}]: {actual} instead of {expected}, tolerance {tolerance:.0e} of {scale}"
        );
    }
}
