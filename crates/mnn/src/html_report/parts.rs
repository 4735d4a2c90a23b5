//! The parts of the report, each as HTML.

use std::fmt::Write;
use std::ops::Range;

use mechanistic::discovery::{Dataset, Discovery, Equation, Fit, Term, Trajectory};

use super::chart::{Chart, Kind, Points};
use super::escaped;
use crate::warnings::with_flags;

/// Of more states, the first so many are drawn against time, and so many pairs against each other.
const STATES: usize = 16;
const PORTRAITS: usize = 6;
/// Of more coefficients, only the strongest correlations are listed.
const MATRIX: usize = 24;
const STRONGEST: usize = 20;

/// What is reported.
pub struct Report<'a> {
    pub time_name: &'a str,
    pub dataset: &'a Dataset,
    pub discovery: &'a Discovery,
}

impl Report<'_> {
    pub fn summary(&self) -> String {
        let points: usize = self.dataset.trajectories.iter().map(|t| t.time.len()).sum();
        let trajectories = self.dataset.trajectories.len();
        let of = if trajectories == 1 { "one trajectory" } else { "trajectories" };
        let count = if trajectories == 1 { String::new() } else { format!("{trajectories} ") };
        format!("Found in {points} points of {count}{of}, in `{}`.", escaped(self.time_name))
    }

    /// The equations, then each coefficient with its standard error.
    pub fn equations(&self) -> String {
        let text = escaped(self.discovery.to_string().trim_end());
        let mut html = format!("<pre>{text}</pre>\n<div class=\"scroll\"><table>\n<tr>");
        html += &cells("th", &["equation", "term", "coefficient", "standard error", "ratio"]);
        html += "</tr>\n";
        for (equation, term, place) in coefficients(&self.discovery.equations) {
            let [error, ratio] = match term.standard_error {
                Some(error) => {
                    let ratio = (term.coefficient / error).abs();
                    [format!("{error:.2e}"), format!("{ratio:.1}")]
                }
                None => ["given".to_owned(), String::new()],
            };
            let coefficient = format!("{:.6e}", term.coefficient);
            let name = format!("{place}{}", name(term));
            html += &row(&[&equation.lhs, &name, &coefficient, &error, &ratio]);
        }
        html + "</table></div>\n"
    }

    pub fn warnings(&self) -> String {
        let items: String = self
            .discovery
            .warnings
            .iter()
            .map(|warning| format!("<li>{}</li>\n", escaped(&with_flags(warning))))
            .collect();
        if items.is_empty() { items } else { format!("<ul class=\"warnings\">\n{items}</ul>\n") }
    }

    /// Noise and R² of each state, and each against time.
    pub fn fit(&self) -> String {
        let mut html = "<table>\n<tr>".to_owned() + &cells("th", &["state", "noise", "R²"]);
        html += "</tr>\n";
        for (state, name) in self.discovery.states.iter().enumerate() {
            let noise = self.discovery.noise.get(state).map(|noise| format!("{noise:.3e}"));
            let explained = self.discovery.explained.get(state).map(|explained| {
                let blows_up = "the simulation blows up".to_owned();
                if explained.is_nan() { blows_up } else { format!("{explained:.6}") }
            });
            // Hidden states have neither.
            let noise = noise.unwrap_or_else(|| "no data".to_owned());
            html += &row(&[name, &noise, &explained.unwrap_or_default()]);
        }
        html += "</table>\n<p>R² is the fraction of the variance that the simulation from the \
                 first point explains (after a gap that is too long, from the first point after it). Zoom with the wheel (shift: values only, control: times \
                 only), move by dragging, double click for all.</p>\n";
        for state in 0..self.states() {
            let [mut data, mut fit, mut simulated] = [(); 3].map(|()| Vec::new());
            for trajectory in &self.dataset.trajectories {
                data.push(self.against_time(&trajectory.time, &trajectory.values, state));
            }
            let k = self.discovery.states.len();
            for found in &self.discovery.fits {
                for part in found.parts() {
                    let (time, values) = (&found.time[part.clone()], part.start * k..part.end * k);
                    fit.push(self.against_time(time, &found.smoothed[values.clone()], state));
                    simulated.push(self.against_time(time, &found.simulated[values], state));
                }
            }
            let series = [(Kind::Data, data), (Kind::Fit, fit), (Kind::Simulated, simulated)];
            html += &self.chart(self.time_name, &self.discovery.states[state], series.into());
        }
        html + &self.left_out()
    }

    /// The states against each other; a single one against its difference quotient.
    pub fn portraits(&self) -> String {
        let k = self.discovery.states.len();
        let (states, fits) = (&self.discovery.states, &self.discovery.fits);
        if k == 1 {
            let slopes = |fit: &Fit, values: &[f64]| -> Vec<Points> {
                let slope = |part: Range<usize>| -> Points {
                    let pairs = fit.time[part.clone()].windows(2).zip(values[part].windows(2));
                    pairs
                        .map(|(t, u)| (0.5 * (u[0] + u[1]), (u[1] - u[0]) / (t[1] - t[0])))
                        .collect()
                };
                fit.parts().map(slope).collect()
            };
            let fit = fits.iter().flat_map(|fit| slopes(fit, &fit.smoothed)).collect();
            let simulated = fits.iter().flat_map(|fit| slopes(fit, &fit.simulated)).collect();
            let series = vec![(Kind::Fit, fit), (Kind::Simulated, simulated)];
            return self.chart(&states[0], &format!("slope of {}", states[0]), series);
        }
        let pairs = (0..k).flat_map(|i| (i + 1..k).map(move |j| (i, j)));
        let mut html = String::new();
        for (i, j) in pairs.take(PORTRAITS) {
            let points = |values: &[f64]| -> Points {
                values.chunks_exact(k).map(|u| (u[i], u[j])).collect()
            };
            let curves = |fit: &Fit, values: &[f64]| -> Vec<Points> {
                let curve = |part: Range<usize>| points(&values[part.start * k..part.end * k]);
                fit.parts().map(curve).collect()
            };
            let data = self.dataset.trajectories.iter().map(|t| points(&t.values)).collect();
            let fit = fits.iter().flat_map(|fit| curves(fit, &fit.smoothed)).collect();
            let simulated = fits.iter().flat_map(|fit| curves(fit, &fit.simulated)).collect();
            let series = [(Kind::Data, data), (Kind::Fit, fit), (Kind::Simulated, simulated)];
            html += &self.chart(&states[i], &states[j], series.into());
        }
        html
    }

    /// Data less fit of each state against time.
    pub fn residuals(&self) -> String {
        let k = self.discovery.states.len();
        let mut html = String::new();
        let with_data = k.saturating_sub(self.discovery.hidden.len());
        for state in 0..self.states().min(with_data) {
            let both = self.dataset.trajectories.iter().zip(&self.discovery.fits);
            let residuals = both.map(|(data, fit)| residuals(data, fit, state, k)).collect();
            let name = format!("residual of {}", self.discovery.states[state]);
            html += &self.chart(self.time_name, &name, vec![(Kind::Residual, residuals)]);
        }
        html
    }

    /// The matrix of the correlations, or the strongest ones if there are many.
    pub fn correlations(&self) -> String {
        let estimated: Vec<String> = coefficients(&self.discovery.equations)
            .filter(|(_, term, _)| term.standard_error.is_some())
            .map(|(equation, term, place)| format!("{} : {place}{}", equation.lhs, name(term)))
            .collect();
        let n = estimated.len();
        let values = &self.discovery.correlations;
        if n < 2 || values.len() != n * n {
            return String::new();
        }
        if n <= MATRIX {
            return matrix(&estimated, values);
        }
        let mut pairs: Vec<(usize, usize)> =
            (0..n).flat_map(|i| (0..i).map(move |j| (j, i))).collect();
        let size = |&(i, j): &(usize, usize)| values[i * n + j].abs();
        pairs.sort_by(|a, b| size(b).total_cmp(&size(a)));
        let mut html = format!("<p>The strongest {STRONGEST} of {}.</p>\n<table>\n", pairs.len());
        for (i, j) in pairs.into_iter().take(STRONGEST) {
            html += &row(&[&estimated[i], &estimated[j], &rounded(values[i * n + j])]);
        }
        html + "</table>\n"
    }

    pub fn tried(&self) -> String {
        let tried = &self.discovery.tried;
        if tried.is_empty() {
            return String::new();
        }
        let names = ["model", "score", "terms", "exact", "error held out", ""];
        let mut html = format!("<div class=\"scroll\"><table>\n<tr>{}</tr>\n", cells("th", &names));
        for tried in tried {
            let score = tried.score.map(|score| format!("{score:.1}")).unwrap_or_default();
            let terms = tried.score.map(|_| tried.terms.to_string()).unwrap_or_default();
            let exact = if tried.exact { "yes" } else { "no" };
            let held_out = tried.held_out.map(|error| format!("{error:.1e}")).unwrap_or_default();
            let note = match (tried.cut_short, tried.failure.as_str()) {
                (true, "") => "cut short",
                (_, failure) => failure,
            };
            let class = if tried.chosen { " class=\"chosen\"" } else { "" };
            let values = cells("td", &[&tried.model, &score, &terms, exact, &held_out]);
            let _ = writeln!(
                html,
                "<tr{class}>{values}<td class=\"words\">{}</td></tr>",
                escaped(note)
            );
        }
        html + "</table></div>\n"
    }

    /// Returns the number of states that are drawn against time.
    fn states(&self) -> usize {
        self.discovery.states.len().min(STATES)
    }

    fn left_out(&self) -> String {
        let states = self.discovery.states.len();
        match states > STATES {
            true => format!("<p>The first {STATES} states of {states} are drawn.</p>\n"),
            false => String::new(),
        }
    }

    fn against_time(&self, time: &[f64], values: &[f64], state: usize) -> Points {
        let values = values.iter().skip(state).step_by(self.discovery.states.len());
        time.iter().copied().zip(values.copied()).collect()
    }

    fn chart(&self, x: &str, y: &str, series: Vec<(Kind, Vec<Points>)>) -> String {
        Chart { x: x.to_owned(), y: y.to_owned(), series }.html()
    }
}

