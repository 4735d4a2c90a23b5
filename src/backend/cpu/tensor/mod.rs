//! The tape's primitives on the CPU: functions on slices and shapes, row-major and contiguous
//! unless strides are given.
//!
//! Sums are taken in an order that depends on the shapes alone, never on the number of threads.

mod elementwise;
mod index;
mod matmul;
pub mod reduce;
mod softmax;
mod solve;
mod update;
mod walk;

use solve::Solve;

use crate::inputs::Inputs;
use crate::memory::zeros;
use crate::options::Options;
use crate::real::Element;
use crate::shape::ProblemShape;
use crate::solution::Solution;
use crate::tensor::Array;
use crate::tensor::function::{Binary, Side, Unary};
use crate::tensor::product::Product;
use crate::tensor::update::{Clip, Rule};
use crate::tensor::{Backend, Cpu};
use crate::{Real, Result};

/// The number of elements that one task works on; below this a thread costs more than it saves.
const CHUNK: usize = 1 << 14;

/// Returns the elements and the shape, the form in which the functions of this folder take an
/// operand.
fn operand<E: Element>(array: &Array<E>) -> (&[E], &[usize]) {
    (array.data(), array.shape())
}

impl Backend for Cpu {
    type Buffer<E: Element> = Vec<E>;
    type Indices = Vec<usize>;
    type Norm = f64;
    type Solver<T: Real> = Solve<T>;

    const ASYNCHRONOUS: bool = false;

    fn shares_device(&self, _: &Self) -> bool {
        true
    }

    fn wrap<E: Element>(array: Array<E>) -> Array<E> {
        array
    }

    fn host<E: Element>(array: &Array<E>) -> Result<&Array<E>> {
        Ok(array)
    }

    fn host_mut<E: Element>(array: &mut Array<E>) -> Result<&mut [E]> {
        Ok(array.data_mut())
    }

    fn allocate<T: Real>(&self, length: usize) -> Result<Vec<T>> {
        zeros("array", length)
    }

    fn clear<T: Real>(&self, y: &mut Array<T>) -> Result<()> {
        y.data_mut().fill(T::zero());
        Ok(())
    }

    fn copy<T: Real>(&self, x: &Array<T>, y: &mut Array<T>) -> Result<()> {
        y.data_mut().copy_from_slice(x.data());
        Ok(())
    }

    fn accumulate<T: Real>(&self, x: &Array<T>, y: &mut Array<T>) -> Result<()> {
        elementwise::add(x.data(), y.data_mut());
        Ok(())
    }

    fn unary<T: Real>(&self, f: Unary<T>, x: &Array<T>, y: &mut Array<T>) -> Result<()> {
        elementwise::unary(f, x.data(), y.data_mut());
        Ok(())
    }

    fn unary_adjoint<T: Real>(
        &self,
        f: Unary<T>,
        x: &Array<T>,
        y: &Array<T>,
        gy: &Array<T>,
        gx: &mut Array<T>,
    ) -> Result<()> {
        elementwise::unary_adjoint(f, x.data(), y.data(), gy.data(), gx.data_mut());
        Ok(())
    }

    fn binary<T: Real>(
        &self,
        f: Binary,
        a: &Array<T>,
        b: &Array<T>,
        y: &mut Array<T>,
    ) -> Result<()> {
        let (y, shape) = y.parts_mut();
        elementwise::binary(f, operand(a), operand(b), shape, y);
        Ok(())
    }

    fn binary_adjoint<T: Real>(
        &self,
        f: Binary,
        side: Side,
        [a, b]: [&Array<T>; 2],
        gy: &Array<T>,
        g: &mut Array<T>,
    ) -> Result<()> {
        let (gy, shape) = operand(gy);
        match side {
            Side::A => {
                elementwise::binary_adjoint_a(f, a.shape(), operand(b), shape, gy, g.data_mut());
            }
            Side::B => {
                elementwise::binary_adjoint_b(f, operand(a), operand(b), shape, gy, g.data_mut());
            }
        }
        Ok(())
    }

