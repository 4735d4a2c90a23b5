//! Draws the picture of a discovery: data, fit and simulation against time, and the phase portrait.

use std::io::Write as _;
use std::ops::Range;
use std::path::Path;
use std::sync::Once;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

use mechanistic::discovery::{Dataset, Discovery};
use mechanistic::files::atomic;
use mechanistic::{Error, Result};

/// The colors are those of Okabe and Ito's palette, which are distinguishable with every kind of
/// color blindness.
const DATA: RGBColor = RGBColor(110, 110, 110);
const FIT: RGBColor = RGBColor(86, 180, 233);
const SIMULATED: RGBColor = RGBColor(213, 94, 0);
const INK: RGBColor = RGBColor(60, 60, 60);
const GRID: RGBColor = RGBColor(232, 232, 232);

/// The sizes are in the units of the finished picture (CSS pixels).
const WIDTH: u32 = 1200;
const LEGEND_HEIGHT: u32 = 44;
const PANEL_HEIGHT: u32 = 190;
const TIME_SHARE: f64 = 0.63;
/// The most states that are drawn against time.
const PANELS: usize = 16;

/// The number of points of a long trajectory, of which the panels against time show only the
/// beginning: no more oscillations than can be told apart.
const LONG: usize = 4000;
const FIRST_POINTS: usize = 2000;
/// The most marks and line vertices in one panel: more would not be seen, only stored.
const MARKS: usize = 700;
const VERTICES: usize = 10_000;
/// The number of marks up to which they are drawn large.
const FEW: usize = 100;

/// The way in which a backend draws lines.
#[derive(Clone, Copy)]
struct Pen {
    /// Pixels per unit of the finished picture.
    unit: u32,
    /// Largest number of vertices of a path.
    vertices: usize,
}

/// The pen of bitmaps, which are drawn large and averaged down. plotters fills a thick path like a
/// polygon, with holes where it overlaps itself, so that paths are short.
const BITMAP: Pen = Pen { unit: 4, vertices: 3 };
/// The pixels per unit that averaging leaves.
const KEPT: u32 = 2;
/// The pen of vector pictures: plotters rounds coordinates to integers, so that they are drawn
/// large and declared small.
const VECTOR: Pen = Pen { unit: 10, vertices: usize::MAX };

/// The format that the extension of the file name asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Svg,
    Png,
}

/// Draws `discovery` over the `dataset` it was found in. The extension of `path` (svg or png)
/// chooses the format; `time_name` labels the time axis.
///
/// # Errors
/// [`Error::Argument`] for another extension, [`Error::Io`] when the file cannot be written.
pub fn write(path: &Path, time_name: &str, dataset: &Dataset, discovery: &Discovery) -> Result<()> {
    let format = format(path)?;
    let picture = Picture { time_name, dataset, discovery };
    let drawn = match format {
        Format::Svg => svg(&picture).map(String::into_bytes),
        Format::Png => png(&picture),
    };
    let bytes = drawn.map_err(|message| Error::Format { path: path.to_owned(), message })?;
    atomic::write(path, |file| file.write_all(&bytes))
}

/// Checks that [`write()`] could write to `path`, so that a long computation fails before it
/// begins.
///
/// # Errors
/// [`Error::Argument`] for an extension other than svg and png, [`Error::Io`] for a missing folder.
pub fn check(path: &Path) -> Result<()> {
    format(path)?;
    atomic::check(path)
}

fn format(path: &Path) -> Result<Format> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("svg") => Ok(Format::Svg),
        Some("png") => Ok(Format::Png),
        _ => {
            let message = format!("expected a file name in .svg or .png, got {}", path.display());
            Err(Error::argument("plot", message))
        }
    }
}

type Drawn<T> = std::result::Result<T, String>;

fn svg(picture: &Picture) -> Drawn<String> {
    let mut out = String::new();
    let (width, height) = (WIDTH, picture.height());
    let size = (width * VECTOR.unit, height * VECTOR.unit);
    picture.draw(&SVGBackend::with_string(&mut out, size).into_drawing_area(), VECTOR)?;
    let declared = |w, h| format!("<svg width=\"{w}\" height=\"{h}\"");
    Ok(out.replacen(&declared(size.0, size.1), &declared(width, height), 1))
}

fn png(picture: &Picture) -> Drawn<Vec<u8>> {
    let (width, height) = (WIDTH * BITMAP.unit, picture.height() * BITMAP.unit);
    let mut pixels = vec![0; (width * height * 3) as usize];
    let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
    picture.draw(&area, BITMAP)?;
    drop(area);
    let factor = (BITMAP.unit / KEPT) as usize;
    let small = averaged(&pixels, width as usize, factor);
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, WIDTH * KEPT, picture.height() * KEPT);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&small));
    written.map_err(|error| error.to_string())?;
    Ok(out)
}

