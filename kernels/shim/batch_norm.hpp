// Batch norm with batch statistics, followed by an activation and a residual connection.

#pragma once

#include <ATen/Functions.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <vector>

#include "feature_map.hpp"

// Divides the rows (pixels) of a feature map into chunks by its shape only, so that sums do not depend on the number of
// threads.
struct RowChunks {
  int64_t rows, channels, chunk_rows, count;

  explicit RowChunks(const at::Tensor& x) : rows(x.size(0) * x.size(2) * x.size(3)), channels(x.size(1)) {
    constexpr int64_t numbers = 65536, most_chunks = 64;
    const auto ceil_div = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
    chunk_rows = std::max(ceil_div(rows, most_chunks), ceil_div(numbers, channels));
    chunk_rows = ceil_div(chunk_rows, 8) * 8;
    count = ceil_div(rows, chunk_rows);
  }

  // Calls `body(chunk, first row, row after the last)` for all chunks, the first ones first.
  template <class Body>
  void forward(const Body& body) const {
    at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t chunk = begin; chunk < end; ++chunk) {
        body(chunk, chunk * chunk_rows, std::min(rows, (chunk + 1) * chunk_rows));
      }
    });
  }

  // Calls the body for the last chunks first, because they may still be in a cache after a forward pass.
  template <class Body>
  void backward(const Body& body) const {
    at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t chunk = end - 1; chunk >= begin; --chunk) {
        body(chunk * chunk_rows, std::min(rows, (chunk + 1) * chunk_rows));
      }
    });
  }

  // Computes two sums per channel; `body(first row, row after the last, sums, other sums)` adds to them. Chunks are
  // added in order.
  template <class Body>
  std::pair<std::vector<double>, std::vector<double>> sums(const Body& body) const {
    const auto width = padded(channels);
    std::vector<double> partial(static_cast<size_t>(2 * width * count));
    forward([&](int64_t chunk, int64_t begin, int64_t end) {
      double* here = partial.data() + 2 * width * chunk;
      body(begin, end, here, here + width);
    });
    std::vector<double> first(partial.begin(), partial.begin() + width);
    std::vector<double> second(partial.begin() + width, partial.begin() + 2 * width);
    for (int64_t chunk = 1; chunk < count; ++chunk) {
      const double* here = partial.data() + 2 * width * chunk;
      for (int64_t c = 0; c < channels; ++c) {
        first[c] += here[c];
        second[c] += here[width + c];
      }
    }
    return {std::move(first), std::move(second)};
  }
};

struct NormSettings {
  tfnas::Activation activation;
  double momentum, epsilon;
};

// y = activation((x - mean) / sqrt(variance + epsilon) * weight + bias) * keep + shortcut.
//
// Only x, the statistics and the parameters are saved; the backward pass recomputes the normalized values and the
// activation.
struct FusedBatchNorm : torch::autograd::Function<FusedBatchNorm> {
  using Optional = std::optional<at::Tensor>;

  static at::Tensor forward(
      torch::autograd::AutogradContext* context, const at::Tensor& x, const Optional& weight, const Optional& bias,
      const Optional& shortcut, const Optional& keep, const Optional& running_mean, const Optional& running_variance,
      const NormSettings& settings) {
    at::Tensor mean, inverse;
    const auto y =
        compute(x, weight, bias, shortcut, keep, running_mean, running_variance, settings, mean, inverse);
    context->save_for_backward(
        {x, weight.value_or(at::Tensor()), bias.value_or(at::Tensor()), keep.value_or(at::Tensor()), mean, inverse});
    context->saved_data["activation"] = static_cast<int64_t>(settings.activation);
    context->saved_data["has_shortcut"] = shortcut.has_value();
    return y;
  }

