//! The tape's primitives on a GPU: they turn shapes into the parameters of the kernels, and take
//! one or two launches each.

mod function;
mod kernels;
mod norm;
mod product;
mod reduction;
mod solve;
mod storage;
mod walk;

use std::sync::Arc;

use cudarc::driver::{CudaView, CudaViewMut};

use crate::backend::cuda::bindings::{ReduceFunction, Update, Walk};
use crate::backend::cuda::driver::CudaDevice;
use crate::inputs::Inputs;
use crate::options::Options;
use crate::real::Element;
use crate::shape::ProblemShape;
use crate::solution::Solution;
use crate::tensor::Array;
use crate::tensor::Backend;
use crate::tensor::function::{Binary, Side, Unary};
use crate::tensor::layout::{Axes, broadcast_strides, contiguous};
use crate::tensor::product::Product;
use crate::tensor::update::{Clip, Rule};
use crate::{Real, Result};
use function::{binary_code, unary_code};
use kernels::TapeKernels;
use norm::{Norm, Places};
use product::Products;
use reduction::{Target, Term, Terms};
use solve::OdeSolver;
use storage::Storage;

/// A GPU as the backend of a [`Tape`](crate::tape::Tape): values, gradients and parameters stay on
/// it, and the program waits for it only when a value is brought back.
#[derive(Clone)]
pub struct Cuda {
    device: Arc<CudaDevice>,
    kernels: Arc<TapeKernels>,
    /// Places in the program's memory for norms.
    places: Places,
    /// Whether cuBLAS multiplies large matrices, where it can be opened.
    cublas: bool,
}

impl std::fmt::Debug for Cuda {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cuda({})", self.device.ordinal())
    }
}

impl Cuda {
    /// Computes on this GPU ([`Device::gpu`](crate::Device::gpu)).
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) when the device cannot run the kernels, or cuBLAS cannot
    /// be opened and `MECHANISTIC_CUBLAS` is `on`; [`Error::Argument`](crate::Error::Argument) when
    /// the variable has another value than `on` and `off`.
    pub fn on(device: &Arc<CudaDevice>) -> Result<Self> {
        device.check_kernels()?;
        let kernels = Arc::new(TapeKernels::new(device));
        let cublas = product::cublas_is_wanted(device)?;
        Ok(Cuda { device: device.clone(), kernels, places: Places::default(), cublas })
    }

    /// Chooses whether NVIDIA's cuBLAS multiplies large matrices, where this machine has one that
    /// can be opened (`libcublas.so`, or version 11, 12 or 13). By default it does, unless the
    /// environment variable `MECHANISTIC_CUBLAS` is `off`; if the variable is `on`, there must be a
    /// cuBLAS. Either way f32 is multiplied and added up in f32, and a run on the same GPU with the
    /// same libraries gives the same bits again; another version of cuBLAS may not.
    pub fn with_cublas(self, wanted: bool) -> Self {
        Cuda { cublas: wanted, ..self }
    }

    fn products(&self) -> Products<'_> {
        Products { device: &self.device, kernels: &self.kernels, cublas: self.cublas }
    }

    /// Waits until everything that was asked of the GPU so far is done.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if a kernel failed.
    pub fn synchronize(&self) -> Result<()> {
        self.device.synchronize()
    }

    fn read<'a, E: Element>(&self, array: &'a Array<E, Cuda>) -> Result<CudaView<'a, E>> {
        Ok(array.buffer().read(&self.device)?.view())
    }

    fn write<'a, E: Element>(&self, array: &'a mut Array<E, Cuda>) -> Result<CudaViewMut<'a, E>> {
        Ok(array.buffer_mut().write(&self.device)?.view_mut())
    }

    /// Computes y = x or y += x, each at its strides over `shape` and y from an offset on.
    fn copy_strided<T: Real>(
        &self,
        shape: &[usize],
        (x, offset_x, strides_x): (&Array<T, Cuda>, usize, &[usize]),
        (y, offset_y, strides_y): (&mut Array<T, Cuda>, usize, &[usize]),
        add: bool,
    ) -> Result<()> {
        let walk = Walk::new(shape, [strides_y, strides_x])?;
        if walk.size == 0 {
            return Ok(());
        }
        let x = self.read(x)?;
        let mut y = self.write(y)?;
        let (x, mut y) = (x.slice(offset_x..), y.slice_mut(offset_y..));
        self.kernels.copy(&walk, &x, &mut y, add)
    }

    /// Adds the terms to g, reduced to g's shape.
    fn reduce_to<T: Real>(
        &self,
        shape: &[usize],
        terms: &Terms<'_, T>,
        g: &mut Array<T, Cuda>,
    ) -> Result<()> {
        let strides = &broadcast_strides(g.shape(), shape);
        let data = &mut self.write(g)?;
        let target = Target { data, offset: 0, strides, add: true };
        reduction::reduce(&self.device, &self.kernels, shape, terms, target)
    }
}

