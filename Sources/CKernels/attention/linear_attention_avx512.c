// ReLU linear attention in float32 with AVX-512. Sums over tokens run in float32 over a block of them and in double
// over the blocks, so that their error does not grow with the picture.
#include "linear_attention.h"

#if CK_X86
#include "../shared/vectors16.h"

enum { max_d = CK_LINEAR_ATTENTION_MAX_D, block = 32, strip = 8, lane = 32 };
_Static_assert(max_d % lane == 0, "a head filled up to whole lanes must fit");

// One head; `width` is d filled up to the 32 lanes that are worked on at once, with zeros.
typedef struct {
    size_t d, width;
    float left[block][max_d], right[block][max_d];
    double sums[max_d * max_d];  // [j][i] = sum over tokens of k[j] v[i], rows `width` apart
    float matrix[max_d * max_d];
    double z[max_d];
} head_state;

CK_INLINE_AVX512 void load_rows(const float *x, size_t ld, size_t count, size_t d, size_t width, bool relu, float rows[block][max_d]) {
    ck_f16x zero = {0};
    for (size_t t = 0; t < block; t++) {
        for (size_t i = 0; i < width; i += 16) {
            ck_f16x v = t < count && i < d ? ck_load16_part(x + t * ld + i, d - i) : zero;
            ck_i16x kept = (ck_i16x)v & ~(v < zero);  // a NaN stays
            ck_store16(&rows[t][i], relu ? (ck_f16x)kept : v);
        }
    }
}

// A column of cache lines, `ld` floats apart, of the block of rows after this one.
//
// The rows of one head are short and far apart: each term of a product asks for one of them, so that they come one by one meanwhile.
typedef struct {
    const float *at;
    size_t ld;
} column;

// Column n of x, d wide, or after those of x of y; then from the start again.
CK_INLINE_AVX512 column next_column(size_t n, size_t d, const float *x, size_t ldx, const float *y, size_t ldy) {
    size_t columns = (d + 15) / 16;
    n %= 2 * columns;
    return n < columns ? (column){x + 16 * n, ldx} : (column){y + 16 * (n - columns), ldy};
}

// out[r] = sum over t of factors[t * step + r * distance] * the 32 elements at vectors + t * ld.
CK_INLINE_AVX512 void strip_product(
    const float *factors, size_t step, size_t distance, const float *vectors, size_t ld, size_t terms, column next, ck_f16x out[strip][2]) {
    ck_f16x sum[strip][2];
    _Pragma("clang loop unroll(full)")
    for (int r = 0; r < strip; r++) { sum[r][0] = sum[r][1] = (ck_f16x){0}; }
    for (size_t t = 0; t < terms; t++) {
        __builtin_prefetch(next.at + t % block * next.ld);
        ck_f16x v0 = ck_load16(vectors + t * ld), v1 = ck_load16(vectors + t * ld + 16);
        _Pragma("clang loop unroll(full)")
        for (int r = 0; r < strip; r++) {
            ck_f16x f = ck_splat16(factors[t * step + (size_t)r * distance]);
            sum[r][0] = ck_fma16(f, v0, sum[r][0]);
            sum[r][1] = ck_fma16(f, v1, sum[r][1]);
        }
    }
    _Pragma("clang loop unroll(full)")
    for (int r = 0; r < strip; r++) { out[r][0] = sum[r][0]; out[r][1] = sum[r][1]; }
}

CK_INLINE_AVX512 void add_doubles(double *to, ck_f16x v) {
    ck_d16x sum;
    memcpy(&sum, to, sizeof sum);
    sum += __builtin_convertvector(v, ck_d16x);
    memcpy(to, &sum, sizeof sum);
}

CK_INLINE_AVX512 double total(const ck_d16x *v) {
    double sums[16];
    memcpy(sums, v, sizeof sums);
    for (size_t half = 8; half > 0; half /= 2) {
        for (size_t i = 0; i < half; i++) { sums[i] += sums[i + half]; }
    }
    return sums[0];
}

