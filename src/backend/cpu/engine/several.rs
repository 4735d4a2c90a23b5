//! Several derivatives of few systems, which lie in the lanes beside each other.
//!
//! The lanes that no system has repeat the systems, with their factors: in them, a sweep computes further derivatives.
//! What is derived is a batch of its own, (derivatives, B), which shares all inputs along its first axis but has
//! gradients and tangents of its own along both.

use std::ops::Range;

use smallvec::SmallVec;

use super::sums::{InputSums, Parts};
use super::{Batch, Task, run, sinks};
use crate::adjoint::{Cotangent, GradientsMut, Tangents, overflow_in_sum, repeat, tangents_part};
use crate::backend::cpu::gradient::GradientSink;
use crate::backend::cpu::lanes::{LANES, Vector};
use crate::backend::cpu::staging::{Source, TileSystems};
use crate::error::Result;
use crate::inputs::Inputs;
use crate::problem::Problem;
use crate::real::Real;
use crate::shape::{Axis, Places, ProblemShape};
use crate::solution::{SolutionMut, Status};

/// The most points of a system that is cut whose sweep takes as long as one over as many points in each lane; with
/// more it takes, in proportion to these, less, until no time of it is lost.
const LEAST_CUT: f64 = 64.0;

/// What gradients and tangents of several derivatives need.
pub(super) struct Several {
    /// Places of what is derived in gradients and tangents.
    places: Inputs<Places>,
    sums: Inputs<InputSums>,
}

impl Several {
    fn new(shape: &ProblemShape) -> Result<Self> {
        let (batch, derivatives) = (shape.batch, LANES / shape.batch);
        let layouts = shape.layouts();
        let places = layouts.zip(shape.places()).map(|(input, places)| {
            let first = Axis { extent: derivatives, stride: input.total(batch) };
            let second = Axis { extent: batch, stride: input.system };
            Places::new([first, second], places.inner())
        });
        let sums = layouts.zip(places.as_ref()).try_map(|(input, places)| {
            // Gradients that several systems share are sums.
            match input.shared() && batch > 1 {
                true => InputSums::partly(input, places, derivatives * batch, LANES),
                false => InputSums::new(input, LANES, 1, input.values == 0),
            }
        })?;
        Ok(Several { places, sums })
    }
}

/// A round of derivatives.
struct Round {
    derivatives: Range<usize>,
    /// What is derived, in arrays of this round.
    derived: TileSystems,
    /// The same, in arrays of all derivatives.
    systems: Range<usize>,
}

/// Returns the rounds in which so many derivatives of `batch` systems are computed.
fn rounds(count: usize, batch: usize) -> impl Iterator<Item = Round> {
    let at_a_time = LANES / batch;
    (0..count).step_by(at_a_time).map(move |first| {
        let derivatives = first..count.min(first + at_a_time);
        Round {
            derived: TileSystems::whole(0, derivatives.len() * batch),
            systems: derivatives.start * batch..derivatives.end * batch,
            derivatives,
        }
    })
}

impl<V: Vector, R: Real> Batch<V, R> {
    /// Returns the batch, as it is or uncut, whose lanes so many derivatives are best computed in beside each other;
    /// nothing if they are best computed one after the other.
    pub(super) fn with_free_lanes(
        &mut self,
        problem: &Problem<'_, R>,
        status: &[Status],
        count: usize,
    ) -> Result<Option<&mut Self>> {
        let shape = problem.shape();
        let partly = shape.partly_shared().into_iter().any(|partly| partly);
        if count == 1 || 2 * shape.batch > LANES || partly {
            return Ok(None);
        }
        if !self.is_cut() {
            return Ok(Some(self));
        }
        if !Self::is_better_uncut(shape, count) {
            return Ok(None);
        }
        let uncut = self.uncut(problem, None)?;
        // The factor of whole systems may break down where that of their chunks did not.
        let mut pairs = uncut.status.iter().zip(status);
        let solved = pairs.all(|(uncut, given)| uncut.is_ok() || !given.is_ok());
        Ok(solved.then_some(&mut uncut.batch))
    }

