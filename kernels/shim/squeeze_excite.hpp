// Squeeze-excite: multiplies each channel of a sample by a factor computed by two linear layers from the means of all
// channels.

#pragma once

#include <ATen/Functions.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

#include "feature_map.hpp"

// Divides the rows of each sample into chunks by the shape only.
struct SampleChunks {
  int64_t samples, channels, sample_rows, chunk_rows, chunks;

  explicit SampleChunks(const at::Tensor& x)
      : samples(x.size(0)), channels(x.size(1)), sample_rows(x.size(2) * x.size(3)) {
    constexpr int64_t numbers = 65536;
    chunk_rows = std::min(sample_rows, (std::max<int64_t>(8, numbers / channels) + 7) / 8 * 8);
    chunks = (sample_rows + chunk_rows - 1) / chunk_rows;
  }

  // Calls `body(sample, chunk, first row, row after the last)` for all chunks of all samples, whose rows are numbered
  // consecutively.
  template <class Body>
  void for_each(const Body& body) const {
    const int64_t grain = std::max<int64_t>(1, 32768 / (chunk_rows * channels));
    at::parallel_for(0, samples * chunks, grain, [&](int64_t begin, int64_t end) {
      for (int64_t index = begin; index < end; ++index) {
        const int64_t sample = index / chunks, row = index % chunks * chunk_rows;
        const int64_t first = sample * sample_rows;
        body(sample, index, first + row, first + std::min(sample_rows, row + chunk_rows));
      }
    });
  }

  // Returns the sum over each sample's rows of x, or of x * dy, times a factor: [N, C] f32.
  at::Tensor sums(const at::Tensor& x, const void* dy, double factor) const {
    const auto& kernels = map_kernels(needed_kernels(), x);
    const int64_t width = padded(channels);
    std::vector<double> partial(static_cast<size_t>(samples * chunks * width));
    for_each([&](int64_t, int64_t chunk, int64_t begin, int64_t end) {
      kernels.sum_rows(x.const_data_ptr(), dy, begin, end, channels, partial.data() + chunk * width);
    });
    auto sums = at::empty({samples, channels}, x.options().dtype(at::kFloat), at::MemoryFormat::Contiguous);
    float* out = sums.mutable_data_ptr<float>();
    for (int64_t sample = 0; sample < samples; ++sample) {
      double* first = partial.data() + sample * chunks * width;
      for (int64_t chunk = 1; chunk < chunks; ++chunk) {
        for (int64_t c = 0; c < channels; ++c) {
          first[c] += first[chunk * width + c];
        }
      }
      for (int64_t c = 0; c < channels; ++c) {
        out[sample * channels + c] = static_cast<float>(first[c] * factor);
      }
    }
    return sums;
  }

  // x * scale + shift, both [N, C] f32.
  at::Tensor scaled(const at::Tensor& x, const at::Tensor& scale, const float* shift) const {
    const auto& kernels = map_kernels(needed_kernels(), x);
    auto y = at::empty_like(x);
    const float* factors = scale.const_data_ptr<float>();
    void* out = y.mutable_data_ptr();
    for_each([&](int64_t sample, int64_t, int64_t begin, int64_t end) {
      const int64_t own = sample * channels;
      const float* shifts = shift == nullptr ? nullptr : shift + own;
      kernels.scale_rows(x.const_data_ptr(), begin, end, channels, factors + own, shifts, out);
    });
    return y;
  }
};

struct FusedSqueezeExcite : torch::autograd::Function<FusedSqueezeExcite> {
  struct Values {
    at::Tensor means, before, reduced, factors, y;
  };

  static at::Tensor matrix(const at::Tensor& weight) { return weight.flatten(1); }

  static Values compute(
      const at::Tensor& x, const at::Tensor& reduce_weight, const at::Tensor& reduce_bias, const at::Tensor& expand_weight,
      const at::Tensor& expand_bias, tfnas::Activation activation) {
    TFNAS_RECORD("tfnas::squeeze_excite");
    const WithoutAutocast without_autocast;
    const SampleChunks chunks(x);
    Values values;
    values.means = chunks.sums(x, nullptr, 1.0 / static_cast<double>(chunks.sample_rows));
    values.before = at::linear(values.means, matrix(reduce_weight), reduce_bias);
    values.reduced = activation == tfnas::Activation::kRelu ? at::relu(values.before)
        : activation == tfnas::Activation::kSilu            ? at::silu(values.before)
                                                            : values.before;
    values.factors = at::linear(values.reduced, matrix(expand_weight), expand_bias).sigmoid_();
    values.y = chunks.scaled(x, values.factors, nullptr);
    return values;
  }

