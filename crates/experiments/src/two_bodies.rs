//! Two bodies under gravity, in the plane.

use mechanistic::nn::Rng;

use crate::Truth;

/// The masses of the bodies.
pub const MASSES: [f64; 2] = [10.0, 20.0];
/// The constant of gravity.
pub const G: f64 = 2.0;

/// Newton's equations; the state is (x₁, y₁, x₂, y₂, x₁', y₁', x₂', y₂').
pub const TRUTH: Truth = Truth {
    states: &["x1", "y1", "x2", "y2", "vx1", "vy1", "vx2", "vy2"],
    equations: "m1 u1'' = F, m2 u2'' = -F, F = G m1 m2 r / |r|^3, r = u2 - u1",
    field: |u, out| {
        let (force, m) = (force(u), MASSES);
        out[..4].copy_from_slice(&u[4..]);
        let slopes = [force[0] / m[0], force[1] / m[0], -force[0] / m[1], -force[1] / m[1]];
        out[4..].copy_from_slice(&slopes);
    },
};

/// Returns the force on the first body; that on the second is opposite.
#[must_use]
pub fn force(u: &[f64]) -> [f64; 2] {
    let (x, y) = (u[2] - u[0], u[3] - u[1]);
    let factor = G * MASSES[0] * MASSES[1] / x.hypot(y).powi(3);
    [factor * x, factor * y]
}

/// Returns random positions and velocities with the center of mass at rest at the origin, drawn until the
/// orbit is an ellipse of moderate size (semi-major axis 1.5 to 2.5) and eccentricity (0.2 to 0.6).
#[must_use]
pub fn start(rng: &mut Rng) -> Vec<f64> {
    let attraction = G * (MASSES[0] + MASSES[1]);
    loop {
        let [x, y, vx, vy] = [2.0, 2.0, 5.0, 5.0].map(|size| size * rng.normal());
        let axis = 1.0 / (2.0 / x.hypot(y) - (vx * vx + vy * vy) / attraction);
        let momentum = x * vy - y * vx;
        let eccentricity = (1.0 - momentum * momentum / (attraction * axis)).max(0.0).sqrt();
        if (1.5..2.5).contains(&axis) && (0.2..0.6).contains(&eccentricity) {
            let [first, second] = [1, 0].map(|other| MASSES[other] / (MASSES[0] + MASSES[1]));
            let of = |part: f64, [x, y]: [f64; 2]| [part * x, part * y];
            let (r, v) = ([x, y], [vx, vy]);
            return [of(-first, r), of(second, r), of(-first, v), of(second, v)].concat();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trajectories;

    #[test]
    fn energy_and_momentum_are_conserved() {
        let initial = start(&mut Rng::new(5));
        let states = trajectories(&TRUTH, &[initial], 0.02, 300).unwrap().trajectories.remove(0);
        let conserved = |u: &[f64]| {
            let distance = (u[2] - u[0]).hypot(u[3] - u[1]);
            let energy = |i: usize| MASSES[i] / 2.0 * (u[4 + 2 * i].powi(2) + u[5 + 2 * i].powi(2));
            let momentum = MASSES[0] * u[4] + MASSES[1] * u[6];
            (energy(0) + energy(1) - G * MASSES[0] * MASSES[1] / distance, momentum)
        };
        let (first, last) = (conserved(&states.values[..8]), conserved(&states.values[8 * 299..]));
        assert!((first.0 - last.0).abs() < 1e-9 * first.0.abs(), "{first:?} {last:?}");
        assert!(first.0 < 0.0 && last.1.abs() < 1e-9, "{first:?} {last:?}");
    }
}
