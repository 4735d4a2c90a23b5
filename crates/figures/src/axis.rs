//! Axes: their names, ranges and ticks.

use std::ops::Range;

/// One axis of a panel.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it measures, with its unit; empty for none.
    pub name: String,
    /// What it shows; chosen from the series by default.
    pub range: Option<Range<f64>>,
    /// The part of the range that is left free on either side of the series.
    pub margin: f64,
    /// Whether equal factors are equally long.
    pub logarithmic: bool,
    /// How many ticks are labeled, about.
    pub labels: usize,
}

impl Default for Axis {
    fn default() -> Self {
        Axis { name: String::new(), range: None, margin: 0.06, logarithmic: false, labels: 6 }
    }
}

impl Axis {
    /// Describes an axis that shows all of the series.
    pub fn new(name: &str) -> Self {
        Axis { name: name.into(), ..Axis::default() }
    }

    /// Describes a logarithmic axis, on which values that are not positive do not appear.
    pub fn logarithmic(name: &str) -> Self {
        Axis { logarithmic: true, ..Axis::new(name) }
    }

    /// Describes an axis that shows this range.
    pub fn over(name: &str, range: Range<f64>) -> Self {
        Axis { range: Some(range), ..Axis::new(name) }
    }

    /// Where a value lies, in what the axis is equally spaced in.
    pub(crate) fn position(&self, value: f64) -> f64 {
        if self.logarithmic { value.log10() } else { value }
    }

    /// The positions that the axis shows.
    pub(crate) fn shown(&self, values: impl Iterator<Item = f64>) -> Range<f64> {
        match &self.range {
            Some(range) => self.position(range.start)..self.position(range.end),
            None => range(values.map(|value| self.position(value)), self.margin),
        }
    }

    /// The label of a position.
    pub(crate) fn label(&self, position: f64) -> String {
        match self.logarithmic {
            true if (position - position.round()).abs() > 1e-9 => tick(10_f64.powf(position), 1),
            true => tick(10_f64.powi(position.round() as i32), 1),
            false => tick(position, 5),
        }
    }
}

/// The values with a margin, a fraction of their range; never empty. Those too large for the
/// arithmetic of a picture count as infinite.
fn range(values: impl Iterator<Item = f64>, margin: f64) -> Range<f64> {
    let finite = values.filter(|value| value.abs() < 1e300);
    let (low, high) =
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return 0.0..1.0;
    }
    let width = high - low;
    if width <= 1e-12 * low.abs().max(high.abs()).max(f64::MIN_POSITIVE) {
        let half = if low == 0.0 { 1.0 } else { low.abs() / 2.0 };
        return low - half..high + half;
    }
    low - margin * width..high + margin * width
}

/// So many digits after the first significant one, without the trailing zeros; a true minus sign.
fn tick(value: f64, digits: usize) -> String {
    let rounded: f64 = format!("{value:.digits$e}").parse().unwrap_or(value);
    let magnitude = rounded.abs();
    let text = if magnitude != 0.0 && !(1e-3..1e6).contains(&magnitude) {
        format!("{rounded:e}")
    } else {
        format!("{rounded}")
    };
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_never_empty() {
        assert_eq!(range([].into_iter(), 0.1), 0.0..1.0);
        assert_eq!(range([f64::NAN].into_iter(), 0.1), 0.0..1.0);
        assert_eq!(range([2.0, 2.0].into_iter(), 0.1), 1.0..3.0);
        assert_eq!(range([0.0].into_iter(), 0.1), -1.0..1.0);
        assert_eq!(range([0.0, 10.0, f64::INFINITY].into_iter(), 0.1), -1.0..11.0);
        assert_eq!(range([f64::MAX, 0.0, 10.0, -f64::MAX].into_iter(), 0.1), -1.0..11.0);
    }

    #[test]
    fn ticks_are_short() {
        let shown = [0.1 + 0.2, -2000.0, 0.0, 2.5e-7, 3e6].map(|value| tick(value, 5));
        assert_eq!(shown, ["0.3", "−2000", "0", "2.5e−7", "3e6"]);
        let axis = Axis::logarithmic("");
        assert_eq!([-4.0, 0.0, 2.0, -0.5].map(|p| axis.label(p)), ["1e−4", "1", "100", "0.32"]);
        assert_eq!(axis.shown([0.0, 1.0, 100.0].into_iter()), -0.12..2.12);
    }
}
