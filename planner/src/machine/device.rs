use std::fmt;
use std::path::Path;

use tfnas_stages::machine::{CUDA_DRIVER as DRIVER, cuda_models};
use tfnas_stages::{Config, DeviceChoice, Executor};

use crate::machine::{build, cpu};

/// The computing device, determined without libtorch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// The CPU.
    Cpu,
    /// A CUDA device of this machine.
    Cuda {
        /// Device index.
        index: usize,
        /// Name of the model according to the driver.
        model: String,
    },
    /// The device of a cluster node, as declared in the configuration.
    OfNode {
        /// Index of the CUDA device; `None` for the CPU.
        cuda: Option<usize>,
        /// Name of the model, if declared.
        model: Option<String>,
        /// Frequency governor of the CPU.
        governor: String,
    },
}

/// A device is not available.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The NVIDIA driver is not loaded.
    #[error("device cuda:{index} does not exist: no NVIDIA driver is loaded ({DRIVER} does not exist)")]
    NoDriver {
        /// The requested index.
        index: usize,
    },
    /// The driver does not list a device with this index, or `CUDA_VISIBLE_DEVICES` hides it.
    #[error(
        "device cuda:{index} does not exist: the NVIDIA driver lists {found} devices in {DRIVER} (only those that \
         CUDA_VISIBLE_DEVICES selects, if it is set)"
    )]
    Missing {
        /// The requested index.
        index: usize,
        /// Number of devices that the driver lists.
        found: usize,
    },
    /// libtorch is installed without CUDA.
    #[error("device cuda:{index} cannot be used: libtorch {} was installed without CUDA", build::LIBTORCH)]
    NoCuda {
        /// The requested index.
        index: usize,
    },
}

impl Device {
    /// Returns the device of a configuration: a device of this machine, or of a cluster node.
    ///
    /// # Errors
    /// See [`find`](Self::find). Devices of cluster nodes are not checked.
    pub fn of(config: &Config) -> Result<Self, DeviceError> {
        if config.executor == Executor::Local {
            return Self::find(config.device);
        }
        let cuda = match config.device {
            DeviceChoice::Cuda(index) if !build::libtorch_has_cuda() => return Err(DeviceError::NoCuda { index }),
            DeviceChoice::Cuda(index) => Some(index),
            // With Slurm, the configuration must name the device: `auto` would be the device of the login node.
            DeviceChoice::Cpu | DeviceChoice::Auto => None,
        };
        let (model, governor) = (config.slurm.device_model.clone(), config.slurm.governor.clone());
        Ok(Self::OfNode { cuda, model, governor })
    }

    /// Returns the device of this machine that the configuration selects.
    ///
    /// # Errors
    /// Returns [`DeviceError`] if a CUDA device does not exist or cannot be used.
    pub fn find(choice: DeviceChoice) -> Result<Self, DeviceError> {
        let index = match choice {
            DeviceChoice::Cpu => return Ok(Self::Cpu),
            DeviceChoice::Auto => 0,
            DeviceChoice::Cuda(index) => index,
        };
        let mut models = cuda_models();
        let usable = build::libtorch_has_cuda();
        if index < models.len() && usable {
            return Ok(Self::Cuda { index, model: models.swap_remove(index) });
        }
        match choice {
            DeviceChoice::Auto => Ok(Self::Cpu),
            _ if index < models.len() => Err(DeviceError::NoCuda { index }),
            _ if !Path::new(DRIVER).exists() => Err(DeviceError::NoDriver { index }),
            _ => Err(DeviceError::Missing { index, found: models.len() }),
        }
    }

    /// Returns the model of a GPU that `auto` leaves unused because libtorch was installed without CUDA.
    pub fn unused_gpu(choice: DeviceChoice) -> Option<String> {
        let wanted = choice == DeviceChoice::Auto && !build::libtorch_has_cuda();
        wanted.then(|| cuda_models().into_iter().next()).flatten()
    }

    /// Returns `cpu` or `cuda`. Devices of the same kind give the same results within a tolerance.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Cpu | Self::OfNode { cuda: None, .. } => "cpu",
            Self::Cuda { .. } | Self::OfNode { cuda: Some(_), .. } => "cuda",
        }
    }

    /// Returns the model, which identifies a latency measurement.
    pub fn model(&self) -> String {
        match self {
            Self::Cpu => cpu::model(),
            Self::Cuda { model, .. } => model.clone(),
            Self::OfNode { model, .. } => model.clone().unwrap_or_else(|| "not declared".to_owned()),
        }
    }

    /// Returns the model, or `None` if it is a node's that the configuration does not declare.
    pub fn known_model(&self) -> Option<String> {
        match self {
            Self::OfNode { model: None, .. } => None,
            _ => Some(self.model()),
        }
    }

    /// Returns the frequency governor of the CPU, which identifies a latency measurement, too.
    pub fn governor(&self) -> String {
        match self {
            Self::Cpu | Self::Cuda { .. } => cpu::governor(),
            Self::OfNode { governor, .. } => governor.clone(),
        }
    }
}

/// Formats the device as libtorch does: `cpu` or `cuda:N`.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu | Self::OfNode { cuda: None, .. } => f.write_str("cpu"),
            Self::Cuda { index, .. } | Self::OfNode { cuda: Some(index), .. } => write!(f, "cuda:{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_device_is_an_error() {
        assert!(Device::find(DeviceChoice::Cuda(99)).is_err());
        assert_eq!(Device::find(DeviceChoice::Cpu), Ok(Device::Cpu));
    }
}
