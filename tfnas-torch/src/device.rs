//! The device tensors live on, and the number of threads that compute on a CPU.

use tch::{Cuda, Device};
use tfnas_c10d::cuda::device_count;

/// Why a device cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// A word that names no device.
    #[error("unknown device '{0}': it must be cpu, cuda, cuda:N or auto")]
    Unknown(String),
    /// A GPU is wanted, and this libtorch has none.
    #[error(
        "device {wanted}: libtorch finds no CUDA device (a libtorch without CUDA, no driver, or no GPU); use cpu or auto"
    )]
    NoCuda {
        /// The device asked for.
        wanted: String,
    },
    /// A GPU of a number that is not there.
    #[error("device cuda:{wanted}: there are {count} CUDA devices, cuda:0 to cuda:{}", .count - 1)]
    NoSuchGpu {
        /// The number asked for.
        wanted: usize,
        /// How many there are.
        count: usize,
    },
}

/// Finds the device that `cpu`, `cuda`, `cuda:N` or `auto` names; `auto` is the first GPU, or the CPU without one.
///
/// # Errors
/// [`DeviceError`] for another word, and for a GPU that is not there.
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

/// Sets how many threads libtorch computes with on a CPU, at least 1; returns the number before.
///
/// On a CPU the bytes of a result depend on this number, and on nothing else about threads.
pub fn set_threads(threads: usize) -> usize {
    let before = usize::try_from(tch::get_num_threads()).unwrap_or(1);
    tch::set_num_threads(i32::try_from(threads.max(1)).unwrap_or(i32::MAX));
    before
}

/// Waits until the device has done everything asked of it; a CPU always has.
pub fn synchronise(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_takes_the_first_gpu_and_without_one_the_cpu() {
        assert_eq!(choose_device("auto", 0), Ok(Device::Cpu));
        assert_eq!(choose_device("auto", 2), Ok(Device::Cuda(0)));
        assert_eq!(choose_device("cpu", 2), Ok(Device::Cpu));
        assert_eq!(choose_device("cuda:1", 2), Ok(Device::Cuda(1)));
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error_that_says_so() {
        let no_cuda = choose_device("cuda:1", 0).map_err(|error| error.to_string());
        assert!(no_cuda.is_err_and(|text| text.contains("cuda:1") && text.contains("use cpu")));
        let too_high = choose_device("cuda:2", 2).map_err(|error| error.to_string());
        assert!(too_high.is_err_and(|text| text.contains("cuda:0 to cuda:1")));
        for word in ["gpu", "cuda:", "cuda:-1", "cuda:x", ""] {
            assert_eq!(choose_device(word, 2), Err(DeviceError::Unknown(word.to_owned())));
        }
    }

    #[test]
    fn setting_threads_returns_the_number_before() {
        let before = set_threads(1);
        assert_eq!(set_threads(before), 1);
    }
}