/// Averages every `factor` × `factor` square of the RGB rows of `width` pixels, which makes lines
/// smooth.
fn averaged(pixels: &[u8], width: usize, factor: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(pixels.len() / (factor * factor));
    for rows in pixels.chunks_exact(width * 3 * factor) {
        for x in (0..width).step_by(factor) {
            for channel in 0..3 {
                let square = (0..factor * factor).map(|i| {
                    let (row, column) = (i / factor, x + i % factor);
                    usize::from(rows[(row * width + column) * 3 + channel])
                });
                out.push((square.sum::<usize>() / (factor * factor)) as u8);
            }
        }
    }
    out
}

/// The data and the discovery that are drawn.
struct Picture<'a> {
    time_name: &'a str,
    dataset: &'a Dataset,
    discovery: &'a Discovery,
}

/// The points of one curve, or of one cloud of marks.
type Points = Vec<(f64, f64)>;

/// The points of one panel by what they are: data, fit, simulation.
#[derive(Default)]
struct Layers {
    data: Vec<Points>,
    fit: Vec<Points>,
    simulated: Vec<Points>,
}

impl Picture<'_> {
    fn height(&self) -> u32 {
        LEGEND_HEIGHT + PANEL_HEIGHT * (self.panels() as u32).max(2)
    }

    /// Returns the number of panels against time.
    fn panels(&self) -> usize {
        self.dataset.states.len().min(PANELS)
    }

    /// Draws the whole picture.
    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, pen: Pen) -> Drawn<()> {
        let unit = pen.unit;
        static FONT: Once = Once::new();
        FONT.call_once(|| {
            let bytes = include_bytes!("font/DejaVuSans-subset.ttf");
            let registered = register_font("sans-serif", FontStyle::Normal, bytes);
            assert!(registered.is_ok(), "the font is part of the program");
        });
        let text = |error: DrawingAreaErrorKind<B::ErrorType>| error.to_string();
        root.fill(&WHITE).map_err(text)?;
        let (legend, panels) = root.split_vertically(LEGEND_HEIGHT * unit);
        self.legend(&legend, unit).map_err(text)?;
        let split = (f64::from(WIDTH * unit) * TIME_SHARE) as u32;
        let (left, right) = panels.split_horizontally(split);
        let count = self.panels();
        for (state, area) in left.split_evenly((count, 1)).iter().enumerate() {
            let layers = self.against_time(state);
            let time_name = if state + 1 == count { self.time_name } else { "" };
            panel(area, pen, time_name, &self.dataset.states[state], &layers, true)
                .map_err(text)?;
        }
        let (x, y) = self.portrait_names();
        let mut above = self.portrait();
        let below = Layers {
            data: above.data.clone(),
            simulated: std::mem::take(&mut above.simulated),
            ..Layers::default()
        };
        for (area, layers) in right.split_evenly((2, 1)).iter().zip([above, below]) {
            panel(area, pen, &x, &y, &layers, false).map_err(text)?;
        }
        root.present().map_err(text)
    }

    fn legend<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        unit: u32,
    ) -> std::result::Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let at = |x: u32, y: u32| ((x * unit) as i32, (y * unit) as i32);
        let style = font(15, unit).pos(Pos::new(HPos::Left, VPos::Center));
        let middle = LEGEND_HEIGHT / 2;
        for dot in [0, 12, 24] {
            area.draw(&Circle::new(at(64 + dot, middle), unit * 5 / 2, DATA.filled()))?;
        }
        area.draw(&Text::new("data", at(98, middle), style.clone()))?;
        let lines = [
            (170, "fit", FIT.stroke_width(unit * 7 / 2)),
            (250, "simulated", SIMULATED.stroke_width(unit * 5 / 4)),
        ];
        for (x, name, stroke) in lines {
            area.draw(&PathElement::new([at(x, middle), at(x + 30, middle)], stroke))?;
            area.draw(&Text::new(name, at(x + 38, middle), style.clone()))?;
        }
        let longest = self.dataset.trajectories.iter().map(|t| t.time.len()).max().unwrap_or(0);
        let states = self.dataset.states.len();
        let points = format!("{FIRST_POINTS} points of {longest}");
        let parts = [
            (states > PANELS).then(|| format!("{PANELS} states of {states}")),
            (longest > LONG).then_some(points),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if !parts.is_empty() {
            let note = format!("against time: the first {}", parts.join(", "));
            let right = (f64::from(WIDTH) * TIME_SHARE) as u32 - 16;
            let style = font(13, unit).pos(Pos::new(HPos::Right, VPos::Center));
            area.draw(&Text::new(note, at(right, middle), style))?;
        }
        Ok(())
    }

    /// Returns the points of one state against time.
    fn against_time(&self, state: usize) -> Layers {
        let k = self.dataset.states.len();
        let column = |time: &[f64], values: &[f64], end: f64| -> Points {
            let values = values.iter().skip(state).step_by(k);
            time.iter().copied().zip(values.copied()).take_while(|(t, _)| *t <= end).collect()
        };
        let mut layers = Layers::default();
        for (index, trajectory) in self.dataset.trajectories.iter().enumerate() {
            let end = end_of_panel(&trajectory.time);
            layers.data.push(column(&trajectory.time, &trajectory.values, end));
            if let Some(fit) = self.discovery.fits.get(index) {
                layers.fit.push(column(&fit.time, &fit.smoothed, end));
                layers.simulated.push(column(&fit.time, &fit.simulated, end));
            }
        }
        layers
    }

    /// Returns the names of the axes of the phase portrait: the first state and the last, or the
    /// only state and its slope.
    fn portrait_names(&self) -> (String, String) {
        match self.dataset.states.as_slice() {
            [first, .., last] => (first.clone(), last.clone()),
            [only] => (only.clone(), format!("{only}'")),
            [] => (String::new(), String::new()),
        }
    }

    fn portrait(&self) -> Layers {
        let k = self.dataset.states.len();
        let plane = |values: &[f64]| -> Points {
            values.chunks_exact(k).map(|row| (row[0], row[k - 1])).collect()
        };
        let curve = |time: &[f64], values: &[f64]| match k {
            1 => with_slope(time, values),
            _ => plane(values),
        };
        let fits = &self.discovery.fits;
        let measured = self.dataset.trajectories.iter().filter(|_| k > 1);
        Layers {
            data: measured.map(|trajectory| plane(&trajectory.values)).collect(),
            fit: fits.iter().map(|fit| curve(&fit.time, &fit.smoothed)).collect(),
            simulated: fits.iter().map(|fit| curve(&fit.time, &fit.simulated)).collect(),
        }
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

fn panel<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    pen: Pen,
    x_name: &str,
    y_name: &str,
    layers: &Layers,
    against_time: bool,
) -> std::result::Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let unit = pen.unit;
    // A simulation that runs away must not squeeze all else: it determines the frame only where it
    // is drawn alone.
    let framing = || {
        let measured = layers.data.iter().chain(&layers.fit).flatten();
        let alone = layers.data.is_empty() && layers.fit.is_empty();
        measured.chain(layers.simulated.iter().filter(move |_| alone).flatten())
    };
    let x_margin = if against_time { 0.0 } else { 0.06 };
    let x_range = range(framing().map(|point| point.0), x_margin);
    let y_range = range(framing().map(|point| point.1), 0.08);
    let bottom = if x_name.is_empty() { 24 } else { 44 };
    let mut chart = ChartBuilder::on(area)
        .margin_top(6 * unit)
        .margin_left(8 * unit)
        .margin_right(16 * unit)
        .x_label_area_size(bottom * unit)
        .y_label_area_size(64 * unit)
        .build_cartesian_2d(x_range.clone(), y_range.clone())?;
    chart
        .configure_mesh()
        .x_labels(if against_time { 10 } else { 6 })
        .y_labels(5)
        .max_light_lines(0)
        .bold_line_style(GRID.stroke_width(unit))
        .axis_style(INK.stroke_width(unit))
        .set_all_tick_mark_size(4 * unit)
        .label_style(font(13, unit))
        .axis_desc_style(font(15, unit))
        .x_label_formatter(&|value| tick(*value))
        .y_label_formatter(&|value| tick(*value))
        .x_desc(x_name)
        .y_desc(y_name)
        .draw()?;

    let inside = |&(x, y): &(f64, f64)| {
        (x_range.start..=x_range.end).contains(&x) && (y_range.start..=y_range.end).contains(&y)
    };
    let marks = thinned(&layers.data, MARKS).flatten().copied().filter(|point| inside(point));
    let few = layers.data.iter().map(Vec::len).sum::<usize>() <= FEW;
    let radius = if few { unit * 3 } else { unit * 3 / 2 };
    chart.draw_series(marks.map(|point| Circle::new(point, radius, DATA.mix(0.55).filled())))?;
    // A simulation on top of its fit must leave the fit visible; a long trajectory fills its
    // portrait, so its lines are thin.
    let long = layers.fit.iter().chain(&layers.simulated).any(|curve| curve.len() > LONG);
    let strokes = match (against_time, long) {
        (true, _) => [unit * 7 / 2, unit * 5 / 4],
        (false, false) => [unit * 3 / 2; 2],
        (false, true) => [unit * 3 / 4; 2],
    };
    let curves = [
        (&layers.fit, FIT.stroke_width(strokes[0])),
        (&layers.simulated, SIMULATED.stroke_width(strokes[1])),
    ];
    for (points, style) in curves {
        for curve in thinned(points, VERTICES) {
            let visible: Vec<&(f64, f64)> = curve.collect();
            for run in visible.split(|point| !inside(point)) {
                chart.draw_series(pieces(run, pen.vertices).map(|p| PathElement::new(p, style)))?;
            }
        }
    }
    Ok(())
}

