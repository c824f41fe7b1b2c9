// Batch norm with statistics over the batches of all ranks.

#pragma once

#include <ATen/ops/batch_norm_update_stats.h>
#include <ATen/ops/native_batch_norm.h>
#include <ATen/ops/native_batch_norm_backward.h>
#include <torch/csrc/autograd/custom_function.h>

#include "process_group.hpp"

// y = (x - mean) / sqrt(variance + epsilon) * weight + bias; x and y are [N, C, …], the others [C] f32. The batch sizes
// of the ranks may differ.
//
// Operations on tensors of the size of x use libtorch's own kernels: the statistics of this rank's batch, and batch
// norm with given statistics, forward and backward. Only per-channel values are exchanged, in f64.
struct BatchNormOverRanks : torch::autograd::Function<BatchNormOverRanks> {
  static at::Tensor forward(
      torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
      const at::Tensor& running_mean, const at::Tensor& running_variance, const GroupPointer& group, double momentum,
      double epsilon) {
    // The computed statistics have the dtype of the running statistics, even if x has a lower precision; these are
    // placeholders.
    const auto scratch = at::zeros_like(running_mean);
    const auto [own_mean, own_variance] = at::batch_norm_update_stats(x, scratch, scratch.clone(), momentum);
    const auto channels = x.size(1);
    const auto own_count = static_cast<double>(x.numel()) / static_cast<double>(channels);

    // Per channel the sum and the sum of squares, and the number of values per channel.
    const auto double_mean = own_mean.to(at::kDouble);
    const auto own_moments = own_variance.to(at::kDouble) + double_mean.square();
    const auto sums = at::cat({double_mean, own_moments, at::ones({1}, double_mean.options())}) * own_count;
    all_reduce(*group, sums, c10d::ReduceOp::SUM);
    const auto count = sums.narrow(0, 2 * channels, 1);
    const auto means = sums / count;
    const auto mean = means.narrow(0, 0, channels);
    // In f64 the subtraction keeps f32 accuracy; rounding may make the difference negative.
    const auto variance = (means.narrow(0, channels, channels) - mean.square()).clamp_min(0);

    running_mean.lerp_(mean.to(running_mean.scalar_type()), momentum);
    const auto unbiased = variance * (count / (count - 1));
    running_variance.lerp_(unbiased.to(running_variance.scalar_type()), momentum);

    const auto f32_mean = mean.to(running_mean.scalar_type());
    const auto f32_variance = variance.to(running_mean.scalar_type());
    context->save_for_backward({x, weight, f32_mean, f32_variance, count});
    context->saved_data["group"] = group;
    context->saved_data["epsilon"] = epsilon;
    return std::get<0>(
        at::native_batch_norm(x, weight, bias, f32_mean, f32_variance, /*training=*/false, momentum, epsilon));
  }

  // With s = weight / sqrt(variance + epsilon) and x' the normalized x: the gradient of x is s (dy - sum(dy) / count -
  // x' sum(dy x') / count), where the sums are over all ranks. The first term is the gradient of batch norm with given
  // statistics; the rest is linear in x.
  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &mean = saved[2], &variance = saved[3], &count = saved[4];
    const auto group = context->saved_data["group"].toCustomClass<c10d::ProcessGroup>();
    const auto epsilon = context->saved_data["epsilon"].toDouble();

    const auto empty = at::empty({0}, mean.options());
    auto [dx, d_weight, d_bias] = at::native_batch_norm_backward(
        gradients[0], x, weight, mean, variance, empty, empty, /*train=*/false, epsilon, {true, true, true});

    auto sums = at::cat({d_weight, d_bias}).to(at::kDouble);
    all_reduce(*group, sums, c10d::ReduceOp::SUM);
    const auto channels = x.size(1);
    const auto mean_dy_x = sums.narrow(0, 0, channels) / count;
    const auto mean_dy = sums.narrow(0, channels, channels) / count;
    const auto inverse = (variance.to(at::kDouble) + epsilon).rsqrt();
    const auto scale = weight.to(at::kDouble) * inverse;
    const auto by_x = -scale * inverse * mean_dy_x;
    const auto constant = -scale * mean_dy - by_x * mean.to(at::kDouble);
    // The two terms nearly cancel if a channel's mean is large, so they are added at least in f32.
    const auto exact = at::promoteTypes(x.scalar_type(), at::kFloat);
    std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
    shape[1] = channels;
    const auto along = [&](const at::Tensor& values) { return values.to(exact).view(shape); };
    dx = dx.to(exact).addcmul_(x.to(exact), along(by_x)).add_(along(constant)).to(x.scalar_type());
    const at::Tensor none;
    return {dx, d_weight, d_bias, none, none, none, none, none};
  }
};

extern "C" {

// Updates the running statistics. `*y` is freed as a tensor of torch-sys; its graph shares the group.
Outcome c10d_batch_norm(
    GroupPointer* group, at::Tensor* x, at::Tensor* weight, at::Tensor* bias, at::Tensor* running_mean,
    at::Tensor* running_variance, double momentum, double epsilon, at::Tensor** y, char** message) {
  return guarded(message, [&] {
    *y = new at::Tensor(
        BatchNormOverRanks::apply(*x, *weight, *bias, *running_mean, *running_variance, *group, momentum, epsilon));
  });
}

} // extern "C"
