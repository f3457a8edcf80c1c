// Numbers of the machine that C has no operator for: the one NaN, minimum and maximum without it, conversions that saturate, halves.
#pragma once
#include "machine.h"
#include <math.h>
#include <string.h>

static inline u32 bits_of(float v) {
    u32 b;
    memcpy(&b, &v, 4);
    return b;
}
static inline float float_of(u32 b) {
    float v;
    memcpy(&v, &b, 4);
    return v;
}
static inline float canonical(float v) { return v == v ? v : float_of(0x7fffffff); }

// Of a number and a NaN the number; -0 is less than 0.
static inline float least(float a, float b) { return a != a ? b : b != b ? a : a == b ? float_of(bits_of(a) | bits_of(b)) : a < b ? a : b; }
static inline float most(float a, float b) { return a != a ? b : b != b ? a : a == b ? float_of(bits_of(a) & bits_of(b)) : a > b ? a : b; }
static inline double least64(double a, double b) { return a != a ? b : b != b ? a : a == b ? (signbit(a) ? a : b) : a < b ? a : b; }
static inline double most64(double a, double b) { return a != a ? b : b != b ? a : a == b ? (signbit(a) ? b : a) : a > b ? a : b; }

// To an integer what lies beyond becomes its bound, and a NaN 0; of 64 bits a NaN becomes the highest bit alone.
static inline s32 to_s32(double v) { return v != v ? 0 : v <= -2147483648.0 ? INT32_MIN : v >= 2147483647.0 ? INT32_MAX : (s32)v; }
static inline u32 to_u32(double v) { return v != v || v <= 0 ? 0 : v >= 4294967295.0 ? UINT32_MAX : (u32)v; }
static inline s64 to_s64(double v) { return v != v || v <= -9223372036854775808.0 ? INT64_MIN : v >= 9223372036854775808.0 ? INT64_MAX : (s64)v; }
static inline u64 to_u64(double v) { return v != v ? UINT64_C(1) << 63 : v <= 0 ? 0 : v >= 18446744073709551616.0 ? UINT64_MAX : (u64)v; }

// All of these take and give bits.
static inline u32 bf16_of_float(u32 b) { return (b & 0x7fffffff) > 0x7f800000 ? 0x7fff : (b + 0x7fff + (b >> 16 & 1)) >> 16; }
static inline u32 float_of_half(u16 h) {
    const u32 sign = (u32)(h >> 15) << 31, exponent = h >> 10 & 31, mantissa = h & 1023;
    if (exponent == 31) return mantissa ? 0x7fffffff : sign | 0x7f800000;
    if (exponent == 0) return sign | bits_of((float)mantissa * 0x1p-24f);
    return sign | (exponent + 112) << 23 | mantissa << 13;
}
static inline u32 half_of_float(u32 b) {
    const u32 sign = b >> 16 & 0x8000, magnitude = b & 0x7fffffff;
    if (magnitude > 0x7f800000) return 0x7fff;
    if (magnitude >= 0x477ff000) return sign | 0x7c00;
    // Below the normal ones: adding a half puts the last bit that counts at the end of the mantissa.
    if (magnitude < 0x38800000) return sign | (bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f));
    return sign | (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13;
}
