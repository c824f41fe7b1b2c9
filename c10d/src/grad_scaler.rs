//! Gradient scaling, which keeps f16 gradients from underflowing.
//!
//! The loss is multiplied by a scale before the backward pass, and the gradients are divided by it afterwards. A step
//! with non-finite gradients is skipped and reduces the scale; a number of consecutive finite steps increases it.
//! Semantics and arithmetic are those of `torch.amp.GradScaler`, with the same two libtorch operations.

use tch::{Device, Kind, TchError, Tensor};

use crate::raw::{self, call, tensor_pointer, tensor_pointers};

/// The settings of a scaler. The defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradScalerSettings {
    /// Initial scale, above 0.
    pub initial_scale: f64,
    /// Growth factor of the scale after [`growth_interval`](GradScalerSettings::growth_interval) consecutive finite
    /// steps. Above 1.
    pub growth_factor: f64,
    /// Factor of the scale after a skipped step. Above 0 and below 1.
    pub backoff_factor: f64,
    /// Number of consecutive finite steps until the scale grows, at least 1.
    pub growth_interval: i64,
}

impl Default for GradScalerSettings {
    fn default() -> Self {
        Self { initial_scale: 65536.0, growth_factor: 2.0, backoff_factor: 0.5, growth_interval: 2000 }
    }
}

/// The reason why a scaler cannot be created, restored or used.
#[derive(Debug, thiserror::Error)]
pub enum GradScalerError {
    /// A setting or a saved value is out of range.
    #[error("the gradient scaler's {name} is {value}: it must be {wanted}")]
    OutOfRange {
        /// Name of the value.
        name: &'static str,
        /// The value.
        value: f64,
        /// The valid values.
        wanted: &'static str,
    },
    /// libtorch cannot unscale the gradients, for example because they are integers or on several devices.
    #[error("the gradients cannot be unscaled: {0}")]
    Gradients(String),
    /// The scale cannot be updated.
    #[error("the gradient scale cannot be updated: {0}")]
    Update(#[source] TchError),
}

/// The state of a scaler, for checkpoints.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradScalerState {
    /// The scale.
    pub scale: f64,
    /// Number of finite steps since the last change of the scale.
    pub good_steps: i64,
}

/// A dynamic loss scale.
///
/// ```
/// # use tch::{Device, Kind, Tensor};
/// # use tfnas_c10d::{GradScaler, GradScalerSettings};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let weight = Tensor::ones([1], (Kind::Float, Device::Cpu)).set_requires_grad(true);
/// # let loss = (&weight * 3.0).sum(Kind::Float);
/// let mut scaler = GradScaler::new(GradScalerSettings::default(), Device::Cpu)?;
/// let gradients = Tensor::run_backward(&[scaler.scale(&loss)], &[&weight], false, false);
/// let gradients: Vec<Option<Tensor>> = gradients.into_iter().map(Some).collect();
/// if scaler.unscale(&gradients)? {
///     // Clip, and step.
/// }
/// # Ok(())
/// # }
/// ```
///
/// With a [`Reducer`](crate::Reducer), all ranks have the same gradients and make the same decisions.
#[derive(Debug)]
pub struct GradScaler {
    /// `[1]` f32.
    scale: Tensor,
    /// `[1]` i32.
    good_steps: Tensor,
    settings: GradScalerSettings,
}

impl GradScaler {
    /// Creates a scaler for gradients on this device.
    ///
    /// # Errors
    /// Returns [`GradScalerError::OutOfRange`] for an invalid setting.
    pub fn new(settings: GradScalerSettings, device: Device) -> Result<Self, GradScalerError> {
        let check = |name, value: f64, is_right: bool, wanted| {
            if is_right { Ok(()) } else { Err(GradScalerError::OutOfRange { name, value, wanted }) }
        };
        let GradScalerSettings { growth_factor, backoff_factor, growth_interval, .. } = settings;
        let interval = growth_interval as f64;
        check("growth factor", growth_factor, growth_factor > 1.0 && growth_factor.is_finite(), "above 1")?;
        check("backoff factor", backoff_factor, backoff_factor > 0.0 && backoff_factor < 1.0, "above 0 and below 1")?;
        check("growth interval", interval, (1..=MAX_STEPS).contains(&growth_interval), "1 to 2147483647")?;
        let mut scaler = Self {
            scale: Tensor::zeros([1], (Kind::Float, device)),
            good_steps: Tensor::zeros([1], (Kind::Int, device)),
            settings,
        };
        scaler.restore(GradScalerState { scale: settings.initial_scale, good_steps: 0 })?;
        Ok(scaler)
    }

