//! Derivatives of the solution: what goes into and comes out of the vector-Jacobian product (vjp)
//! and the Jacobian-vector product (jvp).
//!
//! The solution z minimizes ½‖W(Az − β)‖², so M z = AᵀW²β with M = AᵀW²A. With z̄ = ∂ℓ/∂z, M g = z̄
//! and r = W²(β − Az), every row a with right-hand side β and weight w has
//!
//! ```text
//! ∂ℓ/∂β = w² a·g        ∂ℓ/∂a = r g − w² (a·g) z        ∂ℓ/∂w = 2 w (a·g) (β − a·z)
//! ```
//!
//! on its own pattern, and ∂ℓ/∂s follows by the chain rule through the rows. The scale of a
//! balanced row is a part of w, which therefore depends on the steps too. In forward mode, with ˙
//! for directional derivatives, M ż = AᵀW²(β̇ − Ȧz) + ȦᵀW²(β − Az). Both modes reuse the factor of
//! the solve.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::memory::{grow, zeros};
use crate::options::Weights;
use crate::real::Real;
use crate::shape::ProblemShape;
use crate::solution::{SolutionMut, Status, check_lengths as check_solution, count, places, times};
use crate::threads;

/// The derivative ∂ℓ/∂(solution) of a scalar ℓ, which a vector-Jacobian product starts from; or those of C
/// scalars, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Cotangent<'a, T> {
    /// ∂ℓ/∂(values of the solution), (B, N, K, Q) or (C, B, N, K, Q).
    pub values: &'a [T],
    /// ∂ℓ/∂ε, (B) or (C, B), if ℓ depends on the shared slack ε.
    pub epsilon: Option<&'a [T]>,
}

/// The name of the cotangent in the status of a system.
const COTANGENT: &str = "the cotangent";

impl<T: Real> Cotangent<'_, T> {
    /// Returns the name of the cotangent, if that of one system of this shape is not finite.
    pub(crate) fn broken(&self, shape: &ProblemShape, system: usize) -> Option<&'static str> {
        let size = shape.points * shape.block();
        let is_finite = are_finite(&self.values[system * size..][..size])
            && self.epsilon.is_none_or(|epsilon| epsilon[system].is_finite());
        (!is_finite).then_some(COTANGENT)
    }

    /// Sets the status of every solved system whose slack's cotangent is not finite to
    /// [`NonFiniteInput`](Status::NonFiniteInput): no gradient shows it where the problem has no slack.
    pub(crate) fn report_slack(&self, status: &mut [Status]) {
        for (status, epsilon) in status.iter_mut().zip(self.epsilon.unwrap_or(&[])) {
            if status.is_ok() && !epsilon.is_finite() {
                *status = Status::NonFiniteInput { argument: COTANGENT };
            }
        }
    }

    /// Sets the status of every solved system of this shape whose cotangent is not finite to
    /// [`NonFiniteInput`](Status::NonFiniteInput). Returns whether there is one.
    pub(crate) fn report(&self, shape: &ProblemShape, status: &mut [Status]) -> bool {
        let found = AtomicBool::new(false);
        threads::for_each(status, shape.points * shape.block(), |system, status| {
            if status.is_ok() && self.broken(shape, system).is_some() {
                *status = Status::NonFiniteInput { argument: COTANGENT };
                found.store(true, Ordering::Relaxed);
            }
        });
        found.into_inner()
    }

    /// Returns the number C of cotangents that the values are.
    pub(crate) fn count(&self, shape: &ProblemShape) -> usize {
        count(self.values, shape)
    }

    /// Checks that there are `count` cotangents.
    pub(crate) fn check(&self, shape: &ProblemShape, count: usize) -> Result<()> {
        let of_epsilon = || "cotangent of epsilon".into();
        check_solution("cotangent", of_epsilon, self.values, self.epsilon, shape, count)
    }

    /// Returns some of the cotangents.
    pub(crate) fn part(&self, shape: &ProblemShape, range: Range<usize>) -> Self {
        Cotangent {
            values: &self.values[places(&range, shape.solution().iter().product())],
            epsilon: self.epsilon.map(|epsilon| &epsilon[places(&range, shape.batch)]),
        }
    }
}

/// The gradients of a scalar ℓ with respect to every input, each of the input's own shape: along a
/// shared axis the gradient is summed.
#[derive(Clone, Debug, Default)]
pub struct Gradients<T> {
    /// Gradients ∂ℓ/∂(input), each in the shape of its input.
    pub inputs: Inputs<Vec<T>>,
    /// Gradient ∂ℓ/∂(row weights); all systems share the weights.
    pub weights: Weights,
    /// Outcome of each system, (B): its status in the solution; or
    /// [`NonFiniteInput`](Status::NonFiniteInput) if its cotangent is not finite, and
    /// [`Overflow`](Status::Overflow) if its gradients are not. A system with another status than
    /// [`Ok`](Status::Ok) has zeros in the gradients of its own inputs and adds nothing to the
    /// others, so that all numbers here are finite.
    pub status: Vec<Status>,
}

