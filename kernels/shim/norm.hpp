// Passes over feature maps for batch norm with activation.

#pragma once

#include "columns.hpp"

namespace {

using tfnas::NormPass;

// Number of rows whose sums are accumulated in registers before they are added in memory.
constexpr int64_t kTogether = 8;

template <int64_t kCount>
struct Group {
  static constexpr int64_t count = kCount;
};

// Calls `body(first row, group)` for groups of several rows, and for single rows at the end.
template <class Body>
inline void for_row_groups(int64_t begin, int64_t end, const Body& body) {
  int64_t row = begin;
  for (; row + kTogether <= end; row += kTogether) {
    body(row, Group<kTogether>{});
  }
  for (; row < end; ++row) {
    body(row, Group<1>{});
  }
}

// Prefetches rows after a group, a part at each column, so that they are requested in memory order.
template <class T, int64_t kRows>
inline void prefetch_rows(const void* x, int64_t channels, int64_t row, int64_t column, Group<kRows>) {
  // Prefetch distance of 32 KiB, so that the data is in the L2 cache when needed.
  constexpr int64_t ahead = 32768 / sizeof(T);
  prefetch<kRows>(element<T>(x, row * channels + column * kRows + ahead));
}

template <class T>
void moments(
    const void* x, int64_t begin, int64_t end, int64_t channels, const float* shift, double* sum, double* square) {
  constexpr int64_t half = kLanes / 2;
  for_row_groups(begin, end, [&](int64_t row, auto group) {
    for_columns(channels, [&](int64_t c, auto part) {
      const Floats s = load(shift + c, part);
      const Doubles s_low = low(s), s_high = high(s);
      Doubles sum_low = load(sum + c), sum_high = load(sum + c + half);
      Doubles square_low = load(square + c), square_high = load(square + c + half);
      const T* p = element<T>(x, row * channels + c);
      prefetch_rows<T>(x, channels, row, c, group);
#pragma GCC unroll 8
      for (int64_t i = 0; i < group.count; ++i) {
        const Floats value = load(p + i * channels, part);
        const Doubles d_low = low(value) - s_low, d_high = high(value) - s_high;
        sum_low = sum_low + d_low;
        sum_high = sum_high + d_high;
        square_low = fused(d_low, d_low, square_low);
        square_high = fused(d_high, d_high, square_high);
      }
      store(sum + c, sum_low);
      store(sum + c + half, sum_high);
      store(square + c, square_low);
      store(square + c + half, square_high);
    });
  });
}

template <class T, Activation kActivation, bool kResidual, bool kKeep>
void normalize_as(const NormPass& pass, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const Floats keep = all(kKeep ? pass.keep[row / pass.sample_rows] : 1.0f);
    const int64_t at = row * pass.channels;
    for_columns(pass.channels, [&](int64_t c, auto part) {
      const Floats centered = load(element<T>(pass.x, at + c), part) - load(pass.mean + c, part);
      Floats y = activate<kActivation>(fused(centered, load(pass.scale + c, part), load(pass.bias + c, part)));
      if constexpr (kResidual && kKeep) {
        y = fused(y, keep, load(element<T>(pass.residual, at + c), part));
      } else if constexpr (kResidual) {
        y = y + load(element<T>(pass.residual, at + c), part);
      }
      store(element<T>(pass.out, at + c), y, part);
    });
  }
}

// `keep` without `residual` does not occur.
template <class T>
void normalize(const NormPass& pass, int64_t begin, int64_t end) {
  with_activation(pass.activation, [&]<Activation kActivation>() {
    if (pass.residual == nullptr) {
      normalize_as<T, kActivation, false, false>(pass, begin, end);
    } else if (pass.keep == nullptr) {
      normalize_as<T, kActivation, true, false>(pass, begin, end);
    } else {
      normalize_as<T, kActivation, true, true>(pass, begin, end);
    }
  });
}

// Computes the gradient of the normalized values at a position of a feature map.
template <class T, Activation kActivation, bool kKeep>
struct Gradients {
  struct Values {
    Floats centered, dz;
  };

  // The factor of the row's sample.
  static inline float keep(const NormPass& pass, int64_t row) {
    return kKeep ? pass.keep[row / pass.sample_rows] : 1.0f;
  }

  template <class Part>
  static inline Values at(const NormPass& pass, float keep, int64_t row, int64_t c, Part part) {
    const int64_t here = row * pass.channels + c;
    const Floats centered = load(element<T>(pass.x, here), part) - load(pass.mean + c, part);
    Floats dz = load(element<T>(pass.dy, here), part);
    if constexpr (kKeep) {
      dz = dz * all(keep);
    }
    if constexpr (kActivation != Activation::kNone) {
      const Floats z = fused(centered, load(pass.scale + c, part), load(pass.bias + c, part));
      dz = activation_gradient<kActivation>(z, dz);
    }
    return {centered, dz};
  }
};

template <class T, class Body>
inline void with_gradients(const NormPass& pass, const Body& body) {
  with_activation(pass.activation, [&]<Activation kActivation>() {
    if (pass.keep == nullptr) {
      body.template operator()<Gradients<T, kActivation, false>>();
    } else {
      body.template operator()<Gradients<T, kActivation, true>>();
    }
  });
}

template <class T>
void reduce(const NormPass& pass, int64_t begin, int64_t end, double* sum, double* product) {
  constexpr int64_t half = kLanes / 2;
  with_gradients<T>(pass, [&]<class From>() {
    for_row_groups(begin, end, [&](int64_t row, auto group) {
      float keep[kTogether];
      for (int64_t i = 0; i < group.count; ++i) {
        keep[i] = From::keep(pass, row + i);
      }
      for_columns(pass.channels, [&](int64_t c, auto part) {
        Doubles sum_low = load(sum + c), sum_high = load(sum + c + half);
        Doubles product_low = load(product + c), product_high = load(product + c + half);
        prefetch_rows<T>(pass.x, pass.channels, row, c, group);
        prefetch_rows<T>(pass.dy, pass.channels, row, c, group);
#pragma GCC unroll 8
        for (int64_t i = 0; i < group.count; ++i) {
          const auto [centered, dz] = From::at(pass, keep[i], row + i, c, part);
          const Doubles dz_low = low(dz), dz_high = high(dz);
          sum_low = sum_low + dz_low;
          sum_high = sum_high + dz_high;
          product_low = fused(dz_low, low(centered), product_low);
          product_high = fused(dz_high, high(centered), product_high);
        }
        store(sum + c, sum_low);
        store(sum + c + half, sum_high);
        store(product + c, product_low);
        store(product + c + half, product_high);
      });
    });
  });
}

template <class T>
void gradient(const NormPass& pass, int64_t begin, int64_t end) {
  with_gradients<T>(pass, [&]<class From>() {
    for (int64_t row = begin; row < end; ++row) {
      const float keep = From::keep(pass, row);
      for_columns(pass.channels, [&](int64_t c, auto part) {
        const auto [centered, dz] = From::at(pass, keep, row, c, part);
        const Floats rest = fused(load(pass.by_x + c, part), centered, load(pass.constant + c, part));
        store(element<T>(pass.out, row * pass.channels + c), fused(load(pass.scale + c, part), dz, rest), part);
      });
    }
  });
}

}  // namespace
