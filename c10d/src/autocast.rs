//! Mixed precision with libtorch's autocast: operations that are safe in a lower precision use it.

use std::marker::PhantomData;

use tch::{Device, Kind, Tensor};

use crate::raw::{self, AutocastBefore, call};

/// The dtype in which convolutions and matrix products are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits, without autocast.
    #[default]
    F32,
    /// bfloat16: the range of f32 with 8 bits of precision. It needs no gradient scaling.
    Bf16,
    /// float16: 11 bits of precision, largest value 65504. Training needs a [`GradScaler`](crate::GradScaler).
    F16,
}

impl Precision {
    /// The dtype's name in libtorch.
    pub fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
            Self::F16 => Kind::Half,
        }
    }

    /// `c10::ScalarType`.
    fn number(self) -> i8 {
        match self {
            Self::F32 => 6,
            Self::Bf16 => 15,
            Self::F16 => 5,
        }
    }
}

/// A precision that a device cannot train in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{precision:?} on {device:?}: training in this precision is not supported on this machine ({message})\nhint: use bf16 or f32"
)]
pub struct PrecisionError {
    /// The requested precision.
    pub precision: Precision,
    /// The requested device.
    pub device: Device,
    /// The message of libtorch.
    pub message: String,
}

/// Runs `body` with autocast enabled on this thread. On that device, operations that benefit from `precision` are
/// computed in it, and operations that need the range or precision of f32 are computed in f32. Parameters stay f32;
/// they are converted once per outermost call.
///
/// Run only the forward pass and the loss inside `body`: the backward pass uses the dtypes of the forward pass. With
/// [`Precision::F32`], `body` runs unchanged.
///
/// # Errors
/// Returns [`PrecisionError`], without running `body`, if the device is neither a CPU nor a CUDA device.
pub fn autocast<T>(device: Device, precision: Precision, body: impl FnOnce() -> T) -> Result<T, PrecisionError> {
    if precision == Precision::F32 {
        return Ok(body());
    }
    let guard = Guard::new(device, precision)?;
    let result = body();
    drop(guard);
    Ok(result)
}

/// Checks whether a device can train in a precision, with a small network: convolution, depthwise convolution, linear.
///
/// # Errors
/// Returns [`PrecisionError`] if it cannot.
pub fn check(device: Device, precision: Precision) -> Result<(), PrecisionError> {
    let step = || {
        let options = (Kind::Float, device);
        let weight = |shape: &[i64]| Ok::<_, tch::TchError>(Tensor::f_ones(shape, options)?.set_requires_grad(true));
        let (dense, depthwise, linear) = (weight(&[8, 8, 3, 3])?, weight(&[8, 1, 3, 3])?, weight(&[4, 8])?);
        let x = Tensor::f_ones([2, 8, 5, 5], options)?;
        let loss = autocast(device, precision, || {
            let x = x.f_conv2d(&dense, None::<&Tensor>, 1, 1, 1, 1)?;
            let x = x.f_conv2d(&depthwise, None::<&Tensor>, 1, 1, 1, 8)?;
            let x = x.f_mean_dim(&[2i64, 3][..], false, None)?.f_linear(&linear, None::<&Tensor>)?;
            x.f_sum(Kind::Float)
        });
        let loss = match loss {
            Ok(loss) => loss?,
            Err(error) => return Err(tch::TchError::Torch(error.message)),
        };
        Tensor::f_run_backward(&[loss], &[&dense, &depthwise, &linear], false, false)
    };
    let message = match step() {
        Ok(_) => return Ok(()),
        Err(error) => error.to_string(),
    };
    let message = message.lines().next().unwrap_or_default().to_owned();
    Err(PrecisionError { precision, device, message })
}

/// Restores the previous autocast state when dropped.
struct Guard {
    before: AutocastBefore,
    /// The autocast state is thread-local.
    _of_this_thread: PhantomData<*const ()>,
}

impl Guard {
    fn new(device: Device, precision: Precision) -> Result<Self, PrecisionError> {
        let refused = |message: String| PrecisionError { precision, device, message };
        let is_cuda = match device {
            Device::Cpu => false,
            Device::Cuda(_) => true,
            _ => return Err(refused("autocast supports only CPUs and CUDA devices".to_owned())),
        };
        let mut before = AutocastBefore::default();
        // SAFETY: the shim writes `before`, which has the same layout as its own struct.
        call(|message| unsafe { raw::c10d_autocast_enter(is_cuda, precision.number(), &mut before, message) })
            .map_err(|failure| refused(failure.message))?;
        Ok(Self { before, _of_this_thread: PhantomData })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // SAFETY: `before` was written by the shim on this thread. Guards nest because only `autocast` creates them.
        unsafe { raw::c10d_autocast_leave(&self.before) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product() -> Kind {
        let matrix = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
        matrix.matmul(&matrix).kind()
    }

    #[test]
    fn a_product_is_computed_in_the_requested_precision() {
        assert_eq!(autocast(Device::Cpu, Precision::Bf16, product), Ok(Kind::BFloat16));
        assert_eq!(autocast(Device::Cpu, Precision::F16, product), Ok(Kind::Half));
        assert_eq!(autocast(Device::Cpu, Precision::F32, product), Ok(Kind::Float));
        assert_eq!(product(), Kind::Float, "autocast is disabled afterwards");
    }

    #[test]
    fn nested_calls_restore_the_outer_precision() {
        let kinds = autocast(Device::Cpu, Precision::Bf16, || {
            let inner = autocast(Device::Cpu, Precision::F16, product);
            (inner, product())
        });
        assert_eq!(kinds, Ok((Ok(Kind::Half), Kind::BFloat16)));
    }

    #[test]
    fn a_panic_restores_the_previous_precision() {
        let panicked = std::panic::catch_unwind(|| {
            let _ = autocast(Device::Cpu, Precision::Bf16, || panic!("inside"));
        });
        assert!(panicked.is_err());
        assert_eq!(product(), Kind::Float);
    }

    #[test]
    fn sensitive_operations_and_gradients_stay_f32() {
        let x = Tensor::ones([3, 4], (Kind::Float, Device::Cpu));
        let weight = Tensor::ones([2, 4], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let loss = autocast(Device::Cpu, Precision::Bf16, || {
            let logits = x.linear(&weight, None::<&Tensor>);
            assert_eq!(logits.kind(), Kind::BFloat16);
            logits.cross_entropy_for_logits(&Tensor::from_slice(&[0i64, 1, 0]))
        });
        let loss = loss.expect("CPUs support autocast");
        assert_eq!(loss.kind(), Kind::Float);
        let gradient = Tensor::run_backward(&[loss], &[&weight], false, false);
        assert_eq!(gradient[0].kind(), Kind::Float);
    }

    #[test]
    fn a_cpu_supports_bf16_and_reports_missing_f16_support() {
        assert_eq!(check(Device::Cpu, Precision::F32), Ok(()));
        assert_eq!(check(Device::Cpu, Precision::Bf16), Ok(()));
        if let Err(error) = check(Device::Cpu, Precision::F16) {
            assert!(error.to_string().contains("use bf16 or f32"), "{error}");
        }
    }
}
