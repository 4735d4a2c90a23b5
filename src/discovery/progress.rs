//! How far a discovery has come, told to the caller, who may stop it.

use std::ops::ControlFlow;

use super::equation::Equation;
use crate::{Error, Result};

/// Where a long computation stands; sent to the caller as it goes.
#[derive(Clone, Debug)]
pub struct Progress<'a> {
    /// Work done so far, 0 to 1 (an estimate); it never decreases.
    pub fraction: f64,
    /// What is being done, in a few words.
    pub stage: &'a str,
    /// The equations as they stand, when they changed.
    pub equations: Option<&'a [Equation]>,
}

/// A function that is called as the work proceeds; `Break` stops the work with
/// [`Error::Interrupted`].
pub type Observer<'a> = dyn FnMut(&Progress<'_>) -> ControlFlow<()> + 'a;

/// Sends progress to an observer.
pub(super) struct Reporter<'o, 'f> {
    observer: &'o mut Observer<'f>,
    /// The present part's share of the whole work, and where it begins.
    share: f64,
    offset: f64,
    /// How much of the present part was done when the stage began.
    begun: f64,
    fraction: f64,
    stage: &'static str,
}

impl<'o, 'f> Reporter<'o, 'f> {
    pub fn new(observer: &'o mut Observer<'f>) -> Self {
        Reporter { observer, share: 1.0, offset: 0.0, begun: 0.0, fraction: 0.0, stage: "" }
    }

    /// From now on, fractions are those of one of `count` equal parts.
    pub fn begin_part(&mut self, index: usize, count: usize) {
        self.share = 1.0 / count as f64;
        self.offset = index as f64 * self.share;
    }

    /// A stage begins (or is repeated) when so much of the present part is done.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if the observer breaks, as from all functions here.
    pub fn stage(&mut self, fraction: f64, stage: &'static str) -> Result<()> {
        self.begun = fraction;
        self.within_stage(0.0, stage)
    }

    /// Within the stage that was begun last, so much more is done.
    pub fn within_stage(&mut self, more: f64, stage: &'static str) -> Result<()> {
        self.stage = stage;
        // Stages may be repeated, but progress is never taken back.
        self.fraction = self.fraction.max(self.offset + self.share * (self.begun + more));
        self.tick()
    }

    /// How much of the present part is done.
    pub fn reached(&self) -> f64 {
        (self.fraction - self.offset) / self.share
    }

    /// The present stage goes on.
    pub fn tick(&mut self) -> Result<()> {
        self.send(None)
    }

    /// The equations as they now stand.
    pub fn show(&mut self, equations: &[Equation]) -> Result<()> {
        self.send(Some(equations))
    }

    /// The discovery is finished.
    pub fn finish(&mut self, equations: &[Equation]) -> Result<()> {
        (self.fraction, self.stage) = (1.0, "done");
        self.send(Some(equations))
    }

    fn send(&mut self, equations: Option<&[Equation]>) -> Result<()> {
        let progress = Progress { fraction: self.fraction, stage: self.stage, equations };
        match (self.observer)(&progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Interrupted),
        }
    }
}
