//! The progress of a discovery, which is reported to the caller, who may stop it.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::equation::Equation;
use crate::{Error, Result};

/// The progress of a long computation, which is sent to the caller as it goes.
#[derive(Clone, Debug)]
pub struct Progress<'a> {
    /// Fraction of the work done so far, 0 to 1 (an estimate); it never decreases.
    pub fraction: f64,
    /// Name of what is being done, in a few words.
    pub stage: &'a str,
    /// Equations as they are now, when they changed.
    pub equations: Option<&'a [Equation]>,
}

/// A function that is called as the work proceeds, several times a second; `Break` stops the work
/// with [`Error::Interrupted`].
pub type Observer<'a> = dyn FnMut(&Progress<'_>) -> ControlFlow<()> + 'a;

/// A function that is called, within a part of the work, with the fraction of that part that is
/// done.
pub(super) type Report<'a> = dyn FnMut(f64) -> Result<()> + 'a;

/// The least time between two reports from within a loop.
const PAUSE: Duration = Duration::from_millis(20);

/// A reporter, which sends progress to an observer.
pub(super) struct Reporter<'o, 'f> {
    observer: &'o mut Observer<'f>,
    /// Share of the whole work that the present part has, and where it begins.
    share: f64,
    offset: f64,
    /// Fraction of the present part that was done when the stage began.
    begun: f64,
    fraction: f64,
    stage: &'static str,
    /// When progress was last sent.
    sent: Instant,
}

impl<'o, 'f> Reporter<'o, 'f> {
    pub fn new(observer: &'o mut Observer<'f>) -> Self {
        let (share, offset, begun, fraction) = (1.0, 0.0, 0.0, 0.0);
        Reporter { observer, share, offset, begun, fraction, stage: "", sent: Instant::now() }
    }

    /// Begins one of `count` equal parts; fractions are those of this part from now on.
    pub fn begin_part(&mut self, index: usize, count: usize) {
        self.begun = 0.0;
        self.share = 1.0 / count as f64;
        self.offset = index as f64 * self.share;
    }

    /// Begins (or repeats) a stage when the fraction `fraction` of the present part is done.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if the observer breaks, as all functions of this reporter.
    pub fn stage(&mut self, fraction: f64, stage: &'static str) -> Result<()> {
        self.begun = fraction;
        self.within_stage(0.0, stage)
    }

    /// Reports that the fraction `more` of the present part has been done since the last stage
    /// began.
    pub fn within_stage(&mut self, more: f64, stage: &'static str) -> Result<()> {
        self.stage = stage;
        self.reach(more);
        self.send(None)
    }

    /// Reports, as [`Self::within_stage`] does, that the present stage goes on; it may be called in
    /// the innermost loops, because it does not report every time.
    pub fn advance(&mut self, more: f64) -> Result<()> {
        self.reach(more);
        if self.sent.elapsed() < PAUSE { Ok(()) } else { self.send(None) }
    }

    fn reach(&mut self, more: f64) {
        // Stages may be repeated, but progress is never taken back.
        self.fraction = self.fraction.max(self.offset + self.share * (self.begun + more));
    }

    /// Reports what another reporter has reported: the fraction of the present part that is done,
    /// and the stage.
    pub fn relay(&mut self, fraction: f64, stage: &str) -> Result<()> {
        self.begun = 0.0;
        self.reach(fraction);
        let progress = Progress { fraction: self.fraction, stage, equations: None };
        match (self.observer)(&progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Interrupted),
        }
    }

    /// Runs a search of which everything that it reports is reported here, with its stages after `what`.
    pub fn relaying<T>(
        &mut self,
        what: &str,
        search: impl FnOnce(&mut Reporter<'_, '_>) -> T,
    ) -> T {
        let mut relay = |seen: &Progress<'_>| match self
            .relay(seen.fraction, &format!("{what}: {}", seen.stage))
        {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        search(&mut Reporter::new(&mut relay))
    }

    /// Returns the fraction of the present part that is done.
    pub fn reached(&self) -> f64 {
        (self.fraction - self.offset) / self.share
    }

    /// Reports the equations as they are now.
    pub fn show(&mut self, equations: &[Equation]) -> Result<()> {
        self.send(Some(equations))
    }

    /// Reports that the discovery is finished.
    pub fn finish(&mut self, equations: &[Equation]) -> Result<()> {
        (self.fraction, self.stage) = (1.0, "done");
        self.send(Some(equations))
    }

    fn send(&mut self, equations: Option<&[Equation]>) -> Result<()> {
        self.sent = Instant::now();
        let progress = Progress { fraction: self.fraction, stage: self.stage, equations };
        match (self.observer)(&progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Interrupted),
        }
    }
}
