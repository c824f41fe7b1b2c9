// Iterates over vectors of channels, the last of which may be partial; activations of vectors.

#pragma once

#include "kernels.hpp"

namespace {

using tfnas::Activation;

// A vector of `kLanes` channels.
struct Whole {};
// The first `count` lanes of a vector.
struct Part {
  int64_t count;
};

template <class T>
inline Floats load(const T* p, Whole) {
  return load(p);
}
template <class T>
inline Floats load(const T* p, Part part) {
  return load(p, part.count);
}
template <class T>
inline void store(T* p, Floats a, Whole) {
  store(p, a);
}
template <class T>
inline void store(T* p, Floats a, Part part) {
  store(p, a, part.count);
}

// An element of a feature map of element type T, float or Bf16.
template <class T>
inline const T* element(const void* map, int64_t index) {
  return static_cast<const T*>(map) + index;
}
template <class T>
inline T* element(void* map, int64_t index) {
  return static_cast<T*>(map) + index;
}

// Calls `body(first channel, Whole or Part)` for each vector of channels.
template <class Body>
inline void for_columns(int64_t channels, const Body& body) {
  int64_t column = 0;
  for (; column + kLanes <= channels; column += kLanes) {
    body(column, Whole{});
  }
  if (column < channels) {
    body(column, Part{channels - column});
  }
}

// Prefetches some vectors. The hardware prefetcher detects only sequential access, but a group of rows or pixels is
// read vector by vector of its channels.
template <int64_t kVectors, class T>
inline void prefetch(const T* p) {
  constexpr int64_t line = 64 / sizeof(T);
#pragma GCC unroll 16
  for (int64_t i = 0; i < (kVectors * kLanes + line - 1) / line; ++i) {
    __builtin_prefetch(p + i * line, /*write=*/0, /*locality: from the second level on=*/2);
  }
}

// Adds a vector to f64 sums of its lanes.
inline void add_to(double* sums, Floats a) {
  constexpr int64_t half = kLanes / 2;
  store(sums, load(sums) + low(a));
  store(sums + half, load(sums + half) + high(a));
}

// e^a, with an error below two units in the last place; `a` is clamped to [-87, 88].
[[gnu::always_inline]] inline Floats exponential(Floats a) {
  a = at_most(at_least(a, all(-87.0f)), all(88.0f));
  const Floats power = round_to_even(a * all(1.44269504088896341f));
  // ln 2 split in two parts, so that the product of the first with a power is exact.
  Floats r = fused(power, all(-0.693359375f), a);
  r = fused(power, all(2.12194440e-4f), r);
  Floats p = all(1.9875691500e-4f);
  p = fused(p, r, all(1.3981999507e-3f));
  p = fused(p, r, all(8.3334519073e-3f));
  p = fused(p, r, all(4.1665795894e-2f));
  p = fused(p, r, all(1.6666665459e-1f));
  p = fused(p, r, all(5.0000001201e-1f));
  p = fused(p, r * r, r) + all(1.0f);
  return p * power_of_two(power);
}

inline Floats sigmoid(Floats z) { return all(1.0f) / (all(1.0f) + exponential(all(0.0f) - z)); }

template <Activation kActivation>
inline Floats activate(Floats z) {
  if constexpr (kActivation == Activation::kRelu) {
    return at_least(z, all(0.0f));
  } else if constexpr (kActivation == Activation::kSilu) {
    return z * sigmoid(z);
  } else {
    return z;
  }
}

// The gradient of z, given the gradient of the activation's output.
template <Activation kActivation>
inline Floats activation_gradient(Floats z, Floats dy) {
  if constexpr (kActivation == Activation::kRelu) {
    return zero_where(is_at_most(z, all(0.0f)), dy);
  } else if constexpr (kActivation == Activation::kSilu) {
    const Floats s = sigmoid(z);
    return dy * fused(z * s, all(1.0f) - s, s);
  } else {
    return dy;
  }
}

// Calls `body<activation>()`.
template <class Body>
inline void with_activation(Activation activation, const Body& body) {
  switch (activation) {
    case Activation::kRelu:
      return body.template operator()<Activation::kRelu>();
    case Activation::kSilu:
      return body.template operator()<Activation::kSilu>();
    default:
      return body.template operator()<Activation::kNone>();
  }
}

}  // namespace
