//! Reads PTX text and makes kernels that are ready to run.

mod ast;
pub(crate) mod decode;
mod lexer;
pub(crate) mod link;
mod parser;
pub(crate) mod types;

use crate::exec::operation::FunctionCode;
use crate::memory::{DeviceMemory, MemoryError};
use ast::{Initializer, Program, Variable};
pub(crate) use ast::{Operand, SourceLocation};
use link::{InitialValue, Linked};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The reason why a module was refused, with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PtxError {
    /// Line of the PTX text, counted from 1.
    pub line: u32,
    /// Description of what is wrong with it.
    pub message: String,
}

impl fmt::Display for PtxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PTX line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for PtxError {}

/// A parameter of a kernel, with its place in the packed parameter buffer.
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
#[derive(Clone, Debug)]
pub struct Kernel {
    /// (Mangled) name of the kernel.
    pub name: String,
    /// Parameters in order.
    pub params: Vec<ParamDecl>,
    /// Size of the packed parameter buffer.
    pub param_bytes: usize,
    /// Statically declared shared memory, in bytes.
    pub static_shared: u32,
    /// Local memory of a thread, in bytes.
    pub local_bytes: u32,
    /// Most threads of a block in x, y and z, from `.maxntid`.
    pub max_threads: Option<[u32; 3]>,
    /// Threads of a block in x, y and z, from `.reqntid`.
    pub required_threads: Option<[u32; 3]>,
    /// Least number of blocks on a multiprocessor, from `.minnctapersm`.
    pub min_blocks: Option<u32>,
    pub(crate) linked: Linked,
}

/// A variable of a module, with its initial bytes.
#[derive(Clone, Debug)]
struct Global {
    name: String,
    bytes: u64,
    /// Initial bytes; empty for a variable that is zero.
    image: Vec<u8>,
    /// Addresses that are put into the image: position, width, variable, offset.
    addresses: Vec<(usize, usize, usize, i64)>,
}

/// A parsed module that is not yet on a device.
#[derive(Debug)]
pub struct Module {
    kernels: Vec<Kernel>,
    globals: Vec<Global>,
    files: HashMap<u32, String>,
}

impl Module {
    /// Parses and decodes a whole module.
    ///
    /// # Errors
    /// The first line that is not understood, and why.
    pub fn parse(ptx: &str) -> Result<Self, PtxError> {
        let program = parser::parse(&lexer::tokens(ptx)?)?;
        let mut symbols = decode::ModuleSymbols::default();
        let mut shared = Vec::new();
        let mut global_variables = Vec::new();
        for variable in &program.variables {
            if variable.space == ast::VariableSpace::Shared {
                symbols.shared.insert(variable.name, shared.len());
                shared.push(decode::shared_variable(variable)?);
            } else if variable.is_extern {
                let message = format!("variable '{}' is not in this module", variable.name);
                return Err(PtxError { line: variable.line, message });
            } else {
                symbols.globals.insert(variable.name, global_variables.len());
                global_variables.push(variable);
            }
        }
        for (index, function) in program.functions.iter().enumerate() {
            if function.body.is_some() {
                symbols.functions.insert(function.name, index);
            }
        }
        let mut functions = Vec::new();
        for function in &program.functions {
            functions.push(match function.body {
                Some(_) => Some(decode::decode(function, &symbols, &mut shared)?),
                None => None,
            });
        }
        link::connect_calls(&mut functions)?;
        let functions: Vec<Option<Arc<FunctionCode>>> =
            functions.into_iter().map(|function| function.map(Arc::new)).collect();
        let mut kernels = Vec::new();
        for (index, function) in program.functions.iter().enumerate() {
            if function.is_entry && function.body.is_some() {
                kernels.push(link::link(&functions, &shared, index, function)?);
            }
        }
        let globals = global_variables
            .into_iter()
            .map(|variable| global(variable, &symbols))
            .collect::<Result<_, _>>()?;
        Ok(Self { kernels, globals, files: files(&program) })
    }

    /// Returns all kernels, in the order of the text.
    pub fn kernels(&self) -> &[Kernel] {
        &self.kernels
    }

    /// Returns the kernel of this name.
    pub fn kernel(&self, name: &str) -> Option<&Kernel> {
        self.kernels.iter().find(|kernel| kernel.name == name)
    }

