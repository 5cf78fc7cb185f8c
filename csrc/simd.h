// Vectors of whatever instruction set lanes.cpp is being compiled for.
#pragma once

#include <string.h>

#if defined(__aarch64__)
#include <arm_neon.h>
#else
#include <immintrin.h>
#endif

#include "lanes.h"

namespace geopixel {
namespace {

#if defined(__aarch64__)

using Bytes = uint8x16_t;
using I32 = int32x4_t;
constexpr int kLanes = 4;

inline Bytes load(const uint8_t* from) { return vld1q_u8(from); }
inline void store(uint8_t* to, Bytes value) { vst1q_u8(to, value); }
inline Bytes zip_low(Bytes a, Bytes b) { return vzip1q_u8(a, b); }
inline Bytes zip_high(Bytes a, Bytes b) { return vzip2q_u8(a, b); }
inline I32 splat(int32_t value) { return vdupq_n_s32(value); }
inline I32 widen(const uint8_t* from) {
    uint32_t four;
    memcpy(&four, from, 4);
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(four)))));
}
inline I32 add_product(I32 sum, I32 pixel, I32 weight) { return vmlaq_s32(sum, pixel, weight); }
using F32 = float32x4_t;
using Quad = float32x4_t;
inline F32 splat_f(float value) { return vdupq_n_f32(value); }
inline F32 widen_f(const uint8_t* from) { return vcvtq_f32_s32(widen(from)); }
inline F32 add_product_f(F32 sum, F32 a, F32 b) { return vaddq_f32(sum, vmulq_f32(a, b)); }
inline void store_f(float* to, F32 value) { vst1q_f32(to, value); }
inline Quad load_quad(const float* from) { return vld1q_f32(from); }
inline Quad splat_quad(float value) { return vdupq_n_f32(value); }
inline Quad add_product_quad(Quad sum, Quad a, Quad b) { return vaddq_f32(sum, vmulq_f32(a, b)); }
inline void store_quad(float* to, Quad value) { vst1q_f32(to, value); }
inline void narrow(uint8_t* to, I32 sum) {
    const uint16x4_t half = vqmovun_s32(vshrq_n_s32(sum, kPrecisionBits));
    const uint32_t four = vget_lane_u32(vreinterpret_u32_u8(vqmovn_u16(vcombine_u16(half, half))), 0);
    memcpy(to, &four, 4);
}

inline void stream_line(float* to, const float* from) { memcpy(to, from, 64); }
inline void stream_end() {}

#else

inline void stream_line(float* to, const float* from) {
#if defined(__AVX512BW__)
    _mm512_stream_ps(to, _mm512_loadu_ps(from));
#else
    for (int i = 0; i < 16; i += 4) _mm_stream_ps(to + i, _mm_loadu_ps(from + i));
#endif
}
inline void stream_end() { _mm_sfence(); }

using Bytes = __m128i;

inline Bytes load(const uint8_t* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
inline void store(uint8_t* to, Bytes value) { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), value); }
inline Bytes zip_low(Bytes a, Bytes b) { return _mm_unpacklo_epi8(a, b); }
inline Bytes zip_high(Bytes a, Bytes b) { return _mm_unpackhi_epi8(a, b); }

using Quad = __m128;
inline Quad load_quad(const float* from) { return _mm_loadu_ps(from); }
inline Quad splat_quad(float value) { return _mm_set1_ps(value); }
inline Quad add_product_quad(Quad sum, Quad a, Quad b) { return _mm_add_ps(sum, _mm_mul_ps(a, b)); }
inline void store_quad(float* to, Quad value) { _mm_storeu_ps(to, value); }

#if defined(__AVX512BW__)

using I32 = __m512i;
constexpr int kLanes = 16;

inline I32 splat(int32_t value) { return _mm512_set1_epi32(value); }
inline I32 widen(const uint8_t* from) { return _mm512_cvtepu8_epi32(load(from)); }
inline I32 add_product(I32 sum, I32 pixel, I32 weight) {
    return _mm512_add_epi32(sum, _mm512_mullo_epi32(pixel, weight));
}
inline void narrow(uint8_t* to, I32 sum) {
    store(to, _mm512_cvtusepi32_epi8(_mm512_srli_epi32(sum, kPrecisionBits)));
}

using F32 = __m512;
inline F32 splat_f(float value) { return _mm512_set1_ps(value); }
inline F32 widen_f(const uint8_t* from) { return _mm512_cvtepi32_ps(widen(from)); }
inline F32 add_product_f(F32 sum, F32 a, F32 b) { return _mm512_add_ps(sum, _mm512_mul_ps(a, b)); }
inline void store_f(float* to, F32 value) { _mm512_storeu_ps(to, value); }

#elif defined(__AVX2__)

