// 1x1 convolutions with a frozen weight.

#pragma once

#include <ATen/Functions.h>
#include <torch/csrc/autograd/custom_function.h>

#include "feature_map.hpp"

// Both passes are libtorch's forward convolution. libtorch's own backward pass keeps the input, which only the gradient of
// the weight needs.
struct FrozenPointwise : torch::autograd::Function<FrozenPointwise> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight) {
    const WithoutAutocast without_autocast;
    const auto converted = weight.to(x.scalar_type());
    context->save_for_backward({converted});
    return at::conv2d(x, converted);
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    refuse_second_derivative();
    const WithoutAutocast without_autocast;
    const auto weight = context->get_saved_variables()[0];
    torch::autograd::variable_list found(2);
    if (context->needs_input_grad(0)) {
      found[0] = at::conv2d(as_feature_map(gradients[0], weight), weight.transpose(0, 1).contiguous());
    }
    return found;
  }
};

inline at::Tensor frozen_pointwise(const at::Tensor& x, const at::Tensor& weight) {
  check_feature_map(x);
  TORCH_CHECK(
      weight.dim() == 4 && weight.size(1) == x.size(1) && weight.size(2) == 1 && weight.size(3) == 1 &&
          weight.device().is_cpu() && weight.scalar_type() == at::kFloat,
      "the weight must be f32 [outputs, ", x.size(1), ", 1, 1] on the CPU");
  TORCH_CHECK(!weight.requires_grad(), "the weight must not require a gradient");
  return FrozenPointwise::apply(x, weight);
}
