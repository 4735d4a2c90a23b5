//! What is drawn: figures, their panels, and the series of a panel.

use std::ops::Range;

use crate::Axis;

/// One curve, one cloud of dots, or pairs: tail and head of arrows, opposite corners of tiles.
pub type Points = Vec<(f64, f64)>;

/// A color by its red, green and blue parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color(pub u8, pub u8, pub u8);

/// Okabe and Ito's palette, distinguishable with every kind of color blindness, and a gray.
impl Color {
    /// For data.
    pub const GRAY: Color = Color(110, 110, 110);
    /// For the truth.
    pub const BLACK: Color = Color(0, 0, 0);
    /// Sky blue.
    pub const SKY: Color = Color(86, 180, 233);
    /// Vermilion, a strong red.
    pub const VERMILION: Color = Color(213, 94, 0);
    /// Bluish green.
    pub const GREEN: Color = Color(0, 158, 115);
    /// Dark blue.
    pub const BLUE: Color = Color(0, 114, 178);
    /// Orange.
    pub const ORANGE: Color = Color(230, 159, 0);
    /// Reddish purple.
    pub const PURPLE: Color = Color(204, 121, 167);
}

/// A part of the color map viridis (van der Walt and Smith, 2015), from its darkest to its lightest
/// color at equal distances.
const VIRIDIS: [[f64; 3]; 9] = [
    [68.0, 1.0, 84.0],
    [71.0, 44.0, 122.0],
    [59.0, 81.0, 139.0],
    [44.0, 113.0, 142.0],
    [33.0, 144.0, 141.0],
    [39.0, 173.0, 129.0],
    [92.0, 200.0, 99.0],
    [170.0, 220.0, 50.0],
    [253.0, 231.0, 37.0],
];

impl Color {
    /// Returns a color of a map from dark blue (0) through green to yellow (1), whose lightness
    /// grows evenly.
    pub fn of_map(part: f64) -> Self {
        let place = part.clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f64;
        let below = (place as usize).min(VIRIDIS.len() - 2);
        let mixed = |i: usize| {
            let (from, to) = (VIRIDIS[below][i], VIRIDIS[below + 1][i]);
            (from + (place - below as f64) * (to - from)).round() as u8
        };
        Color(mixed(0), mixed(1), mixed(2))
    }
}

/// How the points of a series are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mark {
    /// A line of this width through them; NaN interrupts it.
    Line(f64),
    /// A dot at each; of many, an evenly spaced part is drawn.
    Dots,
    /// An arrow of this width from each first to each second of them.
    Arrows(f64),
    /// A filled rectangle between each first and each second of them.
    Tiles,
}

/// Curves that are drawn alike and have one entry in the legend.
#[derive(Clone, Debug)]
pub struct Series {
    /// The name in the legend, which shows every name once; without a name there is no entry.
    pub name: String,
    /// The color.
    pub color: Color,
    /// How points are drawn.
    pub mark: Mark,
    /// The curves.
    pub curves: Vec<Points>,
    /// Whether the axes must show all of it. A solution that may run away must not squeeze all
    /// else; it counts only where it is alone.
    pub framing: bool,
}

impl Series {
    /// Describes curves that are drawn alike.
    pub fn new(name: &str, color: Color, mark: Mark, curves: Vec<Points>) -> Self {
        Series { name: name.into(), color, mark, curves, framing: true }
    }

    /// Describes one line.
    pub fn line(name: &str, color: Color, width: f64, curve: Points) -> Self {
        Series::new(name, color, Mark::Line(width), vec![curve])
    }

    /// Describes one cloud of dots.
    pub fn dots(name: &str, color: Color, points: Points) -> Self {
        Series::new(name, color, Mark::Dots, vec![points])
    }

    /// Lets the axes show of it what lies within the other series.
    #[must_use]
    pub fn without_framing(self) -> Self {
        Series { framing: false, ..self }
    }
}

/// Two axes with what is drawn over them.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    /// Above the axes; empty for none.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// From the back to the front.
    pub series: Vec<Series>,
}

impl Panel {
    /// Describes an empty panel.
    pub fn new(title: &str, x: Axis, y: Axis) -> Self {
        Panel { title: title.into(), x, y, series: Vec::new() }
    }

