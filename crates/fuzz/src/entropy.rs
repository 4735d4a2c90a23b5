//! Choices that are made from random bytes.

use arbitrary::{Result, Unstructured};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt};

/// Numbers that arithmetic stumbles over: zeros, the smallest, the largest, and what is no number.
pub const EXTREMES: [f64; 20] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    5e-324,
    -1e-310,
    f64::MIN_POSITIVE,
    1e-160,
    -1e-160,
    1e-40,
    1e40,
    1e160,
    -1e160,
    1e300,
    f64::MAX,
    f64::MIN,
    9_007_199_254_740_993.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

/// Returns 16 to 4096 random bytes, short ones as often as long ones.
pub fn bytes(random: &mut ChaCha8Rng) -> Vec<u8> {
    let scale = 1 << random.random_range(4..12);
    let mut bytes = vec![0; random.random_range(scale..=2 * scale)];
    random.fill_bytes(&mut bytes);
    bytes
}

/// Returns true in `likely` of `cases` cases, and false when the bytes are at their end.
pub fn chance(u: &mut Unstructured<'_>, likely: u32, cases: u32) -> Result<bool> {
    Ok(u.int_in_range(0..=cases - 1)? >= cases - likely)
}

/// Returns a number between -3 and 3, of few digits.
pub fn tame(u: &mut Unstructured<'_>) -> Result<f64> {
    Ok(f64::from(u.int_in_range(-3000..=3000i16)?) / 1000.0)
}

/// Returns a number that is tame but in `wild` of 64 cases, and then extreme or any at all.
pub fn number(u: &mut Unstructured<'_>, wild: u32) -> Result<f64> {
    if !chance(u, wild, 64)? {
        tame(u)
    } else if chance(u, 3, 4)? {
        u.choose(&EXTREMES).copied()
    } else {
        u.arbitrary()
    }
}

/// Returns one of the words, but in 1 of 16 cases other text.
pub fn word(u: &mut Unstructured<'_>, words: &[&str]) -> Result<String> {
    if chance(u, 1, 16)? {
        let text: String = u.arbitrary()?;
        return Ok(text.chars().take(40).collect());
    }
    u.choose(words).map(|word| (*word).to_owned())
}
