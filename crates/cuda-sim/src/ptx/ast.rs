//! A module as it is written.

use super::types::Type;
use std::collections::BTreeMap;

/// A whole PTX text.
#[derive(Debug, Default)]
pub(super) struct Program<'a> {
    /// Variables outside functions: `.global`, `.const` and `.shared`.
    pub(super) variables: Vec<Variable<'a>>,
    pub(super) functions: Vec<Function<'a>>,
    /// `.file` names by number.
    pub(super) files: BTreeMap<u64, &'a str>,
}

/// State space of a declared variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VariableSpace {
    Global,
    Const,
    Shared,
    Local,
    Param,
}

/// A declared variable.
#[derive(Clone, Debug)]
pub(super) struct Variable<'a> {
    pub(super) space: VariableSpace,
    pub(super) name: &'a str,
    pub(super) align: u64,
    /// Size in bytes; 0 for `.extern .shared name[]`.
    pub(super) bytes: u64,
    pub(super) is_extern: bool,
    pub(super) initializer: Vec<Initializer<'a>>,
    pub(super) line: u32,
}

/// One element of an initializer.
#[derive(Clone, Debug)]
pub(super) enum Initializer<'a> {
    Bytes(Vec<u8>),
    /// The address of a symbol plus an offset, stored in so many bytes.
    Address {
        symbol: &'a str,
        offset: i64,
        bytes: u64,
    },
}

/// A kernel or device function.
#[derive(Debug)]
pub(super) struct Function<'a> {
    pub(super) name: &'a str,
    pub(super) is_entry: bool,
    pub(super) results: Vec<Variable<'a>>,
    pub(super) params: Vec<Variable<'a>>,
    /// `None` for a declaration.
    pub(super) body: Option<Vec<Statement<'a>>>,
    pub(super) max_threads: Option<[u32; 3]>,
    pub(super) required_threads: Option<[u32; 3]>,
    pub(super) min_blocks: Option<u32>,
    pub(super) line: u32,
}

/// A statement of a function body.
#[derive(Debug)]
pub(super) enum Statement<'a> {
    Label(&'a str),
    /// `{`: names declared from here on end with the matching `}`.
    Open,
    Close,
    Registers {
        ty: Type,
        name: &'a str,
        count: Option<u64>,
        line: u32,
    },
    Variable(Variable<'a>),
    /// `label: .branchtargets a, b;`
    Targets {
        name: &'a str,
        labels: Vec<&'a str>,
    },
    Instruction(Instruction<'a>),
}

/// A place in the CUDA source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct SourceLocation {
    /// `.file` number; 0 where nothing is known.
    pub(crate) file: u32,
    /// Line in that file.
    pub(crate) line: u32,
    /// File and line of the call, where the code was inlined.
    pub(crate) inlined_at: Option<(u32, u32)>,
}

/// An instruction.
#[derive(Debug)]
pub(super) struct Instruction<'a> {
    /// `@p` or `@!p`: predicate register, negated.
    pub(super) guard: Option<(&'a str, bool)>,
    /// Opcode with all its modifiers.
    pub(super) opcode: &'a str,
    pub(super) operands: Vec<Operand<'a>>,
    pub(super) line: u32,
    pub(super) source: SourceLocation,
}

/// An operand.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand<'a> {
    /// Register, symbol or label, plus a constant (symbols only).
    Name(&'a str, i64),
    /// An integer literal, sign applied.
    Integer(i64),
    F32(u32),
    F64(u64),
    /// `{a, b}`.
    Vector(Vec<Operand<'a>>),
    /// `[base + offset]`; no base for an absolute address.
    Address(Option<&'a str>, i64),
    /// `!p`.
    Not(&'a str),
    /// `a|b`: two results.
    Pair(&'a str, &'a str),
    /// `(a, b)` of a call.
    Group(Vec<Operand<'a>>),
}
