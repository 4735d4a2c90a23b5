//! A chart as inline SVG. Its script zooms it; what it draws is in the units of the data.

use std::fmt::Write;
use std::ops::Range;

use super::escaped;

/// The size of a chart and the edges of its plot, in units of the SVG.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 44.0;
/// The most vertices of a curve: of longer ones, the extremes of stretches are drawn.
const VERTICES: usize = 4000;
/// The part of the range of the values that is left free above and below.
const MARGIN: f64 = 0.06;

/// Points (x, y) in the order in which they are joined; NaN interrupts a line.
pub type Points = Vec<(f64, f64)>;

/// What a series is, which decides how it looks.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Data,
    Fit,
    Simulated,
    Residual,
}

impl Kind {
    /// Returns the class in the style sheet, which is the name in the legend.
    fn name(self) -> &'static str {
        match self {
            Kind::Data => "data",
            Kind::Fit => "fit",
            Kind::Simulated => "simulated",
            Kind::Residual => "residual",
        }
    }

    fn is_dots(self) -> bool {
        matches!(self, Kind::Data | Kind::Residual)
    }
}

/// Curves over two axes.
pub struct Chart {
    pub x: String,
    pub y: String,
    pub series: Vec<(Kind, Vec<Points>)>,
}

impl Chart {
    /// Returns the chart as an element of HTML. A simulation that runs away does not widen the range.
    pub fn html(&self) -> String {
        let framing = self.series.iter().filter(|(kind, _)| *kind != Kind::Simulated);
        let points = || framing.clone().flat_map(|(_, curves)| curves.iter().flatten());
        let x = range(points().map(|(x, _)| *x), 0.0);
        let y = range(points().map(|(_, y)| *y), MARGIN);
        let (plot_width, plot_height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        let mut html = format!(
            "<figure class=\"chart\"><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{} against {}\" data-range=\"{:e} {:e} {:e} {:e}\">\
             <svg class=\"plot\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{plot_width}\" \
             height=\"{plot_height}\" viewBox=\"0 0 {plot_width} {plot_height}\" \
             preserveAspectRatio=\"none\"><rect class=\"ground\" width=\"{plot_width}\" \
             height=\"{plot_height}\"/><g class=\"curves\">",
            escaped(&self.y),
            escaped(&self.x),
            x.start,
            x.end,
            y.start,
            y.end
        );
        let place = |(u, v): (f64, f64)| {
            let across = (u - x.start) / (x.end - x.start) * plot_width;
            // What runs away is cut off where numbers stay legible.
            let up = ((v - y.start) / (y.end - y.start)).clamp(-1e3, 1e3);
            (across, (1.0 - up) * plot_height)
        };
        for (kind, curves) in &self.series {
            for curve in curves {
                let path = path(&thinned(curve, kind.is_dots()), kind.is_dots(), place);
                let _ = write!(html, "<path class=\"{}\" d=\"{path}\"/>", kind.name());
            }
        }
        let (middle, half_way) = (LEFT + plot_width / 2.0, TOP + plot_height / 2.0);
        let _ = writeln!(
            html,
            "</g></svg><g class=\"ticks\"></g>\
             <text class=\"name\" x=\"{middle}\" y=\"{}\">{}</text>\
             <text class=\"name\" transform=\"translate(14 {half_way}) rotate(-90)\">{}</text>\
             </svg><figcaption>{}</figcaption></figure>",
            HEIGHT - 6.0,
            escaped(&self.x),
            escaped(&self.y),
            self.legend()
        );
        html
    }

    fn legend(&self) -> String {
        let entry = |(kind, _): &(Kind, Vec<Points>)| {
            format!("<span class=\"key {0}\">{0}</span>", kind.name())
        };
        self.series.iter().map(entry).collect::<Vec<_>>().join(" ")
    }
}

/// Returns the range of the finite values, widened by this part of it on either side.
fn range(values: impl Iterator<Item = f64>, margin: f64) -> Range<f64> {
    let finite = values.filter(|value| value.is_finite());
    let (low, high) =
        finite.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return 0.0..1.0;
    }
    let width = high - low;
    // A single value stands in the middle.
    let more = if width > 0.0 { margin * width } else { 0.5 * low.abs().max(1.0) };
    low - more..high + more
}

