//! explore
use mechanistic::{Options, Result, RowScaling, Smoothness};

#[path = "../tests/support/known.rs"]
mod known;

fn grid(points: usize, weight: impl Fn(usize) -> f64) -> Vec<f64> {
    let total: f64 = (0..points - 1).map(&weight).sum();
    let mut t = 0.0;
    let mut times = vec![0.0];
    for i in 0..points - 1 {
        t += weight(i);
        times.push(5.0 * t / total);
    }
    times
}
fn main() -> Result<()> {
    for (name, f) in [
        ("uniform", Box::new(|_, _| 1.0) as Box<dyn Fn(usize, usize) -> f64>),
        ("alternating", Box::new(|i, _| [1.0, 3.0][i % 2])),
        ("period4", Box::new(|i, _| [1.0, 3.0, 1.5, 2.0][i % 4])),
        ("smooth", Box::new(|i, n| 1.0 + 0.5 * (6.28 * i as f64 / n as f64).sin())),
        ("random", Box::new(|i, _| 1.0 + 2.0 * ((i as f64 * 0.618033988).fract()))),
    ] {
        for (om, scaling) in [
            (0.001, RowScaling::Balanced),
            (0.0001, RowScaling::Balanced),
            (0.01, RowScaling::Balanced),
        ] {
            println!("{name} {om} {scaling:?}");
            for problem in &known::PROBLEMS {
                let options = Options {
                    smoothness: Smoothness::Hermite,
                    roughness: om,
                    scaling,
                    ..Options::default()
                };
                let mut last = f64::NAN;
                for n in [21, 41, 81, 161, 321] {
                    let e = problem.error(&grid(n, |i| f(i, n)), 2, &options)?;
                    print!("  {:.2e} ({:.2})", e, (last / e).log2());
                    last = e;
                }
                println!();
            }
        }
    }
    Ok(())
}
