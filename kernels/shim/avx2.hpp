// Vectors of 8 f32 numbers.

#pragma once

#include <immintrin.h>

#include <cstdint>

namespace {

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
