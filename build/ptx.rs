//! What is done to the PTX of a module: it is lowered to an older version of the instruction set,
//! and taken apart into its kernels, so that each can be loaded alone.

/// The version of the PTX instruction set that the kernels need: drivers since CUDA 12.3 take it
/// (NVIDIA, PTX ISA, release notes). The compiler writes its own, newest version, which only the
/// newest drivers take, although nothing newer is used: the assembler refuses what a version does
/// not have.
pub const VERSION: (u32, u32) = (8, 3);

/// Returns PTX that asks for [`VERSION`], or for the one it has, if that is older.
///
/// # Errors
/// There is no line with a version.
pub fn lower(ptx: &str) -> Result<String, String> {
    let mut lines: Vec<String> = ptx.lines().map(str::to_owned).collect();
    let line = lines.iter_mut().find(|line| line.starts_with(".version "));
    let line = line.ok_or("the PTX has no version")?;
    let version = line[".version ".len()..].trim().split_once('.');
    let version =
        version.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    let version: (u32, u32) = version.ok_or_else(|| format!("the PTX has the line {line:?}"))?;
    let (major, minor) = version.min(VERSION);
    *line = format!(".version {major}.{minor}");
    Ok(lines.join("\n") + "\n")
}

/// Takes a module apart: returns for each of its kernels the name and a module of that kernel and
/// all that is no kernel.
///
/// # Errors
/// A kernel has no end.
pub fn kernels(ptx: &str) -> Result<Vec<(String, String)>, String> {
    /// A part of the module: a kernel with its name, or what lies between kernels.
    struct Part {
        kernel: Option<String>,
        text: String,
    }
    let mut parts = vec![Part { kernel: None, text: String::new() }];
    for line in ptx.lines() {
        let linkage = [".visible ", ".weak "].iter().find_map(|word| line.strip_prefix(word));
        if let Some(rest) = linkage.unwrap_or(line).strip_prefix(".entry ") {
            let name = rest.split('(').next().unwrap_or(rest).trim();
            parts.push(Part { kernel: Some(name.to_owned()), text: String::new() });
        }
        let part = parts.last_mut().expect("there is one from the start");
        part.text.push_str(line);
        part.text.push('\n');
        // The closing brace of a kernel is the only one that begins a line.
        if line == "}" && part.kernel.is_some() {
            parts.push(Part { kernel: None, text: String::new() });
        }
    }
    if let Some(Part { kernel: Some(name), .. }) = parts.last() {
        return Err(format!("the kernel {name} has no end"));
    }
    let names = parts.iter().filter_map(|part| part.kernel.clone());
    let alone = |name: String| {
        let of_it = |part: &&Part| part.kernel.as_ref().is_none_or(|kernel| *kernel == name);
        let text = parts.iter().filter(of_it).map(|part| part.text.as_str()).collect();
        (name, text)
    };
    Ok(names.collect::<Vec<_>>().into_iter().map(alone).collect())
}