/// The indices of a gather, and the same indices sorted by entry for its adjoint.
#[derive(Debug)]
pub struct GatherIndices {
    indices: Array<usize, Cuda>,
    /// Distinct indices, ascending.
    entries: Array<usize, Cuda>,
    /// Positions where the part of each distinct index in `order` begins, and where the last part
    /// ends.
    starts: Array<usize, Cuda>,
    /// Positions in `indices`, sorted by the index that they hold, then by themselves.
    order: Array<usize, Cuda>,
}

impl Backend for Cuda {
    type Buffer<E: Element> = Storage<E>;
    type Indices = GatherIndices;
    type Norm = Norm;
    type Solver<T: Real> = OdeSolver<T>;

    const ASYNCHRONOUS: bool = true;

    fn shares_device(&self, other: &Self) -> bool {
        self.device.ordinal() == other.device.ordinal()
    }

    fn wrap<E: Element>(array: Array<E>) -> Array<E, Cuda> {
        Array::from_parts(array.shape().into(), Storage::from_host(array))
    }

    fn host<E: Element>(array: &Array<E, Cuda>) -> Result<&Array<E>> {
        array.buffer().host(array.shape())
    }

    fn host_mut<E: Element>(array: &mut Array<E, Cuda>) -> Result<&mut [E]> {
        let shape = array.shape().to_vec();
        array.buffer_mut().host_mut(&shape)
    }

    fn allocate<T: Real>(&self, length: usize) -> Result<Storage<T>> {
        Storage::unwritten(&self.device, length)
    }

    fn clear<T: Real>(&self, y: &mut Array<T, Cuda>) -> Result<()> {
        y.buffer_mut().clear(&self.device)
    }

    fn copy<T: Real>(&self, x: &Array<T, Cuda>, y: &mut Array<T, Cuda>) -> Result<()> {
        self.copy_strided(&[x.len()], (x, 0, &[1]), (y, 0, &[1]), false)
    }

    fn accumulate<T: Real>(&self, x: &Array<T, Cuda>, y: &mut Array<T, Cuda>) -> Result<()> {
        self.copy_strided(&[x.len()], (x, 0, &[1]), (y, 0, &[1]), true)
    }

    fn unary<T: Real>(
        &self,
        f: Unary<T>,
        x: &Array<T, Cuda>,
        y: &mut Array<T, Cuda>,
    ) -> Result<()> {
        self.kernels.unary(unary_code(f), &self.read(x)?, &mut self.write(y)?)
    }

    fn unary_adjoint<T: Real>(
        &self,
        f: Unary<T>,
        x: &Array<T, Cuda>,
        y: &Array<T, Cuda>,
        gy: &Array<T, Cuda>,
        gx: &mut Array<T, Cuda>,
    ) -> Result<()> {
        match f {
            // Constant, even where the derivative's formula gives 0·∞.
            Unary::Powi(0) => return Ok(()),
            Unary::Powf(p) if p == T::zero() => return Ok(()),
            _ => {}
        }
        let (x, y, gy) = (self.read(x)?, self.read(y)?, self.read(gy)?);
        self.kernels.unary_adjoint(unary_code(f), [&x, &y, &gy], &mut self.write(gx)?)
    }

