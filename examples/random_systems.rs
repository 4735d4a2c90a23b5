//! How discovery fares on random three-species systems: how many of them it finds exactly, how many
//! alike, for three orders of the columns, about how many it is wrong without a warning, and about how many the
//! data do not decide: what is found instead of the true terms is no worse than these.
//!
//! ```sh
//! cargo run --release --example random_systems            # 24 systems
//! cargo run --release --example random_systems 8 100      # 8 systems from seed 100 on
//! ```

use std::time::Instant;

use mechanistic::Result;

#[path = "../tests/discovery/random_systems.rs"]
mod random_systems;

use random_systems::{Outcome, outcome};

/// Noise relative to each state's standard deviation.
const NOISE: [f64; 4] = [0.0, 1e-4, 1e-3, 1e-2];

fn main() -> Result<()> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let mut number = |default: u64| match numbers.next() {
        None => Ok(default),
        Some(Ok(number)) => Ok(number),
        Some(Err(_)) => Err(mechanistic::Error::Argument {
            argument: "arguments".into(),
            message: "expected the number of systems and the first seed".into(),
        }),
    };
    let (count, first) = (number(24)?, number(0)?);
    println!(
        "| noise | exact | undecidable | same for every order | wrong without a warning | seconds |"
    );
    println!("|---|---|---|---|---|---|");
    for noise in NOISE {
        let start = Instant::now();
        let outcomes: Vec<Outcome> =
            (first..first + count).map(|seed| outcome(seed, noise)).collect::<Result<_>>()?;
        let number = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|o| is(o)).count();
        println!(
            "| {noise:.0e} | {} of {count} | {} | {} | {} | {:.1} |",
            number(|o| o.exact),
            number(|o| o.undecidable),
            number(|o| o.same),
            number(|o| o.silently_wrong),
            start.elapsed().as_secs_f64()
        );
    }
    Ok(())
}
