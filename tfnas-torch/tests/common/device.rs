//! The device that tests compute on.

use tch::Device;
use tfnas_c10d::cuda::set_numerics;
use tfnas_torch::device::find_device;

/// Names the device; without it, tests compute on the CPU.
const DEVICE: &str = "TFNAS_TEST_DEVICE";

/// Returns the device to compute on, with IEEE f32 throughout.
pub fn device() -> Device {
    let name = std::env::var(DEVICE).unwrap_or_else(|_| "cpu".to_owned());
    let device = find_device(&name).unwrap_or_else(|error| panic!("{DEVICE}: {error}"));
    if device.is_cuda() {
        set_numerics(false).expect("libtorch has CUDA");
    }
    device
}
