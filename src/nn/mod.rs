//! Neural networks: parameters, layers, optimizers, checkpoints.
//!
//! ```
//! use mechanistic::nn::{Activation, Mlp, Optimizer, Parameters, Rng, Rule};
//! use mechanistic::tape::{Array, Tape};
//! # fn main() -> mechanistic::Result<()> {
//! let mut parameters = Parameters::<f64>::new();
//! let mut rng = Rng::new(7);
//! let net = Mlp::new(&mut parameters, "net", &[1, 16, 1], Activation::Tanh, &mut rng)?;
//! let mut optimizer = Optimizer::new(Rule::adam(), 0.01);
//! let mut tape = Tape::new();
//! let mut last = f64::INFINITY;
//! for _ in 0..200 {
//!     tape.clear();
//!     let x = tape.constant(Array::new([3, 1], vec![-1.0, 0.0, 1.0])?);
//!     let target = tape.constant(Array::new([3, 1], vec![1.0, 0.0, 1.0])?);
//!     let y = net.forward(&mut tape, &parameters, x)?;
//!     let loss = tape.mse(y, target)?;
//!     last = tape.scalar(loss)?;
//!     let gradients = tape.backward(loss)?;
//!     optimizer.step(&mut parameters, &gradients)?;
//! }
//! assert!(last < 0.01);
//! # Ok(())
//! # }
//! ```
//!
//! On a GPU the program is nearly the same: the parameters move there, the tape records there, and
//! the rest is unchanged. Only what the program asks for, such as the loss, is copied back.
//!
//! ```no_run
//! # #[cfg(feature = "cuda")]
//! # fn train(
//! #     net: mechanistic::nn::Mlp,
//! #     parameters: mechanistic::nn::Parameters<f64>,
//! # ) -> mechanistic::Result<()> {
//! # use mechanistic::nn::{Optimizer, Rule};
//! # use mechanistic::tape::{Array, Tape};
//! use mechanistic::{Device, cuda::Cuda};
//! let mut parameters = parameters.to::<Cuda>()?;
//! let device = Device::cuda(0)?;
//! let mut tape = Tape::on(Cuda::on(device.gpu()?)?);
//! # let mut optimizer = Optimizer::new(Rule::adam(), 0.01);
//! # let x = tape.constant(Array::new([3, 1], vec![-1.0, 0.0, 1.0])?);
//! # let target = tape.constant(Array::new([3, 1], vec![1.0, 0.0, 1.0])?);
//! let y = net.forward(&mut tape, &parameters, x)?;
//! let loss = tape.mse(y, target)?;
//! let gradients = tape.backward(loss)?;
//! optimizer.step(&mut parameters, &gradients)?;
//! println!("{}", tape.scalar(loss)?);
//! # Ok(())
//! # }
//! ```

mod auxiliary;
mod checkpoint;
mod convolution;
mod initializer;
mod layers;
mod optimizer;
mod resize;
mod schedule;
mod steps;
mod training;

pub use crate::tape::parameters::{ParameterId, Parameters};
pub use auxiliary::{AuxiliarySolve, solve_with_auxiliaries};
pub use checkpoint::{load_checkpoint, save_checkpoint};
pub use convolution::Conv2d;
pub use initializer::{Initializer, Rng};
pub use layers::{Activation, Linear, Mlp};
pub use optimizer::{Optimizer, Rule};
pub use resize::Resize;
pub use schedule::Schedule;
pub use steps::{positive_steps, raw_steps};
pub use training::Training;
