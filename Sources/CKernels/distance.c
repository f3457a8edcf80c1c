// Weights to int8 with one scale per row, together with how far the stored values are from their source: one pass over rows that
// lie in the cache.
#include "internal.h"

#include <float.h>
#include <math.h>

// As CK_VARIANTS, with AVX-512 for its own: twice the registers and conversions of eight doubles at once.
#define VARIANTS(name, parameters, arguments)  \
    CK_VARIANTS(name, parameters, arguments)   \
    CK_TARGET_AVX512 static void name##_avx512 parameters { name##_body arguments; }
#define CALL(isa, name, ...)                                                  \
    do {                                                                      \
        if ((isa) >= CK_ISA_AVX512) { name##_avx512(__VA_ARGS__); }           \
        else { CK_CALL(isa, name, __VA_ARGS__); }                             \
    } while (0)

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
VARIANTS(distance, (const float *decoded, const float *source, double *out, size_t m, size_t k), (decoded, source, out, m, k))

CK_INLINE void encode_lanes(const float *x, float scale, float *q) {
    const float round_magic = 12582912.0f;  // see quantize.c
    for (size_t j = 0; j < lanes; j++) {
        float v = x[j] / scale;
        v = v > -127.0f ? v : -127.0f;
        v = v < 127.0f ? v : 127.0f;
        q[j] = (v + round_magic) - round_magic;
    }
}

CK_INLINE void encode_row(const float *x, float scale, int8_t *q, double *out, size_t k) {
    row_sums sums = {0};
    float steps[lanes], decoded[lanes];
    size_t i = 0;
    for (; i + lanes <= k; i += lanes) {
        encode_lanes(x + i, scale, steps);
        for (size_t j = 0; j < lanes; j++) { q[i + j] = (int8_t)(int32_t)steps[j]; }
        for (size_t j = 0; j < lanes; j++) { decoded[j] = steps[j] * scale; }
        add_lanes(&sums, decoded, x + i);
    }
    if (i < k) {
        float last[lanes];
        pad_lanes(x + i, k - i, last);
        encode_lanes(last, scale, steps);
        for (size_t j = 0; j < k - i; j++) { q[i + j] = (int8_t)(int32_t)steps[j]; }
        for (size_t j = 0; j < lanes; j++) { decoded[j] = steps[j] * scale; }
        add_lanes(&sums, decoded, last);
    }
    finish_row(&sums, out);
}

CK_INLINE float absolute_maximum(const float *x, size_t k) {
    enum { wide = 64 };
    float maxima[wide] = {0};
    size_t i = 0;
    for (; i + wide <= k; i += wide) {
        for (size_t j = 0; j < wide; j++) {
            float a = fabsf(x[i + j]);
            maxima[j] = a > maxima[j] ? a : maxima[j];
        }
    }
    float largest = 0;
    for (size_t j = 0; j < wide; j++) { largest = maxima[j] > largest ? maxima[j] : largest; }
    for (; i < k; i++) {
        float a = fabsf(x[i]);
        largest = a > largest ? a : largest;
    }
    return largest;
}

CK_INLINE void encode_body(const float *x, int8_t *q, float *s, double *out, size_t m, size_t k) {
    for (size_t r = 0; r < m; r++) {
        float step = absolute_maximum(x + r * k, k) / 127.0f;
        s[r] = step == 0 ? 1.0f : step;
        encode_row(x + r * k, s[r], q + r * k, out + 3 * r, k);
    }
}
VARIANTS(encode, (const float *x, int8_t *q, float *s, double *out, size_t m, size_t k), (x, q, s, out, m, k))

void ck_distance_rows(int isa, const void *decoded, const void *source, void *sums, size_t m, size_t k) {
    CALL(isa, distance, decoded, source, sums, m, k);
}

void ck_quantize_rows_s8_distance(int isa, const void *x, void *q, void *s, void *sums, size_t m, size_t k) {
    CALL(isa, encode, x, q, s, sums, m, k);
}
