//! The sizes and strides of a batched matrix product.

use super::function::Side;
use super::layout::{Axes, broadcast_strides, contiguous, size};

/// A batched matrix product c = a·b of a (…, m, k) and b (…, k, n), whose leading axes are
/// broadcast.
#[derive(Clone, Debug)]
pub struct Product {
    /// Sizes m, k and n.
    pub sizes: [usize; 3],
    /// Leading axes of c.
    pub batch: Axes,
    /// Strides, in elements, of a, b and c over the leading axes; 0 where an operand repeats.
    pub strides: [Axes; 3],
}

impl Product {
    /// Plans the product of arrays of shapes `a` and `b`. The shapes must have rank ≥ 2, equal k,
    /// and leading axes that broadcast to `batch`.
    pub fn new(a: &[usize], b: &[usize], batch: &[usize]) -> Self {
        let (lead_a, lead_b) = (&a[..a.len() - 2], &b[..b.len() - 2]);
        let (m, k, n) = (a[a.len() - 2], a[a.len() - 1], b[b.len() - 1]);
        if lead_b.is_empty() {
            // If one matrix b serves all, the leading axes of a are just more rows.
            let rows = size(lead_a) * m;
            return Product {
                sizes: [rows, k, n],
                batch: Axes::new(),
                strides: Default::default(),
            };
        }
        let scaled = |lead: &[usize], by: usize| -> Axes {
            broadcast_strides(lead, batch).iter().map(|stride| stride * by).collect()
        };
        Product {
            sizes: [m, k, n],
            batch: Axes::from_slice(batch),
            strides: [
                scaled(lead_a, m * k),
                scaled(lead_b, k * n),
                contiguous(batch).iter().map(|stride| stride * m * n).collect(),
            ],
        }
    }

    /// Returns whether the gradient of an operand has each element once, as a sum of one term or more: there are no
    /// axes along which the operand is repeated, and no products of nothing.
    pub fn has_each_once(&self, side: Side) -> bool {
        let strides = match side {
            Side::A => &self.strides[0],
            Side::B => &self.strides[1],
        };
        let repeated =
            self.batch.iter().zip(strides).any(|(size, stride)| *size != 1 && *stride == 0);
        !repeated && !self.sizes.contains(&0)
    }
}
