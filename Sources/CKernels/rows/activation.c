// Activation functions and gated products. Each element is computed in double and rounded once.
#include "../shared/kernel_math.h"

// A kernel y[i] = expression of x[i], for all instruction sets.
#define CK_MAP(name, expression)                                                   \
    CK_INLINE void name##_body(const float *x, float *y, size_t n) {               \
        CK_INDEPENDENT                                                             \
        for (size_t i = 0; i < n; i++) {                                           \
            double v = (double)x[i];                                               \
            y[i] = (float)(expression);                                            \
        }                                                                          \
    }                                                                              \
    CK_VARIANTS_512(name, (const float *x, float *y, size_t n), (x, y, n))         \
    void name(int isa, const void *x, void *y, size_t n) { CK_CALL_512(isa, name, x, y, n); }

CK_MAP(ck_silu, ck_silu_double(v))
CK_MAP(ck_gelu_tanh, ck_gelu_tanh_double(v))
CK_MAP(ck_relu, v < 0.0 ? 0.0 : v)

CK_INLINE void glu_silu_body(const float *u, float *y, size_t m, size_t h) {
    for (size_t r = 0; r < m; r++) {
        const float *a = u + r * 2 * h, *g = a + h;
        float *out = y + r * h;
        CK_INDEPENDENT
        for (size_t i = 0; i < h; i++) { out[i] = (float)((double)a[i] * ck_silu_double((double)g[i])); }
    }
}
CK_VARIANTS_512(glu_silu, (const float *u, float *y, size_t m, size_t h), (u, y, m, h))

CK_INLINE void geglu_tanh_body(const float *gate, const float *up, float *y, size_t n) {
    CK_INDEPENDENT
    for (size_t i = 0; i < n; i++) { y[i] = (float)(ck_gelu_tanh_double((double)gate[i]) * (double)up[i]); }
}
CK_VARIANTS_512(geglu_tanh, (const float *gate, const float *up, float *y, size_t n), (gate, up, y, n))

void ck_glu_silu(int isa, const void *u, void *y, size_t m, size_t h) { CK_CALL_512(isa, glu_silu, u, y, m, h); }
void ck_geglu_tanh(int isa, const void *gate, const void *up, void *y, size_t n) { CK_CALL_512(isa, geglu_tanh, gate, up, y, n); }