    fn binary<T: Real>(
        &self,
        f: Binary,
        a: &Array<T, Cuda>,
        b: &Array<T, Cuda>,
        y: &mut Array<T, Cuda>,
    ) -> Result<()> {
        let shape = y.shape();
        let strides = [a, b].map(|operand| broadcast_strides(operand.shape(), shape));
        let walk = Walk::new(shape, [&strides[0], &strides[1]])?;
        let (a, b) = (self.read(a)?, self.read(b)?);
        self.kernels.binary(binary_code(f), &walk, &a, &b, &mut self.write(y)?)
    }

    fn binary_adjoint<T: Real>(
        &self,
        f: Binary,
        side: Side,
        [a, b]: [&Array<T, Cuda>; 2],
        gy: &Array<T, Cuda>,
        g: &mut Array<T, Cuda>,
    ) -> Result<()> {
        use ReduceFunction::{Denominator, Negated, Product, Quotient, Sum};
        let shape = gy.shape();
        let (function, operands) = match (f, side) {
            (Binary::Add, _) | (Binary::Subtract, Side::A) => (Sum, [None, None]),
            (Binary::Subtract, Side::B) => (Negated, [None, None]),
            (Binary::Multiply, Side::A) => (Product, [Some(b), None]),
            (Binary::Multiply, Side::B) => (Product, [Some(a), None]),
            (Binary::Divide, Side::A) => (Quotient, [Some(b), None]),
            (Binary::Divide, Side::B) => (Denominator, [Some(a), Some(b)]),
        };
        let strides_gy = contiguous(shape);
        let strides = operands.map(|array| {
            array.map_or(Axes::new(), |array| broadcast_strides(array.shape(), shape))
        });
        let [first, second] = operands.map(|array| array.map(|array| self.read(array)).transpose());
        let (first, second) = (first?, second?);
        let terms = Terms {
            function,
            g: Term { data: &self.read(gy)?, strides: &strides_gy },
            a: first.as_ref().map(|data| Term { data, strides: &strides[0] }),
            b: second.as_ref().map(|data| Term { data, strides: &strides[1] }),
            mask: None,
        };
        self.reduce_to(shape, &terms, g)
    }

    fn matmul<T: Real>(
        &self,
        product: &Product,
        a: &Array<T, Cuda>,
        b: &Array<T, Cuda>,
        c: &mut Array<T, Cuda>,
    ) -> Result<()> {
        let operands = [&self.read(a)?, &self.read(b)?];
        self.products().multiply(product, None, operands, &mut self.write(c)?)
    }

    fn matmul_adjoint<T: Real>(
        &self,
        product: &Product,
        side: Side,
        other: &Array<T, Cuda>,
        gc: &Array<T, Cuda>,
        g: &mut Array<T, Cuda>,
        add: bool,
    ) -> Result<()> {
        let (other, gc) = (self.read(other)?, self.read(gc)?);
        let operands = match side {
            Side::A => [&gc, &other],
            Side::B => [&other, &gc],
        };
        self.products().multiply(product, Some((side, add)), operands, &mut self.write(g)?)
    }

    fn sum<T: Real>(
        &self,
        x: &Array<T, Cuda>,
        kept: &[usize],
        y: &mut Array<T, Cuda>,
    ) -> Result<()> {
        let (shape, strides) = (x.shape(), contiguous(x.shape()));
        let terms = Terms {
            function: ReduceFunction::Sum,
            g: Term { data: &self.read(x)?, strides: &strides },
            a: None,
            b: None,
            mask: None,
        };
        let strides = &broadcast_strides(kept, shape);
        let target = Target { data: &mut self.write(y)?, offset: 0, strides, add: false };
        reduction::reduce(&self.device, &self.kernels, shape, &terms, target)
    }

