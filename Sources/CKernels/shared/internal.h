// What the kernel sources share: how a body is compiled for more than one instruction set.
#ifndef CKERNELS_INTERNAL_H
#define CKERNELS_INTERNAL_H

#include "CKernels.h"

#define CK_INLINE static inline __attribute__((always_inline))
#define CK_JOIN_(a, b) a##b
#define CK_JOIN(a, b) CK_JOIN_(a, b)

#if defined(__x86_64__)
#define CK_X86 1
#define CK_TARGET_AVX2 __attribute__((target("avx2,fma,f16c")))
#ifdef CK_EMULATE_AVX512
#define CK_TARGET_AVX512
#define CK_TARGET_AVX512_BF16
#else
#define CK_TARGET_AVX512 __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define CK_TARGET_AVX512_BF16 __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")))
#endif
#else
#define CK_X86 0
#define CK_TARGET_AVX2
#define CK_TARGET_AVX512
#endif

// Compiles `name_body` twice, as baseline and as AVX2, for CK_CALL to choose from. The bodies contain no fused
// operation but fmaf and fix the order of their sums, so both give the same bits.
#define CK_VARIANTS(name, parameters, arguments)                                   \
    static void name##_plain parameters { name##_body arguments; }                 \
    CK_TARGET_AVX2 static void name##_avx2 parameters { name##_body arguments; }

#define CK_CALL(isa, name, ...)                                                    \
    do {                                                                           \
        if ((isa) >= CK_ISA_AVX2) { name##_avx2(__VA_ARGS__); }                    \
        else { name##_plain(__VA_ARGS__); }                                        \
    } while (0)

// The same with a third variant for AVX-512.
#define CK_VARIANTS_512(name, parameters, arguments)                               \
    CK_VARIANTS(name, parameters, arguments)                                       \
    CK_TARGET_AVX512 static void name##_avx512 parameters { name##_body arguments; }

#define CK_CALL_512(isa, name, ...)                                                \
    do {                                                                           \
        if ((isa) >= CK_ISA_AVX512) { name##_avx512(__VA_ARGS__); }                \
        else { CK_CALL(isa, name, __VA_ARGS__); }                                  \
    } while (0)

/// a / b, rounded up.
CK_INLINE size_t ck_divided_up(size_t a, size_t b) { return a / b + (a % b != 0); }
CK_INLINE size_t ck_least(size_t a, size_t b) { return a < b ? a : b; }

#endif
