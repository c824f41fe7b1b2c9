// Depthwise convolutions, forward and backward.

#pragma once

#include <ATen/Functions.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "feature_map.hpp"

// Sizes of a depthwise convolution with padding of half the kernel, which is odd.
struct DepthwiseShape {
  int64_t samples, channels, height, width, kernel, stride, out_height, out_width;

  DepthwiseShape(at::IntArrayRef x, int64_t kernel, int64_t stride)
      : samples(x[0]), channels(x[1]), height(x[2]), width(x[3]), kernel(kernel), stride(stride),
        out_height((x[2] - 1) / stride + 1), out_width((x[3] - 1) / stride + 1) {}

  int64_t padding() const { return kernel / 2; }
};

// Memory of one thread, aligned to a line of a cache; the largest asked for stays.
inline float* scratch(int64_t numbers) {
  struct Buffer {
    std::vector<float> memory;
  };
  static thread_local Buffer buffer;
  constexpr size_t line = 16;
  const auto needed = static_cast<size_t>(numbers) + line;
  if (buffer.memory.size() < needed) {
    buffer.memory.resize(needed);
  }
  const auto address = reinterpret_cast<uintptr_t>(buffer.memory.data());
  return reinterpret_cast<float*>((address + 63) / 64 * 64);
}

// A stride-1 or stride-2 pass of a kernel over zero-padded planes: forward over x, or backward over the gradient of the output, whose
// pixels then lie `step` apart.
struct DepthwisePass {
  // Of the input and of the output of the pass.
  int64_t samples, channels, in_height, in_width, out_height, out_width;
  int64_t kernel, stride, step;

  // Plane rows and columns that the input spans.
  int64_t spread(int64_t size) const { return (size - 1) * step + 1; }

  // Taps that meet the input for some row (or column) of the output: [first, last).
  std::pair<int64_t, int64_t> taps(int64_t in_size, int64_t out_size) const {
    const int64_t padding = kernel / 2, span = spread(in_size);
    return {std::max<int64_t>(0, padding - (out_size - 1) * stride), std::min(kernel, span + padding)};
  }
};

// Weights [C, 1, k, k] as [block of channels][tap][lane], zeros in lanes without channel; taps in reverse for the backward pass.
inline std::vector<float> weights_by_block(const at::Tensor& weight, int64_t lanes, bool reversed) {
  const int64_t channels = weight.size(0), taps = weight.size(2) * weight.size(3);
  const auto contiguous = weight.contiguous();
  const float* from = contiguous.const_data_ptr<float>();
  std::vector<float> blocks(static_cast<size_t>((channels + lanes - 1) / lanes * lanes * taps));
  for (int64_t c = 0; c < channels; ++c) {
    float* block = blocks.data() + c / lanes * lanes * taps + c % lanes;
    for (int64_t tap = 0; tap < taps; ++tap) {
      block[tap * lanes] = from[c * taps + (reversed ? taps - 1 - tap : tap)];
    }
  }
  return blocks;
}

