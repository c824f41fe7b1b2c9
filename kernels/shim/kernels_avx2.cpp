#include "kernels.hpp"

#ifdef __AVX2__

#include "avx2.hpp"

#include "table.hpp"

namespace tfnas {

const Kernels* avx2_kernels() {
  static constexpr Kernels kernels = {kLanes, map_kernels<float>, map_kernels<Bf16>};
  return &kernels;
}

}  // namespace tfnas

#else

namespace tfnas {

const Kernels* avx2_kernels() { return nullptr; }

}  // namespace tfnas

#endif
