//! Where to compute.

use std::fmt;
use std::str::FromStr;
#[cfg(feature = "cuda")]
use std::sync::Arc;

#[cfg(feature = "cuda")]
use super::cuda::{self, CudaDevice};
use crate::error::{Error, Result};

/// A device by its name, not opened: `cpu`, `cuda` (the first GPU) or `cuda:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceName {
    /// The processor.
    #[default]
    Cpu,
    /// The CUDA device of this number, from 0.
    Cuda(usize),
}

impl DeviceName {
    /// The device itself.
    ///
    /// # Errors
    /// Those of [`Device::cuda`].
    pub fn open(self) -> Result<Device> {
        match self {
            DeviceName::Cpu => Ok(Device::Cpu),
            DeviceName::Cuda(ordinal) => Device::cuda(ordinal),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceName::Cpu => f.write_str("cpu"),
            DeviceName::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl FromStr for DeviceName {
    type Err = Error;

    /// # Errors
    /// [`Error::Argument`] for another name.
    fn from_str(name: &str) -> Result<Self> {
        let parsed = match name.split_once(':') {
            None if name == "cpu" => Some(DeviceName::Cpu),
            None if name == "cuda" => Some(DeviceName::Cuda(0)),
            Some(("cuda", ordinal)) if ordinal.bytes().all(|byte| byte.is_ascii_digit()) => {
                ordinal.parse().ok().map(DeviceName::Cuda)
            }
            _ => None,
        };
        parsed.ok_or_else(|| {
            let message = format!("expected cpu, cuda or cuda:N (N = 0, 1, …), got `{name}`");
            Error::argument("device", message)
        })
    }
}

/// The processor or a GPU. Written `cpu`, `cuda` (the first GPU) or `cuda:N`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Device {
    /// The processor, with all its cores.
    #[default]
    Cpu,
    /// A CUDA device, made by [`Device::cuda`].
    #[cfg(feature = "cuda")]
    Cuda(Arc<CudaDevice>),
}

impl Device {
    /// The CUDA device of this number.
    ///
    /// # Errors
    /// [`Error::Device`] says what is missing: the feature `cuda`, kernels (no nvcc when the
    /// library was built), a driver, the device.
    #[cfg(feature = "cuda")]
    pub fn cuda(ordinal: usize) -> Result<Self> {
        Ok(Device::Cuda(CudaDevice::get(ordinal)?))
    }

    /// The CUDA device of this number.
    ///
    /// # Errors
    /// [`Error::Device`] always: this build has no CUDA backend.
    #[cfg(not(feature = "cuda"))]
    pub fn cuda(ordinal: usize) -> Result<Self> {
        Err(Error::Device {
            doing: format!("opening CUDA device {ordinal}"),
            message: "this build has no CUDA backend; build with the feature `cuda`".into(),
        })
    }

    /// The first CUDA device that can be opened and takes the kernels, else the CPU.
    pub fn best() -> Self {
        let count = Self::cuda_count().unwrap_or(0);
        (0..count).find_map(|ordinal| Self::usable_cuda(ordinal).ok()).unwrap_or_default()
    }

    #[cfg(feature = "cuda")]
    fn usable_cuda(ordinal: usize) -> Result<Self> {
        let device = CudaDevice::get(ordinal)?;
        device.check_kernels()?;
        Ok(Device::Cuda(device))
    }

    #[cfg(not(feature = "cuda"))]
    fn usable_cuda(ordinal: usize) -> Result<Self> {
        Self::cuda(ordinal)
    }

    /// How many CUDA devices this program can see; 0 without a driver or the feature `cuda`.
    ///
    /// # Errors
    /// [`Error::Device`] if the driver fails.
    #[cfg(feature = "cuda")]
    pub fn cuda_count() -> Result<usize> {
        cuda::driver::device::count()
    }

    /// How many CUDA devices this program can see; 0 without a driver or the feature `cuda`.
    ///
    /// # Errors
    /// [`Error::Device`] if the driver fails.
    #[cfg(not(feature = "cuda"))]
    pub fn cuda_count() -> Result<usize> {
        Ok(0)
    }

    /// What the device calls itself.
    ///
    /// # Errors
    /// [`Error::Device`] if the driver fails.
    pub fn name(&self) -> Result<String> {
        match self {
            Device::Cpu => Ok(processor()),
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => device.name(),
        }
    }

    /// Waits until everything that was asked of it is done.
    ///
    /// # Errors
    /// [`Error::Device`] if some of it failed.
    pub fn synchronize(&self) -> Result<()> {
        match self {
            Device::Cpu => Ok(()),
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => device.synchronize(),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Device::Cpu => DeviceName::Cpu,
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => DeviceName::Cuda(device.ordinal()),
        };
        name.fmt(f)
    }
}

impl FromStr for Device {
    type Err = Error;

    /// # Errors
    /// [`Error::Argument`] for another name, and those of [`Device::cuda`].
    fn from_str(name: &str) -> Result<Self> {
        name.parse::<DeviceName>()?.open()
    }
}

/// The processor's own name, where the system tells it.
fn processor() -> String {
    let description = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = description.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for (written, name, shown) in [
            ("cpu", DeviceName::Cpu, "cpu"),
            ("cuda", DeviceName::Cuda(0), "cuda:0"),
            ("cuda:3", DeviceName::Cuda(3), "cuda:3"),
        ] {
            assert_eq!(written.parse::<DeviceName>().unwrap(), name);
            assert_eq!(name.to_string(), shown);
        }
        assert_eq!("cpu".parse::<Device>().unwrap().to_string(), "cpu");
        for wrong in
            ["", "gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "cpu:0", "cuda:0:1"]
        {
            let error = wrong.parse::<DeviceName>().unwrap_err().to_string();
            assert!(error.contains("expected cpu, cuda or cuda:N"), "{wrong}: {error}");
        }
    }
}
