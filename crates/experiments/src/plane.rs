//! Vector fields in the plane: as arrows, and how far two of them are apart.

use std::ops::Range;

use figures::Points;

/// Points at which vector fields are drawn and compared.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Range of the first state.
    pub x: Range<f64>,
    /// Range of the second state.
    pub y: Range<f64>,
    /// Points along each axis.
    pub count: usize,
}

impl Grid {
    /// Returns the points (count², 2), not those on the border.
    #[must_use]
    pub fn points(&self) -> Vec<[f64; 2]> {
        let along = |range: &Range<f64>, i: usize| {
            range.start + (range.end - range.start) * (i as f64 + 0.5) / self.count as f64
        };
        let all = (0..self.count * self.count).map(|i| (i % self.count, i / self.count));
        all.map(|(i, j)| [along(&self.x, i), along(&self.y, j)]).collect()
    }
}

/// Returns one arrow a point of the grid: the direction of the field, equally long everywhere.
pub fn arrows(grid: &Grid, field: impl Fn(&[f64], &mut [f64])) -> Vec<Points> {
    let count = grid.count as f64;
    let (dx, dy) = ((grid.x.end - grid.x.start) / count, (grid.y.end - grid.y.start) / count);
    let arrow = |point: [f64; 2]| {
        let mut slope = [0.0; 2];
        field(&point, &mut slope);
        let (u, v) = (slope[0] / dx, slope[1] / dy);
        let scale = 0.38 / u.hypot(v).max(f64::MIN_POSITIVE);
        let (sx, sy) = (scale * u * dx, scale * v * dy);
        vec![(point[0] - sx, point[1] - sy), (point[0] + sx, point[1] + sy)]
    };
    grid.points().into_iter().map(arrow).collect()
}

/// Returns the root mean square of the difference between two fields over these points, relative to
/// that of the second.
pub fn relative_error(
    points: &[[f64; 2]],
    field: impl Fn(&[f64], &mut [f64]),
    truth: impl Fn(&[f64], &mut [f64]),
) -> f64 {
    let (mut error, mut size) = (0.0, 0.0);
    for point in points {
        let (mut a, mut b) = ([0.0; 2], [0.0; 2]);
        field(point, &mut a);
        truth(point, &mut b);
        error += (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
        size += b[0].powi(2) + b[1].powi(2);
    }
    (error / size).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_compared_point_by_point() {
        let grid = Grid { x: -1.0..1.0, y: 0.0..4.0, count: 2 };
        assert_eq!(grid.points(), [[-0.5, 1.0], [0.5, 1.0], [-0.5, 3.0], [0.5, 3.0]]);
        let turn = |u: &[f64], out: &mut [f64]| out.copy_from_slice(&[-u[1], u[0]]);
        let slow = |u: &[f64], out: &mut [f64]| out.copy_from_slice(&[-0.9 * u[1], 0.9 * u[0]]);
        let error = relative_error(&grid.points(), slow, turn);
        assert!((error - 0.1).abs() < 1e-12, "{error}");
        let up = arrows(&grid, |_, out| out.copy_from_slice(&[0.0, 3.0]));
        assert_eq!(up[0], [(-0.5, 1.0 - 0.76), (-0.5, 1.0 + 0.76)]);
    }
}