    fn sum_adjoint<T: Real>(
        &self,
        gy: &Array<T, Cuda>,
        kept: &[usize],
        gx: &mut Array<T, Cuda>,
    ) -> Result<()> {
        let shape = gx.shape().to_vec();
        let (repeat, own) = (broadcast_strides(kept, &shape), contiguous(&shape));
        self.copy_strided(&shape, (gy, 0, &repeat), (gx, 0, &own), true)
    }

    fn max<T: Real>(
        &self,
        x: &Array<T, Cuda>,
        sizes: [usize; 3],
        y: &mut Array<T, Cuda>,
    ) -> Result<Storage<usize>> {
        let mut arguments = Storage::unwritten(&self.device, y.len())?;
        let lanes = reduction::lanes(y.len(), sizes[1], sizes[2] == 1) as i32;
        let to = &mut arguments.write(&self.device)?.view_mut();
        self.kernels.max(sizes, lanes, &self.read(x)?, &mut self.write(y)?, to)?;
        Ok(arguments)
    }

    fn max_adjoint<T: Real>(
        &self,
        gy: &Array<T, Cuda>,
        arguments: &Storage<usize>,
        sizes: [usize; 3],
        gx: &mut Array<T, Cuda>,
    ) -> Result<()> {
        let (gy, arguments) = (self.read(gy)?, arguments.read(&self.device)?.view());
        self.kernels.max_adjoint(sizes, &gy, &arguments, &mut self.write(gx)?)
    }

    fn view<T: Real>(
        &self,
        x: &Array<T, Cuda>,
        offset: usize,
        strides: &[usize],
        y: &mut Array<T, Cuda>,
    ) -> Result<()> {
        let shape = y.shape().to_vec();
        let own = contiguous(&shape);
        self.copy_strided(&shape, (x, offset, strides), (y, 0, &own), false)
    }

    fn view_adjoint<T: Real>(
        &self,
        gy: &Array<T, Cuda>,
        offset: usize,
        strides: &[usize],
        gx: &mut Array<T, Cuda>,
    ) -> Result<()> {
        let (shape, own) = (gy.shape(), contiguous(gy.shape()));
        if gy.is_empty() {
            return Ok(());
        }
        let terms = Terms {
            function: ReduceFunction::Sum,
            g: Term { data: &self.read(gy)?, strides: &own },
            a: None,
            b: None,
            mask: None,
        };
        let target = Target { data: &mut self.write(gx)?, offset, strides, add: true };
        reduction::reduce(&self.device, &self.kernels, shape, &terms, target)
    }

