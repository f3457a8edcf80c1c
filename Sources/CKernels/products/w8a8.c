// The int8 matrix product: choice of the instruction set, and the plain version that defines the result.
#include "w8a8.h"

#include <math.h>
#include <string.h>

static void linear_plain(const ck_w8a8 *g) {
    const float *sx = g->sx, *sw = g->sw, *bias = g->bias;
    for (size_t r = 0; r < g->m; r++) {
        const int8_t *q = (const int8_t *)g->q + r * g->k;
        for (size_t c = 0; c < g->n; c++) {
            const int8_t *w = (const int8_t *)g->packed + c * g->k;
            int32_t sum = 0;
            for (size_t i = 0; i < g->k; i++) { sum += (int32_t)q[i] * (int32_t)w[i]; }
            ((float *)g->y)[r * g->ldy + c] = fmaf(sx[r] * sw[c], (float)sum, bias ? bias[c] : 0.0f);
        }
    }
}

size_t ck_w8a8_panel(int isa) {
#if CK_X86
    if (isa >= CK_ISA_AVX2) { return ck_w8a8_panel_avx2; }
#endif
    (void)isa;
    return 1;
}

size_t ck_w8a8_packed_bytes(int isa, size_t n, size_t k) {
    size_t panel = ck_w8a8_panel(isa), panels = n / panel + (n % panel != 0);
#if CK_X86
    if (isa >= CK_ISA_AVX2) { return panels * ck_w8a8_panel_bytes_avx2(k); }
#endif
    return panels * k;
}

void ck_w8a8_pack(int isa, const void *w, size_t n, size_t k, void *packed) {
#if CK_X86
    if (isa >= CK_ISA_AVX2) { ck_w8a8_pack_avx2(w, n, k, packed); return; }
#endif
    (void)isa;
    memcpy(packed, w, n * k);
}

void ck_w8a8_linear(int isa, ck_w8a8 g) {
#if CK_X86
    if (isa >= CK_ISA_AVX2) { ck_w8a8_avx2(&g); return; }
#endif
    (void)isa;
    linear_plain(&g);
}
