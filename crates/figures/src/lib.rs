//! Scientific figures as SVG and PNG: panels with lines, dots and arrows over two axes, and one
//! legend for all of them.
//!
//! A [`Figure`] describes what is drawn, in CSS pixels; [`Figure::write`] draws it.

mod axis;
mod draw;
mod figure;
mod file;
mod line;
mod panel;

pub use axis::Axis;
pub use figure::{Color, Figure, Mark, Panel, Points, Rectangle, Series};
pub use file::check;