// Runs a pass for all samples and channels, in strips of rows of the output.
inline void run_depthwise(
    const tfnas::Kernels& kernels, const DepthwisePass& pass, const float* in, const std::vector<float>& weights,
    const float* bias, tfnas::Activation activation, float* out) {
  // Half of a second-level cache of 512 KiB.
  constexpr int64_t most_numbers = 65536;
  const int64_t lanes = kernels.lanes, blocks = (pass.channels + lanes - 1) / lanes;
  const int64_t padding = pass.kernel / 2;
  const int64_t plane_width = (pass.out_width - 1) * pass.stride + pass.kernel;
  const int64_t plane_rows = std::max(pass.kernel + pass.stride, most_numbers / (plane_width * lanes));
  const int64_t strip_rows = std::min(pass.out_height, (plane_rows - pass.kernel) / pass.stride + 1);
  const int64_t strips = (pass.out_height + strip_rows - 1) / strip_rows;
  const int64_t plane_numbers = ((strip_rows - 1) * pass.stride + pass.kernel) * plane_width * lanes;
  const auto [top, bottom] = pass.taps(pass.in_height, pass.out_height);
  const auto [left, right] = pass.taps(pass.in_width, pass.out_width);

  const int64_t work = strip_rows * pass.out_width * lanes * (bottom - top) * (right - left);
  const int64_t grain = std::max<int64_t>(1, 262144 / std::max<int64_t>(1, work));
  at::parallel_for(0, pass.samples * strips * blocks, grain, [&, top = top, bottom = bottom, left = left, right = right](
                                                                int64_t begin, int64_t end) {
    float* const bias_lanes = scratch(plane_numbers + lanes);
    float* const plane = bias_lanes + lanes;
    // What is zero at first stays so, but where another strip has put rows.
    std::memset(bias_lanes, 0, static_cast<size_t>(plane_numbers + lanes) * sizeof(float));
    int64_t filled_begin = -1, filled_end = -1;
    for (int64_t index = begin; index < end; ++index) {
      const int64_t block = index % blocks, strip_index = index / blocks % strips, sample = index / blocks / strips;
      const int64_t first_channel = block * lanes, channels = std::min(lanes, pass.channels - first_channel);
      const int64_t first_row = strip_index * strip_rows;
      const int64_t rows = std::min(strip_rows, pass.out_height - first_row);
      // Row p of the plane is row (p + origin) / step of the input.
      const int64_t origin = first_row * pass.stride - padding;
      const int64_t needed_rows = (rows - 1) * pass.stride + pass.kernel;
      const int64_t in_begin = std::max<int64_t>(0, (origin + pass.step - 1) / pass.step);
      const int64_t in_end = std::min(pass.in_height, (origin + needed_rows - 1) / pass.step + 1);
      const int64_t plane_begin = in_begin * pass.step - origin;
      if (strips > 1 && (plane_begin != filled_begin || in_end - in_begin != filled_end)) {
        std::memset(plane, 0, static_cast<size_t>(plane_numbers) * sizeof(float));
        filled_begin = plane_begin;
        filled_end = in_end - in_begin;
      }
      const int64_t in_pixel = pass.channels, in_row = pass.in_width * in_pixel;
      if (in_end > in_begin) {
        kernels.fill_plane(
            in + (sample * pass.in_height + in_begin) * in_row + first_channel, in_row, in_pixel, channels,
            in_end - in_begin, std::min(pass.in_width, (plane_width - padding - 1) / pass.step + 1),
            plane + (plane_begin * plane_width + padding) * lanes, plane_width, pass.step);
      }
      tfnas::DepthwiseStrip strip = {};
      strip.plane = plane;
      strip.plane_width = plane_width;
      strip.tap_top = top;
      strip.tap_bottom = bottom;
      strip.tap_left = left;
      strip.tap_right = right;
      strip.kernel = pass.kernel;
      strip.stride = pass.stride;
      strip.columns = pass.out_width;
      strip.rows = rows;
      strip.weight = weights.data() + block * lanes * pass.kernel * pass.kernel;
      if (bias != nullptr) {
        std::memcpy(bias_lanes, bias + first_channel, static_cast<size_t>(channels) * sizeof(float));
        strip.bias = bias_lanes;
      }
      strip.activation = activation;
      strip.out = out + ((sample * pass.out_height + first_row) * pass.out_width) * pass.channels + first_channel;
      strip.pixel = pass.channels;
      strip.channels = channels;
      kernels.depthwise(strip);
    }
  });
}

inline at::Tensor depthwise_forward(
    const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias, int64_t stride,
    tfnas::Activation activation) {
  const auto& kernels = needed_kernels();
  const DepthwiseShape shape(x.sizes(), weight.size(2), stride);
  auto y = at::empty(
      {shape.samples, shape.channels, shape.out_height, shape.out_width}, x.options(), at::MemoryFormat::ChannelsLast);
  const DepthwisePass pass = {shape.samples,   shape.channels, shape.height,  shape.width, shape.out_height,
                              shape.out_width, shape.kernel,   shape.stride, 1};
  run_depthwise(
      kernels, pass, x.const_data_ptr<float>(), weights_by_block(weight, kernels.lanes, false), data_or_null(bias),
      activation, y.mutable_data_ptr<float>());
  return y;
}

