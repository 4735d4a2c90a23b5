//! The decoding of a function: declarations, labels, and the two passes over its instructions.

use super::control_flow::ControlFlow;
use super::registers::{Effects, lay_out};
use super::symbols::{Decoder, ModuleSymbols};
use super::{Decoded, Opcode, at_line};
use crate::counters::Class;
use crate::exec::decode_instruction;
use crate::exec::operation::{Call, EXIT, FunctionCode, Instruction, Op, SharedVariable, TRUE};
use crate::ptx::PtxError;
use crate::ptx::ast::{self, Function, Operand, Statement, Variable, VariableSpace};
use std::collections::HashMap;

/// The offset and the size of one parameter or result.
type Slot = (u32, u32);

/// The result of one pass over a function.
struct Pass<'a, 'm> {
    decoder: Decoder<'a, 'm>,
    code: Vec<Instruction>,
    classes: Vec<Class>,
    effects: Vec<Effects>,
    params: Vec<Slot>,
    results: Vec<Slot>,
}

/// The places that are known after the first pass.
struct Known<'m> {
    places: &'m [u32],
    read_anywhere: &'m [bool],
    reconvergence: &'m [u32],
}

/// Decodes a function with a body. Its shared variables are appended to `shared`.
pub(in crate::ptx) fn decode<'a>(
    function: &Function<'a>,
    module: &ModuleSymbols<'a>,
    shared: &mut Vec<SharedVariable>,
) -> Result<FunctionCode, PtxError> {
    let body = function.body.as_deref().unwrap_or_default();
    let mut shared_in_function = HashMap::new();
    for statement in body {
        let Statement::Variable(variable) = statement else {
            continue;
        };
        if variable.space == VariableSpace::Shared {
            shared_in_function.insert((variable.line, variable.name), shared.len());
            shared.push(shared_variable(variable)?);
        }
    }
    let first = pass(function, module, &shared_in_function, None)?;
    let flow = ControlFlow::new(&first.code);
    let reconvergence = reconvergence_by_instruction(&flow, first.code.len());
    let mut constants: Vec<_> = first.decoder.constants.values().copied().collect();
    constants.sort_unstable();
    let layout = lay_out(&first.effects, &flow, &first.decoder.widths, &constants);
    let mut read_anywhere = vec![false; first.decoder.widths.len()];
    for &register in first.effects.iter().flat_map(|effect| &effect.uses) {
        read_anywhere[register as usize] = true;
    }
    let known = Known {
        places: &layout.places,
        read_anywhere: &read_anywhere,
        reconvergence: &reconvergence,
    };
    let Pass { decoder, code, classes, params, results, .. } =
        pass(function, module, &shared_in_function, Some(&known))?;
    let mut constants: Vec<_> = decoder
        .constants
        .iter()
        .map(|(constant, &id)| (layout.places[id as usize], constant.clone()))
        .collect();
    constants.sort_by_key(|(place, _)| *place);
    let cleared =
        layout.cleared.iter().map(|&id| (layout.places[id as usize], decoder.widths[id as usize]));
    Ok(FunctionCode {
        name: function.name.to_owned(),
        lines: lines(body, function.line, code.len()),
        code,
        classes,
        register_bytes: layout.bytes,
        predicates: decoder.predicates,
        constants,
        cleared: cleared.collect(),
        local_bytes: decoder.local_bytes.next_multiple_of(16),
        params,
        results,
        calls: decoder.calls,
        shared: decoder.shared_used,
        narrowest_access: decoder.narrowest_access,
        is_order_dependent: decoder.is_order_dependent,
    })
}

/// Returns a shared variable as the linker needs it.
pub(in crate::ptx) fn shared_variable(variable: &Variable<'_>) -> Result<SharedVariable, PtxError> {
    if !variable.initializer.is_empty() || variable.bytes > 1 << 30 {
        let message = format!("shared variable '{}' is too large or initialized", variable.name);
        return Err(PtxError { line: variable.line, message });
    }
    Ok(SharedVariable {
        bytes: variable.bytes as u32,
        align: variable.align as u32,
        is_dynamic: variable.bytes == 0,
    })
}

fn reconvergence_by_instruction(flow: &ControlFlow, length: usize) -> Vec<u32> {
    let points = flow.reconvergence_points();
    let mut by_instruction = vec![EXIT; length];
    for (block, &point) in points.iter().enumerate() {
        by_instruction[flow.starts[block]..flow.starts[block + 1]].fill(point);
    }
    by_instruction
}

