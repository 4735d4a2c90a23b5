//! Draws one panel: axes, then its series from the back to the front.

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::draw::{INK, Outcome, Pen, font};
use crate::figure::{Mark, Panel, Points};
use crate::line::{Pixel, arrow_head, simplified};

const GRID: RGBColor = RGBColor(232, 232, 232);
/// Dots of one series: more would not be seen, only stored.
const DOTS: usize = 700;
/// So many dots are drawn large.
const FEW: usize = 100;
/// How opaque a dot is: where many overlap, the color is full.
const OPACITY: f64 = 0.55;
/// Lines are drawn so closely, in CSS pixels.
const TOLERANCE: f64 = 0.1;
/// Width of a letter in the names of axes, in CSS pixels: the average is 7.
const LETTER: u32 = 8;
/// Length of an arrow's head in CSS pixels.
const HEAD: f64 = 5.0;

/// Draws axes and series.
pub fn draw<B: DrawingBackend>(
    panel: &Panel,
    area: &DrawingArea<B, Shift>,
    pen: Pen,
) -> Outcome<B> {
    let unit = pen.unit;
    let framed = panel.series.iter().any(|s| s.framing && s.curves.iter().any(|c| !c.is_empty()));
    let framing = panel.series.iter().filter(|series| series.framing || !framed);
    let points: Vec<(f64, f64)> =
        framing.flat_map(|s| s.curves.iter().flatten().copied()).collect();
    let x_scale = panel.x.scale(points.iter().map(|point| point.0));
    let y_scale = panel.y.scale(points.iter().map(|point| point.1));
    // The names of the axes have the length of the panel.
    let ((width, height), letter) = (area.dim_in_pixel(), (LETTER * unit) as usize);
    let bottom = if panel.x.name.is_empty() { 24 } else { 44 };
    let mut builder = ChartBuilder::on(area);
    if !panel.title.is_empty() {
        builder.caption(&panel.title, font(15, unit));
    }
    let mut chart = builder
        .margin_top(6 * unit)
        .margin_left(8 * unit)
        .margin_right(16 * unit)
        .x_label_area_size(bottom * unit)
        .y_label_area_size(64 * unit)
        .build_cartesian_2d(x_scale.clone(), y_scale.clone())?;
    chart
        .configure_mesh()
        .max_light_lines(0)
        .bold_line_style(GRID.stroke_width(unit))
        .axis_style(INK.stroke_width(unit))
        .set_all_tick_mark_size(4 * unit)
        .label_style(font(13, unit))
        .axis_desc_style(font(15, unit))
        .x_desc(x_scale.title(&panel.x.name, width as usize / letter))
        .y_desc(y_scale.title(&panel.y.name, height as usize / letter))
        .draw()?;

    let (x_range, y_range) = (x_scale.range, y_scale.range);
    let plot = chart.plotting_area();
    let origin = plot.get_base_pixel();
    let pixel = |&(x, y): &(f64, f64)| -> Option<Pixel> {
        let (x, y) = (panel.x.position(x), panel.y.position(y));
        let inside = (x_range.start..=x_range.end).contains(&x)
            && (y_range.start..=y_range.end).contains(&y);
        let (x, y) = inside.then(|| plot.map_coordinate(&(x, y)))?;
        Some((x - origin.0, y - origin.1))
    };
    let canvas = plot.strip_coord_spec();
    for series in &panel.series {
        let color = color(series.color);
        match series.mark {
            Mark::Dots => {
                let count = series.curves.iter().map(Vec::len).sum::<usize>();
                let radius = pen.pixels(if count <= FEW { 3.0 } else { 1.5 });
                let stride = count.div_ceil(DOTS).max(1);
                let shown = series.curves.iter().flat_map(|curve| curve.iter().step_by(stride));
                for center in shown.filter_map(pixel) {
                    canvas.draw(&Circle::new(center, radius, color.mix(OPACITY).filled()))?;
                }
            }
            Mark::Line(width) => {
                let style = color.stroke_width(pen.pixels(width).max(1));
                for run in series.curves.iter().flat_map(|curve| runs(curve, pixel)) {
                    let line = simplified(&run, TOLERANCE * f64::from(unit));
                    stroke(&canvas, &line, style, pen)?;
                }
            }
            Mark::Tiles => {
                for pair in series.curves.iter().flat_map(|curve| curve.as_chunks::<2>().0) {
                    if let (Some(first), Some(second)) = (pixel(&pair[0]), pixel(&pair[1])) {
                        canvas.draw(&Rectangle::new([first, second], color.filled()))?;
                    }
                }
            }
            Mark::Arrows(width) => {
                let style = color.stroke_width(pen.pixels(width).max(1));
                for pair in series.curves.iter().flat_map(|curve| curve.as_chunks::<2>().0) {
                    let (Some(tail), Some(head)) = (pixel(&pair[0]), pixel(&pair[1])) else {
                        continue;
                    };
                    let [left, right] = arrow_head(tail, head, HEAD * f64::from(unit));
                    stroke(&canvas, &[tail, head, left, head, right], style, pen)?;
                }
            }
        }
    }
    Ok(())
}

/// The parts of a curve that can be seen.
fn runs(curve: &Points, pixel: impl Fn(&(f64, f64)) -> Option<Pixel>) -> Vec<Vec<Pixel>> {
    let pixels: Vec<Option<Pixel>> = curve.iter().map(pixel).collect();
    let runs = pixels.split(Option::is_none);
    runs.map(|run| run.iter().flatten().copied().collect()).collect()
}

/// A line as paths of as many vertices as the pen has, each beginning where the last one ended.
fn stroke<B: DrawingBackend>(
    canvas: &DrawingArea<B, Shift>,
    line: &[Pixel],
    style: ShapeStyle,
    pen: Pen,
) -> Outcome<B> {
    for start in (0..line.len().saturating_sub(1)).step_by(pen.vertices - 1) {
        let end = start.saturating_add(pen.vertices).min(line.len());
        canvas.draw(&PathElement::new(&line[start..end], style))?;
    }
    Ok(())
}

/// The color as plotters has it.
pub fn color(color: crate::Color) -> RGBColor {
    RGBColor(color.0, color.1, color.2)
}
