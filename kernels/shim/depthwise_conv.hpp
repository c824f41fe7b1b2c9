// Depthwise convolutions, forward and backward.

#pragma once

#include <ATen/Functions.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

#include "feature_map.hpp"

// Sizes of a depthwise convolution with an odd kernel and padding of half the kernel size.
struct DepthwiseShape {
  int64_t samples, channels, height, width, kernel, stride, out_height, out_width;

  DepthwiseShape(at::IntArrayRef x, int64_t kernel, int64_t stride)
      : samples(x[0]), channels(x[1]), height(x[2]), width(x[3]), kernel(kernel), stride(stride),
        out_height((x[2] - 1) / stride + 1), out_width((x[3] - 1) / stride + 1) {}

  int64_t taps() const { return kernel * kernel; }
};

// Weights [C, 1, k, k] rearranged to [vector of channels][tap][lane], with zeros in unused lanes; taps are reversed for
// the backward pass.
inline std::vector<float> weights_by_vector(const at::Tensor& weight, int64_t lanes, bool reversed) {
  const int64_t channels = weight.size(0), taps = weight.size(2) * weight.size(3);
  const auto contiguous = weight.contiguous();
  const float* from = contiguous.const_data_ptr<float>();
  std::vector<float> vectors(static_cast<size_t>((channels + lanes - 1) / lanes * lanes * taps));
  for (int64_t c = 0; c < channels; ++c) {
    float* to = vectors.data() + c / lanes * lanes * taps + c % lanes;
    for (int64_t tap = 0; tap < taps; ++tap) {
      to[tap * lanes] = from[c * taps + (reversed ? taps - 1 - tap : tap)];
    }
  }
  return vectors;
}

// Runs a pass in parallel over groups of output rows.
inline void run_depthwise(const tfnas::MapKernels& kernels, const tfnas::DepthwisePass& pass, int64_t samples) {
  const int64_t row_products = pass.out_width * pass.channels * pass.kernel * pass.kernel;
  const int64_t grain = std::max<int64_t>(1, 500000 / row_products);
  at::parallel_for(0, samples * pass.out_height, grain, [&](int64_t begin, int64_t end) {
    kernels.depthwise(pass, begin, end);
  });
}

inline at::Tensor depthwise_forward(
    const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias, int64_t stride,
    tfnas::Activation activation) {
  TFNAS_RECORD("tfnas::depthwise");
  const auto& kernels = needed_kernels();
  const DepthwiseShape shape(x.sizes(), weight.size(2), stride);
  auto y = at::empty(
      {shape.samples, shape.channels, shape.out_height, shape.out_width}, x.options(), at::MemoryFormat::ChannelsLast);
  const auto weights = weights_by_vector(weight, kernels.lanes, false);
  tfnas::DepthwisePass pass = {};
  pass.channels = shape.channels;
  pass.in_height = shape.height;
  pass.in_width = shape.width;
  pass.out_height = shape.out_height;
  pass.out_width = shape.out_width;
  pass.kernel = shape.kernel;
  pass.stride = stride;
  pass.step = 1;
  pass.in = x.const_data_ptr();
  pass.weight = weights.data();
  pass.bias = data_or_null(bias);
  pass.activation = activation;
  pass.out = y.mutable_data_ptr();
  run_depthwise(map_kernels(kernels, x), pass, shape.samples);
  return y;
}

// The gradient of x is a stride-1 convolution of the output gradient, its pixels `stride` apart, with the reversed
// kernel.
inline at::Tensor depthwise_input_gradient(
    const at::Tensor& dy, const at::Tensor& weight, const DepthwiseShape& shape) {
  TFNAS_RECORD("tfnas::depthwise_backward_input");
  const auto& kernels = needed_kernels();
  auto dx = at::empty(
      {shape.samples, shape.channels, shape.height, shape.width}, dy.options(), at::MemoryFormat::ChannelsLast);
  const auto weights = weights_by_vector(weight, kernels.lanes, true);
  tfnas::DepthwisePass pass = {};
  pass.channels = shape.channels;
  pass.in_height = shape.out_height;
  pass.in_width = shape.out_width;
  pass.out_height = shape.height;
  pass.out_width = shape.width;
  pass.kernel = shape.kernel;
  pass.stride = 1;
  pass.step = shape.stride;
  pass.in = dy.const_data_ptr();
  pass.weight = weights.data();
  pass.out = dx.mutable_data_ptr();
  run_depthwise(map_kernels(kernels, dy), pass, shape.samples);
  return dx;
}

