// Depthwise convolutions over rows of pixels. All channels of a few pixels are computed before the next pixels, in
// memory order.

#pragma once

#include "columns.hpp"

namespace {

using tfnas::DepthwisePass;
using tfnas::DepthwiseWeightPass;

// Properties shared by all tiles of an output row. Input pixels are `kStep` apart, with zeros in between.
//
// A tile is `kColumns` output columns; the pixels that it reads are held in registers.
template <int64_t kKernel, int64_t kStride, int64_t kStep, int64_t kColumns>
struct Tile {
  static constexpr int64_t kPadding = kKernel / 2;
  static constexpr int64_t kWindow = (kColumns - 1) * kStride + kKernel;
  static_assert(kStep == 1 || (kStride == 1 && kColumns % 2 == 0), "tiles start at an even column where every second one is zero");

  // Whether window column `j` of a tile that starts at an even column is a zero between input pixels.
  static constexpr bool is_gap(int64_t j) { return kStep == 2 && (j + kPadding) % 2 != 0; }

  // Index of the input row that row `top` of the kernel covers for an output row, or -1.
  static int64_t input_row(int64_t row, int64_t top, int64_t height) {
    const int64_t spread = row * kStride + top - kPadding;
    return spread < 0 || spread % kStep != 0 || spread / kStep >= height ? -1 : spread / kStep;
  }

  // Reads the window of a tile from an input row. Columns may be outside only with `kEdge`.
  template <bool kEdge, class T, class Part>
  static inline void read(const T* row, int64_t width, int64_t pixel, int64_t first, Part part, Floats (&window)[kWindow]) {
    const int64_t left = first * kStride - kPadding;
#pragma GCC unroll 32
    for (int64_t j = 0; j < kWindow; ++j) {
      if (!is_gap(j)) {
        const int64_t column = kStep == 1 ? left + j : (left + j) / 2;
        window[j] = !kEdge || (left + j >= 0 && column < width) ? load(row + column * pixel, part) : all(0.0f);
      }
    }
  }