/// Returns the curve, or if it is long the ends and extremes of its stretches; where it turns back, as
/// orbits do, evenly spaced points. Gaps between dots are no points.
fn thinned(curve: &Points, dots: bool) -> Points {
    let is_point = |(x, y): &(f64, f64)| x.is_finite() && y.is_finite();
    let curve: Points = curve.iter().filter(|point| !dots || is_point(point)).copied().collect();
    if curve.len() <= VERTICES {
        return curve;
    }
    if !curve.is_sorted_by(|a, b| a.0 <= b.0) {
        return curve.iter().step_by(curve.len().div_ceil(VERTICES)).copied().collect();
    }
    let stretch = curve.len().div_ceil(VERTICES / 4);
    let mut kept = Vec::with_capacity(VERTICES + 4);
    for part in curve.chunks(stretch) {
        let place = |better: fn(f64, f64) -> bool| {
            let all = (0..part.len()).filter(|&i| part[i].1.is_finite());
            all.reduce(|best, i| if better(part[i].1, part[best].1) { i } else { best })
        };
        let extremes = [place(|a, b| a < b), place(|a, b| a > b)];
        let mut places: Vec<usize> = extremes.into_iter().flatten().collect();
        places.extend([0, part.len() - 1]);
        places.sort_unstable();
        places.dedup();
        kept.extend(places.into_iter().map(|i| part[i]));
    }
    kept
}

/// Returns the path through these points, or of a dot at each of them.
fn path(points: &[(f64, f64)], dots: bool, place: impl Fn((f64, f64)) -> (f64, f64)) -> String {
    let mut path = String::new();
    let mut joined = false;
    for point in points {
        let (x, y) = place(*point);
        if !(x.is_finite() && y.is_finite()) {
            joined = false;
            continue;
        }
        let step = if joined && !dots { 'L' } else { 'M' };
        // Writing to a string cannot fail.
        let _ = write!(path, "{step}{x:.3} {y:.3}");
        if dots {
            path.push_str("h0");
        }
        joined = true;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(curve: Points, kind: Kind) -> String {
        let (x, y) = ("t <s>".into(), "x & y".into());
        Chart { x, y, series: vec![(kind, vec![curve])] }.html()
    }

    #[test]
    fn names_are_escaped_and_gaps_interrupt_lines() {
        let html = chart(vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0), (3.0, 2.0)], Kind::Fit);
        assert!(html.contains("x &amp; y") && html.contains("t &lt;s&gt;"), "{html}");
        let path = html.split(" d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert_eq!(path.matches('L').count(), 1, "{path}");
        assert!(html.contains("data-range=\"0e0 3e0 "), "{html}");
    }

    #[test]
    fn a_simulation_that_runs_away_does_not_widen_the_range() {
        let calm = vec![(0.0, 0.0), (1.0, 1.0)];
        let wild = vec![(0.0, 0.0), (1.0, 1e300)];
        let series = vec![(Kind::Fit, vec![calm]), (Kind::Simulated, vec![wild])];
        let html = Chart { x: "t".into(), y: "x".into(), series }.html();
        assert!(html.contains("data-range=\"0e0 1e0 -6e-2 1.06e0\""), "{html}");
        assert!(!html.contains("inf") && !html.contains("NaN"));
    }

    #[test]
    fn long_curves_keep_their_extremes() {
        let mut curve: Points = (0..100_000).map(|i| (f64::from(i), 0.0)).collect();
        curve[54_321].1 = 7.0;
        curve[54_322].1 = -7.0;
        let thinned = thinned(&curve, false);
        assert!(thinned.len() <= VERTICES + 4, "{}", thinned.len());
        assert!(thinned.contains(&(54_321.0, 7.0)) && thinned.contains(&(54_322.0, -7.0)));
        assert_eq!((thinned[0].0, thinned.last().unwrap().0), (0.0, 99_999.0));
        let orbit: Points = (0..100_000).map(|i| f64::from(i).sin_cos()).collect();
        assert_eq!(super::thinned(&orbit, false).len(), VERTICES);
    }

    #[test]
    fn gaps_hide_no_values_of_long_curves() {
        // Every third value was measured, and none at the beginning of a stretch.
        let value = |i: u32| if i % 3 == 1 { f64::from(i).sin() } else { f64::NAN };
        let sparse: Points = (0..90_000).map(|i| (f64::from(i), value(i))).collect();
        let finite = |points: &[(f64, f64)]| points.iter().filter(|p| p.1.is_finite()).count();
        let dots = thinned(&sparse, true);
        assert_eq!(finite(&dots), dots.len());
        assert!(dots.len() > VERTICES / 2 && dots.len() <= VERTICES + 4, "{}", dots.len());
        // A stretch has 90 points.
        let line = thinned(&sparse, false);
        assert!(finite(&line) >= 2 * 1000 && line.len() <= VERTICES + 4, "{}", finite(&line));
        let html = chart(sparse, Kind::Data);
        assert!(html.matches("h0").count() > VERTICES / 2);
    }
}
