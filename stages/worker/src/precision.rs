//! Mixed precision as the configuration selects it.

use tch::Device;
use tfnas_c10d::cuda::set_numerics;
use tfnas_stages::Precision;
use tfnas_torch::mixed_precision::MixedPrecision;

use crate::error::StageError;

/// Sets up the precision of a configuration section on a device. `key` is the configuration key, for error messages.
///
/// # Errors
/// Returns an error if the device does not support the precision.
pub fn mixed_precision(key: &str, precision: Precision, device: Device) -> Result<MixedPrecision, StageError> {
    let tf32 = precision == Precision::Tf32;
    if device.is_cuda() {
        set_numerics(tf32)?;
    } else if tf32 {
        return Err(StageError::with_hint(
            format!("{key}: tf32 requires an NVIDIA GPU, but this stage runs on a CPU"),
            format!("set {key} to f32 or bf16, or device to cuda"),
        ));
    }
    let precision = match precision {
        Precision::F32 | Precision::Tf32 => tfnas_c10d::Precision::F32,
        Precision::Bf16 => tfnas_c10d::Precision::Bf16,
        Precision::F16 => tfnas_c10d::Precision::F16,
    };
    MixedPrecision::new(precision, device).map_err(|error| {
        StageError::with_hint(format!("{key}: {error}"), format!("set {key} to bf16 or f32, or use a GPU"))
    })
}