  static at::Tensor compute(
      const at::Tensor& x, const Optional& weight, const Optional& bias, const Optional& shortcut, const Optional& keep,
      const Optional& running_mean, const Optional& running_variance, const NormSettings& settings, at::Tensor& mean,
      at::Tensor& inverse) {
    TFNAS_RECORD("tfnas::batch_norm");
    const auto& kernels = map_kernels(needed_kernels(), x);
    const RowChunks chunks(x);
    const auto channels = chunks.channels;
    // Sums are computed relative to the first pixel, so that a large mean does not cost precision.
    const auto first_pixel = x.select(0, 0).select(1, 0).select(1, 0).to(at::kFloat);
    const float* shift = first_pixel.const_data_ptr<float>();
    const auto [sum, square] = chunks.sums([&](int64_t begin, int64_t end, double* sum, double* square) {
      kernels.moments(x.const_data_ptr(), begin, end, channels, shift, sum, square);
    });

    mean = at::empty({channels}, x.options().dtype(at::kFloat));
    inverse = at::empty_like(mean);
    float* mean_data = mean.mutable_data_ptr<float>();
    float* inverse_data = inverse.mutable_data_ptr<float>();
    float* running[] = {mutable_data(running_mean), mutable_data(running_variance)};
    const auto count = static_cast<double>(chunks.rows);
    for (int64_t c = 0; c < channels; ++c) {
      const double offset = sum[c] / count;
      // This order of arguments preserves NaN.
      const double deviation = std::max(square[c] - sum[c] * offset, 0.0);
      const double batch_mean = shift[c] + offset;
      mean_data[c] = static_cast<float>(batch_mean);
      inverse_data[c] = static_cast<float>(1.0 / std::sqrt(deviation / count + settings.epsilon));
      const auto move = [&](float* value, double batch) {
        if (value != nullptr) {
          value[c] = static_cast<float>(settings.momentum * batch + (1.0 - settings.momentum) * value[c]);
        }
      };
      move(running[0], batch_mean);
      move(running[1], deviation / (count - 1.0));
    }

    auto y = at::empty_like(x);
    Coefficients coefficients(mean, inverse, weight, bias);
    auto pass = coefficients.pass(x, keep, settings.activation);
    const auto added = shortcut.has_value() ? as_feature_map(*shortcut, x) : at::Tensor();
    pass.residual = added.defined() ? added.const_data_ptr() : nullptr;
    pass.out = y.mutable_data_ptr();
    chunks.backward([&](int64_t begin, int64_t end) { kernels.normalize(pass, begin, end); });
    return y;
  }

  // With x' = x - mean: dz is the gradient of the normalized values, and
  // dx = scale (dz - sum(dz) / count - x' inverse^2 sum(dz x') / count).
  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    TFNAS_RECORD("tfnas::batch_norm_backward");
    refuse_second_derivative();
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &mean = saved[4], &inverse = saved[5];
    const auto optional = [](const at::Tensor& tensor) { return tensor.defined() ? Optional(tensor) : std::nullopt; };
    const auto weight = optional(saved[1]), bias = optional(saved[2]), keep = optional(saved[3]);
    const auto activation = static_cast<tfnas::Activation>(context->saved_data["activation"].toInt());
    const bool has_shortcut = context->saved_data["has_shortcut"].toBool();
    // Edges exist only for the defined tensors, in order.
    size_t edge = 0;
    const auto is_needed = [&](bool exists) { return exists && context->needs_input_grad(edge++); };
    const bool needs_x = is_needed(true), needs_weight = is_needed(weight.has_value());
    const bool needs_bias = is_needed(bias.has_value()), needs_shortcut = is_needed(has_shortcut);

    torch::autograd::variable_list found(8);
    if (needs_shortcut) {
      found[3] = gradients[0];
    }
    if (!needs_x && !needs_weight && !needs_bias) {
      return found;
    }
    const auto& kernels = map_kernels(needed_kernels(), x);
    const RowChunks chunks(x);
    const auto dy = as_feature_map(gradients[0], x);
    Coefficients coefficients(mean, inverse, weight, bias);
    auto pass = coefficients.pass(x, keep, activation);
    pass.dy = dy.const_data_ptr();
    const auto [sum, product] = chunks.sums([&](int64_t begin, int64_t end, double* sum, double* product) {
      kernels.reduce(pass, begin, end, sum, product);
    });