/// Cuts a line into paths of at most `vertices` vertices, each beginning where the last one ended.
fn pieces(line: &[&(f64, f64)], vertices: usize) -> impl Iterator<Item = Points> {
    let starts = (0..line.len().saturating_sub(1)).step_by(vertices - 1);
    starts.map(move |start| {
        let end = start.saturating_add(vertices).min(line.len());
        line[start..end].iter().map(|point| **point).collect()
    })
}

/// Returns every n-th point of each curve, so that about `limit` points remain of all together.
fn thinned(
    curves: &[Points],
    limit: usize,
) -> impl Iterator<Item = impl Iterator<Item = &(f64, f64)>> {
    let stride = curves.iter().map(Vec::len).sum::<usize>().div_ceil(limit).max(1);
    curves.iter().map(move |curve| curve.iter().step_by(stride))
}

/// Returns the range of the values with a margin, a fraction of their range; it is never empty.
/// Values too large for the arithmetic of a picture count as infinite.
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

/// Formats a number with six significant digits, without the trailing zeros and with a true minus
/// sign.
fn tick(value: f64) -> String {
    let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(value);
    let magnitude = rounded.abs();
    let text = if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) {
        format!("{rounded:e}")
    } else {
        format!("{rounded}")
    };
    text.replace('-', "−")
}