    fn concat<'a, T: Real>(
        &self,
        inputs: impl Iterator<Item = &'a Array<T, Cuda>>,
        outer: usize,
        y: &mut Array<T, Cuda>,
    ) -> Result<()> {
        let row = y.len().checked_div(outer).unwrap_or(0);
        let mut start = 0;
        for x in inputs {
            let own = x.len().checked_div(outer).unwrap_or(0);
            self.copy_strided(&[outer, own], (x, 0, &[own, 1]), (y, start, &[row, 1]), false)?;
            start += own;
        }
        Ok(())
    }

    fn concat_adjoint<T: Real>(
        &self,
        gy: &Array<T, Cuda>,
        outer: usize,
        start: usize,
        gx: &mut Array<T, Cuda>,
    ) -> Result<()> {
        let row = gy.len().checked_div(outer).unwrap_or(0);
        let own = gx.len().checked_div(outer).unwrap_or(0);
        self.copy_strided(&[outer, own], (gy, start, &[row, 1]), (gx, 0, &[own, 1]), true)
    }

    fn indices(&self, indices: &[usize], _: usize) -> Result<GatherIndices> {
        let mut order: Vec<usize> = (0..indices.len()).collect();
        order.sort_by_key(|&m| indices[m]);
        let (mut entries, mut starts) = (vec![], vec![]);
        for (place, &m) in order.iter().enumerate() {
            if entries.last() != Some(&indices[m]) {
                entries.push(indices[m]);
                starts.push(place);
            }
        }
        starts.push(order.len());
        let [indices, entries, starts, order] = [indices.to_vec(), entries, starts, order]
            .map(|values| Cuda::wrap(Array::vector(values)));
        Ok(GatherIndices { indices, entries, starts, order })
    }

    fn gather<T: Real>(
        &self,
        x: &Array<T, Cuda>,
        sizes: [usize; 3],
        indices: &GatherIndices,
        y: &mut Array<T, Cuda>,
    ) -> Result<()> {
        let (x, indices) = (self.read(x)?, self.read(&indices.indices)?);
        self.kernels.gather(sizes, &x, &indices, &mut self.write(y)?)
    }

    fn gather_adjoint<T: Real>(
        &self,
        gy: &Array<T, Cuda>,
        sizes: [usize; 3],
        indices: &GatherIndices,
        gx: &mut Array<T, Cuda>,
    ) -> Result<()> {
        let GatherIndices { entries, starts, order, .. } = indices;
        let sorted = [&self.read(entries)?, &self.read(starts)?, &self.read(order)?];
        self.kernels.gather_adjoint(sizes, &self.read(gy)?, sorted, &mut self.write(gx)?)
    }

    fn select<T: Real>(
        &self,
        mask: &Array<bool, Cuda>,
        x: &Array<T, Cuda>,
        otherwise: &Array<T, Cuda>,
        y: &mut Array<T, Cuda>,
    ) -> Result<()> {
        let shape = y.shape();
        let strides =
            [mask.shape(), x.shape(), otherwise.shape()].map(|own| broadcast_strides(own, shape));
        let walk = Walk::new(shape, strides.each_ref().map(|strides| &strides[..]))?;
        let (mask, x, otherwise) = (self.read(mask)?, self.read(x)?, self.read(otherwise)?);
        self.kernels.select(&walk, &mask, &x, &otherwise, &mut self.write(y)?)
    }

    fn select_adjoint<T: Real>(
        &self,
        mask: &Array<bool, Cuda>,
        held: bool,
        gy: &Array<T, Cuda>,
        g: &mut Array<T, Cuda>,
    ) -> Result<()> {
        let shape = gy.shape();
        let (own, mask_strides) = (contiguous(shape), broadcast_strides(mask.shape(), shape));
        let terms = Terms {
            function: if held { ReduceFunction::Held } else { ReduceFunction::NotHeld },
            g: Term { data: &self.read(gy)?, strides: &own },
            a: None,
            b: None,
            mask: Some(Term { data: &self.read(mask)?, strides: &mask_strides }),
        };
        self.reduce_to(shape, &terms, g)
    }

    fn log_softmax<T: Real>(&self, x: &Array<T, Cuda>, y: &mut Array<T, Cuda>) -> Result<()> {
        let (length, rows) = (x.row(), x.len() / x.row().max(1));
        let lanes = reduction::lanes(rows, length, true) as i32;
        self.kernels.log_softmax(length, lanes, &self.read(x)?, &mut self.write(y)?)
    }

    fn log_softmax_adjoint<T: Real>(
        &self,
        y: &Array<T, Cuda>,
        gy: &Array<T, Cuda>,
        gx: &mut Array<T, Cuda>,
    ) -> Result<()> {
        let (length, rows) = (y.row(), y.len() / y.row().max(1));
        let lanes = reduction::lanes(rows, length, true) as i32;
        let (y, gy) = (self.read(y)?, self.read(gy)?);
        self.kernels.log_softmax_adjoint(length, lanes, &y, &gy, &mut self.write(gx)?)
    }

    fn rowwise_adjoint<T: Real>(
        &self,
        gy: &Array<T, Cuda>,
        jacobian: &Array<T, Cuda>,
        gx: &mut Array<T, Cuda>,
    ) -> Result<()> {
        let (outputs, inputs) = (gy.row(), gx.row());
        let rows = gy.len().checked_div(outputs).unwrap_or(0);
        let terms = Terms {
            function: ReduceFunction::Product,
            g: Term { data: &self.read(gy)?, strides: &[outputs, 0, 1] },
            a: Some(Term { data: &self.read(jacobian)?, strides: &[outputs * inputs, 1, inputs] }),
            b: None,
            mask: None,
        };
        let data = &mut self.write(gx)?;
        let target = Target { data, offset: 0, strides: &[inputs, 1, 0], add: true };
        let shape = [rows, inputs, outputs];
        reduction::reduce(&self.device, &self.kernels, &shape, &terms, target)
    }

    fn norm<'a, T: Real>(&self, arrays: impl Iterator<Item = &'a Array<T, Cuda>>) -> Result<Norm> {
        let views: Result<Vec<_>> = arrays.map(|array| self.read(array)).collect();
        Norm::new(&self.device, &self.kernels, &self.places, &views?)
    }

    fn norm_value(norm: &Norm) -> Result<f64> {
        norm.value()
    }

    fn update<T: Real>(
        &self,
        rule: &Rule<T>,
        clip: &Clip<Norm>,
        x: &mut Array<T, Cuda>,
        moments: &mut [Array<T, Cuda>],
        g: &Array<T, Cuda>,
    ) -> Result<()> {
        let (g, norm) = (self.read(g)?, clip.norm.view());
        let limit = clip.limit.unwrap_or(f64::INFINITY);
        match (rule, moments) {
            (Rule::Sgd { rate, momentum }, [velocity]) => {
                let (rate, momentum) = (rate.to_double(), momentum.to_double());
                let update = Update { limit, rate, momentum, ..Update::default() };
                let (x, v) = (&mut self.write(x)?, &mut self.write(velocity)?);
                self.kernels.sgd(&update, x, v, &g, &norm)
            }
            (Rule::Adam(numbers), [first, second]) => {
                let update = Update {
                    limit,
                    rate: numbers.rate.to_double(),
                    momentum: 0.0,
                    beta1: numbers.beta1.to_double(),
                    beta2: numbers.beta2.to_double(),
                    epsilon: numbers.epsilon.to_double(),
                    correction1: numbers.correction1.to_double(),
                    correction2: numbers.correction2.to_double(),
                    decay: numbers.decay.to_double(),
                };
                let moments = [&mut self.write(first)?, &mut self.write(second)?];
                self.kernels.adam(&update, &mut self.write(x)?, moments, &g, &norm)
            }
            _ => unreachable!("the optimizer keeps as many moments as its rule has"),
        }
    }

    fn solver<T: Real>(&self, shape: &ProblemShape, options: &Options) -> Result<OdeSolver<T>> {
        OdeSolver::new(&self.device, shape, options)
    }

    fn solve<T: Real>(
        &self,
        solver: &mut OdeSolver<T>,
        inputs: Inputs<&Array<T, Cuda>>,
        solution: &mut Array<T, Cuda>,
    ) -> Result<()> {
        solver.solve(&self.device, inputs, solution)
    }

    fn solve_adjoint<T: Real>(
        &self,
        solver: &mut OdeSolver<T>,
        inputs: Inputs<&Array<T, Cuda>>,
        cotangent: &Array<T, Cuda>,
        gradients: Inputs<Option<&mut Array<T, Cuda>>>,
    ) -> Result<()> {
        let wanted = gradients.as_ref().map(|gradient| gradient.is_some());
        let found = solver.vjp(&self.device, inputs, cotangent, wanted)?;
        for (gradient, found) in gradients.zip(found) {
            if let (Some(gradient), Some(found)) = (gradient, found) {
                let walk = Walk::new(&[gradient.len()], [&[1], &[1]])?;
                self.kernels.copy(&walk, &found.view(), &mut self.write(gradient)?, true)?;
            }
        }
        Ok(())
    }

    fn solution<'a, T: Real>(
        solver: &'a OdeSolver<T>,
        solution: &Array<T, Cuda>,
    ) -> Result<&'a Solution<T>> {
        solver.solution(Cuda::host(solution)?)
    }
}
