// Passes over feature maps for batch norm with activation.

#pragma once

#include "columns.hpp"

namespace {

using tfnas::NormPass;

// Rows that are read together: their sums are added in registers, and the numbers of a channel are loaded once for all.
constexpr int64_t kTogether = 8;

template <int64_t kCount>
struct Group {
  static constexpr int64_t count = kCount;
};

// Calls `body(first row, group)` for groups of several rows, and of one row at the end.
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

void moments(const float* x, int64_t rows, int64_t channels, const float* shift, double* sum, double* square) {
  constexpr int64_t half = kLanes / 2;
  for_row_groups(0, rows, [&](int64_t row, auto group) {
    for_columns(channels, [&](int64_t c, auto part) {
      const Floats s = load(shift + c, part);
      const Doubles s_low = low(s), s_high = high(s);
      Doubles sum_low = load(sum + c), sum_high = load(sum + c + half);
      Doubles square_low = load(square + c), square_high = load(square + c + half);
      const float* p = x + row * channels + c;
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

template <Activation kActivation, bool kResidual, bool kKeep>
void normalize_as(const NormPass& pass, int64_t begin, int64_t end) {
  for_row_groups(begin, end, [&](int64_t row, auto group) {
    float keep[kTogether];
    if constexpr (kKeep) {
      for (int64_t i = 0; i < group.count; ++i) {
        keep[i] = pass.keep[(row + i) / pass.sample_rows];
      }
    }
    for_columns(pass.channels, [&](int64_t c, auto part) {
      const Floats mean = load(pass.mean + c, part), scale = load(pass.scale + c, part);
      const Floats bias = load(pass.bias + c, part);
      const int64_t at = row * pass.channels + c;
#pragma GCC unroll 8
      for (int64_t i = 0; i < group.count; ++i) {
        const int64_t here = at + i * pass.channels;
        Floats y = activate<kActivation>(fused(load(pass.x + here, part) - mean, scale, bias));
        if constexpr (kResidual && kKeep) {
          y = fused(y, all(keep[i]), load(pass.residual + here, part));
        } else if constexpr (kResidual) {
          y = y + load(pass.residual + here, part);
        }
        store(pass.out + here, y, part);
      }
    });
  });
}

// A factor without something to add does not occur.
void normalize(const NormPass& pass, int64_t begin, int64_t end) {
  with_activation(pass.activation, [&]<Activation kActivation>() {
    if (pass.residual == nullptr) {
      normalize_as<kActivation, false, false>(pass, begin, end);
    } else if (pass.keep == nullptr) {
      normalize_as<kActivation, true, false>(pass, begin, end);
    } else {
      normalize_as<kActivation, true, true>(pass, begin, end);
    }
  });
}

// Calls `body(position, centered x, dz)` for all numbers of a group of rows in one vector of channels.
template <Activation kActivation, bool kKeep>
struct Gradients {
  const NormPass& pass;
  float keep[kTogether];

  template <class Group>
  Gradients(const NormPass& from, int64_t row, Group group) : pass(from) {
    if constexpr (kKeep) {
      for (int64_t i = 0; i < group.count; ++i) {
        keep[i] = pass.keep[(row + i) / pass.sample_rows];
      }
    }
  }

  template <class Part, class Group, class Body>
  inline void in_column(int64_t row, int64_t c, Part part, Group group, const Body& body) const {
    const Floats mean = load(pass.mean + c, part);
    Floats scale, bias;
    if constexpr (kActivation != Activation::kNone) {
      scale = load(pass.scale + c, part);
      bias = load(pass.bias + c, part);
    }
    const int64_t at = row * pass.channels + c;
#pragma GCC unroll 8
    for (int64_t i = 0; i < group.count; ++i) {
      const int64_t here = at + i * pass.channels;
      const Floats centered = load(pass.x + here, part) - mean;
      Floats dz = load(pass.dy + here, part);
      if constexpr (kKeep) {
        dz = dz * all(keep[i]);
      }
      if constexpr (kActivation != Activation::kNone) {
        dz = activation_gradient<kActivation>(fused(centered, scale, bias), dz);
      }
      body(here, centered, dz);
    }
  }
};

template <class Body>
inline void with_gradients(const NormPass& pass, const Body& body) {
  with_activation(pass.activation, [&]<Activation kActivation>() {
    if (pass.keep == nullptr) {
      body.template operator()<Gradients<kActivation, false>>();
    } else {
      body.template operator()<Gradients<kActivation, true>>();
    }
  });
}

void reduce(const NormPass& pass, int64_t begin, int64_t end, double* sum, double* product) {
  constexpr int64_t half = kLanes / 2;
  with_gradients(pass, [&]<class Rows>() {
    for_row_groups(begin, end, [&](int64_t row, auto group) {
      const Rows rows(pass, row, group);
      for_columns(pass.channels, [&](int64_t c, auto part) {
        Doubles sum_low = load(sum + c), sum_high = load(sum + c + half);
        Doubles product_low = load(product + c), product_high = load(product + c + half);
        rows.in_column(row, c, part, group, [&](int64_t, Floats centered, Floats dz) {
          const Doubles dz_low = low(dz), dz_high = high(dz);
          sum_low = sum_low + dz_low;
          sum_high = sum_high + dz_high;
          product_low = fused(dz_low, low(centered), product_low);
          product_high = fused(dz_high, high(centered), product_high);
        });
        store(sum + c, sum_low);
        store(sum + c + half, sum_high);
        store(product + c, product_low);
        store(product + c + half, product_high);
      });
    });
  });
}

void gradient(const NormPass& pass, int64_t begin, int64_t end) {
  with_gradients(pass, [&]<class Rows>() {
    for_row_groups(begin, end, [&](int64_t row, auto group) {
      const Rows rows(pass, row, group);
      for_columns(pass.channels, [&](int64_t c, auto part) {
        const Floats scale = load(pass.scale + c, part), by_x = load(pass.by_x + c, part);
        const Floats constant = load(pass.constant + c, part);
        rows.in_column(row, c, part, group, [&](int64_t here, Floats centered, Floats dz) {
          store(pass.out + here, fused(scale, dz, fused(by_x, centered, constant)), part);
        });
      });
    });
  });
}

}  // namespace
