//! Draws the picture of a discovery: data, fit and simulation against time, and the phase portrait.

use std::ops::Range;
use std::path::Path;

use figures::{Axis, Color, Figure, Mark, Panel, Points, Rectangle, Series};
use mechanistic::Result;
use mechanistic::discovery::{Dataset, Discovery, Fit};

pub use figures::check;

/// Sizes in CSS pixels.
const WIDTH: u32 = 1200;
const TIME_WIDTH: u32 = 756;
const PANEL_HEIGHT: u32 = 190;
/// Of more states, the first so many are drawn against time.
const PANELS: usize = 16;

/// The number of points of a long trajectory, of which the panels against time show only the
/// beginning: no more oscillations than can be told apart.
const LONG: usize = 4000;
const FIRST_POINTS: usize = 2000;

/// Draws `discovery` over the `dataset` it was found in. The extension of `path` (svg or png)
/// chooses the format; `time_name` labels the time axis.
///
/// # Errors
/// [`Error::Argument`](mechanistic::Error::Argument) for another extension,
/// [`Error::Io`](mechanistic::Error::Io) when the file cannot be written.
pub fn write(path: &Path, time_name: &str, dataset: &Dataset, discovery: &Discovery) -> Result<()> {
    Picture { time_name, dataset, discovery }.figure().write(path)
}

/// The data and the discovery that are drawn.
struct Picture<'a> {
    time_name: &'a str,
    dataset: &'a Dataset,
    discovery: &'a Discovery,
}

/// Curves in the same coordinates by what they are.
#[derive(Default)]
struct Layers {
    data: Vec<Points>,
    fit: Vec<Points>,
    simulated: Vec<Points>,
}

impl Layers {
    /// The layers over two axes. A simulation on top of its fit must leave it visible, and one that
    /// runs away must not squeeze all else.
    fn panel(self, x: Axis, y: Axis, widths: [f64; 2]) -> Panel {
        let line = Mark::Line;
        let simulated = Series::new("simulated", Color::VERMILION, line(widths[1]), self.simulated);
        Panel::new("", x, y)
            .with(Series::new("data", Color::GRAY, Mark::Dots, self.data))
            .with(Series::new("fit", Color::SKY, line(widths[0]), self.fit))
            .with(simulated.without_framing())
    }
}