    /// Adds a map of values (rows, `columns`) over the unit square, the first row at the bottom, in
    /// the colors of [`Color::of_map`] from the least of `range` to the largest.
    #[must_use]
    pub fn with_map(mut self, values: &[f64], columns: usize, range: Range<f64>) -> Self {
        let rows = values.len() / columns;
        let level = |value: &f64| {
            let part = (value - range.start) / (range.end - range.start);
            (part.clamp(0.0, 1.0) * (LEVELS - 1) as f64).round() as usize
        };
        let mut tiles = vec![Points::new(); LEVELS];
        for (row, values) in values.chunks_exact(columns).enumerate() {
            let (bottom, top) = (row as f64 / rows as f64, (row + 1) as f64 / rows as f64);
            let mut column = 0;
            for run in values.chunk_by(|a, b| level(a) == level(b)) {
                let (left, right) = (column, column + run.len());
                let [left, right] = [left, right].map(|column| column as f64 / columns as f64);
                tiles[level(&run[0])].extend([(left, bottom), (right, top)]);
                column += run.len();
            }
        }
        let color = |level: usize| Color::of_map(level as f64 / (LEVELS - 1) as f64);
        let series = tiles.into_iter().enumerate();
        let series = series.filter(|(_, tiles)| !tiles.is_empty());
        self.series.extend(
            series.map(|(level, tiles)| Series::new("", color(level), Mark::Tiles, vec![tiles])),
        );
        self
    }

    /// Adds a series in front of the others.
    #[must_use]
    pub fn with(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }
}

/// The number of colors of a map.
const LEVELS: usize = 33;

/// Where a panel lies, in CSS pixels from the upper left corner below the legend.
#[derive(Clone, Copy, Debug)]
pub struct Rectangle {
    /// From the left.
    pub left: u32,
    /// From the legend's lower edge.
    pub top: u32,
    /// Extent to the right.
    pub width: u32,
    /// Extent downwards.
    pub height: u32,
}

/// Panels below a legend.
#[derive(Clone, Debug, Default)]
pub struct Figure {
    /// Width in CSS pixels.
    pub width: u32,
    /// Height without the legend.
    pub height: u32,
    /// Beside the legend; its right edge in CSS pixels.
    pub note: Option<(String, u32)>,
    /// The panels with their places.
    pub panels: Vec<(Rectangle, Panel)>,
}

/// Height of the legend in CSS pixels.
pub(crate) const LEGEND_HEIGHT: u32 = 44;

impl Figure {
    /// Lays panels of `width` times `height` CSS pixels out in rows of `columns`.
    pub fn grid(columns: u32, width: u32, height: u32, panels: Vec<Panel>) -> Self {
        let columns = columns.max(1);
        let rows = (panels.len() as u32).div_ceil(columns);
        let place = |index: usize| {
            let (row, column) = (index as u32 / columns, index as u32 % columns);
            Rectangle { left: column * width, top: row * height, width, height }
        };
        let panels = panels.into_iter().enumerate().map(|(index, panel)| (place(index), panel));
        Figure {
            width: columns * width,
            height: rows * height,
            note: None,
            panels: panels.collect(),
        }
    }

    /// The first series of every name, in the order of the panels.
    pub(crate) fn legend(&self) -> Vec<&Series> {
        let mut entries: Vec<&Series> = Vec::new();
        for series in self.panels.iter().flat_map(|(_, panel)| &panel.series) {
            if !series.name.is_empty() && entries.iter().all(|entry| entry.name != series.name) {
                entries.push(series);
            }
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_is_filled_row_by_row_and_the_legend_shows_a_name_once() {
        let line = |name: &str| Series::line(name, Color::SKY, 1.0, vec![]);
        let panel = Panel::default().with(line("a")).with(line(""));
        let panels = vec![panel.clone(), panel.clone(), panel.with(line("b"))];
        let figure = Figure::grid(2, 300, 200, panels);
        assert_eq!((figure.width, figure.height), (600, 400));
        let place = figure.panels[2].0;
        assert_eq!((place.left, place.top), (0, 200));
        let names: Vec<&str> = figure.legend().iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn a_map_joins_neighbors_of_one_color() {
        let panel = Panel::default().with_map(&[0.0, 0.0, 1.0, 0.0, 1.0, 1.0], 3, 0.0..1.0);
        let [dark, light] = &panel.series[..] else { panic!("{} colors", panel.series.len()) };
        assert_eq!([dark.color, light.color], [Color(68, 1, 84), Color(253, 231, 37)]);
        let (third, two) = (1.0 / 3.0, 2.0 / 3.0);
        assert_eq!(dark.curves, [[(0.0, 0.0), (two, 0.5), (0.0, 0.5), (third, 1.0)]]);
        assert_eq!(light.curves, [[(two, 0.0), (1.0, 0.5), (third, 0.5), (1.0, 1.0)]]);
    }
}