// The gradient of x is a convolution of stride 1 of the gradient of the output, its pixels `stride` apart, with the reversed kernel.
inline at::Tensor depthwise_input_gradient(
    const at::Tensor& dy, const at::Tensor& weight, const DepthwiseShape& shape) {
  const auto& kernels = needed_kernels();
  auto dx = at::empty(
      {shape.samples, shape.channels, shape.height, shape.width}, dy.options(), at::MemoryFormat::ChannelsLast);
  const DepthwisePass pass = {shape.samples, shape.channels, shape.out_height, shape.out_width, shape.height,
                              shape.width,   shape.kernel,   1,                shape.stride};
  run_depthwise(
      kernels, pass, dy.const_data_ptr<float>(), weights_by_block(weight, kernels.lanes, true), nullptr,
      tfnas::Activation::kNone, dx.mutable_data_ptr<float>());
  return dx;
}

// Samples are divided into groups by the shape alone; a group's products are added sample by sample, the groups in order.
inline at::Tensor depthwise_weight_gradient(
    const at::Tensor& x, const at::Tensor& dy, const at::Tensor& weight, const DepthwiseShape& shape) {
  const auto& kernels = needed_kernels();
  constexpr int64_t block_channels = 16, wanted_tasks = 32;
  const int64_t lanes = kernels.lanes, blocks = (shape.channels + lanes - 1) / lanes;
  const int64_t by_shape = (shape.channels + block_channels - 1) / block_channels;
  const int64_t group_samples = std::max<int64_t>(1, shape.samples * by_shape / wanted_tasks);
  const int64_t groups = (shape.samples + group_samples - 1) / group_samples;
  const int64_t taps = shape.kernel * shape.kernel, padding = shape.padding();
  const int64_t plane_width = std::max(shape.width + 2 * padding, (shape.out_width - 1) * shape.stride + shape.kernel);
  // Rows of the output whose plane of x fits into a second-level cache.
  constexpr int64_t most_numbers = 65536;
  const int64_t plane_rows = std::max(shape.kernel + shape.stride, most_numbers / (plane_width * lanes));
  // The sums' order must not depend on the lanes: so neither must the strips, but by the rows that are added in f32 together.
  const int64_t together = std::max<int64_t>(1, 128 / shape.out_width);
  const int64_t fitting = std::max<int64_t>(1, (plane_rows - shape.kernel) / shape.stride + 1);
  const int64_t strip_rows = std::min(shape.out_height, std::max(together, fitting / together * together));
  const int64_t plane_numbers = ((strip_rows - 1) * shape.stride + shape.kernel) * plane_width * lanes;
  const DepthwisePass forward = {shape.samples,   shape.channels, shape.height,  shape.width, shape.out_height,
                                 shape.out_width, shape.kernel,   shape.stride, 1};
  const auto [top, bottom] = forward.taps(shape.height, shape.out_height);
  const auto [left, right] = forward.taps(shape.width, shape.out_width);
  const float *x_data = x.const_data_ptr<float>(), *dy_data = dy.const_data_ptr<float>();

  std::vector<double> sums(static_cast<size_t>(groups * blocks * taps * lanes));
  at::parallel_for(0, groups * blocks, 1, [&, top = top, bottom = bottom, left = left, right = right](
                                              int64_t begin, int64_t end) {
    float* const plane = scratch(plane_numbers);
    for (int64_t index = begin; index < end; ++index) {
      const int64_t block = index % blocks, group = index / blocks;
      const int64_t first_channel = block * lanes, channels = std::min(lanes, shape.channels - first_channel);
      const int64_t last = std::min(shape.samples, (group + 1) * group_samples);
      int64_t filled_begin = -1, filled_rows = -1;
      for (int64_t sample = group * group_samples; sample < last; ++sample) {
        for (int64_t first_row = 0; first_row < shape.out_height; first_row += strip_rows) {
          const int64_t rows = std::min(strip_rows, shape.out_height - first_row);
          const int64_t origin = first_row * shape.stride - padding;
          const int64_t in_begin = std::max<int64_t>(0, origin);
          const int64_t in_end = std::min(shape.height, origin + (rows - 1) * shape.stride + shape.kernel);
          if (in_begin - origin != filled_begin || in_end - in_begin != filled_rows) {
            std::memset(plane, 0, static_cast<size_t>(plane_numbers) * sizeof(float));
            filled_begin = in_begin - origin;
            filled_rows = in_end - in_begin;
          }
          const int64_t row = shape.width * shape.channels;
          kernels.fill_plane(
              x_data + (sample * shape.height + in_begin) * row + first_channel, row, shape.channels, channels,
              in_end - in_begin, shape.width, plane + ((in_begin - origin) * plane_width + padding) * lanes, plane_width,
              1);
          tfnas::DepthwiseStrip strip = {};
          strip.plane = plane;
          strip.plane_width = plane_width;
          strip.tap_top = top;
          strip.tap_bottom = bottom;
          strip.tap_left = left;
          strip.tap_right = right;
          strip.kernel = shape.kernel;
          strip.stride = shape.stride;
          strip.columns = shape.out_width;
          strip.rows = rows;
          strip.pixel = shape.channels;
          strip.channels = channels;
          const int64_t dy_row = shape.out_width * shape.channels;
          kernels.depthwise_weight(
              strip, dy_data + (sample * shape.out_height + first_row) * dy_row + first_channel, dy_row,
              sums.data() + index * taps * lanes);
        }
      }
    }
  });

  auto gradient = at::empty({shape.channels, 1, shape.kernel, shape.kernel}, weight.options());
  float* out = gradient.mutable_data_ptr<float>();
  for (int64_t c = 0; c < shape.channels; ++c) {
    const int64_t block = c / lanes, lane = c % lanes;
    for (int64_t tap = 0; tap < taps; ++tap) {
      double sum = 0.0;
      for (int64_t group = 0; group < groups; ++group) {
        sum += sums[((group * blocks + block) * taps + tap) * lanes + lane];
      }
      out[c * taps + tap] = static_cast<float>(sum);
    }
  }
  return gradient;
}

