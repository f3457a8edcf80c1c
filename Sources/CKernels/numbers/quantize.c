// Activations to int8 with one scale per row, and back.
#include "../shared/quantize.h"

CK_INLINE void quantize_body(const float *x, size_t ldx, int8_t *q, float *s, size_t m, size_t k) {
    for (size_t r = 0; r < m; r++) {
        float scale = s[r] = ck_row_scale(x + r * ldx, k);
        for (size_t i = 0; i < k; i++) { q[r * k + i] = (int8_t)ck_quantized(x[r * ldx + i], scale); }
    }
}
CK_VARIANTS(quantize, (const float *x, size_t ldx, int8_t *q, float *s, size_t m, size_t k), (x, ldx, q, s, m, k))

CK_INLINE void dequantize_body(const int8_t *q, const float *s, float *y, size_t ldy, size_t m, size_t k) {
    for (size_t r = 0; r < m; r++) {
        for (size_t i = 0; i < k; i++) { y[r * ldy + i] = (float)q[r * k + i] * s[r]; }
    }
}
CK_VARIANTS(dequantize, (const int8_t *q, const float *s, float *y, size_t ldy, size_t m, size_t k), (q, s, y, ldy, m, k))

void ck_quantize_rows_s8(int isa, const void *x, size_t ldx, void *q, void *s, size_t m, size_t k) {
    CK_CALL(isa, quantize, x, ldx, q, s, m, k);
}

void ck_dequantize_rows_s8(int isa, const void *q, const void *s, void *y, size_t ldy, size_t m, size_t k) {
    CK_CALL(isa, dequantize, q, s, y, ldy, m, k);
}
