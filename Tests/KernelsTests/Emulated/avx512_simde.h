// The AVX-512 intrinsics that the AVX-512 sources of Sources/CKernels use, by SIMDe's portable versions. Two are written out
// here: SIMDe 0.7.4 has no _mm512_cvtepi32_ps, and its fused multiply-add may round twice.
#ifndef AVX512_SIMDE_H
#define AVX512_SIMDE_H

#include <math.h>
#include <simde/x86/avx512.h>

#define __m512 simde__m512
#define __m512i simde__m512i
#define _mm512_loadu_si512 simde_mm512_loadu_si512
#define _mm512_storeu_si512 simde_mm512_storeu_si512
#define _mm512_loadu_ps simde_mm512_loadu_ps
#define _mm512_storeu_ps simde_mm512_storeu_ps
#define _mm512_set1_epi32 simde_mm512_set1_epi32
#define _mm512_set1_ps simde_mm512_set1_ps
#define _mm512_mul_ps simde_mm512_mul_ps
#define _mm512_add_ps simde_mm512_add_ps
#define _mm512_setzero_ps simde_mm512_setzero_ps
#define _mm512_dpbusd_epi32 simde_mm512_dpbusd_epi32
#define _mm512_cvtepi32_ps emulated_cvtepi32_ps
#define _mm512_fmadd_ps emulated_fmadd_ps

static inline simde__m512 emulated_cvtepi32_ps(simde__m512i a) {
    int32_t integers[16];
    float floats[16];
    simde_mm512_storeu_si512(integers, a);
    for (int i = 0; i < 16; i++) { floats[i] = (float)integers[i]; }
    return simde_mm512_loadu_ps(floats);
}

static inline simde__m512 emulated_fmadd_ps(simde__m512 a, simde__m512 b, simde__m512 c) {
    float x[16], y[16], z[16];
    simde_mm512_storeu_ps(x, a);
    simde_mm512_storeu_ps(y, b);
    simde_mm512_storeu_ps(z, c);
    for (int i = 0; i < 16; i++) { z[i] = fmaf(x[i], y[i], z[i]); }
    return simde_mm512_loadu_ps(z);
}

#endif
