// Softmax without limits or cap, in float32 with AVX-512.
#include "kernel_math.h"
#include "vectors16.h"

#if CK_X86
CK_INLINE_AVX512 float largest(ck_f16x v) {
    float values[16];
    memcpy(values, &v, sizeof values);
    for (size_t half = 8; half > 0; half /= 2) {
        for (size_t i = 0; i < half; i++) { values[i] = values[i] > values[i + half] ? values[i] : values[i + half]; }
    }
    return values[0];
}

CK_INLINE_AVX512 float total(ck_f16x v) {
    float sums[16];
    memcpy(sums, &v, sizeof sums);
    for (size_t half = 8; half > 0; half /= 2) {
        for (size_t i = 0; i < half; i++) { sums[i] += sums[i + half]; }
    }
    return sums[0];
}

CK_TARGET_AVX512 static void softmax_row(float *x, size_t n, float scale) {
    size_t whole = n / 16 * 16, rest = n - whole;
    ck_f16x top = ck_splat16(-INFINITY), sum = {0};
    for (size_t i = 0; i < whole; i += 16) { top = __builtin_elementwise_max(top, ck_load16(x + i)); }
    float most = largest(top);
    for (size_t i = whole; i < n; i++) { most = x[i] > most ? x[i] : most; }
    ck_f16x offset = ck_splat16(most), factor = ck_splat16(scale);
    for (size_t i = 0; i < whole; i += 16) {
        ck_f16x e = ck_exp16((ck_load16(x + i) - offset) * factor);
        ck_store16(x + i, e);
        sum += e;
    }
    if (rest > 0) {
        // Lanes past the end would count in the sum.
        ck_f16x e = ck_exp16((ck_load16_part(x + whole, rest) - offset) * factor), kept = {0};
        memcpy(&kept, &e, rest * sizeof(float));
        ck_store16_part(x + whole, kept, rest);
        sum += kept;
    }
    ck_f16x inverse = ck_splat16(1.0f / total(sum));
    for (size_t i = 0; i < whole; i += 16) { ck_store16(x + i, ck_load16(x + i) * inverse); }
    for (size_t i = whole; i < n; i++) { x[i] *= inverse[0]; }
}
#endif

void ck_softmax_rows_f32(int isa, void *x, size_t ld, size_t m, size_t n, double scale) {
#if CK_X86
    if (isa >= CK_ISA_AVX512) {
        for (size_t r = 0; r < m && n > 0; r++) { softmax_row((float *)x + r * ld, n, (float)scale); }
        return;
    }
#endif
    ck_softmax_rows(isa, x, ld, m, n, scale, 0, -1, 0);
}
