// The gated unit of the mix-FFN: two 3x3 depthwise convolutions and their gate, in one pass over a few channels of a few rows.
#include "../shared/kernel_math.h"
#include "../shared/vectors16.h"

// Index of the pixel under tap (ky, kx) centred on (row, col), or a negative number outside the map.
CK_INLINE ptrdiff_t under(const ck_gated_maps *m, size_t row, size_t col, size_t ky, size_t kx) {
    if (row + ky < 1 || row + ky > m->h || col + kx < 1 || col + kx > m->w) { return -1; }
    return (ptrdiff_t)((row + ky - 1) * m->w + (col + kx - 1));
}

CK_INLINE void glu_body(const ck_gated_maps *m) {
    for (size_t row = m->row0; row < m->row1; row++) {
        for (size_t col = 0; col < m->w; col++) {
            for (size_t c = 0; c < m->c; c++) {
                double a = (double)m->ba[c], g = (double)m->bg[c];
                for (size_t tap = 0; tap < 9; tap++) {
                    ptrdiff_t at = under(m, row, col, tap / 3, tap % 3);
                    if (at < 0) { continue; }
                    a += (double)m->a[(size_t)at * m->ldu + c] * (double)m->wa[tap * m->ldw + c];
                    g += (double)m->g[(size_t)at * m->ldu + c] * (double)m->wg[tap * m->ldw + c];
                }
                m->y[(row * m->w + col) * m->ldy + c] = (float)(a * ck_silu_double(g));
            }
        }
    }
}
CK_VARIANTS(glu, (const ck_gated_maps *m), (m))

#if CK_X86
enum { strip = 64, ahead = 8 };  // pixels worked on at a time; pixels between the request for a line of y and its use

// One of the two maps, 16 channels of it, of which `count` exist.
typedef struct {
    const float *x;
    ck_f16x taps[9], bias;
    size_t count;
} channels16;

CK_INLINE_AVX512 void load_channels(const ck_gated_maps *m, const float *x, const float *taps, const float *bias, size_t c, channels16 *s) {
    s->x = x + c;
    s->count = m->c - c < 16 ? m->c - c : 16;
    for (size_t tap = 0; tap < 9; tap++) { s->taps[tap] = ck_load16_part(taps + tap * m->ldw + c, s->count); }
    s->bias = ck_load16_part(bias + c, s->count);
}

// Pixels [from, to) of a row, of which all have the same neighbours. What a tap finds outside the map is the pixel itself, with a weight of zero.
CK_INLINE_AVX512 void
convolve(const ck_gated_maps *m, const channels16 *s, size_t row, size_t from, size_t to, bool left, bool right, ck_f16x *out) {
    ck_f16x taps[9];
    for (size_t tap = 0; tap < 9; tap++) {
        size_t ky = tap / 3, kx = tap % 3;
        bool exists = row + ky >= 1 && row + ky <= m->h && (left || kx > 0) && (right || kx < 2);
        taps[tap] = exists ? s->taps[tap] : (ck_f16x){0};
    }
    const float *middle = s->x + (row * m->w + from) * m->ldu;
    const float *rows[3] = {row > 0 ? middle - m->w * m->ldu : middle, middle, row + 1 < m->h ? middle + m->w * m->ldu : middle};
    const ptrdiff_t ld = (ptrdiff_t)m->ldu, before = left ? -ld : 0, after = right ? ld : 0;
    for (size_t col = from; col < to; col++, out++) {
        ck_f16x sum = s->bias;
        if (s->count >= 16) {
            _Pragma("clang loop unroll(full)")
            for (size_t ky = 0; ky < 3; ky++) {
                sum = ck_fma16(ck_load16(rows[ky] + before), taps[3 * ky], sum);
                sum = ck_fma16(ck_load16(rows[ky]), taps[3 * ky + 1], sum);
                sum = ck_fma16(ck_load16(rows[ky] + after), taps[3 * ky + 2], sum);
                rows[ky] += ld;
            }
        } else {
            for (size_t ky = 0; ky < 3; ky++) {
                sum = ck_fma16(ck_load16_part(rows[ky] + before, s->count), taps[3 * ky], sum);
                sum = ck_fma16(ck_load16_part(rows[ky], s->count), taps[3 * ky + 1], sum);
                sum = ck_fma16(ck_load16_part(rows[ky] + after, s->count), taps[3 * ky + 2], sum);
                rows[ky] += ld;
            }
        }
        *out = sum;
    }
}

// Pixels [from, to) of a row, of which any may lie at the edge.
CK_TARGET_AVX512 static void convolve_strip(const ck_gated_maps *m, const channels16 *s, size_t row, size_t from, size_t to, ck_f16x *out) {
    size_t first = from == 0 ? 1 : from, last = to == m->w && to > first ? to - 1 : to;
    if (from < first) { convolve(m, s, row, 0, 1, false, m->w > 1, out); }
    convolve(m, s, row, first, last, true, true, out + (first - from));
    if (last < to) { convolve(m, s, row, last, to, true, false, out + (last - from)); }
}

// The two maps one after the other, so that the taps of either stay in registers.
CK_TARGET_AVX512 static void glu_avx512(const ck_gated_maps *m) {
    const size_t ldy = m->ldy;
    for (size_t c = 0; c < m->c; c += 16) {
        channels16 a, g;
        load_channels(m, m->a, m->wa, m->ba, c, &a);
        load_channels(m, m->g, m->wg, m->bg, c, &g);
        for (size_t row = m->row0; row < m->row1; row++) {
            for (size_t from = 0; from < m->w; from += strip) {
                size_t to = m->w - from < strip ? m->w : from + strip;
                ck_f16x values[strip], gates[strip];
                convolve_strip(m, &a, row, from, to, values);
                convolve_strip(m, &g, row, from, to, gates);
                float *out = m->y + (row * m->w + from) * ldy + c;
                for (size_t i = 0; i < to - from; i++, out += ldy) {
                    __builtin_prefetch(out + ahead * ldy, 1);  // the pixels of y lie far apart
                    ck_store16_part(out, values[i] * ck_silu16(gates[i]), a.count);
                }
            }
        }
    }
}
#endif

void ck_depthwise_glu(int isa, ck_gated_maps maps) {
#if CK_X86
    if (isa >= CK_ISA_AVX512) {
        glu_avx512(&maps);
        return;
    }
#endif
    CK_CALL(isa, glu, &maps);
}