using I32 = __m256i;
constexpr int kLanes = 8;

inline I32 splat(int32_t value) { return _mm256_set1_epi32(value); }
inline I32 widen(const uint8_t* from) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
}
inline I32 add_product(I32 sum, I32 pixel, I32 weight) {
    return _mm256_add_epi32(sum, _mm256_mullo_epi32(pixel, weight));
}
inline void narrow(uint8_t* to, I32 sum) {
    const __m256i whole = _mm256_srli_epi32(sum, kPrecisionBits);
    const __m128i half = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(half, half));
}

using F32 = __m256;
inline F32 splat_f(float value) { return _mm256_set1_ps(value); }
inline F32 widen_f(const uint8_t* from) { return _mm256_cvtepi32_ps(widen(from)); }
inline F32 add_product_f(F32 sum, F32 a, F32 b) { return _mm256_add_ps(sum, _mm256_mul_ps(a, b)); }
inline void store_f(float* to, F32 value) { _mm256_storeu_ps(to, value); }

#else

using I32 = __m128i;
constexpr int kLanes = 4;

inline I32 splat(int32_t value) { return _mm_set1_epi32(value); }
inline I32 widen(const uint8_t* from) {
    int32_t four;
    memcpy(&four, from, 4);
    const __m128i zero = _mm_setzero_si128();
    return _mm_unpacklo_epi16(_mm_unpacklo_epi8(_mm_cvtsi32_si128(four), zero), zero);
}
// SSE2 has no 32-bit product; a pixel times a weight is two 16-bit ones, the weight split at bit 15.
inline I32 add_product(I32 sum, I32 pixel, I32 weight) {
    const __m128i low = _mm_madd_epi16(pixel, _mm_and_si128(weight, _mm_set1_epi32(0x7FFF)));
    const __m128i high = _mm_slli_epi32(_mm_madd_epi16(pixel, _mm_srli_epi32(weight, 15)), 15);
    return _mm_add_epi32(sum, _mm_add_epi32(low, high));
}
inline void narrow(uint8_t* to, I32 sum) {
    const __m128i half = _mm_packs_epi32(_mm_srli_epi32(sum, kPrecisionBits), _mm_setzero_si128());
    const int32_t four = _mm_cvtsi128_si32(_mm_packus_epi16(half, half));
    memcpy(to, &four, 4);
}

using F32 = __m128;
inline F32 splat_f(float value) { return _mm_set1_ps(value); }
inline F32 widen_f(const uint8_t* from) { return _mm_cvtepi32_ps(widen(from)); }
inline F32 add_product_f(F32 sum, F32 a, F32 b) { return _mm_add_ps(sum, _mm_mul_ps(a, b)); }
inline void store_f(float* to, F32 value) { _mm_storeu_ps(to, value); }

#endif
#endif

// float16 by the hardware, kHalves at once; the baseline has only the scalar rule below.
#if defined(__aarch64__)
constexpr int kHalves = 4;
inline void halve(const float* from, uint16_t* to) {
    vst1_u16(to, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(from))));
}
#elif defined(__F16C__)
constexpr int kHalves = 8;
inline void halve(const float* from, uint16_t* to) {
    const __m128i made = _mm256_cvtps_ph(_mm256_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), made);
}
#else
constexpr int kHalves = 1;
inline void halve(const float* from, uint16_t* to) {
    uint32_t bits;
    memcpy(&bits, from, 4);
    const uint32_t sign = bits >> 16 & 0x8000u;
    bits &= 0x7FFFFFFFu;
    if (bits >= 0x47800000u) {  // 65536 and more, infinity, NaN
        *to = static_cast<uint16_t>(sign | (bits > 0x7F800000u ? 0x7E00u : 0x7C00u));
    } else if (bits < 0x38800000u) {  // below the least normal float16: adding 0.5 leaves the subnormal's bits
        float value;
        memcpy(&value, &bits, 4);
        value += 0.5f;
        memcpy(&bits, &value, 4);
        *to = static_cast<uint16_t>(sign | (bits - 0x3F000000u));
    } else {
        *to = static_cast<uint16_t>(sign | ((bits - 0x38000000u + 0x0FFFu + (bits >> 13 & 1u)) >> 13));
    }
}
#endif

// Four rounds of interleaving row i with row i + 8 transpose 16 x 16 bytes.
inline void transpose16(Bytes* rows) {
    Bytes next[16];
    for (int round = 0; round < 4; ++round) {
        for (int i = 0; i < 8; ++i) {
            next[2 * i] = zip_low(rows[i], rows[i + 8]);
            next[2 * i + 1] = zip_high(rows[i], rows[i + 8]);
        }
        for (int i = 0; i < 16; ++i) rows[i] = next[i];
    }
}

}  // namespace
}  // namespace geopixel
