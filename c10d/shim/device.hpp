// CUDA functions that tch lacks: numerics, memory, events, asynchronous copies, and multi-tensor operations. All use
// libtorch's device-independent API, so no CUDA headers are needed.

#pragma once

#include <ATen/Context.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_sgd.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "guard.hpp"

inline c10::Device cuda_device(int8_t index) {
  return c10::Device(at::kCUDA, index);
}

inline c10::Stream current_stream(c10::Device device) {
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device);
}

inline std::vector<at::Tensor> tensor_list(at::Tensor** tensors, size_t count) {
  std::vector<at::Tensor> list;
  list.reserve(count);
  for (size_t index = 0; index < count; ++index) {
    list.push_back(*tensors[index]);
  }
  return list;
}

// Returns the values with the strides of `like`, as required by multi-tensor kernels.
inline at::Tensor laid_out_as(const at::Tensor& tensor, const at::Tensor& like) {
  if (tensor.strides() == like.strides()) {
    return tensor;
  }
  auto laid_out = at::empty_strided(like.sizes(), like.strides(), tensor.options());
  laid_out.copy_(tensor);
  return laid_out;
}

#ifdef TFNAS_CUDA
namespace at::cuda {
int warp_size();
} // namespace at::cuda
#endif

extern "C" {

// Whether libtorch_cuda is linked. Programs call none of its functions by name, so the linker would drop it, and
// libtorch would find no CUDA device; the reference in this function keeps it.
bool c10d_cuda_is_linked() {
#ifdef TFNAS_CUDA
  static int (*const volatile reference)() = &at::cuda::warp_size;
  return reference != nullptr;
#else
  return false;
#endif
}

// Sets deterministic algorithms for f32 convolutions and matrix products, in TF32 or in IEEE f32.
Outcome c10d_cuda_numerics(bool tf32, char** message) {
  return guarded(message, [&] {
    auto& context = at::globalContext();
    context.setDeterministicCuDNN(true);
    context.setBenchmarkCuDNN(false);
    context.setAllowTF32CuDNN(tf32);
    context.setAllowTF32CuBLAS(tf32);
  });
}

Outcome c10d_cuda_peak_memory(int8_t device, uint64_t* bytes, char** message) {
  return guarded(message, [&] {
    const auto aggregate = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    const auto stats = c10::getDeviceAllocator(at::kCUDA)->getDeviceStats(device);
    *bytes = static_cast<uint64_t>(stats.allocated_bytes[aggregate].peak);
  });
}

Outcome c10d_cuda_reset_peak_memory(int8_t device, char** message) {
  return guarded(message, [&] { c10::getDeviceAllocator(at::kCUDA)->resetPeakStats(device); });
}

// Records an event with timing in the device's current stream.
Outcome c10d_event_record(int8_t device, c10::Event** event, char** message) {
  return guarded(message, [&] {
    auto made = std::make_unique<c10::Event>(at::kCUDA, c10::EventFlag::BACKEND_DEFAULT);
    made->record(current_stream(cuda_device(device)));
    *event = made.release();
  });
}

void c10d_event_free(c10::Event* event) {
  destroy(event);
}

// Synchronizes with the later event.
Outcome c10d_event_elapsed_ms(c10::Event* start, c10::Event* end, double* milliseconds, char** message) {
  return guarded(message, [&] {
    end->synchronize();
    *milliseconds = start->elapsedTime(*end);
  });
}

Outcome c10d_copy_stream_new(int8_t device, c10::Stream** stream, char** message) {
  return guarded(message, [&] {
    const auto of_pool = c10::impl::VirtualGuardImpl(at::kCUDA).getStreamFromGlobalPool(cuda_device(device));
    *stream = std::make_unique<c10::Stream>(of_pool).release();
  });
}

void c10d_copy_stream_free(c10::Stream* stream) {
  destroy(stream);
}

// Queues a copy of `source`, a CPU tensor in pinned memory, on the stream; `done` is an event recorded after it.
Outcome c10d_copy_begin(
    c10::Stream* stream, at::Tensor* source, at::Tensor** copy, c10::Event** done, char** message) {
  return guarded(message, [&] {
    c10::StreamGuard guard(*stream);
    auto made = std::make_unique<at::Tensor>(source->to(stream->device(), source->scalar_type(), true));
    auto event = std::make_unique<c10::Event>(at::kCUDA);
    event->record(*stream);
    *copy = made.release();
    *done = event.release();
  });
}

// Makes the current stream wait for the copy, and keeps the copy's memory allocated until that stream has used it.
Outcome c10d_copy_await(at::Tensor* copy, c10::Event* done, char** message) {
  return guarded(message, [&] {
    const auto current = current_stream(copy->device());
    done->block(current);
    copy->record_stream(current);
  });
}

// One step of SGD for parameters on one CUDA device. `is_first`: the buffers are uninitialized.
Outcome c10d_fused_sgd(
    at::Tensor** parameters, at::Tensor** gradients, at::Tensor** buffers, size_t count, double rate, double momentum,
    double weight_decay, bool is_first, char** message) {
  return guarded(message, [&] {
    at::NoGradGuard no_grad;
    auto moved = tensor_list(parameters, count);
    std::vector<at::Tensor> along;
    along.reserve(count);
    for (size_t index = 0; index < count; ++index) {
      along.push_back(laid_out_as(*gradients[index], moved[index]));
    }
    auto momenta = momentum == 0 ? std::vector<at::Tensor>{} : tensor_list(buffers, count);
    at::_fused_sgd_(moved, along, momenta, weight_decay, momentum, rate, 0.0, false, false, is_first);
  });
}

// Returns the Euclidean norm of all gradients, `[]` f32. If `max_norm` is above 0, also returns the gradients scaled by
// max_norm / (norm + epsilon), at most 1.
Outcome c10d_clip(
    at::Tensor** gradients, size_t count, double max_norm, double epsilon, at::Tensor** norm, at::Tensor** clipped,
    char** message) {
  return guarded(message, [&] {
    at::NoGradGuard no_grad;
    const auto list = tensor_list(gradients, count);
    auto total = std::make_unique<at::Tensor>(at::stack(at::_foreach_norm(list)).norm());
    std::vector<std::unique_ptr<at::Tensor>> made;
    if (max_norm > 0) {
      const auto factor = (max_norm / (*total + epsilon)).clamp_max(1.0);
      for (auto& scaled : at::_foreach_mul(list, factor)) {
        made.push_back(std::make_unique<at::Tensor>(std::move(scaled)));
      }
    }
    for (size_t index = 0; index < made.size(); ++index) {
      clipped[index] = made[index].release();
    }
    *norm = total.release();
  });
}

} // extern "C"
