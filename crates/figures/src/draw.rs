//! Draws a figure's legend and hands its panels their places.

use std::sync::Once;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

use crate::figure::{Figure, LEGEND_HEIGHT, Mark};
use crate::panel;

/// How a backend wants its lines.
#[derive(Clone, Copy)]
pub struct Pen {
    /// Pixels a unit of the finished picture.
    pub unit: u32,
    /// Vertices a path may have.
    pub vertices: usize,
}

impl Pen {
    /// A length of the finished picture in pixels.
    pub fn pixels(self, length: f64) -> u32 {
        (length * f64::from(self.unit)).round() as u32
    }
}

/// What came of drawing, or what the backend said.
pub type Drawn<T> = Result<T, String>;

/// The same, with the backend's error.
pub type Outcome<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

pub const INK: RGBColor = RGBColor(60, 60, 60);
/// Where the legend's entries begin, and the room between a sample and its name, or two entries.
const LEGEND_LEFT: u32 = 64;
const SAMPLE: u32 = 30;
const GAP: u32 = 8;

/// Draws everything.
pub fn draw<B: DrawingBackend>(
    figure: &Figure,
    root: &DrawingArea<B, Shift>,
    pen: Pen,
) -> Drawn<()> {
    static FONT: Once = Once::new();
    FONT.call_once(|| {
        let bytes = include_bytes!("font/DejaVuSans-subset.ttf");
        let registered = register_font("sans-serif", FontStyle::Normal, bytes);
        assert!(registered.is_ok(), "the font is part of the program");
    });
    let text = |error: DrawingAreaErrorKind<B::ErrorType>| error.to_string();
    root.fill(&WHITE).map_err(text)?;
    let (above, below) = root.split_vertically(LEGEND_HEIGHT * pen.unit);
    legend(figure, &above, pen).map_err(text)?;
    for (place, panel) in &figure.panels {
        let pixels = |from: u32, length: u32| ((from * pen.unit) as i32, length * pen.unit);
        let ((left, width), (top, height)) =
            (pixels(place.left, place.width), pixels(place.top, place.height));
        let area = below.clone().shrink((left, top), (width, height));
        panel::draw(panel, &area, pen).map_err(text)?;
    }
    root.present().map_err(text)
}

/// A sample and the name of every series, and the note.
fn legend<B: DrawingBackend>(
    figure: &Figure,
    area: &DrawingArea<B, Shift>,
    pen: Pen,
) -> Outcome<B> {
    let style = font(15, pen.unit).pos(Pos::new(HPos::Left, VPos::Center));
    let middle = (LEGEND_HEIGHT / 2 * pen.unit) as i32;
    let [sample, gap] = [SAMPLE, GAP].map(|length| (length * pen.unit) as i32);
    let mut x = (LEGEND_LEFT * pen.unit) as i32;
    for series in figure.legend() {
        let color = panel::color(series.color);
        match series.mark {
            Mark::Dots => {
                for part in [1, 3, 5] {
                    let center = (x + sample * part / 6, middle);
                    area.draw(&Circle::new(center, pen.pixels(2.5), color.filled()))?;
                }
            }
            Mark::Tiles => {
                let (top, bottom) = (middle - sample / 6, middle + sample / 6);
                let corners = [(x, top), (x + sample, bottom)];
                area.draw(&Rectangle::new(corners, color.filled()))?;
            }
            Mark::Line(width) | Mark::Arrows(width) => {
                let stroke = color.stroke_width(pen.pixels(width).max(1));
                area.draw(&PathElement::new([(x, middle), (x + sample, middle)], stroke))?;
            }
        }
        x += sample + gap;
        area.draw(&Text::new(series.name.as_str(), (x, middle), style.clone()))?;
        x += area.estimate_text_size(&series.name, &style)?.0 as i32 + 3 * gap;
    }
    if let Some((note, right)) = &figure.note {
        let style = font(13, pen.unit).pos(Pos::new(HPos::Right, VPos::Center));
        area.draw(&Text::new(note.as_str(), ((right * pen.unit) as i32, middle), style))?;
    }
    Ok(())
}

/// Text of this size in CSS pixels.
pub fn font(size: u32, unit: u32) -> TextStyle<'static> {
    ("sans-serif", size * unit).into_font().color(&INK)
}
