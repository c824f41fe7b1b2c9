//! Adam.

use tch::{Tensor, no_grad};

use super::{Optimizer, OptimizerStateError, check_names, take};
use crate::gradient::Gradients;
use crate::named_tensors::NamedTensors;

/// State names of a parameter after its first step.
const EXP_AVG: &str = "exp_avg";
const EXP_AVG_SQ: &str = "exp_avg_sq";
const STEP: &str = "step";

/// Hyperparameters of [`Adam`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamSettings {
    /// Learning rate.
    pub rate: f64,
    /// Decay rates of the running means of gradients and of squared gradients.
    pub betas: (f64, f64),
    /// Added to the square root of the mean of squares.
    pub epsilon: f64,
    /// Weight decay, added to the gradient: `gradient + weight_decay * parameter`.
    pub weight_decay: f64,
}

/// Adam with weight decay in the gradient (`torch.optim.Adam`).
#[derive(Debug)]
pub struct Adam {
    parameters: NamedTensors,
    moments: Vec<Option<Moments>>,
    settings: AdamSettings,
}

/// State of one parameter.
#[derive(Debug)]
struct Moments {
    mean: Tensor,
    mean_of_squares: Tensor,
    steps: i64,
}

impl Adam {
    /// Creates an optimizer without state. The parameters are shared with the network.
    pub fn new(parameters: NamedTensors, settings: AdamSettings) -> Self {
        Self { moments: parameters.iter().map(|_| None).collect(), parameters, settings }
    }
}

impl Optimizer for Adam {
    fn parameters(&self) -> &NamedTensors {
        &self.parameters
    }

    fn step(&mut self, gradients: &Gradients) {
        let state = self.parameters.iter().zip(&mut self.moments);
        no_grad(|| {
            for (((_, parameter), moments), gradient) in state.zip(gradients) {
                let Some(gradient) = gradient else { continue };
                let mut parameter = parameter.shallow_clone();
                let gradient = gradient + &parameter * self.settings.weight_decay;
                let moments = moments.get_or_insert_with(|| Moments {
                    mean: parameter.zeros_like(),
                    mean_of_squares: parameter.zeros_like(),
                    steps: 0,
                });
                let _ = parameter.g_add_(&moments.advance(&gradient, &self.settings));
            }
        });
    }

    /// Returns `<parameter>.exp_avg`, `.exp_avg_sq` and `.step` (i64) of each parameter that has been updated.
    fn state(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        for ((name, _), moments) in self.parameters.iter().zip(&self.moments) {
            let Some(moments) = moments else { continue };
            state.insert(format!("{name}.{EXP_AVG}"), moments.mean.shallow_clone());
            state.insert(format!("{name}.{EXP_AVG_SQ}"), moments.mean_of_squares.shallow_clone());
            state.insert(format!("{name}.{STEP}"), Tensor::from(moments.steps));
        }
        state
    }

    fn restore(&mut self, saved: &NamedTensors) -> Result<(), OptimizerStateError> {
        check_names(&self.parameters, saved, &[EXP_AVG, EXP_AVG_SQ, STEP])?;
        self.moments = self
            .parameters
            .iter()
            .map(|(name, parameter)| Moments::saved(saved, name, parameter))
            .collect::<Result<_, _>>()?;
        Ok(())
    }
}

impl Moments {
    /// Updates the moments with a gradient; returns the update of the parameter.
    fn advance(&mut self, gradient: &Tensor, settings: &AdamSettings) -> Tensor {
        let (beta1, beta2) = settings.betas;
        self.steps += 1;
        let _ = self.mean.lerp_(gradient, 1.0 - beta1);
        let squares = gradient * (1.0 - beta2) * gradient;
        let _ = self.mean_of_squares.g_mul_scalar_(beta2).g_add_(&squares);
        let steps = self.steps as f64;
        let rate = settings.rate / (1.0 - beta1.powf(steps));
        let root_correction = (1.0 - beta2.powf(steps)).sqrt();
        let denominator = self.mean_of_squares.sqrt() / root_correction + settings.epsilon;
        &self.mean * -rate / denominator
    }

    /// Returns the saved state of the parameter `name`; `None` if it had not been updated.
    fn saved(saved: &NamedTensors, name: &str, parameter: &Tensor) -> Result<Option<Self>, OptimizerStateError> {
        let slot = |slot: &str| format!("{name}.{slot}");
        let mean = take(saved, &slot(EXP_AVG), parameter)?;
        let mean_of_squares = take(saved, &slot(EXP_AVG_SQ), parameter)?;
        let steps = take(saved, &slot(STEP), &Tensor::from(0i64))?;
        let missing = |slot_name| OptimizerStateError::Missing { name: slot(slot_name) };
        match (mean, mean_of_squares, steps) {
            (None, None, None) => Ok(None),
            (mean, mean_of_squares, steps) => Ok(Some(Self {
                mean: mean.ok_or_else(|| missing(EXP_AVG))?,
                mean_of_squares: mean_of_squares.ok_or_else(|| missing(EXP_AVG_SQ))?,
                steps: steps.ok_or_else(|| missing(STEP))?.int64_value(&[]),
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(value: f32) -> NamedTensors {
        [("a".to_owned(), Tensor::from_slice(&[value]).set_requires_grad(true))].into_iter().collect()
    }

    fn value(parameters: &NamedTensors) -> f64 {
        parameters.iter().map(|(_, a)| a.double_value(&[0])).sum()
    }

    fn gradient(value: f32) -> Gradients {
        vec![Some(Tensor::from_slice(&[value]))]
    }

    const SETTINGS: AdamSettings = AdamSettings { rate: 0.01, betas: (0.5, 0.999), epsilon: 1e-8, weight_decay: 5e-4 };

    /// Expected values computed manually in f64 from the formulas of the paper (arXiv 1412.6980), with decay in the
    /// gradient.
    #[test]
    fn adam_step_matches_the_formula_and_skips_missing_gradients() {
        let mut adam = Adam::new(parameter(-2.0), SETTINGS);
        let gradients = [gradient(0.5), gradient(-0.25), vec![None], gradient(1e-5)];
        let expected = [-2.0099999998, -2.009974593316, -2.009974593316, -2.009943617061];
        for (gradients, expected) in gradients.iter().zip(expected) {
            adam.step(gradients);
            assert!((value(adam.parameters()) - expected).abs() < 5e-7);
        }
    }

    #[test]
    fn a_restored_optimizer_takes_identical_steps() {
        let mut uninterrupted = Adam::new(parameter(1.0), SETTINGS);
        uninterrupted.step(&gradient(0.3));
        let mut resumed = Adam::new(parameter(value(uninterrupted.parameters()) as f32), SETTINGS);
        resumed.restore(&uninterrupted.state()).expect("a state of the same parameters");
        uninterrupted.step(&gradient(-0.7));
        resumed.step(&gradient(-0.7));
        assert_eq!(value(uninterrupted.parameters()), value(resumed.parameters()));
    }

    #[test]
    fn an_incomplete_state_is_rejected() {
        let mut adam = Adam::new(parameter(1.0), SETTINGS);
        let half: NamedTensors = [("a.exp_avg".to_owned(), Tensor::from_slice(&[1f32]))].into_iter().collect();
        let refused = adam.restore(&half);
        assert!(matches!(refused, Err(OptimizerStateError::Missing { .. })));
    }
}
