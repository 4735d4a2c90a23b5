//! Several axes of the batch, which are those of one batch of B systems.

use smallvec::SmallVec;

use super::places::Axis;
use crate::error::{Error, Result};
use crate::inputs::Inputs;

/// How many axes of one system the inputs have at least, and what they are. Steps may have one more.
const OWN: Inputs<(usize, &str)> = Inputs {
    coefficients: (4, "(..., N or 1, E, K, Qc)"),
    rhs: (2, "(..., N or 1, E)"),
    initial_values: (3, "(..., I, K, J)"),
    steps: (1, "(..., N-1 or 1) or (..., N-1 or 1, K or 1)"),
};

/// The sum of an array (sets, groups, values) over its groups.
#[cfg(feature = "cuda")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    pub sets: usize,
    pub groups: usize,
    pub values: usize,
}

/// The axes of a batch of which some input shares some and not others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartlyShared {
    /// Lengths of the axes, outermost first. Neighbors that every input has, or shares, together are one axis.
    extents: Vec<usize>,
    /// Whether each input has values of its own along each axis.
    own: Inputs<Vec<bool>>,
}

/// Returns the lengths of the leading axes of inputs with these shapes, as many as the coefficients have: the
/// longest along each, or the only one is `batch`. Their product is `batch`, if it is given.
///
/// # Errors
/// [`Error::Argument`] if it is not, or too large for any memory.
pub(crate) fn leading_axes(
    batch: Option<usize>,
    shapes: Inputs<&[usize]>,
) -> Result<SmallVec<[usize; 4]>> {
    let count = shapes.coefficients.len().saturating_sub(OWN.coefficients.0).max(1);
    let longest = |axis: usize| shapes.into_iter().filter_map(|shape| shape.get(axis)).max();
    let axes: SmallVec<[usize; 4]> = match batch {
        Some(batch) if count == 1 => [batch].into_iter().collect(),
        _ => (0..count).map(|axis| longest(axis).copied().unwrap_or(1)).collect(),
    };
    let product = product(&axes);
    if product.is_some() && (batch.is_none() || batch == product) {
        return Ok(axes);
    }
    let message = match batch {
        Some(batch) => format!("the leading axes {:?} do not have {batch} systems", &axes[..]),
        None => format!("the leading axes {:?} have more systems than can be counted", &axes[..]),
    };
    Err(Error::argument("batch", message))
}

/// The extents of the inputs, with one axis for the batch.
type Extents = Inputs<SmallVec<[usize; 5]>>;

/// Makes one axis of the leading axes of each input, whose lengths are `axes` or 1. Returns the shapes with the
/// number of systems that have values of their own in front, and which axes are partly shared, if there are
/// such.
///
/// # Errors
/// [`Error::Shape`] names an input whose leading axes do not fit.
pub(crate) fn flatten(
    axes: &[usize],
    shapes: Inputs<&[usize]>,
) -> Result<(Extents, Option<Box<PartlyShared>>)> {
    let flat = Inputs::NAMES.zip(shapes.zip(OWN)).try_map(|(name, (shape, (own, form)))| {
        let leading = shape.get(..axes.len()).filter(|_| shape.len() >= axes.len() + own);
        let fit = |leading: &&[usize]| {
            leading.iter().zip(axes).all(|(&extent, &full)| extent == 1 || extent == full)
        };
        let Some(leading) = leading.filter(fit) else {
            let full: Vec<_> = axes.iter().map(|axis| format!("{axis} or 1")).collect();
            let expected = format!("{form}, the leading axes being ({})", full.join(", "));
            return Err(Error::Shape { argument: name.into(), expected, actual: shape.to_vec() });
        };
        let systems = leading.iter().product();
        Ok([systems].iter().chain(&shape[axes.len()..]).copied().collect())
    })?;
    let own = |axis: usize| shapes.map(|shape| shape[axis] != 1);
    let mut partly = PartlyShared { extents: Vec::new(), own: Inputs::default() };
    for (axis, &extent) in axes.iter().enumerate().filter(|(_, extent)| **extent != 1) {
        let of_last = partly.own.as_ref().map(|own| own.last().copied());
        match partly.extents.last_mut() {
            Some(last) if of_last == own(axis).map(Some) => *last *= extent,
            _ => {
                partly.extents.push(extent);
                partly.own.as_mut().zip(own(axis)).map(|(all, own)| all.push(own));
            }
        }
    }
    let is_partly = |own: &Vec<bool>| own.contains(&true) && own.contains(&false);
    let any = partly.own.as_ref().into_iter().any(is_partly);
    Ok((flat, any.then(|| Box::new(partly))))
}

impl PartlyShared {
    /// Returns of how many systems each input has values.
    pub fn systems(&self) -> Inputs<usize> {
        self.own.as_ref().map(|own| {
            let extents = self.extents.iter().zip(own);
            extents.map(|(&extent, &own)| if own { extent } else { 1 }).product()
        })
    }

    /// Returns which inputs have values of their own along some axes and share others.
    pub fn inputs(&self) -> Inputs<bool> {
        self.own.as_ref().map(|own| own.contains(&true) && own.contains(&false))
    }

    /// Returns, for each input of so many values a system, the sums that make what it has of an array with
    /// values for every system, one after the other.
    #[cfg(feature = "cuda")]
    pub fn sums(&self, values: Inputs<usize>) -> Inputs<Vec<Sum>> {
        self.own.as_ref().zip(values).map(|(own, mut values)| {
            let mut sums = Vec::new();
            let mut sets: usize = self.extents.iter().product();
            for (&extent, &own) in self.extents.iter().zip(own).rev() {
                sets /= extent;
                match own {
                    true => values *= extent,
                    false => sums.push(Sum { sets, groups: extent, values }),
                }
            }
            sums
        })
    }

    /// Returns the axes of the batch in a dense array of each input, whose systems have so many values.
    pub fn axes(&self, values: Inputs<usize>) -> Inputs<Vec<Axis>> {
        self.own.as_ref().zip(values).map(|(own, values)| {
            let mut next = values;
            let mut axes: Vec<_> = (self.extents.iter().zip(own).rev())
                .map(|(&extent, &own)| {
                    let stride = if own { next } else { 0 };
                    next *= if own { extent } else { 1 };
                    Axis { extent, stride }
                })
                .collect();
            axes.reverse();
            axes
        })
    }
}

fn product(axes: &[usize]) -> Option<usize> {
    axes.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis))
}
