//! Global average pooling.

use tch::Tensor;

/// Averages each channel over all pixels: `[N, C, H, W]` to `[N, C]`.
///
/// Computed as a mean over the rows of a channels-last feature map, so that the gradient is channels-last too. The
/// gradient of `adaptive_avg_pool2d` is contiguous, which makes every preceding backward pass several times slower.
pub(crate) fn global_mean(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).flatten(1, 2).mean_dim([1i64].as_slice(), false, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn global_mean_matches_adaptive_avg_pool2d() {
        let rows = Tensor::arange(2 * 3 * 4 * 5, (Kind::Float, Device::Cpu)).square().sin().view([2, 3, 4, 5]);
        let x = rows.permute([0, 3, 1, 2]).set_requires_grad(true);
        let weights = Tensor::arange(10, (Kind::Float, Device::Cpu)).view([2, 5]);
        let gradient =
            |means: &Tensor| Tensor::run_backward(&[(means * &weights).sum(None)], &[&x], false, false).remove(0);
        let (mean, pooled) = (global_mean(&x), x.adaptive_avg_pool2d([1, 1]).flatten(1, -1));
        assert!(mean.allclose(&pooled, 1e-6, 1e-7, false));
        let (ours, theirs) = (gradient(&mean), gradient(&pooled));
        assert!(ours.allclose(&theirs, 1e-6, 1e-7, false));
        assert_eq!(ours.stride(), x.stride());
    }
}