CK_TARGET_AVX512 static void collect(head_state *s, const float *k, size_t ldk, const float *v, size_t ldv, size_t t, bool relu) {
    memset(s->sums, 0, s->width * s->width * sizeof(double));
    memset(s->z, 0, sizeof s->z);
    for (size_t row = 0; row < t; row += block) {
        size_t count = t - row < block ? t - row : block;
        load_rows(k + row * ldk, ldk, count, s->d, s->width, relu, s->left);
        load_rows(v + row * ldv, ldv, count, s->d, s->width, false, s->right);
        size_t more = row + 2 * block <= t, next = row + more * block, strips = 0;
        for (size_t i = 0; i < s->width; i += lane) {
            for (size_t j = 0; j < s->width; j += strip) {
                ck_f16x out[strip][2];
                column ahead = next_column(strips++, s->d, k + next * ldk, more * ldk, v + next * ldv, more * ldv);
                strip_product(&s->left[0][j], max_d, 1, &s->right[0][i], max_d, block, ahead, out);
                for (size_t r = 0; r < strip; r++) {
                    add_doubles(s->sums + (j + r) * s->width + i, out[r][0]);
                    add_doubles(s->sums + (j + r) * s->width + i + 16, out[r][1]);
                }
            }
        }
        for (size_t i = 0; i < s->width; i += 16) {
            ck_f16x sum = {0};
            for (size_t r = 0; r < block; r++) { sum += ck_load16(&s->left[r][i]); }
            add_doubles(s->z + i, sum);
        }
    }
    for (size_t i = 0; i < s->width * s->width; i++) { s->matrix[i] = (float)s->sums[i]; }
}

CK_TARGET_AVX512 static void
apply(head_state *s, const float *q, size_t ldq, float *out, size_t ldo, size_t t, bool relu, double eps) {
    for (size_t row = 0; row < t; row += block) {
        size_t count = t - row < block ? t - row : block;
        load_rows(q + row * ldq, ldq, count, s->d, s->width, relu, s->left);
        float factors[block];
        for (size_t r = 0; r < block; r++) {
            ck_d16x sum = {0}, z;
            for (size_t i = 0; i < s->width; i += 16) {
                memcpy(&z, s->z + i, sizeof z);
                sum += __builtin_convertvector(ck_load16(&s->left[r][i]), ck_d16x) * z;
            }
            factors[r] = (float)(1.0 / (total(&sum) + eps));
        }
        size_t more = row + 2 * block <= t, next = row + more * block, strips = 0;
        for (size_t i = 0; i < s->d; i += lane) {
            for (size_t r0 = 0; r0 < count; r0 += strip) {
                ck_f16x o[strip][2];
                column ahead = next_column(strips++, s->d, q + next * ldq, more * ldq, out + next * ldo, more * ldo);
                strip_product(s->left[r0], 1, max_d, s->matrix + i, s->width, s->d, ahead, o);
                for (size_t r = 0; r < strip && r0 + r < count; r++) {
                    float *to = out + (row + r0 + r) * ldo + i;
                    ck_store16_part(to, o[r][0] * ck_splat16(factors[r0 + r]), s->d - i);
                    if (s->d - i > 16) { ck_store16_part(to + 16, o[r][1] * ck_splat16(factors[r0 + r]), s->d - i - 16); }
                }
            }
        }
    }
}

CK_TARGET_AVX512 void ck_linear_attention_head_avx512(const ck_linear_heads *h, const float *q, const float *k, const float *v, float *out) {
    head_state s;
    s.d = h->d;
    s.width = ck_divided_up(h->d, lane) * lane;
    collect(&s, k, h->ld, v, h->ld, h->t, h->relu);
    apply(&s, q, h->ld, out, h->ldo, h->t, h->relu, h->eps);
}
#endif
