#include "kernels.hpp"

#ifdef __AVX512F__

#include "avx512.hpp"

#include "table.hpp"

namespace tfnas {

const Kernels* avx512_kernels() {
  static constexpr Kernels kernels = {kLanes, map_kernels<float>, map_kernels<Bf16>};
  return &kernels;
}

}  // namespace tfnas

#else

namespace tfnas {

const Kernels* avx512_kernels() { return nullptr; }

}  // namespace tfnas

#endif
