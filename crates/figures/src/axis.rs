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
        let offset = if self.logarithmic { 0.0 } else { offset(&range, &ticks) };
        Scale { range, ticks, offset, logarithmic: self.logarithmic }
    }
}

/// Digits of a label after its first significant one.
const DIGITS: usize = 5;

/// An axis whose range and ticks are chosen, in positions.
#[derive(Clone)]
pub(crate) struct Scale {
    pub range: Range<f64>,
    ticks: Vec<f64>,
    /// What the labels leave out, so that their few digits tell neighbors apart.
    offset: f64,
    logarithmic: bool,
}

impl Scale {
    /// The name of what the labels say, that of the axis less the offset, in at most `room`
    /// characters, lest it cover what is beside it.
    pub fn title(&self, name: &str, room: usize) -> String {
        let sign = if self.offset < 0.0 { '+' } else { '−' };
        let offset = match self.offset {
            0.0 => String::new(),
            _ if name.is_empty() => String::new(),
            offset => format!(" {sign} {}", offset.abs()),
        };
        let room = room.saturating_sub(offset.chars().count());
        if name.chars().count() <= room {
            return name.to_owned() + &offset;
        }
        let beginning: String = name.chars().take(room.saturating_sub(3)).collect();
        format!("{beginning}...{offset}")
    }
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
        if self.logarithmic {
            tick(10_f64.powf(*position), 0)
        } else if self.offset == 0.0 {
            tick(*position, DIGITS)
        } else {
            tick(position - self.offset, DIGITS)
        }
    }
}

/// Multiples of 1, 2 or 5 times a power of ten within the range, at most `count` intervals of them.
fn ticks(range: &Range<f64>, count: usize) -> Vec<f64> {
    let least = (range.end - range.start) / count.max(1) as f64;
    let power = 10_f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= least);
    let step = factor.unwrap_or(10.0) * power;
    // Ticks at the ends of the range belong to it, whatever the rounding.
    let rounding = 4.0 * f64::EPSILON * range.start.abs().max(range.end.abs()) / step;
    let first = (range.start / step - 1e-9 - rounding).ceil();
    let last = (range.end / step + 1e-9 + rounding).floor();
    (0..=(last - first).max(0.0) as usize).map(|i| multiple(first + i as f64, step)).collect()
}

/// `count` steps. Dividing by the inverse of a small step keeps multiples like 0.3 exact.
fn multiple(count: f64, step: f64) -> f64 {
    if step < 1.0 { count / (1.0 / step).round() } else { count * step }
}

/// A round number to leave out of all labels where neighbors agree in all digits of a label; 0
/// where they do not.
fn offset(range: &Range<f64>, ticks: &[f64]) -> f64 {
    let [first, second, ..] = ticks else { return 0.0 };
    let largest = range.start.abs().max(range.end.abs());
    let last_digit = 10_f64.powf(largest.log10().floor() - DIGITS as f64);
    if second - first > 0.5 * last_digit {
        return 0.0;
    }
    let unit = 10_f64.powf((range.end - range.start).log10().ceil());
    multiple((range.start / unit).round(), unit)
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
    fn labels_of_a_small_range_on_a_large_offset_differ() {
        let shown = |low: f64, high: f64| {
            let axis = Axis { margin: 0.0, labels: 4, ..Axis::new("") };
            let scale = axis.scale([low, high].into_iter());
            let labels: Vec<String> = scale.ticks.iter().map(|at| scale.format_ext(at)).collect();
            (scale.title("x", 20), labels.join(" "))
        };
        let (title, labels) = shown(2.999_999_9, 3.000_000_1);
        assert_eq!((title.as_str(), labels.as_str()), ("x − 3", "−1e−7 −5e−8 0 5e−8 1e−7"));
        let (title, labels) = shown(1.7e9, 1.7e9 + 40.0);
        assert_eq!((title.as_str(), labels.as_str()), ("x − 1700000000", "0 10 20 30 40"));
        let (title, labels) = shown(-1e6 - 0.2, -1e6);
        assert_eq!((title.as_str(), labels.as_str()), ("x + 1000000", "−0.2 −0.15 −0.1 −0.05 0"));
        let (title, labels) = shown(1000.0, 1000.04);
        assert_eq!(
            (title.as_str(), labels.as_str()),
            ("x", "1000 1000.01 1000.02 1000.03 1000.04")
        );
    }

    #[test]
    fn a_long_name_leaves_room_for_the_offset() {
        let axis = Axis::over("", 100.0..100.000_1);
        let scale = axis.scale(std::iter::empty());
        assert_eq!(scale.title("concentration", 19), "concentration − 100");
        assert_eq!(scale.title("concentration", 18), "concentra... − 100");
        assert_eq!(scale.title("", 18), "");
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
