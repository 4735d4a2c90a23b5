//! The data as a search sees them: smoothed, on their grid, and about an offset.

use std::f64::consts::TAU;

use super::data::{Dataset, Trajectory};
use super::grid::{Grid, Smooth, fastest_rate, smooth};
use super::hidden::Hidden;
use super::loss::Loss;
use super::settings::{Method, Settings};
use super::spread::spread;
use crate::Result;

/// The distance of a state's mean from zero, in its deviations, from which on its powers can hardly
/// be told apart.
const FAR: f64 = 10.0;

/// The data about an offset, and what is derived from them.
pub(super) struct View {
    /// The data less the offset, with the hidden states.
    pub data: Dataset,
    pub smooth: Smooth,
    pub grid: Grid,
    /// The shortest period of the motion.
    pub period: f64,
}

impl View {
    /// Returns the views in which equations are to be searched for: the data themselves with the
    /// `hidden` states, and where
    /// some states are far from zero, also what is left of these after their mean is subtracted, if
    /// equations about an offset are `translatable`: if they can be multiplied out.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) if the grid has more points than fit in memory,
    /// [`Error::Data`](crate::Error::Data) if a state never changes.
    pub fn all(
        data: &Dataset,
        hidden: &Hidden,
        settings: &Settings,
        translatable: bool,
    ) -> Result<Vec<Self>> {
        let k = data.states.len();
        let mut views = vec![View::about(vec![0.0; k], data, hidden, settings)?];
        let far = views[0].far(data);
        if far.iter().any(|mean| *mean != 0.0) && translatable {
            views.push(View::about(far, data, hidden, settings)?);
        }
        Ok(views)
    }

    fn about(
        mut offset: Vec<f64>,
        data: &Dataset,
        hidden: &Hidden,
        settings: &Settings,
    ) -> Result<Self> {
        let moved = |trajectory: &Trajectory| Trajectory {
            time: trajectory.time.clone(),
            inputs: trajectory.inputs.clone(),
            values: trajectory
                .values
                .iter()
                .zip(offset.iter().cycle())
                .map(|(x, o)| x - o)
                .collect(),
        };
        let data =
            Dataset { trajectories: data.trajectories.iter().map(moved).collect(), ..data.clone() };
        let loss = Loss::of(settings.robust);
        let smooth = hidden.smoothed(smooth(&data, loss)?);
        hidden.ensure_change(&data.states, &smooth)?;
        let data = data.with_hidden(&hidden.names);
        offset.resize(data.states.len(), 0.0);
        let grid = Grid { offset, loss, ..Grid::new(&data, &smooth, settings.grid_refinement)? };
        let mut grid = grid.with_inputs(&data, settings.interpolation);
        // Values that lie far from the rest would count as noise that grows.
        if settings.method == Method::Joint && !settings.robust {
            grid.spread = spread(&grid, &smooth);
        }
        let period = TAU / fastest_rate(&data, &smooth);
        Ok(View { data, smooth, grid, period })
    }

    /// Returns whether something was subtracted from the data.
    pub fn is_moved(&self) -> bool {
        self.grid.offset.iter().any(|offset| *offset != 0.0)
    }

    /// Returns the mean of each state that is far from zero, and zero for the others (K).
    fn far(&self, data: &Dataset) -> Vec<f64> {
        let k = data.states.len();
        let mean = |state: usize| {
            let values =
                data.trajectories.iter().flat_map(|t| t.values.iter().skip(state).step_by(k));
            let (sum, count) = values
                .filter(|x| !x.is_nan())
                .fold((0.0, 0.0), |(sum, count), x| (sum + x, count + 1.0));
            sum / count
        };
        let far = |state: usize| {
            let mean = mean(state);
            if mean.abs() > FAR * self.smooth.deviation[state] { mean } else { 0.0 }
        };
        (0..k).map(far).collect()
    }

    /// Returns the warning that states are far from zero, with what was done about it. `data` are
    /// those without an offset.
    pub fn warnings(&self, data: &Dataset, translatable: bool) -> Option<String> {
        let far = self.far(data);
        let states = far.iter().enumerate().filter(|(_, mean)| **mean != 0.0);
        let names: Vec<String> = states
            .map(|(i, mean)| {
                format!("`{}` ({mean:.5} ± {:.1e})", data.states[i], self.smooth.deviation[i])
            })
            .collect();
        let what = match (names.is_empty(), self.is_moved(), translatable) {
            (true, ..) | (false, false, true) => return None,
            (false, true, _) => {
                "terms were selected about these means and then multiplied out, so that their \
                 errors are correlated"
            }
            (false, false, false) => {
                "powers of them can hardly be told apart: subtract their means from the data"
            }
        };
        Some(format!("far from zero for their changes: {}; {what}", names.join(", ")))
    }
}
