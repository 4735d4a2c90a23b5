//! The names and operands of a function: the place of every register, variable and constant.

use super::Decoded;
use crate::exec::operation::{Constant, ConstantValue, FALSE, FIRST_PREDICATE, TRUE};
use crate::exec::special_registers::SpecialRegister;
use crate::ptx::ast::{Operand, Variable, VariableSpace};
use crate::ptx::types::Type;
use std::collections::HashMap;

/// The names that a module defines.
#[derive(Default)]
pub(in crate::ptx) struct ModuleSymbols<'a> {
    /// `.global` and `.const` variables by name.
    pub(in crate::ptx) globals: HashMap<&'a str, usize>,
    /// `.shared` variables outside functions.
    pub(in crate::ptx) shared: HashMap<&'a str, usize>,
    /// Functions by name.
    pub(in crate::ptx) functions: HashMap<&'a str, usize>,
}

/// A name that a function defines.
#[derive(Clone, Copy, Debug)]
enum Symbol {
    Register {
        id: u32,
        bytes: u32,
    },
    Predicate(u32),
    /// A variable at an offset in the frame's local memory (variables, and parameters of calls and
    /// functions).
    Local {
        offset: u32,
        bytes: u32,
    },
    KernelParam {
        offset: u32,
    },
    Shared(usize),
}

/// A family of registers, such as `%r<8>`.
#[derive(Clone, Copy)]
struct Family {
    first: Symbol,
    count: u64,
}

#[derive(Default)]
struct Scope<'a> {
    names: HashMap<&'a str, Symbol>,
    families: HashMap<&'a str, Family>,
}

/// A state space as an access sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Generic,
    Global,
    Const,
    Shared,
    Local,
    KernelParam,
}

impl std::fmt::Display for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Generic => "generic",
            Self::Global => "global",
            Self::Const => "constant",
            Self::Shared => "shared",
            Self::Local => "local",
            Self::KernelParam => "parameter",
        })
    }
}

/// A memory operand: `register + offset`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    /// Register with the base address.
    pub(crate) base: u32,
    /// Width of the base in bytes, 4 or 8.
    pub(crate) base_bytes: u32,
    /// Offset that is added to the base.
    pub(crate) offset: i64,
    /// Space that the base lies in, if it names a parameter.
    pub(crate) space: Option<Space>,
}

/// A decoder, which resolves the operands of one function and records which registers it uses.
pub(crate) struct Decoder<'a, 'm> {
    module: &'m ModuleSymbols<'a>,
    scopes: Vec<Scope<'a>>,
    /// Width in bytes of every register, constants included.
    pub(super) widths: Vec<u32>,
    pub(super) constants: HashMap<Constant, u32>,
    pub(super) predicates: u32,
    pub(super) local_bytes: u32,
    /// Registers that the current instruction reads and writes.
    pub(super) uses: Vec<u32>,
    pub(super) defs: Vec<u32>,
    /// Place of every register, in the second pass.
    pub(super) places: Option<&'m [u32]>,
    /// Shared variables of the whole module; those of this function are appended by the first pass.
    pub(super) shared_in_function: HashMap<(u32, &'a str), usize>,
    pub(super) shared_used: Vec<usize>,
    pub(super) calls: Vec<usize>,
    pub(super) narrowest_access: u32,
    pub(super) is_order_dependent: bool,
    /// Whether each register is read anywhere, by which an unused result of an atomic is
    /// recognized.
    pub(super) read_anywhere: Option<&'m [bool]>,
    /// Whether the function is a kernel.
    pub(crate) is_entry: bool,
}

impl<'a, 'm> Decoder<'a, 'm> {
    pub(super) fn new(module: &'m ModuleSymbols<'a>, is_entry: bool) -> Self {
        Self {
            module,
            scopes: vec![Scope::default()],
            widths: Vec::new(),
            constants: HashMap::new(),
            predicates: FIRST_PREDICATE,
            local_bytes: 0,
            uses: Vec::new(),
            defs: Vec::new(),
            places: None,
            shared_in_function: HashMap::new(),
            shared_used: Vec::new(),
            calls: Vec::new(),
            narrowest_access: 16,
            is_order_dependent: false,
            read_anywhere: None,
            is_entry,
        }
    }

