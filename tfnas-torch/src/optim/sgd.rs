//! Stochastic gradient descent.

use tch::{Tensor, no_grad};
use tfnas_c10d::cuda::{SgdStep, fused_sgd};

use super::{Optimizer, OptimizerStateError, check_names, take};
use crate::gradient::Gradients;
use crate::named_tensors::NamedTensors;

/// State name of a parameter after its first step.
const MOMENTUM_BUFFER: &str = "momentum_buffer";

/// Hyperparameters of [`Sgd`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdSettings {
    /// Learning rate.
    pub rate: f64,
    /// Momentum: `buffer = momentum * buffer + gradient`, no dampening.
    pub momentum: f64,
    /// Weight decay, added to the gradient: `gradient + weight_decay * parameter`.
    pub weight_decay: f64,
}

/// Stochastic gradient descent with momentum and weight decay (`torch.optim.SGD`).
#[derive(Debug)]
pub struct Sgd {
    parameters: NamedTensors,
    buffers: Vec<Option<Tensor>>,
    settings: SgdSettings,
}

impl Sgd {
    /// Creates an optimizer without state. The parameters are shared with the network.
    pub fn new(parameters: NamedTensors, settings: SgdSettings) -> Self {
        Self { buffers: parameters.iter().map(|_| None).collect(), parameters, settings }
    }

    /// Sets the learning rate of the following steps.
    pub fn set_rate(&mut self, rate: f64) {
        self.settings.rate = rate;
    }
}

impl Optimizer for Sgd {
    fn parameters(&self) -> &NamedTensors {
        &self.parameters
    }

    /// Updates all parameters with a few multi-tensor kernels: on a GPU, separate calls for each parameter would take
    /// longer than the operations themselves.
    fn step(&mut self, gradients: &Gradients) {
        let SgdSettings { rate, momentum, weight_decay } = self.settings;
        for is_first in [false, true] {
            let (mut moved, mut along, mut momenta) = (Vec::new(), Vec::new(), Vec::new());
            for (((_, parameter), buffer), gradient) in self.parameters.iter().zip(&mut self.buffers).zip(gradients) {
                let Some(gradient) = gradient else { continue };
                if momentum == 0.0 {
                    if is_first {
                        continue;
                    }
                } else if buffer.is_none() == is_first {
                    let buffer = buffer.get_or_insert_with(|| no_grad(|| parameter.detach().empty_like()));
                    momenta.push(buffer.shallow_clone());
                } else {
                    continue;
                }
                moved.push(parameter.shallow_clone());
                along.push(gradient.shallow_clone());
            }
            let step = SgdStep { rate, momentum, weight_decay, is_first };
            fused_sgd(&moved, &along, &momenta, step).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Returns `<parameter>.momentum_buffer` of each parameter that has been updated.
    fn state(&self) -> NamedTensors {
        let named = self.parameters.iter().zip(&self.buffers);
        named
            .filter_map(|((name, _), buffer)| {
                let buffer = buffer.as_ref()?.shallow_clone();
                Some((format!("{name}.{MOMENTUM_BUFFER}"), buffer))
            })
            .collect()
    }

    fn restore(&mut self, saved: &NamedTensors) -> Result<(), OptimizerStateError> {
        check_names(&self.parameters, saved, &[MOMENTUM_BUFFER])?;
        self.buffers = self
            .parameters
            .iter()
            .map(|(name, parameter)| take(saved, &format!("{name}.{MOMENTUM_BUFFER}"), parameter))
            .collect::<Result<_, _>>()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(value: f32) -> NamedTensors {
        [("w".to_owned(), Tensor::from_slice(&[value]).set_requires_grad(true))].into_iter().collect()
    }

    fn value(parameters: &NamedTensors) -> f64 {
        parameters.iter().map(|(_, w)| w.double_value(&[0])).sum()
    }

    fn gradient(value: f32) -> Gradients {
        vec![Some(Tensor::from_slice(&[value]))]
    }

    /// Expected values computed manually: d = g + 0.01 w; b = d at first, then 0.9 b + d; w = w - 0.1 b.
    #[test]
    fn sgd_step_matches_the_formula_and_skips_missing_gradients() {
        let settings = SgdSettings { rate: 0.1, momentum: 0.9, weight_decay: 0.01 };
        let mut sgd = Sgd::new(parameter(1.0), settings);
        let gradients = [gradient(0.5), gradient(-0.25), vec![None], gradient(1.0)];
        let expected = [0.949, 0.927151, 0.927151, 0.806559749];
        for (gradients, expected) in gradients.iter().zip(expected) {
            sgd.step(gradients);
            assert!((value(sgd.parameters()) - expected).abs() < 1e-7);
        }
    }

    #[test]
    fn a_restored_optimizer_takes_identical_steps() {
        let settings = SgdSettings { rate: 0.1, momentum: 0.9, weight_decay: 0.0 };
        let mut uninterrupted = Sgd::new(parameter(1.0), settings);
        uninterrupted.step(&gradient(0.3));
        let mut resumed = Sgd::new(parameter(value(uninterrupted.parameters()) as f32), settings);
        resumed.restore(&uninterrupted.state()).expect("a state of the same parameters");
        uninterrupted.step(&gradient(0.7));
        resumed.step(&gradient(0.7));
        assert_eq!(value(uninterrupted.parameters()), value(resumed.parameters()));
    }

    #[test]
    fn a_state_of_other_parameters_is_rejected() {
        let settings = SgdSettings { rate: 0.1, momentum: 0.9, weight_decay: 0.0 };
        let mut sgd = Sgd::new(parameter(1.0), settings);
        let saved = |name: &str, tensor| [(name.to_owned(), tensor)].into_iter().collect();
        let other: NamedTensors = saved("v.momentum_buffer", Tensor::from_slice(&[1f32]));
        assert!(matches!(sgd.restore(&other), Err(OptimizerStateError::Unexpected { .. })));
        let longer: NamedTensors = saved("w.momentum_buffer", Tensor::from_slice(&[1f32, 2.0]));
        assert!(matches!(sgd.restore(&longer), Err(OptimizerStateError::Shape { .. })));
    }
}