    /// Returns whether so many derivatives of systems that are cut take longer, one after the other, than in the
    /// lanes of whole ones. The unit of time is a sweep over a system that is cut. To factor takes as long as
    /// 1 + P / 8 sweeps. (So it was measured for N up to 500 and P up to 32.) An earlier call may have factored them
    /// already, but the bits of the results must not depend on that.
    fn is_better_uncut(shape: &ProblemShape, count: usize) -> bool {
        let sweep = (shape.points as f64 / LEAST_CUT).clamp(1.0, LANES as f64);
        let factor = 1.0 + shape.block() as f64 / 8.0;
        let rounds = count.div_ceil(LANES / shape.batch);
        (rounds as f64 + factor) * sweep < count as f64 * shape.batch as f64
    }

    /// Computes the gradients of several cotangents in the lanes, but for those of the weights.
    pub(super) fn vjps_in_lanes(
        &mut self,
        problem: &Problem<'_, R>,
        cotangents: &Cotangent<'_, R>,
        status: &[Status],
        gradients: &mut GradientsMut<'_, R>,
        found: &mut [Status],
    ) -> Result<()> {
        let shape = problem.shape();
        let mut several = self.several(shape)?;
        let Batch { layout, groups, options, .. } = self;
        let Several { places, sums } = &mut *several;
        found.copy_from_slice(status);
        for Round { derivatives, derived, systems } in rounds(cotangents.count(shape), shape.batch)
        {
            let cotangent = cotangents.part(shape, derivatives.clone());
            let cotangent =
                [R::values(cotangent.values), R::values(cotangent.epsilon.unwrap_or(&[]))];
            let mut gradients = gradients.part(shape, derivatives);
            let (status, found) = (&status[systems.clone()], &mut found[systems]);
            let given = sums.as_mut().zip(gradients.inputs.as_mut()).zip(places.as_ref());
            let mut parts = given.map(|((sums, gradient), places)| {
                sums.parts(gradient.as_deref_mut(), places, LANES)
            });
            let parts = parts.as_mut().map(Parts::next);
            let sink = GradientSink {
                origin: 0,
                first: parts.as_ref().map(|part| part.0),
                inputs: parts.map(|part| part.1),
                places,
                weights: None,
                limit: R::LIMIT,
                share_limit: R::LIMIT,
            };
            let task = Task::Vjp(Some(derived), cotangent, status, &mut *found, sink);
            run((options, layout, None), groups, problem, std::iter::once(task));
            let mut finite = true;
            for (sums, gradient) in sums.as_ref().zip(gradients.inputs.as_mut()) {
                if let Some(gradient) = gradient {
                    finite &= sums.total(gradient);
                }
            }
            // Of each cotangent alone, whose sums overflow although its systems' gradients do not.
            for own in (0..found.len() / shape.batch).filter(|_| !finite) {
                let range = own * shape.batch..(own + 1) * shape.batch;
                let is_finite = gradients.part(shape, own..own + 1).are_finite();
                if !is_finite && found[range.clone()] == status[range.clone()] {
                    overflow_in_sum(&mut found[range]);
                }
            }
        }
        self.several = Some(several);
        Ok(())
    }

    /// Computes several directional derivatives in the lanes.
    pub(super) fn jvps_in_lanes(
        &mut self,
        problem: &Problem<'_, R>,
        tangents: &Tangents<'_, R>,
        status: &[Status],
        mut derivatives: SolutionMut<'_, R>,
    ) -> Result<()> {
        let shape = problem.shape();
        let several = self.several(shape)?;
        let Batch { layout, groups, options, .. } = self;
        for round in rounds(derivatives.count(shape), shape.batch) {
            let tangents = tangents_part(tangents, shape, round.derivatives.clone());
            let tangents = tangents.map(|tangent| tangent.unwrap_or(&[]));
            let inputs = Source::of(tangents, &several.places);
            let mut of_derived =
                SmallVec::<[Status; LANES]>::from_elem(Status::Ok, round.systems.len());
            repeat(status, &mut of_derived);
            let tasks = sinks(layout, LANES, derivatives.part(shape, round.derivatives))
                .map(|sink| Task::Jvp(Some(round.derived), inputs, &of_derived, sink));
            run((options, layout, None), groups, problem, tasks);
        }
        self.several = Some(several);
        Ok(())
    }

    /// Takes what several derivatives need, or makes it.
    fn several(&mut self, shape: &ProblemShape) -> Result<Box<Several>> {
        match self.several.take() {
            Some(several) => Ok(several),
            None => Several::new(shape).map(Box::new),
        }
    }
}