struct FusedDepthwise : torch::autograd::Function<FusedDepthwise> {
  static at::Tensor forward(
      torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, int64_t stride) {
    context->save_for_backward({x, weight});
    context->saved_data["stride"] = stride;
    return depthwise_forward(x, weight, std::nullopt, stride, tfnas::Activation::kNone);
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    refuse_second_derivative();
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1];
    const DepthwiseShape shape(x.sizes(), weight.size(2), context->saved_data["stride"].toInt());
    const auto dy = as_feature_map(gradients[0]);
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

// The activation is of a convolution without gradients alone; so is the bias.
inline at::Tensor fused_depthwise(
    const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias, int64_t stride,
    tfnas::Activation activation) {
  TORCH_CHECK(is_feature_map(x), "x must be an f32 feature map in channels-last order on the CPU");
  TORCH_CHECK(stride == 1 || stride == 2, "the stride must be 1 or 2");
  const auto kernel = weight.dim() == 4 ? weight.size(2) : 0;
  TORCH_CHECK(
      (kernel == 3 || kernel == 5 || kernel == 7) && weight.size(3) == kernel && weight.size(0) == x.size(1) &&
          weight.size(1) == 1 && weight.device().is_cpu() && weight.scalar_type() == at::kFloat,
      "the weight must be f32 [", x.size(1), ", 1, k, k] on the CPU, k of 3, 5 or 7");
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
