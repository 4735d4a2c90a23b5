//! Axes: their names, ranges and ticks.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

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

    /// The axis over the positions that it shows.
    pub(crate) fn scale(&self, values: impl Iterator<Item = f64>) -> Scale {
        let range = match &self.range {
            Some(range) => self.position(range.start)..self.position(range.end),
            None => range(values.map(|value| self.position(value)), self.margin),
        };
        let ticks = match self.logarithmic {
            true => logarithmic_ticks(&range),
            false => ticks(&range, self.labels),
        };
        Scale { range, ticks, logarithmic: self.logarithmic }
    }
}

/// An axis whose range and ticks are chosen, in positions.
#[derive(Clone)]
pub(crate) struct Scale {
    pub range: Range<f64>,
    ticks: Vec<f64>,
    logarithmic: bool,
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, position: &f64, (from, to): (i32, i32)) -> i32 {
        let part = (position - self.range.start) / (self.range.end - self.range.start);
        from + (part * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Scale {
    fn format_ext(&self, position: &f64) -> String {
        if self.logarithmic { tick(10_f64.powf(*position), 0) } else { tick(*position, 5) }
    }
}

/// Multiples of 1, 2 or 5 times a power of ten within the range, at most `count` intervals of them.
fn ticks(range: &Range<f64>, count: usize) -> Vec<f64> {
    let least = (range.end - range.start) / count.max(1) as f64;
    let power = 10_f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= least);
    let step = factor.unwrap_or(10.0) * power;
    // Ticks at the ends of the range belong to it, whatever the rounding.
    let first = (range.start / step - 1e-9).ceil();
    let last = (range.end / step + 1e-9).floor();
    // Dividing by the inverse of a small step keeps multiples like 0.3 exact.
    let multiple = |i: f64| if step < 1.0 { i / (1.0 / step).round() } else { i * step };
    (0..=(last - first).max(0.0) as usize).map(|i| multiple(first + i as f64)).collect()
}

/// Powers of ten within the range of logarithms, with 2 and 5 times them where they are few.
fn logarithmic_ticks(range: &Range<f64>) -> Vec<f64> {
    let decades = range.end - range.start;
    let factors: &[f64] = if decades < 3.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let stride = (decades / 8.0).ceil().max(1.0) as usize;
    let powers = (range.start.floor() as i32..=range.end.ceil() as i32).step_by(stride);
    let all = powers.flat_map(|power| factors.iter().map(move |f| f64::from(power) + f.log10()));
    all.filter(|position| range.contains(position)).collect()
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
        let labels = |axis: Axis, values: [f64; 3]| -> Vec<String> {
            let scale = axis.scale(values.into_iter());
            scale.ticks.iter().map(|tick| scale.format_ext(tick)).collect()
        };
        assert_eq!(labels(Axis::new(""), [-1.0, 0.0, 1.4]), ["−1", "−0.5", "0", "0.5", "1", "1.5"]);
        assert_eq!(labels(Axis::over("", 0.0..0.4), [0.0; 3]), ["0", "0.1", "0.2", "0.3", "0.4"]);
        assert_eq!(labels(Axis::logarithmic(""), [0.0, 1.0, 9.0]), ["1", "2", "5", "10"]);
        let wide = labels(Axis::logarithmic(""), [1e-4, 1.0, 9.0]);
        assert_eq!(wide, ["1e−4", "0.001", "0.01", "0.1", "1", "10"]);
    }
}