// Samples are divided into groups and channels into blocks by the shape only; products are added sample by sample, and
// groups in order.
inline at::Tensor depthwise_weight_gradient(
    const at::Tensor& x, const at::Tensor& dy, const at::Tensor& weight, const DepthwiseShape& shape) {
  TFNAS_RECORD("tfnas::depthwise_backward_weight");
  const auto& kernels = needed_kernels();
  // The sums of this many channels fit into the L2 cache, and their part of a pixel is read as a whole.
  constexpr int64_t block_channels = 256, wanted_tasks = 32;
  const int64_t lanes = kernels.lanes, taps = shape.taps();
  const int64_t blocks = (shape.channels + block_channels - 1) / block_channels;
  const int64_t group_samples = std::max<int64_t>(1, shape.samples * blocks / wanted_tasks);
  const int64_t groups = (shape.samples + group_samples - 1) / group_samples;
  tfnas::DepthwiseWeightPass pass = {};
  pass.channels = shape.channels;
  pass.in_height = shape.height;
  pass.in_width = shape.width;
  pass.out_height = shape.out_height;
  pass.out_width = shape.out_width;
  pass.kernel = shape.kernel;
  pass.stride = shape.stride;
  pass.x = x.const_data_ptr();
  pass.dy = dy.const_data_ptr();

  // Sums per group, in the order of the weights.
  const int64_t width = padded(shape.channels) * taps;
  std::vector<double> sums(static_cast<size_t>(groups * width));
  at::parallel_for(0, groups * blocks, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(static_cast<size_t>(block_channels * taps));
    for (int64_t index = begin; index < end; ++index) {
      const int64_t first_channel = index % blocks * block_channels, group = index / blocks;
      const int64_t channels = std::min(block_channels, shape.channels - first_channel);
      const int64_t last = std::min(shape.samples, (group + 1) * group_samples);
      for (int64_t sample = group * group_samples; sample < last; ++sample) {
        map_kernels(kernels, x).depthwise_weight(
            pass, sample, first_channel, channels, scratch.data(), sums.data() + group * width + first_channel * taps);
      }
    }
  });

  auto gradient = at::empty({shape.channels, 1, shape.kernel, shape.kernel}, weight.options());
  float* out = gradient.mutable_data_ptr<float>();
  for (int64_t group = 1; group < groups; ++group) {
    for (int64_t i = 0; i < width; ++i) {
      sums[i] += sums[group * width + i];
    }
  }
  for (int64_t c = 0; c < shape.channels; ++c) {
    const double* from = sums.data() + c / lanes * lanes * taps + c % lanes;
    for (int64_t tap = 0; tap < taps; ++tap) {
      out[c * taps + tap] = static_cast<float>(from[tap * lanes]);
    }
  }
  return gradient;
}

struct FusedDepthwise : torch::autograd::Function<FusedDepthwise> {
  static at::Tensor forward(
      torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, int64_t stride) {
    // Only the gradient of the weight needs the input. A search that trains the architecture freezes the weights, and keeps
    // the outputs of all operations of all blocks until the backward pass.
    context->save_for_backward({weight.requires_grad() ? x : at::Tensor(), weight});
    context->saved_data["size"] = x.sizes();
    context->saved_data["stride"] = stride;
    return depthwise_forward(x, weight, std::nullopt, stride, tfnas::Activation::kNone);
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    refuse_second_derivative();
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1];
    const DepthwiseShape shape(
        context->saved_data["size"].toIntVector(), weight.size(2), context->saved_data["stride"].toInt());
    // The engine converts the gradient to the dtype of the output, which is that of x.
    const auto dy = gradients[0].contiguous(at::MemoryFormat::ChannelsLast);
    torch::autograd::variable_list found(3);
    if (context->needs_input_grad(0)) {
      found[0] = depthwise_input_gradient(dy, weight, shape);
    }
    if (context->needs_input_grad(1)) {
      found[1] = depthwise_weight_gradient(x, dy, weight, shape);
    }
    return found;
  }
};

// Bias and activation are supported only without gradients.
inline at::Tensor fused_depthwise(
    const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias, int64_t stride,
    tfnas::Activation activation) {
  check_feature_map(x);
  TORCH_CHECK(stride == 1 || stride == 2, "the stride must be 1 or 2");
  const auto kernel = weight.dim() == 4 ? weight.size(2) : 0;
  TORCH_CHECK(
      (kernel == 3 || kernel == 5) && weight.size(3) == kernel && weight.size(0) == x.size(1) &&
          weight.size(1) == 1 && weight.device().is_cpu() && weight.scalar_type() == at::kFloat,
      "the weight must be f32 [", x.size(1), ", 1, k, k] on the CPU, k of 3 or 5");
  check_by_channel(bias, x, "bias");
  const bool needs_graph = at::GradMode::is_enabled() &&
      (x.requires_grad() || weight.requires_grad() || (bias.has_value() && bias->requires_grad()));
  if (needs_graph) {
    TORCH_CHECK(
        !bias.has_value() && activation == tfnas::Activation::kNone,
        "a depthwise convolution with bias or activation has no backward pass");
    return FusedDepthwise::apply(x, weight, stride);
  }
  const at::NoGradGuard no_grad;
  return depthwise_forward(x, weight, bias, stride, activation);
}
