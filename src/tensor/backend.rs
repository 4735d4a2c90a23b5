//! The seam between the tape and its backends: the primitives that a backend offers.

use std::fmt::Debug;

use super::array::Array;
use super::function::{Binary, Side, Unary};
use super::product::Product;
use super::update::{Clip, Rule};
use crate::error::Result;
use crate::inputs::Inputs;
use crate::options::Options;
use crate::real::{Element, Real};
use crate::shape::ProblemShape;
use crate::solution::Solution;

/// The processor of this machine: the backend of arrays and tapes that name no other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu;

/// The primitives of the tape on one kind of device. Only this crate's backends implement it.
///
/// Arrays are contiguous and row-major wherever they lie. The tape has checked every shape. What is
/// called y or c is overwritten; to a gradient (gx, ga, …) is added. Sums are taken in an order that
/// depends on the shapes alone. A device may still be at work when a call returns; its failure then
/// comes with a later call.
pub trait Backend: Clone + Debug + Send + Sync + 'static {
    /// The elements of an [`Array`].
    type Buffer<E: Element>: Clone + Debug + Send + Sync;
    /// Where a gather finds its entries.
    type Indices: Debug + Send + Sync;
    /// The Euclidean norm of a gradient.
    type Norm: Clone + Debug + Send + Sync;
    /// Plan and workspace of one ODE solve, with the factor that its adjoint needs.
    type Solver<T: Real>: Send + Sync;

    /// Whether reading a result waits for the device, so that it is better read later.
    const ASYNCHRONOUS: bool;

    /// Takes an array over; nothing is copied before it is used.
    fn wrap<E: Element>(array: Array<E>) -> Array<E, Self>;
    /// The array where the program can read it.
    fn host<E: Element>(array: &Array<E, Self>) -> Result<&Array<E>>;
    /// The elements where the program can change them.
    fn host_mut<E: Element>(array: &mut Array<E, Self>) -> Result<&mut [E]>;
    /// Room for so many elements; their values are arbitrary.
    fn allocate<T: Real>(&self, length: usize) -> Result<Self::Buffer<T>>;
    /// y = 0.
    fn clear<T: Real>(&self, y: &mut Array<T, Self>) -> Result<()>;
    /// y = x, element by element, whatever their shapes.
    fn copy<T: Real>(&self, x: &Array<T, Self>, y: &mut Array<T, Self>) -> Result<()>;
    /// y += x, element by element, whatever their shapes.
    fn accumulate<T: Real>(&self, x: &Array<T, Self>, y: &mut Array<T, Self>) -> Result<()>;

    /// y = f(x).
    fn unary<T: Real>(&self, f: Unary<T>, x: &Array<T, Self>, y: &mut Array<T, Self>)
    -> Result<()>;
    /// gx += gy · f'(x) where y = f(x).
    fn unary_adjoint<T: Real>(
        &self,
        f: Unary<T>,
        x: &Array<T, Self>,
        y: &Array<T, Self>,
        gy: &Array<T, Self>,
        gx: &mut Array<T, Self>,
    ) -> Result<()>;
    /// y = f(a, b), both broadcast to y's shape.
    fn binary<T: Real>(
        &self,
        f: Binary,
        a: &Array<T, Self>,
        b: &Array<T, Self>,
        y: &mut Array<T, Self>,
    ) -> Result<()>;
    /// g += gy · ∂f/∂a or gy · ∂f/∂b, summed over the axes along which that side repeats.
    fn binary_adjoint<T: Real>(
        &self,
        f: Binary,
        side: Side,
        operands: [&Array<T, Self>; 2],
        gy: &Array<T, Self>,
        g: &mut Array<T, Self>,
    ) -> Result<()>;
    /// c = a·b.
    fn matmul<T: Real>(
        &self,
        product: &Product,
        a: &Array<T, Self>,
        b: &Array<T, Self>,
        c: &mut Array<T, Self>,
    ) -> Result<()>;
    /// ga += gc·bᵀ, or gb += aᵀ·gc: summed over the axes along which that side repeats. `other` is
    /// the side that is not differentiated.
    fn matmul_adjoint<T: Real>(
        &self,
        product: &Product,
        side: Side,
        other: &Array<T, Self>,
        gc: &Array<T, Self>,
        g: &mut Array<T, Self>,
    ) -> Result<()>;
    /// y = the sum of x over the axes in which `kept` has length 1; y has the elements of `kept`.
    fn sum<T: Real>(
        &self,
        x: &Array<T, Self>,
        kept: &[usize],
        y: &mut Array<T, Self>,
    ) -> Result<()>;
    /// gx += gy, read in the shape `kept`, repeated.
    fn sum_adjoint<T: Real>(
        &self,
        gy: &Array<T, Self>,
        kept: &[usize],
        gx: &mut Array<T, Self>,
    ) -> Result<()>;
    /// y = the largest element along the middle axis of x, read as (outer, length, inner); a NaN
    /// wins. Returns where it is first reached.
    fn max<T: Real>(
        &self,
        x: &Array<T, Self>,
        sizes: [usize; 3],
        y: &mut Array<T, Self>,
    ) -> Result<Self::Buffer<usize>>;
    /// gx += gy where the maximum was taken.
    fn max_adjoint<T: Real>(
        &self,
        gy: &Array<T, Self>,
        arguments: &Self::Buffer<usize>,
        sizes: [usize; 3],
        gx: &mut Array<T, Self>,
    ) -> Result<()>;
    /// y = the elements of x at `offset` + strides. A stride is 0 where x repeats; along the other
    /// axes no element occurs twice.
    fn view<T: Real>(
        &self,
        x: &Array<T, Self>,
        offset: usize,
        strides: &[usize],
        y: &mut Array<T, Self>,
    ) -> Result<()>;
    /// gx at `offset` + strides += gy.
    fn view_adjoint<T: Real>(
        &self,
        gy: &Array<T, Self>,
        offset: usize,
        strides: &[usize],
        gx: &mut Array<T, Self>,
    ) -> Result<()>;
    /// y, read as (outer, a row), has in each row the rows of the inputs one after another.
    fn concat<T: Real>(
        &self,
        inputs: &[&Array<T, Self>],
        outer: usize,
        y: &mut Array<T, Self>,
    ) -> Result<()>;
    /// gx += its part of gy, from element `start` of each of the `outer` rows.
    fn concat_adjoint<T: Real>(
        &self,
        gy: &Array<T, Self>,
        outer: usize,
        start: usize,
        gx: &mut Array<T, Self>,
    ) -> Result<()>;
    /// Prepares a gather of entries of an axis of this length.
    fn indices(&self, indices: &[usize], length: usize) -> Result<Self::Indices>;
    /// `y[o, m, :] = x[o, indices[m], :]` for x of (outer, length, inner).
    fn gather<T: Real>(
        &self,
        x: &Array<T, Self>,
        sizes: [usize; 3],
        indices: &Self::Indices,
        y: &mut Array<T, Self>,
    ) -> Result<()>;
    /// `gx[o, indices[m], :] += gy[o, m, :]`.
    fn gather_adjoint<T: Real>(
        &self,
        gy: &Array<T, Self>,
        sizes: [usize; 3],
        indices: &Self::Indices,
        gx: &mut Array<T, Self>,
    ) -> Result<()>;
    /// y = x where the mask holds and `otherwise` elsewhere, all broadcast to y's shape.
    fn select<T: Real>(
        &self,
        mask: &Array<bool, Self>,
        x: &Array<T, Self>,
        otherwise: &Array<T, Self>,
        y: &mut Array<T, Self>,
    ) -> Result<()>;
    /// g += gy where the mask is `held`, summed over the axes along which that input repeats.
    fn select_adjoint<T: Real>(
        &self,
        mask: &Array<bool, Self>,
        held: bool,
        gy: &Array<T, Self>,
        g: &mut Array<T, Self>,
    ) -> Result<()>;
    /// y = x − ln Σ e^x along the last axis, shifted so that nothing overflows.
    fn log_softmax<T: Real>(&self, x: &Array<T, Self>, y: &mut Array<T, Self>) -> Result<()>;
    /// gx += gy − e^y Σ gy along the last axis.
    fn log_softmax_adjoint<T: Real>(
        &self,
        y: &Array<T, Self>,
        gy: &Array<T, Self>,
        gx: &mut Array<T, Self>,
    ) -> Result<()>;
    /// gx (rows, D) += Jᵀ gy row by row, with gy (rows, L) and Jacobians (rows, L, D).
    fn rowwise_adjoint<T: Real>(
        &self,
        gy: &Array<T, Self>,
        jacobian: &Array<T, Self>,
        gx: &mut Array<T, Self>,
    ) -> Result<()>;

    /// The joint Euclidean norm of some arrays, accumulated in f64.
    fn norm<T: Real>(&self, arrays: &[&Array<T, Self>]) -> Result<Self::Norm>;
    /// Its number; waits for the device.
    fn norm_value(norm: &Self::Norm) -> Result<f64>;
    /// Changes x and the rule's moments by the gradient g, which is clipped; changes nothing if the
    /// norm is not finite.
    fn update<T: Real>(
        &self,
        rule: &Rule<T>,
        clip: &Clip<Self::Norm>,
        x: &mut Array<T, Self>,
        moments: &mut [Array<T, Self>],
        g: &Array<T, Self>,
    ) -> Result<()>;

    /// Plan and workspace for ODE problems of one shape.
    fn solver<T: Real>(&self, shape: &ProblemShape, options: &Options) -> Result<Self::Solver<T>>;
    /// Solves a batch of linear ODEs. The inputs are coefficients, right-hand side, initial values
    /// and steps, of the shapes that the solver was made for; the solution is (B, N, K, Q).
    fn solve<T: Real>(
        &self,
        solver: &mut Self::Solver<T>,
        inputs: Inputs<&Array<T, Self>>,
        solution: &mut Array<T, Self>,
    ) -> Result<()>;
    /// Adds the vector-Jacobian product at the problem last solved to the gradients that are there.
    fn solve_adjoint<T: Real>(
        &self,
        solver: &mut Self::Solver<T>,
        inputs: Inputs<&Array<T, Self>>,
        cotangent: &Array<T, Self>,
        gradients: Inputs<Option<&mut Array<T, Self>>>,
    ) -> Result<()>;
    /// The last solve, whose solution is given, for the program to look at; waits for the device.
    fn solution<'a, T: Real>(
        solver: &'a Self::Solver<T>,
        solution: &Array<T, Self>,
    ) -> Result<&'a Solution<T>>;
}
