// Vectors of 8 f32 numbers.

#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels.hpp"

namespace {

using tfnas::Bf16;

constexpr int64_t kLanes = 8;

struct Floats {
  __m256 v;
};

// Half as many f64 numbers.
struct Doubles {
  __m256d v;
};

struct Mask {
  __m256 m;
};

inline __m256i first_lanes(int64_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

inline Floats load(const float* p) { return {_mm256_loadu_ps(p)}; }
// Loads the first `count` lanes; the others are zero.
inline Floats load(const float* p, int64_t count) { return {_mm256_maskload_ps(p, first_lanes(count))}; }
inline void store(float* p, Floats a) { _mm256_storeu_ps(p, a.v); }
inline void store(float* p, Floats a, int64_t count) { _mm256_maskstore_ps(p, first_lanes(count), a.v); }

inline Floats widened(__m128i bits) { return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16))}; }
// Rounds to nearest, ties to even. NaN stays NaN.
inline __m128i narrowed(Floats a) {
  const __m256i bits = _mm256_castps_si256(a.v), one = _mm256_set1_epi32(1), half = _mm256_set1_epi32(0x7fff);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), one);
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(half, odd)), 16);
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q));
  const __m256i words = _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), is_nan);
  const __m256i packed = _mm256_packus_epi32(words, words);
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0b1000));
}
inline Floats load(const Bf16* p) { return widened(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
inline Floats load(const Bf16* p, int64_t count) {
  // AVX2 has no masked load of 16-bit numbers.
  alignas(16) Bf16 all_lanes[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) {
    all_lanes[i] = p[i];
  }
  return load(all_lanes);
}
inline void store(Bf16* p, Floats a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrowed(a)); }
inline void store(Bf16* p, Floats a, int64_t count) {
  alignas(16) Bf16 all_lanes[kLanes];
  store(all_lanes, a);
  for (int64_t i = 0; i < count; ++i) {
    p[i] = all_lanes[i];
  }
}

inline Floats all(float value) { return {_mm256_set1_ps(value)}; }
inline Floats operator+(Floats a, Floats b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Floats operator-(Floats a, Floats b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Floats operator*(Floats a, Floats b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Floats operator/(Floats a, Floats b) { return {_mm256_div_ps(a.v, b.v)}; }
// a * b + c, rounded once.
inline Floats fused(Floats a, Floats b, Floats c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
// Both return NaN if `a` is NaN.
inline Floats at_least(Floats a, Floats bound) { return {_mm256_max_ps(bound.v, a.v)}; }
inline Floats at_most(Floats a, Floats bound) { return {_mm256_min_ps(bound.v, a.v)}; }
inline Floats round_to_even(Floats a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// 2^a for integers in [-126, 127].
inline Floats power_of_two(Floats a) {
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(a.v), _mm256_set1_epi32(127));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23))};
}
inline Mask is_at_most(Floats a, Floats b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)}; }
inline Floats zero_where(Mask mask, Floats a) { return {_mm256_andnot_ps(mask.m, a.v)}; }

inline Doubles low(Floats a) { return {_mm256_cvtps_pd(_mm256_castps256_ps128(a.v))}; }
inline Doubles high(Floats a) { return {_mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1))}; }
inline Doubles load(const double* p) { return {_mm256_loadu_pd(p)}; }
inline void store(double* p, Doubles a) { _mm256_storeu_pd(p, a.v); }
inline Doubles operator+(Doubles a, Doubles b) { return {_mm256_add_pd(a.v, b.v)}; }
inline Doubles operator-(Doubles a, Doubles b) { return {_mm256_sub_pd(a.v, b.v)}; }
inline Doubles fused(Doubles a, Doubles b, Doubles c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }

}  // namespace
