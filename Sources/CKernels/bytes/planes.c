// 16-bit values as a plane of high bytes and a plane of low bytes: the high bytes of trained weights (sign, exponent)
// compress, the low ones do not.
#include "../shared/internal.h"

CK_INLINE void split16_body(const uint8_t *x, uint8_t *high, uint8_t *low, size_t n) {
    for (size_t i = 0; i < n; i++) {
        low[i] = x[2 * i];
        high[i] = x[2 * i + 1];
    }
}
CK_VARIANTS(split16, (const uint8_t *restrict x, uint8_t *restrict high, uint8_t *restrict low, size_t n), (x, high, low, n))

CK_INLINE void merge16_body(const uint8_t *high, const uint8_t *low, uint8_t *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        x[2 * i] = low[i];
        x[2 * i + 1] = high[i];
    }
}
CK_VARIANTS(merge16, (const uint8_t *restrict high, const uint8_t *restrict low, uint8_t *restrict x, size_t n), (high, low, x, n))

void ck_split16(int isa, const void *x, void *high, void *low, size_t n) { CK_CALL(isa, split16, x, high, low, n); }
void ck_merge16(int isa, const void *high, const void *low, void *x, size_t n) { CK_CALL(isa, merge16, high, low, x, n); }
