// Rows to four bits with a whole multiplier for each group, and to the int8 codes that products take.
#include "../shared/internal.h"

#include <string.h>

enum { GROUP = CK_GROUP, LANES = 8, LEAST = -8, MOST = 7, LARGEST = 15, TRIED = 5 };

/// To the nearest whole number, halves to the even one, of |x| < 2^22.
CK_INLINE float whole(float x) { return (x + 0x1.8p23f) - 0x1.8p23f; }

/// x in steps of `multiplier`, rounded and clamped; gives the squares of what is lost, summed lane by lane and then by halves.
CK_INLINE float round_group(const float *x, int multiplier, float *codes) {
    float step = (float)multiplier, inverse = 1 / step, lost[LANES] = {0};
    for (int i = 0; i < GROUP; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            float code = whole(x[i + l] * inverse);
            code = code < LEAST ? LEAST : code > MOST ? MOST : code;
            float difference = x[i + l] - code * step;
            codes[i + l] = code;
            lost[l] += difference * difference;
        }
    }
    for (int half = LANES / 2; half > 0; half /= 2) {
        for (int l = 0; l < half; l++) { lost[l] += lost[l + half]; }
    }
    return lost[0];
}

CK_INLINE void quantize_grouped_body(const float *x, uint8_t *q, uint8_t *multipliers, float *s, size_t m, size_t k) {
    for (size_t r = 0; r < m; r++) {
        const float *row = x + r * k;
        float largest = 0;
        for (size_t i = 0; i < k; i++) {
            float size = __builtin_fabsf(row[i]);
            largest = size > largest ? size : largest;
        }
        float scale = largest / (MOST * LARGEST);
        s[r] = scale = scale > 0 ? scale : 1;
        for (size_t g = 0; g < k / GROUP; g++) {
            float steps[GROUP], codes[GROUP], best[GROUP], most = 0, least_lost = 0;
            for (int i = 0; i < GROUP; i++) { steps[i] = row[g * GROUP + i] / scale; }
            for (int i = 0; i < GROUP; i++) {
                float size = __builtin_fabsf(steps[i]);
                most = size > most ? size : most;
            }
            float needed = most / MOST;
            int first = 1, chosen = 0;
            while (first < LARGEST && (float)first < needed) { first++; }
            for (int multiplier = first; multiplier >= 1 && multiplier > first - TRIED; multiplier--) {
                float lost = round_group(steps, multiplier, codes);
                if (chosen != 0 && !(lost < least_lost)) { continue; }
                least_lost = lost;
                chosen = multiplier;
                memcpy(best, codes, sizeof best);
            }
            uint8_t *pairs = q + (r * k + g * GROUP) / 2;
            for (int i = 0; i < GROUP / 2; i++) { pairs[i] = (uint8_t)((int)best[2 * i] - LEAST + 16 * ((int)best[2 * i + 1] - LEAST)); }
            uint8_t *pair = multipliers + (r * (k / GROUP) + g) / 2;
            *pair = g % 2 == 0 ? (uint8_t)chosen : (uint8_t)(*pair + 16 * chosen);
        }
    }
}
CK_VARIANTS_512(
    quantize_grouped, (const float *x, uint8_t *q, uint8_t *multipliers, float *s, size_t m, size_t k), (x, q, multipliers, s, m, k))

CK_INLINE void expand_grouped_body(const uint8_t *q, const uint8_t *multipliers, int8_t *codes, size_t m, size_t k) {
    for (size_t g = 0; g < m * k / GROUP; g++) {
        int8_t multiplier = (int8_t)(multipliers[g / 2] >> 4 * (g % 2) & 15);
        const uint8_t *pairs = q + g * GROUP / 2;
        int8_t *out = codes + g * GROUP;
        for (int i = 0; i < GROUP / 2; i++) {
            out[2 * i] = (int8_t)(((pairs[i] & 15) + LEAST) * multiplier);
            out[2 * i + 1] = (int8_t)(((pairs[i] >> 4) + LEAST) * multiplier);
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
