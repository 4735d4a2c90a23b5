//! The launches of the tape's kernels, `kernels/tape/*.cu`.

use std::sync::Arc;

use cudarc::driver::{CudaView, CudaViewMut};

use crate::Real;
use crate::backend::cuda::bindings::{MatMul, Reduction, Update, Walk};
use crate::backend::cuda::driver::CudaDevice;
use crate::backend::cuda::driver::kernel::{Address, LaunchShape, Lazy, check_length};
use crate::error::{Error, Result};

/// The threads of every block.
pub const THREADS: usize = 256;
/// The elements of a block in the elementwise kernels.
const ELEMENTS: usize = 4 * THREADS;
/// The rows and columns that a block of the matrix product computes.
pub const TILE: usize = 64;

/// The arguments of the adjoint of a function of one number: x, y, gy, gx, their length; a function
/// with its number and exponent.
type UnaryAdjoint = (Address, Address, Address, Address, i64, i32, f64, i32);
/// The arguments of a reduction: g, a, b, mask, target and the reduction.
type Reduce = (Address, Address, Address, Address, Address, Reduction);
/// The arguments of the adjoint of a gather: gy, entries, starts, order, gx; outer, length, inner,
/// indices, distinct indices.
type GatherAdjoint = (Address, Address, Address, Address, Address, i64, i64, i64, i64, i64);

/// The kernels for one type of numbers.
struct Typed {
    unary: Lazy<(Address, Address, i64, i32, f64, i32)>,
    unary_adjoint: Lazy<UnaryAdjoint>,
    binary: Lazy<(Address, Address, Address, Walk, i32)>,
    select: Lazy<(Address, Address, Address, Address, Walk)>,
    copy: Lazy<(Address, Address, Walk, i32)>,
    gather: Lazy<(Address, Address, Address, i64, i64, i64, i64)>,
    gather_adjoint: Lazy<GatherAdjoint>,
    reduce: Lazy<Reduce>,
    reduce_to_splits: Lazy<Reduce>,
    reduce_splits: Lazy<Reduce>,
    max: Lazy<(Address, Address, Address, i64, i64, i64, i32)>,
    max_adjoint: Lazy<(Address, Address, Address, i64, i64, i64)>,
    log_softmax: Lazy<(Address, Address, i64, i64, i32)>,
    log_softmax_adjoint: Lazy<(Address, Address, Address, i64, i64, i32)>,
    matmul: Lazy<(Address, Address, Address, MatMul)>,
    squares: Lazy<(Address, i64, Address)>,
    sgd: Lazy<(Address, Address, Address, i64, Address, Update)>,
    adam: Lazy<(Address, Address, Address, Address, i64, Address, Update)>,
}

/// The kernels of the tape on one device. Each is loaded when it is first launched: a program uses
/// few of them, and a driver may have to translate each.
pub struct TapeKernels {
    device: Arc<CudaDevice>,
    f32: Typed,
    f64: Typed,
    gradient_norm: Lazy<(Address, i64, Address)>,
}

impl Typed {
    fn new(of: &str) -> Self {
        // In f64, splits are of the type itself.
        let (to_splits, splits) = match of {
            "f64" => ("reduce_f64", "reduce_f64"),
            _ => ("reduce_f32_splits", "reduce_splits_f32"),
        };
        Typed {
            unary: Lazy::new(format!("unary_{of}")),
            unary_adjoint: Lazy::new(format!("unary_adjoint_{of}")),
            binary: Lazy::new(format!("binary_{of}")),
            select: Lazy::new(format!("select_{of}")),
            copy: Lazy::new(format!("copy_{of}")),
            gather: Lazy::new(format!("gather_{of}")),
            gather_adjoint: Lazy::new(format!("gather_adjoint_{of}")),
            reduce: Lazy::new(format!("reduce_{of}")),
            reduce_to_splits: Lazy::new(to_splits),
            reduce_splits: Lazy::new(splits),
            max: Lazy::new(format!("max_{of}")),
            max_adjoint: Lazy::new(format!("max_adjoint_{of}")),
            log_softmax: Lazy::new(format!("log_softmax_{of}")),
            log_softmax_adjoint: Lazy::new(format!("log_softmax_adjoint_{of}")),
            matmul: Lazy::new(format!("matmul_{of}")),
            squares: Lazy::new(format!("squares_{of}")),
            sgd: Lazy::new(format!("sgd_{of}")),
            adam: Lazy::new(format!("adam_{of}")),
        }
    }
}

