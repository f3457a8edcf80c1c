// The float32 tile of dense convolutions with AVX-512: 12 pixels x 32 channels in 24 accumulators.
#include "avx512.h"

#if CK_X86
#define CK_TARGET CK_TARGET_AVX512
#define V __m512
#define LANES 16
#define TILE 12
#define LOAD _mm512_loadu_ps
#define STORE _mm512_storeu_ps
#define SET1 _mm512_set1_ps
#define ADD _mm512_add_ps
#define FMA _mm512_fmadd_ps
#define ZERO _mm512_setzero_ps
#include "conv_f32.h"

#define ADD_NAME ck_conv_f32_add_avx512
#define SPREAD_NAME ck_conv_f32_spread_avx512
#include "conv_tile_cases.h"
#endif
