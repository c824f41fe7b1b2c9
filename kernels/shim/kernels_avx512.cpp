#include "kernels.hpp"

#ifdef __AVX512F__

#include "avx512.hpp"

#include "depthwise.hpp"
#include "norm.hpp"
#include "scale.hpp"

namespace tfnas {

const Kernels* avx512_kernels() {
  static const Kernels kernels = {kLanes, moments, normalize, reduce, gradient, sum_rows, scale_rows, depthwise, depthwise_weight};
  return &kernels;
}

}  // namespace tfnas

#else

namespace tfnas {

const Kernels* avx512_kernels() { return nullptr; }

}  // namespace tfnas

#endif
