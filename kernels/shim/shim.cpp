// The functions called from Rust.

#include <torch/csrc/jit/frontend/tracer.h>

#include <ATen/autocast_mode.h>

#include <cstdlib>

#include "batch_norm.hpp"
#include "depthwise_conv.hpp"
#include "guard.hpp"
#include "pointwise.hpp"
#include "squeeze_excite.hpp"

extern "C" {

void tfnas_kernels_free(void* memory) { std::free(memory); }

int tfnas_kernels_instruction_set() { return static_cast<int>(selected_kernels().set.load()); }

// Returns false, and changes nothing, if this processor does not support the instruction set.
bool tfnas_kernels_choose(int set) {
  const auto wanted = static_cast<InstructionSet>(set);
  const auto* found = find_kernels(wanted);
  if (found == nullptr && wanted != InstructionSet::kNone) {
    return false;
  }
  selected_kernels().set = wanted;
  selected_kernels().kernels = found;
  return true;
}

// Cannot throw: nothing here allocates or checks.
bool tfnas_kernels_supports(at::Tensor* x) {
  // Under autocast, libtorch has to convert a tensor of another dtype first. A trace would record the result of a kernel
  // as a constant.
  return kernels() != nullptr && is_feature_map(*x) && !torch::jit::tracer::isTracing() &&
         (!at::autocast::is_autocast_enabled(at::kCPU) || x->scalar_type() == at::autocast::get_autocast_dtype(at::kCPU));
}

// All tensors except x may be null. `*y` is freed as a tensor of torch-sys.
bool tfnas_kernels_batch_norm(
    at::Tensor* x, at::Tensor* weight, at::Tensor* bias, at::Tensor* shortcut, at::Tensor* keep, at::Tensor* running_mean,
    at::Tensor* running_variance, int activation, double momentum, double epsilon, at::Tensor** y, char** message) {
  return guarded(message, [&] {
    const NormSettings settings = {static_cast<tfnas::Activation>(activation), momentum, epsilon};
    *y = new at::Tensor(fused_batch_norm(
        *x, optional(weight), optional(bias), optional(shortcut), optional(keep), optional(running_mean),
        optional(running_variance), settings));
  });
}

bool tfnas_kernels_squeeze_excite(
    at::Tensor* x, at::Tensor* reduce_weight, at::Tensor* reduce_bias, at::Tensor* expand_weight, at::Tensor* expand_bias,
    int activation, at::Tensor** y, char** message) {
  return guarded(message, [&] {
    *y = new at::Tensor(fused_squeeze_excite(
        *x, *reduce_weight, *reduce_bias, *expand_weight, *expand_bias, static_cast<tfnas::Activation>(activation)));
  });
}

bool tfnas_kernels_depthwise(
    at::Tensor* x, at::Tensor* weight, at::Tensor* bias, int64_t stride, int activation, at::Tensor** y, char** message) {
  return guarded(message, [&] {
    *y = new at::Tensor(
        fused_depthwise(*x, *weight, optional(bias), stride, static_cast<tfnas::Activation>(activation)));
  });
}

bool tfnas_kernels_frozen_pointwise(at::Tensor* x, at::Tensor* weight, at::Tensor** y, char** message) {
  return guarded(message, [&] { *y = new at::Tensor(frozen_pointwise(*x, *weight)); });
}
}
