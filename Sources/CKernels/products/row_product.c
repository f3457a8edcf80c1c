// One row times a matrix, summed in double.
#include "../shared/kernel_math.h"

CK_INLINE void row_product_body(const float *x, const float *w, float *y, size_t n, size_t k, bool adds) {
    for (size_t r = 0; r < n; r++, w += k) {
        ck_d8 a = {0}, b = {0};
        size_t i = 0;
        for (; i + 16 <= k; i += 16) {
            ck_d8 x0, x1, w0, w1;
            ck_load8(x + i, &x0);
            ck_load8(x + i + 8, &x1);
            ck_load8(w + i, &w0);
            ck_load8(w + i + 8, &w1);
            a += x0 * w0;
            b += x1 * w1;
        }
        double sum = ck_sum8(&a, &b);
        for (; i < k; i++) { sum += (double)x[i] * (double)w[i]; }
        y[r] = (float)(adds ? (double)y[r] + sum : sum);
    }
}
CK_VARIANTS_512(row_product, (const float *x, const float *w, float *y, size_t n, size_t k, bool adds), (x, w, y, n, k, adds))

void ck_row_product(int isa, const void *x, const void *w, void *y, size_t n, size_t k, bool adds) {
    CK_CALL_512(isa, row_product, x, w, y, n, k, adds);
}
