// Vectors of 16 f32 numbers.

#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels.hpp"

namespace {

using tfnas::Bf16;

constexpr int64_t kLanes = 16;

struct Floats {
  __m512 v;
};

// Half as many f64 numbers.
struct Doubles {
  __m512d v;
};

struct Mask {
  __mmask16 m;
};

inline Floats load(const float* p) { return {_mm512_loadu_ps(p)}; }
// Loads the first `count` lanes; the others are zero.
inline Floats load(const float* p, int64_t count) {
  return {_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1u), p)};
}
inline void store(float* p, Floats a) { _mm512_storeu_ps(p, a.v); }
inline void store(float* p, Floats a, int64_t count) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1u), a.v);
}

inline Floats widened(__m256i bits) { return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))}; }
// Rounds to nearest, ties to even. NaN stays NaN.
inline __m256i narrowed(Floats a) {
  const __m512i bits = _mm512_castps_si512(a.v), one = _mm512_set1_epi32(1), half = _mm512_set1_epi32(0x7fff);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), one);
  const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(half, odd)), 16);
  const __mmask16 is_nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(rounded, is_nan, _mm512_set1_epi32(0x7fc0)));
}
inline Floats load(const Bf16* p) { return widened(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
inline Floats load(const Bf16* p, int64_t count) {
  return widened(_mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << count) - 1u), p));
}
inline void store(Bf16* p, Floats a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrowed(a)); }
inline void store(Bf16* p, Floats a, int64_t count) {
  _mm256_mask_storeu_epi16(p, static_cast<__mmask16>((1u << count) - 1u), narrowed(a));
}

inline Floats all(float value) { return {_mm512_set1_ps(value)}; }
inline Floats operator+(Floats a, Floats b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Floats operator-(Floats a, Floats b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Floats operator*(Floats a, Floats b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Floats operator/(Floats a, Floats b) { return {_mm512_div_ps(a.v, b.v)}; }
// a * b + c, rounded once.
inline Floats fused(Floats a, Floats b, Floats c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// Both return NaN if `a` is NaN.
inline Floats at_least(Floats a, Floats bound) { return {_mm512_max_ps(bound.v, a.v)}; }
inline Floats at_most(Floats a, Floats bound) { return {_mm512_min_ps(bound.v, a.v)}; }
inline Floats round_to_even(Floats a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// 2^a for integers in [-126, 127].
inline Floats power_of_two(Floats a) {
  const __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(a.v), _mm512_set1_epi32(127));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23))};
}
inline Mask is_at_most(Floats a, Floats b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
inline Floats zero_where(Mask mask, Floats a) {
  return {_mm512_maskz_mov_ps(static_cast<__mmask16>(~mask.m), a.v)};
}

inline Doubles low(Floats a) { return {_mm512_cvtps_pd(_mm512_castps512_ps256(a.v))}; }
inline Doubles high(Floats a) { return {_mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1))}; }
inline Doubles load(const double* p) { return {_mm512_loadu_pd(p)}; }
inline void store(double* p, Doubles a) { _mm512_storeu_pd(p, a.v); }
inline Doubles operator+(Doubles a, Doubles b) { return {_mm512_add_pd(a.v, b.v)}; }
inline Doubles operator-(Doubles a, Doubles b) { return {_mm512_sub_pd(a.v, b.v)}; }
inline Doubles fused(Doubles a, Doubles b, Doubles c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }

}  // namespace
