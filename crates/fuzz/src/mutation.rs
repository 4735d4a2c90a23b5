//! Small changes of an input, text or not.

use std::ops::Range;

use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt};

use crate::entropy::EXTREMES;

/// Numbers as text that readers stumble over.
const NUMBERS: [&str; 16] = [
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "1e999",
    "-1e-999",
    "nan",
    "inf",
    "1e308",
    "255",
    "4294967296",
    "9007199254740993",
    "18446744073709551615",
    "18446744073709551616",
    "0.1",
];

/// Changes the input a little; `words` are what its kind is made of.
pub fn mutate(input: &mut Vec<u8>, words: &[&str], random: &mut ChaCha8Rng) {
    let at = random.random_range(0..=input.len());
    let chunk = chunk(input.len(), random);
    match random.random_range(0..9) {
        0 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
        1 if at < input.len() => input[at] = random.random(),
        2 => drop(input.drain(chunk)),
        3 => {
            let copy = input[chunk].to_vec();
            input.splice(at..at, copy);
        }
        4 if !words.is_empty() => {
            let word = words[random.random_range(0..words.len())];
            input.splice(at..at, word.bytes());
        }
        5 => {
            let end = random.random_range(chunk.end..=input.len());
            input[chunk.start..end].rotate_left(chunk.len());
        }
        6 => {
            let number = NUMBERS[random.random_range(0..NUMBERS.len())];
            input.splice(digits(input, at), number.bytes());
        }
        7 if input.len() >= at + 8 => {
            let extreme = EXTREMES[random.random_range(0..EXTREMES.len())];
            input[at..at + 8].copy_from_slice(&extreme.to_le_bytes());
        }
        _ => {
            let mut bytes = vec![0; random.random_range(1..9)];
            random.fill_bytes(&mut bytes);
            input.splice(at..at, bytes);
        }
    }
}

/// Returns a part of `length` bytes, small ones as often as large ones.
fn chunk(length: usize, random: &mut ChaCha8Rng) -> Range<usize> {
    let start = random.random_range(0..=length);
    let most = (length - start).min(1 << random.random_range(0..12));
    start..start + random.random_range(0..=most)
}

/// Returns the first run of digits from `at` on, or nothing at `at`.
fn digits(input: &[u8], at: usize) -> Range<usize> {
    let Some(start) = input[at..].iter().position(u8::is_ascii_digit) else { return at..at };
    let start = at + start;
    let length = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    start..start + length
}