    /// Puts the module's variables into device memory and resolves their addresses.
    ///
    /// # Errors
    /// [`MemoryError::OutOfMemory`] if the variables do not fit.
    pub fn load(self, memory: &DeviceMemory) -> Result<LoadedModule, MemoryError> {
        let mut globals: Vec<(String, u64, u64)> = Vec::new();
        let release = |globals: &[(String, u64, u64)]| {
            globals.iter().try_for_each(|(_, address, _)| memory.free(*address))
        };
        for global in &self.globals {
            let bytes = global.bytes.max(1);
            let Some(address) = memory.allocate(bytes) else {
                release(&globals)?;
                return Err(MemoryError::OutOfMemory { bytes });
            };
            globals.push((global.name.clone(), address, global.bytes));
        }
        for (global, (_, address, bytes)) in self.globals.iter().zip(&globals) {
            memory.fill(*address, &[0], *bytes)?;
            let mut image = global.image.clone();
            for &(at, width, variable, offset) in &global.addresses {
                let value = globals[variable].1.wrapping_add_signed(offset).to_le_bytes();
                image[at..at + width].copy_from_slice(&value[..width]);
            }
            memory.write(*address, &image)?;
        }
        let mut kernels = self.kernels;
        for (_, _, value) in kernels.iter_mut().flat_map(|kernel| &mut kernel.linked.initial) {
            if let InitialValue::Global(variable, offset) = *value {
                *value = InitialValue::Bits(globals[variable].1.wrapping_add_signed(offset));
            }
        }
        Ok(LoadedModule { kernels, globals, files: self.files })
    }
}

fn files(program: &Program<'_>) -> HashMap<u32, String> {
    program.files.iter().map(|(&number, &name)| (number as u32, name.to_owned())).collect()
}

fn global(
    variable: &Variable<'_>,
    symbols: &decode::ModuleSymbols<'_>,
) -> Result<Global, PtxError> {
    let fail = |message: String| Err(PtxError { line: variable.line, message });
    let (mut image, mut addresses) = (Vec::new(), Vec::new());
    for element in &variable.initializer {
        match element {
            Initializer::Bytes(bytes) => image.extend_from_slice(bytes),
            Initializer::Address { symbol, offset, bytes } => {
                let Some(&index) = symbols.globals.get(symbol) else {
                    return fail(format!("'{symbol}' in an initializer is no global variable"));
                };
                addresses.push((image.len(), (*bytes).min(8) as usize, index, *offset));
                image.resize(image.len() + *bytes as usize, 0);
            }
        }
    }
    if image.len() as u64 > variable.bytes {
        return fail(format!("'{}' has more initial values than elements", variable.name));
    }
    let name = variable.name.to_owned();
    Ok(Global { name, bytes: variable.bytes, image, addresses })
}

/// A module on a device, whose kernels can be launched.
#[derive(Debug)]
pub struct LoadedModule {
    kernels: Vec<Kernel>,
    /// Name, address and size of every variable.
    globals: Vec<(String, u64, u64)>,
    files: HashMap<u32, String>,
}

impl LoadedModule {
    /// Returns all kernels, in the order of the text.
    pub fn kernels(&self) -> &[Kernel] {
        &self.kernels
    }

    /// Returns the kernel of this name.
    pub fn kernel(&self, name: &str) -> Option<&Kernel> {
        self.kernels.iter().find(|kernel| kernel.name == name)
    }

    /// Returns the address and the size of the `.global` or `.const` variable of this name.
    pub fn global(&self, name: &str) -> Option<(u64, u64)> {
        let found = self.globals.iter().find(|(global, _, _)| global == name)?;
        Some((found.1, found.2))
    }

    /// Returns the name of a source file by its `.file` number.
    pub(crate) fn file(&self, number: u32) -> Option<&str> {
        self.files.get(&number).map(String::as_str)
    }

    /// Frees the module's variables.
    ///
    /// # Errors
    /// [`MemoryError`] if a variable was freed before.
    pub fn unload(&self, memory: &DeviceMemory) -> Result<(), MemoryError> {
        self.globals.iter().try_for_each(|(_, address, _)| memory.free(*address))
    }
}
