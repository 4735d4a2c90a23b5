//! The machine code of a kernel, instruction by instruction, each with the line of the PTX that it
//! was made from and with what the assembler tells the hardware about waiting.
//!
//! From Volta on, an instruction has 128 bits, of which bits 105 to 121 control the issue: the
//! cycles until the next instruction of the warp (4 bits, then a bit that hints at another warp),
//! the barrier that its result clears (3 bits, 7 for none), the barrier that is cleared when its
//! operands are read (3 bits), and the barriers that have to be clear before it (6 bits); Jia et
//! al., "Dissecting the NVIDIA Volta GPU architecture via microbenchmarking", arXiv:1804.06826.

use std::{
    collections::HashMap,
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// An instruction of machine code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instruction {
    /// Line of the PTX, from 1; 0 if it has none.
    pub line: u32,
    /// Operation with its modifiers, such as `LDG.E.64`.
    pub operation: String,
    /// Operands as the disassembler writes them.
    pub operands: String,
    /// Whether a predicate decides whether it runs.
    pub guarded: bool,
    /// Place of the instruction that it jumps to.
    pub target: Option<usize>,
    /// Cycles until the next instruction of the warp may be issued.
    pub stall: u32,
    /// Barrier that its result clears.
    pub result_barrier: Option<u8>,
    /// Barrier that is cleared when its operands are read.
    pub operand_barrier: Option<u8>,
    /// Barriers that it waits for, a bit each.
    pub waits: u8,
}

impl Instruction {
    /// Returns whether the instruction's operation begins with one of these.
    pub fn is_any(&self, operations: &[&str]) -> bool {
        operations.iter().any(|operation| self.operation.starts_with(operation))
    }
}

/// Assembles the PTX of one kernel for an architecture such as `sm_90`, and reads the machine code.
/// `ptxas` and `nvdisasm` lie in the same directory.
///
/// # Errors
/// A tool cannot be started or fails; the message has what it printed.
pub fn read(ptxas: &Path, ptx: &str, architecture: &str) -> Result<Vec<Instruction>, String> {
    let partial = env::temp_dir().join(format!("kernel-figures-{}", std::process::id()));
    let (source, object) = (partial.with_extension("ptx"), partial.with_extension("cubin"));
    let read = || {
        fs::write(&source, mark_lines(ptx))
            .map_err(|error| format!("{}: {error}", source.display()))?;
        let mut assembler = Command::new(ptxas);
        assembler.args(["-lineinfo", "-arch", architecture, "-o"]).arg(&object).arg(&source);
        run(&mut assembler)?;
        let disassembler: PathBuf = ptxas.with_file_name("nvdisasm");
        run(Command::new(disassembler).args(["-c", "-g", "-hex"]).arg(&object))
    };
    let text = read();
    for file in [source, object] {
        let _ = fs::remove_file(file);
    }
    parse(&text?)
}

fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("cannot start {program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program} failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Writes before each instruction of a text of PTX on which line it stands; the assembler makes the
/// same code of it.
fn mark_lines(ptx: &str) -> String {
    let mut marked = String::new();
    let (mut depth, mut begins) = (0, false);
    for (number, line) in (1..).zip(ptx.lines()) {
        let code = line.trim();
        let is_instruction = begins
            && depth > 0
            && code.ends_with([';', ',', '('])
            && !code.starts_with(['.', '$', '{', '}', '/']);
        if is_instruction {
            let _ = writeln!(marked, ".loc 1 {number} 0");
        }
        let _ = writeln!(marked, "{line}");
        depth += code.matches('{').count();
        depth -= code.matches('}').count().min(depth);
        if !code.is_empty() {
            begins = code.ends_with([';', ':', '{', '}']);
        }
    }
    marked + ".file 1 \"kernel.ptx\"\n"
}

/// Reads what `nvdisasm -c -g -hex` prints: labels, comments with lines of the source, and
/// instructions as `/*0010*/ @P0 BRA ...; /* 0x… */` with the upper half of their code on the line
/// below.
fn parse(text: &str) -> Result<Vec<Instruction>, String> {
    let mut instructions: Vec<Instruction> = Vec::new();
    let mut labels = HashMap::new();
    let mut line_of_source = 0;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        if let Some((_, number)) = line.split_once("## File \"kernel.ptx\", line ") {
            let digits = number.split(|c: char| !c.is_ascii_digit()).next().unwrap_or("");
            line_of_source = digits.parse().unwrap_or(0);
        } else if let Some(label) = line.strip_suffix(':') {
            labels.insert(label.to_owned(), instructions.len());
        } else if let Some((_, rest)) = line.strip_prefix("/*").and_then(|l| l.split_once("*/"))
            && let Some((code, _)) = rest.split_once(';')
        {
            let above = || format!("nvdisasm: no control code below: {line}");
            let below = lines.next().ok_or_else(above)?;
            let hex = below.trim().trim_start_matches("/* 0x").trim_end_matches(" */");
            let high = u64::from_str_radix(hex, 16).map_err(|_| above())?;
            instructions.push(instruction(code.trim(), high, line_of_source));
        }
    }
    // Far jumps are written as calls that nothing returns from; what is really called has no label
    // of this kind.
    let jumps = |one: &&mut Instruction| one.is_any(&["BRA", "CALL"]);
    for jump in instructions.iter_mut().filter(jumps) {
        let label = jump.operands.split_once("`(").and_then(|(_, rest)| rest.split_once(')'));
        let label = label.map(|(label, _)| label).filter(|label| label.starts_with(".L_x_"));
        jump.target = label.and_then(|label| labels.get(label).copied());
    }
    Ok(instructions)
}

fn instruction(code: &str, high: u64, line: u32) -> Instruction {
    let (guarded, code) = match code.strip_prefix('@').and_then(|code| code.split_once(' ')) {
        Some((_, code)) => (true, code.trim()),
        None => (false, code),
    };
    let (operation, operands) = code.split_once(' ').unwrap_or((code, ""));
    let bits = |from: u32, count: u32| (high >> (from - 64)) & ((1 << count) - 1);
    let barrier = |from| Some(bits(from, 3) as u8).filter(|&barrier| barrier != 7);
    Instruction {
        line,
        operation: operation.into(),
        operands: operands.trim().into(),
        guarded,
        target: None,
        stall: bits(105, 4) as u32,
        result_barrier: barrier(110),
        operand_barrier: barrier(113),
        waits: bits(116, 6) as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disassembly_is_understood() {
        let text = "\
thread_solve:
\t//## File \"kernel.ptx\", line 26
        /*0010*/                   S2R R164, SR_TID.X ;        /* 0x0000000000a47919 */
                                                               /* 0x000e220000002100 */
.L_x_1:
        /*00c0*/              @!P1 BRA `(.L_x_1) ;             /* 0x00000000005c9947 */
                                                               /* 0x001fec0003800000 */
";
        let code = parse(text).unwrap();
        let s2r = Instruction {
            line: 26,
            operation: "S2R".into(),
            operands: "R164, SR_TID.X".into(),
            stall: 1,
            result_barrier: Some(0),
            ..Instruction::default()
        };
        assert_eq!(code[0], s2r);
        assert_eq!((code[1].target, code[1].waits, code[1].stall), (Some(1), 1, 6));
        assert!(code[1].guarded && !code[0].guarded);
    }

    #[test]
    fn every_instruction_of_the_ptx_is_marked() {
        let ptx = "\
.visible .entry fill(
	.param .u64 fill_param_0
)
{
	.reg .b64 	%rd<3>;

	ld.param.u64 	%rd1, [fill_param_0];
$L__BB0_1:
	st.global.u64 	[%rd1],
		%rd2;
	ret;
}
";
        let marked = mark_lines(ptx);
        let marks: Vec<&str> = marked.lines().filter(|line| line.starts_with(".loc")).collect();
        assert_eq!(marks, [".loc 1 7 0", ".loc 1 9 0", ".loc 1 11 0"]);
    }
}
