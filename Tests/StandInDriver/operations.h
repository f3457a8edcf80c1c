// What instructions compute, lane by lane, as the PTX manual says it. Included once for each instruction set, which names TABLE.
#include "machine.h"
#include "rounding.h"
#include <math.h>
#include <string.h>

#define EACH _Pragma("clang loop vectorize(assume_safety)") for (int l = 0; l < LANES; l++)
#define IN(T, k) const T *restrict v##k = (const T *)(r + i->from[k])
// D is what a lane of the result is kept as, L a lane of a source, T what it is read as.
#define OP1(name, D, L, T, e) \
    static void name(const char *r, const struct instruction *i, void *to) { \
        D *d = to; const L *v0 = (const L *)(r + i->from[0]); \
        EACH { const T a = (T)v0[l]; d[l] = (D)(e); } \
    }
#define OP2(name, D, L, T, e) \
    static void name(const char *r, const struct instruction *i, void *to) { \
        D *d = to; const L *v0 = (const L *)(r + i->from[0]), *v1 = (const L *)(r + i->from[1]); \
        EACH { const T a = (T)v0[l], b = (T)v1[l]; d[l] = (D)(e); } \
    }
#define OP3(name, D, L, T, e) \
    static void name(const char *r, const struct instruction *i, void *to) { \
        D *d = to; const L *v0 = (const L *)(r + i->from[0]), *v1 = (const L *)(r + i->from[1]), *v2 = (const L *)(r + i->from[2]); \
        EACH { const T a = (T)v0[l], b = (T)v1[l], c = (T)v2[l]; d[l] = (D)(e); } \
    }
// The count of a shift is 32 bits whatever is shifted.
#define SHIFT(name, L, T, e) \
    static void name(const char *r, const struct instruction *i, void *to) { \
        L *d = to; const L *v0 = (const L *)(r + i->from[0]); const u32 *v1 = (const u32 *)(r + i->from[1]); \
        EACH { const T a = (T)v0[l]; const u32 b = v1[l]; d[l] = (L)(e); } \
    }

