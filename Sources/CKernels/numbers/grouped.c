// Rows to four bits with a whole multiplier for each group, and to the int8 codes that products take.
#include "../shared/internal.h"

enum { GROUP = CK_GROUP, LANES = 8, RUNS = GROUP / LANES, LEAST = -8, MOST = 7, LARGEST = 15, TRIED = 4 };

#define MULTIPLIER_BYTES(k) (((k) / GROUP + 1) / 2)

// Whatever the instruction set, sums have these lanes: the compiler makes of them what there is.
typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));
typedef float half_lanes __attribute__((vector_size(LANES / 2 * sizeof(float))));
typedef uint8_t bytes __attribute__((vector_size(LANES), aligned(1)));

CK_INLINE float largest_of(const lanes *x) {
    float largest = 0;
    for (int l = 0; l < LANES; l++) { largest = (*x)[l] > largest ? (*x)[l] : largest; }
    return largest;
}

/// x in steps of `multiplier`, rounded to whole numbers (halves to the even one) and clamped; gives the squares of what is lost, summed lane by
/// lane and then by halves.
CK_INLINE float round_group(const lanes *x, float multiplier, lanes *codes) {
    lanes lost = {0};
    float inverse = 1 / multiplier;
    for (int i = 0; i < RUNS; i++) {
        lanes code = (x[i] * inverse + 0x1.8p23f) - 0x1.8p23f;
        code = __builtin_elementwise_min(__builtin_elementwise_max(code, (lanes){0} + LEAST), (lanes){0} + MOST);
        lanes difference = x[i] - code * multiplier;
        lost += difference * difference;
        codes[i] = code;
    }
    half_lanes sums = __builtin_shufflevector(lost, lost, 0, 1, 2, 3) + __builtin_shufflevector(lost, lost, 4, 5, 6, 7);
    return (sums[0] + sums[2]) + (sums[1] + sums[3]);
}

CK_INLINE void quantize_grouped_body(const float *x, uint8_t *q, uint8_t *multipliers, float *s, size_t m, size_t k) {
    for (size_t r = 0; r < m; r++) {
        const lanes *row = (const lanes *)(x + r * k);
        lanes sizes = {0};
        for (size_t i = 0; i < k / LANES; i++) { sizes = __builtin_elementwise_max(sizes, __builtin_elementwise_abs(row[i])); }
        float scale = largest_of(&sizes) / (MOST * LARGEST);
        s[r] = scale = scale > 0 ? scale : 1;
        for (size_t g = 0; g < k / GROUP; g++) {
            lanes steps[RUNS], codes[RUNS], best[RUNS], most = {0};
            for (int i = 0; i < RUNS; i++) {
                steps[i] = row[g * RUNS + i] / scale;
                most = __builtin_elementwise_max(most, __builtin_elementwise_abs(steps[i]));
            }
            float needed = largest_of(&most) / MOST;
            int first = (int)needed;
            first += (float)first < needed;
            first = first < 1 ? 1 : first > LARGEST ? LARGEST : first;
            int chosen = first;
            float least_lost = round_group(steps, (float)first, best);
            for (int multiplier = first - 1; multiplier >= 1 && multiplier > first - TRIED; multiplier--) {
                float lost = round_group(steps, (float)multiplier, codes);
                if (!(lost < least_lost)) { continue; }
                least_lost = lost;
                chosen = multiplier;
                for (int i = 0; i < RUNS; i++) { best[i] = codes[i]; }
            }
            bytes *pairs = (bytes *)(q + (r * k + g * GROUP) / 2);
            for (int i = 0; i < RUNS / 2; i++) {
                lanes even = __builtin_shufflevector(best[2 * i], best[2 * i + 1], 0, 2, 4, 6, 8, 10, 12, 14);
                lanes odd = __builtin_shufflevector(best[2 * i], best[2 * i + 1], 1, 3, 5, 7, 9, 11, 13, 15);
                pairs[i] = __builtin_convertvector((even - LEAST) + 16 * (odd - LEAST), bytes);
            }
            // The half that no group follows holds 1.
            uint8_t *pair = multipliers + r * MULTIPLIER_BYTES(k) + g / 2;
            *pair = g % 2 == 0 ? (uint8_t)(chosen + 16) : (uint8_t)(*pair - 16 + 16 * chosen);
        }
    }
}
CK_VARIANTS_512(
    quantize_grouped, (const float *x, uint8_t *q, uint8_t *multipliers, float *s, size_t m, size_t k), (x, q, multipliers, s, m, k))

CK_INLINE void expand_grouped_body(const uint8_t *q, const uint8_t *multipliers, int8_t *codes, size_t m, size_t k) {
    for (size_t r = 0; r < m; r++) {
        for (size_t g = 0; g < k / GROUP; g++) {
            int8_t multiplier = (int8_t)(multipliers[r * MULTIPLIER_BYTES(k) + g / 2] >> 4 * (g % 2) & 15);
            const uint8_t *pairs = q + (r * k + g * GROUP) / 2;
            int8_t *out = codes + r * k + g * GROUP;
            for (int i = 0; i < GROUP / 2; i++) {
                out[2 * i] = (int8_t)(((pairs[i] & 15) + LEAST) * multiplier);
                out[2 * i + 1] = (int8_t)(((pairs[i] >> 4) + LEAST) * multiplier);
            }
        }
    }
}
CK_VARIANTS_512(
    expand_grouped, (const uint8_t *q, const uint8_t *multipliers, int8_t *codes, size_t m, size_t k), (q, multipliers, codes, m, k))

void ck_quantize_rows_grouped(int isa, const void *x, void *q, void *multipliers, void *s, size_t m, size_t k) {
    CK_CALL_512(isa, quantize_grouped, x, q, multipliers, s, m, k);
}

void ck_expand_rows_grouped(int isa, const void *q, const void *multipliers, void *codes, size_t m, size_t k) {
    CK_CALL_512(isa, expand_grouped, q, multipliers, codes, m, k);
}
