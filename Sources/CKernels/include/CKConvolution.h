/// Convolutions of channels-last images, in float32 and in int8, and what surrounds them in a residual block. Part of CKernels.h, whose
/// rules hold.
#ifndef CKCONVOLUTION_H
#define CKCONVOLUTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- Depthwise convolution (convolution/depthwise.c)

/// Depthwise convolution, stride 1, odd kernel ks x ks, zero padding ks/2: rows [row0, row1) of y [h, w, c].
///
/// x [h, w, c]; weight [ks*ks, c], tap-major (a checkpoint's [c, 1, ks, ks] transposed); bias [c] or NULL. x and y point
/// at row 0 of the whole image. Sums in double, one rounding.
void ck_depthwise(
    int isa, const void *x, const void *weight, const void *bias, void *y, size_t h, size_t w, size_t c, size_t ks,
    size_t row0, size_t row1);

// ---- The gated unit of the mix-FFN (convolution/depthwise_glu.c)

/// Maps a and g [h, w, c] whose pixels are ldu elements apart, and 3x3 weights [9, c] tap-major with rows ldw apart.
typedef struct {
    const float *a, *g;
    size_t ldu;
    const float *wa, *wg;
    size_t ldw;
    const float *ba, *bg;  ///< biases [c]
    float *y;              ///< [h * w, c] (ldy)
    size_t ldy;
    size_t h, w, c;
    size_t row0, row1;     ///< rows [row0, row1) of y, from the rows of a and g around them
} ck_gated_maps;

/// y = depthwise(a) * silu(depthwise(g)), with zero padding.
///
/// Computed in float32 with AVX-512 (each convolution within 10 * 2^-24 * (sum of |x * w|), silu within 3 ulp), in double else.
void ck_depthwise_glu(int isa, ck_gated_maps maps);

// ---- Dense 3x3 convolutions, padding 1 (convolution/dense.c, convolution/tiles_avx2.c,
//      convolution/tiles_avx512.c)
//
// Images come as rows of w + 2 pixels, the first and the last of them zeros: they are the padding at the left and right.
// A row above or below the image is NULL. So a band of rows is enough to compute with, wherever it lies.
//
// float32: pixels are f32 [c]. The sum over taps and channels is rounded in an order that depends on the instruction
// set, and on whether there are more than four outputs; it is judged against float64.
// int8: pixels are what `ck_conv_i8_quantize` made, one scale for each, `ck_conv_i8_pixel_bytes` long. Every instruction
// set gives the same bits: for the taps ky*3 + kx in order, f = fmaf(scale of the tap's pixel, (float)accumulator, f)
// from f = 0, then y = fmaf(f, sw[n], bias[n]) (Formats/schemes.md, "The integer contract").
//
// Weights [n, 3, 3, c] are packed once for an instruction set; the packed form is private to the process. For n a
// multiple of `ck_conv_panel` the packed bytes of n channels are also the offset of channel n. int8 values lie in
// [-127, 127], c is at most 65536.

/// Output channels per panel of packed weights.
size_t ck_conv_panel(int isa);
size_t ck_conv_f32_packed_bytes(int isa, size_t n, size_t c);
void ck_conv_f32_pack(int isa, const void *w, size_t n, size_t c, void *packed);
size_t ck_conv_i8_packed_bytes(int isa, size_t n, size_t c);
void ck_conv_i8_pack(int isa, const void *w, size_t n, size_t c, void *packed);

/// Bytes of a quantized pixel of c channels.
size_t ck_conv_i8_pixel_bytes(int isa, size_t c);

/// The packed weights of a convolution from c to n channels.
typedef struct {
    size_t c, n;
    const void *packed;
    const float *sw;    ///< int8: scales [n]; NULL in float32
    const float *bias;  ///< [n] or NULL
} ck_conv_weights;

