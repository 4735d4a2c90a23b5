//! Strategies for random problems of any shape.

use super::case::{Case, Sizes};
use mechanistic::{Factorization, Formulation, Options, RowScaling, Smoothness, Weights};
use proptest::prelude::*;

/// Any options.
pub fn options() -> impl Strategy<Value = Options> {
    let weight = || 0.5..2.0;
    (
        prop::sample::select(&Smoothness::ALL[..]),
        prop::option::of((0.1..1.0, -0.5..0.5)),
        (weight(), weight(), weight(), weight()),
        any::<bool>(),
        any::<bool>(),
        0..2usize,
        prop::sample::select(&RowScaling::ALL[..]),
        prop::sample::select(&[0.001, 0.5][..]),
        prop::sample::select(&Factorization::ALL[..]),
    )
        .prop_map(
            |(
                smoothness,
                slack,
                weights,
                periodic,
                follow_growth,
                refinement,
                scaling,
                roughness,
                factorization,
            )| {
                Options {
                    smoothness,
                    roughness,
                    scaling,
                    formulation: match slack {
                        Some((gamma, alpha)) => Formulation::SharedSlack { gamma, alpha },
                        None => Formulation::LeastSquares,
                    },
                    weights: Weights {
                        equation: weights.0,
                        initial: weights.1,
                        smoothness: weights.2,
                        periodic: weights.3,
                    },
                    periodic,
                    follow_growth: follow_growth && !periodic && slack.is_none(),
                    refinement_steps: Some(refinement),
                    factorization,
                }
            },
        )
}

/// Any small problem.
pub fn case() -> impl Strategy<Value = Case> {
    (1..=3usize, 1..=3usize, 0..=2usize, options()).prop_flat_map(
        |(states, order, extra, options)| {
            (
                prop_oneof![1..=2usize, 3..=11usize],
                2..=8usize,
                1..=states + 1,
                (0..=2usize, 0..=order + 1),
                0..512u32,
                any::<u64>(),
            )
                .prop_map(move |(batch, points, equations, initial, shared, seed)| {
                    let sizes =
                        Sizes { batch, points, states, order, extra, equations, initial, shared };
                    Case::new(sizes, options, seed)
                })
        },
    )
}
