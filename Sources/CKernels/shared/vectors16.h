// Vectors of 16 floats and the float32 mathematics over them, for the AVX-512 sources.
//
// Written with the compiler's vector types: only what multiplies bytes or bf16 needs an intrinsic, and with
// -DCK_EMULATE_AVX512 (`make test-avx512`) those have portable stand-ins, so that any CPU runs these very sources.
#ifndef CKERNELS_VECTORS16_H
#define CKERNELS_VECTORS16_H

#include "internal.h"

#include <string.h>

#if CK_X86 && !defined(CK_EMULATE_AVX512)
#include <immintrin.h>
#endif
#define CK_INLINE_AVX512 CK_TARGET_AVX512 CK_INLINE

typedef float ck_f16x __attribute__((vector_size(64)));
typedef int32_t ck_i16x __attribute__((vector_size(64)));
typedef double ck_d16x __attribute__((vector_size(128)));

CK_INLINE_AVX512 ck_f16x ck_load16(const void *p) { ck_f16x v; memcpy(&v, p, sizeof v); return v; }
CK_INLINE_AVX512 void ck_store16(void *p, ck_f16x v) { memcpy(p, &v, sizeof v); }
/// The first `count` of 16 elements, with zeros after them. Without a call, around which no vector would stay in a register.
CK_INLINE_AVX512 ck_f16x ck_load16_part(const void *p, size_t count) {
    if (count >= 16) { return ck_load16(p); }
#ifdef CK_EMULATE_AVX512
    ck_f16x v = {0};
    memcpy(&v, p, count * sizeof(float));
    return v;
#else
    return (ck_f16x)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), p);
#endif
}
CK_INLINE_AVX512 void ck_store16_part(void *p, ck_f16x v, size_t count) {
    if (count >= 16) {
        ck_store16(p, v);
    } else {
#ifdef CK_EMULATE_AVX512
        memcpy(p, &v, count * sizeof(float));
#else
        _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), (__m512)v);
#endif
    }
}
CK_INLINE_AVX512 ck_f16x ck_splat16(float x) { return (ck_f16x){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
CK_INLINE_AVX512 ck_f16x ck_fma16(ck_f16x a, ck_f16x b, ck_f16x c) { return __builtin_elementwise_fma(a, b, c); }

/// e^x within 1.5 ulp for x in [-87, 88]; x beyond counts as the end. NaN gives some number.
CK_INLINE_AVX512 ck_f16x ck_exp16(ck_f16x x) {
    x = __builtin_elementwise_min(__builtin_elementwise_max(x, ck_splat16(-87.0f)), ck_splat16(88.0f));
    ck_f16x n = __builtin_elementwise_rint(x * ck_splat16(0x1.715476p+0f));  // log2 e
    ck_f16x r = ck_fma16(n, ck_splat16(-0x1.62e4p-1f), x);                   // ln 2 in two parts, the first with few bits
    r = ck_fma16(n, ck_splat16(-0x1.7f7d1cp-20f), r);
    // e^r for |r| <= ln 2 / 2: Taylor to r^7, remainder below 2^-27.
    ck_f16x p = ck_splat16(1.0f / 5040);
    p = ck_fma16(p, r, ck_splat16(1.0f / 720));
    p = ck_fma16(p, r, ck_splat16(1.0f / 120));
    p = ck_fma16(p, r, ck_splat16(1.0f / 24));
    p = ck_fma16(p, r, ck_splat16(1.0f / 6));
    p = ck_fma16(p, r, ck_splat16(0.5f));
    p = ck_fma16(p, r, ck_splat16(1.0f));
    p = ck_fma16(p, r, ck_splat16(1.0f));
    ck_i16x bits, power = __builtin_convertvector(n, ck_i16x) << 23;
    memcpy(&bits, &p, sizeof bits);
    bits += power;
    memcpy(&p, &bits, sizeof p);
    return p;
}

/// x / (1 + e^-x) within 3 ulp for x >= -87, within 2^-120 below. NaN gives NaN.
CK_INLINE_AVX512 ck_f16x ck_silu16(ck_f16x x) { return x / (ck_splat16(1.0f) + ck_exp16(-x)); }

#endif
