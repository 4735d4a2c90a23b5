//! Systems that two teams of a block eliminate from both ends.

use super::{H100, SIZES, agree};
use crate::backend::cuda::team::plan::{Kind, Plan};
use crate::backend::cuda::testing::case::{Case, Sizes};
use crate::options::{Formulation, Options, Smoothness};

/// The larger the blocks of these random systems are, the worse they are conditioned: the condition of M is some
/// 1e12 with P = 48 (tests/conformance/large_blocks.rs), and what a refinement leaves differs accordingly.
#[test]
fn two_teams_that_meet_agree_with_the_processor() {
    for smoothness in [Smoothness::Taylor, Smoothness::TaylorHold, Smoothness::Hermite] {
        let options = Options { smoothness, ..Options::default() };
        // The fewest points, and halves of different lengths; blocks that fill strips and tiles and
        // that do not; what is shared, and steps of every state.
        for (points, states, shared) in
            [(3, 8, 0), (4, 7, 0xff), (5, 8, 0x1ff), (10, 11, 1 << 5), (17, 8, 0xfd)]
        {
            let sizes = Sizes {
                batch: 2,
                points,
                states,
                equations: states,
                initial: (2, 2),
                shared,
                ..SIZES
            };
            agree::<f64>(sizes, options, None, Kind::Twisted, 1e-9);
        }
    }
    let growing = Options { follow_growth: true, ..Options::default() };
    let sizes = Sizes { batch: 2, points: 9, states: 8, equations: 8, ..SIZES };
    agree::<f64>(sizes, growing, None, Kind::Twisted, 1e-10);
    agree::<f32>(sizes, Options::default(), None, Kind::Twisted, 1e-5);
    // More columns than a team has threads.
    let wide = Sizes { batch: 1, states: 20, equations: 20, ..sizes };
    agree::<f64>(wide, Options::default(), None, Kind::Twisted, 1e-8);
}

#[test]
fn systems_are_shared_where_nothing_stands_against_it() {
    let kind = |points: usize, states: usize, options: Options| {
        let sizes = Sizes { points, states, equations: states, ..SIZES };
        let case = Case::<f64>::new(sizes, options, 5);
        Plan::new(case.problem().shape(), &options, &H100).unwrap().kind
    };
    let options = Options::default();
    assert_eq!(kind(50, 8, options), Kind::Twisted);
    assert_eq!(kind(2, 8, options), Kind::Block);
    assert_eq!(kind(50, 22, options), Kind::Block);
    assert_eq!(kind(50, 8, Options { periodic: true, ..options }), Kind::Block);
    let central = Options { smoothness: Smoothness::TaylorCentral, ..options };
    assert_eq!(kind(50, 8, central), Kind::Block);
    let slack = Formulation::SharedSlack { gamma: 1.0, alpha: 1.0 };
    assert_eq!(kind(50, 8, Options { formulation: slack, ..options }), Kind::Block);
}
