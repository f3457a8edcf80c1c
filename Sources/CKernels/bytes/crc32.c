// CRC-32 of zip and PNG (the reflected polynomial 0xEDB88320) by carry-less products: 64 bytes at a time are moved 512 bits on, modulo the
// polynomial. What remains, 16 bytes, goes bit by bit.
//
// The factors are x^(512 + 32), x^(512 - 32), x^(128 + 32) and x^(128 - 32) modulo the polynomial, reflected and shifted by one: products of
// reflected numbers come out one bit short. (V. Gopal and others, Fast CRC Computation for Generic Polynomials Using PCLMULQDQ, 2009.)
#include "../shared/internal.h"

#if CK_X86 && !defined(CK_EMULATE_AVX512)
#include <immintrin.h>

#define TARGET_CLMUL __attribute__((target("pclmul,sse4.1")))
#define CLMUL_INLINE static inline __attribute__((always_inline)) TARGET_CLMUL

CLMUL_INLINE __m128i load(const uint8_t *x) { return _mm_loadu_si128((const __m128i *)(const void *)x); }

// `x` moved on by the distance of the two factors.
CLMUL_INLINE __m128i fold(__m128i x, __m128i factors) {
    return _mm_xor_si128(_mm_clmulepi64_si128(x, factors, 0x00), _mm_clmulepi64_si128(x, factors, 0x11));
}

bool ck_crc32_supported(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}

TARGET_CLMUL uint32_t ck_crc32(uint32_t crc, const void *x, size_t blocks) {
    if (blocks == 0) { return crc; }
    const uint8_t *bytes = x;
    const __m128i far = _mm_set_epi64x(0x01C6E41596, 0x0154442BD4);
    const __m128i near = _mm_set_epi64x(0x00CCAA009E, 0x01751997D0);
    __m128i sums[4];
    for (int i = 0; i < 4; ++i) { sums[i] = load(bytes + 16 * i); }
    sums[0] = _mm_xor_si128(sums[0], _mm_cvtsi32_si128((int)~crc));
    for (size_t block = 1; block < blocks; ++block) {
        for (int i = 0; i < 4; ++i) { sums[i] = _mm_xor_si128(fold(sums[i], far), load(bytes + 64 * block + 16 * i)); }
    }
    __m128i sum = sums[0];
    for (int i = 1; i < 4; ++i) { sum = _mm_xor_si128(fold(sum, near), sums[i]); }
    uint8_t rest[16];
    _mm_storeu_si128((__m128i *)(void *)rest, sum);
    uint32_t state = 0;
    for (int i = 0; i < 16; ++i) {
        state ^= rest[i];
        for (int bit = 0; bit < 8; ++bit) { state = state >> 1 ^ (0xEDB88320 & -(state & 1)); }
    }
    return ~state;
}
#else
bool ck_crc32_supported(void) { return false; }

uint32_t ck_crc32(uint32_t crc, const void *x, size_t blocks) {
    (void)crc;
    (void)x;
    (void)blocks;
    __builtin_trap();
}
#endif
