//! Training in bf16 or f16: libtorch's autocast in the forward pass, plus loss scaling for f16.

use tch::{Device, Kind, Tensor};
use tfnas_c10d::autocast::{PrecisionError, check};
use tfnas_c10d::grad_scaler::{GradScalerError, GradScalerState};
use tfnas_c10d::{GradScaler, GradScalerSettings, Precision, autocast};

use crate::gradient::Gradients;
use crate::named_tensors::NamedTensors;

/// Names in the saved state of a gradient scaler.
const SCALE: &str = "scale";
const GOOD_STEPS: &str = "good_steps";

/// The precision of the forward pass on a device. Weights and optimizer state stay f32.
#[derive(Debug)]
pub struct MixedPrecision {
    precision: Precision,
    device: Device,
    scaler: Option<GradScaler>,
}

/// Why a saved state cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum MixedPrecisionStateError {
    /// The state is of another precision: f16 has a loss scale, the others do not.
    #[error("the saved state has {} loss scale, but training in {precision:?} has {}", article(*.saved), article(!*.saved))]
    OtherPrecision {
        /// Whether the state has a loss scale.
        saved: bool,
        /// The precision of this training.
        precision: Precision,
    },
    /// The saved values are out of range.
    #[error(transparent)]
    Scaler(#[from] GradScalerError),
}

fn article(is_present: bool) -> &'static str {
    if is_present { "a" } else { "no" }
}

impl MixedPrecision {
    /// f32 without autocast.
    pub fn none(device: Device) -> Self {
        Self { precision: Precision::F32, device, scaler: None }
    }

    /// Creates the precision for a device; f16 uses PyTorch's default loss scale.
    ///
    /// # Errors
    /// Returns a [`PrecisionError`] if the device cannot train in this precision.
    pub fn new(precision: Precision, device: Device) -> Result<Self, PrecisionError> {
        check(device, precision)?;
        let scaler = (precision == Precision::F16).then(|| {
            GradScaler::new(GradScalerSettings::default(), device).expect("the default settings are in their ranges")
        });
        Ok(Self { precision, device, scaler })
    }

    /// Runs a forward pass under autocast.
    pub fn forward<T>(&self, pass: impl FnOnce() -> T) -> T {
        autocast(self.device, self.precision, pass).expect("checked in `new`")
    }

    /// Returns the loss `[]` f32 to start the backward pass from, multiplied by the loss scale.
    pub(crate) fn scaled(&self, loss: &Tensor) -> Tensor {
        match &self.scaler {
            Some(scaler) => scaler.scale(loss),
            None => loss.shallow_clone(),
        }
    }

    /// Divides the gradients by the loss scale and returns whether all are finite, so that the optimizer may step.
    /// Synchronizes with the device if there is a loss scale; otherwise returns true.
    pub(crate) fn unscale(&mut self, gradients: &Gradients) -> Result<bool, GradScalerError> {
        match &mut self.scaler {
            Some(scaler) => scaler.unscale(gradients),
            None => Ok(true),
        }
    }

    /// Returns the state to save: `scale` (f64) and `good_steps` (i64) for f16, nothing for the others.
    pub fn state(&self) -> NamedTensors {
        let state = self.scaler.iter().map(GradScaler::state).flat_map(|GradScalerState { scale, good_steps }| {
            [(SCALE.to_owned(), Tensor::from(scale)), (GOOD_STEPS.to_owned(), Tensor::from(good_steps))]
        });
        state.collect()
    }

    /// Restores a saved state.
    ///
    /// # Errors
    /// Returns a [`MixedPrecisionStateError`] for a state of another precision; nothing is changed then.
    pub fn restore(&mut self, saved: &NamedTensors) -> Result<(), MixedPrecisionStateError> {
        let number = |name| saved.get(name).filter(|tensor| tensor.numel() == 1);
        let state = number(SCALE).zip(number(GOOD_STEPS)).map(|(scale, good_steps)| GradScalerState {
            scale: scale.to_kind(Kind::Double).sum(None).double_value(&[]),
            good_steps: good_steps.to_kind(Kind::Int64).sum(None).int64_value(&[]),
        });
        match (&mut self.scaler, state) {
            (Some(scaler), Some(state)) => Ok(scaler.restore(state)?),
            (None, None) => Ok(()),
            (_, state) => {
                Err(MixedPrecisionStateError::OtherPrecision { saved: state.is_some(), precision: self.precision })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_state_is_restored_only_into_the_same_precision() {
        let mut f32 = MixedPrecision::none(Device::Cpu);
        assert!(f32.state().is_empty());
        let mut bf16 = MixedPrecision::new(Precision::Bf16, Device::Cpu).unwrap();
        bf16.restore(&f32.state()).unwrap();
        // On a CPU that cannot train in f16, only the state is tested.
        let scaler = GradScaler::new(GradScalerSettings { initial_scale: 512.0, ..Default::default() }, Device::Cpu);
        let mut f16 = MixedPrecision { precision: Precision::F16, device: Device::Cpu, scaler: Some(scaler.unwrap()) };
        let saved = f16.state();
        f16.unscale(&vec![Some(Tensor::from(f32::NAN))]).unwrap();
        assert_eq!(f16.state().get(SCALE).unwrap().double_value(&[]), 256.0);
        f16.restore(&saved).unwrap();
        assert_eq!(f16.state().get(SCALE).unwrap().double_value(&[]), 512.0);
        let error = f32.restore(&saved).unwrap_err().to_string();
        assert!(error.contains("has a loss scale, but training in F32 has no"), "{error}");
        assert!(f16.restore(&NamedTensors::new()).is_err());
    }
}