// Integers of 16, 32 and 64 bits; those of 16 are kept in 32.
#define U(T) __typeof__(_Generic((T)0, s16: (u16)0, u16: (u16)0, s32: (u32)0, u32: (u32)0, s64: (u64)0, u64: (u64)0))
#define INTEGER(t, L, T) \
    OP2(add_##t, L, L, U(T), (U(T))(a + b)) OP2(sub_##t, L, L, U(T), (U(T))(a - b)) OP2(mul_lo_##t, L, L, U(T), (U(T))((U(T))1 * (1u * a * b))) \
    OP3(mad_lo_##t, L, L, U(T), (U(T))(1u * a * b + c)) OP2(min_##t, L, L, T, (U(T))(a < b ? a : b)) OP2(max_##t, L, L, T, (U(T))(a > b ? a : b)) \
    OP2(div_##t, L, L, T, (U(T))divide_##t(a, b)) OP2(rem_##t, L, L, T, (U(T))remainder_##t(a, b)) \
    SHIFT(shr_##t, L, T, (U(T))(b < 8 * sizeof(T) ? a >> b : (T)(a < 0 ? -1 : 0))) \
    OP2(eq_##t, u32, L, T, -(a == b)) OP2(ne_##t, u32, L, T, -(a != b)) OP2(lt_##t, u32, L, T, -(a < b)) OP2(le_##t, u32, L, T, -(a <= b)) \
    OP2(gt_##t, u32, L, T, -(a > b)) OP2(ge_##t, u32, L, T, -(a >= b))
#define DIVISION(t, T) \
    static inline T divide_##t(T a, T b) { return b == 0 ? (T)-1 : (T)-1 < 0 && b == (T)-1 ? (T)(0 - (U(T))a) : (T)(a / b); } \
    static inline T remainder_##t(T a, T b) { return b == 0 ? a : (T)-1 < 0 && b == (T)-1 ? 0 : (T)(a % b); }
DIVISION(u16, u16) DIVISION(s16, s16) DIVISION(u32, u32) DIVISION(s32, s32) DIVISION(u64, u64) DIVISION(s64, s64)
INTEGER(u16, u32, u16) INTEGER(s16, u32, s16) INTEGER(u32, u32, u32) INTEGER(s32, u32, s32) INTEGER(u64, u64, u64) INTEGER(s64, u64, s64)
#define SIGNED(t, L, T) OP1(neg_##t, L, L, U(T), (U(T))(0 - a)) OP1(abs_##t, L, L, T, (U(T))(a < 0 ? 0 - (U(T))a : (U(T))a))
SIGNED(s16, u32, s16) SIGNED(s32, u32, s32) SIGNED(s64, u64, s64)
OP2(mul_hi_u16, u32, u32, u16, (u16)((u32)a * b >> 16)) OP2(mul_hi_s16, u32, u32, s16, (u16)((s32)a * b >> 16))
OP2(mul_hi_u32, u32, u32, u64, (a * b) >> 32) OP2(mul_hi_s32, u32, u32, s32, (u64)((s64)a * b) >> 32)
OP2(mul_hi_u64, u64, u64, unsigned __int128, (a * b) >> 64) OP2(mul_hi_s64, u64, u64, s64, ((__int128)a * b) >> 64)
OP2(mul_wide_u16, u32, u32, u16, (u32)a * b) OP2(mul_wide_s16, u32, u32, s16, (s32)a * b) OP2(mul_wide_u32, u64, u32, u32, (u64)a * b)
OP2(mul_wide_s32, u64, u32, s32, (s64)a * b)
#define WIDE_MAD(name, T) \
    static void name(const char *r, const struct instruction *i, void *to) { \
        u64 *d = to; IN(u32, 0); IN(u32, 1); const u64 *v2 = (const u64 *)(r + i->from[2]); \
        EACH d[l] = (u64)((s64)(T)v0[l] * (s64)(T)v1[l]) + v2[l]; \
    }
WIDE_MAD(mad_wide_s32, s32)
static void mad_wide_u32(const char *r, const struct instruction *i, void *to) {
    u64 *d = to; IN(u32, 0); IN(u32, 1); const u64 *v2 = (const u64 *)(r + i->from[2]);
    EACH d[l] = (u64)v0[l] * v1[l] + v2[l];
}
OP2(and4, u32, u32, u32, a & b) OP2(or4, u32, u32, u32, a | b) OP2(xor4, u32, u32, u32, a ^ b) OP1(not4, u32, u32, u32, ~a) OP1(not16, u32, u32, u32, (u16)~a)
OP2(and8, u64, u64, u64, a & b) OP2(or8, u64, u64, u64, a | b) OP2(xor8, u64, u64, u64, a ^ b) OP1(not8, u64, u64, u64, ~a)
SHIFT(shl_b16, u32, u32, (u16)(b < 16 ? a << b : 0)) SHIFT(shl_b32, u32, u32, b < 32 ? a << b : 0) SHIFT(shl_b64, u64, u64, b < 64 ? a << b : 0)
OP3(shf_l_wrap, u32, u32, u32, (u32)((((u64)b << 32 | a) << (c & 31)) >> 32)) OP3(shf_r_wrap, u32, u32, u32, (u32)(((u64)b << 32 | a) >> (c & 31)))
OP3(shf_l_clamp, u32, u32, u32, (u32)((((u64)b << 32 | a) << (c < 32 ? c : 32)) >> 32)) OP3(shf_r_clamp, u32, u32, u32, (u32)(((u64)b << 32 | a) >> (c < 32 ? c : 32)))
OP1(popc_b32, u32, u32, u32, __builtin_popcount(a)) OP1(popc_b64, u32, u64, u64, __builtin_popcountll(a)) OP1(clz_b32, u32, u32, u32, a ? __builtin_clz(a) : 32)
OP1(clz_b64, u32, u64, u64, a ? __builtin_clzll(a) : 64) OP1(brev_b32, u32, u32, u32, __builtin_bitreverse32(a)) OP1(brev_b64, u64, u64, u64, __builtin_bitreverse64(a))
static inline u32 field(u32 a, u32 at, u32 n, bool sign) {
    at &= 255, n &= 255;
    if (n == 0) return 0;
    const u32 last = at + n - 1 < 31 ? at + n - 1 : 31, filler = sign && a >> last & 1 ? ~0u : 0;
    const u32 bits = at < 32 ? a >> at : filler;
    const u32 count = at > 31 ? 0 : last - at + 1;
    return n >= 32 && at == 0 ? a : (count < 32 ? (bits & ((1u << count) - 1)) | (filler << count) : bits);
}
static inline u32 insert(u32 a, u32 b, u32 at, u32 n) {
    at &= 255, n &= 255;
    const u64 mask = at < 32 ? (n < 32 ? (UINT64_C(1) << n) - 1 : 0xffffffff) << at : 0;
    return (u32)((b & ~mask) | ((u64)a << (at < 32 ? at : 0) & mask));
}
OP3(bfe_u32, u32, u32, u32, field(a, b, c, false)) OP3(bfe_s32, u32, u32, u32, field(a, b, c, true))
static void bfi_b32(const char *r, const struct instruction *i, void *to) {
    u32 *d = to; const u32 *v0 = (const u32 *)(r + i->from[0]), *v1 = (const u32 *)(r + i->from[1]), *v2 = (const u32 *)(r + i->from[2]), *v3 = (const u32 *)(r + i->from[3]);
    EACH d[l] = insert(v0[l], v1[l], v2[l], v3[l]);
}
static inline u32 permute(u32 a, u32 b, u32 selector) {
    const u64 both = (u64)b << 32 | a;
    u32 result = 0;
    for (int k = 0; k < 4; k++) {
        const u32 s = selector >> 4 * k & 15, byte = (u32)(both >> 8 * (s & 7)) & 255;
        result |= (s & 8 ? (byte & 128 ? 255u : 0) : byte) << 8 * k;
    }
    return result;
}
OP3(prmt_b32, u32, u32, u32, permute(a, b, c))
static void lop3_b32(const char *r, const struct instruction *i, void *to) {
    u32 *d = to; const u32 *v0 = (const u32 *)(r + i->from[0]), *v1 = (const u32 *)(r + i->from[1]), *v2 = (const u32 *)(r + i->from[2]);
    const u32 table = *(const u32 *)(r + i->from[3]);
    EACH {
        const u32 a = v0[l], b = v1[l], c = v2[l];
        u32 x = 0;
        for (u32 k = 0; k < 8; k++) x |= table >> k & 1 ? (k & 4 ? a : ~a) & (k & 2 ? b : ~b) & (k & 1 ? c : ~c) : 0;
        d[l] = x;
    }
}
#define DP4A(name, TA, TB) \
    OP3(name, u32, u32, u32, c + (u32)((s32)(TA)a * (TB)b) + (u32)((s32)(TA)(a >> 8) * (TB)(b >> 8)) + (u32)((s32)(TA)(a >> 16) * (TB)(b >> 16)) + (u32)((s32)(TA)(a >> 24) * (TB)(b >> 24)))
DP4A(dp4a_ss, s8, s8) DP4A(dp4a_uu, u8, u8) DP4A(dp4a_su, s8, u8) DP4A(dp4a_us, u8, s8)

// Floats: every operation rounds once, to nearest even; a NaN of 32 bits is always the same one.
#define F1(name, e) OP1(name, float, float, float, canonical(e))
#define F2(name, e) OP2(name, float, float, float, canonical(e))
#define G1(name, e) OP1(name, double, double, double, e)
#define G2(name, e) OP2(name, double, double, double, e)
F2(add_f32, a + b) F2(sub_f32, a - b) F2(mul_f32, a * b) F2(div_f32, a / b) F1(sqrt_f32, __builtin_sqrtf(a)) F1(rcp_f32, 1.0f / a)
OP3(fma_f32, float, float, float, canonical(__builtin_fmaf(a, b, c))) F2(min_f32, least(a, b)) F2(max_f32, most(a, b))
F2(min_nan_f32, a != a || b != b ? NAN : least(a, b)) F2(max_nan_f32, a != a || b != b ? NAN : most(a, b))
G2(add_f64, a + b) G2(sub_f64, a - b) G2(mul_f64, a * b) G2(div_f64, a / b) G1(sqrt_f64, __builtin_sqrt(a)) G1(rcp_f64, 1.0 / a)
OP3(fma_f64, double, double, double, __builtin_fma(a, b, c)) G2(min_f64, least64(a, b)) G2(max_f64, most64(a, b))
// Of these a NaN keeps its bits.
OP1(neg_f32, u32, u32, u32, a ^ 0x80000000) OP1(abs_f32, u32, u32, u32, a & 0x7fffffff) OP1(neg_f64, u64, u64, u64, a ^ UINT64_C(1) << 63)
OP1(abs_f64, u64, u64, u64, a & ~(UINT64_C(1) << 63)) OP2(copysign_f32, u32, u32, u32, (a & 0x80000000) | (b & 0x7fffffff))
OP2(copysign_f64, u64, u64, u64, (a & UINT64_C(1) << 63) | (b & ~(UINT64_C(1) << 63)))
#define COMPARE(t, T) \
    OP2(eq_##t, u32, T, T, -(a == b)) OP2(ne_##t, u32, T, T, -(a < b || a > b)) OP2(lt_##t, u32, T, T, -(a < b)) OP2(le_##t, u32, T, T, -(a <= b)) \
    OP2(gt_##t, u32, T, T, -(a > b)) OP2(ge_##t, u32, T, T, -(a >= b)) OP2(equ_##t, u32, T, T, -!(a < b || a > b)) OP2(neu_##t, u32, T, T, -(a != b)) \
    OP2(ltu_##t, u32, T, T, -!(a >= b)) OP2(leu_##t, u32, T, T, -!(a > b)) OP2(gtu_##t, u32, T, T, -!(a <= b)) OP2(geu_##t, u32, T, T, -!(a < b)) \
    OP2(num_##t, u32, T, T, -(a == a && b == b)) OP2(nan_##t, u32, T, T, -(a != a || b != b))
COMPARE(f32, float) COMPARE(f64, double)

// Conversions.
#define NARROW(d, D, L, s, S) OP1(cvt_##d##_##s, L, u32, S, (D)a)
#define CONVERT(s, S, LS) \
    OP1(cvt_u8_##s, u32, LS, S, (u8)a) OP1(cvt_s8_##s, u32, LS, S, (u16)(s8)a) OP1(cvt_u16_##s, u32, LS, S, (u16)a) OP1(cvt_s16_##s, u32, LS, S, (u16)a) \
    OP1(cvt_u32_##s, u32, LS, S, (u32)a) OP1(cvt_s32_##s, u32, LS, S, (u32)a) OP1(cvt_u64_##s, u64, LS, S, (u64)a) OP1(cvt_s64_##s, u64, LS, S, (u64)a)
CONVERT(u8, u8, u32) CONVERT(s8, s8, u32) CONVERT(u16, u16, u32) CONVERT(s16, s16, u32) CONVERT(u32, u32, u32) CONVERT(s32, s32, u32) CONVERT(u64, u64, u64)
CONVERT(s64, s64, u64)
OP1(sat_s8_s32, u32, u32, s32, (u16)(a < -128 ? -128 : a > 127 ? 127 : a)) OP1(sat_u8_s32, u32, u32, s32, a < 0 ? 0 : a > 255 ? 255 : a)
OP1(f32_u16, float, u32, u16, (float)a) OP1(f32_s16, float, u32, s16, (float)a) OP1(f32_u32, float, u32, u32, (float)a) OP1(f32_s32, float, u32, s32, (float)a)
OP1(f32_s8, float, u32, s8, (float)a) OP1(f32_u8, float, u32, u8, (float)a)
OP1(f32_u64, float, u64, u64, (float)a) OP1(f32_s64, float, u64, s64, (float)a) OP1(f64_u32, double, u32, u32, (double)a) OP1(f64_s32, double, u32, s32, (double)a)
OP1(f64_u64, double, u64, u64, (double)a) OP1(f64_s64, double, u64, s64, (double)a)
OP1(f64_f32, double, float, float, (double)a) OP1(f32_f64, float, double, double, canonical((float)a))
#define ROUNDED(way, f, g) \
    F1(way##_f32_f32, f(a)) G1(way##_f64_f64, g(a)) OP1(way##_s32_f32, u32, float, float, (u32)to_s32((double)f(a))) \
    OP1(way##_u32_f32, u32, float, float, to_u32((double)f(a))) OP1(way##_s32_f64, u32, double, double, (u32)to_s32(g(a))) \
    OP1(way##_u32_f64, u32, double, double, to_u32(g(a))) OP1(way##_s64_f32, u64, float, float, (u64)to_s64((double)f(a))) \
    OP1(way##_u64_f32, u64, float, float, to_u64((double)f(a))) OP1(way##_s64_f64, u64, double, double, (u64)to_s64(g(a))) \
    OP1(way##_u64_f64, u64, double, double, to_u64(g(a)))
ROUNDED(rni, __builtin_rintf, __builtin_rint) ROUNDED(rzi, __builtin_truncf, __builtin_trunc) ROUNDED(rmi, __builtin_floorf, __builtin_floor)
ROUNDED(rpi, __builtin_ceilf, __builtin_ceil)
OP1(f32_f16, u32, u32, u16, float_of_half(a)) OP1(f16_f32, u32, u32, u32, half_of_float(a)) OP1(bf16_f32, u32, u32, u32, bf16_of_float(a))
OP2(bf16x2_f32, u32, u32, u32, bf16_of_float(a) << 16 | bf16_of_float(b)) OP2(f16x2_f32, u32, u32, u32, half_of_float(a) << 16 | half_of_float(b))

// Moves and choices.
OP1(move4, u32, u32, u32, a) OP1(move8, u64, u64, u64, a) OP2(pack16, u32, u32, u32, (a & 0xffff) | b << 16) OP2(pack32, u64, u32, u64, a | b << 32)
OP1(low16, u32, u32, u32, a & 0xffff) OP1(high16, u32, u32, u32, a >> 16) OP1(low32, u32, u64, u64, (u32)a) OP1(high32, u32, u64, u64, (u32)(a >> 32))
OP3(select4, u32, u32, u32, c ? a : b) OP3(slct4, u32, u32, u32, (s32)c >= 0 ? a : b)
static void select8(const char *r, const struct instruction *i, void *to) {
    u64 *d = to; const u64 *v0 = (const u64 *)(r + i->from[0]), *v1 = (const u64 *)(r + i->from[1]); const u32 *v2 = (const u32 *)(r + i->from[2]);
    EACH d[l] = v2[l] ? v0[l] : v1[l];
}
OP1(to_shared, u64, u64, u64, a - SHARED_BASE) OP1(from_shared, u64, u64, u64, a + SHARED_BASE) OP1(to_local, u64, u64, u64, a - LOCAL_BASE)
OP1(from_local, u64, u64, u64, a + LOCAL_BASE)

#include "matrices.h"
#include "table.h"
