//! PTX text to kernels ready to run.

use crate::memory::{DeviceMemory, MemoryError};
use std::fmt;

/// Why a module was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PtxError {
    /// Line of the PTX text, from 1.
    pub line: u32,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for PtxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PTX line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for PtxError {}

/// One kernel parameter in the packed parameter buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamDecl {
    /// Size in bytes.
    pub size: usize,
    /// Alignment in bytes.
    pub align: usize,
    /// Offset in the parameter buffer.
    pub offset: usize,
}

/// A kernel (`.entry`) ready to run.
#[derive(Debug)]
pub struct Kernel {
    /// Its (mangled) name.
    pub name: String,
    /// Its parameters in order.
    pub params: Vec<ParamDecl>,
    /// Size of the packed parameter buffer.
    pub param_bytes: usize,
    /// Statically declared shared memory, in bytes.
    pub static_shared: u32,
    /// Local memory of a thread, in bytes.
    pub local_bytes: u32,
    /// `.maxntid`.
    pub max_threads: Option<[u32; 3]>,
    /// `.reqntid`.
    pub required_threads: Option<[u32; 3]>,
    /// `.minnctapersm`.
    pub min_blocks: Option<u32>,
}

/// A parsed module, not yet on a device.
#[derive(Debug)]
pub struct Module {}

impl Module {
    /// Parses and decodes a whole module.
    ///
    /// # Errors
    /// The first line that is not understood.
    pub fn parse(ptx: &str) -> Result<Self, PtxError> {
        let _ = ptx;
        Ok(Self {})
    }

    /// Puts the module's variables into device memory and resolves their addresses.
    ///
    /// # Errors
    /// Out of memory.
    pub fn load(self, memory: &DeviceMemory) -> Result<LoadedModule, MemoryError> {
        let _ = memory;
        Ok(LoadedModule {
            kernels: Vec::new(),
        })
    }
}

/// A module on a device: its kernels can be launched.
#[derive(Debug)]
pub struct LoadedModule {
    kernels: Vec<Kernel>,
}

impl LoadedModule {
    /// All kernels, in the order of the text.
    pub fn kernels(&self) -> &[Kernel] {
        &self.kernels
    }

    /// The kernel of that name.
    pub fn kernel(&self, name: &str) -> Option<&Kernel> {
        self.kernels.iter().find(|kernel| kernel.name == name)
    }

    /// Address and size of the `.global` or `.const` variable of that name.
    pub fn global(&self, name: &str) -> Option<(u64, u64)> {
        let _ = name;
        None
    }

    /// Frees the module's variables.
    ///
    /// # Errors
    /// A variable was freed before.
    pub fn unload(&self, memory: &DeviceMemory) -> Result<(), MemoryError> {
        let _ = memory;
        Ok(())
    }
}
