//! Gradients of a loss, and gradient clipping.

use tch::Tensor;
use tfnas_c10d::{CollectiveError, ProcessGroup, ReduceOperation, cuda};

/// Added to the norm before dividing, as in `torch.nn.utils.clip_grad_norm_`.
const CLIP_EPSILON: f64 = 1e-6;

/// Gradients in the order of the parameters; `None` for a parameter that the loss does not depend on.
pub type Gradients = Vec<Option<Tensor>>;

/// Computes the gradients of a scalar loss.
///
/// Nothing is accumulated. A parameter that the loss does not depend on (an operation that no path uses) has no
/// gradient, which the optimizers treat differently from a gradient of 0.
pub fn gradients(loss: &Tensor, parameters: &[Tensor]) -> Gradients {
    Tensor::run_backward(&[loss], parameters, false, false)
        .into_iter()
        .map(|gradient| gradient.defined().then_some(gradient))
        .collect()
}

/// Replaces gradients by their mean over the ranks of a group. All ranks must have gradients of the same parameters.
///
/// # Errors
/// Returns a [`CollectiveError`] if a rank does not take part.
pub(crate) fn average_over_ranks(gradients: &mut Gradients, group: &ProcessGroup) -> Result<(), CollectiveError> {
    let parts: Vec<Tensor> = gradients.iter().flatten().map(|gradient| gradient.reshape([-1])).collect();
    if parts.is_empty() {
        return Ok(());
    }
    // One exchange for all gradients.
    let mut all = Tensor::cat(&parts, 0);
    group.all_reduce(&mut all, ReduceOperation::Sum)?;
    let _ = all.g_div_scalar_(group.world_size() as f64);
    let sizes: Vec<i64> = parts.iter().map(|part| part.numel() as i64).collect();
    let means = all.split_with_sizes(sizes.as_slice(), 0);
    for (gradient, mean) in gradients.iter_mut().flatten().zip(means) {
        *gradient = mean.view_as(gradient);
    }
    Ok(())
}

/// Scales gradients so that their global Euclidean norm is at most `max_norm`; returns the norm before scaling, `[]`
/// f32.
///
/// Same as `torch.nn.utils.clip_grad_norm_`: the factor is `max_norm / (norm + 1e-6)`, at most 1. The factor stays on
/// the device, so there is no synchronization; non-finite gradients stay non-finite. With `max_norm` 0 the gradients
/// are not changed.
pub fn clip_by_global_norm(gradients: &mut Gradients, max_norm: f64) -> Tensor {
    if let Some(norm) = clip_on_cuda(gradients, max_norm) {
        return norm;
    }
    let norm = global_norm(gradients);
    if max_norm == 0.0 {
        return norm;
    }
    let factor = (max_norm / (&norm + CLIP_EPSILON)).clamp_max(1.0);
    for gradient in gradients.iter_mut().flatten() {
        *gradient = &*gradient * &factor;
    }
    norm
}

/// [`clip_by_global_norm`] with a few multi-tensor kernels; returns `None` if the gradients are not on a CUDA device.
fn clip_on_cuda(gradients: &mut Gradients, max_norm: f64) -> Option<Tensor> {
    let list: Vec<Tensor> = gradients.iter().flatten().map(Tensor::shallow_clone).collect();
    if !list.first()?.device().is_cuda() {
        return None;
    }
    let (norm, clipped) = cuda::clip(&list, max_norm, CLIP_EPSILON).unwrap_or_else(|error| panic!("{error}"));
    for (gradient, clipped) in gradients.iter_mut().flatten().zip(clipped) {
        *gradient = clipped;
    }
    Some(norm)
}

/// Returns the Euclidean norm of all gradients, `[]` f32, computed as the norm of their norms; 0 without gradients.
pub(crate) fn global_norm(gradients: &Gradients) -> Tensor {
    let norms: Vec<Tensor> = gradients.iter().flatten().map(Tensor::norm).collect();
    if norms.is_empty() {
        return Tensor::from(0f32);
    }
    Tensor::stack(&norms, 0).norm()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(values: &[f32]) -> Tensor {
        Tensor::from_slice(values).set_requires_grad(true)
    }

    #[test]
    fn an_unused_parameter_has_no_gradient() {
        let parameters = [leaf(&[3.0]), leaf(&[1.0])];
        let found = gradients(&parameters[0].square().sum(None), &parameters);
        assert_eq!(found[0].as_ref().map(|g| g.double_value(&[0])), Some(6.0));
        assert!(found[1].is_none());
    }

    #[test]
    fn clipping_scales_all_gradients_by_one_factor() {
        let mut gradients = vec![Some(Tensor::from_slice(&[3f32])), None, Some(Tensor::from_slice(&[4f32]))];
        let norm = clip_by_global_norm(&mut gradients, 1.0);
        assert_eq!(norm.double_value(&[]), 5.0);
        let clipped: Vec<f64> = gradients.iter().flatten().map(|g| g.double_value(&[0])).collect();
        // 1 / (5 + 1e-6) in f32.
        assert!((clipped[0] - 0.6).abs() < 1e-6 && (clipped[1] - 0.8).abs() < 1e-6);
        assert!(clipped[0] < 0.6, "the epsilon makes the factor slightly smaller");
    }

    #[test]
    fn small_gradients_are_not_scaled_up() {
        let mut gradients = vec![Some(Tensor::from_slice(&[0.3f32, 0.4]))];
        let _ = clip_by_global_norm(&mut gradients, 5.0);
        assert_eq!(gradients[0].as_ref().map(|g| g.double_value(&[0])), Some(f64::from(0.3f32)));
    }

    #[test]
    fn a_max_norm_of_zero_disables_clipping() {
        let mut gradients = vec![Some(Tensor::from_slice(&[3f32, 4.0]))];
        assert_eq!(clip_by_global_norm(&mut gradients, 0.0).double_value(&[]), 5.0);
        assert_eq!(gradients[0].as_ref().map(|g| g.double_value(&[0])), Some(3.0));
    }

    #[test]
    fn no_gradients_have_norm_zero() {
        assert_eq!(clip_by_global_norm(&mut vec![None], 5.0).double_value(&[]), 0.0);
    }
}