    pub(super) fn open_scope(&mut self) {
        self.scopes.push(Scope::default());
    }

    pub(super) fn close_scope(&mut self) {
        self.scopes.pop();
    }

    fn scope(&mut self) -> &mut Scope<'a> {
        // The outermost scope is never closed: the parser matches the braces.
        self.scopes.last_mut().expect("a function has a scope")
    }

    /// Declares `name`, or the family `name<count>`.
    pub(super) fn declare_registers(
        &mut self,
        ty: Type,
        name: &'a str,
        count: Option<u64>,
    ) -> Decoded<()> {
        let number = count.unwrap_or(1);
        if number > 1 << 20 {
            return Err(format!("{number} registers '{name}' are too many"));
        }
        let bytes = ty.register_bytes();
        let first = match ty {
            Type::Pred => {
                self.predicates += number as u32;
                Symbol::Predicate(self.predicates - number as u32)
            }
            Type::B128 => return Err("128-bit registers are not supported".into()),
            _ => {
                let id = self.widths.len() as u32;
                self.widths.resize(self.widths.len() + number as usize, bytes);
                Symbol::Register { id, bytes }
            }
        };
        match count {
            Some(count) => {
                self.scope().families.insert(name, Family { first, count });
            }
            None => {
                self.scope().names.insert(name, first);
            }
        }
        Ok(())
    }

    /// Declares a variable in local memory and returns its offset.
    pub(super) fn declare_local(&mut self, variable: &Variable<'a>) -> Decoded<u32> {
        let offset = u64::from(self.local_bytes).next_multiple_of(variable.align);
        let end = offset + variable.bytes;
        if end > 512 << 10 {
            return Err(format!("'{}': local memory is limited to 512 KiB", variable.name));
        }
        self.local_bytes = end as u32;
        let (offset, bytes) = (offset as u32, variable.bytes as u32);
        self.scope().names.insert(variable.name, Symbol::Local { offset, bytes });
        Ok(offset)
    }

    pub(super) fn declare_kernel_param(&mut self, name: &'a str, offset: u32) {
        self.scope().names.insert(name, Symbol::KernelParam { offset });
    }

    pub(super) fn declare_shared(&mut self, variable: &Variable<'a>) -> Decoded<()> {
        debug_assert_eq!(variable.space, VariableSpace::Shared);
        let index = self.shared_in_function.get(&(variable.line, variable.name));
        let index = *index.ok_or("a shared variable is not listed")?;
        self.scope().names.insert(variable.name, Symbol::Shared(index));
        Ok(())
    }

    fn symbol(&self, name: &str) -> Option<Symbol> {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = name[stem.len()..].parse::<u64>().ok();
        for scope in self.scopes.iter().rev() {
            if let Some(&symbol) = scope.names.get(name) {
                return Some(symbol);
            }
            let family = scope.families.get(stem).zip(number);
            if let Some((family, number)) = family.filter(|(family, n)| *n < family.count) {
                let number = number as u32;
                return Some(match family.first {
                    Symbol::Register { id, bytes } => Symbol::Register { id: id + number, bytes },
                    Symbol::Predicate(slot) => Symbol::Predicate(slot + number),
                    other => other,
                });
            }
        }
        None
    }

    fn place(&self, id: u32) -> u32 {
        self.places.map_or(0, |places| places[id as usize])
    }

    fn constant(&mut self, value: ConstantValue, bytes: u32) -> u32 {
        let next = self.widths.len() as u32;
        let id = *self.constants.entry(Constant { value, bytes }).or_insert(next);
        if id == next {
            self.widths.push(bytes);
        }
        self.uses.push(id);
        self.place(id)
    }

    /// Returns a register that always holds `bits`.
    pub(crate) fn constant_bits(&mut self, bits: u64, bytes: u32) -> u32 {
        let mask = if bytes >= 8 { u64::MAX } else { (1 << (8 * bytes)) - 1 };
        self.constant(ConstantValue::Bits(bits & mask), bytes)
    }

    /// Returns a register that always holds the offset `offset` in the frame's local memory.
    fn constant_local(&mut self, offset: i64, bytes: u32) -> u32 {
        self.constant(ConstantValue::Local(offset), bytes)
    }

