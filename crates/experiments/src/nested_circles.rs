//! Nested circles (Dupont et al., 2019): two classes in the plane, one around the other.

use std::f64::consts::TAU;

use mechanistic::Result;
use mechanistic::nn::Rng;
use mechanistic::tape::Array;

/// Points in the plane with the class of each: 0 for the disk, 1 for the ring.
#[derive(Clone, Debug)]
pub struct NestedCircles {
    /// (B, 2).
    pub points: Array<f64>,
    /// (B).
    pub classes: Vec<usize>,
}

impl NestedCircles {
    /// Draws half of the points from a disk of radius 0.5, half from the ring from 1 to 1.5, uniformly.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](mechanistic::Error::OutOfMemory) for an absurd size.
    pub fn new(count: usize, rng: &mut Rng) -> Result<Self> {
        let classes: Vec<usize> = (0..count).map(|i| i % 2).collect();
        let point = |class: &usize| {
            let (inner, outer) = [(0.0, 0.5), (1.0, 1.5)][*class];
            let (from, to): (f64, f64) = (inner * inner, outer * outer);
            let radius = (from + (to - from) * rng.uniform()).sqrt();
            let (sine, cosine) = (TAU * rng.uniform()).sin_cos();
            [radius * cosine, radius * sine]
        };
        let points = classes.iter().flat_map(point).collect();
        Ok(NestedCircles { points: Array::new([count, 2], points)?, classes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_surrounds_the_disk() {
        let data = NestedCircles::new(200, &mut Rng::new(4)).unwrap();
        for (point, class) in data.points.data().chunks_exact(2).zip(&data.classes) {
            let radius = point[0].hypot(point[1]);
            let bounds = [0.0..=0.5, 1.0..=1.5];
            assert!(bounds[*class].contains(&radius), "{class}: {radius}");
        }
        assert_eq!(data.classes.iter().sum::<usize>(), 100);
    }
}
