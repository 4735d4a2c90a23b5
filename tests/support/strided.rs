//! Batches of several axes, some of which some inputs share, in arrays that do not lie row-major.

use mechanistic::{Inputs, Options, Real, View};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::case::{Case, Owned, Sizes};

/// An array whose axes lie in another order, with gaps, which hold NaN, or without.
pub struct Strided<T> {
    pub shape: Vec<usize>,
    pub strides: Vec<isize>,
    pub data: Vec<T>,
}

/// How an array lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// With all axes in any order, and gaps.
    Any,
    /// With the axes of the batch and of the points in any order, and those of a point row-major; with gaps between
    /// the points or without.
    Points { gaps: bool },
}

impl<T: Real> Strided<T> {
    /// The values of a row-major array, of which the axes in `full` are those of the batch and of the points. Along a
    /// shared one, the array has either the length 1, or a stride of 0 and the length in `full`, if there is one.
    fn of(dense: &Owned<T>, full: &[Option<usize>], order: Order, random: &mut StdRng) -> Self {
        let rank = dense.shape.len();
        let (outer, mut next) = match order {
            Order::Any => (rank, random.random_range(1..3_usize)),
            Order::Points { .. } => (full.len().min(rank), 1),
        };
        let mut outer_axes: Vec<_> = (0..outer).collect();
        outer_axes.shuffle(random);
        let mut strides = vec![0; rank];
        for axis in (outer..rank).rev().chain(outer_axes) {
            strides[axis] = next;
            next *= dense.shape[axis];
            if axis < outer && order != (Order::Points { gaps: false }) {
                next += random.random_range(0..3);
            }
        }
        let places =
            |index: &[usize]| index.iter().zip(&strides).map(|(i, s)| i * s).sum::<usize>();
        let last: Vec<_> = dense.shape.iter().map(|axis| axis.saturating_sub(1)).collect();
        let mut data = vec![T::nan(); places(&last) + 1];
        let mut index = vec![0; rank];
        for &value in &dense.data {
            data[places(&index)] = value;
            for axis in (0..rank).rev() {
                index[axis] += 1;
                if index[axis] < dense.shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        let mut shape = dense.shape.clone();
        let mut strides: Vec<_> = strides.into_iter().map(|stride| stride as isize).collect();
        for axis in 0..rank {
            if let Some(&Some(full)) = full.get(axis)
                && shape[axis] == 1
                && random.random_bool(0.5)
            {
                (shape[axis], strides[axis]) = (full, 0);
            }
        }
        Strided { shape, strides, data }
    }

    pub fn view(&self) -> View<'_, T> {
        View::strided(&self.shape, &self.strides, &self.data)
    }
}

/// The same values with one axis of the batch in place of several. An axis of full length is made only where
/// some of them are shared and others not.
fn one_axis<T: Real>(dense: &Owned<T>, axes: &[usize]) -> Owned<T> {
    let (own, rest) = dense.shape.split_at(axes.len());
    let size: usize = rest.iter().product();
    let (systems, count) = (axes.iter().product::<usize>(), own.iter().product::<usize>());
    let count = if count == 1 { 1 } else { systems };
    let data = (0..count).flat_map(|system| {
        let first = size * own_system(system, own, axes);
        dense.data[first..][..size].to_vec()
    });
    Owned { data: data.collect(), shape: [&[count], rest].concat() }
}

/// The place of a system among those that have values of their own.
fn own_system(system: usize, own: &[usize], axes: &[usize]) -> usize {
    let (mut rest, mut place, mut next) = (system, 0, 1);
    for (&own, &full) in own.iter().zip(axes).rev() {
        place += if own == 1 { 0 } else { rest % full * next };
        (rest, next) = (rest / full, next * own);
    }
    place
}

/// A case of these sizes whose batch has these axes, of which each input shares some at random.
pub fn several_axes<T: Real>(
    axes: &[usize],
    sizes: Sizes,
    options: Options,
    seed: u64,
    random: &mut StdRng,
) -> Case<T> {
    let batch = axes.iter().product();
    let mut several = Case::<T>::new(Sizes { batch, ..sizes }, options, seed);
    for array in several.inputs.as_mut().into_iter() {
        let leading = axes.iter().map(|&full| if random.random_bool(0.3) { 1 } else { full });
        array.shape = leading.chain(array.shape.split_off(1)).collect();
        array.data.truncate(array.shape.iter().product());
    }
    several
}

/// The inputs of a case whose batch has these axes, as they may lie.
pub fn lent<T: Real>(
    several: &Case<T>,
    axes: &[usize],
    order: Order,
    random: &mut StdRng,
) -> Inputs<Strided<T>> {
    let points = Inputs {
        coefficients: Some(Some(several.points)),
        rhs: Some(Some(several.points)),
        initial_values: Some(None),
        steps: Some(Some(several.points - 1)),
    };
    several.inputs.as_ref().zip(points).map(|(array, points)| {
        let full: Vec<_> = axes.iter().copied().map(Some).chain(points).collect();
        Strided::of(array, &full, order, random)
    })
}

/// How these inputs of a case lie on a device.
#[cfg(feature = "cuda")]
pub fn strides_of<T>(lent: &Inputs<Strided<T>>, case: &Case<T>) -> mechanistic::cuda::Strides {
    let axes = lent.as_ref().map(|array| &array.shape[..]);
    let strides = lent.as_ref().map(|array| Some(&array.strides[..]));
    mechanistic::cuda::Strides::new(case.batch, case.points, axes, strides).unwrap()
}

/// The same case with one axis of the batch.
pub fn with_one_axis<T: Real>(several: &Case<T>, axes: &[usize]) -> Case<T> {
    Case { inputs: several.inputs.as_ref().map(|array| one_axis(array, axes)), ..several.clone() }
}

/// Arrays of the shapes of the inputs, with one axis of the batch.
pub fn one_axis_each<T: Real>(
    several: &Case<T>,
    arrays: &Inputs<Vec<T>>,
    axes: &[usize],
) -> Inputs<Vec<T>> {
    several.inputs.as_ref().zip(arrays.as_ref()).map(|(input, data)| {
        let array = Owned { shape: input.shape.clone(), data: data.clone() };
        one_axis(&array, axes).data
    })
}

/// The gradients of a case whose batch has several axes are those of the case with one, added up over what is partly
/// shared.
pub fn assert_same_gradients<T: Real>(
    gradients: &Inputs<Vec<T>>,
    of_one_axis: &Inputs<Vec<T>>,
    several: &Case<T>,
    axes: &[usize],
) {
    let arrays = several.inputs.as_ref();
    for ((gradient, same), array) in gradients.as_ref().zip(of_one_axis.as_ref()).zip(arrays) {
        let message = format!("axes {axes:?}, shape {:?}", array.shape);
        let own = &array.shape[..axes.len()];
        let is_shared = own.iter().zip(axes).any(|(own, full)| own != full);
        if !is_shared || own.iter().all(|&own| own == 1) {
            assert_eq!(gradient, same, "{message}");
            continue;
        }
        let size = array.shape[axes.len()..].iter().product::<usize>();
        let (mut sums, mut sizes) = (vec![0.0; gradient.len()], vec![0.0; gradient.len()]);
        for (i, value) in same.iter().enumerate() {
            let at = own_system(i / size, own, axes) * size + i % size;
            sums[at] += value.to_double();
            sizes[at] += value.to_double().abs();
        }
        for ((gradient, sum), size) in gradient.iter().zip(sums).zip(sizes) {
            let error = (gradient.to_double() - sum).abs();
            assert!(error <= 4.0 * T::epsilon().to_double() * size, "{message}: {gradient} {sum}");
        }
    }
}
