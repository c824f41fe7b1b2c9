// The inner loops, compiled once for each instruction set.
//
// This header, and everything compiled for an instruction set, includes only integer types of the standard library and
// nothing of torch: otherwise the linker could keep an inline function compiled for a newer processor for all callers.

#pragma once

#include <cstdint>

namespace tfnas {

// A bf16 number: the upper half of an f32 number.
struct Bf16 {
  uint16_t bits;
};

// Same values as in `src/activation.rs`.
enum class Activation : int { kNone = 0, kRelu = 1, kSilu = 2 };

// Feature maps in channels-last order are matrices: a row is a pixel, a column a channel. They are void pointers, because
// all feature maps of a pass have the element type of its table (see `Kernels`). Everything else is f32.
struct NormPass {
  int64_t channels;
  // Rows per sample, for `keep`.
  int64_t sample_rows;
  Activation activation;
  // The input.
  const void* x;
  // Gradient of the output, for the backward pass.
  const void* dy;
  // Added to the output, or null; has the size of x.
  const void* residual;
  // Factor of the normalized value of each sample, or null.
  const float* keep;
  // Per channel: z = (x - mean) * scale + bias.
  const float* mean;
  const float* scale;
  const float* bias;
  // Per channel, for the backward pass: dx = scale * dz + by_x * (x - mean) + constant.
  const float* by_x;
  const float* constant;
  // The output, or the gradient of x.
  void* out;
};

// A depthwise convolution: forward over x, or backward over the output gradient. Padded by half of the kernel size.
struct DepthwisePass {
  int64_t channels, in_height, in_width, out_height, out_width;
  // 3 or 5.
  int64_t kernel;
  // Stride of the convolution, and distance of the input pixels, with zeros in between. One of them is 1, the other 1
  // or 2.
  int64_t stride, step;
  const void* in;
  // Per vector of channels: `kernel * kernel` taps of `lanes` channels each.
  const float* weight;
  // Per channel, or null.
  const float* bias;
  Activation activation;
  void* out;
};

// The gradient of the weights of a depthwise convolution.
struct DepthwiseWeightPass {
  int64_t channels, in_height, in_width, out_height, out_width, kernel, stride;
  const void* x;
  const void* dy;
};

// The loops over feature maps of one element type.
struct MapKernels {
  // Adds the sums of x - shift and of its square to `sum` and `square`, per channel, for rows [begin, end).
  void (*moments)(
      const void* x, int64_t begin, int64_t end, int64_t channels, const float* shift, double* sum, double* square);
  // out = activation(z) * keep + residual, for rows [begin, end).
  void (*normalize)(const NormPass& pass, int64_t begin, int64_t end);
  // Adds the sums of dz and of dz * (x - mean) to `sum` and `product`, per channel, for rows [begin, end).
  void (*reduce)(const NormPass& pass, int64_t begin, int64_t end, double* sum, double* product);
  // Computes the gradient of x for rows [begin, end).
  void (*gradient)(const NormPass& pass, int64_t begin, int64_t end);

  // Adds the sum of x, or of x * dy unless dy is null, to `sum`, per channel, for rows [begin, end).
  void (*sum_rows)(const void* x, const void* dy, int64_t begin, int64_t end, int64_t channels, double* sum);
  // out = x * scale + shift, per channel, for rows [begin, end); `shift` may be null.
  void (*scale_rows)(
      const void* x, int64_t begin, int64_t end, int64_t channels, const float* scale, const float* shift, void* out);

  // Computes rows [begin, end) of the output; the rows of all samples are numbered consecutively.
  void (*depthwise)(const DepthwisePass& pass, int64_t begin, int64_t end);
  // Adds the weight gradient of one sample to `sums`, in the order of the weights, for a range of channels (a multiple
  // of `lanes` unless it is the last). `scratch` has the same size.
  void (*depthwise_weight)(
      const DepthwiseWeightPass& pass, int64_t sample, int64_t first_channel, int64_t channels, float* scratch,
      double* sums);
};

struct Kernels {
  // Number of f32 lanes in a vector.
  int64_t lanes;
  // For feature maps of f32 and of bf16. Both compute in f32 and f64, so that the second gives the rounded results of the
  // first.
  MapKernels f32, bf16;
};

// Null if the compiler does not support the instruction set.
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();

}  // namespace tfnas