    const auto channels = chunks.channels;
    const float* inverse_data = inverse.const_data_ptr<float>();
    if (needs_x) {
      const auto count = static_cast<double>(chunks.rows);
      std::vector<float> by_x(static_cast<size_t>(channels)), constant(static_cast<size_t>(channels));
      for (int64_t c = 0; c < channels; ++c) {
        const double scale = pass.scale[c], each = inverse_data[c];
        by_x[c] = static_cast<float>(-scale * each * each * product[c] / count);
        constant[c] = static_cast<float>(-scale * sum[c] / count);
      }
      pass.by_x = by_x.data();
      pass.constant = constant.data();
      found[0] = at::empty_like(x);
      pass.out = found[0].mutable_data_ptr();
      chunks.backward([&](int64_t begin, int64_t end) { kernels.gradient(pass, begin, end); });
    }
    if (needs_weight) {
      found[1] = at::empty_like(mean);
      float* out = found[1].mutable_data_ptr<float>();
      for (int64_t c = 0; c < channels; ++c) {
        out[c] = static_cast<float>(product[c] * inverse_data[c]);
      }
    }
    if (needs_bias) {
      found[2] = at::empty_like(mean);
      float* out = found[2].mutable_data_ptr<float>();
      for (int64_t c = 0; c < channels; ++c) {
        out[c] = static_cast<float>(sum[c]);
      }
    }
    return found;
  }

 private:
  static float* mutable_data(const Optional& tensor) {
    return tensor.has_value() ? tensor->mutable_data_ptr<float>() : nullptr;
  }

  // z = (x - mean) * scale + bias, per channel.
  struct Coefficients {
    const at::Tensor& mean;
    std::vector<float> scale, bias;

    Coefficients(const at::Tensor& mean, const at::Tensor& inverse, const Optional& weight, const Optional& shift)
        : mean(mean), scale(static_cast<size_t>(mean.size(0))), bias(static_cast<size_t>(mean.size(0))) {
      const float *inverse_data = inverse.const_data_ptr<float>(), *weight_data = data_or_null(weight);
      const float* shift_data = data_or_null(shift);
      for (size_t c = 0; c < scale.size(); ++c) {
        scale[c] = weight_data == nullptr ? inverse_data[c] : inverse_data[c] * weight_data[c];
        bias[c] = shift_data == nullptr ? 0.0f : shift_data[c];
      }
    }

    tfnas::NormPass pass(const at::Tensor& x, const Optional& keep, tfnas::Activation activation) const {
      tfnas::NormPass pass = {};
      pass.channels = x.size(1);
      pass.sample_rows = x.size(2) * x.size(3);
      pass.activation = activation;
      pass.x = x.const_data_ptr();
      pass.keep = data_or_null(keep);
      pass.mean = mean.const_data_ptr<float>();
      pass.scale = scale.data();
      pass.bias = bias.data();
      return pass;
    }
  };
};

// Updates the running statistics, if given.
inline at::Tensor fused_batch_norm(
    const at::Tensor& x, const std::optional<at::Tensor>& weight, const std::optional<at::Tensor>& bias,
    const std::optional<at::Tensor>& shortcut, const std::optional<at::Tensor>& keep,
    const std::optional<at::Tensor>& running_mean, const std::optional<at::Tensor>& running_variance,
    const NormSettings& settings) {
  check_feature_map(x);
  check_by_channel(weight, x, "weight");
  check_by_channel(bias, x, "bias");
  check_by_channel(running_mean, x, "running_mean");
  check_by_channel(running_variance, x, "running_variance");
  if (shortcut.has_value()) {
    TORCH_CHECK(
        shortcut->device().is_cpu() && at::isFloatingType(shortcut->scalar_type()) && shortcut->sizes() == x.sizes(),
        "the shortcut must be a floating-point tensor on the CPU and have the shape of x");
  }
  if (keep.has_value()) {
    TORCH_CHECK(
        shortcut.has_value() && keep->device().is_cpu() && keep->scalar_type() == at::kFloat &&
            keep->numel() == x.size(0) && keep->is_contiguous() && !keep->requires_grad(),
        "keep must be contiguous f32, one value per sample, without gradient, on the CPU, and requires a shortcut");
  }
  for (const auto& running : {running_mean, running_variance}) {
    if (running.has_value()) {
      TORCH_CHECK(!running->requires_grad(), "running statistics have no gradient");
      running->unsafeGetTensorImpl()->bump_version();
    }
  }
  const auto requires_grad = [](const std::optional<at::Tensor>& tensor) {
    return tensor.has_value() && tensor->requires_grad();
  };
  if (at::GradMode::is_enabled() &&
      (x.requires_grad() || requires_grad(weight) || requires_grad(bias) || requires_grad(shortcut))) {
    return FusedBatchNorm::apply(x, weight, bias, shortcut, keep, running_mean, running_variance, settings);
  }
  const at::NoGradGuard no_grad;
  at::Tensor mean, inverse;
  return FusedBatchNorm::compute(
      x, weight, bias, shortcut, keep, running_mean, running_variance, settings, mean, inverse);
}
