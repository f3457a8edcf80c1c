// The tiles of dense convolutions with AVX-512: 12 pixels x 32 channels in 24 accumulators.
//
// vpdpbusd multiplies unsigned by signed bytes. Pixels of integers hold q + 128, and the weights of a tap begin with the
// corrections -128 * (sum of a channel's weights) of its panel, from which the accumulators start.
#include "tiles.h"

#if CK_X86
#include "../shared/tile.h"

CK_TILE(add_f32, CK_TARGET_AVX512, ck_i16x, ck_dot_f32, 0, 0)
CK_TILE(add_s8, CK_TARGET_AVX512, ck_i16x, ck_dot_s8, 0, 0)

#define CK_TARGET CK_TARGET_AVX512
#define I ck_i16x
#define F ck_f16x
#define LANES 16
#define TILE 12

#define ADD add_f32
#define PER_UNIT 1
#define SCALED false
#define CORRECTED false
#define ADD_NAME ck_conv_f32_add_avx512
#define SPREAD_NAME ck_conv_f32_spread_avx512
#include "tile_kernel.h"

#define ADD add_s8
#define PER_UNIT 4
#define SCALED true
#define CORRECTED true
#define ADD_NAME ck_conv_i8_add_avx512
#define SPREAD_NAME ck_conv_i8_spread_avx512
#include "tile_kernel.h"
#endif
