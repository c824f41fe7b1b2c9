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

// A depthwise convolution, forward over x, or backward over the gradient of the output. Padded by half of the kernel.
struct DepthwisePass {
  int64_t channels, in_height, in_width, out_height, out_width;
  // 3 or 5.
  int64_t kernel;
  // Of the convolution; and how far the pixels of the input are apart, with zeros between. One of them is 1, the other 1 or 2.
  int64_t stride, step;
  const float* in;
  // By vector of channels: `kernel * kernel` taps of `lanes` channels each.
  const float* weight;
  // By channel, or null.
  const float* bias;
  Activation activation;
  float* out;
};

// The gradient of its weights.
struct DepthwiseWeightPass {
  int64_t channels, in_height, in_width, out_height, out_width, kernel, stride;
  const float* x;
  const float* dy;
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

  // Adds the sum of rows of x, or of x * dy if that is not null, to `sum`, by channel.
  void (*sum_rows)(const float* x, const float* dy, int64_t rows, int64_t channels, double* sum);
  // out = x * scale + shift, by channel; `shift` may be null.
  void (*scale_rows)(
      const float* x, int64_t rows, int64_t channels, const float* scale, const float* shift, float* out);

  // Rows [begin, end) of the output, of all samples one after the other.
  void (*depthwise)(const DepthwisePass& pass, int64_t begin, int64_t end);
  // Adds the gradient of the weights of some channels, a multiple of `lanes` unless they are the last, of one sample to `sums`, in the
  // order of the weights. `scratch` is as large.
  void (*depthwise_weight)(
      const DepthwiseWeightPass& pass, int64_t sample, int64_t first_channel, int64_t channels, float* scratch,
      double* sums);
};

// Null where the compiler does not know the instruction set.
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();

}  // namespace tfnas
