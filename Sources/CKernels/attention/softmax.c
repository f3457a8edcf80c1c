// Softmax over attention scores, with Gemma-2's soft cap and the causal and sliding-window limits.
#include "../shared/kernel_math.h"

CK_INLINE double capped(double x, double scale, double softcap) {
    double v = scale * x;
    return softcap > 0.0 ? softcap * ck_tanh_double(v / softcap) : v;
}

// The cap and a positive scale are monotonic, so the largest input has the largest score: one pass finds it, and a
// second one computes each exponential straight from its input.
CK_INLINE void softmax_row(float *x, size_t n, double scale, double softcap) {
    float largest = -INFINITY;
    for (size_t i = 0; i < n; i++) { largest = x[i] > largest ? x[i] : largest; }
    if (softcap > 0.0) {
        double top = capped((double)largest, scale, softcap);
        CK_INDEPENDENT
        for (size_t i = 0; i < n; i++) { x[i] = (float)ck_exp_double(capped((double)x[i], scale, softcap) - top); }
    } else {
        double top = scale * (double)largest;
        CK_INDEPENDENT
        for (size_t i = 0; i < n; i++) { x[i] = (float)ck_exp_double(scale * (double)x[i] - top); }
    }
    double factor = 1.0 / ck_row_sum(x, n);
    CK_INDEPENDENT
    for (size_t i = 0; i < n; i++) { x[i] = (float)((double)x[i] * factor); }
}

CK_INLINE void softmax_body(
    float *x, size_t ld, size_t m, size_t n, double scale, double softcap, size_t first, size_t window) {
    for (size_t r = 0; r < m; r++) {
        float *row = x + r * ld;
        size_t last = first + r, end = last < n ? last + 1 : n;
        size_t begin = window > 0 && last >= window ? ck_least(last - window + 1, end) : 0;
        for (size_t i = 0; i < begin; i++) { row[i] = 0; }
        for (size_t i = end; i < n; i++) { row[i] = 0; }
        if (begin < end) { softmax_row(row + begin, end - begin, scale, softcap); }
    }
}
CK_VARIANTS_512(
    softmax, (float *x, size_t ld, size_t m, size_t n, double scale, double softcap, size_t first, size_t window),
    (x, ld, m, n, scale, softcap, first, window))

void ck_softmax_rows(
    int isa, void *x, size_t ld, size_t m, size_t n, double scale, double softcap, size_t first, size_t window) {
    CK_CALL_512(isa, softmax, x, ld, m, n, scale, softcap, first, window);
}
