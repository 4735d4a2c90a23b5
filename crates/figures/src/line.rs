//! Lines in pixels: what is seen of them, with as few vertices as show it.

/// A vertex in pixels.
pub type Pixel = (i32, i32);

/// Drops the vertices that lie within `tolerance` pixels of the line without them (Douglas and
/// Peucker, 1973).
pub fn simplified(line: &[Pixel], tolerance: f64) -> Vec<Pixel> {
    let Some(last) = line.len().checked_sub(1) else { return Vec::new() };
    let mut kept = vec![false; line.len()];
    (kept[0], kept[last]) = (true, true);
    let mut open = vec![(0, last)];
    while let Some((from, to)) = open.pop() {
        let inner = (from + 1..to).map(|i| (i, distance(line[i], line[from], line[to])));
        let Some((farthest, worst)) = inner.max_by(|a, b| a.1.total_cmp(&b.1)) else { continue };
        if worst > tolerance {
            kept[farthest] = true;
            open.extend([(from, farthest), (farthest, to)]);
        }
    }
    line.iter().zip(kept).filter(|(_, kept)| *kept).map(|(pixel, _)| *pixel).collect()
}

/// The distance of a point from the segment between two others.
fn distance(point: Pixel, from: Pixel, to: Pixel) -> f64 {
    let difference = |a: Pixel, b: Pixel| (f64::from(a.0 - b.0), f64::from(a.1 - b.1));
    let (px, py) = difference(point, from);
    let (dx, dy) = difference(to, from);
    let length = dx * dx + dy * dy;
    let part = if length > 0.0 { ((px * dx + py * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    (px - part * dx).hypot(py - part * dy)
}

/// Where the two strokes of an arrow's head end, at 25 degrees to its shaft and at most `size` long.
pub fn arrow_head(tail: Pixel, head: Pixel, size: f64) -> [Pixel; 2] {
    let (dx, dy) = (f64::from(tail.0 - head.0), f64::from(tail.1 - head.1));
    let length = dx.hypot(dy).max(1.0);
    let scale = size.min(0.6 * length) / length;
    let (sine, cosine) = 25_f64.to_radians().sin_cos();
    let stroke = |sine: f64| {
        let x = f64::from(head.0) + scale * (cosine * dx - sine * dy);
        let y = f64::from(head.1) + scale * (sine * dx + cosine * dy);
        (x.round() as i32, y.round() as i32)
    };
    [stroke(sine), stroke(-sine)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_vertices_that_are_seen_remain() {
        let line = [(0, 0), (5, 0), (10, 1), (20, 0), (20, 9), (20, 30)];
        assert_eq!(simplified(&line, 1.5), [(0, 0), (20, 0), (20, 30)]);
        assert_eq!(simplified(&line, 0.4), [(0, 0), (5, 0), (10, 1), (20, 0), (20, 30)]);
        assert_eq!(simplified(&[(3, 3), (9, 9), (3, 3)], 1.0), [(3, 3), (9, 9), (3, 3)]);
        assert_eq!(simplified(&[], 1.0), []);
    }

    #[test]
    fn an_arrow_points_forward() {
        let [above, below] = arrow_head((0, 0), (100, 0), 10.0);
        assert!(above.0 == 91 && below.0 == 91 && above.1 == -below.1, "{above:?} {below:?}");
    }
}
