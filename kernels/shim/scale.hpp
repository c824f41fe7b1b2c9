// Passes over feature maps for squeeze-excite. Sums and factors are those of one sample.

#pragma once

#include "norm.hpp"

namespace {

// Adds the sum of all rows, of x or of x * dy, to `sum`, per channel.
template <bool kProduct>
inline void sum_rows(const float* x, const float* dy, int64_t rows, int64_t channels, double* sum) {
  constexpr int64_t half = kLanes / 2;
  for_row_groups(0, rows, [&](int64_t row, auto group) {
    for_columns(channels, [&](int64_t c, auto part) {
      Doubles sum_low = load(sum + c), sum_high = load(sum + c + half);
      prefetch_rows(x, channels, row, c, group);
      if constexpr (kProduct) {
        prefetch_rows(dy, channels, row, c, group);
      }
#pragma GCC unroll 8
      for (int64_t i = 0; i < group.count; ++i) {
        const int64_t here = (row + i) * channels + c;
        const Floats value = load(x + here, part);
        if constexpr (kProduct) {
          const Floats other = load(dy + here, part);
          sum_low = fused(low(value), low(other), sum_low);
          sum_high = fused(high(value), high(other), sum_high);
        } else {
          sum_low = sum_low + low(value);
          sum_high = sum_high + high(value);
        }
      }
      store(sum + c, sum_low);
      store(sum + c + half, sum_high);
    });
  });
}

void sum_rows(const float* x, const float* dy, int64_t rows, int64_t channels, double* sum) {
  if (dy == nullptr) {
    sum_rows<false>(x, nullptr, rows, channels, sum);
  } else {
    sum_rows<true>(x, dy, rows, channels, sum);
  }
}

// out = x * scale + shift; no shift if it is null.
void scale_rows(
    const float* x, int64_t rows, int64_t channels, const float* scale, const float* shift, float* out) {
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t at = row * channels;
    for_columns(channels, [&](int64_t c, auto part) {
      const Floats value = load(x + at + c, part), factor = load(scale + c, part);
      store(out + at + c, shift == nullptr ? value * factor : fused(value, factor, load(shift + c, part)), part);
    });
  }
}

}  // namespace