/// Gradients of weights that nothing was computed of.
const NO_WEIGHTS: Weights = Weights { equation: 0.0, initial: 0.0, smoothness: 0.0, periodic: 0.0 };

impl<T: Real> Gradients<T> {
    /// Returns the gradients of a batch of this shape without those of the inputs, which
    /// [`grow`](Self::grow) makes.
    pub(crate) fn without_values(shape: &ProblemShape) -> Result<Self> {
        let status = zeros("status", shape.batch)?;
        Ok(Gradients { inputs: Inputs::default(), weights: NO_WEIGHTS, status })
    }

    /// Leaves no gradients of inputs, and zeros for those of the weights.
    pub(crate) fn clear(&mut self) {
        self.inputs.as_mut().map(Vec::clear);
        self.weights = NO_WEIGHTS;
    }

    /// Allocates the gradients of the inputs, unless they are there.
    pub(crate) fn grow(&mut self, shape: &ProblemShape) -> Result<()> {
        let all = self.inputs.as_mut().zip(shape.inputs());
        Inputs::NAMES
            .zip(all)
            .try_map(|(name, (gradient, axes))| grow(name, axes.iter().product(), gradient))
            .map(drop)
    }
}

/// Memory of the caller for gradients. Only those that have a place are computed.
#[derive(Debug)]
pub struct GradientsMut<'a, T> {
    /// Gradients ∂ℓ/∂(input), each in the shape of its input, where they are wanted; of C scalars, one after the
    /// other.
    pub inputs: Inputs<Option<&'a mut [T]>>,
    /// Gradient ∂ℓ/∂(row weights) of each scalar, if it is wanted.
    pub weights: Option<&'a mut [Weights]>,
}

impl<T: Real> GradientsMut<'_, T> {
    /// Checks that every gradient has as many values as its input, `count` times.
    pub(crate) fn check(&self, shape: &ProblemShape, count: usize) -> Result<()> {
        let lengths = self.inputs.as_ref().map(|gradient| gradient.as_ref().map(|x| x.len()));
        check_lengths("gradient", lengths, shape, count)?;
        match &self.weights {
            Some(weights) if weights.len() != count => Err(Error::Shape {
                argument: "gradient of the weights".into(),
                expected: format!("({count})"),
                actual: vec![weights.len()],
            }),
            _ => Ok(()),
        }
    }

    /// Lends the places of some of several gradients.
    pub(crate) fn part(
        &mut self,
        shape: &ProblemShape,
        range: Range<usize>,
    ) -> GradientsMut<'_, T> {
        let inputs = self.inputs.as_mut().zip(shape.inputs()).map(|(gradients, axes)| {
            gradients.as_deref_mut().map(|x| &mut x[places(&range, axes.iter().product())])
        });
        let weights = self.weights.as_deref_mut().map(|weights| &mut weights[range.clone()]);
        GradientsMut { inputs, weights }
    }

    /// Returns whether all gradients of inputs that are wanted are finite.
    pub(crate) fn are_finite(&self) -> bool {
        self.inputs.as_ref().into_iter().flatten().all(|gradient| are_finite(gradient))
    }

    /// Returns whether no gradient is wanted that has values.
    pub(crate) fn are_empty(&self) -> bool {
        let mut wanted = self.inputs.as_ref().into_iter().flatten();
        self.weights.is_none() && wanted.all(|gradient| gradient.is_empty())
    }

    /// Sets the status of the systems whose own gradients are not finite to overflow. Returns
    /// whether all is well with what the systems share: the sums are finite, or the status of some
    /// system tells why they are not.
    #[cfg(feature = "cuda")]
    pub(crate) fn find_overflow(
        &self,
        shape: &ProblemShape,
        given: &[Status],
        status: &mut [Status],
    ) -> bool {
        let mut finite = self.weights.iter().flat_map(|weights| weights.iter()).all(|weights| {
            let Weights { equation, initial, smoothness, periodic } = *weights;
            [equation, initial, smoothness, periodic].iter().all(|w| w.is_finite())
        });
        let layouts = shape.layouts().zip(shape.partly_shared());
        for (gradient, (layout, partly)) in self.inputs.as_ref().zip(layouts) {
            let Some(gradient) = gradient else { continue };
            if layout.shared() || partly {
                finite &= are_finite(gradient);
            } else if layout.values > 0 {
                threads::for_each(status, layout.values, |system, status| {
                    let own = &gradient[system * layout.values..][..layout.values];
                    if status.is_ok() && !are_finite(own) {
                        *status = Status::Overflow;
                    }
                });
            }
        }
        finite || *status != *given
    }
}

/// Sets the status of every system that adds to the gradients to overflow: they are all finite, and
/// their sum is not.
pub(crate) fn overflow_in_sum(status: &mut [Status]) {
    for status in status.iter_mut().filter(|status| status.is_ok()) {
        *status = Status::Overflow;
    }
}

