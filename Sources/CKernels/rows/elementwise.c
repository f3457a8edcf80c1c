// Sums of tensors, with a vector per row where needed.
#include "../shared/kernel_math.h"

CK_INLINE void add_body(const float *a, const float *b, float *y, size_t n) {
    CK_INDEPENDENT
    for (size_t i = 0; i < n; i++) { y[i] = a[i] + b[i]; }
}
CK_VARIANTS_512(add, (const float *a, const float *b, float *y, size_t n), (a, b, y, n))

CK_INLINE void residual_gate_body(float *x, const float *gate, const float *y, size_t m, size_t k) {
    for (size_t r = 0; r < m; r++) {
        float *row = x + r * k;
        const float *update = y + r * k;
        if (gate) {
            CK_INDEPENDENT
            for (size_t i = 0; i < k; i++) { row[i] = (float)((double)row[i] + (double)gate[i] * (double)update[i]); }
        } else {
            CK_INDEPENDENT
            for (size_t i = 0; i < k; i++) { row[i] += update[i]; }
        }
    }
}
CK_VARIANTS_512(residual_gate, (float *x, const float *gate, const float *y, size_t m, size_t k), (x, gate, y, m, k))

void ck_add(int isa, const void *a, const void *b, void *y, size_t n) { CK_CALL_512(isa, add, a, b, y, n); }
void ck_residual_gate(int isa, void *x, const void *gate, const void *y, size_t m, size_t k) {
    CK_CALL_512(isa, residual_gate, x, gate, y, m, k);
}
