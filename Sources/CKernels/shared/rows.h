// Loops over one row that more than one kernel runs.
#ifndef CKERNELS_ROWS_H
#define CKERNELS_ROWS_H

#include "kernel_math.h"

/// y = (x - mean) / sqrt(variance + eps) * (1 + scale) + shift over k elements, in double, rounded once.
CK_INLINE void ck_layernorm_row(const float *x, const float *scale, const float *shift, double eps, float *y, size_t k) {
    double mean = ck_row_sum(x, k) / (double)k;
    double factor = 1.0 / sqrt(ck_row_squares(x, mean, k) / (double)k + eps);
    if (scale && shift) {
        CK_INDEPENDENT
        for (size_t i = 0; i < k; i++) {
            y[i] = (float)(((double)x[i] - mean) * factor * (1.0 + (double)scale[i]) + (double)shift[i]);
        }
    } else {
        for (size_t i = 0; i < k; i++) {
            double v = ((double)x[i] - mean) * factor;
            v *= 1.0 + (scale ? (double)scale[i] : 0.0);
            y[i] = (float)(v + (shift ? (double)shift[i] : 0.0));
        }
    }
}

#endif
