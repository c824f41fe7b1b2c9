//! Selection of the device, and the number of CPU threads.

use tch::{Cuda, Device};
use tfnas_c10d::cuda::device_count;

/// Why a device cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The name is not a device name.
    #[error("unknown device '{0}': it must be cpu, cuda, cuda:N or auto")]
    Unknown(String),
    /// A GPU was requested, but libtorch finds none.
    #[error(
        "device {wanted}: libtorch finds no CUDA device (libtorch without CUDA, no driver, or no GPU)\nhint: use cpu or auto"
    )]
    NoCuda {
        /// The requested device.
        wanted: String,
    },
    /// The index of the requested GPU is too large.
    #[error("device cuda:{wanted}: there are {count} CUDA devices, cuda:0 to cuda:{}", .count - 1)]
    NoSuchGpu {
        /// The requested index.
        wanted: usize,
        /// Number of CUDA devices.
        count: usize,
    },
}

/// Resolves a device name: `cpu`, `cuda`, `cuda:N` or `auto` (the first GPU, or the CPU if there is none).
///
/// # Errors
/// Returns a [`DeviceError`] for an unknown name or a GPU that does not exist.
pub fn find_device(name: &str) -> Result<Device, DeviceError> {
    choose_device(name, device_count())
}

/// [`find_device`] on a machine with `count` GPUs.
fn choose_device(name: &str, count: usize) -> Result<Device, DeviceError> {
    let wanted = match name {
        "cpu" => return Ok(Device::Cpu),
        "auto" if count == 0 => return Ok(Device::Cpu),
        "auto" | "cuda" => 0,
        _ => name
            .strip_prefix("cuda:")
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| DeviceError::Unknown(name.chars().take(40).collect()))?,
    };
    match count {
        0 => Err(DeviceError::NoCuda { wanted: name.to_owned() }),
        _ if wanted >= count => Err(DeviceError::NoSuchGpu { wanted, count }),
        _ => Ok(Device::Cuda(wanted)),
    }
}

/// Sets the number of threads libtorch uses on a CPU, at least 1; returns the previous number.
///
/// The bytes of a result computed on a CPU depend on this number.
pub fn set_threads(threads: usize) -> usize {
    let before = usize::try_from(tch::get_num_threads()).unwrap_or(1);
    tch::set_num_threads(i32::try_from(threads.max(1)).unwrap_or(i32::MAX));
    before
}

/// Waits until the device has completed all queued work. A no-op on a CPU.
pub fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_selects_the_first_gpu_or_the_cpu() {
        assert_eq!(choose_device("auto", 0), Ok(Device::Cpu));
        assert_eq!(choose_device("auto", 2), Ok(Device::Cuda(0)));
        assert_eq!(choose_device("cpu", 2), Ok(Device::Cpu));
        assert_eq!(choose_device("cuda:1", 2), Ok(Device::Cuda(1)));
    }

    #[test]
    fn a_missing_device_is_an_error() {
        let no_cuda = choose_device("cuda:1", 0).map_err(|error| error.to_string());
        assert!(no_cuda.is_err_and(|text| text.contains("cuda:1") && text.contains("use cpu")));
        let too_high = choose_device("cuda:2", 2).map_err(|error| error.to_string());
        assert!(too_high.is_err_and(|text| text.contains("cuda:0 to cuda:1")));
        for word in ["gpu", "cuda:", "cuda:-1", "cuda:x", ""] {
            assert_eq!(choose_device(word, 2), Err(DeviceError::Unknown(word.to_owned())));
        }
    }

    #[test]
    fn set_threads_returns_the_previous_number() {
        let before = set_threads(1);
        assert_eq!(set_threads(before), 1);
    }
}
