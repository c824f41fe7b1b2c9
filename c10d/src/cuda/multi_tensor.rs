//! Operations on many tensors at once: a fused SGD step and gradient clipping.

use tch::Tensor;

use crate::cuda::CudaError;
use crate::raw::{self, call, tensor_pointers};

/// The settings of a [`fused_sgd`] step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// Learning rate.
    pub rate: f64,
    /// Momentum: `buffer = momentum * buffer + gradient`, no dampening.
    pub momentum: f64,
    /// Weight decay, added to the gradient.
    pub weight_decay: f64,
    /// Whether the buffers are uninitialized; they are then set to the gradients.
    pub is_first: bool,
}

/// Updates parameters by their gradients in a few kernels (`torch.optim.SGD(fused=True)`).
///
/// * `parameters`, `gradients`: of one dtype, on one CUDA device, with pairwise equal shapes.
/// * `buffers`: the momentum buffers, one per parameter and with its strides. Empty without momentum.
///
/// # Errors
/// Returns [`CudaError`] if libtorch reports an error. The values of the parameters are undefined then.
pub fn fused_sgd(
    parameters: &[Tensor],
    gradients: &[Tensor],
    buffers: &[Tensor],
    step: SgdStep,
) -> Result<(), CudaError> {
    const OPERATION: &str = "fused SGD";
    let needed = if step.momentum == 0.0 { 0 } else { parameters.len() };
    if gradients.len() != parameters.len() || buffers.len() != needed {
        let message = "the numbers of parameters, gradients and buffers differ".to_owned();
        return Err(CudaError { operation: OPERATION, message });
    }
    if parameters.is_empty() {
        return Ok(());
    }
    let (moved, along, momenta) = (tensor_pointers(parameters), tensor_pointers(gradients), tensor_pointers(buffers));
    let SgdStep { rate, momentum, weight_decay, is_first } = step;
    // SAFETY: all tensors outlive the call, and the lists have the lengths checked above.
    call(|message| unsafe {
        raw::c10d_fused_sgd(
            moved.as_ptr(),
            along.as_ptr(),
            momenta.as_ptr(),
            moved.len(),
            rate,
            momentum,
            weight_decay,
            is_first,
            message,
        )
    })
    .map_err(CudaError::of(OPERATION))
}

/// Returns the Euclidean norm of all gradients together, `[]`. If `max_norm` is above 0, it also returns the gradients
/// times `max_norm / (norm + epsilon)`, at most 1. It takes a few kernels and does not wait for the device.
///
/// * `gradients`: at least one, of one dtype, on one device.
///
/// # Errors
/// Returns [`CudaError`] if libtorch reports an error.
pub fn clip(gradients: &[Tensor], max_norm: f64, epsilon: f64) -> Result<(Tensor, Vec<Tensor>), CudaError> {
    let pointers = tensor_pointers(gradients);
    let count = if max_norm > 0.0 { gradients.len() } else { 0 };
    let mut norm = std::ptr::null_mut();
    let mut clipped = vec![std::ptr::null_mut(); count];
    // SAFETY: the gradients outlive the call. The shim writes the norm and at most `gradients.len()` tensors.
    call(|message| unsafe {
        let (norm, clipped) = (&mut norm, clipped.as_mut_ptr());
        raw::c10d_clip(pointers.as_ptr(), pointers.len(), max_norm, epsilon, norm, clipped, message)
    })
    .map_err(CudaError::of("clipping gradients"))?;
    // SAFETY: each pointer is an `at::Tensor` allocated with C++ `new`, like tch's own tensors, and becomes exactly one
    // tensor.
    let tensor = |pointer| unsafe { Tensor::from_ptr(pointer) };
    Ok((tensor(norm), clipped.into_iter().map(tensor).collect()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn gradients_are_clipped_and_never_scaled_up() {
        let gradients = [Tensor::from_slice(&[3f32]), Tensor::from_slice(&[4f32, 0.0])];
        let (norm, clipped) = clip(&gradients, 1.0, 0.0).unwrap();
        assert_eq!(norm.double_value(&[]), 5.0);
        assert!((clipped[1].double_value(&[0]) - 0.8).abs() < 1e-6);
        let (_, unchanged) = clip(&gradients, 10.0, 0.0).unwrap();
        assert_eq!(unchanged[0].double_value(&[0]), 3.0);
        let (norm, none) = clip(&gradients, 0.0, 0.0).unwrap();
        assert_eq!((norm.double_value(&[]), none.len()), (5.0, 0));
    }

    /// Expected values computed manually: d = g + 0.01 w; b = d at first, then 0.9 b + d; w = w - 0.1 b.
    #[test]
    fn a_fused_sgd_step_matches_the_formula() {
        let weight = [Tensor::from_slice(&[1f32])];
        let buffer = [weight[0].zeros_like()];
        let step = |is_first| SgdStep { rate: 0.1, momentum: 0.9, weight_decay: 0.01, is_first };
        fused_sgd(&weight, &[Tensor::from_slice(&[0.5f32])], &buffer, step(true)).unwrap();
        assert!((weight[0].double_value(&[0]) - 0.949).abs() < 1e-6);
        fused_sgd(&weight, &[Tensor::from_slice(&[-0.25f32])], &buffer, step(false)).unwrap();
        assert!((buffer[0].double_value(&[0]) - (0.9 * 0.51 - 0.25 + 0.00949)).abs() < 1e-6);
    }

    #[test]
    fn lists_of_different_lengths_are_rejected() {
        let step = SgdStep { rate: 0.1, momentum: 0.9, weight_decay: 0.0, is_first: true };
        assert!(fused_sgd(&[Tensor::from_slice(&[1f32])], &[], &[], step).is_err());
    }
}