fn lines(
    body: &[Statement<'_>],
    last: u32,
    length: usize,
) -> Vec<(u32, crate::ptx::SourceLocation)> {
    let mut lines: Vec<_> = body
        .iter()
        .filter_map(|statement| match statement {
            Statement::Instruction(instruction) => Some((instruction.line, instruction.source)),
            _ => None,
        })
        .collect();
    // A function ends with an implicit return.
    let end = lines.last().copied().unwrap_or((last, Default::default()));
    lines.resize(length, end);
    lines
}

fn pass<'a, 'm>(
    function: &Function<'a>,
    module: &'m ModuleSymbols<'a>,
    shared_in_function: &HashMap<(u32, &'a str), usize>,
    known: Option<&Known<'m>>,
) -> Result<Pass<'a, 'm>, PtxError> {
    let body = function.body.as_deref().unwrap_or_default();
    let mut decoder = Decoder::new(module, function.is_entry);
    decoder.shared_in_function = shared_in_function.clone();
    decoder.places = known.map(|known| known.places);
    decoder.read_anywhere = known.map(|known| known.read_anywhere);
    let (params, results) = at_line(function.line, declare_params(&mut decoder, function))?;
    let labels = labels(body)?;
    let tables: HashMap<&str, &Vec<&str>> = body
        .iter()
        .filter_map(|statement| match statement {
            Statement::Targets { name, labels } => Some((*name, labels)),
            _ => None,
        })
        .collect();
    let mut pass = Pass {
        decoder,
        code: Vec::new(),
        classes: Vec::new(),
        effects: Vec::new(),
        params,
        results,
    };
    let mut last_line = function.line;
    for statement in body {
        match statement {
            Statement::Label(_) | Statement::Targets { .. } => {}
            Statement::Open => pass.decoder.open_scope(),
            Statement::Close => pass.decoder.close_scope(),
            Statement::Registers { ty, name, count, line } => {
                at_line(*line, pass.decoder.declare_registers(*ty, name, *count))?;
            }
            Statement::Variable(variable) => {
                at_line(variable.line, declare(&mut pass.decoder, variable))?;
            }
            Statement::Instruction(instruction) => {
                last_line = instruction.line;
                let reconverge = known.map_or(EXIT, |known| known.reconvergence[pass.code.len()]);
                let jumps = Jumps { labels: &labels, tables: &tables, reconverge };
                at_line(instruction.line, pass.instruction(instruction, &jumps))?;
            }
        }
    }
    // Falling off the end of a function returns.
    let op = if function.is_entry { Op::Exit } else { Op::Return };
    at_line(last_line, pass.push(op, Class::Control, TRUE, 0))?;
    Ok(pass)
}

/// The places of labels, and the reconvergence point of the current instruction.
struct Jumps<'a, 'x> {
    labels: &'x HashMap<&'a str, u32>,
    tables: &'x HashMap<&'a str, &'x Vec<&'a str>>,
    reconverge: u32,
}

impl Jumps<'_, '_> {
    fn target(&self, label: &str) -> Decoded<u32> {
        self.labels.get(label).copied().ok_or_else(|| format!("unknown label '{label}'"))
    }
}

fn labels<'a>(body: &[Statement<'a>]) -> Result<HashMap<&'a str, u32>, PtxError> {
    let (mut labels, mut pc, mut line) = (HashMap::new(), 0, 1);
    for statement in body {
        match statement {
            Statement::Instruction(instruction) => {
                pc += 1;
                line = instruction.line;
            }
            Statement::Label(name) if labels.insert(*name, pc).is_some() => {
                return Err(PtxError { line, message: format!("label '{name}' is there twice") });
            }
            _ => {}
        }
    }
    Ok(labels)
}

fn declare_params<'a>(
    decoder: &mut Decoder<'a, '_>,
    function: &Function<'a>,
) -> Decoded<(Vec<Slot>, Vec<Slot>)> {
    if function.is_entry {
        let mut end = 0;
        for param in &function.params {
            let offset = u64::next_multiple_of(end, param.align);
            decoder.declare_kernel_param(param.name, offset as u32);
            end = offset + param.bytes;
        }
        return Ok((Vec::new(), Vec::new()));
    }
    let mut slots = |variables: &[Variable<'a>]| {
        variables
            .iter()
            .map(|variable| Ok((decoder.declare_local(variable)?, variable.bytes as u32)))
            .collect::<Decoded<Vec<_>>>()
    };
    Ok((slots(&function.params)?, slots(&function.results)?))
}

fn declare<'a>(decoder: &mut Decoder<'a, '_>, variable: &Variable<'a>) -> Decoded<()> {
    match variable.space {
        VariableSpace::Local | VariableSpace::Param => decoder.declare_local(variable).map(|_| ()),
        VariableSpace::Shared => decoder.declare_shared(variable),
        VariableSpace::Global | VariableSpace::Const => {
            Err(format!("'{}' must be declared outside functions", variable.name))
        }
    }
}

