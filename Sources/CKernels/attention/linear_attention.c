// ReLU linear attention: per head one [d, d] matrix and one [d] vector summed over all tokens, then applied to each.
#include "linear_attention.h"

enum { max_d = CK_LINEAR_ATTENTION_MAX_D, block = 4 };

// One head's rows of `block` tokens as doubles; rows past the last token are zero, and so add nothing.
CK_INLINE void load_block(const float *x, size_t ld, size_t count, size_t d, bool relu, double rows[block][max_d]) {
    for (size_t t = 0; t < block; t++) {
        for (size_t i = 0; i < d; i++) {
            double v = t < count ? (double)x[t * ld + i] : 0.0;
            rows[t][i] = relu && v < 0.0 ? 0.0 : v;
        }
    }
}

CK_INLINE void head_body(const ck_linear_heads *h, const float *q, const float *k, const float *v, float *out) {
    const size_t d = h->d, t = h->t, ld = h->ld, ldo = h->ldo;
    const bool relu = h->relu;
    double a[max_d][max_d];  // a[j][i] = sum over tokens of k[j] v[i]
    double z[max_d];
    double left[block][max_d], right[block][max_d];
    for (size_t j = 0; j < d; j++) {
        z[j] = 0;
        for (size_t i = 0; i < d; i++) { a[j][i] = 0; }
    }
    for (size_t r = 0; r < t; r += block) {
        size_t count = t - r < block ? t - r : block;
        load_block(k + r * ld, ld, count, d, relu, left);
        load_block(v + r * ld, ld, count, d, false, right);
        for (size_t j = 0; j < d; j++) {
            double k0 = left[0][j], k1 = left[1][j], k2 = left[2][j], k3 = left[3][j];
            z[j] += (k0 + k1) + (k2 + k3);
            for (size_t i = 0; i < d; i++) {
                a[j][i] += (k0 * right[0][i] + k1 * right[1][i]) + (k2 * right[2][i] + k3 * right[3][i]);
            }
        }
    }
    for (size_t r = 0; r < t; r += block) {
        size_t count = t - r < block ? t - r : block;
        double denominator[block];
        load_block(q + r * ld, ld, count, d, relu, left);
        for (size_t b = 0; b < block; b++) {
            denominator[b] = h->eps;
            for (size_t i = 0; i < d; i++) { right[b][i] = 0; }
        }
        for (size_t j = 0; j < d; j++) {
            double q0 = left[0][j], q1 = left[1][j], q2 = left[2][j], q3 = left[3][j];
            denominator[0] += q0 * z[j];
            denominator[1] += q1 * z[j];
            denominator[2] += q2 * z[j];
            denominator[3] += q3 * z[j];
            for (size_t i = 0; i < d; i++) {
                right[0][i] += q0 * a[j][i];
                right[1][i] += q1 * a[j][i];
                right[2][i] += q2 * a[j][i];
                right[3][i] += q3 * a[j][i];
            }
        }
        for (size_t b = 0; b < count; b++) {
            for (size_t i = 0; i < d; i++) { out[(r + b) * ldo + i] = (float)(right[b][i] / denominator[b]); }
        }
    }
}
CK_VARIANTS(head, (const ck_linear_heads *h, const float *q, const float *k, const float *v, float *out), (h, q, k, v, out))

bool ck_linear_attention(int isa, ck_linear_heads h) {
    if (h.d == 0 || h.d > max_d) { return false; }
    for (size_t i = h.h0; i < h.h1; i++) {
        size_t at = i * h.head_stride;
        const float *q = (const float *)h.q + at, *k = (const float *)h.k + at, *v = (const float *)h.v + at;
        float *out = (float *)h.out + i * h.d;
#if CK_X86
        if (isa >= CK_ISA_AVX512) {
            ck_linear_attention_head_avx512(&h, q, k, v, out);
            continue;
        }
#endif
        CK_CALL(isa, head, &h, q, k, v, out);
    }
    return true;
}