/// Checks that an operand of a walk has as many values as the walk reaches.
fn check_reach(what: &str, walk: &Walk, operand: usize, len: usize) -> Result<()> {
    let reach = walk.reach(operand);
    if reach <= len {
        return Ok(());
    }
    Err(Error::argument(what, format!("expected at least {reach} values on the device, got {len}")))
}

/// Checks that an operand of two walks together has as many values as they reach from `offset` on.
fn check_reaches(
    what: &str,
    walks: [&Walk; 2],
    operand: usize,
    offset: i64,
    len: usize,
) -> Result<()> {
    let reach = match walks.map(|walk| walk.reach(operand)) {
        [0, _] | [_, 0] => 0,
        [kept, reduced] => offset as usize + kept + reduced - 1,
    };
    if reach <= len {
        return Ok(());
    }
    Err(Error::argument(what, format!("expected at least {reach} values on the device, got {len}")))
}

/// Returns the shape of `blocks` blocks, which have the same number of threads for all these
/// kernels.
fn blocks_of(blocks: usize) -> LaunchShape {
    LaunchShape { blocks: blocks as u64, threads: (THREADS as u32, 1), dynamic_shared: 0 }
}

impl TapeKernels {
    /// Names the kernels for a device.
    pub fn new(device: &Arc<CudaDevice>) -> Self {
        TapeKernels {
            f32: Typed::new("f32"),
            f64: Typed::new("f64"),
            gradient_norm: Lazy::new("gradient_norm"),
            device: device.clone(),
        }
    }

    fn of<T: Real>(&self) -> &Typed {
        if T::NAME == "f32" { &self.f32 } else { &self.f64 }
    }

    /// Computes y = f(x), where f is given by its number in `tape/parameters.h` with its constants.
    pub fn unary<T: Real>(
        &self,
        (function, number, exponent): (i32, f64, i32),
        x: &CudaView<'_, T>,
        y: &mut CudaViewMut<'_, T>,
    ) -> Result<()> {
        let n = x.len();
        check_length("y", n, y.len())?;
        if n == 0 {
            return Ok(());
        }
        let (kernel, count) = (&self.of::<T>().unary, n as i64);
        let device = &*self.device;
        let arguments =
            (device.address(x), device.address_mut(y), count, function, number, exponent);
        kernel.launch(device, blocks_of(n.div_ceil(ELEMENTS)), &arguments)
    }

