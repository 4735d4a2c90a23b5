//! The way of a warp through the machine code of a kernel, from how often the simulated device ran
//! each line of its PTX.
//!
//! The assembler unrolls loops, turns branches into predicates and moves instructions, so that lines
//! of PTX and blocks of machine code do not correspond one to one. Certain lines have an instruction
//! of machine code for each execution, in whichever copy (`counterpart`). The executions x_b of
//! the blocks are what explains these counts: Σ_b n_lb x_b = c_l, where block b has n_lb copies of
//! line l, solved by the iteration of Richardson (1972) and Lucy (1974), which keeps x positive; a block
//! without such a line runs as often as the median of its lines.

use std::collections::{BTreeMap, BTreeSet};

use crate::machine_code::Instruction;

/// Iterations for the executions.
const ITERATIONS: usize = 200;

/// A run of instructions with one entry and one exit.
struct Block {
    start: usize,
    end: usize,
    /// Executions, if anything in the block tells them.
    executions: Option<f64>,
}

/// Returns the places of the instructions that a warp executes, in order. `executions` are those of
/// each line of `ptx` by one warp.
///
/// The way passes through the text again and again, as often as the block runs that runs most often,
/// and each pass takes part of the blocks, so that every block gets its executions evenly spaced. A
/// loop is so passed through in the order of its text, and one within another as often as it should;
/// loops that follow one another take turns, which changes little of what waits for what.
pub fn walk(code: &[Instruction], ptx: &str, executions: &BTreeMap<u32, f64>) -> Vec<u32> {
    let mut blocks = blocks_of(code);
    count(&mut blocks, code, ptx, executions);
    let times = |block: &Block| block.executions.unwrap_or(0.0).round();
    let passes = blocks.iter().map(times).fold(0.0, f64::max);
    let mut way = Vec::new();
    for pass in 0..passes as u32 {
        // How many executions are due before a pass; the last bit of a share must not delay one.
        let due =
            |block: &Block, pass: u32| (f64::from(pass) * times(block) / passes + 1e-9).floor();
        for block in blocks.iter().filter(|block| due(block, pass + 1) > due(block, pass)) {
            way.extend((block.start..block.end).map(|place| place as u32));
        }
    }
    way
}

fn blocks_of(code: &[Instruction]) -> Vec<Block> {
    let mut starts = BTreeSet::from([0]);
    for (place, instruction) in code.iter().enumerate() {
        starts.extend(instruction.target);
        if instruction.target.is_some() || instruction.is_any(&["EXIT", "RET", "CALL"]) {
            starts.insert(place + 1);
        }
    }
    let starts: Vec<usize> = starts.into_iter().filter(|&start| start < code.len()).collect();
    let ends = starts.iter().skip(1).copied().chain([code.len()]);
    let block = |(&start, end)| Block { start, end, executions: None };
    starts.iter().zip(ends).map(block).collect()
}

/// Returns the beginnings of the operations of machine code of which one and only one stands for an
/// execution of a line of PTX.
fn counterpart(line: &str) -> Option<&'static [&'static str]> {
    let mut words = line.split_whitespace().filter(|word| !word.starts_with('@'));
    let operation = words.next()?.trim_end_matches(';');
    let has = |part: &str| operation.contains(part);
    let begins = |part: &str| operation.starts_with(part);
    Some(match () {
        () if begins("ld.global") => &["LDG"],
        () if begins("st.global") => &["STG"],
        () if begins("ld.shared") => &["LDS"],
        () if begins("st.shared") => &["STS"],
        () if begins("cp.async.c") && !has("commit") => &["LDGSTS"],
        () if begins("shfl") => &["SHFL"],
        () if begins("bar.sync") || begins("barrier.sync") => &["BAR.SYNC"],
        () if begins("mma") => &["DMMA", "HMMA"],
        () if begins("sqrt.rn.f64") || begins("rsqrt.approx.ftz.f64") => &["MUFU.RSQ64H"],
        () if begins("div.rn.f64") || begins("rcp.rn.f64") => &["MUFU.RCP64H"],
        () if begins("cvt") && has("f64.f32") => &["F2F.F64.F32"],
        () if begins("cvt") && has("f32.f64") => &["F2F.F32.F64"],
        () if has(".f64") && (begins("fma") || begins("mul") || begins("add") || begins("sub")) => {
            &["DFMA", "DMUL", "DADD"]
        }
        () => return None,
    })
}

