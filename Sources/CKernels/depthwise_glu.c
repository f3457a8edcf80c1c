// The gated unit of the mix-FFN: two 3x3 depthwise convolutions and their gate, in one pass over a few channels.
#include "kernel_math.h"
#include "vectors16.h"

typedef struct {
    const float *a, *g, *wa, *wg, *ba, *bg;
    size_t ldu, ldw, h, w, c;
} maps;

// Index of the pixel under tap (ky, kx) centred on (row, col), or a negative number outside the map.
CK_INLINE ptrdiff_t under(const maps *m, size_t row, size_t col, size_t ky, size_t kx) {
    if (row + ky < 1 || row + ky > m->h || col + kx < 1 || col + kx > m->w) { return -1; }
    return (ptrdiff_t)((row + ky - 1) * m->w + (col + kx - 1));
}

CK_INLINE void glu_body(const maps *m, float *y, size_t ldy) {
    for (size_t row = 0; row < m->h; row++) {
        for (size_t col = 0; col < m->w; col++) {
            for (size_t c = 0; c < m->c; c++) {
                double a = (double)m->ba[c], g = (double)m->bg[c];
                for (size_t tap = 0; tap < 9; tap++) {
                    ptrdiff_t at = under(m, row, col, tap / 3, tap % 3);
                    if (at < 0) { continue; }
                    a += (double)m->a[(size_t)at * m->ldu + c] * (double)m->wa[tap * m->ldw + c];
                    g += (double)m->g[(size_t)at * m->ldu + c] * (double)m->wg[tap * m->ldw + c];
                }
                y[(row * m->w + col) * ldy + c] = (float)(a * ck_silu_double(g));
            }
        }
    }
}
CK_VARIANTS(glu, (const maps *m, float *y, size_t ldy), (m, y, ldy))

#if CK_X86
// 16 channels of one row of pixels, of which `count` exist. The 18 weight vectors stay in registers.
CK_INLINE_AVX512 void glu_row(const maps *m, float *y, size_t ldy, size_t row, size_t c, size_t count) {
    ck_f16x wa[9], wg[9];
    for (size_t tap = 0; tap < 9; tap++) {
        wa[tap] = ck_load16_part(m->wa + tap * m->ldw + c, count);
        wg[tap] = ck_load16_part(m->wg + tap * m->ldw + c, count);
    }
    ck_f16x ba = ck_load16_part(m->ba + c, count), bg = ck_load16_part(m->bg + c, count);
    bool inside = row > 0 && row + 1 < m->h;
    for (size_t col = 0; col < m->w; col++) {
        ck_f16x a = ba, g = bg;
        if (inside && col > 0 && col + 1 < m->w && count == 16) {
            const float *pa = m->a + ((row - 1) * m->w + col - 1) * m->ldu + c, *pg = m->g + ((row - 1) * m->w + col - 1) * m->ldu + c;
            _Pragma("clang loop unroll(full)")
            for (size_t tap = 0; tap < 9; tap++) {
                size_t at = (tap / 3 * m->w + tap % 3) * m->ldu;
                a = ck_fma16(ck_load16(pa + at), wa[tap], a);
                g = ck_fma16(ck_load16(pg + at), wg[tap], g);
            }
        } else {
            for (size_t tap = 0; tap < 9; tap++) {
                ptrdiff_t at = under(m, row, col, tap / 3, tap % 3);
                if (at < 0) { continue; }
                a = ck_fma16(ck_load16_part(m->a + (size_t)at * m->ldu + c, count), wa[tap], a);
                g = ck_fma16(ck_load16_part(m->g + (size_t)at * m->ldu + c, count), wg[tap], g);
            }
        }
        ck_store16_part(y + (row * m->w + col) * ldy + c, a * ck_silu16(g), count);
    }
}

CK_TARGET_AVX512 static void glu_avx512(const maps *m, float *y, size_t ldy) {
    for (size_t c = 0; c < m->c; c += 16) {
        for (size_t row = 0; row < m->h; row++) { glu_row(m, y, ldy, row, c, m->c - c < 16 ? m->c - c : 16); }
    }
}
#endif

void ck_depthwise_glu(
    int isa, const void *a, const void *g, size_t ldu, const void *wa, const void *wg, size_t ldw, const void *ba, const void *bg,
    void *y, size_t ldy, size_t h, size_t w, size_t c) {
    maps m = {a, g, wa, wg, ba, bg, ldu, ldw, h, w, c};
#if CK_X86
    if (isa >= CK_ISA_AVX512) {
        glu_avx512(&m, y, ldy);
        return;
    }
#endif
    CK_CALL(isa, glu, &m, y, ldy);
}
