//! The linker, which makes kernels from functions: each function that a kernel can reach gets its
//! own registers and local memory (there is no recursion), and each shared variable its place.

use super::PtxError;
use super::ast::Function;
use super::{Kernel, ParamDecl};
use crate::exec::operation::{ConstantValue, FunctionCode, Op, SharedVariable};
use crate::exec::special_registers::SpecialRegister;
use std::collections::HashMap;
use std::sync::Arc;

/// A function in the frame that a kernel gives it.
#[derive(Clone, Debug)]
pub(crate) struct LinkedFunction {
    pub(crate) code: Arc<FunctionCode>,
    /// Byte offset of its registers.
    pub(crate) registers: u32,
    /// Index of its first predicate.
    pub(crate) predicates: u32,
    /// Offset of its local memory.
    pub(crate) local: u32,
    /// Kernel's number of every function of the module that this function calls.
    pub(crate) callees: HashMap<usize, usize>,
}

/// The bytes of kernel parameters that a launch can carry (compute capability 7.0 and later).
const MAX_PARAM_BYTES: usize = 32764;

/// The most functions on a path of calls, far more than a program has.
const MAX_CALL_DEPTH: usize = 1000;

/// The value that a register holds before a warp starts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum InitialValue {
    /// The same number in all lanes.
    Bits(u64),
    /// The address of a module variable, which is known when the module is loaded.
    Global(usize, i64),
    /// The value of a special register.
    Special(SpecialRegister),
}

/// A register that is filled at the start: byte offset, bytes per lane, value.
pub(crate) type InitialRegister = (u32, u32, InitialValue);

/// A kernel with everything that the executor needs of it.
#[derive(Clone, Debug)]
pub(crate) struct Linked {
    /// Functions that the kernel can reach; the kernel itself is the first.
    pub(crate) functions: Vec<LinkedFunction>,
    pub(crate) register_bytes: u32,
    pub(crate) predicates: u32,
    pub(crate) initial: Vec<InitialRegister>,
    /// Granule of the race shadows in bytes.
    pub(crate) granule: u32,
    pub(crate) is_order_dependent: bool,
}

/// Fills in the callee's side of every call.
pub(super) fn connect_calls(functions: &mut [Option<FunctionCode>]) -> Result<(), PtxError> {
    let slots: Vec<_> = functions
        .iter()
        .map(|function| function.as_ref().map(|f| (f.params.clone(), f.results.clone())))
        .collect();
    for function in functions.iter_mut().flatten() {
        for (instruction, (line, _)) in function.code.iter_mut().zip(&function.lines) {
            let Op::Call(call) = &mut instruction.op else {
                continue;
            };
            let fail = |message: String| Err(PtxError { line: *line, message });
            let Some((params, results)) = &slots[call.function] else {
                return fail("the called function has no body".into());
            };
            if params.len() != call.arguments.len() || results.len() != call.results.len() {
                return fail(format!(
                    "call with {} arguments and {} results of a function with {} and {}",
                    call.arguments.len(),
                    call.results.len(),
                    params.len(),
                    results.len()
                ));
            }
            for (argument, param) in call.arguments.iter_mut().zip(params) {
                *argument = (argument.0, param.0, argument.2.min(param.1));
            }
            for (buffer, result) in call.results.iter_mut().zip(results) {
                *buffer = (result.0, buffer.0, buffer.2.min(result.1));
            }
        }
    }
    Ok(())
}

