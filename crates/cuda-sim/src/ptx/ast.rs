//! The syntax tree of a module, which has the module as it is written.

use super::types::Type;
use std::collections::BTreeMap;

/// The syntax tree of a whole PTX text.
#[derive(Debug, Default)]
pub(super) struct Program<'a> {
    /// Variables outside functions, in `.global`, `.const` and `.shared`.
    pub(super) variables: Vec<Variable<'a>>,
    pub(super) functions: Vec<Function<'a>>,
    /// Names of the `.file` directives by number.
    pub(super) files: BTreeMap<u64, &'a str>,
}

/// A state space of declared variables.
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

/// An element of an initializer.
#[derive(Clone, Debug)]
pub(super) enum Initializer<'a> {
    Bytes(Vec<u8>),
    /// The address of a symbol plus an offset, stored in `bytes` bytes.
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
    /// Statements of the body; `None` for a declaration.
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
    /// An opening brace: names declared from it on end with the matching `}`.
    Open,
    Close,
    Registers {
        ty: Type,
        name: &'a str,
        count: Option<u64>,
        line: u32,
    },
    Variable(Variable<'a>),
    /// A list of jump targets, `label: .branchtargets a, b;`.
    Targets {
        name: &'a str,
        labels: Vec<&'a str>,
    },
    Instruction(Instruction<'a>),
}

/// A place in the CUDA source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct SourceLocation {
    /// Number of the `.file` directive; 0 where nothing is known.
    pub(crate) file: u32,
    /// Line in that file.
    pub(crate) line: u32,
    /// File and line of the call, if the code was inlined.
    pub(crate) inlined_at: Option<(u32, u32)>,
}

/// An instruction of a function body.
#[derive(Debug)]
pub(super) struct Instruction<'a> {
    /// Guard `@p` or `@!p`: the predicate register, and whether it is negated.
    pub(super) guard: Option<(&'a str, bool)>,
    /// Opcode with all its modifiers.
    pub(super) opcode: &'a str,
    pub(super) operands: Vec<Operand<'a>>,
    pub(super) line: u32,
    pub(super) source: SourceLocation,
}

/// An operand of an instruction.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand<'a> {
    /// A register, symbol or label, plus a constant (symbols only).
    Name(&'a str, i64),
    /// An integer literal with its sign applied.
    Integer(i64),
    F32(u32),
    F64(u64),
    /// A vector, `{a, b}`.
    Vector(Vec<Operand<'a>>),
    /// A memory address, `[base + offset]`; an absolute address has no base.
    Address(Option<&'a str>, i64),
    /// A complemented predicate, `!p`.
    Not(&'a str),
    /// Two results, `a|b`.
    Pair(&'a str, &'a str),
    /// A group of arguments or results of a call, `(a, b)`.
    Group(Vec<Operand<'a>>),
}
