//! The kernels as they are embedded in this program, made by build.rs.

use std::env;
use std::fs;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use flate2::read::DeflateDecoder;

use crate::error::{Error, Result};

/// The variable that names a directory with images which take the place of embedded ones.
const REPLACEMENTS: &str = "MECHANISTIC_CUDA_MODULES";

/// All images, compressed, one after another.
const BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/images.bin"));

const KERNELS: &[KernelImages] = include!(concat!(env!("OUT_DIR"), "/images.rs"));

/// A kernel as it is embedded in this program, for disassembly and profiling.
#[derive(Debug)]
pub struct KernelImages {
    /// Name of the file in `kernels/`, with an underscore for a slash: `team_adjoint`.
    pub module: &'static str,
    /// Name of the kernel.
    pub name: &'static str,
    images: &'static [Image],
}

/// One image of a kernel.
#[derive(Debug)]
struct Image {
    /// Architecture: PTX for `compute_80`, machine code for `sm_90`.
    architecture: &'static str,
    place: Range<usize>,
    /// Number of bytes that are compressed there.
    length: usize,
}

/// Returns the kernels that are embedded in this program.
pub fn kernel_images() -> &'static [KernelImages] {
    KERNELS
}

/// Returns the architectures that the embedded kernels were compiled for: `compute_80` is PTX,
/// which the driver translates for this and every later architecture, `sm_90` is machine code. The
/// list is empty if there are no kernels, because no nvcc was found when the library was built.
pub fn kernel_architectures() -> &'static [&'static str] {
    include!(concat!(env!("OUT_DIR"), "/architectures.rs"))
}

impl KernelImages {
    /// Returns the PTX of the kernel: a module with this kernel alone.
    pub fn ptx(&self) -> String {
        let image = self.images.iter().find(|image| image.architecture.starts_with("compute_"));
        let bytes = image.expect("build.rs makes PTX of every kernel").read();
        String::from_utf8(bytes).expect("PTX is text")
    }

    /// Returns the image for a device of this compute capability, as the driver takes it: machine
    /// code of the same major version and no later minor one, or else PTX with a zero at the end.
    /// Where `MECHANISTIC_CUDA_MODULES` names a directory, an image there goes first: a file named
    /// after the kernel or after its module (`thread_solve_1_3`, `thread_solve`), with the extension
    /// `cubin` for machine code or `ptx`. So kernels can be changed without building the library.
    ///
    /// # Errors
    /// [`Error::Device`] if there is no such directory or the file cannot be read.
    pub(super) fn for_device(&self, capability: (i32, i32)) -> Result<Vec<u8>> {
        let directory = env::var_os(REPLACEMENTS).filter(|directory| !directory.is_empty());
        let replacement = directory.map(|directory| self.replacement(Path::new(&directory)));
        if let Some((path, bytes)) = replacement.transpose()?.flatten() {
            tracing::warn!("the kernel {} is that of {}", self.name, path.display());
            let is_text = path.extension().is_some_and(|extension| extension == "ptx");
            return Ok(if is_text { with_end(bytes) } else { bytes });
        }
        Ok(match self.machine_code(capability) {
            Some(image) => image.read(),
            None => with_end(self.ptx().into_bytes()),
        })
    }

    /// The file in the directory that takes this kernel's place, if there is one, with its content.
    fn replacement(&self, directory: &Path) -> Result<Option<(PathBuf, Vec<u8>)>> {
        let failed = |path: &Path, error| Error::Device {
            doing: format!("reading {} ({REPLACEMENTS})", path.display()),
            message: error,
        };
        if !directory.is_dir() {
            return Err(failed(directory, "it is no directory".to_owned()));
        }
        for name in [self.name, self.module] {
            for extension in ["cubin", "ptx"] {
                let path = directory.join(format!("{name}.{extension}"));
                match fs::read(&path) {
                    Ok(bytes) => return Ok(Some((path, bytes))),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(failed(&path, error.to_string())),
                }
            }
        }
        Ok(None)
    }

    fn machine_code(&self, (major, minor): (i32, i32)) -> Option<&Image> {
        let that_runs = self.images.iter().filter_map(|image| {
            let number: i32 = image.architecture.strip_prefix("sm_")?.parse().ok()?;
            (number / 10 == major && number % 10 <= minor).then_some((number, image))
        });
        that_runs.max_by_key(|(number, _)| *number).map(|(_, image)| image)
    }
}

/// The driver reads text up to a zero.
fn with_end(mut ptx: Vec<u8>) -> Vec<u8> {
    ptx.push(0);
    ptx
}

impl Image {
    fn read(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.length);
        DeflateDecoder::new(&BYTES[self.place.clone()])
            .read_to_end(&mut bytes)
            .expect("build.rs has compressed it");
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_driver_since_cuda_12_3_takes_the_ptx() {
        assert!(!KERNELS.is_empty());
        for kernel in KERNELS {
            let ptx = kernel.ptx();
            let version = ptx.lines().find_map(|line| line.strip_prefix(".version "));
            let version: f64 = version.unwrap().parse().unwrap();
            assert!(version <= 8.3, "{}: {version}", kernel.name);
            assert_eq!(ptx.matches(".entry ").count(), 1, "{}", kernel.name);
            assert!(!ptx.contains("\t.loc\t") && !ptx.contains(".debug_str"), "{}", kernel.name);
        }
    }

    /// The compiler gives what has static shared memory in an unnamed namespace a name with a hash of
    /// the place of the source.
    #[test]
    fn kernels_are_the_same_wherever_they_are_compiled() {
        for kernel in KERNELS {
            assert!(!kernel.ptx().contains("_INTERNAL_"), "{}", kernel.name);
        }
    }

    #[test]
    fn machine_code_is_taken_where_it_runs() {
        const fn image(architecture: &'static str) -> Image {
            Image { architecture, place: 0..0, length: 0 }
        }
        static IMAGES: [Image; 4] =
            [image("compute_80"), image("sm_80"), image("sm_86"), image("sm_100")];
        let kernel =
            KernelImages { module: "team_forward", name: "team_forward_1", images: &IMAGES };
        let taken = |capability| kernel.machine_code(capability).map(|image| image.architecture);
        assert_eq!(taken((8, 0)), Some("sm_80"));
        assert_eq!(taken((8, 9)), Some("sm_86"));
        assert_eq!(taken((9, 0)), None, "PTX");
        assert_eq!(taken((10, 3)), Some("sm_100"));
    }
}
