//! The extension module `mechanistic._native`: solves among arrays that belong to Python, and the
//! discovery of equations.
//!
//! Arrays come as addresses, of the program's memory or of a CUDA device's, and only shapes and
//! lengths are checked here. The Python modules of the package, which see to it that an address holds
//! what its shape says, are the only callers, besides XLA, which tells what each of its arrays holds.

mod device;
mod discovery;
mod errors;
mod factor;
mod factored;
mod host;
mod lent;
mod memory;
mod options;
mod pool;
mod process;
mod rows;
mod threads;
mod xla;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    process::count_forks()?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<options::SolveOptions>()?;
    module.add_class::<factor::Factor>()?;
    module.add_function(wrap_pyfunction!(factor::solve, module)?)?;
    module.add_function(wrap_pyfunction!(factor::find, module)?)?;
    module.add_function(wrap_pyfunction!(factor::vjp, module)?)?;
    module.add_function(wrap_pyfunction!(factor::check_sizes, module)?)?;
    module.add_function(wrap_pyfunction!(xla::xla_handlers, module)?)?;
    module.add_function(wrap_pyfunction!(pool::cache_info, module)?)?;
    module.add_function(wrap_pyfunction!(pool::clear_cache, module)?)?;
    module.add_function(wrap_pyfunction!(rows::smoothness_rows, module)?)?;
    module.add_function(wrap_pyfunction!(lent::use_openmp, module)?)?;
    module.add_function(wrap_pyfunction!(threads::num_threads, module)?)?;
    module.add_function(wrap_pyfunction!(threads::set_num_threads, module)?)?;
    module.add_function(wrap_pyfunction!(discovery::discover, module)?)?;
    module.add_function(wrap_pyfunction!(discovery::latex, module)?)?;
    module.add_function(wrap_pyfunction!(discovery::text, module)?)?;
    module.add_function(wrap_pyfunction!(discovery::simulate, module)?)?;
    module.add_function(wrap_pyfunction!(discovery::derivative, module)?)?;
    Ok(())
}