/// Links the kernel `functions[index]`, whose syntax tree is `source`.
pub(super) fn link(
    functions: &[Option<Arc<FunctionCode>>],
    shared: &[SharedVariable],
    index: usize,
    source: &Function<'_>,
) -> Result<Kernel, PtxError> {
    let fail = |message: String| PtxError { line: source.line, message };
    let mut order = Vec::new();
    reach(functions, index, &mut Vec::new(), &mut order).map_err(fail)?;
    let numbers: HashMap<usize, usize> =
        order.iter().enumerate().map(|(number, &function)| (function, number)).collect();

    let codes: Vec<_> = order.iter().filter_map(|&function| functions[function].clone()).collect();
    let mut used: Vec<usize> = codes.iter().flat_map(|code| code.shared.iter().copied()).collect();
    used.sort_unstable();
    used.dedup();
    let (shared_places, static_shared) =
        place_shared(shared, &used).ok_or_else(|| fail("4 GiB of shared memory or more".into()))?;

    let mut linked = Linked {
        functions: Vec::new(),
        register_bytes: 0,
        predicates: 0,
        initial: Vec::new(),
        granule: 8,
        is_order_dependent: false,
    };
    let mut local = 0u32;
    for code in codes {
        for (place, constant) in &code.constants {
            let value = match constant.value {
                ConstantValue::Bits(bits) => InitialValue::Bits(bits),
                ConstantValue::Global(variable, offset) => InitialValue::Global(variable, offset),
                ConstantValue::Special(special) => InitialValue::Special(special),
                ConstantValue::Local(offset) => {
                    InitialValue::Bits((i64::from(local) + offset) as u64)
                }
                ConstantValue::Shared(variable, offset) => {
                    InitialValue::Bits((i64::from(shared_places[&variable]) + offset) as u64)
                }
            };
            linked.initial.push((linked.register_bytes + place, constant.bytes, value));
        }
        for &(place, bytes) in &code.cleared {
            linked.initial.push((linked.register_bytes + place, bytes, InitialValue::Bits(0)));
        }
        linked.granule = linked.granule.min(code.narrowest_access);
        linked.is_order_dependent |= code.is_order_dependent;
        let callees = code.calls.iter().map(|&callee| (callee, numbers[&callee])).collect();
        let (registers, predicates) = (linked.register_bytes, linked.predicates);
        linked.register_bytes += code.register_bytes;
        linked.predicates += code.predicates;
        let local_bytes = code.local_bytes;
        linked.functions.push(LinkedFunction { code, registers, predicates, local, callees });
        local = local
            .checked_add(local_bytes)
            .ok_or_else(|| fail("4 GiB of local memory or more".into()))?;
    }
    let (params, param_bytes) = params(source);
    if param_bytes > MAX_PARAM_BYTES {
        return Err(fail(format!("{param_bytes} bytes of parameters; {MAX_PARAM_BYTES} fit")));
    }
    Ok(Kernel {
        name: source.name.to_owned(),
        params,
        param_bytes,
        static_shared,
        local_bytes: local,
        max_threads: source.max_threads,
        required_threads: source.required_threads,
        min_blocks: source.min_blocks,
        linked,
    })
}

/// Returns the functions reachable from `index`, which comes first; fails on recursion.
fn reach(
    functions: &[Option<Arc<FunctionCode>>],
    index: usize,
    path: &mut Vec<usize>,
    order: &mut Vec<usize>,
) -> Result<(), String> {
    let Some(code) = &functions[index] else {
        return Err("a called function has no body".into());
    };
    if path.contains(&index) {
        return Err(format!("function '{}' is recursive, which is not supported", code.name));
    }
    if order.contains(&index) {
        return Ok(());
    }
    if path.len() == MAX_CALL_DEPTH {
        return Err(format!("calls nest more than {MAX_CALL_DEPTH} deep"));
    }
    order.push(index);
    path.push(index);
    for &callee in &code.calls {
        // A function met before is only visited again to find recursion through this path.
        if path.contains(&callee) || !order.contains(&callee) {
            reach(functions, callee, path, order)?;
        }
    }
    path.pop();
    Ok(())
}

/// Returns the offsets of the shared variables that a kernel uses, and the size of the static ones,
/// or `None` if 32 bits do not hold them.
fn place_shared(shared: &[SharedVariable], used: &[usize]) -> Option<(HashMap<usize, u32>, u32)> {
    let mut places = HashMap::new();
    let mut end = 0u32;
    for &index in used.iter().filter(|&&index| !shared[index].is_dynamic) {
        let offset = end.checked_next_multiple_of(shared[index].align)?;
        places.insert(index, offset);
        end = offset.checked_add(shared[index].bytes)?;
    }
    let dynamic = used.iter().filter(|&&index| shared[index].is_dynamic);
    let align = dynamic.clone().map(|&index| shared[index].align.max(16)).max().unwrap_or(1);
    let start = end.checked_next_multiple_of(align)?;
    places.extend(dynamic.map(|&index| (index, start)));
    Some((places, start))
}

fn params(source: &Function<'_>) -> (Vec<ParamDecl>, usize) {
    let mut end = 0;
    let params = source
        .params
        .iter()
        .map(|param| {
            let (size, align) = (param.bytes as usize, param.align as usize);
            let offset = usize::next_multiple_of(end, align);
            end = offset + size;
            ParamDecl { size, align, offset }
        })
        .collect();
    (params, end)
}