  // Whether a tile and all columns of its window are inside.
  static bool is_inside(int64_t first, int64_t columns, int64_t width) {
    const int64_t left = first * kStride - kPadding, last = left + kWindow - 1;
    return left >= 0 && last / kStep < width && first + kColumns <= columns;
  }
};

// Not inlined, to avoid a copy in every kind of tile.
[[gnu::noinline]] void activate_all(Activation activation, Floats* values, int64_t count) {
  with_activation(activation, [&]<Activation kActivation>() {
#pragma GCC unroll 4
    for (int64_t i = 0; i < count; ++i) {
      values[i] = activate<kActivation>(values[i]);
    }
  });
}

template <class Shape, bool kEdge, int64_t kKernel, int64_t kStride, int64_t kColumns, class T, class Part>
inline void depthwise_tile(
    const DepthwisePass& pass, const T* in, int64_t row, int64_t first, int64_t c, T* out, Part part) {
  Floats sums[kColumns];
  const Floats start = pass.bias == nullptr ? all(0.0f) : load(pass.bias + c, part);
#pragma GCC unroll 8
  for (int64_t t = 0; t < kColumns; ++t) {
    sums[t] = start;
  }
  const float* weights = pass.weight + c * kKernel * kKernel;
  for (int64_t top = 0; top < kKernel; ++top) {
    const int64_t in_row = Shape::input_row(row, top, pass.in_height);
    if (in_row < 0) {
      continue;
    }
    Floats window[Shape::kWindow];
    Shape::template read<kEdge>(
        in + in_row * pass.in_width * pass.channels, pass.in_width, pass.channels, first, part, window);
#pragma GCC unroll 8
    for (int64_t left = 0; left < kKernel; ++left) {
      const Floats weight = load(weights + (top * kKernel + left) * kLanes);
#pragma GCC unroll 8
      for (int64_t t = 0; t < kColumns; ++t) {
        if (!Shape::is_gap(t * kStride + left)) {
          sums[t] = fused(window[t * kStride + left], weight, sums[t]);
        }
      }
    }
  }
  if (pass.activation != Activation::kNone) {
    activate_all(pass.activation, sums, kColumns);
  }
  const int64_t count = kEdge && pass.out_width - first < kColumns ? pass.out_width - first : kColumns;
#pragma GCC unroll 8
  for (int64_t t = 0; t < kColumns; ++t) {
    if (t < count) {
      store(out + t * pass.channels, sums[t], part);
    }
  }
}

template <class T, int64_t kKernel, int64_t kStride, int64_t kStep, int64_t kColumns>
void depthwise_as(const DepthwisePass& pass, int64_t begin, int64_t end) {
  using Shape = Tile<kKernel, kStride, kStep, kColumns>;
  for (int64_t index = begin; index < end; ++index) {
    const int64_t sample = index / pass.out_height, row = index % pass.out_height;
    const T* in = element<T>(pass.in, sample * pass.in_height * pass.in_width * pass.channels);
    T* out = element<T>(pass.out, index * pass.out_width * pass.channels);
    // Start of the input rows that the next output row reads first. Prefetching beyond the input is harmless.
    const T* next = in + ((row + 1) * kStride + kKernel / 2) / kStep * pass.in_width * pass.channels;
    for (int64_t first = 0; first < pass.out_width; first += kColumns) {
      const bool is_inside = Shape::is_inside(first, pass.out_width, pass.in_width);
      const T* ahead = next + first * kStride / kStep * pass.channels;
      for_columns(pass.channels, [&](int64_t c, auto part) {
        prefetch<kColumns * kStride / kStep>(ahead + c * kColumns * kStride / kStep);
        T* tile = out + first * pass.channels + c;
        prefetch<kColumns>(out + (first + kColumns) * pass.channels + c * kColumns);
        if (is_inside) {
          depthwise_tile<Shape, false, kKernel, kStride, kColumns>(pass, in + c, row, first, c, tile, part);
        } else {
          depthwise_tile<Shape, true, kKernel, kStride, kColumns>(pass, in + c, row, first, c, tile, part);
        }
      });
    }
  }
}

// Calls `body(Columns<n>)` with the number of columns per tile that minimizes the time of a row.
template <int64_t kColumns>
struct Columns {
  static constexpr int64_t count = kColumns;
};

template <int64_t kFirst, int64_t... kOthers, class Body>
inline void with_columns(int64_t columns, const Body& body) {
  // The cost of a tile is its number of columns plus one and a half.
  const auto cost = [&](int64_t tile) { return (columns + tile - 1) / tile * (2 * tile + 3); };
  int64_t best = kFirst;
  ((best = cost(kOthers) < cost(best) ? kOthers : best), ...);
  best == kFirst ? body(Columns<kFirst>{}) : (void)((best == kOthers ? (body(Columns<kOthers>{}), true) : false) || ...);
}

template <class T, int64_t kKernel>
void depthwise_of_kernel(const DepthwisePass& pass, int64_t begin, int64_t end) {
  if (pass.step == 2) {
    with_columns<8, 4, 2>(pass.out_width, [&]<int64_t kColumns>(Columns<kColumns>) {
      depthwise_as<T, kKernel, 1, 2, kColumns>(pass, begin, end);
    });
  } else if (pass.stride == 2) {
    with_columns<4, 2, 1>(pass.out_width, [&]<int64_t kColumns>(Columns<kColumns>) {
      depthwise_as<T, kKernel, 2, 1, kColumns>(pass, begin, end);
    });
  } else {
    with_columns<8, 7, 4, 2, 1>(pass.out_width, [&]<int64_t kColumns>(Columns<kColumns>) {
      depthwise_as<T, kKernel, 1, 1, kColumns>(pass, begin, end);
    });
  }
}

template <class T>
void depthwise(const DepthwisePass& pass, int64_t begin, int64_t end) {
  if (pass.kernel == 3) {
    depthwise_of_kernel<T, 3>(pass, begin, end);
  } else {
    depthwise_of_kernel<T, 5>(pass, begin, end);
  }
}

template <class Shape, bool kEdge, int64_t kKernel, int64_t kStride, int64_t kColumns, class T, class Part>
inline void weight_tile(
    const DepthwiseWeightPass& pass, const T* x, const T* dy, int64_t row, int64_t first, float* sums, Part part) {
  Floats gradient[kColumns];
#pragma GCC unroll 8
  for (int64_t t = 0; t < kColumns; ++t) {
    gradient[t] = !kEdge || first + t < pass.out_width ? load(dy + t * pass.channels, part) : all(0.0f);
  }
  for (int64_t top = 0; top < kKernel; ++top) {
    const int64_t in_row = Shape::input_row(row, top, pass.in_height);
    if (in_row < 0) {
      continue;
    }
    Floats window[Shape::kWindow];
    Shape::template read<kEdge>(
        x + in_row * pass.in_width * pass.channels, pass.in_width, pass.channels, first, part, window);
    float* here = sums + top * kKernel * kLanes;
    Floats products[kKernel];
#pragma GCC unroll 8
    for (int64_t left = 0; left < kKernel; ++left) {
      products[left] = load(here + left * kLanes);
    }
#pragma GCC unroll 8
    for (int64_t t = 0; t < kColumns; ++t) {
#pragma GCC unroll 8
      for (int64_t left = 0; left < kKernel; ++left) {
        products[left] = fused(window[t * kStride + left], gradient[t], products[left]);
      }
    }
#pragma GCC unroll 8
    for (int64_t left = 0; left < kKernel; ++left) {
      store(here + left * kLanes, products[left]);
    }
  }
}

template <class T, int64_t kKernel, int64_t kStride, int64_t kColumns>
void depthwise_weight_as(
    const DepthwiseWeightPass& pass, int64_t sample, int64_t first_channel, int64_t channels, float* scratch, double* sums) {
  // Up to this many products, or those of one row, are added in f32 before their sum is added in f64.
  constexpr int64_t products = 128;
  using Shape = Tile<kKernel, kStride, 1, kColumns>;
  const int64_t taps = kKernel * kKernel;
  const int64_t rows_together = pass.out_width < products ? products / pass.out_width : 1;
  const T* x = element<T>(pass.x, sample * pass.in_height * pass.in_width * pass.channels + first_channel);
  const T* dy = element<T>(pass.dy, sample * pass.out_height * pass.out_width * pass.channels + first_channel);
  for (int64_t begin = 0; begin < pass.out_height; begin += rows_together) {
    const int64_t end = begin + rows_together < pass.out_height ? begin + rows_together : pass.out_height;
    for_columns(channels, [&](int64_t c, auto) {
      for (int64_t tap = 0; tap < taps; ++tap) {
        store(scratch + c * taps + tap * kLanes, all(0.0f));
      }
    });
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t first = 0; first < pass.out_width; first += kColumns) {
        const bool is_inside = Shape::is_inside(first, pass.out_width, pass.in_width);
        const T* gradient = dy + (row * pass.out_width + first) * pass.channels;
        for_columns(channels, [&](int64_t c, auto part) {
          float* here = scratch + c * taps;
          if (is_inside) {
            weight_tile<Shape, false, kKernel, kStride, kColumns>(pass, x + c, gradient + c, row, first, here, part);
          } else {
            weight_tile<Shape, true, kKernel, kStride, kColumns>(pass, x + c, gradient + c, row, first, here, part);
          }
        });
      }
    }
    for_columns(channels, [&](int64_t c, auto) {
      for (int64_t tap = 0; tap < taps; ++tap) {
        const int64_t at = c * taps + tap * kLanes;
        add_to(sums + at, load(scratch + at));
      }
    });
  }
}

template <class T, int64_t kKernel>
void depthwise_weight_of_kernel(
    const DepthwiseWeightPass& pass, int64_t sample, int64_t first_channel, int64_t channels, float* scratch, double* sums) {
  if (pass.stride == 2) {
    with_columns<4, 2, 1>(pass.out_width, [&]<int64_t kColumns>(Columns<kColumns>) {
      depthwise_weight_as<T, kKernel, 2, kColumns>(pass, sample, first_channel, channels, scratch, sums);
    });
  } else {
    with_columns<8, 7, 4, 2, 1>(pass.out_width, [&]<int64_t kColumns>(Columns<kColumns>) {
      depthwise_weight_as<T, kKernel, 1, kColumns>(pass, sample, first_channel, channels, scratch, sums);
    });
  }
}

template <class T>
void depthwise_weight(
    const DepthwiseWeightPass& pass, int64_t sample, int64_t first_channel, int64_t channels, float* scratch, double* sums) {
  if (pass.kernel == 3) {
    depthwise_weight_of_kernel<T, 3>(pass, sample, first_channel, channels, scratch, sums);
  } else {
    depthwise_weight_of_kernel<T, 5>(pass, sample, first_channel, channels, scratch, sums);
  }
}

}  // namespace