    /// Multiplies the loss, `[]` f32, by the scale. Start the backward pass from the result.
    pub fn scale(&self, loss: &Tensor) -> Tensor {
        loss * self.scale.squeeze()
    }

    /// Divides the gradients by the scale in place and updates the scale. Returns whether all gradients were finite, so
    /// that the optimizer may step. Waits for the device.
    ///
    /// Call it once per step with all gradients, before they are clipped.
    ///
    /// # Errors
    /// Returns [`GradScalerError::Gradients`] if libtorch cannot unscale the gradients, and [`GradScalerError::Update`]
    /// if it cannot update the scale.
    pub fn unscale(&mut self, gradients: &[Option<Tensor>]) -> Result<bool, GradScalerError> {
        let found_inf = self.scale.zeros_like();
        // In f64, as PyTorch does: the inverse of a small f32 must not become infinite.
        let inverse = self.scale.to_kind(Kind::Double).reciprocal().to_kind(Kind::Float);
        let pointers = tensor_pointers(gradients.iter().flatten());
        if !pointers.is_empty() {
            // SAFETY: all tensors outlive the call.
            let unscaled = call(|message| unsafe {
                let (found_inf, inverse) = (tensor_pointer(&found_inf), tensor_pointer(&inverse));
                raw::c10d_unscale(pointers.as_ptr(), pointers.len(), found_inf, inverse, message)
            });
            unscaled.map_err(|failure| GradScalerError::Gradients(failure.message))?;
        }
        let GradScalerSettings { growth_factor, backoff_factor, growth_interval, .. } = self.settings;
        let _ = self
            .scale
            .f_internal_amp_update_scale_(&self.good_steps, &found_inf, growth_factor, backoff_factor, growth_interval)
            .map_err(GradScalerError::Update)?;
        Ok(found_inf.double_value(&[0]) == 0.0)
    }

    /// Returns the state to save. Waits for the device.
    pub fn state(&self) -> GradScalerState {
        GradScalerState { scale: self.scale.double_value(&[0]), good_steps: self.good_steps.int64_value(&[0]) }
    }

    /// Restores a saved state.
    ///
    /// # Errors
    /// Returns [`GradScalerError::OutOfRange`] for an invalid state. The scaler is unchanged then.
    pub fn restore(&mut self, state: GradScalerState) -> Result<(), GradScalerError> {
        let GradScalerState { scale, good_steps } = state;
        if !(scale > 0.0 && (scale as f32).is_finite() && scale as f32 > 0.0) {
            return Err(GradScalerError::OutOfRange { name: "scale", value: scale, wanted: "above 0, and an f32" });
        }
        if !(0..MAX_STEPS).contains(&good_steps) {
            let (name, value) = ("number of finite steps", good_steps as f64);
            return Err(GradScalerError::OutOfRange { name, value, wanted: "0 or above" });
        }
        let _ = self.scale.fill_(scale);
        let _ = self.good_steps.fill_(good_steps);
        Ok(())
    }
}

