// Passes over feature maps for squeeze-excite. Rows of all samples are numbered consecutively; sums and factors are those
// of one sample.

#pragma once

#include "norm.hpp"

namespace {

// Adds the sum of rows [begin, end), of x or of x * dy, to `sum`, per channel.
template <class T, bool kProduct>
inline void sum_rows_as(
    const void* x, const void* dy, int64_t begin, int64_t end, int64_t channels, double* sum) {
  constexpr int64_t half = kLanes / 2;
  for_row_groups(begin, end, [&](int64_t row, auto group) {
    for_columns(channels, [&](int64_t c, auto part) {
      Doubles sum_low = load(sum + c), sum_high = load(sum + c + half);
      prefetch_rows<T>(x, channels, row, c, group);
      if constexpr (kProduct) {
        prefetch_rows<T>(dy, channels, row, c, group);
      }
#pragma GCC unroll 8
      for (int64_t i = 0; i < group.count; ++i) {
        const int64_t here = (row + i) * channels + c;
        const Floats value = load(element<T>(x, here), part);
        if constexpr (kProduct) {
          const Floats other = load(element<T>(dy, here), part);
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

template <class T>
void sum_rows(const void* x, const void* dy, int64_t begin, int64_t end, int64_t channels, double* sum) {
  if (dy == nullptr) {
    sum_rows_as<T, false>(x, nullptr, begin, end, channels, sum);
  } else {
    sum_rows_as<T, true>(x, dy, begin, end, channels, sum);
  }
}

// out = x * scale + shift; no shift if it is null.
template <class T>
void scale_rows(
    const void* x, int64_t begin, int64_t end, int64_t channels, const float* scale, const float* shift, void* out) {
  for (int64_t row = begin; row < end; ++row) {
    const int64_t at = row * channels;
    for_columns(channels, [&](int64_t c, auto part) {
      const Floats value = load(element<T>(x, at + c), part), factor = load(scale + c, part);
      const Floats scaled = shift == nullptr ? value * factor : fused(value, factor, load(shift + c, part));
      store(element<T>(out, at + c), scaled, part);
    });
  }
}

}  // namespace