impl<'a> Pass<'a, '_> {
    fn push(&mut self, op: Op, class: Class, guard: u32, guard_flip: u32) -> Decoded<()> {
        self.code.push(Instruction { op, guard, guard_flip });
        self.classes.push(class);
        self.effects.push(Effects {
            uses: std::mem::take(&mut self.decoder.uses),
            defs: std::mem::take(&mut self.decoder.defs),
            guarded: guard != TRUE,
        });
        Ok(())
    }

    fn instruction(
        &mut self,
        instruction: &ast::Instruction<'a>,
        jumps: &Jumps<'a, '_>,
    ) -> Decoded<()> {
        let (guard, flip) = match instruction.guard {
            None => (TRUE, 0),
            Some((name, negated)) => {
                (self.decoder.guard(name)?, if negated { u32::MAX } else { 0 })
            }
        };
        let mut opcode = Opcode::new(instruction.opcode);
        let operands = instruction.operands.as_slice();
        let (op, class) = match self.control(&mut opcode, operands, jumps)? {
            Some(op) => (op, Class::Control),
            None => decode_instruction(&mut self.decoder, &mut opcode, operands)?,
        };
        opcode.finish()?;
        self.push(op, class, guard, flip)
    }

    /// Decodes branches, calls and returns.
    fn control(
        &mut self,
        opcode: &mut Opcode<'_>,
        operands: &[Operand<'a>],
        jumps: &Jumps<'a, '_>,
    ) -> Decoded<Option<Op>> {
        let reconverge = jumps.reconverge;
        Ok(Some(match (opcode.name, operands) {
            ("bra", [Operand::Name(label, 0)]) => {
                opcode.take("uni");
                Op::Branch { target: jumps.target(label)?, reconverge }
            }
            ("brx", [index, Operand::Name(table, 0)]) => {
                if !opcode.take("idx") {
                    return Err(opcode.unknown());
                }
                opcode.take("uni");
                let labels = jumps.tables.get(table).ok_or(format!("unknown table '{table}'"))?;
                let targets =
                    labels.iter().map(|label| jumps.target(label)).collect::<Decoded<_>>()?;
                let index = self.decoder.source(index, 4)?;
                Op::BranchIndexed { index, targets, reconverge }
            }
            ("call", _) => {
                opcode.take("uni");
                return self.call(operands).map(Some);
            }
            ("ret", []) => {
                opcode.take("uni");
                if self.decoder.is_entry { Op::Exit } else { Op::Return }
            }
            ("exit", []) => Op::Exit,
            ("trap" | "brkpt", []) => Op::Trap,
            _ => return Ok(None),
        }))
    }

    /// Decodes `call (results), function, (arguments)`, where each group is optional.
    fn call(&mut self, operands: &[Operand<'a>]) -> Decoded<Op> {
        let (results, rest) = match operands {
            [Operand::Group(results), rest @ ..] => (results.as_slice(), rest),
            rest => (&[][..], rest),
        };
        let (function, arguments) = match rest {
            [function] => (function, &[][..]),
            [function, Operand::Group(arguments)] => (function, arguments.as_slice()),
            _ => return Err("a call through a register is not supported".into()),
        };
        let buffers = |pass: &Self, list: &[Operand<'a>]| {
            list.iter()
                .map(|operand| pass.decoder.call_buffer(operand))
                .collect::<Decoded<Vec<_>>>()
        };
        let (results, arguments) = (buffers(self, results)?, buffers(self, arguments)?);
        if let Some(index) = self.decoder.function(function)? {
            if !self.decoder.calls.contains(&index) {
                self.decoder.calls.push(index);
            }
            // The linker fills in the callee's side (module `link`).
            let own = |slots: Vec<Slot>| slots.into_iter().map(|(at, n)| (at, 0, n)).collect();
            return Ok(Op::Call(Box::new(Call {
                function: index,
                arguments: own(arguments),
                results: own(results),
            })));
        }
        let Operand::Name(name, _) = function else {
            return Err("a call needs a name".into());
        };
        match (*name, arguments.as_slice(), results.as_slice()) {
            ("__assertfail", [message, file, line, function, _], _) => {
                Ok(Op::AssertFail { arguments: [message.0, file.0, line.0, function.0] })
            }
            ("vprintf", [format, arguments], [result]) => {
                self.decoder.note_order_dependence();
                Ok(Op::Print { arguments: [format.0, arguments.0], result: result.0 })
            }
            _ => Err(format!("function '{name}' has no body")),
        }
    }
}
