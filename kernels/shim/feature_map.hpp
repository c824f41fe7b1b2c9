// The inputs that the kernels support: f32 and bf16 feature maps on the CPU in channels-last order.

#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/record_function.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <optional>

#include "instruction_set.hpp"

inline bool is_feature_map(const at::Tensor& x) {
  const auto is_supported = [](at::ScalarType type) { return type == at::kFloat || type == at::kBFloat16; };
  return x.defined() && x.device().is_cpu() && is_supported(x.scalar_type()) && x.layout() == at::kStrided && x.dim() == 4 &&
      x.numel() > 0 && !x.is_conj() && !x.is_neg() && x.is_contiguous(at::MemoryFormat::ChannelsLast);
}

inline void check_feature_map(const at::Tensor& x) {
  TORCH_CHECK(is_feature_map(x), "x must be an f32 or bf16 feature map in channels-last order on the CPU");
}

// Converts another tensor of the same shape, such as a gradient, to channels-last order and the dtype of x.
inline at::Tensor as_feature_map(const at::Tensor& other, const at::Tensor& x) {
  return other.to(x.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
}

// Excludes autocast, so that libtorch's operations compute in the dtypes that they are called with.
struct WithoutAutocast {
  c10::impl::ExcludeDispatchKeyGuard guard{c10::DispatchKey::AutocastCPU};
};

inline const tfnas::Kernels& needed_kernels() {
  const auto* found = kernels();
  TORCH_CHECK(found != nullptr, "the processor supports none of the instruction sets that the kernels are compiled for");
  return *found;
}

// The loops over feature maps of the dtype of x.
inline const tfnas::MapKernels& map_kernels(const tfnas::Kernels& kernels, const at::Tensor& x) {
  return x.scalar_type() == at::kBFloat16 ? kernels.bf16 : kernels.f32;
}

// A second derivative would need a graph of the backward pass, which the kernels do not build.
inline void refuse_second_derivative() {
  TORCH_CHECK(!at::GradMode::is_enabled(), "a fused kernel has no second derivative");
}

inline const float* data_or_null(const std::optional<at::Tensor>& tensor) {
  return tensor.has_value() ? tensor->const_data_ptr<float>() : nullptr;
}

// Converts an undefined tensor to nullopt.
inline std::optional<at::Tensor> optional(at::Tensor* tensor) {
  return tensor == nullptr ? std::nullopt : std::optional<at::Tensor>(*tensor);
}

// Checks a vector with one f32 value per channel.
inline void check_by_channel(const std::optional<at::Tensor>& values, const at::Tensor& x, const char* name) {
  if (values.has_value()) {
    TORCH_CHECK(
        values->device().is_cpu() && values->scalar_type() == at::kFloat && values->dim() == 1 &&
            values->size(0) == x.size(1) && values->is_contiguous(),
        name, " must be f32 [", x.size(1), "], contiguous, on the CPU");
  }
}

// Names the rest of a block in recordings of libtorch's profiler, like one of libtorch's own operations.
#define TFNAS_RECORD(name) RECORD_FUNCTION(name, c10::ArrayRef<const c10::IValue>())

// Number of channels, rounded up to the vector size of any instruction set.
inline int64_t padded(int64_t channels) { return (channels + 15) / 16 * 16; }