    /// Returns the place of a source operand, and the width of its register; a number takes
    /// `bytes`.
    pub(crate) fn source_any(&mut self, operand: &Operand<'a>, bytes: u32) -> Decoded<(u32, u32)> {
        let bits = match *operand {
            Operand::Name(name, offset) => return self.named_source(name, offset, bytes),
            Operand::Integer(value) => value as u64,
            Operand::F32(bits) if bytes == 4 => u64::from(bits),
            Operand::F64(bits) if bytes == 8 => bits,
            Operand::F64(bits) if bytes == 4 => u64::from((f64::from_bits(bits) as f32).to_bits()),
            _ => return Err(format!("operand {operand:?} does not fit the instruction")),
        };
        Ok((self.constant_bits(bits, bytes), bytes))
    }

    fn named_source(&mut self, name: &str, offset: i64, bytes: u32) -> Decoded<(u32, u32)> {
        let value = match self.symbol(name) {
            Some(Symbol::Register { id, bytes }) if offset == 0 => {
                self.uses.push(id);
                return Ok((self.place(id), bytes));
            }
            Some(Symbol::Register { .. }) => return Err(format!("'{name}' takes no offset")),
            Some(Symbol::Predicate(_)) => return Err(format!("'{name}' is a predicate")),
            Some(Symbol::Local { offset: start, .. }) => {
                return Ok((self.constant_local(i64::from(start) + offset, bytes), bytes));
            }
            Some(Symbol::KernelParam { offset: start }) => {
                ConstantValue::Bits((i64::from(start) + offset) as u64)
            }
            Some(Symbol::Shared(index)) => self.shared(index, offset),
            None if name == "WARP_SZ" => ConstantValue::Bits(32),
            None => match SpecialRegister::parse(name) {
                Some(special) if special.is_constant() => {
                    let bytes = special.bytes();
                    return Ok((self.constant(ConstantValue::Special(special), bytes), bytes));
                }
                Some(_) => return Err(format!("'{name}' can only be read by mov")),
                None => self.module_symbol(name, offset)?,
            },
        };
        Ok((self.constant(value, bytes), bytes))
    }

    fn shared(&mut self, index: usize, offset: i64) -> ConstantValue {
        if !self.shared_used.contains(&index) {
            self.shared_used.push(index);
        }
        ConstantValue::Shared(index, offset)
    }

    fn module_symbol(&mut self, name: &str, offset: i64) -> Decoded<ConstantValue> {
        if let Some(&index) = self.module.globals.get(name) {
            return Ok(ConstantValue::Global(index, offset));
        }
        if let Some(&index) = self.module.shared.get(name) {
            return Ok(self.shared(index, offset));
        }
        if self.module.functions.contains_key(name) {
            return Err(format!("the address of function '{name}' is not supported"));
        }
        Err(format!("unknown name '{name}'"))
    }

    /// Returns a source operand of exactly `bytes`.
    pub(crate) fn source(&mut self, operand: &Operand<'a>, bytes: u32) -> Decoded<u32> {
        let (place, found) = self.source_any(operand, bytes)?;
        if found == bytes {
            return Ok(place);
        }
        Err(format!("operand {operand:?} has {} bits instead of {}", 8 * found, 8 * bytes))
    }

    /// Returns a result register and its width.
    pub(crate) fn result_any(&mut self, operand: &Operand<'a>) -> Decoded<(u32, u32)> {
        let Operand::Name(name, 0) = operand else {
            return Err(format!("{operand:?} is not a register"));
        };
        match self.symbol(name) {
            Some(Symbol::Register { id, bytes }) => {
                self.defs.push(id);
                Ok((self.place(id), bytes))
            }
            _ => Err(format!("'{name}' is not a register")),
        }
    }

    /// Returns a result register of exactly `bytes`.
    pub(crate) fn result(&mut self, operand: &Operand<'a>, bytes: u32) -> Decoded<u32> {
        let (place, found) = self.result_any(operand)?;
        if found == bytes {
            return Ok(place);
        }
        Err(format!("result {operand:?} has {} bits instead of {}", 8 * found, 8 * bytes))
    }

