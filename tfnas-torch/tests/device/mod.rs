//! The device that tests run on.

use tch::Device;
use tfnas_c10d::cuda::set_numerics;
use tfnas_torch::device::find_device;

/// Environment variable with the name of the device; the default is the CPU.
const DEVICE: &str = "TFNAS_TEST_DEVICE";

/// Returns the test device, with IEEE f32 arithmetic.
pub fn device() -> Device {
    let name = std::env::var(DEVICE).unwrap_or_else(|_| "cpu".to_owned());
    let device = find_device(&name).unwrap_or_else(|error| panic!("{DEVICE}: {error}"));
    if device.is_cuda() {
        set_numerics(false).expect("libtorch has CUDA");
    }
    device
}