impl Picture<'_> {
    fn figure(&self) -> Figure {
        let count = self.dataset.states.len().min(PANELS);
        let height = PANEL_HEIGHT * (count as u32).max(2);
        let mut panels = Vec::new();
        for state in 0..count {
            let (first, next) = (state as u32, state as u32 + 1);
            let top = height * first / count as u32;
            let place = Rectangle {
                left: 0,
                top,
                width: TIME_WIDTH,
                height: height * next / count as u32 - top,
            };
            panels.push((place, self.against_time(state, state + 1 == count)));
        }
        for (row, panel) in self.portraits().into_iter().enumerate() {
            let (left, top) = (TIME_WIDTH, height / 2 * row as u32);
            let place = Rectangle { left, top, width: WIDTH - TIME_WIDTH, height: height / 2 };
            panels.push((place, panel));
        }
        let note = self.note().map(|text| (text, TIME_WIDTH - 16));
        Figure { width: WIDTH, height, note, panels }
    }

    /// What the panels against time leave out.
    fn note(&self) -> Option<String> {
        let longest = self.dataset.trajectories.iter().map(|t| t.time.len()).max().unwrap_or(0);
        let states = self.dataset.states.len();
        let parts = [
            (states > PANELS).then(|| format!("{PANELS} states of {states}")),
            (longest > LONG).then(|| format!("{FIRST_POINTS} points of {longest}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| format!("against time: the first {}", parts.join(", ")))
    }

    /// One state against time; the lowest panel names the time.
    fn against_time(&self, state: usize, lowest: bool) -> Panel {
        let k = self.dataset.states.len();
        let column = |time: &[f64], values: &[f64], end: f64| -> Points {
            let values = values.iter().skip(state).step_by(k);
            time.iter().copied().zip(values.copied()).take_while(|(t, _)| *t <= end).collect()
        };
        let mut layers = Layers::default();
        for (index, trajectory) in self.dataset.trajectories.iter().enumerate() {
            let end = end_of_panel(&trajectory.time);
            layers.data.push(column(&trajectory.time, &trajectory.values, end));
            let Some(fit) = self.discovery.fits.get(index) else { continue };
            for part in fit.parts() {
                let (time, values) = (&fit.time[part.clone()], part.start * k..part.end * k);
                layers.fit.push(column(time, &fit.smoothed[values.clone()], end));
                layers.simulated.push(column(time, &fit.simulated[values], end));
            }
        }
        let time_name = if lowest { self.time_name } else { "" };
        let time = Axis { margin: 0.0, labels: 10, ..Axis::new(time_name) };
        let value = Axis { margin: 0.08, labels: 5, ..Axis::new(&self.dataset.states[state]) };
        layers.panel(time, value, [3.5, 1.25])
    }

    /// The first state against the last, or the only state against its slope: data with fit above
    /// data with simulation.
    fn portraits(&self) -> [Panel; 2] {
        let k = self.dataset.states.len();
        let (x, y) = match self.dataset.states.as_slice() {
            [first, .., last] => (first.clone(), last.clone()),
            [only] => (only.clone(), format!("{only}'")),
            [] => (String::new(), String::new()),
        };
        let plane = |values: &[f64]| -> Points {
            values.chunks_exact(k).map(|row| (row[0], row[k - 1])).collect()
        };
        let curves = |fit: &Fit, values: &[f64]| -> Vec<Points> {
            let curve = |part: Range<usize>| match k {
                1 => with_slope(&fit.time[part.clone()], &values[part]),
                _ => plane(&values[part.start * k..part.end * k]),
            };
            fit.parts().map(curve).collect()
        };
        let fits = &self.discovery.fits;
        let measured = self.dataset.trajectories.iter().filter(|_| k > 1);
        let data: Vec<Points> = measured.map(|trajectory| plane(&trajectory.values)).collect();
        let fit = fits.iter().flat_map(|fit| curves(fit, &fit.smoothed)).collect();
        let simulated = fits.iter().flat_map(|fit| curves(fit, &fit.simulated)).collect();
        // A long trajectory fills its portrait.
        let width = if fits.iter().any(|fit| fit.time.len() > LONG) { 0.75 } else { 1.5 };
        let axes = || (Axis::new(&x), Axis { margin: 0.08, labels: 5, ..Axis::new(&y) });
        [
            Layers { data: data.clone(), fit, simulated: vec![] },
            Layers { data, fit: vec![], simulated },
        ]
        .map(|layers| layers.panel(axes().0, axes().1, [width; 2]))
    }
}

/// Returns the last time that the panels against time show.
fn end_of_panel(time: &[f64]) -> f64 {
    let points = if time.len() > LONG { FIRST_POINTS } else { time.len() };
    points.checked_sub(1).map_or(0.0, |last| time[last])
}

/// Returns (u, u') at the inner points, by central differences.
fn with_slope(time: &[f64], values: &[f64]) -> Points {
    let inner = 1..values.len().max(1) - 1;
    inner
        .map(|i| (values[i], (values[i + 1] - values[i - 1]) / (time[i + 1] - time[i - 1])))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mechanistic::discovery::Trajectory;

    fn example() -> (Dataset, Discovery) {
        let time: Vec<f64> = (0..400).map(|i| f64::from(i) * 0.05).collect();
        let values: Vec<f64> = time.iter().flat_map(|t| [t.cos(), -t.sin()]).collect();
        let mut measured = values.clone();
        measured[7] = f64::NAN;
        let mut simulated = values.clone();
        simulated[600..].fill(f64::NAN);
        simulated[598] = 1e30;
        let dataset = Dataset {
            states: vec!["angle <1>".into(), "speed".into()],
            trajectories: vec![Trajectory {
                time: time.clone(),
                values: measured,
                ..Trajectory::default()
            }],
            ..Dataset::default()
        };
        let fits = vec![Fit { time, smoothed: values, simulated, ..Fit::default() }];
        (dataset.clone(), Discovery { states: dataset.states, fits, ..Discovery::default() })
    }

    /// The picture as SVG.
    fn drawn(dataset: &Dataset, discovery: &Discovery) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.svg");
        write(&path, "time", dataset, discovery).unwrap();
        std::fs::read_to_string(&path).unwrap()
    }

    #[test]
    fn a_picture_has_its_labels_and_curves() {
        let (dataset, discovery) = example();
        let text = drawn(&dataset, &discovery);
        assert!(text.starts_with("<svg width=\"1200\" height=\"424\" viewBox=\"0 0 12000 4240\""));
        assert!(text.contains("angle &lt;1&gt;") && text.contains("simulated"), "labels");
        assert!(text.contains("#D55E00") && text.contains("#56B4E9"), "both curves");
    }

    /// A line ends where another part of the fit begins.
    #[test]
    fn parts_of_a_fit_are_not_joined() {
        let (dataset, mut discovery) = example();
        let lines = |discovery: &Discovery| {
            let picture = Picture { time_name: "t", dataset: &dataset, discovery };
            picture.against_time(0, true)
        };
        let joined = lines(&discovery);
        discovery.fits[0].restarts = vec![100, 200];
        let apart = lines(&discovery);
        let count = |panel: &Panel| panel.series.iter().map(|s| s.curves.len()).sum::<usize>();
        assert_eq!((count(&joined), count(&apart)), (1 + 1 + 1, 1 + 3 + 3));
    }

    #[test]
    fn one_state_is_drawn_against_its_slope() {
        let (mut dataset, mut discovery) = example();
        for values in [&mut dataset.trajectories[0].values, &mut discovery.fits[0].smoothed] {
            *values = values.iter().step_by(2).copied().collect();
        }
        discovery.fits[0].simulated.truncate(400);
        dataset.states.truncate(1);
        discovery.states.truncate(1);
        assert!(drawn(&dataset, &discovery).contains("angle &lt;1&gt;&apos;"));
    }

    #[test]
    fn of_many_states_the_first_are_drawn() {
        let states: Vec<String> = (0..1000).map(|k| format!("s{k}")).collect();
        let trajectory =
            Trajectory { time: vec![0.0, 1.0], values: vec![0.5; 2000], ..Trajectory::default() };
        let dataset = Dataset { states, trajectories: vec![trajectory], ..Dataset::default() };
        let svg = drawn(&dataset, &Discovery::default());
        let height = 44 + 16 * 190;
        assert!(svg.starts_with(&format!("<svg width=\"1200\" height=\"{height}\"")));
        assert!(svg.contains("the first 16 states of 1000"), "a note");
        assert!(svg.contains("\ns15\n") && !svg.contains("\ns16\n"), "names of states");
    }
}
