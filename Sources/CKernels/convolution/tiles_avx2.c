// The tiles of dense convolutions with AVX2: 6 pixels x 16 channels in 12 accumulators.
//
// Pixels and packed weights of integers are held in 16 bits, for vpmaddwd: it adds two exact products into 32 bits.
#include "tiles.h"

#if CK_X86
#include "../shared/tile.h"

CK_TILE(add_f32, CK_TARGET_AVX2, ck_i8x, ck_dot_f32_avx2, 0, 0)
CK_TILE(add_s16, CK_TARGET_AVX2, ck_i8x, ck_dot_s16, 0, 0)

#define CK_TARGET CK_TARGET_AVX2
#define I ck_i8x
#define F ck_f8x
#define LANES 8
#define TILE 6

#define ADD add_f32
#define PER_UNIT 1
#define SCALED false
#define CORRECTED false
#define ADD_NAME ck_conv_f32_add_avx2
#define SPREAD_NAME ck_conv_f32_spread_avx2
#include "tile_kernel.h"

#define ADD add_s16
#define PER_UNIT 2
#define SCALED true
#define CORRECTED false
#define ADD_NAME ck_conv_i8_add_avx2
#define SPREAD_NAME ck_conv_i8_spread_avx2
#include "tile_kernel.h"
#endif
