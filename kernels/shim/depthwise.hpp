// Depthwise convolutions on padded planes of one vector of channels.

#pragma once

#include "columns.hpp"

namespace {

using tfnas::DepthwiseStrip;

// Calls `body(Whole)` or `body(Part)` for a block of channels.
template <class Body>
inline void with_part(int64_t channels, const Body& body) {
  if (channels == kLanes) {
    body(Whole{});
  } else {
    body(Part{channels});
  }
}

void fill_plane(
    const float* x, int64_t row, int64_t pixel, int64_t channels, int64_t rows, int64_t columns, float* plane,
    int64_t plane_width, int64_t step) {
  with_part(channels, [&](auto part) {
    for (int64_t i = 0; i < rows; ++i) {
      const float* from = x + i * row;
      float* to = plane + i * step * plane_width * kLanes;
      for (int64_t j = 0; j < columns; ++j) {
        store(to + j * step * kLanes, load(from + j * pixel, part));
      }
    }
  });
}

// The most columns of the output that are computed together, in registers.
constexpr int64_t kTile = 8;

template <int64_t kColumns, int64_t kStride, Activation kActivation, class Part>
inline void depthwise_tile(const DepthwiseStrip& strip, const float* plane, float* out, Part part) {
  Floats sums[kColumns];
  const Floats start = strip.bias == nullptr ? all(0.0f) : load(strip.bias);
#pragma GCC unroll 8
  for (int64_t t = 0; t < kColumns; ++t) {
    sums[t] = start;
  }
  for (int64_t top = strip.tap_top; top < strip.tap_bottom; ++top) {
    const float* row = plane + top * strip.plane_width * kLanes;
    const float* weights = strip.weight + top * strip.kernel * kLanes;
    for (int64_t left = strip.tap_left; left < strip.tap_right; ++left) {
      const Floats weight = load(weights + left * kLanes);
      const float* p = row + left * kLanes;
#pragma GCC unroll 8
      for (int64_t t = 0; t < kColumns; ++t) {
        sums[t] = fused(load(p + t * kStride * kLanes), weight, sums[t]);
      }
    }
  }
#pragma GCC unroll 8
  for (int64_t t = 0; t < kColumns; ++t) {
    store(out + t * strip.pixel, activate<kActivation>(sums[t]), part);
  }
}

template <int64_t kColumns, int64_t kStride, Activation kActivation>
void depthwise_as(const DepthwiseStrip& strip) {
  with_part(strip.channels, [&](auto part) {
    for (int64_t row = 0; row < strip.rows; ++row) {
      const float* plane = strip.plane + row * kStride * strip.plane_width * kLanes;
      float* out = strip.out + row * strip.columns * strip.pixel;
      for (int64_t column = 0; column < strip.columns; column += kColumns) {
        // The last tile may overlap the one before it, and computes the same numbers again.
        const int64_t last = strip.columns - kColumns;
        const int64_t first = column < last ? column : last;
        depthwise_tile<kColumns, kStride, kActivation>(
            strip, plane + first * kStride * kLanes, out + first * strip.pixel, part);
      }
    }
  });
}

template <int64_t kStride, Activation kActivation>
void depthwise_of_stride(const DepthwiseStrip& strip) {
  const int64_t tiles = (strip.columns + kTile - 1) / kTile;
  switch ((strip.columns + tiles - 1) / tiles) {
    case 1:
      return depthwise_as<1, kStride, kActivation>(strip);
    case 2:
      return depthwise_as<2, kStride, kActivation>(strip);
    case 3:
      return depthwise_as<3, kStride, kActivation>(strip);
    case 4:
      return depthwise_as<4, kStride, kActivation>(strip);
    case 5:
      return depthwise_as<5, kStride, kActivation>(strip);
    case 6:
      return depthwise_as<6, kStride, kActivation>(strip);
    case 7:
      return depthwise_as<7, kStride, kActivation>(strip);
    default:
      return depthwise_as<8, kStride, kActivation>(strip);
  }
}

void depthwise(const DepthwiseStrip& strip) {
  with_activation(strip.activation, [&]<Activation kActivation>() {
    if (strip.stride == 1) {
      depthwise_of_stride<1, kActivation>(strip);
    } else {
      depthwise_of_stride<2, kActivation>(strip);
    }
  });
}

// So many products at most are added in f32, before the sum is added in f64.
constexpr int64_t kProducts = 128;

template <int64_t kKernel, class Part>
void depthwise_weight_as(const DepthwiseStrip& strip, const float* dy, int64_t dy_row, double* sums, Part part) {
  const int64_t most_rows = kProducts / strip.columns, rows_together = most_rows < 1 ? 1 : most_rows;
  for (int64_t begin = 0; begin < strip.rows; begin += rows_together) {
    const int64_t end = begin + rows_together < strip.rows ? begin + rows_together : strip.rows;
    for (int64_t top = strip.tap_top; top < strip.tap_bottom; ++top) {
      Floats products[kKernel];
#pragma GCC unroll 7
      for (int64_t left = 0; left < kKernel; ++left) {
        products[left] = all(0.0f);
      }
      for (int64_t row = begin; row < end; ++row) {
        const float* p = strip.plane + (row * strip.stride + top) * strip.plane_width * kLanes;
        const float* gradient = dy + row * dy_row;
        for (int64_t column = 0; column < strip.columns; ++column) {
          const Floats dz = load(gradient + column * strip.pixel, part);
          const float* pixel = p + column * strip.stride * kLanes;
#pragma GCC unroll 7
          for (int64_t left = 0; left < kKernel; ++left) {
            products[left] = fused(load(pixel + left * kLanes), dz, products[left]);
          }
        }
      }
#pragma GCC unroll 7
      for (int64_t left = 0; left < kKernel; ++left) {
        add_to(sums + (top * kKernel + left) * kLanes, products[left]);
      }
    }
  }
}

void depthwise_weight(const DepthwiseStrip& strip, const float* dy, int64_t dy_row, double* sums) {
  with_part(strip.channels, [&](auto part) {
    switch (strip.kernel) {
      case 3:
        return depthwise_weight_as<3>(strip, dy, dy_row, sums, part);
      case 5:
        return depthwise_weight_as<5>(strip, dy, dy_row, sums, part);
      default:
        return depthwise_weight_as<7>(strip, dy, dy_row, sums, part);
    }
  });
}

}  // namespace
