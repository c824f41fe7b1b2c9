//! Training in bf16 or f16: libtorch's autocast in the forward pass, and for f16 a loss scale.

use tch::{Device, Kind, Tensor};
use tfnas_c10d::autocast::{PrecisionError, check};
use tfnas_c10d::grad_scaler::{GradScalerError, GradScalerState};
use tfnas_c10d::{GradScaler, GradScalerSettings, Precision, autocast};

use crate::gradient::Gradients;
use crate::named_tensors::NamedTensors;

/// Names of what a scaler saves.
const SCALE: &str = "scale";
const GOOD_STEPS: &str = "good_steps";

/// The precision in which a network is trained on a device. Its weights and their optimizer stay f32.
#[derive(Debug)]
pub struct MixedPrecision {
    precision: Precision,
    device: Device,
    scaler: Option<GradScaler>,
}

/// Why a saved state cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum MixedPrecisionStateError {
    /// A state of another precision: f16 has a loss scale, the others have none.
    #[error("the saved state has {} loss scale, but training in {precision:?} has {}", some(*.saved), some(!*.saved))]
    OtherPrecision {
        /// Whether the state has a scale.
        saved: bool,
        /// The precision of this training.
        precision: Precision,
    },
    /// Numbers that no scaler has.
    #[error(transparent)]
    Scaler(#[from] GradScalerError),
}

fn some(is_there: bool) -> &'static str {
    if is_there { "a" } else { "no" }
}

impl MixedPrecision {
    /// f32 throughout.
    pub fn none(device: Device) -> Self {
        Self { precision: Precision::F32, device, scaler: None }
    }

    /// Training in a precision on a device; for f16 with PyTorch's default loss scale.
    ///
    /// # Errors
    /// [`PrecisionError`] where this device cannot train in it.
    pub fn new(precision: Precision, device: Device) -> Result<Self, PrecisionError> {
        check(device, precision)?;
        let scaler = (precision == Precision::F16).then(|| {
            GradScaler::new(GradScalerSettings::default(), device).expect("the default settings are in their ranges")
        });
        Ok(Self { precision, device, scaler })
    }

    /// Runs a forward pass in this precision.
    pub fn forward<T>(&self, pass: impl FnOnce() -> T) -> T {
        autocast(self.device, self.precision, pass).expect("a device with autocast, as was checked")
    }

    /// What the backward pass begins with: the loss `[]` f32, scaled where the precision wants it.
    pub(crate) fn scaled(&self, loss: &Tensor) -> Tensor {
        match &self.scaler {
            Some(scaler) => scaler.scale(loss),
            None => loss.shallow_clone(),
        }
    }

    /// Takes the scale out of gradients; whether all of them are finite, so that the optimizer may step. With a scale it waits
    /// for the device; without one the answer is always yes.
    pub(crate) fn unscale(&mut self, gradients: &Gradients) -> Result<bool, GradScalerError> {
        match &mut self.scaler {
            Some(scaler) => scaler.unscale(gradients),
            None => Ok(true),
        }
    }

    /// The state to save: `scale` (f64) and `good_steps` (i64) for f16, nothing for the others.
    pub fn state(&self) -> NamedTensors {
        let state = self.scaler.iter().map(GradScaler::state).flat_map(|GradScalerState { scale, good_steps }| {
            [(SCALE.to_owned(), Tensor::from(scale)), (GOOD_STEPS.to_owned(), Tensor::from(good_steps))]
        });
        state.collect()
    }

    /// Puts a saved state back.
    ///
    /// # Errors
    /// [`MixedPrecisionStateError`]; nothing is changed then.
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
    fn a_state_goes_back_into_a_training_of_the_same_precision_alone() {
        let mut f32 = MixedPrecision::none(Device::Cpu);
        assert!(f32.state().is_empty());
        let mut bf16 = MixedPrecision::new(Precision::Bf16, Device::Cpu).unwrap();
        bf16.restore(&f32.state()).unwrap();
        // Where this CPU cannot train in f16, the state alone is tested.
        let scaler = GradScaler::new(GradScalerSettings { initial_scale: 512.0, ..Default::default() }, Device::Cpu);
        let mut f16 = MixedPrecision { precision: Precision::F16, device: Device::Cpu, scaler: Some(scaler.unwrap()) };
        let saved = f16.state();
        f16.unscale(&vec![Some(Tensor::from(f32::NAN))]).unwrap();
        assert_eq!(f16.state().get(SCALE).unwrap().double_value(&[]), 256.0);
        f16.restore(&saved).unwrap();
        assert_eq!(f16.state().get(SCALE).unwrap().double_value(&[]), 512.0);
        let refused = f32.restore(&saved).unwrap_err().to_string();
        assert!(refused.contains("has a loss scale, but training in F32 has no"), "{refused}");
        assert!(f16.restore(&NamedTensors::new()).is_err());
    }
}