    fn matmul<T: Real>(
        &self,
        product: &Product,
        a: &Array<T>,
        b: &Array<T>,
        c: &mut Array<T>,
    ) -> Result<()> {
        matmul::forward(product, a.data(), b.data(), c.data_mut())
    }

    fn matmul_adjoint<T: Real>(
        &self,
        product: &Product,
        side: Side,
        other: &Array<T>,
        gc: &Array<T>,
        g: &mut Array<T>,
        add: bool,
    ) -> Result<()> {
        let (other, gc, g) = (other.data(), gc.data(), g.data_mut());
        match side {
            Side::A => matmul::adjoint_a(product, other, gc, g, add),
            Side::B => matmul::adjoint_b(product, other, gc, g, add),
        }
    }

    fn sum<T: Real>(&self, x: &Array<T>, kept: &[usize], y: &mut Array<T>) -> Result<()> {
        y.data_mut().fill(T::zero());
        elementwise::add_reduced(x.data(), x.shape(), y.data_mut(), kept);
        Ok(())
    }

    fn sum_adjoint<T: Real>(&self, gy: &Array<T>, kept: &[usize], gx: &mut Array<T>) -> Result<()> {
        let (gx, shape) = gx.parts_mut();
        reduce::add_repeated(gy.data(), kept, gx, shape);
        Ok(())
    }

    fn max<T: Real>(
        &self,
        x: &Array<T>,
        sizes: [usize; 3],
        y: &mut Array<T>,
    ) -> Result<Vec<usize>> {
        let mut arguments = zeros("places of maxima", y.len())?;
        reduce::max(x.data(), sizes, y.data_mut(), &mut arguments);
        Ok(arguments)
    }

    fn max_adjoint<T: Real>(
        &self,
        gy: &Array<T>,
        arguments: &Vec<usize>,
        sizes: [usize; 3],
        gx: &mut Array<T>,
    ) -> Result<()> {
        reduce::max_adjoint(gy.data(), arguments, sizes, gx.data_mut());
        Ok(())
    }

    fn view<T: Real>(
        &self,
        x: &Array<T>,
        offset: usize,
        strides: &[usize],
        y: &mut Array<T>,
    ) -> Result<()> {
        let (y, shape) = y.parts_mut();
        index::copy_strided(x.data(), offset, strides, y, shape);
        Ok(())
    }

    fn view_adjoint<T: Real>(
        &self,
        gy: &Array<T>,
        offset: usize,
        strides: &[usize],
        gx: &mut Array<T>,
    ) -> Result<()> {
        index::add_strided(gy.data(), gy.shape(), gx.data_mut(), offset, strides);
        Ok(())
    }