fn font(size: u32, unit: u32) -> TextStyle<'static> {
    ("sans-serif", size * unit).into_font().color(&INK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mechanistic::discovery::{Fit, Trajectory};

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
            trajectories: vec![Trajectory { time: time.clone(), values: measured }],
        };
        let fits = vec![Fit { time, smoothed: values, simulated }];
        (dataset.clone(), Discovery { states: dataset.states, fits, ..Discovery::default() })
    }

    #[test]
    fn svg_and_png_hold_a_picture() {
        let (dataset, discovery) = example();
        let folder = tempfile::tempdir().unwrap();
        let (svg, png) = (folder.path().join("a.svg"), folder.path().join("a.PNG"));
        write(&svg, "time", &dataset, &discovery).unwrap();
        let text = std::fs::read_to_string(&svg).unwrap();
        assert!(text.starts_with("<svg width=\"1200\" height=\"424\" viewBox=\"0 0 12000 4240\""));
        assert!(text.contains("angle &lt;1&gt;") && text.contains("simulated"), "labels");
        assert!(text.contains("#D55E00") && text.contains("#56B4E9"), "both curves");

        write(&png, "time", &dataset, &discovery).unwrap();
        let file = std::io::BufReader::new(std::fs::File::open(&png).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (2400, 848));
        let orange = pixels.chunks_exact(3).filter(|p| *p == [213, 94, 0]).count();
        assert!(orange > 1000, "{orange} pixels of the simulation");
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
        let picture = Picture { time_name: "t", dataset: &dataset, discovery: &discovery };
        assert!(svg(&picture).unwrap().contains("angle &lt;1&gt;&apos;"));
    }

    #[test]
    fn of_many_states_the_first_are_drawn() {
        let states: Vec<String> = (0..1000).map(|k| format!("s{k}")).collect();
        let trajectory = Trajectory { time: vec![0.0, 1.0], values: vec![0.5; 2000] };
        let dataset = Dataset { states, trajectories: vec![trajectory] };
        let discovery = Discovery::default();
        let picture = Picture { time_name: "t", dataset: &dataset, discovery: &discovery };
        assert_eq!(picture.height(), 44 + 16 * 190);
        let svg = svg(&picture).unwrap();
        assert!(svg.contains("the first 16 states of 1000"), "a note");
        assert!(svg.contains("\ns15\n") && !svg.contains("\ns16\n"), "names of states");
    }

    #[test]
    fn only_svg_and_png_are_accepted() {
        for name in ["a.pdf", "a", ".svg/", "a.svg.gz"] {
            assert!(check(Path::new(name)).is_err(), "{name}");
        }
    }

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
        let shown = [0.1 + 0.2, -2000.0, 0.0, 2.5e-7, 3e6].map(tick);
        assert_eq!(shown, ["0.3", "−2000", "0", "2.5e−7", "3e6"]);
    }
}
