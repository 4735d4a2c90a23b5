//! Makes inputs from their numbers.

use arbitrary::Unstructured;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::Target;
use crate::{entropy, mutation};

/// The most bytes of an input.
const MOST: usize = 1 << 16;

/// Returns the input of this number, which is always the same: an input that the target makes, or
/// one of its samples, as it is or mutated.
pub fn make(target: &Target, number: u64) -> Vec<u8> {
    let mut random = ChaCha8Rng::seed_from_u64(number);
    let samples = target.samples;
    let mut input = if !samples.is_empty() && random.random_ratio(1, 3) {
        samples[random.random_range(0..samples.len())].to_vec()
    } else {
        let bytes = entropy::bytes(&mut random);
        // Without bytes there is nothing to choose, which ends an input early.
        (target.generate)(&mut Unstructured::new(&bytes)).unwrap_or_default()
    };
    if random.random_ratio(1, 2) {
        for _ in 0..1 << random.random_range(0..4) {
            mutation::mutate(&mut input, target.words, &mut random);
        }
    }
    input.truncate(MOST);
    input
}
