#include "kernels.hpp"

#ifdef __AVX2__

#include "avx2.hpp"

#include "depthwise.hpp"
#include "norm.hpp"
#include "scale.hpp"

namespace tfnas {

const Kernels* avx2_kernels() {
  static const Kernels kernels = {kLanes, moments, normalize, reduce, gradient, sum_rows, scale_rows, depthwise, depthwise_weight};
  return &kernels;
}

}  // namespace tfnas

#else

namespace tfnas {

const Kernels* avx2_kernels() { return nullptr; }

}  // namespace tfnas

#endif
