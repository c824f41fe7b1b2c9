use std::fmt;
use std::fs;
use std::path::Path;

use tfnas_stages::DeviceChoice;

use crate::machine::{build, cpu};

/// Where the kernel's driver lists the CUDA devices. The planner links no libtorch that it could ask.
const DRIVER: &str = "/proc/driver/nvidia/gpus";

/// The device that computes, found without libtorch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// The CPU.
    Cpu,
    /// One CUDA device.
    Cuda {
        /// Its number.
        index: usize,
        /// What the driver calls it.
        model: String,
    },
}

/// A device that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// No driver, or no device.
    #[error("device cuda:{index} is not there: this machine has {found} CUDA devices (looked in {DRIVER})")]
    Missing {
        /// The number asked for.
        index: usize,
        /// How many there are.
        found: usize,
    },
    /// libtorch is built for the CPU alone.
    #[error("device cuda:{index} cannot be used: libtorch {} was installed without CUDA", build::LIBTORCH)]
    NoCuda {
        /// The number asked for.
        index: usize,
    },
}

impl Device {
    /// Finds the device that the configuration asks for.
    ///
    /// # Errors
    /// [`DeviceError`] for a CUDA device that is not there or cannot be used.
    pub fn find(choice: DeviceChoice) -> Result<Self, DeviceError> {
        let index = match choice {
            DeviceChoice::Cpu => return Ok(Self::Cpu),
            DeviceChoice::Auto => 0,
            DeviceChoice::Cuda(index) => index,
        };
        let mut models = cuda_models(Path::new(DRIVER));
        let usable = build::libtorch_has_cuda();
        if index < models.len() && usable {
            return Ok(Self::Cuda { index, model: models.swap_remove(index) });
        }
        match choice {
            DeviceChoice::Auto => Ok(Self::Cpu),
            _ if index < models.len() => Err(DeviceError::NoCuda { index }),
            _ => Err(DeviceError::Missing { index, found: models.len() }),
        }
    }

    /// Returns `cpu` or `cuda`: devices of one kind give the same results, within a tolerance.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda { .. } => "cuda",
        }
    }

    /// Returns the model, which a latency belongs to.
    pub fn model(&self) -> String {
        match self {
            Self::Cpu => cpu::model(),
            Self::Cuda { model, .. } => model.clone(),
        }
    }
}

/// Writes `cpu` or `cuda:N`, as libtorch does.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda { index, .. } => write!(f, "cuda:{index}"),
        }
    }
}

/// The models of the CUDA devices, in order of their bus addresses.
fn cuda_models(driver: &Path) -> Vec<String> {
    let Ok(folders) = fs::read_dir(driver) else { return Vec::new() };
    let mut folders: Vec<_> = folders.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    folders
        .iter()
        .map(|folder| {
            let text = fs::read_to_string(folder.join("information")).unwrap_or_default();
            let model = text.lines().find_map(|line| line.strip_prefix("Model:"));
            model.map_or("unknown", str::trim).to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_driver_names_the_models_of_its_devices() {
        let driver = tempfile::tempdir().unwrap();
        for (bus, model) in [("0000:81:00.0", "B"), ("0000:01:00.0", "A 100")] {
            fs::create_dir(driver.path().join(bus)).unwrap();
            fs::write(driver.path().join(bus).join("information"), format!("Model: \t\t {model}\nIRQ: 4\n")).unwrap();
        }
        assert_eq!(cuda_models(driver.path()), ["A 100", "B"]);
        assert!(cuda_models(&driver.path().join("none")).is_empty());
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error() {
        assert!(Device::find(DeviceChoice::Cuda(99)).is_err());
        assert_eq!(Device::find(DeviceChoice::Cpu), Ok(Device::Cpu));
    }
}
