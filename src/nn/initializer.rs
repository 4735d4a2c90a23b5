//! Random numbers and initial values of parameters, the same on every platform for the same seed.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

use crate::tape::Array;
use crate::{Real, Result};

/// A seeded source of random numbers (ChaCha8).
#[derive(Debug)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// Makes the source of the random numbers that belong to this seed.
    pub fn new(seed: u64) -> Self {
        Rng(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Returns a number that is uniformly distributed in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.0.random()
    }

    /// Returns a number that is normally distributed with mean 0 and standard deviation 1.
    pub fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }
}

/// The distribution of the initial values of a parameter. Fan-in and fan-out are the numbers of
/// inputs and outputs of the layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initializer {
    /// All values are zero.
    Zeros,
    /// Normal distribution with this standard deviation.
    Normal(f64),
    /// Uniform distribution between minus and plus this number.
    Uniform(f64),
    /// Uniform distribution in ±√(6 / (fan-in + fan-out)) (Glorot and Bengio, 2010).
    XavierUniform,
    /// Normal distribution with variance 2 / (fan-in + fan-out) (Glorot and Bengio, 2010).
    XavierNormal,
    /// Uniform distribution in ±√(6 / fan-in) (He et al., 2015), which suits relu.
    HeUniform,
    /// Normal distribution with variance 2 / fan-in (He et al., 2015).
    HeNormal,
}

impl Initializer {
    /// Returns an array (fan-in, fan-out) of initial values.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) if the array is too large.
    pub fn sample<T: Real>(self, fan_in: usize, fan_out: usize, rng: &mut Rng) -> Result<Array<T>> {
        let mut array = Array::full([fan_in, fan_out], T::zero())?;
        let (fan_in, sum) = (fan_in as f64, (fan_in + fan_out) as f64);
        let (bound, deviation) = match self {
            Initializer::Zeros => return Ok(array),
            Initializer::Normal(deviation) => (None, deviation),
            Initializer::Uniform(bound) => (Some(bound), 0.0),
            Initializer::XavierUniform => (Some((6.0 / sum).sqrt()), 0.0),
            Initializer::XavierNormal => (None, (2.0 / sum).sqrt()),
            Initializer::HeUniform => (Some((6.0 / fan_in).sqrt()), 0.0),
            Initializer::HeNormal => (None, (2.0 / fan_in).sqrt()),
        };
        for element in array.data_mut() {
            *element = T::of(match bound {
                Some(bound) => bound * (2.0 * rng.uniform() - 1.0),
                None => deviation * rng.normal(),
            });
        }
        Ok(array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_everywhere() {
        let mut rng = Rng::new(1);
        let drawn = [rng.uniform(), rng.uniform()];
        assert_eq!(drawn, [0.40248566366484806, 0.08038370892978197]);
    }

    #[test]
    fn initializers_have_their_variance() {
        use Initializer::*;
        let (rows, columns) = (120, 80);
        let cases = [
            (Zeros, 0.0),
            (Normal(0.5), 0.25),
            (Uniform(0.6), 0.12),
            (XavierUniform, 2.0 / 200.0),
            (XavierNormal, 2.0 / 200.0),
            (HeUniform, 2.0 / 120.0),
            (HeNormal, 2.0 / 120.0),
        ];
        for (initializer, variance) in cases {
            let array = initializer.sample::<f64>(rows, columns, &mut Rng::new(3)).unwrap();
            let count = array.len() as f64;
            let mean = array.data().iter().sum::<f64>() / count;
            let second = array.data().iter().map(|x| x * x).sum::<f64>() / count;
            assert!(mean.abs() <= 4.0 * (variance / count).sqrt(), "{initializer:?}: {mean}");
            assert!((second - variance).abs() <= 0.06 * variance, "{initializer:?}: {second}");
        }
    }
}
