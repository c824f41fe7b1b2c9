// Autocast and the unscaling of gradients.

#pragma once

#include <ATen/autocast_mode.h>
#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>

#include "guard.hpp"

// The state of autocast before a guard, for one device type on one thread.
struct AutocastBefore {
  int8_t device_type;
  bool enabled;
  int8_t dtype;
};

extern "C" {

// `dtype`: a `c10::ScalarType`. Undo with `c10d_autocast_leave` on the same thread, in reverse order.
Outcome c10d_autocast_enter(bool is_cuda, int8_t dtype, AutocastBefore* before, char** message) {
  return guarded(message, [&] {
    const auto device = is_cuda ? at::kCUDA : at::kCPU;
    *before = {
        static_cast<int8_t>(device), at::autocast::is_autocast_enabled(device),
        static_cast<int8_t>(at::autocast::get_autocast_dtype(device))};
    at::autocast::set_autocast_dtype(device, static_cast<at::ScalarType>(dtype));
    at::autocast::set_autocast_enabled(device, true);
    at::autocast::increment_nesting();
  });
}

void c10d_autocast_leave(const AutocastBefore* before) {
  char* message = nullptr;
  guarded(&message, [&] {
    const auto device = static_cast<at::DeviceType>(before->device_type);
    // The cached lower-precision copies of weights live as long as the outermost guard.
    if (at::autocast::decrement_nesting() == 0) {
      at::autocast::clear_cache();
    }
    at::autocast::set_autocast_enabled(device, before->enabled);
    at::autocast::set_autocast_dtype(device, static_cast<at::ScalarType>(before->dtype));
  });
  std::free(message);
}

// Multiplies the gradients in place; writes 1 to `found_inf`, `[1]` f32, if an entry is not finite.
Outcome c10d_unscale(
    at::Tensor** gradients, size_t count, at::Tensor* found_inf, at::Tensor* inverse_scale, char** message) {
  return guarded(message, [&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> list;
    for (size_t index = 0; index < count; ++index) {
      list.push_back(*gradients[index]);
    }
    at::_amp_foreach_non_finite_check_and_unscale_(list, *found_inf, *inverse_scale);
  });
}

} // extern "C"
