//! The decoded form of a program, which the interpreter runs.

use super::atomics::Atomic;
use super::barrier::Barrier;
use super::collectives::Collective;
use super::cp_async::AsyncCopy;
use super::lanes::{Alu, Comparison, Operands};
use super::load_store::Access;
use super::mma::Mma;
use super::special_registers::SpecialRegister;
use crate::counters::Class;
use crate::ptx::SourceLocation;

/// The program counter of the virtual exit, where a path ends that only ends with its function.
pub(crate) const EXIT: u32 = u32::MAX;
/// The predicate slot that is always true.
pub(crate) const TRUE: u32 = 0;
/// The predicate slot that is always false.
pub(crate) const FALSE: u32 = 1;
/// The predicate slot of the carry flag.
pub(crate) const CARRY: u32 = 2;
/// The predicate slot that `set` passes its comparison through.
pub(crate) const SCRATCH: u32 = 3;
/// The first predicate slot for the program's predicates.
pub(crate) const FIRST_PREDICATE: u32 = 4;

/// A decoded instruction.
#[derive(Debug)]
pub(crate) struct Instruction {
    pub(crate) op: Op,
    /// Predicate slot that guards the instruction.
    pub(crate) guard: u32,
    /// Mask to exclusive-or the guard with: all ones for `@!p`.
    pub(crate) guard_flip: u32,
}

/// The operation of an instruction.
#[derive(Debug)]
pub(crate) enum Op {
    /// Arithmetic on registers.
    Alu { run: Alu, operands: Operands },
    /// `setp`.
    SetPredicate(Box<SetPredicate>),
    /// A jump; lanes that do not jump wait at `reconverge`, the immediate post-dominator.
    Branch { target: u32, reconverge: u32 },
    /// `brx.idx`.
    BranchIndexed { index: u32, targets: Box<[u32]>, reconverge: u32 },
    /// Call of a device function.
    Call(Box<Call>),
    /// `ret` of a device function.
    Return,
    /// `exit`, or `ret` of a kernel.
    Exit,
    /// Load or store.
    Access(Box<Access>),
    /// `atom` or `red`.
    Atomic(Box<Atomic>),
    /// Shuffle, vote, match, redux, activemask, elect.
    Collective(Box<Collective>),
    /// `bar`, `barrier`.
    Barrier(Box<Barrier>),
    /// `bar.warp.sync` with its mask register.
    WarpBarrier { mask: u32 },
    /// `membar` or `fence`; `device` is true at device scope or wider.
    Fence { device: bool },
    /// `cp.async` or an instruction that waits for it.
    AsyncCopy(Box<AsyncCopy>),
    /// `mma.sync`.
    Mma(Box<Mma>),
    /// A read of a special register that changes while a warp runs.
    SpecialRegister { which: SpecialRegister, d: u32, bytes: u32 },
    /// `trap` or `brkpt`.
    Trap,
    /// `__assertfail`, whose message, file, line and function are in local memory.
    AssertFail { arguments: [u32; 4] },
    /// `vprintf`, with format and arguments in local memory, and the place of its result.
    Print { arguments: [u32; 2], result: u32 },
    /// Hints without an effect: prefetch, nanosleep, discard.
    Nothing,
}

/// `setp` and its combination with a third predicate.
#[derive(Debug)]
pub(crate) struct SetPredicate {
    pub(crate) compare: Comparison,
    pub(crate) a: u32,
    pub(crate) b: u32,
    /// Operation that combines the result with predicate `c` (exclusive-or `c_flip`).
    pub(crate) combine: Combine,
    pub(crate) c: u32,
    pub(crate) c_flip: u32,
    /// Predicates for the result and for its complement.
    pub(crate) p: Option<u32>,
    pub(crate) q: Option<u32>,
    /// Selection that turns the result of `set` into a number.
    pub(crate) register: Option<(Alu, Operands)>,
}

/// Boolean operation of `setp` and `set`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Combine {
    None,
    And,
    Or,
    Xor,
}

impl Combine {
    /// Combines the result of a comparison with the third predicate.
    pub(crate) fn apply(self, result: u32, c: u32) -> u32 {
        match self {
            Self::None => result,
            Self::And => result & c,
            Self::Or => result | c,
            Self::Xor => result ^ c,
        }
    }
}

/// A call, with the bytes of local memory that are copied to the callee's parameters and from its
/// results.
#[derive(Debug)]
pub(crate) struct Call {
    /// Index of the function in the module.
    pub(crate) function: usize,
    /// Copies of arguments: from (caller's frame), to (callee's frame), bytes.
    pub(crate) arguments: Vec<(u32, u32, u32)>,
    /// Copies of results: from (callee's frame), to (caller's frame), bytes.
    pub(crate) results: Vec<(u32, u32, u32)>,
}

/// A constant kept in a register of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ConstantValue {
    /// A number.
    Bits(u64),
    /// The address of a `.global` or `.const` variable of the module (by index) plus an offset.
    Global(usize, i64),
    /// The address in shared memory of a variable of the module's shared list plus an offset.
    Shared(usize, i64),
    /// An offset in the frame's local memory.
    Local(i64),
    /// A special register that is the same for a whole launch or block, or known per lane.
    Special(SpecialRegister),
}

/// A register that is filled before a warp starts and never written after.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Constant {
    pub(crate) value: ConstantValue,
    /// Width in bytes.
    pub(crate) bytes: u32,
}

/// A shared variable.
#[derive(Clone, Debug)]
pub(crate) struct SharedVariable {
    pub(crate) bytes: u32,
    pub(crate) align: u32,
    /// Whether the variable is `.extern .shared name[]`, which starts where the static variables
    /// end.
    pub(crate) is_dynamic: bool,
}

/// The decoded form of a function. Offsets are relative to the frame that the linker gives it in a
/// kernel.
#[derive(Debug)]
pub(crate) struct FunctionCode {
    pub(crate) name: String,
    pub(crate) code: Vec<Instruction>,
    pub(crate) classes: Vec<Class>,
    /// PTX line and source location of every instruction.
    pub(crate) lines: Vec<(u32, SourceLocation)>,
    pub(crate) register_bytes: u32,
    pub(crate) predicates: u32,
    /// Registers that are filled at the start.
    pub(crate) constants: Vec<(u32, Constant)>,
    /// Registers that may be read before they are written: (offset, bytes per lane).
    pub(crate) cleared: Vec<(u32, u32)>,
    pub(crate) local_bytes: u32,
    /// Offset and size of parameters and results in the frame's local memory.
    pub(crate) params: Vec<(u32, u32)>,
    pub(crate) results: Vec<(u32, u32)>,
    /// Functions that it calls and shared variables that it names, by index in the module.
    pub(crate) calls: Vec<usize>,
    pub(crate) shared: Vec<usize>,
    /// Narrowest access to global and to shared memory in bytes, which determines the granule of
    /// race shadows.
    pub(crate) narrowest_access: u32,
    /// Whether the outcome depends on the order of blocks (see [`super::launch`]).
    pub(crate) is_order_dependent: bool,
}
