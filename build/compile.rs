//! Compiles the kernels, and keeps what was compiled before.

use std::{
    collections::BTreeSet,
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{
    images::{ARCHITECTURES, Kernel, LINE_INFORMATION, failed},
    nvcc::Compiler,
    ptx,
};

/// The oldest architecture that the kernels run on.
const OLDEST: &str = "80";

/// Compiles every kernels/**/*.cu, several at a time, and returns the kernels in order.
pub fn all(compiler: &Compiler, root: &Path, output: &Path) -> Result<Vec<Kernel>, String> {
    let mut sources = Vec::new();
    find_sources(&root.join("kernels"), &mut sources).map_err(failed("read kernels/"))?;
    sources.sort();
    let made = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let workers = env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(1);
    let work = || -> Result<(), String> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(source) = sources.get(index) else { return Ok(()) };
            let kernels = compile(compiler, root, source, output)?;
            made.lock().expect("no worker panics").push((index, kernels));
        }
    };
    thread::scope(|scope| {
        let count = sources.len().min(workers);
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
    })?;
    let mut made = made.into_inner().expect("no worker panics");
    made.sort_by_key(|(index, _)| *index);
    let kernels: Vec<Kernel> = made.into_iter().flat_map(|(_, kernels)| kernels).collect();
    let mut names = BTreeSet::new();
    match kernels.iter().find(|kernel| !names.insert(&kernel.name)) {
        Some(twice) => Err(format!("there are two kernels {}", twice.name)),
        None => Ok(kernels),
    }
}

fn find_sources(directory: &Path, sources: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            find_sources(&path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "cu") {
            sources.push(path);
        }
    }
    Ok(())
}

/// Compiles one file: PTX of the whole, taken apart into kernels, and machine code of each.
fn compile(
    compiler: &Compiler,
    root: &Path,
    source: &Path,
    output: &Path,
) -> Result<Vec<Kernel>, String> {
    let path = source.strip_prefix(root).map_err(|error| error.to_string())?;
    let in_kernels = path.iter().skip(1).map(|part| part.to_string_lossy());
    let module = in_kernels.collect::<Vec<_>>().join("_").trim_end_matches(".cu").to_owned();

    let mut arguments = vec!["-O3".to_owned(), "-std=c++17".to_owned(), "-Ikernels".to_owned()];
    if with_line_information() {
        arguments.push("-lineinfo".to_owned());
    }
    arguments.extend(["-ptx".to_owned(), format!("-arch=compute_{OLDEST}")]);
    let flags = ["NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS", "NVCC_CCBIN"].map(env::var_os);
    let mut hasher = DefaultHasher::new();
    (&compiler.version, &flags, &arguments, &module).hash(&mut hasher);
    hash_with_includes(root, source, &mut BTreeSet::new(), &mut hasher)?;
    let whole = kept(output, &format!("{module}-{:016x}.ptx", hasher.finish()), |partial| {
        let mut command = Command::new(&compiler.path);
        // The path is relative, so that the line information is the same wherever this is built.
        command.args(&arguments).arg("-o").arg(partial).arg(path).current_dir(root);
        run(&mut command)
    })?;
    let whole = String::from_utf8(whole).map_err(failed("read the PTX"))?;

    let mut kernels = Vec::new();
    for (name, text) in ptx::kernels(&ptx::lower(&whole)?)? {
        let mut images = vec![(format!("compute_{OLDEST}"), text.clone().into_bytes())];
        for architecture in native_architectures()? {
            let mut hasher = DefaultHasher::new();
            (&compiler.version, &flags, &architecture, &text).hash(&mut hasher);
            let file = format!("{name}-sm_{architecture}-{:016x}.cubin", hasher.finish());
            let image = kept(output, &file, |partial| {
                let mut source = partial.as_os_str().to_owned();
                source.push(".ptx");
                fs::write(&source, &text).map_err(failed("write PTX"))?;
                let mut command = Command::new(&compiler.path);
                command.args(["-cubin", &format!("-arch=sm_{architecture}")]);
                if with_line_information() {
                    command.arg("-lineinfo");
                }
                run(command.arg("-o").arg(partial).arg(&source))?;
                fs::remove_file(&source).map_err(failed("remove PTX"))
            })?;
            images.push((format!("sm_{architecture}"), image));
        }
        kernels.push(Kernel { module: module.clone(), name, images });
    }
    Ok(kernels)
}

/// Returns the content of a file in a directory of `target/`, and makes it if it is not there. Its
/// name has the hash of all that it is made from, so that a kernel is compiled once for its content,
/// whatever the profile and the features of the build. Files appear whole, by renaming, so that two
/// builds can work side by side.
fn kept(
    output: &Path,
    name: &str,
    make: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<Vec<u8>, String> {
    let store = target_directory(output).join("cuda-kernels");
    fs::create_dir_all(&store).map_err(failed("make a directory for images"))?;
    let file = store.join(name);
    if !file.exists() {
        let partial = store.join(format!("{name}.partial-{}", std::process::id()));
        make(&partial)?;
        fs::rename(&partial, &file).map_err(failed("keep an image"))?;
    }
    fs::read(&file).map_err(failed("read an image"))
}

/// Returns Cargo's directory for everything that it makes, of which `OUT_DIR` is a part and which
/// has a tag file, or `output` itself if no directory has one.
fn target_directory(output: &Path) -> &Path {
    let tagged = |directory: &&Path| directory.join("CACHEDIR.TAG").exists();
    output.ancestors().find(tagged).unwrap_or(output)
}

/// Hashes a source file and what it includes from kernels/, each file once.
fn hash_with_includes(
    root: &Path,
    file: &Path,
    seen: &mut BTreeSet<PathBuf>,
    hasher: &mut DefaultHasher,
) -> Result<(), String> {
    if !seen.insert(file.to_owned()) {
        return Ok(());
    }
    let text = fs::read_to_string(file)
        .map_err(|error| format!("{} is included and cannot be read: {error}", file.display()))?;
    text.hash(hasher);
    let included = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("#include \"")?.split('"').next());
    included.into_iter().try_for_each(|name| {
        hash_with_includes(root, &root.join("kernels").join(name), seen, hasher)
    })
}

/// Runs a compiler; what it prints becomes a warning, or the message of the error.
fn run(command: &mut Command) -> Result<(), String> {
    let said = command.output().map_err(failed("start the compiler"))?;
    let text = [said.stdout, said.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    if !said.status.success() {
        return Err(format!("{command:?}: {}\n{text}", said.status));
    }
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        println!("cargo:warning={line}");
    }
    Ok(())
}

/// Whether the environment asks for the lines of the source.
pub fn with_line_information() -> bool {
    env::var_os(LINE_INFORMATION).is_some_and(|value| !value.is_empty() && value != "0")
}

/// Returns the architectures to make machine code for: `90,100`, also written `sm_90;sm_100`.
///
/// # Errors
/// A name is no number.
pub fn native_architectures() -> Result<Vec<String>, String> {
    let list = env::var(ARCHITECTURES).unwrap_or_default();
    let mut architectures: Vec<String> = Vec::new();
    for name in list.split([',', ';', ' ']).map(str::trim).filter(|name| !name.is_empty()) {
        let number = name.strip_prefix("sm_").unwrap_or(name);
        // An image for sm_90a would be used on no GPU: drivers are asked for 9.0.
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("{ARCHITECTURES} has {name:?}; write numbers, such as 90,100"));
        }
        if !architectures.iter().any(|known| known == number) {
            architectures.push(number.to_owned());
        }
    }
    Ok(architectures)
}
