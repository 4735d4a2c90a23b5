//! The embedded kernels as files.

use std::{fs, path::Path};

use mechanistic::cuda::kernel_images;

use crate::{Failure, table::Table};

/// Writes the PTX of every kernel to a file of its name.
pub fn write(directory: &Path) -> Result<Table, Failure> {
    fs::create_dir_all(directory)?;
    let mut table = Table::new(&["kernel", "module", "bytes of PTX"]);
    for kernel in kernel_images() {
        let ptx = kernel.ptx();
        fs::write(directory.join(format!("{}.ptx", kernel.name)), &ptx)?;
        table.push([kernel.name.into(), kernel.module.into(), ptx.len().into()]);
    }
    Ok(table)
}
