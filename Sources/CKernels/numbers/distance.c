// Weights to int8 with one scale per row, together with how far the stored values are from their source: one pass over rows that
// lie in the cache.
#include "../shared/quantize.h"

#include <float.h>

#if CK_X86
#include <immintrin.h>
#endif

enum { lanes = 16 };

// Element i of a row is added in lane i mod 16, and the lanes are added in one order at the end: the sums have the same bits on every
// instruction set.
typedef struct {
    double noise[lanes], signal[lanes], worst[lanes];
} row_sums;

CK_INLINE void add_lanes(row_sums *sums, const float *decoded, const float *source) {
    for (size_t j = 0; j < lanes; j++) {
        bool finite = fabsf(source[j]) <= FLT_MAX;
        double value = finite ? (double)source[j] : 0.0;
        double difference = finite ? fabs((double)decoded[j] - value) : 0.0;
        sums->noise[j] += difference * difference;
        sums->signal[j] += value * value;
        sums->worst[j] = difference > sums->worst[j] ? difference : sums->worst[j];
    }
}

CK_INLINE void finish_row(const row_sums *sums, double *out) {
    double noise = 0, signal = 0, worst = 0;
    for (size_t j = 0; j < lanes; j++) {
        noise += sums->noise[j];
        signal += sums->signal[j];
        worst = sums->worst[j] > worst ? sums->worst[j] : worst;
    }
    out[0] = noise;
    out[1] = signal;
    out[2] = worst;
}

// The last elements of a row, filled up with zeros, which add nothing.
CK_INLINE void pad_lanes(const float *x, size_t n, float *out) {
    for (size_t j = 0; j < lanes; j++) { out[j] = j < n ? x[j] : 0.0f; }
}

CK_INLINE void distance_body(const float *decoded, const float *source, double *out, size_t m, size_t k) {
    for (size_t r = 0; r < m; r++) {
        const float *d = decoded + r * k, *s = source + r * k;
        row_sums sums = {0};
        size_t i = 0;
        for (; i + lanes <= k; i += lanes) { add_lanes(&sums, d + i, s + i); }
        if (i < k) {
            float last_decoded[lanes], last_source[lanes];
            pad_lanes(d + i, k - i, last_decoded);
            pad_lanes(s + i, k - i, last_source);
            add_lanes(&sums, last_decoded, last_source);
        }
        finish_row(&sums, out + 3 * r);
    }
}
CK_VARIANTS_512(distance, (const float *decoded, const float *source, double *out, size_t m, size_t k), (decoded, source, out, m, k))

// Elements of a row as float32, `lanes` of them or fewer that are filled up with zeros. `type` is CK_F32 or CK_BF16.
CK_INLINE void load_lanes(int type, const void *x, size_t at, size_t n, float *out) {
    for (size_t j = 0; j < lanes; j++) {
        if (type == CK_F32) {
            out[j] = j < n ? ((const float *)x)[at + j] : 0.0f;
        } else {
            uint32_t bits = j < n ? (uint32_t)((const uint16_t *)x)[at + j] << 16 : 0;
            memcpy(out + j, &bits, sizeof bits);
        }
    }
}

CK_INLINE void encode_row(int type, const void *x, float scale, int8_t *q, double *out, size_t k) {
    row_sums sums = {0};
    float values[lanes], steps[lanes], decoded[lanes];
    size_t i = 0;
    for (; i + lanes <= k; i += lanes) {
        load_lanes(type, x, i, lanes, values);
        for (size_t j = 0; j < lanes; j++) { steps[j] = ck_code(values[j], scale); }
        for (size_t j = 0; j < lanes; j++) { q[i + j] = (int8_t)(int32_t)steps[j]; }
        for (size_t j = 0; j < lanes; j++) { decoded[j] = steps[j] * scale; }
        add_lanes(&sums, decoded, values);
    }
    if (i < k) {
        load_lanes(type, x, i, k - i, values);
        for (size_t j = 0; j < lanes; j++) { steps[j] = ck_code(values[j], scale); }
        for (size_t j = 0; j < k - i; j++) { q[i + j] = (int8_t)(int32_t)steps[j]; }
        for (size_t j = 0; j < lanes; j++) { decoded[j] = steps[j] * scale; }
        add_lanes(&sums, decoded, values);
    }
    finish_row(&sums, out);
}

// Of bf16 numbers: magnitudes order as the integers do that their bits are, with infinity and NaN above all.
CK_INLINE uint16_t largest_magnitude(const uint16_t *x, size_t k) {
    enum { wide = 128 };
    uint16_t maxima[wide] = {0}, largest = 0;
    size_t i = 0;
    for (; i + wide <= k; i += wide) {
        for (size_t j = 0; j < wide; j++) {
            uint16_t a = x[i + j] & 0x7FFF;
            maxima[j] = a > maxima[j] ? a : maxima[j];
        }
    }
    for (size_t j = 0; j < wide; j++) { largest = maxima[j] > largest ? maxima[j] : largest; }
    for (; i < k; i++) {
        uint16_t a = x[i] & 0x7FFF;
        largest = a > largest ? a : largest;
    }
    return largest;
}

CK_INLINE void encode_body(const float *x, int8_t *q, float *s, double *out, size_t m, size_t k) {
    for (size_t r = 0; r < m; r++) {
        s[r] = ck_row_scale(x + r * k, k);
        encode_row(CK_F32, x + r * k, s[r], q + r * k, out + 3 * r, k);
    }
}
CK_VARIANTS_512(encode, (const float *x, int8_t *q, float *s, double *out, size_t m, size_t k), (x, q, s, out, m, k))