    /// Returns a result register, or `None` for the sink `_`.
    pub(crate) fn result_or_sink(
        &mut self,
        operand: &Operand<'a>,
        bytes: u32,
    ) -> Decoded<Option<u32>> {
        match operand {
            Operand::Name("_", 0) => Ok(None),
            _ => self.result(operand, bytes).map(Some),
        }
    }

    /// Returns whether the register is read by any instruction of the function, which is known in
    /// the second pass.
    pub(crate) fn is_read(&self, operand: &Operand<'a>) -> bool {
        let Operand::Name(name, 0) = operand else {
            return false;
        };
        match (self.symbol(name), self.read_anywhere) {
            (Some(Symbol::Register { id, .. }), Some(read)) => read[id as usize],
            _ => true,
        }
    }

    /// Returns a predicate to write, or `None` for the sink `_`.
    pub(crate) fn result_predicate(&mut self, name: &str) -> Decoded<Option<u32>> {
        if name == "_" {
            return Ok(None);
        }
        self.guard(name).map(Some)
    }

    /// Returns the slot of a predicate register.
    pub(crate) fn guard(&mut self, name: &str) -> Decoded<u32> {
        match self.symbol(name) {
            Some(Symbol::Predicate(slot)) => Ok(slot),
            _ => Err(format!("'{name}' is not a predicate")),
        }
    }

    /// Returns a predicate source: its slot, and the mask to exclusive-or it with.
    pub(crate) fn predicate(&mut self, operand: &Operand<'a>) -> Decoded<(u32, u32)> {
        match *operand {
            Operand::Name(name, 0) => Ok((self.guard(name)?, 0)),
            Operand::Not(name) => Ok((self.guard(name)?, u32::MAX)),
            Operand::Integer(0) => Ok((FALSE, 0)),
            Operand::Integer(_) => Ok((TRUE, 0)),
            _ => Err(format!("{operand:?} is not a predicate")),
        }
    }

    /// Returns whether the operand is a predicate register.
    pub(crate) fn is_predicate(&self, operand: &Operand<'a>) -> bool {
        let (Operand::Name(name, 0) | Operand::Not(name)) = operand else {
            return false;
        };
        matches!(self.symbol(name), Some(Symbol::Predicate(_)))
    }

    /// Returns a memory operand.
    pub(crate) fn address(&mut self, operand: &Operand<'a>) -> Decoded<Address> {
        let Operand::Address(base, offset) = *operand else {
            return Err(format!("{operand:?} is not an address"));
        };
        let Some(name) = base else {
            let base = self.constant_bits(0, 8);
            return Ok(Address { base, base_bytes: 8, offset, space: None });
        };
        let space = match self.symbol(name) {
            Some(Symbol::KernelParam { .. }) => Some(Space::KernelParam),
            Some(Symbol::Local { .. }) => Some(Space::Local),
            _ => None,
        };
        let (base, base_bytes) = self.named_source(name, 0, 8)?;
        if base_bytes < 4 {
            return Err(format!("'{name}' has {} bits: too few for an address", 8 * base_bytes));
        }
        Ok(Address { base, base_bytes, offset, space })
    }

    /// Returns a parameter of a call: its offset and size in the frame's local memory.
    pub(super) fn call_buffer(&self, operand: &Operand<'a>) -> Decoded<(u32, u32)> {
        let Operand::Name(name, 0) = operand else {
            return Err(format!("{operand:?} is not a parameter"));
        };
        match self.symbol(name) {
            Some(Symbol::Local { offset, bytes }) => Ok((offset, bytes)),
            _ => Err(format!("'{name}' is not a .param variable")),
        }
    }

    /// Returns the index of a function of the module.
    pub(super) fn function(&self, operand: &Operand<'a>) -> Decoded<Option<usize>> {
        let Operand::Name(name, 0) = operand else {
            return Err("a call needs a function".into());
        };
        if self.symbol(name).is_some() {
            return Err("calls through a register are not supported".into());
        }
        Ok(self.module.functions.get(name).copied())
    }

    /// Records an access to global or shared memory of elements of `bytes`.
    pub(crate) fn note_access(&mut self, bytes: u32) {
        self.narrowest_access = self.narrowest_access.min(bytes);
    }

    /// Records an instruction whose outcome depends on the order in which blocks run.
    pub(crate) fn note_order_dependence(&mut self) {
        self.is_order_dependent = true;
    }
}
