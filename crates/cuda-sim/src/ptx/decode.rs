//! The translation of functions of the syntax tree to code for the interpreter.
//!
//! A function is decoded twice. The first pass numbers its registers and notes which ones every
//! instruction reads and writes; from that and the control flow, registers that are never live at
//! the same time get the same place. The second pass builds the code with these places.

mod control_flow;
mod function;
mod opcode;
mod registers;
mod symbols;

pub(super) use function::{decode, shared_variable};
pub(crate) use opcode::Opcode;
pub(super) use symbols::ModuleSymbols;
pub(crate) use symbols::{Address, Decoder, Space};

use super::PtxError;

/// A result whose error message still lacks its line.
pub(crate) type Decoded<T> = Result<T, String>;

fn at_line<T>(line: u32, result: Decoded<T>) -> Result<T, PtxError> {
    result.map_err(|message| PtxError { line, message })
}
