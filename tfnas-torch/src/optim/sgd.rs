use tch::{Tensor, no_grad};
use tfnas_c10d::cuda::{SgdStep, fused_sgd};

use super::{Optimizer, OptimizerStateError, check_names, take};
use crate::gradient::Gradients;
use crate::named_tensors::NamedTensors;

/// Name of the state that a parameter has after its first step.
const MOMENTUM_BUFFER: &str = "momentum_buffer";

/// What an [`Sgd`] step does.
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
    /// An optimizer of these parameters, without momentum yet. They are shared with the network that they are of.
    pub fn new(parameters: NamedTensors, settings: SgdSettings) -> Self {
        Self { buffers: parameters.iter().map(|_| None).collect(), parameters, settings }
    }

    /// Sets the learning rate of the steps that follow.
    pub fn set_rate(&mut self, rate: f64) {
        self.settings.rate = rate;
    }
}

impl Optimizer for Sgd {
    fn parameters(&self) -> &NamedTensors {
        &self.parameters
    }

    /// All parameters are moved in a few kernels: a call for each operation on each would take longer than the operations.
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

    /// `<parameter>.momentum_buffer` of each parameter that has been moved.
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

    /// By hand: d = g + 0.01 w; b = d at first, then 0.9 b + d; w = w - 0.1 b.
    #[test]
    fn a_step_adds_decay_then_momentum_and_skips_what_has_no_gradient() {
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
    fn a_restored_state_goes_on_with_the_same_bytes() {
        let settings = SgdSettings { rate: 0.1, momentum: 0.9, weight_decay: 0.0 };
        let mut whole = Sgd::new(parameter(1.0), settings);
        whole.step(&gradient(0.3));
        let mut resumed = Sgd::new(parameter(value(whole.parameters()) as f32), settings);
        resumed.restore(&whole.state()).expect("its own state");
        whole.step(&gradient(0.7));
        resumed.step(&gradient(0.7));
        assert_eq!(value(whole.parameters()), value(resumed.parameters()));
    }

    #[test]
    fn a_state_of_other_parameters_is_refused() {
        let settings = SgdSettings { rate: 0.1, momentum: 0.9, weight_decay: 0.0 };
        let mut sgd = Sgd::new(parameter(1.0), settings);
        let saved = |name: &str, tensor| [(name.to_owned(), tensor)].into_iter().collect();
        let other: NamedTensors = saved("v.momentum_buffer", Tensor::from_slice(&[1f32]));
        assert!(matches!(sgd.restore(&other), Err(OptimizerStateError::Unexpected { .. })));
        let longer: NamedTensors = saved("w.momentum_buffer", Tensor::from_slice(&[1f32, 2.0]));
        assert!(matches!(sgd.restore(&longer), Err(OptimizerStateError::Shape { .. })));
    }
}