/// Returns every coefficient with its equation, and `1/` before the term of a denominator.
fn coefficients(equations: &[Equation]) -> impl Iterator<Item = (&Equation, &Term, &'static str)> {
    equations.iter().flat_map(|equation| {
        let above = equation.terms.iter().map(move |term| (equation, term, ""));
        let below = equation.denominator.iter().map(move |term| (equation, term, "1/ "));
        above.chain(below)
    })
}

/// Returns the name of a term: its factors, or 1 for the constant.
fn name(term: &Term) -> String {
    if term.factors.is_empty() { "1".to_owned() } else { term.factors.join(" ") }
}

/// Returns data less fit of one state at the times of the data that the parts of the fit contain. Between
/// its points, which are the means of times where data were averaged, the fit is the cubic through the
/// four nearest.
fn residuals(data: &Trajectory, fit: &Fit, state: usize, k: usize) -> Points {
    let measured = || data.time.iter().copied().zip(data.values.iter().skip(state).step_by(k));
    let mut residuals = Vec::new();
    for part in fit.parts() {
        let times = &fit.time[part.clone()];
        let [Some(first), Some(last)] = [times.first(), times.last()] else { continue };
        let inside = measured().skip_while(|(t, _)| t < first).take_while(|(t, _)| t <= last);
        for (time, value) in inside.filter(|(_, value)| !value.is_nan()) {
            let next = times.partition_point(|at| *at < time);
            let nearest = next.saturating_sub(2).min(times.len().saturating_sub(4));
            let nodes = nearest..times.len().min(nearest + 4);
            let weight = |i: usize| -> f64 {
                let others = nodes.clone().filter(|j| *j != i);
                others.map(|j| (time - times[j]) / (times[i] - times[j])).product()
            };
            let at = |i: usize| weight(i) * fit.smoothed[(part.start + i) * k + state];
            residuals.push((time, value - nodes.clone().map(at).sum::<f64>()));
        }
    }
    residuals
}

