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

// As CK_VARIANTS and CK_CALL, with AVX-512 as well.
#define CK_VARIANTS_512(name, parameters, arguments)                               \
    CK_VARIANTS(name, parameters, arguments)                                       \
    CK_TARGET_AVX512 static void name##_avx512 parameters { name##_body arguments; }

#define CK_CALL_512(isa, name, ...)                                                \
    do {                                                                           \
        if ((isa) >= CK_ISA_AVX512) { name##_avx512(__VA_ARGS__); }                \
        else { CK_CALL(isa, name, __VA_ARGS__); }                                  \
    } while (0)

#endif