/// Sets the executions of the blocks.
fn count(blocks: &mut [Block], code: &[Instruction], ptx: &str, executions: &BTreeMap<u32, f64>) {
    let lines: Vec<&str> = ptx.lines().collect();
    let mut copies: BTreeMap<(u32, usize), f64> = BTreeMap::new();
    for (index, block) in blocks.iter().enumerate() {
        for instruction in &code[block.start..block.end] {
            let text = (instruction.line as usize).checked_sub(1).and_then(|i| lines.get(i));
            let stands_for_it = text
                .and_then(|text| counterpart(text))
                .is_some_and(|operations| !instruction.guarded && instruction.is_any(operations));
            if stands_for_it {
                *copies.entry((instruction.line, index)).or_default() += 1.0;
            }
        }
    }
    for &(line, block) in copies.keys() {
        let counted = executions.get(&line).copied().unwrap_or(0.0);
        let most = blocks[block].executions.unwrap_or(0.0).max(counted);
        blocks[block].executions = Some(most);
    }
    for _ in 0..ITERATIONS {
        let mut explained: BTreeMap<u32, f64> = BTreeMap::new();
        for (&(line, block), &copies) in &copies {
            *explained.entry(line).or_default() += copies * blocks[block].executions.unwrap_or(0.0);
        }
        let mut factors = vec![(0.0, 0.0); blocks.len()];
        for (&(line, block), &copies) in &copies {
            if explained[&line] > 0.0 {
                let counted = executions.get(&line).copied().unwrap_or(0.0);
                factors[block].0 += copies * counted / explained[&line];
                factors[block].1 += copies;
            }
        }
        for (block, (factor, copies)) in blocks.iter_mut().zip(factors) {
            if copies > 0.0 {
                block.executions = block.executions.map(|known| known * factor / copies);
            }
        }
    }
    for block in blocks {
        let last = &code[block.end - 1];
        if last.is_any(&["CALL"]) && last.target.is_none() {
            // What is called are the rare cases of divisions and roots: subnormal numbers, overflows.
            block.executions = Some(0.0);
        } else if block.executions.is_none() {
            // The rest has as many executions as most of its lines.
            let body = code[block.start..block.end].iter().filter(|i| !i.guarded && i.line != 0);
            let count = |i: &Instruction| executions.get(&i.line).copied().unwrap_or(0.0);
            let mut counts: Vec<f64> = body.map(count).collect();
            counts.sort_by(f64::total_cmp);
            block.executions = counts.get(counts.len() / 2).copied();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instruction(line: u32, operation: &str, target: Option<usize>) -> Instruction {
        Instruction { line, operation: operation.into(), target, ..Instruction::default() }
    }

    #[test]
    fn blocks_run_as_often_as_their_lines() {
        // A loop of 7 rounds, unrolled by 2, and what is left over; a rare case is never taken.
        let ptx = "\
mul.f64 a, b, c;
fma.rn.f64 a, b, c;
st.global.f64 [a], b;
add.f64 a, b, c;
@p bra LOOP;
";
        let code = [
            instruction(1, "DMUL", None),
            instruction(2, "DFMA", None), // 1: the loop
            instruction(2, "DFMA", None),
            instruction(5, "BRA", Some(6)),
            instruction(5, "BRA", Some(1)), // 4
            instruction(0, "BRA", Some(8)),
            instruction(4, "DADD", None), // 6: the rare case
            instruction(0, "BRA", Some(4)),
            instruction(2, "DFMA", None), // 8: what is left over
            instruction(3, "STG.E.64", None),
            instruction(0, "EXIT", None),
        ];
        let executions = BTreeMap::from([(1, 1.0), (2, 7.0), (3, 1.0), (5, 3.0)]);
        let way = walk(&code, ptx, &executions);
        let times = |place: u32| way.iter().filter(|&&other| other == place).count();
        assert_eq!([0, 1, 2, 4, 6, 8, 10].map(times), [1, 3, 3, 3, 0, 1, 1]);
        // The round that is left over comes last.
        assert_eq!(way[way.len() - 3..], [8, 9, 10]);
    }
}
