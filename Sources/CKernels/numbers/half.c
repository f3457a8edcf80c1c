// 32-bit floats to and from the two 16-bit formats, and the search for values that are no numbers.
#include "../shared/internal.h"

#include <string.h>

#if CK_X86
#include <immintrin.h>
#endif

// Inputs of any alignment: every access goes through memcpy, which compiles to plain moves.
CK_INLINE uint32_t load32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
CK_INLINE uint16_t load16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }
CK_INLINE uint64_t load64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
CK_INLINE void store32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }
CK_INLINE void store16(uint8_t *p, uint16_t v) { memcpy(p, &v, 2); }

CK_INLINE uint16_t narrow_f16(uint32_t bits) {
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000) { return (uint16_t)(sign | 0x7E00 | (magnitude >> 13 & 0x3FF)); }
    if (magnitude >= 0x477FF000) { return (uint16_t)(sign | 0x7C00); }  // 65520 and up round to infinity
    if (magnitude >= 0x38800000) {  // 2^-14: a normal result. Rebias, then round half to even by a carry into bit 13.
        uint32_t rebiased = magnitude - (112u << 23);
        return (uint16_t)(sign | (rebiased + 0xFFF + (rebiased >> 13 & 1)) >> 13);
    }
    uint32_t exponent = magnitude >> 23;
    if (exponent < 102) { return (uint16_t)sign; }  // below 2^-25: zero
    // A subnormal result counts units of 2^-24; the mantissa holds units of 2^(exponent - 150).
    uint32_t mantissa = (magnitude & 0x7FFFFF) | 0x800000, shift = 126 - exponent;
    uint32_t quotient = mantissa >> shift, rest = mantissa & ((1u << shift) - 1), half = 1u << (shift - 1);
    return (uint16_t)(sign | (quotient + (rest > half || (rest == half && (quotient & 1)))));
}

CK_INLINE uint32_t widen_f16(uint16_t bits) {
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16, exponent = bits >> 10 & 0x1F, mantissa = bits & 0x3FF;
    if (exponent == 31) { return sign | 0x7F800000 | (mantissa ? 0x400000 | mantissa << 13 : 0); }
    if (exponent > 0) { return sign | (exponent + 112) << 23 | mantissa << 13; }
    float value = (float)mantissa * 0x1p-24f;
    uint32_t magnitude;
    memcpy(&magnitude, &value, 4);
    return sign | magnitude;
}

static void f32_to_f16_plain(const uint8_t *x, uint8_t *y, size_t n) {
    for (size_t i = 0; i < n; i++) { store16(y + 2 * i, narrow_f16(load32(x + 4 * i))); }
}

static void f16_to_f32_plain(const uint8_t *x, uint8_t *y, size_t n) {
    for (size_t i = 0; i < n; i++) { store32(y + 4 * i, widen_f16(load16(x + 2 * i))); }
}

#if CK_X86
CK_TARGET_AVX2 static void f32_to_f16_avx2(const uint8_t *x, uint8_t *y, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_loadu_ps((const float *)(const void *)(x + 4 * i));
        _mm_storeu_si128((__m128i *)(void *)(y + 2 * i), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
    f32_to_f16_plain(x + 4 * i, y + 2 * i, n - i);
}

CK_TARGET_AVX2 static void f16_to_f32_avx2(const uint8_t *x, uint8_t *y, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(x + 2 * i));
        _mm256_storeu_ps((float *)(void *)(y + 4 * i), _mm256_cvtph_ps(v));
    }
    f16_to_f32_plain(x + 2 * i, y + 4 * i, n - i);
}
#else
#define f32_to_f16_avx2 f32_to_f16_plain
#define f16_to_f32_avx2 f16_to_f32_plain
#endif

CK_INLINE void f32_to_bf16_body(const uint8_t *x, uint8_t *y, size_t n) {
    for (size_t i = 0; i < n; i++) { store16(y + 2 * i, ck_narrow_bf16(load32(x + 4 * i))); }
}
CK_VARIANTS(f32_to_bf16, (const uint8_t *restrict x, uint8_t *restrict y, size_t n), (x, y, n))

CK_INLINE void bf16_to_f32_body(const uint8_t *x, uint8_t *y, size_t n) {
    for (size_t i = 0; i < n; i++) { store32(y + 4 * i, (uint32_t)load16(x + 2 * i) << 16); }
}
CK_VARIANTS(bf16_to_f32, (const uint8_t *restrict x, uint8_t *restrict y, size_t n), (x, y, n))

void ck_f32_to_f16(int isa, const void *x, void *y, size_t n) { CK_CALL(isa, f32_to_f16, x, y, n); }
void ck_f16_to_f32(int isa, const void *x, void *y, size_t n) { CK_CALL(isa, f16_to_f32, x, y, n); }
void ck_f32_to_bf16(int isa, const void *x, void *y, size_t n) { CK_CALL(isa, f32_to_bf16, x, y, n); }
void ck_bf16_to_f32(int isa, const void *x, void *y, size_t n) { CK_CALL(isa, bf16_to_f32, x, y, n); }

// A value is no finite number when its exponent bits are all ones.
CK_INLINE bool nonfinite_at(int type, const uint8_t *x, size_t i) {
    if (type == CK_F32) { return (load32(x + 4 * i) & 0x7F800000) == 0x7F800000; }
    if (type == CK_F16) { return (load16(x + 2 * i) & 0x7C00) == 0x7C00; }
    if (type == CK_BF16) { return (load16(x + 2 * i) & 0x7F80) == 0x7F80; }
    return (load64(x + 8 * i) & 0x7FF0000000000000) == 0x7FF0000000000000;
}

// Whole blocks are tested without an early exit, so that the test vectorises; only a block with a hit is searched.
CK_INLINE size_t find_in(int type, const uint8_t *x, size_t n) {
    enum { block = 512 };
    size_t i = 0;
    for (; i + block <= n; i += block) {
        uint32_t hit = 0;
        for (size_t j = 0; j < block; j++) { hit |= nonfinite_at(type, x, i + j); }
        if (hit) { break; }
    }
    while (i < n && !nonfinite_at(type, x, i)) { i++; }
    return i;
}

CK_INLINE void find_nonfinite_body(int type, const uint8_t *x, size_t n, size_t *index) {
    if (type == CK_F32) { *index = find_in(CK_F32, x, n); }
    else if (type == CK_F16) { *index = find_in(CK_F16, x, n); }
    else if (type == CK_BF16) { *index = find_in(CK_BF16, x, n); }
    else { *index = find_in(CK_F64, x, n); }
}
CK_VARIANTS(find_nonfinite, (int type, const uint8_t *x, size_t n, size_t *index), (type, x, n, index))

size_t ck_find_nonfinite(int isa, int type, const void *x, size_t n) {
    size_t index;
    CK_CALL(isa, find_nonfinite, type, x, n, &index);
    return index;
}
