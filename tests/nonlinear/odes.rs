//! The equations of the tests.

use mechanistic::nonlinear::{Jet, NonlinearOde, Number};

/// An equation of `states` K, `order` m, `parameters` L and its F.
macro_rules! ode {
    ($(#[$doc:meta])* $name:ident: $k:literal, $m:literal, $l:literal,
     |$t:ident, $u:ident, $theta:ident, $f:ident| $body:block) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name;

        impl NonlinearOde for $name {
            fn states(&self) -> usize {
                $k
            }
            fn order(&self) -> usize {
                $m
            }
            fn parameters(&self) -> usize {
                $l
            }
            fn residual<S: Number>(&self, $t: S, $u: Jet<'_, S>, $theta: &[S], $f: &mut [S]) {
                $body
            }
        }
    };
}

ode!(
    /// u' = r u (1 − u/c), θ = (r, c).
    Logistic: 1, 1, 2, |_t, u, theta, f| {
        let x = u[(0, 0)];
        f[0] = u[(0, 1)] - theta[0] * x * (S::from(1.0) - x / theta[1]);
    }
);

ode!(
    /// u'' = μ (1 − u²) u' − u, θ = (μ).
    VanDerPol: 1, 2, 1, |_t, u, theta, f| {
        let x = u[(0, 0)];
        f[0] = u[(0, 2)] - theta[0] * (S::from(1.0) - x * x) * u[(0, 1)] + x;
    }
);

ode!(
    /// u'' = −ω² sin u − d u', θ = (ω², d).
    Pendulum: 1, 2, 2, |_t, u, theta, f| {
        f[0] = u[(0, 2)] + theta[0] * u[(0, 0)].sin() + theta[1] * u[(0, 1)];
    }
);

ode!(
    /// x' = a x − b x y, y' = c x y − d y, θ = (a, b, c, d).
    LotkaVolterra: 2, 1, 4, |_t, u, theta, f| {
        let (x, y) = (u[(0, 0)], u[(1, 0)]);
        f[0] = u[(0, 1)] - theta[0] * x + theta[1] * x * y;
        f[1] = u[(1, 1)] - theta[2] * x * y + theta[3] * y;
    }
);

ode!(
    /// x' = σ (y − x), y' = x (ρ − z) − y, z' = x y − β z, θ = (σ, ρ, β).
    Lorenz: 3, 1, 3, |_t, u, theta, f| {
        let (x, y, z) = (u[(0, 0)], u[(1, 0)], u[(2, 0)]);
        f[0] = u[(0, 1)] - theta[0] * (y - x);
        f[1] = u[(1, 1)] - x * (theta[1] - z) + y;
        f[2] = u[(2, 1)] - x * y + theta[2] * z;
    }
);

ode!(
    /// Duffing's equation with a force, u'' = −d u' − a u − b u³ + g cos(ωt), θ = (d, a, b, g, ω).
    Duffing: 1, 2, 5, |t, u, theta, f| {
        let x = u[(0, 0)];
        f[0] = u[(0, 2)] + theta[0] * u[(0, 1)] + theta[1] * x + theta[2] * x.powi(3)
            - theta[3] * (theta[4] * t).cos();
    }
);

ode!(
    /// u'³ + u' + r u = 0: not solved for the highest derivative, θ = (r).
    Implicit: 1, 1, 1, |_t, u, theta, f| {
        f[0] = u[(0, 1)].powi(3) + u[(0, 1)] + theta[0] * u[(0, 0)];
    }
);

ode!(
    /// u' = a u²: infinite at t = 1/(a u(0)), θ = (a).
    BlowUp: 1, 1, 1, |_t, u, theta, f| {
        f[0] = u[(0, 1)] - theta[0] * u[(0, 0)].powi(2);
    }
);
