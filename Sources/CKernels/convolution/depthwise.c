// Depthwise convolution, channels-last.
#include "../shared/internal.h"
#include "../shared/kernel_math.h"

// One output pixel: taps [y0, y1) x [x0, x1) of the kernel lie inside the image; `corner` is the input under tap (0, 0),
// which may itself lie outside and is then not read. Channels [from, to).
CK_INLINE void depthwise_pixel(
    const float *image, ptrdiff_t corner, const float *weight, const float *bias, float *y, size_t row_stride, size_t c,
    size_t ks, size_t y0, size_t y1, size_t x0, size_t x1, size_t from, size_t to) {
    size_t i = from;
    for (; i + 8 <= to; i += 8) {
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
    for (; i < to; i++) {
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

// Four neighbouring pixels, sixteen channels at a time: each input is widened once for all of them, each weight once for the
// four. All taps [y0, y1) x ks lie inside the image. A product of two floats is exact in double, so that to fuse it changes no bit.
CK_INLINE void depthwise_four(
    const size_t ks, const float *image, ptrdiff_t corner, const float *weight, const float *bias, float *y, size_t row_stride,
    size_t c, size_t y0, size_t y1, size_t from, size_t to) {
#pragma clang fp contract(fast)
    enum { pixels = 4, kernel_max = 5 };
    for (size_t i = from; i < to; i += 16) {
        ck_d8 sum[pixels][2];
#pragma clang loop unroll(full)
        for (size_t p = 0; p < pixels; p++) {
            sum[p][0] = sum[p][1] = (ck_d8){0};
            if (bias) { ck_load8(bias + i, &sum[p][0]), ck_load8(bias + i + 8, &sum[p][1]); }
        }
        for (size_t ky = y0; ky < y1; ky++) {
            const float *x = image + (corner + (ptrdiff_t)(ky * row_stride + i));
            ck_d8 w[kernel_max][2];
#pragma clang loop unroll(full)
            for (size_t kx = 0; kx < ks; kx++) {
                ck_load8(weight + (ky * ks + kx) * c + i, &w[kx][0]);
                ck_load8(weight + (ky * ks + kx) * c + i + 8, &w[kx][1]);
            }
#pragma clang loop unroll(full)
            for (size_t column = 0; column < pixels + ks - 1; column++) {
                ck_d8 a, b;
                ck_load8(x + column * c, &a);
                ck_load8(x + column * c + 8, &b);
#pragma clang loop unroll(full)
                for (size_t p = 0; p < pixels; p++) {
                    if (column < p || column - p >= ks) { continue; }
                    sum[p][0] += a * w[column - p][0];
                    sum[p][1] += b * w[column - p][1];
                }
            }
        }
#pragma clang loop unroll(full)
        for (size_t p = 0; p < pixels; p++) {
#pragma clang loop unroll(full)
            for (size_t half = 0; half < 2; half++) {
                ck_f8 rounded = __builtin_convertvector(sum[p][half], ck_f8);
                memcpy(y + p * c + i + 8 * half, &rounded, sizeof rounded);
            }
        }
    }
}

CK_INLINE void depthwise_body(
    const float *x, const float *weight, const float *bias, float *y, size_t h, size_t w, size_t c, size_t ks,
    size_t row0, size_t row1) {
    // Some channels of all rows after the others: the rows that several output rows read then stay in the second cache.
    enum { block = 64 };
    size_t pad = ks / 2;
    for (size_t from = 0; from < c; from += block) {
        size_t to = c - from < block ? c : from + block;
        for (size_t r = row0; r < row1; r++) {
            size_t y0 = first_tap(r, pad), y1 = last_tap(r, pad, h, ks);
            for (size_t col = 0; col < w;) {
                ptrdiff_t corner = (((ptrdiff_t)r - (ptrdiff_t)pad) * (ptrdiff_t)w + (ptrdiff_t)col - (ptrdiff_t)pad) * (ptrdiff_t)c;
                float *out = y + (r * w + col) * c;
                bool inside = (to - from) % 16 == 0 && col >= pad && col + 4 + pad <= w;
                if (inside && ks == 3) {
                    depthwise_four(3, x, corner, weight, bias, out, w * c, c, y0, y1, from, to);
                } else if (inside && ks == 5) {
                    depthwise_four(5, x, corner, weight, bias, out, w * c, c, y0, y1, from, to);
                } else {
                    depthwise_pixel(
                        x, corner, weight, bias, out, w * c, c, ks, y0, y1, first_tap(col, pad), last_tap(col, pad, w, ks), from, to);
                    col++;
                    continue;
                }
                col += 4;
            }
        }
    }
}
CK_VARIANTS_512(
    depthwise,
    (const float *x, const float *weight, const float *bias, float *y, size_t h, size_t w, size_t c, size_t ks, size_t row0,
     size_t row1),
    (x, weight, bias, y, h, w, c, ks, row0, row1))

void ck_depthwise(
    int isa, const void *x, const void *weight, const void *bias, void *y, size_t h, size_t w, size_t c, size_t ks,
    size_t row0, size_t row1) {
    CK_CALL_512(isa, depthwise, x, weight, bias, y, h, w, c, ks, row0, row1);
}