/// Pixels [x0, x1) of an output row y f32 [.., n] of an image; y points at pixel 0.
///
/// rows[ky], ky < 3: the input row under that tap, or NULL. In int8, scales[ky]: f32 [w + 2] of rows[ky]; those of the padding may be any
/// finite number. step: 1, or 2 for every second column.
void ck_conv(
    int isa, ck_conv_weights w, const void *const *rows, const void *const *scales, size_t step, size_t x0, size_t x1, void *y);

/// Most input rows of one call of `ck_upconv`.
enum { CK_UPCONV_MAX_ROWS = 4 };

/// The convolution of an image doubled in both directions by repetition, without making the doubled image.
///
/// Each product of a tap with an input pixel is computed once and added to the four output pixels that it belongs to:
/// a quarter of the work, in the same order of taps (the same bits in int8, and in float32 for more than four outputs). rows and scales
/// [count + 2]: the input rows from one above to one below the `count` rows worked on, NULL outside the image. y [2 * count]: the output
/// rows f32 [2w, n], of which columns [2*x0, 2*x1) are written.
void ck_upconv(
    int isa, ck_conv_weights w, const void *const *rows, const void *const *scales, size_t count, size_t x0, size_t x1, void *const *y);

// ---- The same in float32 by Winograd's F(2x2, 3x3) (convolution/winograd.c)
//
// 16 products for two by two outputs where `ck_conv` takes 36. Sums and differences of inputs and of products come before and after
// them, rounded to float32; the weights are transformed in double. Against float64 the error is at most about twice that of `ck_conv`.
// Results do not depend on how rows are cut into ranges of pixels.

/// Bytes of n packed and transformed channels; for n a multiple of `ck_conv_panel` the offset of channel n. 16/9 of the plain weights.
size_t ck_winograd_packed_bytes(int isa, size_t n, size_t c);
/// Transforms and packs weights f32 [n, 3, 3, c]. Who splits channels splits them at multiples of `ck_conv_panel`.
void ck_winograd_pack(int isa, const void *w, size_t n, size_t c, void *packed);
/// Bytes of scratch that a call needs.
size_t ck_winograd_scratch_bytes(size_t c);
/// Pixels [x0, x1) of two output rows, the first of which has an even number in its image of `width` columns.
///
/// rows [4]: the input rows from one above the first output row on, NULL outside the image. y [2]: the output rows f32 [width, n]; the
/// second is NULL where the image has an odd number of rows and ends with the first. Weights are those of `ck_winograd_pack`, without sw.
void ck_winograd(
    int isa, ck_conv_weights w, const void *const *rows, size_t width, size_t x0, size_t x1, void *const *y, void *scratch);

// ---- Around them (convolution/around.c). Float32 arithmetic with fused multiply-adds, the same bits on every instruction set.

/// Quantizes m pixels x f32 [m, c] to the kernel's form q and scales s f32 [m], by the formulas of `ck_quantize_rows_s8`.
void ck_conv_i8_quantize(int isa, const void *x, size_t c, void *q, void *s, size_t m);
/// y = silu(x), within 2 ulp. In place allowed.
void ck_silu_f32(int isa, const void *x, void *y, size_t n);
/// y [m, k] = base [m, k] + rmsnorm(x [m, k]) * weight [k] + bias [k]; base may be NULL (0). In place allowed.
///
/// The sum of squares is taken in double, the rest in float32.
void ck_rmsnorm_add(
    int isa, const void *x, const void *weight, const void *bias, double eps, const void *base, void *y, size_t m, size_t k);

/// Pixels [x0, x1) of row y f32 [2w, outputs] of a doubled image += the parameter-free shortcut of row x f32 [w, inputs]:
/// channel i of an output pixel in row dy and column dx of its two by two takes channel (4i + 2dy + dx) / repeats of the
/// input pixel, repeats = 4 * outputs / inputs, a whole number. Source: DCUpBlock2d in diffusers' autoencoder_dc.py.
void ck_add_doubled(int isa, const void *x, size_t inputs, size_t dy, void *y, size_t outputs, size_t x0, size_t x1);

#endif
