// The loops over memory, compiled once for each instruction set.
//
// This header, and what is compiled for an instruction set, includes nothing of torch or of the standard library but integer types:
// an inline function compiled for a newer processor could otherwise be the one that the linker keeps for all.

#pragma once

#include <cstdint>

namespace tfnas {

// As in `src/activation.rs`.
enum class Activation : int { kNone = 0, kRelu = 1, kSilu = 2 };

// Feature maps in channels-last order are matrices: a row is a pixel, a column a channel.
struct NormPass {
  int64_t channels;
  // Rows of one sample, for `keep`.
  int64_t sample_rows;
  Activation activation;
  // What is normalized.
  const float* x;
  // Gradient of the output, for the backward pass.
  const float* dy;
  // What is added to the output, or null; as large as x.
  const float* residual;
  // A factor of the normalized value of each sample, or null.
  const float* keep;
  // By channel: z = (x - mean) * scale + bias.
  const float* mean;
  const float* scale;
  const float* bias;
  // By channel, for the backward pass: dx = scale * dz + by_x * (x - mean) + constant.
  const float* by_x;
  const float* constant;
  // The output, or the gradient of x.
  float* out;
};

// One strip of rows of one sample and one block of channels of a depthwise convolution, on a plane of its own: pixels of `lanes`
// channels, with zeros around.
struct DepthwiseStrip {
  const float* plane;
  // Pixels from one row of the plane to the next.
  int64_t plane_width;
  // The valid taps: rows [tap_top, tap_bottom), columns [tap_left, tap_right) of the kernel.
  int64_t tap_top, tap_bottom, tap_left, tap_right;
  int64_t kernel, stride;
  // Columns of the output, and rows of it in this strip.
  int64_t columns, rows;
  // Weights of this block of channels: `kernel * kernel` taps, `lanes` channels each.
  const float* weight;
  // `lanes` channels, or null.
  const float* bias;
  Activation activation;
  // The first pixel's first channel of the block.
  float* out;
  // Floats from a pixel to the next, and how many channels of the block there are.
  int64_t pixel, channels;
};

struct Kernels {
  // f32 numbers in a vector.
  int64_t lanes;
  // Adds sums of x - shift and of its square to `sum` and `square`, by channel.
  void (*moments)(const float* x, int64_t rows, int64_t channels, const float* shift, double* sum, double* square);
  // out = activation(z) * keep + residual, for rows [begin, end).
  void (*normalize)(const NormPass& pass, int64_t begin, int64_t end);
  // Adds sums of dz and of dz * (x - mean) to `sum` and `product`, by channel, for rows [begin, end).
  void (*reduce)(const NormPass& pass, int64_t begin, int64_t end, double* sum, double* product);
  // The gradient of x, for rows [begin, end).
  void (*gradient)(const NormPass& pass, int64_t begin, int64_t end);

  // Copies `rows` x `columns` pixels of a block of `channels` channels into a plane, `step` pixels and rows apart, in which all else
  // is zero already.
  void (*fill_plane)(
      const float* x, int64_t row, int64_t pixel, int64_t channels, int64_t rows, int64_t columns, float* plane,
      int64_t plane_width, int64_t step);
  void (*depthwise)(const DepthwiseStrip& strip);
  // Adds the products of a plane (of x) and of the gradient of the output at `dy` to `sums`, f64, `kernel * kernel` taps of `lanes`
  // channels each. Of the strip it reads what describes plane, taps, output size, `pixel` and `channels`.
  void (*depthwise_weight)(const DepthwiseStrip& strip, const float* dy, int64_t dy_row, double* sums);
};

// Null where the compiler does not know the instruction set.
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();

}  // namespace tfnas
