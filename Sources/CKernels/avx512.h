// The AVX-512 intrinsics, or portable stand-ins for them.
#ifndef CKERNELS_AVX512_H
#define CKERNELS_AVX512_H

#include "internal.h"

#if CK_X86
#ifdef CK_EMULATE_AVX512
// Test builds on a CPU without AVX-512: the same source over portable intrinsics (`make test-avx512`).
#include "avx512_simde.h"
#else
#include <immintrin.h>
#endif
#endif

#endif
