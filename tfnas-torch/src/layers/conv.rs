//! Two-dimensional convolution.

use tch::{Device, Kind, Tensor};

use super::fused;
use crate::named_tensors::{Module, Role, Visitor, join};

/// Maximum number of pixels of a batch whose 1x1 convolutions are computed as matrix products while training on a CPU.
const MAX_PRODUCT_PIXELS: i64 = 8192;

/// A convolution with a square, odd kernel and padding of half the kernel size.
#[derive(Debug)]
pub struct Conv {
    /// `[out, in / groups, k, k]` f32.
    pub(crate) weight: Tensor,
    /// `[out]` f32.
    pub(crate) bias: Option<Tensor>,
    stride: i64,
    padding: i64,
    groups: i64,
    /// Whether fused kernels may be used.
    pub(super) has_kernels: bool,
}

impl Conv {
    /// Creates a dense convolution with zero weights.
    pub fn new(in_channels: usize, out_channels: usize, kernel: usize, stride: usize, device: Device) -> Self {
        let shape = [out_channels, in_channels, kernel, kernel];
        Self::of_weight(zeros(&shape, device), None, stride, 1)
    }

    /// Creates a 1x1 convolution with zero weight and bias.
    pub fn pointwise_with_bias(in_channels: usize, out_channels: usize, device: Device) -> Self {
        let weight = zeros(&[out_channels, in_channels, 1, 1], device);
        Self::of_weight(weight, Some(zeros(&[out_channels], device)), 1, 1)
    }

    /// Creates a depthwise convolution with zero weights.
    pub fn depthwise(channels: usize, kernel: usize, stride: usize, device: Device) -> Self {
        let weight = zeros(&[channels, 1, kernel, kernel], device);
        Self::of_weight(weight, None, stride, channels)
    }

    fn of_weight(weight: Tensor, bias: Option<Tensor>, stride: usize, groups: usize) -> Self {
        let padding = weight.size()[2] / 2;
        Self { weight, bias, stride: stride as i64, padding, groups: groups as i64, has_kernels: true }
    }

    /// Convolves `x`, `[N, in, H, W]`; returns `[N, out, ceil(H / stride), ceil(W / stride)]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        if let Some(convolved) = fused::depthwise(self, x) {
            return convolved;
        }
        if let Some(convolved) = fused::frozen_pointwise(self, x) {
            return convolved;
        }
        if self.is_pointwise() && (x.device().is_cuda() || self.is_small_training_step(x)) {
            return self.forward_as_product(x);
        }
        x.conv2d(&self.weight, self.bias.as_ref(), [self.stride; 2], [self.padding; 2], [1, 1], self.groups)
    }

    pub(super) fn is_depthwise(&self) -> bool {
        self.groups > 1
    }

    pub(super) fn stride(&self) -> i64 {
        self.stride
    }

    pub(super) fn is_pointwise(&self) -> bool {
        self.weight.size()[2] == 1 && self.stride == 1 && self.groups == 1
    }

    /// Whether the weight is trained on a CPU on so few pixels that a matrix product takes less time than a convolution. Networks
    /// for evaluation do not depend on the batch size in this way.
    fn is_small_training_step(&self, x: &Tensor) -> bool {
        let size = x.size();
        self.weight.requires_grad() && x.kind() == Kind::Float && size[0] * size[2] * size[3] <= MAX_PRODUCT_PIXELS
    }

    /// Computes a 1x1 convolution of a channels-last feature map as a matrix product, without a copy.
    ///
    /// oneDNN takes longer to prepare a convolution than a product, which matters for small ones: forward and backward of 64
    /// images of 8x8 pixels take 6 to 23 % less time as a product, but of more than 16,384 pixels they take more. cuDNN takes
    /// 10 to 30 ms to plan each new convolution shape. A search has thousands of shapes, and new ones whenever the widths
    /// change. cuBLAS plans a product in microseconds.
    fn forward_as_product(&self, x: &Tensor) -> Tensor {
        let rows = x.permute([0, 2, 3, 1]).linear(&self.weight.flatten(1, -1), self.bias.as_ref());
        rows.permute([0, 3, 1, 2])
    }

    /// Applies a 1x1 convolution to feature maps of one pixel, `[N, in]` to `[N, out]`, as a cheaper linear layer.
    pub(crate) fn forward_pixel(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight.flatten(1, -1), self.bias.as_ref())
    }

    /// Returns the same convolution without gradients.
    pub(crate) fn detached(&self) -> Self {
        self.with_tensors(self.weight.detach(), self.bias.as_ref().map(Tensor::detach))
    }

    /// Returns this convolution with a scale and a shift of each output channel (f64 `[out]` each) folded in.
    pub(crate) fn folded(&self, scale: &Tensor, shift: &Tensor) -> Self {
        let weight = self.weight.detach();
        let scaled = weight.to_kind(Kind::Double) * scale.view([-1, 1, 1, 1]);
        let shift = match &self.bias {
            Some(bias) => bias.detach().to_kind(Kind::Double) * scale + shift,
            None => shift.shallow_clone(),
        };
        self.with_tensors(scaled.to_kind(weight.kind()), Some(shift.to_kind(weight.kind())))
    }

    fn with_tensors(&self, weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias, ..*self }
    }
}

impl Module for Conv {
    fn visit(&self, prefix: &str, visitor: &mut Visitor<'_>) {
        visitor(join(prefix, "weight"), &self.weight, Role::Weight);
        if let Some(bias) = &self.bias {
            visitor(join(prefix, "bias"), bias, Role::Weight);
        }
    }
}

/// A trainable tensor of zeros, f32.
pub(super) fn zeros(shape: &[usize], device: Device) -> Tensor {
    let shape: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
    Tensor::zeros(shape, (Kind::Float, device)).set_requires_grad(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointwise_convolution_equals_a_matrix_product() {
        let numbers = |shape: &[i64]| {
            let count: i64 = shape.iter().product();
            Tensor::arange(count, (Kind::Float, Device::Cpu)).square().sin().view(shape)
        };
        let x = numbers(&[2, 5, 4, 3]).permute([0, 3, 1, 2]);
        let conv = Conv {
            weight: numbers(&[7, 3, 1, 1]),
            bias: Some(numbers(&[7])),
            stride: 1,
            padding: 0,
            groups: 1,
            has_kernels: true,
        };
        let (product, convolved) = (conv.forward_as_product(&x), conv.forward(&x));
        assert!(conv.is_pointwise() && product.allclose(&convolved, 1e-6, 1e-6, false));
        assert_eq!(product.stride(), [5 * 4 * 7, 1, 4 * 7, 7]);
    }
}
