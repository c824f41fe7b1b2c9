// What the kernels take: f32 feature maps on the CPU, channels-last.

#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <optional>

#include "instruction_set.hpp"

inline bool is_feature_map(const at::Tensor& x) {
  return x.defined() && x.device().is_cpu() && x.scalar_type() == at::kFloat && x.layout() == at::kStrided && x.dim() == 4 &&
      x.numel() > 0 && !x.is_conj() && !x.is_neg() && x.is_contiguous(at::MemoryFormat::ChannelsLast);
}

// Another tensor of the shape of one: a gradient of libtorch, or a second operand.
inline at::Tensor as_feature_map(const at::Tensor& x) { return x.contiguous(at::MemoryFormat::ChannelsLast); }

inline const tfnas::Kernels& needed_kernels() {
  const auto* found = kernels();
  TORCH_CHECK(found != nullptr, "the processor has no instruction set that the kernels are compiled for");
  return *found;
}

// A second derivative would need a graph of the backward pass, which the kernels do not build.
inline void refuse_second_derivative() {
  TORCH_CHECK(!at::GradMode::is_enabled(), "a fused kernel has no second derivative");
}

inline const float* data_or_null(const std::optional<at::Tensor>& tensor) {
  return tensor.has_value() ? tensor->const_data_ptr<float>() : nullptr;
}

// An undefined tensor is none.
inline std::optional<at::Tensor> optional(at::Tensor* tensor) {
  return tensor == nullptr ? std::nullopt : std::optional<at::Tensor>(*tensor);
}

// A vector of one f32 number for each channel.
inline void check_by_channel(const std::optional<at::Tensor>& values, const at::Tensor& x, const char* name) {
  if (values.has_value()) {
    TORCH_CHECK(
        values->device().is_cpu() && values->scalar_type() == at::kFloat && values->dim() == 1 &&
            values->size(0) == x.size(1) && values->is_contiguous(),
        name, " must be f32 [", x.size(1), "], contiguous, on the CPU");
  }
}

// Channels, rounded up so that a vector of any instruction set fits.
inline int64_t padded(int64_t channels) { return (channels + 15) / 16 * 16; }
