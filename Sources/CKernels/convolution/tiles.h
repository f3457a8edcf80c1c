// Dense 3x3 convolutions: what the drivers (dense.c, winograd.c) and the kernels of the instruction sets share.
#ifndef CKERNELS_CONV_TILES_H
#define CKERNELS_CONV_TILES_H

#include "../shared/internal.h"

#include <string.h>

/// Channels of the widest panel, and pixels of the tallest tile.
enum { ck_conv_panel_max = 32, ck_conv_tile_max = 12 };

/// One tile: some pixels of one row x one panel of output channels, for one tap and a run of input channels.
///
/// Its sums are added to the accumulators at `to`, panels of floats that stand for the pixels of an output row: the
/// n-th pixel's to panel n of to[0] ("add"), or, where every input pixel stands for two by two ("spread"), to panels
/// column + 2n and column + 2n + 1 of both to[0] and to[1], as far as they lie in 0 ..< columns and to[j] is not NULL.
typedef struct {
    const uint8_t *pixels;   // the run's first channel of the first pixel
    size_t stride;           // bytes between pixels
    const float *scales;     // int8: the scale of the first pixel
    size_t scale_stride;
    const uint8_t *weights;  // the tap's weights of this panel, from the run's first channel on
    size_t depth;            // channels of the run
    float *to[2];
    ptrdiff_t column, columns;
} ck_conv_tile;

/// A kernel of one instruction set and element type, for c input channels.
typedef struct {
    size_t panel, tile;         // output channels of a panel, most pixels of a tile
    size_t pixel_bytes;         // of c channels
    size_t tap_bytes;           // packed weights of one tap for one panel
    size_t run;                 // most channels of a run; runs start at multiples of it
    size_t run_pixel_bytes;     // between runs in a pixel
    size_t run_weight_bytes;    // between runs in a tap
    bool scaled;                // int8: sums are multiplied with the scale of their pixel
    void (*add)(size_t pixels, const ck_conv_tile *t);
    void (*spread)(size_t pixels, const ck_conv_tile *t);
} ck_conv_kernel;

/// The kernel for float32 with c inputs and n outputs.
ck_conv_kernel ck_conv_kernel_f32(int isa, size_t c, size_t n);

#if CK_X86
void ck_conv_f32_add_avx2(size_t pixels, const ck_conv_tile *t);
void ck_conv_f32_spread_avx2(size_t pixels, const ck_conv_tile *t);
void ck_conv_f32_add_avx512(size_t pixels, const ck_conv_tile *t);
void ck_conv_f32_spread_avx512(size_t pixels, const ck_conv_tile *t);
void ck_conv_i8_add_avx2(size_t pixels, const ck_conv_tile *t);
void ck_conv_i8_spread_avx2(size_t pixels, const ck_conv_tile *t);
void ck_conv_i8_add_avx512(size_t pixels, const ck_conv_tile *t);
void ck_conv_i8_spread_avx512(size_t pixels, const ck_conv_tile *t);
#endif

/// Where the accumulators of pixel n lie, for `spread`: calls `body` with a `float *at` for each of up to four.
#define CK_CONV_SPREAD(t, n, panel, body)                                                    \
    for (ptrdiff_t i = 0; i < 2; i++) {                                                      \
        ptrdiff_t column = (t)->column + 2 * (ptrdiff_t)(n) + i;                             \
        if (column < 0 || column >= (t)->columns) { continue; }                              \
        for (int j = 0; j < 2; j++) {                                                        \
            if (!(t)->to[j]) { continue; }                                                   \
            float *at = (t)->to[j] + column * (panel);                                       \
            body                                                                             \
        }                                                                                    \
    }

#endif
