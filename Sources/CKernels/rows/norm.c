// LayerNorm with adaptive scale and shift, and RMSNorm.
#include "../shared/rows.h"

CK_INLINE void layernorm_body(const float *x, const float *scale, const float *shift, double eps, float *y, size_t m, size_t k) {
    for (size_t r = 0; r < m; r++) { ck_layernorm_row(x + r * k, scale, shift, eps, y + r * k, k); }
}
CK_VARIANTS_512(
    layernorm, (const float *x, const float *scale, const float *shift, double eps, float *y, size_t m, size_t k),
    (x, scale, shift, eps, y, m, k))

CK_INLINE void rmsnorm_body(
    const float *x, const float *weight, const float *bias, double offset, double eps, float *y, size_t m, size_t k) {
    for (size_t r = 0; r < m; r++) {
        const float *in = x + r * k;
        float *out = y + r * k;
        double factor = 1.0 / sqrt(ck_row_squares(in, 0, k) / (double)k + eps);
        if (weight && bias) {
            CK_INDEPENDENT
            for (size_t i = 0; i < k; i++) {
                out[i] = (float)((double)in[i] * factor * (offset + (double)weight[i]) + (double)bias[i]);
            }
        } else if (weight) {
            CK_INDEPENDENT
            for (size_t i = 0; i < k; i++) { out[i] = (float)((double)in[i] * factor * (offset + (double)weight[i])); }
        } else {
            for (size_t i = 0; i < k; i++) { out[i] = (float)((double)in[i] * factor + (bias ? (double)bias[i] : 0.0)); }
        }
    }
}
CK_VARIANTS_512(
    rmsnorm, (const float *x, const float *weight, const float *bias, double offset, double eps, float *y, size_t m, size_t k),
    (x, weight, bias, offset, eps, y, m, k))

void ck_layernorm_modulate(
    int isa, const void *x, const void *scale, const void *shift, double eps, void *y, size_t m, size_t k) {
    CK_CALL_512(isa, layernorm, x, scale, shift, eps, y, m, k);
}

void ck_rmsnorm(
    int isa, const void *x, const void *weight, const void *bias, double weight_offset, double eps, void *y, size_t m,
    size_t k) {
    CK_CALL_512(isa, rmsnorm, x, weight, bias, weight_offset, eps, y, m, k);
}