    fn concat<'a, T: Real>(
        &self,
        inputs: impl Iterator<Item = &'a Array<T>>,
        outer: usize,
        y: &mut Array<T>,
    ) -> Result<()> {
        index::concat(inputs.map(Array::data), outer, y.data_mut());
        Ok(())
    }

    fn concat_adjoint<T: Real>(
        &self,
        gy: &Array<T>,
        outer: usize,
        start: usize,
        gx: &mut Array<T>,
    ) -> Result<()> {
        index::concat_adjoint(gy.data(), outer, start, gx.data_mut());
        Ok(())
    }

    fn indices(&self, indices: &[usize], _: usize) -> Result<Vec<usize>> {
        Ok(indices.to_vec())
    }

    fn gather<T: Real>(
        &self,
        x: &Array<T>,
        sizes: [usize; 3],
        indices: &Vec<usize>,
        y: &mut Array<T>,
    ) -> Result<()> {
        index::gather(x.data(), sizes, indices, y.data_mut());
        Ok(())
    }

    fn gather_adjoint<T: Real>(
        &self,
        gy: &Array<T>,
        sizes: [usize; 3],
        indices: &Vec<usize>,
        gx: &mut Array<T>,
    ) -> Result<()> {
        index::scatter_add(gy.data(), sizes, indices, gx.data_mut());
        Ok(())
    }

    fn select<T: Real>(
        &self,
        mask: &Array<bool>,
        x: &Array<T>,
        otherwise: &Array<T>,
        y: &mut Array<T>,
    ) -> Result<()> {
        let (y, shape) = y.parts_mut();
        elementwise::select(operand(mask), operand(x), operand(otherwise), shape, y);
        Ok(())
    }

    fn select_adjoint<T: Real>(
        &self,
        mask: &Array<bool>,
        held: bool,
        gy: &Array<T>,
        g: &mut Array<T>,
    ) -> Result<()> {
        let (g, own) = g.parts_mut();
        elementwise::select_adjoint(operand(mask), held, gy.shape(), gy.data(), g, own);
        Ok(())
    }

    fn log_softmax<T: Real>(&self, x: &Array<T>, y: &mut Array<T>) -> Result<()> {
        if !x.is_empty() {
            softmax::log_softmax(x.data(), x.row(), y.data_mut());
        }
        Ok(())
    }

    fn log_softmax_adjoint<T: Real>(
        &self,
        y: &Array<T>,
        gy: &Array<T>,
        gx: &mut Array<T>,
    ) -> Result<()> {
        if !y.is_empty() {
            softmax::log_softmax_adjoint(y.data(), y.row(), gy.data(), gx.data_mut());
        }
        Ok(())
    }

    fn rowwise_adjoint<T: Real>(
        &self,
        gy: &Array<T>,
        jacobian: &Array<T>,
        gx: &mut Array<T>,
    ) -> Result<()> {
        index::rowwise_adjoint(gy.data(), jacobian.data(), gy.row(), gx.data_mut());
        Ok(())
    }

    fn norm<'a, T: Real>(&self, arrays: impl Iterator<Item = &'a Array<T>>) -> Result<f64> {
        let squares = arrays.map(|array| reduce::sum_of(array.data(), |x| x * x));
        Ok(squares.sum::<f64>().sqrt())
    }

    fn norm_value(norm: &f64) -> Result<f64> {
        Ok(*norm)
    }

    fn update<T: Real>(
        &self,
        rule: &Rule<T>,
        clip: &Clip<f64>,
        x: &mut Array<T>,
        moments: &mut [Array<T>],
        g: &Array<T>,
    ) -> Result<()> {
        if !clip.norm.is_finite() {
            return Ok(());
        }
        let shrink = match clip.limit {
            Some(limit) if clip.norm > limit => T::of(limit / clip.norm),
            _ => T::one(),
        };
        match (rule, moments) {
            (Rule::Sgd { rate, momentum }, [velocity]) => {
                let (x, v) = (x.data_mut(), velocity.data_mut());
                update::sgd(x, v, g.data(), shrink, *rate, *momentum);
            }
            (Rule::Adam(numbers), [first, second]) => {
                let moments = [first.data_mut(), second.data_mut()];
                update::adam(numbers, x.data_mut(), moments, g.data(), shrink);
            }
            _ => unreachable!("the optimizer keeps as many moments as its rule has"),
        }
        Ok(())
    }

    fn solver<T: Real>(&self, shape: &ProblemShape, options: &Options) -> Result<Solve<T>> {
        Solve::new(shape, options)
    }

    fn solve<T: Real>(
        &self,
        solver: &mut Solve<T>,
        inputs: Inputs<&Array<T>>,
        solution: &mut Array<T>,
    ) -> Result<()> {
        solver.solve(inputs, solution)
    }

    fn solve_adjoint<T: Real>(
        &self,
        solver: &mut Solve<T>,
        inputs: Inputs<&Array<T>>,
        cotangent: &Array<T>,
        gradients: Inputs<Option<&mut Array<T>>>,
    ) -> Result<()> {
        solver.adjoint(inputs, cotangent, gradients)
    }

    fn solution<'a, T: Real>(solver: &'a Solve<T>, solution: &Array<T>) -> Result<&'a Solution<T>> {
        solver.solution(solution)
    }
}