// One row of bf16 numbers that are finite; what follows calls it for the instruction set.
CK_INLINE void encode_bf16_row(const uint16_t *x, float scale, int8_t *q, double *out, size_t k) { encode_row(CK_BF16, x, scale, q, out, k); }

#if CK_X86 && !defined(CK_EMULATE_AVX512)
// The lanes of `row_sums` are two vectors each.
typedef struct {
    __m512d noise[2], signal[2], worst[2];
} vector_sums;

// `ck_code` and `add_lanes` of 16 bf16 numbers, by intrinsics: their sums stay in registers.
CK_TARGET_AVX512 CK_INLINE void encode_bf16_vector(__m512i words, __m512 scale, int8_t *q, __mmask16 stored, vector_sums *sums) {
    const __m512 round_magic = _mm512_set1_ps(ck_round_magic);
    const __m512 x = _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
    __m512 v = _mm512_min_ps(_mm512_max_ps(_mm512_div_ps(x, scale), _mm512_set1_ps(-127.0f)), _mm512_set1_ps(127.0f));
    v = _mm512_sub_ps(_mm512_add_ps(v, round_magic), round_magic);
    // Not with the mask for all: narrowing straight into memory is slow on some CPUs.
    const __m128i codes = _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(v));
    if (stored == 0xFFFF) { _mm_storeu_si128((__m128i *)(void *)q, codes); }
    else { _mm_mask_storeu_epi8(q, stored, codes); }
    const __m512 decoded = _mm512_mul_ps(v, scale);
    for (int half = 0; half < 2; half++) {
        const __m512d source = _mm512_cvtps_pd(half ? _mm512_extractf32x8_ps(x, 1) : _mm512_castps512_ps256(x));
        const __m512d found = _mm512_cvtps_pd(half ? _mm512_extractf32x8_ps(decoded, 1) : _mm512_castps512_ps256(decoded));
        const __m512d difference = _mm512_sub_pd(found, source);
        sums->noise[half] = _mm512_add_pd(sums->noise[half], _mm512_mul_pd(difference, difference));
        sums->signal[half] = _mm512_add_pd(sums->signal[half], _mm512_mul_pd(source, source));
        // The larger of two magnitudes (11), without its sign (10).
        sums->worst[half] = _mm512_range_pd(difference, sums->worst[half], 0xB);
    }
}

CK_TARGET_AVX512 static void encode_bf16_row_avx512(const uint16_t *x, float scale, int8_t *q, double *out, size_t k) {
    vector_sums sums = {0};
    const __m512 s = _mm512_set1_ps(scale);
    size_t i = 0;
    for (; i + lanes <= k; i += lanes) {
        encode_bf16_vector(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(x + i))), s, q + i, 0xFFFF, &sums);
    }
    if (i < k) {
        const __mmask16 rest = (__mmask16)((1u << (k - i)) - 1);
        encode_bf16_vector(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(rest, x + i)), s, q + i, rest, &sums);
    }
    row_sums all;
    for (int half = 0; half < 2; half++) {
        _mm512_storeu_pd(all.noise + 8 * half, sums.noise[half]);
        _mm512_storeu_pd(all.signal + 8 * half, sums.signal[half]);
        _mm512_storeu_pd(all.worst + 8 * half, sums.worst[half]);
    }
    finish_row(&all, out);
}
#else
#define encode_bf16_row_avx512 encode_bf16_row
#endif

CK_INLINE size_t encode_bf16_with(
    void (*row)(const uint16_t *, float, int8_t *, double *, size_t), const uint16_t *x, int8_t *q, float *s, double *out, size_t m, size_t k
) {
    for (size_t r = 0; r < m; r++) {
        uint32_t bits = (uint32_t)largest_magnitude(x + r * k, k) << 16;
        if (bits >= 0x7F800000) { return r; }
        float largest;
        memcpy(&largest, &bits, sizeof largest);
        s[r] = ck_scale_of(largest);
        row(x + r * k, s[r], q + r * k, out + 3 * r, k);
    }
    return m;
}

static size_t encode_bf16_plain(const uint16_t *x, int8_t *q, float *s, double *out, size_t m, size_t k) {
    return encode_bf16_with(encode_bf16_row, x, q, s, out, m, k);
}
CK_TARGET_AVX2 static size_t encode_bf16_avx2(const uint16_t *x, int8_t *q, float *s, double *out, size_t m, size_t k) {
    return encode_bf16_with(encode_bf16_row, x, q, s, out, m, k);
}
CK_TARGET_AVX512 static size_t encode_bf16_avx512(const uint16_t *x, int8_t *q, float *s, double *out, size_t m, size_t k) {
    return encode_bf16_with(encode_bf16_row_avx512, x, q, s, out, m, k);
}

void ck_distance_rows(int isa, const void *decoded, const void *source, void *sums, size_t m, size_t k) {
    CK_CALL_512(isa, distance, decoded, source, sums, m, k);
}

void ck_quantize_rows_s8_distance(int isa, const void *x, void *q, void *s, void *sums, size_t m, size_t k) {
    CK_CALL_512(isa, encode, x, q, s, sums, m, k);
}

size_t ck_quantize_rows_bf16_s8_distance(int isa, const void *x, void *q, void *s, void *sums, size_t m, size_t k) {
    if (isa >= CK_ISA_AVX512) { return encode_bf16_avx512(x, q, s, sums, m, k); }
    return isa >= CK_ISA_AVX2 ? encode_bf16_avx2(x, q, s, sums, m, k) : encode_bf16_plain(x, q, s, sums, m, k);
}
