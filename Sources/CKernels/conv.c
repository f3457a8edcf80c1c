// Depthwise convolution, channels-last.
#include "kernel_math.h"

// One output pixel: taps [y0, y1) x [x0, x1) of the kernel lie inside the image; `corner` is the input under tap (0, 0),
// which may itself lie outside and is then not read.
CK_INLINE void depthwise_pixel(
    const float *image, ptrdiff_t corner, const float *weight, const float *bias, float *y, size_t row_stride, size_t c,
    size_t ks, size_t y0, size_t y1, size_t x0, size_t x1) {
    size_t i = 0;
    for (; i + 8 <= c; i += 8) {
        ck_d8 sum = {0};
        if (bias) { ck_load8(bias + i, &sum); }
        for (size_t ky = y0; ky < y1; ky++) {
            for (size_t kx = x0; kx < x1; kx++) {
                const float *x = image + (corner + (ptrdiff_t)(ky * row_stride + kx * c + i));
                ck_d8 a, b;
                ck_load8(x, &a);
                ck_load8(weight + (ky * ks + kx) * c + i, &b);
                sum += a * b;
            }
        }
        ck_f8 rounded = __builtin_convertvector(sum, ck_f8);
        memcpy(y + i, &rounded, sizeof rounded);
    }
    for (; i < c; i++) {
        double sum = bias ? (double)bias[i] : 0.0;
        for (size_t ky = y0; ky < y1; ky++) {
            for (size_t kx = x0; kx < x1; kx++) {
                const float *x = image + (corner + (ptrdiff_t)(ky * row_stride + kx * c + i));
                sum += (double)*x * (double)weight[(ky * ks + kx) * c + i];
            }
        }
        y[i] = (float)sum;
    }
}

// First and one-past-last tap that meet an axis of `size` when the kernel is centred on `at`.
CK_INLINE size_t first_tap(size_t at, size_t pad) { return at < pad ? pad - at : 0; }
CK_INLINE size_t last_tap(size_t at, size_t pad, size_t size, size_t ks) {
    return at + pad < size ? ks : size + pad - at;
}

CK_INLINE void depthwise_body(
    const float *x, const float *weight, const float *bias, float *y, size_t h, size_t w, size_t c, size_t ks,
    size_t row0, size_t row1) {
    size_t pad = ks / 2;
    for (size_t r = row0; r < row1; r++) {
        size_t y0 = first_tap(r, pad), y1 = last_tap(r, pad, h, ks);
        for (size_t col = 0; col < w; col++) {
            ptrdiff_t corner = (((ptrdiff_t)r - (ptrdiff_t)pad) * (ptrdiff_t)w + (ptrdiff_t)col - (ptrdiff_t)pad) * (ptrdiff_t)c;
            depthwise_pixel(
                x, corner, weight, bias, y + (r * w + col) * c, w * c, c, ks, y0, y1, first_tap(col, pad),
                last_tap(col, pad, w, ks));
        }
    }
}
CK_VARIANTS(
    depthwise,
    (const float *x, const float *weight, const float *bias, float *y, size_t h, size_t w, size_t c, size_t ks, size_t row0,
     size_t row1),
    (x, weight, bias, y, h, w, c, ks, row0, row1))

void ck_depthwise(
    int isa, const void *x, const void *weight, const void *bias, void *y, size_t h, size_t w, size_t c, size_t ks,
    size_t row0, size_t row1) {
    CK_CALL(isa, depthwise, x, weight, bias, y, h, w, c, ks, row0, row1);
}
