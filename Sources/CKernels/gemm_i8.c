// The int8 matrix product: choice of the instruction set, and the plain version that defines the result.
#include "gemm_i8.h"

#include <math.h>
#include <string.h>

static void gemm_plain(const ck_gemm_i8 *g) {
    for (size_t r = 0; r < g->m; r++) {
        const int8_t *q = g->q + r * g->k;
        for (size_t c = g->n0; c < g->n1; c++) {
            const int8_t *w = (const int8_t *)g->packed + c * g->k;
            int32_t sum = 0;
            for (size_t i = 0; i < g->k; i++) { sum += (int32_t)q[i] * (int32_t)w[i]; }
            uint8_t *to = g->out + (r * g->ldo + c) * 4;
            const ck_epilogue *e = g->epilogue;
            if (e) {
                float y = fmaf(e->sx[r] * e->sw[c], (float)sum, e->bias ? e->bias[c] : 0.0f);
                memcpy(to, &y, 4);
            } else {
                memcpy(to, &sum, 4);
            }
        }
    }
}

static void gemm(int isa, const ck_gemm_i8 *g) {
#if CK_X86
    if (isa >= CK_ISA_AVX512) { ck_gemm_i8_avx512(g); return; }
    if (isa >= CK_ISA_AVX2) { ck_gemm_i8_avx2(g); return; }
#endif
    (void)isa;
    gemm_plain(g);
}

size_t ck_w8_panel(int isa) {
#if CK_X86
    if (isa >= CK_ISA_AVX512) { return ck_avx512_panel; }
    if (isa >= CK_ISA_AVX2) { return ck_avx2_panel; }
#endif
    (void)isa;
    return 1;
}

size_t ck_w8_packed_bytes(int isa, size_t n, size_t k) {
    size_t panel = ck_w8_panel(isa), panels = n / panel + (n % panel != 0);
#if CK_X86
    if (isa >= CK_ISA_AVX512) { return panels * ck_gemm_i8_panel_bytes_avx512(k); }
    if (isa >= CK_ISA_AVX2) { return panels * ck_gemm_i8_panel_bytes_avx2(k); }
#endif
    return panels * k;
}

void ck_w8_pack(int isa, const void *w, size_t n, size_t k, void *packed) {
#if CK_X86
    if (isa >= CK_ISA_AVX512) { ck_gemm_i8_pack_avx512(w, n, k, packed); return; }
    if (isa >= CK_ISA_AVX2) { ck_gemm_i8_pack_avx2(w, n, k, packed); return; }
#endif
    (void)isa;
    memcpy(packed, w, n * k);
}

void ck_w8a8_accumulate(int isa, const void *q, const void *packed, void *acc, size_t ldacc, size_t m, size_t n, size_t k) {
    ck_gemm_i8 g = {q, packed, NULL, acc, ldacc, m, n, k, 0, n};
    gemm(isa, &g);
}

void ck_w8a8_linear(
    int isa, const void *q, const void *sx, const void *packed, const void *sw, const void *bias, void *y, size_t ldy,
    size_t m, size_t n, size_t k, size_t n0, size_t n1) {
    ck_epilogue e = {sx, sw, bias};
    ck_gemm_i8 g = {q, packed, &e, y, ldy, m, n, k, n0, n1};
    gemm(isa, &g);
}