fn matrix(names: &[String], values: &[f64]) -> String {
    let n = names.len();
    let mut html = "<div class=\"scroll\"><table class=\"matrix\">\n".to_owned();
    for (i, name) in names.iter().enumerate() {
        let _ = write!(html, "<tr><th>{}</th>", escaped(name));
        for value in &values[i * n..][..=i] {
            // The stronger, the darker; red for opposite signs.
            let hue = if *value < 0.0 { 20 } else { 205 };
            let light = 100.0 - 45.0 * value.abs().min(1.0);
            let text = rounded(*value);
            let style = format!("background:hsl({hue} 80% {light:.0}%)");
            let _ = write!(html, "<td style=\"{style}\">{text}</td>");
        }
        html += "</tr>\n";
    }
    html + "</table></div>\n"
}

/// Returns a correlation with two digits and a minus sign as wide as a digit.
fn rounded(value: f64) -> String {
    format!("{value:.2}").replace('-', "−")
}

fn cells(kind: &str, texts: &[&str]) -> String {
    texts.iter().map(|text| format!("<{kind}>{}</{kind}>", escaped(text))).collect()
}

fn row(texts: &[&str]) -> String {
    format!("<tr>{}</tr>\n", cells("td", texts))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fit at averages of ten rows, of which those around t = 2 were not taken.
    #[test]
    fn residuals_lie_between_the_points_of_a_fit_and_not_between_its_parts() {
        let wave = |t: &f64| [t.sin(), t.cos()];
        let time: Vec<f64> = (0..400).map(|i| 0.01 * f64::from(i)).collect();
        let mut values: Vec<f64> = time.iter().flat_map(wave).collect();
        values[2 * 50 + 1] = f64::NAN;
        values[2 * 60 + 1] += 0.25;
        let data = Trajectory { time, values, inputs: vec![] };
        let middle = |i: u32| 0.045 + 0.1 * f64::from(i);
        let time: Vec<f64> = (0..15).chain(25..40).map(middle).collect();
        let smoothed: Vec<f64> = time.iter().flat_map(wave).collect();
        let fit = Fit { time, simulated: smoothed.clone(), smoothed, restarts: vec![15] };
        let found = residuals(&data, &fit, 1, 2);
        // From 0.05 to 1.44 and from 2.55 to 3.94, without the missing one.
        assert_eq!(found.len(), 140 + 140 - 1);
        assert!(found.iter().all(|(t, _)| *t < 1.445 || *t > 2.545));
        for (t, residual) in found {
            let expected = if (t - 0.6).abs() < 1e-9 { 0.25 } else { 0.0 };
            assert!((residual - expected).abs() < 1e-5, "{t}: {residual}");
        }
    }
}
