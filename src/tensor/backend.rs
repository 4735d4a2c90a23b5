//! The interface between the tape and its backends: the primitives that a backend offers.

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

/// The backend that computes on the processor of this machine; arrays and tapes that name no
/// backend have this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu;

/// The primitives that a tape needs from one kind of device; only the backends of this crate
/// implement them.
///
/// Arrays are contiguous and row-major wherever they lie. The tape has checked every shape. An
/// output that is called y or c is overwritten; to a gradient (gx, ga, …) the contribution is
/// added. Sums are taken in an order that depends on the shapes alone. A device may still be at
/// work when a call returns; its failure is then reported by a later call.
pub trait Backend: Clone + Debug + Send + Sync + 'static {
    /// The elements of an [`Array`].
    type Buffer<E: Element>: Clone + Debug + Send + Sync;
    /// The positions that a gather takes its entries from.
    type Indices: Debug + Send + Sync;
    /// The Euclidean norm of a gradient.
    type Norm: Clone + Debug + Send + Sync;
    /// The plan and the workspace of one ODE solve, with the factor that its adjoint needs.
    type Solver<T: Real>: Send + Sync;

    /// Whether reading a result waits for the device, so that it is better read later.
    const ASYNCHRONOUS: bool;

    /// Returns whether the other backend computes on the same device.
    fn shares_device(&self, other: &Self) -> bool;
    /// Puts an array of the program into the backend's form; nothing is copied before it is used.
    fn wrap<E: Element>(array: Array<E>) -> Array<E, Self>;
    /// Returns the array in the memory of the program.
    fn host<E: Element>(array: &Array<E, Self>) -> Result<&Array<E>>;
    /// Returns the elements in the memory of the program, to be changed.
    fn host_mut<E: Element>(array: &mut Array<E, Self>) -> Result<&mut [E]>;
    /// Allocates this many elements with arbitrary values.
    fn allocate<T: Real>(&self, length: usize) -> Result<Self::Buffer<T>>;
    /// Computes y = 0.
    fn clear<T: Real>(&self, y: &mut Array<T, Self>) -> Result<()>;
    /// Computes y = x, element by element, whatever their shapes.
    fn copy<T: Real>(&self, x: &Array<T, Self>, y: &mut Array<T, Self>) -> Result<()>;
    /// Computes y += x, element by element, whatever their shapes.
    fn accumulate<T: Real>(&self, x: &Array<T, Self>, y: &mut Array<T, Self>) -> Result<()>;

    /// Computes y = f(x).
    fn unary<T: Real>(&self, f: Unary<T>, x: &Array<T, Self>, y: &mut Array<T, Self>)
    -> Result<()>;
    /// Computes gx += gy · f'(x) where y = f(x).
    fn unary_adjoint<T: Real>(
        &self,
        f: Unary<T>,
        x: &Array<T, Self>,
        y: &Array<T, Self>,
        gy: &Array<T, Self>,
        gx: &mut Array<T, Self>,
    ) -> Result<()>;
    /// Computes y = f(a, b), with both operands broadcast to y's shape.
    fn binary<T: Real>(
        &self,
        f: Binary,
        a: &Array<T, Self>,
        b: &Array<T, Self>,
        y: &mut Array<T, Self>,
    ) -> Result<()>;
    /// Computes g += gy · ∂f/∂a or gy · ∂f/∂b, summed over the axes along which that operand is
    /// repeated.
    fn binary_adjoint<T: Real>(
        &self,
        f: Binary,
        side: Side,
        operands: [&Array<T, Self>; 2],
        gy: &Array<T, Self>,
        g: &mut Array<T, Self>,
    ) -> Result<()>;
    /// Computes the matrix product c = a·b.
    fn matmul<T: Real>(
        &self,
        product: &Product,
        a: &Array<T, Self>,
        b: &Array<T, Self>,
        c: &mut Array<T, Self>,
    ) -> Result<()>;
    /// Computes ga = gc·bᵀ, or gb = aᵀ·gc, summed over the axes along which that operand is
    /// repeated, or adds it to what is there; `other` is the operand that is not differentiated. `add` must be
    /// true where the operand is repeated, or where a size of the product is 0.
    fn matmul_adjoint<T: Real>(
        &self,
        product: &Product,
        side: Side,
        other: &Array<T, Self>,
        gc: &Array<T, Self>,
        g: &mut Array<T, Self>,
        add: bool,
    ) -> Result<()>;
    /// Computes y = the sum of x over the axes in which `kept` has length 1; y has as many elements
    /// as the shape `kept`.
    fn sum<T: Real>(
        &self,
        x: &Array<T, Self>,
        kept: &[usize],
        y: &mut Array<T, Self>,
    ) -> Result<()>;
    /// Computes gx += gy, read in the shape `kept` and repeated along the summed axes.
    fn sum_adjoint<T: Real>(
        &self,
        gy: &Array<T, Self>,
        kept: &[usize],
        gx: &mut Array<T, Self>,
    ) -> Result<()>;
    /// Computes y = the largest element along the middle axis of x, read as (outer, length, inner),
    /// where NaN counts as the largest. Returns the position where the maximum is first attained.
    fn max<T: Real>(
        &self,
        x: &Array<T, Self>,
        sizes: [usize; 3],
        y: &mut Array<T, Self>,
    ) -> Result<Self::Buffer<usize>>;
    /// Computes gx += gy at the positions where the maximum was attained.
    fn max_adjoint<T: Real>(
        &self,
        gy: &Array<T, Self>,
        arguments: &Self::Buffer<usize>,
        sizes: [usize; 3],
        gx: &mut Array<T, Self>,
    ) -> Result<()>;
    /// Computes y = the elements of x at `offset` + strides. A stride is 0 where x is repeated;
    /// along the other axes no element occurs twice.
    fn view<T: Real>(
        &self,
        x: &Array<T, Self>,
        offset: usize,
        strides: &[usize],
        y: &mut Array<T, Self>,
    ) -> Result<()>;
    /// Computes gx += gy at the elements that [`Self::view`] has read: `offset` + strides.
    fn view_adjoint<T: Real>(
        &self,
        gy: &Array<T, Self>,
        offset: usize,
        strides: &[usize],
        gx: &mut Array<T, Self>,
    ) -> Result<()>;
    /// Concatenates the inputs along rows: y, read as (outer, a row), has in each row the rows of
    /// the inputs one after another.
    fn concat<'a, T: Real>(
        &self,
        inputs: impl Iterator<Item = &'a Array<T, Self>>,
        outer: usize,
        y: &mut Array<T, Self>,
    ) -> Result<()>;
    /// Computes gx += the part of gy that came from x: from element `start` of each of the `outer`
    /// rows.
    fn concat_adjoint<T: Real>(
        &self,
        gy: &Array<T, Self>,
        outer: usize,
        start: usize,
        gx: &mut Array<T, Self>,
    ) -> Result<()>;
    /// Prepares a gather of the entries `indices` of an axis of this length.
    fn indices(&self, indices: &[usize], length: usize) -> Result<Self::Indices>;
    /// Computes `y[o, m, :] = x[o, indices[m], :]` for x of shape (outer, length, inner).
    fn gather<T: Real>(
        &self,
        x: &Array<T, Self>,
        sizes: [usize; 3],
        indices: &Self::Indices,
        y: &mut Array<T, Self>,
    ) -> Result<()>;
    /// Computes `gx[o, indices[m], :] += gy[o, m, :]`.
    fn gather_adjoint<T: Real>(
        &self,
        gy: &Array<T, Self>,
        sizes: [usize; 3],
        indices: &Self::Indices,
        gx: &mut Array<T, Self>,
    ) -> Result<()>;
    /// Computes y = x where the mask holds and `otherwise` elsewhere, all broadcast to y's shape.
    fn select<T: Real>(
        &self,
        mask: &Array<bool, Self>,
        x: &Array<T, Self>,
        otherwise: &Array<T, Self>,
        y: &mut Array<T, Self>,
    ) -> Result<()>;
    /// Computes g += gy where the mask is `held`, summed over the axes along which that input is
    /// repeated.
    fn select_adjoint<T: Real>(
        &self,
        mask: &Array<bool, Self>,
        held: bool,
        gy: &Array<T, Self>,
        g: &mut Array<T, Self>,
    ) -> Result<()>;
    /// Computes y = x − ln Σ e^x along the last axis, shifted so that nothing overflows.
    fn log_softmax<T: Real>(&self, x: &Array<T, Self>, y: &mut Array<T, Self>) -> Result<()>;
    /// Computes gx += gy − e^y Σ gy along the last axis.
    fn log_softmax_adjoint<T: Real>(
        &self,
        y: &Array<T, Self>,
        gy: &Array<T, Self>,
        gx: &mut Array<T, Self>,
    ) -> Result<()>;
    /// Computes gx (rows, D) += Jᵀ gy row by row, with gy (rows, L) and the Jacobians J (rows, L,
    /// D).
    fn rowwise_adjoint<T: Real>(
        &self,
        gy: &Array<T, Self>,
        jacobian: &Array<T, Self>,
        gx: &mut Array<T, Self>,
    ) -> Result<()>;

    /// Computes the joint Euclidean norm of some arrays, accumulated in f64.
    fn norm<'a, T: Real>(
        &self,
        arrays: impl Iterator<Item = &'a Array<T, Self>>,
    ) -> Result<Self::Norm>;
    /// Returns the value of a norm; waits for the device.
    fn norm_value(norm: &Self::Norm) -> Result<f64>;
    /// Updates x and the moments of the rule by the gradient g, after clipping it; changes nothing
    /// if the norm is not finite.
    fn update<T: Real>(
        &self,
        rule: &Rule<T>,
        clip: &Clip<Self::Norm>,
        x: &mut Array<T, Self>,
        moments: &mut [Array<T, Self>],
        g: &Array<T, Self>,
    ) -> Result<()>;

    /// Makes the plan and the workspace for ODE problems of one shape.
    fn solver<T: Real>(&self, shape: &ProblemShape, options: &Options) -> Result<Self::Solver<T>>;
    /// Solves a batch of linear ODEs, as [`Solver::solve`](crate::Solver::solve) does. The inputs
    /// are coefficients, right-hand side, initial values and steps, of the shapes that the solver
    /// was made for; the solution is (B, N, K, Q).
    fn solve<T: Real>(
        &self,
        solver: &mut Self::Solver<T>,
        inputs: Inputs<&Array<T, Self>>,
        solution: &mut Array<T, Self>,
    ) -> Result<()>;
    /// Adds the vector-Jacobian product at the problem last solved to the gradients of the inputs.
    fn solve_adjoint<T: Real>(
        &self,
        solver: &mut Self::Solver<T>,
        inputs: Inputs<&Array<T, Self>>,
        cotangent: &Array<T, Self>,
        gradients: Inputs<Option<&mut Array<T, Self>>>,
    ) -> Result<()>;
    /// Returns the last solve's result in the memory of the program, given the values of its
    /// solution; waits for the device.
    fn solution<'a, T: Real>(
        solver: &'a Self::Solver<T>,
        solution: &Array<T, Self>,
    ) -> Result<&'a Solution<T>>;
}