/// libtorch counts steps in 32 bits.
const MAX_STEPS: i64 = i32::MAX as i64;

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: GradScalerSettings =
        GradScalerSettings { initial_scale: 1024.0, growth_factor: 2.0, backoff_factor: 0.25, growth_interval: 3 };

    fn scaler() -> GradScaler {
        GradScaler::new(SETTINGS, Device::Cpu).expect("the settings are valid")
    }

    fn gradients(values: &[f32]) -> Vec<Option<Tensor>> {
        vec![None, Some(Tensor::from_slice(values)), Some(Tensor::from_slice(&[1024f32]))]
    }

    #[test]
    fn finite_gradients_are_unscaled_and_the_scale_grows() {
        let mut scaler = scaler();
        let mut scales = Vec::new();
        for _ in 0..4 {
            let gradients = gradients(&[2048.0, -512.0]);
            let scale = scaler.state().scale;
            assert!(scaler.unscale(&gradients).expect("f32"));
            let found = gradients[1].as_ref().expect("a gradient");
            assert_eq!(found.double_value(&[0]), 2048.0 / scale);
            assert_eq!(found.double_value(&[1]), -512.0 / scale);
            scales.push(scaler.state().scale);
        }
        assert_eq!(scales, [1024.0, 1024.0, 2048.0, 2048.0]);
        assert_eq!(scaler.state().good_steps, 1);
    }

    #[test]
    fn a_non_finite_gradient_skips_the_step_and_lowers_the_scale() {
        for non_finite in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            let mut scaler = scaler();
            assert!(scaler.unscale(&gradients(&[1.0, 1.0])).expect("f32"));
            assert!(!scaler.unscale(&gradients(&[1.0, non_finite])).expect("f32"));
            assert_eq!(scaler.state(), GradScalerState { scale: 256.0, good_steps: 0 });
        }
    }

    #[test]
    fn f16_gradients_overflow_and_recover() {
        let weight = Tensor::from_slice(&[1f32]).set_requires_grad(true);
        let mut scaler = GradScaler::new(GradScalerSettings::default(), Device::Cpu).expect("the settings are valid");
        let mut skipped_steps = 0;
        loop {
            // 3 times the scale of 65536 overflows f16; 3 times 16384 does not.
            let loss = (weight.to_kind(Kind::Half) * 3.0).sum(Kind::Float);
            let found = Tensor::run_backward(&[scaler.scale(&loss)], &[&weight], false, false);
            let found: Vec<Option<Tensor>> = found.into_iter().map(Some).collect();
            if scaler.unscale(&found).expect("f32") {
                assert_eq!(found[0].as_ref().map(|gradient| gradient.double_value(&[0])), Some(3.0));
                break;
            }
            skipped_steps += 1;
        }
        assert_eq!((skipped_steps, scaler.state().scale), (2, 16384.0));
    }

    #[test]
    fn a_restored_scaler_gives_the_same_scales() {
        let mut uninterrupted = scaler();
        assert!(uninterrupted.unscale(&gradients(&[1.0])).expect("f32"));
        let mut resumed =
            GradScaler::new(GradScalerSettings { initial_scale: 1.0, ..SETTINGS }, Device::Cpu).expect("right");
        resumed.restore(uninterrupted.state()).expect("a valid state");
        for scaler in [&mut uninterrupted, &mut resumed] {
            assert!(scaler.unscale(&gradients(&[1.0])).expect("f32"));
            assert!(scaler.unscale(&gradients(&[1.0])).expect("f32"));
        }
        assert_eq!(uninterrupted.state(), resumed.state());
        assert_eq!(uninterrupted.state().scale, 2048.0);
    }

    #[test]
    fn settings_and_states_out_of_range_are_rejected() {
        let new = |settings| GradScaler::new(settings, Device::Cpu).expect_err("out of range").to_string();
        assert!(new(GradScalerSettings { growth_factor: 1.0, ..SETTINGS }).contains("growth factor is 1"));
        assert!(new(GradScalerSettings { backoff_factor: 1.0, ..SETTINGS }).contains("backoff factor is 1"));
        assert!(new(GradScalerSettings { growth_interval: 0, ..SETTINGS }).contains("growth interval is 0"));
        assert!(new(GradScalerSettings { initial_scale: f64::NAN, ..SETTINGS }).contains("scale is NaN"));
        let mut scaler = scaler();
        let before = scaler.state();
        for scale in [0.0, -1.0, f64::INFINITY, 1e300, 1e-300] {
            assert!(scaler.restore(GradScalerState { scale, good_steps: 0 }).is_err());
        }
        assert!(scaler.restore(GradScalerState { scale: 1.0, good_steps: -1 }).is_err());
        assert_eq!(scaler.state(), before);
    }

    #[test]
    fn gradients_that_cannot_be_unscaled_are_an_error() {
        let integers = vec![Some(Tensor::from_slice(&[1i64]))];
        assert!(matches!(scaler().unscale(&integers), Err(GradScalerError::Gradients(_))));
    }
}