fn are_finite<T: Real>(values: &[T]) -> bool {
    values.iter().all(|value| value.is_finite())
}

/// The directions in which the inputs move in a Jacobian-vector product, each of its input's shape, or of C
/// products, one after the other; an input whose direction is `None` does not move.
pub type Tangents<'a, T> = Inputs<Option<&'a [T]>>;

/// The names of the tangents of the inputs.
const TANGENTS: Inputs<&str> = Inputs {
    coefficients: "the tangent of coefficients",
    rhs: "the tangent of rhs",
    initial_values: "the tangent of initial_values",
    steps: "the tangent of steps",
};

/// Returns some of several tangents.
pub(crate) fn tangents_part<'a, T>(
    tangents: &Tangents<'a, T>,
    shape: &ProblemShape,
    range: Range<usize>,
) -> Tangents<'a, T> {
    let given = tangents.zip(shape.inputs());
    given.map(|(tangents, axes)| tangents.map(|x| &x[places(&range, axes.iter().product())]))
}

/// Returns what tells, of a system of this shape (of several tangents, those of the first before those of the
/// second), the name of its first tangent that is not finite.
pub(crate) fn broken_tangent<T: Real>(
    tangents: &Tangents<'_, T>,
    shape: &ProblemShape,
) -> impl Fn(usize) -> Option<&'static str> + Sync {
    let lens = shape.inputs().map(|axes| axes.iter().product::<usize>());
    let places = shape.places().zip(shape.layouts()).zip(lens);
    let given = TANGENTS.zip(tangents.zip(places));
    let batch = shape.batch;
    move |system| {
        let mut tangents = given.as_ref().into_iter();
        let broken = tangents.find(|(_, (tangent, ((places, layout), len)))| {
            tangent.is_some_and(|tangent| {
                let first = system / batch * len + places.of(system % batch);
                !are_finite(&tangent[first..][..layout.values])
            })
        });
        broken.map(|(argument, _)| *argument)
    }
}

/// Writes the status of the systems for which `broken` names an argument of a derivative that is not
/// finite, or whose results are not, which is overflow, and sets their results to NaN. The others have
/// the `given` status, that of the solution (B), again for each of several derivatives (C, B).
pub(crate) fn report_not_finite<T: Real>(
    results: SolutionMut<'_, T>,
    shape: &ProblemShape,
    given: &[Status],
    found: &mut [Status],
    broken: impl Fn(usize) -> Option<&'static str> + Sync,
) {
    let size = shape.points * shape.block();
    let SolutionMut { values, mut epsilon } = results;
    repeat(given, found);
    let slack = epsilon.as_deref();
    let slack_is_finite = |system: usize| slack.is_none_or(|epsilon| epsilon[system].is_finite());
    threads::for_each(found, size, |system, status| {
        if !status.is_ok() {
            return;
        }
        *status = match broken(system) {
            Some(argument) => Status::NonFiniteInput { argument },
            None if are_finite(&values[system * size..][..size]) && slack_is_finite(system) => {
                return;
            }
            None => Status::Overflow,
        };
    });
    for ((values, found), given) in values.chunks_mut(size).zip(&*found).zip(given.iter().cycle()) {
        if given.is_ok() && !found.is_ok() {
            values.fill(T::nan());
        }
    }
    for (epsilon, (given, found)) in epsilon
        .iter_mut()
        .flat_map(|epsilon| epsilon.iter_mut())
        .zip(given.iter().cycle().zip(found))
    {
        if given != found {
            *epsilon = T::nan();
        }
    }
}

/// Copies the statuses (B) for each of several derivatives (C, B).
pub(crate) fn repeat(status: &[Status], all: &mut [Status]) {
    for (all, status) in all.iter_mut().zip(status.iter().cycle()) {
        *all = *status;
    }
}

/// Checks that every direction has as many values as its input, `count` times.
pub(crate) fn check_tangents<T>(
    tangents: &Tangents<'_, T>,
    shape: &ProblemShape,
    count: usize,
) -> Result<()> {
    check_lengths("tangent", tangents.map(|tangent| tangent.map(<[T]>::len)), shape, count)
}

/// Checks the lengths of what belongs to the inputs, `count` times.
fn check_lengths(
    what: &str,
    lengths: Inputs<Option<usize>>,
    shape: &ProblemShape,
    count: usize,
) -> Result<()> {
    for (name, (len, axes)) in Inputs::NAMES.zip(lengths.zip(shape.inputs())) {
        let expected = axes.iter().product::<usize>().saturating_mul(count);
        if let Some(len) = len
            && len != expected
        {
            return Err(Error::Shape {
                argument: format!("{what} of {name}"),
                expected: format!("{}{axes:?}", times(count)),
                actual: vec![len],
            });
        }
    }
    Ok(())
}
