//! The assembler's answers, kept in `target/kernel-figures`: it takes minutes for large modules,
//! and always says the same about the same text.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use cuda_sim::assembler::Usage;

/// The usage of resources of each kernel by name.
type Usages = BTreeMap<String, Usage>;

/// Returns the file for the fingerprint of a text on an architecture.
fn file(version: &str, fingerprint: &str, architecture: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/kernel-figures");
    directory.join(format!("{fingerprint}-{architecture}-{version}"))
}

/// Returns the usage that is stored, or that of `assemble`, which is then stored.
///
/// # Errors
/// Those of `assemble`, and an error when the file cannot be written.
pub fn remembered(
    version: &str,
    fingerprint: &str,
    architecture: &str,
    assemble: impl FnOnce() -> Result<Usages, String>,
) -> Result<Usages, String> {
    let file = file(version, fingerprint, architecture);
    if let Some(known) = fs::read_to_string(&file).ok().and_then(|text| parse(&text)) {
        return Ok(known);
    }
    let usages = assemble()?;
    let failed = |error: std::io::Error| format!("{}: {error}", file.display());
    fs::create_dir_all(file.parent().expect("it has one")).map_err(failed)?;
    let partial = file.with_extension(format!("partial-{}", std::process::id()));
    fs::write(&partial, text(&usages)).map_err(failed)?;
    fs::rename(&partial, &file).map_err(failed)?;
    Ok(usages)
}

fn text(usages: &Usages) -> String {
    let line = |(kernel, usage): (&String, &Usage)| {
        let Usage { registers, spill_stores, spill_loads, stack, shared } = usage;
        format!("{kernel} {registers} {spill_stores} {spill_loads} {stack} {shared}\n")
    };
    usages.iter().map(line).collect()
}

fn parse(text: &str) -> Option<Usages> {
    let line = |line: &str| {
        let (kernel, numbers) = line.split_once(' ')?;
        let numbers: Vec<u32> =
            numbers.split(' ').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        let [registers, spill_stores, spill_loads, stack, shared] = numbers[..] else {
            return None;
        };
        Some((kernel.to_owned(), Usage { registers, spill_stores, spill_loads, stack, shared }))
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_they_are_written() {
        let sum = Usage { registers: 32, spill_stores: 1, spill_loads: 2, stack: 3, shared: 4096 };
        let usages = Usages::from([("fill".into(), Usage::default()), ("sum".into(), sum)]);
        assert_eq!(parse(&text(&usages)), Some(usages));
        assert_eq!(parse("sum 1 2 3 4\n"), None);
    }
}