    /// Computes gx += gy · f'(x).
    pub fn unary_adjoint<T: Real>(
        &self,
        (function, number, exponent): (i32, f64, i32),
        [x, y, gy]: [&CudaView<'_, T>; 3],
        gx: &mut CudaViewMut<'_, T>,
    ) -> Result<()> {
        let n = gx.len();
        for (name, array) in [("x", x), ("y", y), ("gy", gy)] {
            check_length(name, n, array.len())?;
        }
        if n == 0 {
            return Ok(());
        }
        let (kernel, blocks, count) =
            (&self.of::<T>().unary_adjoint, n.div_ceil(ELEMENTS), n as i64);
        let device = &*self.device;
        let arguments = (
            device.address(x),
            device.address(y),
            device.address(gy),
            device.address_mut(gx),
            count,
            function,
            number,
            exponent,
        );
        kernel.launch(device, blocks_of(blocks), &arguments)
    }

    /// Computes y = f(a, b); the operands of the walk are a and b.
    pub fn binary<T: Real>(
        &self,
        function: i32,
        walk: &Walk,
        a: &CudaView<'_, T>,
        b: &CudaView<'_, T>,
        y: &mut CudaViewMut<'_, T>,
    ) -> Result<()> {
        check_reach("a", walk, 0, a.len())?;
        check_reach("b", walk, 1, b.len())?;
        check_length("y", walk.size as usize, y.len())?;
        if y.is_empty() {
            return Ok(());
        }
        let blocks = y.len().div_ceil(ELEMENTS);
        let device = &*self.device;
        let arguments =
            (device.address(a), device.address(b), device.address_mut(y), *walk, function);
        self.of::<T>().binary.launch(device, blocks_of(blocks), &arguments)
    }

    /// Computes y = mask ? x : otherwise; the operands of the walk are mask, x and otherwise.
    pub fn select<T: Real>(
        &self,
        walk: &Walk,
        mask: &CudaView<'_, bool>,
        x: &CudaView<'_, T>,
        otherwise: &CudaView<'_, T>,
        y: &mut CudaViewMut<'_, T>,
    ) -> Result<()> {
        check_reach("mask", walk, 0, mask.len())?;
        check_reach("x", walk, 1, x.len())?;
        check_reach("otherwise", walk, 2, otherwise.len())?;
        check_length("y", walk.size as usize, y.len())?;
        if y.is_empty() {
            return Ok(());
        }
        let blocks = y.len().div_ceil(ELEMENTS);
        let device = &*self.device;
        let arguments = (
            device.address(mask),
            device.address(x),
            device.address(otherwise),
            device.address_mut(y),
            *walk,
        );
        self.of::<T>().select.launch(device, blocks_of(blocks), &arguments)
    }

    /// Computes y = x or y += x; the operands of the walk are y and x.
    pub fn copy<T: Real>(
        &self,
        walk: &Walk,
        x: &CudaView<'_, T>,
        y: &mut CudaViewMut<'_, T>,
        add: bool,
    ) -> Result<()> {
        check_reach("y", walk, 0, y.len())?;
        check_reach("x", walk, 1, x.len())?;
        if walk.size == 0 {
            return Ok(());
        }
        let (blocks, add) = ((walk.size as usize).div_ceil(ELEMENTS), i32::from(add));
        let device = &*self.device;
        let arguments = (device.address(x), device.address_mut(y), *walk, add);
        self.of::<T>().copy.launch(device, blocks_of(blocks), &arguments)
    }

    /// Computes `y[o, m, i] = x[o, indices[m], i]`; the indices lie below `length`.
    pub fn gather<T: Real>(
        &self,
        [outer, length, inner]: [usize; 3],
        x: &CudaView<'_, T>,
        indices: &CudaView<'_, usize>,
        y: &mut CudaViewMut<'_, T>,
    ) -> Result<()> {
        check_length("x", outer * length * inner, x.len())?;
        check_length("y", outer * indices.len() * inner, y.len())?;
        if y.is_empty() {
            return Ok(());
        }
        let blocks = y.len().div_ceil(ELEMENTS);
        let [outer, length, inner] = [outer, length, inner].map(|axis| axis as i64);
        let count = indices.len() as i64;
        let kernel = &self.of::<T>().gather;
        let device = &*self.device;
        let arguments = (
            device.address(x),
            device.address(indices),
            device.address_mut(y),
            outer,
            length,
            inner,
            count,
        );
        kernel.launch(device, blocks_of(blocks), &arguments)
    }

    /// Computes `gx[o, indices[m], i] += gy[o, m, i]`, given the sorted indices: the distinct ones
    /// are in `entries`, and those m that have `entries[d]` in `order[starts[d]..starts[d + 1]]`.
    pub fn gather_adjoint<T: Real>(
        &self,
        [outer, length, inner]: [usize; 3],
        gy: &CudaView<'_, T>,
        [entries, starts, order]: [&CudaView<'_, usize>; 3],
        gx: &mut CudaViewMut<'_, T>,
    ) -> Result<()> {
        check_length("gx", outer * length * inner, gx.len())?;
        check_length("gy", outer * order.len() * inner, gy.len())?;
        check_length("starts", entries.len() + 1, starts.len())?;
        let elements = outer * entries.len() * inner;
        if elements == 0 {
            return Ok(());
        }
        let blocks = elements.div_ceil(ELEMENTS);
        let [outer, length, inner] = [outer, length, inner].map(|axis| axis as i64);
        let (count, distinct) = (order.len() as i64, entries.len() as i64);
        let kernel = &self.of::<T>().gather_adjoint;
        let device = &*self.device;
        let arguments = (
            device.address(gy),
            device.address(entries),
            device.address(starts),
            device.address(order),
            device.address_mut(gx),
            outer,
            length,
            inner,
            count,
            distinct,
        );
        kernel.launch(device, blocks_of(blocks), &arguments)
    }

    /// Computes target = or += the sums of the terms; `a` and `mask` exclude each other, and `b`
    /// needs `a`. The types differ, f32 and f64, for the scratch of sums that are split.
    pub fn reduce<T: Real, U: Real>(
        &self,
        reduction: &Reduction,
        g: &CudaView<'_, T>,
        a: Option<&CudaView<'_, T>>,
        b: Option<&CudaView<'_, T>>,
        mask: Option<&CudaView<'_, bool>>,
        target: &mut CudaViewMut<'_, U>,
    ) -> Result<()> {
        let Reduction { kept, reduced, lanes, splits, .. } = reduction;
        let (walks, lens) = ([kept, reduced], [Some(g.len()), a.map(CudaView::len)]);
        let others = [mask.map(CudaView::len), b.map(CudaView::len)];
        for (name, operand, len) in
            [("g", 1, lens[0]), ("a", 2, lens[1]), ("mask", 2, others[0]), ("b", 3, others[1])]
        {
            if let Some(len) = len {
                check_reaches(name, walks, operand, 0, len)?;
            }
        }
        let last = reduction.offset + i64::from(splits - 1) * reduction.split_stride;
        if kept.size > 0 {
            check_reach("target", kept, 0, target.len().saturating_sub(last as usize))?;
        } else {
            return Ok(());
        }
        let blocks = *splits as usize * (kept.size as usize).div_ceil(THREADS / *lanes as usize);
        let kernel = match (T::NAME, U::NAME) {
            ("f32", "f64") => &self.f32.reduce_to_splits,
            ("f64", "f32") => &self.f32.reduce_splits,
            _ => &self.of::<T>().reduce,
        };
        let device = &*self.device;
        let read = |view: Option<&CudaView<'_, T>>| {
            view.map_or(Address::NONE, |view| device.address(view))
        };
        let mask = mask.map_or(Address::NONE, |mask| device.address(mask));
        let target = device.address_mut(target);
        let arguments = (read(Some(g)), read(a), read(b), mask, target, *reduction);
        kernel.launch(device, blocks_of(blocks), &arguments)
    }

    /// Computes y = the maxima along the middle axis, and the positions where they are first
    /// attained.
    pub fn max<T: Real>(
        &self,
        [outer, length, inner]: [usize; 3],
        lanes: i32,
        x: &CudaView<'_, T>,
        y: &mut CudaViewMut<'_, T>,
        arguments: &mut CudaViewMut<'_, usize>,
    ) -> Result<()> {
        check_length("x", outer * length * inner, x.len())?;
        check_length("y", outer * inner, y.len())?;
        check_length("arguments", outer * inner, arguments.len())?;
        if y.is_empty() {
            return Ok(());
        }
        let blocks = y.len().div_ceil(THREADS / lanes as usize);
        let [outer, length, inner] = [outer, length, inner].map(|axis| axis as i64);
        let kernel = &self.of::<T>().max;
        let device = &*self.device;
        let arguments = (
            device.address(x),
            device.address_mut(y),
            device.address_mut(arguments),
            outer,
            length,
            inner,
            lanes,
        );
        kernel.launch(device, blocks_of(blocks), &arguments)
    }

    /// Computes gx += gy at the positions of the maxima, which lie below `length`.
    pub fn max_adjoint<T: Real>(
        &self,
        [outer, length, inner]: [usize; 3],
        gy: &CudaView<'_, T>,
        arguments: &CudaView<'_, usize>,
        gx: &mut CudaViewMut<'_, T>,
    ) -> Result<()> {
        check_length("gx", outer * length * inner, gx.len())?;
        check_length("gy", outer * inner, gy.len())?;
        check_length("arguments", outer * inner, arguments.len())?;
        if gy.is_empty() {
            return Ok(());
        }
        let blocks = gy.len().div_ceil(THREADS);
        let [outer, length, inner] = [outer, length, inner].map(|axis| axis as i64);
        let kernel = &self.of::<T>().max_adjoint;
        let device = &*self.device;
        let arguments = (
            device.address(gy),
            device.address(arguments),
            device.address_mut(gx),
            outer,
            length,
            inner,
        );
        kernel.launch(device, blocks_of(blocks), &arguments)
    }

    /// Computes y = the logarithm of the softmax of x in rows of `length`.
    pub fn log_softmax<T: Real>(
        &self,
        length: usize,
        lanes: i32,
        x: &CudaView<'_, T>,
        y: &mut CudaViewMut<'_, T>,
    ) -> Result<()> {
        check_length("y", x.len(), y.len())?;
        if y.is_empty() {
            return Ok(());
        }
        let rows = y.len() / length;
        check_length("x", rows * length, x.len())?;
        let blocks = rows.div_ceil(THREADS / lanes as usize);
        let (rows, length) = (rows as i64, length as i64);
        let device = &*self.device;
        let arguments = (device.address(x), device.address_mut(y), rows, length, lanes);
        self.of::<T>().log_softmax.launch(device, blocks_of(blocks), &arguments)
    }

    /// Computes gx += gy − e^y Σ gy in rows of `length`.
    pub fn log_softmax_adjoint<T: Real>(
        &self,
        length: usize,
        lanes: i32,
        y: &CudaView<'_, T>,
        gy: &CudaView<'_, T>,
        gx: &mut CudaViewMut<'_, T>,
    ) -> Result<()> {
        check_length("y", gx.len(), y.len())?;
        check_length("gy", gx.len(), gy.len())?;
        if gx.is_empty() {
            return Ok(());
        }
        let rows = gx.len() / length;
        check_length("gx", rows * length, gx.len())?;
        let blocks = rows.div_ceil(THREADS / lanes as usize);
        let (rows, length) = (rows as i64, length as i64);
        let kernel = &self.of::<T>().log_softmax_adjoint;
        let device = &*self.device;
        let arguments =
            (device.address(y), device.address(gy), device.address_mut(gx), rows, length, lanes);
        kernel.launch(device, blocks_of(blocks), &arguments)
    }

    /// Computes c = or += the products; the operands of the walks are c, a and b.
    pub fn matmul<T: Real>(
        &self,
        product: &MatMul,
        a: &CudaView<'_, T>,
        b: &CudaView<'_, T>,
        c: &mut CudaViewMut<'_, T>,
    ) -> Result<()> {
        let MatMul { kept, reduced, m, k, n, splits, .. } = product;
        if *m == 0 || *n == 0 || kept.size == 0 {
            return Ok(());
        }
        // Last elements of one matrix.
        let last_a = (m - 1) * product.a_row + (k - 1) * product.a_column;
        let last_b = (k - 1) * product.b_row + (n - 1) * product.b_column;
        let last_c = m * n - 1 + i64::from(splits - 1) * product.split_stride;
        if *k > 0 {
            check_reaches("a", [kept, reduced], 1, last_a, a.len())?;
            check_reaches("b", [kept, reduced], 2, last_b, b.len())?;
        }
        check_reach("c", kept, 0, c.len().saturating_sub(last_c as usize))?;
        let tiles = (*m as usize).div_ceil(TILE) * (*n as usize).div_ceil(TILE);
        let blocks = *splits as usize * tiles * kept.size as usize;
        let device = &*self.device;
        let arguments = (device.address(a), device.address(b), device.address_mut(c), *product);
        self.of::<T>().matmul.launch(device, blocks_of(blocks), &arguments)
    }

    /// Computes partials = the sums of squares of parts of g, one for each of the values of
    /// `partials`.
    pub fn squares<T: Real>(
        &self,
        g: &CudaView<'_, T>,
        partials: &mut CudaViewMut<'_, f64>,
    ) -> Result<()> {
        let (blocks, n) = (partials.len(), g.len() as i64);
        if blocks == 0 {
            return Ok(());
        }
        let device = &*self.device;
        let arguments = (device.address(g), n, device.address_mut(partials));
        self.of::<T>().squares.launch(device, blocks_of(blocks), &arguments)
    }

    /// Computes norm = √(Σ partials).
    pub fn gradient_norm(
        &self,
        partials: &CudaView<'_, f64>,
        norm: &mut CudaViewMut<'_, f64>,
    ) -> Result<()> {
        check_length("norm", 1, norm.len())?;
        let count = partials.len() as i64;
        let device = &*self.device;
        let arguments = (device.address(partials), count, device.address_mut(norm));
        self.gradient_norm.launch(device, blocks_of(1), &arguments)
    }

    /// Takes one step of gradient descent with velocity v.
    pub fn sgd<T: Real>(
        &self,
        update: &Update,
        x: &mut CudaViewMut<'_, T>,
        v: &mut CudaViewMut<'_, T>,
        g: &CudaView<'_, T>,
        norm: &CudaView<'_, f64>,
    ) -> Result<()> {
        let n = x.len();
        check_length("v", n, v.len())?;
        check_length("g", n, g.len())?;
        check_length("norm", 1, norm.len())?;
        if n == 0 {
            return Ok(());
        }
        let (kernel, blocks, n) = (&self.of::<T>().sgd, n.div_ceil(THREADS), n as i64);
        let device = &*self.device;
        let arguments = (
            device.address_mut(x),
            device.address_mut(v),
            device.address(g),
            n,
            device.address(norm),
            *update,
        );
        kernel.launch(device, blocks_of(blocks), &arguments)
    }

    /// Takes one step of Adam.
    pub fn adam<T: Real>(
        &self,
        update: &Update,
        x: &mut CudaViewMut<'_, T>,
        [first, second]: [&mut CudaViewMut<'_, T>; 2],
        g: &CudaView<'_, T>,
        norm: &CudaView<'_, f64>,
    ) -> Result<()> {
        let n = x.len();
        check_length("first moment", n, first.len())?;
        check_length("second moment", n, second.len())?;
        check_length("g", n, g.len())?;
        check_length("norm", 1, norm.len())?;
        if n == 0 {
            return Ok(());
        }
        let (kernel, blocks, n) = (&self.of::<T>().adam, n.div_ceil(THREADS), n as i64);
        let device = &*self.device;
        let arguments = (
            device.address_mut(x),
            device.address_mut(first),
            device.address_mut(second),
            device.address(g),
            n,
            device.address(norm),
            *update,
        );
        kernel.launch(device, blocks_of(blocks), &arguments)
    }
}
