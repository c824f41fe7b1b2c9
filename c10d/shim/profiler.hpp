// Recording of operations with libtorch's profiler, Kineto.

#pragma once

#include <ATen/record_function.h>
#include <c10/core/DeviceType.h>
#include <torch/csrc/autograd/profiler_kineto.h>

#include <memory>

#include "guard.hpp"

// Same values as in `src/profiler/event.rs`.
enum EventKind : int { kOperation = 0, kScope = 1, kKernel = 2 };

// Called with one event; times in nanoseconds.
using EventVisitor =
    void (*)(void* context, const char* name, int kind, uint64_t thread, uint64_t start_ns, uint64_t end_ns);

inline torch::profiler::impl::ProfilerConfig profiler_config() {
  // Only names and times: neither shapes, nor memory, nor stacks.
  return torch::profiler::impl::ProfilerConfig(torch::profiler::impl::ProfilerState::KINETO);
}

inline EventKind kind_of(const torch::autograd::profiler::KinetoEvent& event) {
  if (event.deviceType() != c10::DeviceType::CPU) {
    return kKernel;
  }
  return event.scope() == static_cast<uint8_t>(at::RecordScope::USER_SCOPE) ? kScope : kOperation;
}

extern "C" {

// Records the operations of this thread, those of its backward passes, and with `cuda` the kernels of all CUDA devices.
Outcome c10d_profiler_start(bool cuda, char** message) {
  return guarded(message, [&] {
    using torch::profiler::impl::ActivityType;
    std::set<ActivityType> activities = {ActivityType::CPU};
    if (cuda) {
      activities.insert(ActivityType::CUDA);
    }
    torch::autograd::profiler::prepareProfiler(profiler_config(), activities);
    torch::autograd::profiler::enableProfiler(
        profiler_config(), activities,
        {at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION, at::RecordScope::USER_SCOPE});
  });
}

// Ends the recording, writes a Chrome trace to `path`, and visits the events. The visitor must not throw.
Outcome c10d_profiler_stop(const char* path, EventVisitor visit, void* context, char** message) {
  return guarded(message, [&] {
    const auto result = torch::autograd::profiler::disableProfiler();
    TORCH_CHECK(result != nullptr, "nothing was recorded");
    // A recording is discarded without a path. Kineto writes another file and renames it, so that saving to /dev/null would replace
    // the device.
    if (path != nullptr) {
      result->save(path);
    }
    for (const auto& event : result->events()) {
      // A range of a scope on the device is no kernel of its own.
      constexpr uint8_t gpu_user_annotation = 2;
      if (event.isHiddenEvent() || event.activityType() == gpu_user_annotation) {
        continue;
      }
      const auto name = event.name();
      visit(context, name.c_str(), kind_of(event), event.startThreadId(), event.startNs(), event.endNs());
    }
  });
}

// Begins a named scope on this thread; `*scope` is null if nothing is being recorded.
Outcome c10d_scope_begin(const char* name, at::RecordFunction** scope, char** message) {
  return guarded(message, [&] {
    *scope = nullptr;
    auto guard = std::make_unique<at::RecordFunction>(at::RecordScope::USER_SCOPE);
    if (guard->isActive()) {
      guard->before(name);
      *scope = guard.release();
    }
  });
}

// Scopes end in reverse order, on the thread that began them.
void c10d_scope_end(at::RecordFunction* scope) {
  destroy(scope);
}

} // extern "C"
