// The int8 matrix product: what its instruction sets share.
#ifndef CKERNELS_GEMM_I8_H
#define CKERNELS_GEMM_I8_H

#include "internal.h"

/// What turns accumulators into y = fmaf(sx[m] * sw[n], (float)acc, bias[n]).
typedef struct {
    const float *sx;    // [m]
    const float *sw;    // [n]
    const float *bias;  // [n] or NULL
} ck_epilogue;

/// A product q [m, k] * w^T for channels [n0, n1) of n. `out` [m, n] (ldo) receives s32, or f32 where there is an
/// epilogue; between blocks of k it holds the partial s32 sums in both cases.
typedef struct {
    const int8_t *q;
    const uint8_t *packed;
    const ck_epilogue *epilogue;  // NULL: raw accumulators
    uint8_t *out;                 // 4 bytes per element
    size_t ldo, m, n, k, n0, n1;
} ck_gemm_i8;

#if CK_X86
enum { ck_avx2_panel = 16, ck_avx512_panel = 32 };

size_t ck_gemm_i8_panel_bytes_avx2(size_t k);
void ck_gemm_i8_pack_avx2(const int8_t *w, size_t n, size_t k, uint8_t *packed);
void ck_gemm_i8_avx2(const ck_gemm_i8 *g);

size_t ck_gemm_i8_panel_bytes_avx512(size_t k);
void ck_gemm_i8_pack_avx512(const int8_t *w, size_t n, size_t k, uint8_t *packed);
void ck_gemm_i8_avx512(const ck_gemm_i8 *g);
#endif

#endif
