//! Systems with known equations, from which data are made.

use clap::ValueEnum;

/// A system with known equations; all are autonomous.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum System {
    /// x' = 10 (y − x), y' = x (28 − z) − y, z' = x y − 8/3 z; chaotic
    Lorenz,
    /// x' = −y − z, y' = x + 0.2 y, z' = 0.2 + z (x − 5.7); chaotic
    Rossler,
    /// x' = v, v' = 2 (1 − x²) v − x; a limit cycle
    VanDerPol,
    /// x' = −0.1 x + 2 y, y' = −2 x − 0.1 y; a damped oscillator
    Linear,
    /// x' = −0.1 x³ + 2 y³, y' = −2 x³ − 0.1 y³; a cubic damped oscillator
    Cubic,
    /// s' = −0.4 s i, i' = 0.4 s i − 0.1 i, r' = 0.1 i; an epidemic
    Sir,
    /// x' = x − 0.1 x y, y' = 0.075 x y − 1.5 y; prey and predator
    LotkaVolterra,
    /// x'' = −0.2 x' − 4 sin x; a damped pendulum of which the angle alone is measured
    Pendulum,
    /// x' = tanh(2 y), y' = tanh(−2 x − 0.2 y); an oscillator with saturating forces
    Saturating,
    /// x' = (1 − 2 x) / (1 + 0.5 x); production and enzymatic decay
    MichaelisMenten,
}

impl System {
    /// Lists every system, in the order of the help text.
    pub fn all() -> &'static [System] {
        System::value_variants()
    }

    /// Returns the names of the measured states: the first ones of the simulated state.
    pub fn states(self) -> &'static [&'static str] {
        match self {
            System::Lorenz | System::Rossler => &["x", "y", "z"],
            System::VanDerPol => &["x", "v"],
            System::Linear | System::Cubic | System::LotkaVolterra | System::Saturating => {
                &["x", "y"]
            }
            System::Sir => &["s", "i", "r"],
            System::Pendulum | System::MichaelisMenten => &["x"],
        }
    }

    /// Returns the state where a simulation starts unless told otherwise.
    pub fn initial(self) -> &'static [f64] {
        match self {
            System::Lorenz | System::Rossler => &[1.0, 1.0, 1.0],
            System::VanDerPol | System::Linear | System::Cubic => &[2.0, 0.0],
            System::Sir => &[0.99, 0.01, 0.0],
            System::LotkaVolterra => &[10.0, 5.0],
            System::Pendulum | System::Saturating => &[2.0, 0.0],
            System::MichaelisMenten => &[4.0],
        }
    }

    /// Returns the time between two points unless told otherwise.
    pub fn step(self) -> f64 {
        match self {
            System::Lorenz | System::VanDerPol | System::Linear | System::Cubic => 0.01,
            System::Rossler | System::LotkaVolterra | System::Pendulum => 0.02,
            System::Saturating | System::MichaelisMenten => 0.02,
            System::Sir => 0.1,
        }
    }

    /// Returns the number of points unless told otherwise.
    pub fn points(self) -> usize {
        match self {
            System::Lorenz | System::Rossler => 10_000,
            System::VanDerPol => 4000,
            System::Linear | System::Cubic | System::LotkaVolterra => 2500,
            System::Sir => 1600,
            System::Pendulum | System::Saturating => 1000,
            System::MichaelisMenten => 400,
        }
    }

    /// Writes the derivative u' at the state `u` into `out`.
    pub fn derivative(self, u: &[f64], out: &mut [f64]) {
        match self {
            System::Lorenz => {
                out[0] = 10.0 * (u[1] - u[0]);
                out[1] = u[0] * (28.0 - u[2]) - u[1];
                out[2] = u[0] * u[1] - 8.0 / 3.0 * u[2];
            }
            System::Rossler => {
                out[0] = -u[1] - u[2];
                out[1] = u[0] + 0.2 * u[1];
                out[2] = 0.2 + u[2] * (u[0] - 5.7);
            }
            System::VanDerPol => {
                out[0] = u[1];
                out[1] = 2.0 * (1.0 - u[0] * u[0]) * u[1] - u[0];
            }
            System::Linear => {
                out[0] = -0.1 * u[0] + 2.0 * u[1];
                out[1] = -2.0 * u[0] - 0.1 * u[1];
            }
            System::Cubic => {
                let (x, y) = (u[0].powi(3), u[1].powi(3));
                out[0] = -0.1 * x + 2.0 * y;
                out[1] = -2.0 * x - 0.1 * y;
            }
            System::Sir => {
                out[0] = -0.4 * u[0] * u[1];
                out[1] = 0.4 * u[0] * u[1] - 0.1 * u[1];
                out[2] = 0.1 * u[1];
            }
            System::LotkaVolterra => {
                out[0] = u[0] - 0.1 * u[0] * u[1];
                out[1] = 0.075 * u[0] * u[1] - 1.5 * u[1];
            }
            System::Pendulum => {
                out[0] = u[1];
                out[1] = -0.2 * u[1] - 4.0 * u[0].sin();
            }
            System::Saturating => {
                out[0] = (2.0 * u[1]).tanh();
                out[1] = (-2.0 * u[0] - 0.2 * u[1]).tanh();
            }
            System::MichaelisMenten => out[0] = (1.0 - 2.0 * u[0]) / (1.0 + 0.5 * u[0]),
        }
    }
}