  static at::Tensor forward(
      torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& reduce_weight,
      const at::Tensor& reduce_bias, const at::Tensor& expand_weight, const at::Tensor& expand_bias,
      tfnas::Activation activation) {
    const auto values = compute(x, reduce_weight, reduce_bias, expand_weight, expand_bias, activation);
    context->save_for_backward(
        {x, reduce_weight, expand_weight, values.means, values.before, values.reduced, values.factors});
    context->saved_data["activation"] = static_cast<int64_t>(activation);
    return values.y;
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    TFNAS_RECORD("tfnas::squeeze_excite_backward");
    refuse_second_derivative();
    const WithoutAutocast without_autocast;
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &reduce_weight = saved[1], &expand_weight = saved[2], &means = saved[3];
    const auto &before = saved[4], &reduced = saved[5], &factors = saved[6];
    const auto activation = static_cast<tfnas::Activation>(context->saved_data["activation"].toInt());
    const auto dy = as_feature_map(gradients[0], x);
    const SampleChunks chunks(x);

    const auto d_factors = chunks.sums(x, dy.const_data_ptr(), 1.0);
    const auto d_expanded = at::sigmoid_backward(d_factors, factors);
    auto d_reduced = d_expanded.mm(matrix(expand_weight));
    if (activation == tfnas::Activation::kRelu) {
      d_reduced = at::threshold_backward(d_reduced, before, 0);
    } else if (activation == tfnas::Activation::kSilu) {
      d_reduced = at::silu_backward(d_reduced, before);
    }
    torch::autograd::variable_list found(6);
    if (context->needs_input_grad(0)) {
      // The contribution of the means, equal for all pixels of a sample.
      const auto share = d_reduced.mm(matrix(reduce_weight)).div_(static_cast<double>(chunks.sample_rows));
      found[0] = chunks.scaled(dy, factors, share.const_data_ptr<float>());
    }
    if (context->needs_input_grad(1)) {
      found[1] = d_reduced.t().mm(means).view_as(reduce_weight);
    }
    if (context->needs_input_grad(2)) {
      found[2] = d_reduced.sum(0);
    }
    if (context->needs_input_grad(3)) {
      found[3] = d_expanded.t().mm(reduced).view_as(expand_weight);
    }
    if (context->needs_input_grad(4)) {
      found[4] = d_expanded.sum(0);
    }
    return found;
  }
};

inline at::Tensor fused_squeeze_excite(
    const at::Tensor& x, const at::Tensor& reduce_weight, const at::Tensor& reduce_bias, const at::Tensor& expand_weight,
    const at::Tensor& expand_bias, tfnas::Activation activation) {
  check_feature_map(x);
  const auto check = [](const at::Tensor& weight, const at::Tensor& bias, int64_t inputs, const char* name) {
    TORCH_CHECK(
        weight.dim() >= 2 && weight.numel() == weight.size(0) * inputs && weight.size(1) == inputs &&
            bias.dim() == 1 && bias.size(0) == weight.size(0) && weight.device().is_cpu() && bias.device().is_cpu() &&
            weight.scalar_type() == at::kFloat && bias.scalar_type() == at::kFloat,
        "the weights of the ", name, " layer must be f32 [outputs, ", inputs, "] with a bias [outputs], on the CPU");
  };
  check(reduce_weight, reduce_bias, x.size(1), "reduce");
  check(expand_weight, expand_bias, reduce_weight.size(0), "expand");
  TORCH_CHECK(expand_weight.size(0) == x.size(1), "the weights of the expand layer must have an output for each channel of x");
  const auto needs = [](const at::Tensor& tensor) { return tensor.requires_grad(); };
  if (at::GradMode::is_enabled() &&
      (needs(x) || needs(reduce_weight) || needs(reduce_bias) || needs(expand_weight) || needs(expand_bias))) {
    return FusedSqueezeExcite::apply(x, reduce_weight, reduce_bias, expand_weight, expand_bias, activation);
  }
  const at::NoGradGuard no_grad;
  return FusedSqueezeExcite::compute(x, reduce_weight, reduce_bias, expand_weight, expand_bias, activation).y;
}
