//! Figures in files: SVG and PNG.

use std::io::Write as _;
use std::path::Path;

use mechanistic::files::atomic;
use mechanistic::{Error, Result};
use plotters::prelude::*;

use crate::Figure;
use crate::draw::{Drawn, Pen, draw};
use crate::figure::LEGEND_HEIGHT;

/// Bitmaps are drawn large and averaged down. plotters fills a thick path like a polygon, with holes
/// where it overlaps itself, so paths are short.
const BITMAP: Pen = Pen { unit: 4, vertices: 3 };
/// Pixels a unit that averaging leaves.
const KEPT: u32 = 2;
/// plotters rounds coordinates to integers, so vector pictures are drawn large and declared small.
const VECTOR: Pen = Pen { unit: 10, vertices: usize::MAX };

/// What the file name asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Svg,
    Png,
}

impl Figure {
    /// Draws the figure into a file whose extension (svg or png) chooses the format.
    ///
    /// # Errors
    /// [`Error::Argument`] for another extension, [`Error::Io`] when the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let drawn = match format(path)? {
            Format::Svg => self.svg().map(String::into_bytes),
            Format::Png => self.png(),
        };
        let bytes = drawn.map_err(|message| Error::Format { path: path.to_owned(), message })?;
        atomic::write(path, |file| file.write_all(&bytes))
    }

    fn svg(&self) -> Drawn<String> {
        let mut out = String::new();
        let (width, height) = (self.width, self.height + LEGEND_HEIGHT);
        let size = (width * VECTOR.unit, height * VECTOR.unit);
        draw(self, &SVGBackend::with_string(&mut out, size).into_drawing_area(), VECTOR)?;
        let declared = |w, h| format!("<svg width=\"{w}\" height=\"{h}\"");
        Ok(out.replacen(&declared(size.0, size.1), &declared(width, height), 1))
    }

    fn png(&self) -> Drawn<Vec<u8>> {
        let (width, height) = (self.width, self.height + LEGEND_HEIGHT);
        let size = (width * BITMAP.unit, height * BITMAP.unit);
        let mut pixels = vec![0; (size.0 * size.1 * 3) as usize];
        let area = BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area();
        draw(self, &area, BITMAP)?;
        drop(area);
        let factor = (BITMAP.unit / KEPT) as usize;
        let small = averaged(&pixels, size.0 as usize, factor);
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, width * KEPT, height * KEPT);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::High);
        let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&small));
        written.map_err(|error| error.to_string())?;
        Ok(out)
    }
}

/// Fails now if [`Figure::write`] could not write to `path` later.
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
        _ => Err(Error::Argument {
            argument: "plot".into(),
            message: format!("expected a file name in .svg or .png, got {}", path.display()),
        }),
    }
}

/// RGB rows of `width` pixels, every `factor` × `factor` square averaged: smooth lines.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Axis, Color, Mark, Panel, Series};

    fn example() -> Figure {
        let wave = (0..400).map(|i| (0.05 * f64::from(i), (0.05 * f64::from(i)).cos())).collect();
        let arrows = vec![vec![(1.0, 0.0), (3.0, 0.5)]];
        let panel = Panel::new("a wave", Axis::new("angle <1>"), Axis::new("speed"))
            .with(Series::dots("samples", Color::GRAY, vec![(2.0, 0.5), (f64::NAN, 1.0)]))
            .with(Series::line("wave", Color::VERMILION, 2.0, wave))
            .with(Series::new("field", Color::BLUE, Mark::Arrows(1.0), arrows));
        Figure::grid(1, 600, 240, vec![panel])
    }

    #[test]
    fn svg_and_png_hold_the_picture() {
        let folder = tempfile::tempdir().unwrap();
        let (svg, png) = (folder.path().join("a.svg"), folder.path().join("a.PNG"));
        example().write(&svg).unwrap();
        let text = std::fs::read_to_string(&svg).unwrap();
        assert!(text.starts_with("<svg width=\"600\" height=\"284\" viewBox=\"0 0 6000 2840\""));
        for part in ["angle &lt;1&gt;", "samples", "a wave", "#D55E00", "#0072B2"] {
            assert!(text.contains(part), "{part}");
        }
        example().write(&png).unwrap();
        let file = std::io::BufReader::new(std::fs::File::open(&png).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (1200, 568));
        let of_the_line = pixels.chunks_exact(3).filter(|p| *p == [213, 94, 0]).count();
        assert!(of_the_line > 1000, "{of_the_line} pixels of the line");
    }

    #[test]
    fn only_svg_and_png_are_accepted() {
        for name in ["a.pdf", "a", ".svg/", "a.svg.gz"] {
            assert!(check(Path::new(name)).is_err(), "{name}");
        }
    }
}
