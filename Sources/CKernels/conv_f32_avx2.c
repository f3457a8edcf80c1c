// The float32 tile of dense convolutions with AVX2: 6 pixels x 16 channels in 12 accumulators.
#include "internal.h"

#if CK_X86
#include <immintrin.h>

#define CK_TARGET CK_TARGET_AVX2
#define V __m256
#define LANES 8
#define TILE 6
#define LOAD _mm256_loadu_ps
#define STORE _mm256_storeu_ps
#define SET1 _mm256_set1_ps
#define ADD _mm256_add_ps
#define FMA _mm256_fmadd_ps
#define ZERO _mm256_setzero_ps
#include "conv_f32.h"

#define ADD_NAME ck_conv_f32_add_avx2
#define SPREAD_NAME ck_conv_f32_spread_avx2
#include "conv_tile_cases.h"
#endif
