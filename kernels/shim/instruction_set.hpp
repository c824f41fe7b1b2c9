// Selects the compiled kernels to run.

#pragma once

#include <atomic>

#include "kernels.hpp"

// Same values as in `src/instruction_set.rs`.
enum class InstructionSet : int { kNone = 0, kAvx2 = 1, kAvx512 = 2 };

// Returns the kernels of an instruction set, or null if this processor does not support it.
inline const tfnas::Kernels* find_kernels(InstructionSet set) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  switch (set) {
    case InstructionSet::kAvx2:
      return has_avx2 ? tfnas::avx2_kernels() : nullptr;
    case InstructionSet::kAvx512:
      return has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")
          ? tfnas::avx512_kernels()
          : nullptr;
    default:
      return nullptr;
  }
#else
  (void)set;
  return nullptr;
#endif
}

struct SelectedKernels {
  std::atomic<InstructionSet> set;
  std::atomic<const tfnas::Kernels*> kernels;

  SelectedKernels() {
    for (const auto candidate : {InstructionSet::kAvx512, InstructionSet::kAvx2}) {
      if (const auto* found = find_kernels(candidate)) {
        set = candidate;
        kernels = found;
        return;
      }
    }
    set = InstructionSet::kNone;
    kernels = nullptr;
  }
};

inline SelectedKernels& selected_kernels() {
  static SelectedKernels value;
  return value;
}

// The selected kernels, or null.
inline const tfnas::Kernels* kernels() { return selected_kernels().kernels.load(std::memory_order_acquire); }
