use std::fmt;
use std::path::Path;

use tfnas_stages::machine::{CUDA_DRIVER as DRIVER, cuda_models};
use tfnas_stages::{Config, DeviceChoice, Executor};

use crate::machine::{build, cpu};

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
    /// The device of a node of a cluster, as the configuration declares it.
    OfNode {
        /// The number of the CUDA device; none for the CPU.
        cuda: Option<usize>,
        /// Its model, where it is declared.
        model: Option<String>,
        /// The governor of its CPU.
        governor: String,
    },
}

/// A device that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The NVIDIA driver is not loaded.
    #[error("device cuda:{index} is not there: no NVIDIA driver is loaded ({DRIVER} does not exist)")]
    NoDriver {
        /// The number asked for.
        index: usize,
    },
    /// The driver has no device of this number.
    #[error("device cuda:{index} is not there: the NVIDIA driver lists {found} devices in {DRIVER}")]
    Missing {
        /// The number asked for.
        index: usize,
        /// How many there are.
        found: usize,
    },
    /// libtorch is installed without CUDA.
    #[error("device cuda:{index} cannot be used: libtorch {} was installed without CUDA", build::LIBTORCH)]
    NoCuda {
        /// The number asked for.
        index: usize,
    },
}

impl Device {
    /// Returns the device that a pipeline computes on: one of this machine, or of a node of a cluster.
    ///
    /// # Errors
    /// As [`find`](Self::find); what nodes have is not looked for.
    pub fn of(config: &Config) -> Result<Self, DeviceError> {
        if config.executor == Executor::Local {
            return Self::find(config.device);
        }
        let cuda = match config.device {
            DeviceChoice::Cuda(index) if !build::libtorch_has_cuda() => return Err(DeviceError::NoCuda { index }),
            DeviceChoice::Cuda(index) => Some(index),
            // A configuration that queues its work says which it is.
            DeviceChoice::Cpu | DeviceChoice::Auto => None,
        };
        let (model, governor) = (config.slurm.device_model.clone(), config.slurm.governor.clone());
        Ok(Self::OfNode { cuda, model, governor })
    }

    /// Finds the device of this machine that the configuration asks for.
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
            _ if !Path::new(DRIVER).exists() => Err(DeviceError::NoDriver { index }),
            _ => Err(DeviceError::Missing { index, found: models.len() }),
        }
    }

    /// Returns the model of a GPU that `auto` leaves unused because libtorch was installed without CUDA.
    pub fn unused_gpu(choice: DeviceChoice) -> Option<String> {
        let wanted = choice == DeviceChoice::Auto && !build::libtorch_has_cuda();
        wanted.then(|| cuda_models(Path::new(DRIVER)).into_iter().next()).flatten()
    }

    /// Returns `cpu` or `cuda`: devices of one kind give the same results, within a tolerance.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Cpu | Self::OfNode { cuda: None, .. } => "cpu",
            Self::Cuda { .. } | Self::OfNode { cuda: Some(_), .. } => "cuda",
        }
    }

    /// Returns the model, which a latency belongs to.
    pub fn model(&self) -> String {
        match self {
            Self::Cpu => cpu::model(),
            Self::Cuda { model, .. } => model.clone(),
            Self::OfNode { model, .. } => model.clone().unwrap_or_else(|| "not declared".to_owned()),
        }
    }

    /// Returns the frequency governor of its CPU, which a latency belongs to as well.
    pub fn governor(&self) -> String {
        match self {
            Self::Cpu | Self::Cuda { .. } => cpu::governor(),
            Self::OfNode { governor, .. } => governor.clone(),
        }
    }
}

/// Writes `cpu` or `cuda:N`, as libtorch does.
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
    fn a_device_that_is_not_there_is_an_error() {
        assert!(Device::find(DeviceChoice::Cuda(99)).is_err());
        assert_eq!(Device::find(DeviceChoice::Cpu), Ok(Device::Cpu));
    }
}
