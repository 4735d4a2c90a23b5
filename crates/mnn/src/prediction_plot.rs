//! Draws the picture of a prediction: for each state, data with prediction, and the residuals.

use std::path::Path;

use figures::{Axis, Color, Figure, Mark, Panel, Points, Rectangle, Series};
use mechanistic::Result;
use mechanistic::discovery::{Dataset, Prediction};

/// Sizes in CSS pixels.
const WIDTH: u32 = 1200;
const PANEL_HEIGHT: u32 = 190;
/// Of more states, the first so many are drawn.
const PANELS: usize = 16;

/// Draws `prediction` over the `dataset` that it is compared with, which has the same states. The
/// extension of `path` (svg or png) chooses the format; `time_name` labels the time axis.
///
/// # Errors
/// [`Error::Argument`](mechanistic::Error::Argument) for another extension,
/// [`Error::Io`](mechanistic::Error::Io) when the file cannot be written.
pub fn write(
    path: &Path,
    time_name: &str,
    dataset: &Dataset,
    prediction: &Prediction,
) -> Result<()> {
    figure(time_name, dataset, prediction).write(path)
}

fn figure(time_name: &str, dataset: &Dataset, prediction: &Prediction) -> Figure {
    let states = dataset.states.len();
    let count = states.min(PANELS);
    let height = PANEL_HEIGHT * (count as u32).max(2);
    let mut panels = Vec::new();
    for state in 0..count {
        let edge = |state: usize| height * state as u32 / count as u32;
        let (top, height) = (edge(state), edge(state + 1) - edge(state));
        let name = if state + 1 == count { time_name } else { "" };
        let time = || Axis { margin: 0.0, labels: 6, ..Axis::new(name) };
        let value = |name: &str| Axis { margin: 0.08, labels: 5, ..Axis::new(name) };
        let state_name = &dataset.states[state];
        let [data, predicted, residuals] = curves(dataset, prediction, state);
        let above = Panel::new("", time(), value(state_name))
            .with(Series::new("data", Color::GRAY, Mark::Dots, data))
            .with(
                Series::new("predicted", Color::VERMILION, Mark::Line(1.25), predicted)
                    .without_framing(),
            );
        let beside = Panel::new("", time(), value(&format!("residual of {state_name}")))
            .with(Series::new("residual", Color::BLUE, Mark::Dots, residuals));
        let half = WIDTH / 2;
        panels.push((Rectangle { left: 0, top, width: half, height }, above));
        panels.push((Rectangle { left: half, top, width: WIDTH - half, height }, beside));
    }
    let note = (states > PANELS).then(|| (format!("the first {PANELS} states of {states}"), WIDTH));
    Figure { width: WIDTH, height, note, panels }
}

/// Returns data, prediction and residuals of one state against time, a curve for each trajectory.
fn curves(dataset: &Dataset, prediction: &Prediction, state: usize) -> [Vec<Points>; 3] {
    let k = dataset.states.len();
    let mut curves = [(); 3].map(|()| Vec::new());
    for (trajectory, predicted) in dataset.trajectories.iter().zip(&prediction.trajectories) {
        let column = |values: &[f64]| -> Vec<f64> {
            values.iter().skip(state).step_by(k).copied().collect()
        };
        let (measured, predicted) = (column(&trajectory.values), column(predicted));
        let residual = measured.iter().zip(&predicted).map(|(x, u)| x - u).collect();
        for (curves, values) in curves.iter_mut().zip([measured, predicted, residual]) {
            let points = trajectory.time.iter().copied().zip(values);
            curves.push(points.filter(|(_, value)| !value.is_nan()).collect());
        }
    }
    curves
}

#[cfg(test)]
mod tests {
    use super::*;
    use mechanistic::discovery::Trajectory;

    #[test]
    fn a_picture_has_data_prediction_and_residuals() {
        let time: Vec<f64> = (0..50).map(f64::from).collect();
        let dataset = Dataset {
            states: vec!["angle <1>".into()],
            trajectories: vec![Trajectory {
                values: time.iter().map(|t| t.sin()).collect(),
                time,
                ..Trajectory::default()
            }],
            ..Dataset::default()
        };
        let predicted = vec![0.5; 50];
        let prediction = Prediction {
            states: dataset.states.clone(),
            trajectories: vec![predicted],
            ..Prediction::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.svg");
        write(&path, "year", &dataset, &prediction).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        for text in
            ["\nangle &lt;1&gt;\n", "\nresidual of angle &lt;1&gt;\n", "\nyear\n", "predicted"]
        {
            assert!(svg.contains(text), "{text}");
        }
        assert!(svg.contains("#D55E00") && svg.contains("#0072B2"), "both colors");
    }
}
