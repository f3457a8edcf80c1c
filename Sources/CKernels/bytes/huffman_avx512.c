// The streams of the Huffman coder with AVX-512: codes of 64 symbols are looked up at once and joined to runs of four, which are then written.
#include "huffman.h"

#if CK_HUFFMAN_VECTORS
#include <immintrin.h>

#define TARGET __attribute__((target("bmi,bmi2,avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vbmi2,popcnt")))

bool ck_huffman_vectors(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("bmi2");
}

// 256 bytes.
typedef struct {
    __m512i part[4];
} table;

TARGET CK_INLINE __m512i look_up(const table *t, __m512i x) {
    __m512i low = _mm512_permutex2var_epi8(t->part[0], x, t->part[1]), high = _mm512_permutex2var_epi8(t->part[2], x, t->part[3]);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high);
}

TARGET void ck_huffman_count_rare_avx512(const uint8_t *x, size_t n, const uint8_t *rare, uint32_t tables[4][256]) {
    table is_rare;
    for (int i = 0; i < 4; i++) { is_rare.part[i] = _mm512_loadu_si512(rare + 64 * i); }
    // The rare ones of some lines; a line's are stored whole, with what is behind them.
    uint8_t found[16 * 64 + 64];
    size_t count = 0;
    for (size_t at = 64; at < n; at += 64) {
        if (at / 64 % 4 == 0) { continue; }
        const __mmask64 inside = n - at < 64 ? (1ull << (n - at)) - 1 : ~0ull;
        const __m512i line = _mm512_maskz_loadu_epi8(inside, x + at);
        const __mmask64 chosen = _mm512_movepi8_mask(look_up(&is_rare, line)) & inside;
        _mm512_storeu_si512(found + count, _mm512_maskz_compress_epi8(chosen, line));
        count += (size_t)_mm_popcnt_u64(chosen);
        if (count < 15 * 64) { continue; }
        for (size_t i = 0; i < count; i++) { tables[i % 4][found[i]]++; }
        count = 0;
    }
    for (size_t i = 0; i < count; i++) { tables[i % 4][found[i]]++; }
}

// The bits of 64 symbols as 16 runs of at most 44, the last symbol's lowest; of runs in memory the last one comes first.
TARGET CK_INLINE void join(__m512i x, const table *low, const table *high, uint64_t *runs, uint64_t *lengths) {
    const __m512i byte = _mm512_set1_epi16(0xFF), nibble = _mm512_set1_epi16(15), zero = _mm512_setzero_si512();
    // Bits 0 to 7 of a code; its bits 8 to 10 and above them its length.
    const __m512i a = look_up(low, x), b = look_up(high, x);
    // Each 16 bits hold two symbols; the second one is written first.
    const __m512i even = _mm512_or_si512(_mm512_and_si512(a, byte), _mm512_slli_epi16(_mm512_and_si512(b, nibble), 8));
    const __m512i odd = _mm512_or_si512(_mm512_srli_epi16(a, 8), _mm512_and_si512(b, _mm512_set1_epi16(0x0F00)));
    const __m512i odd_length = _mm512_srli_epi16(b, 12);
    const __m512i length = _mm512_add_epi16(_mm512_and_si512(_mm512_srli_epi16(b, 4), nibble), odd_length);
    // Two symbols are up to 22 bits.
    const __m512i bits = _mm512_or_si512(odd, _mm512_sllv_epi16(even, odd_length));
    const __m512i over = _mm512_srlv_epi16(even, _mm512_sub_epi16(_mm512_set1_epi16(16), odd_length));
    for (int half = 0; half < 2; half++) {
        const __m512i pairs = half ? _mm512_unpackhi_epi16(bits, over) : _mm512_unpacklo_epi16(bits, over);
        const __m512i pair_lengths = half ? _mm512_unpackhi_epi16(length, zero) : _mm512_unpacklo_epi16(length, zero);
        // Of the two pairs in 64 bits the upper one is written first.
        const __m512i second = _mm512_srli_epi64(pair_lengths, 32);
        const __m512i first_bits = _mm512_and_si512(pairs, _mm512_set1_epi64(0xFFFFFFFF));
        const __m512i run = _mm512_or_si512(_mm512_srli_epi64(pairs, 32), _mm512_sllv_epi64(first_bits, second));
        _mm512_store_si512(runs + 8 * half, run);
        _mm512_store_si512(lengths + 8 * half, _mm512_add_epi64(_mm512_and_si512(pair_lengths, _mm512_set1_epi64(0xFFFFFFFF)), second));
    }
}

CK_INLINE void write_run(ck_huffman_writer *w, uint64_t run, uint64_t length) {
    w->bits |= run << w->count;
    w->count += length;
    ck_huffman_flush(w);
}

TARGET void ck_huffman_streams_avx512(const uint8_t *const *x, const size_t *n, const ck_huffman_code *code, uint8_t *const *out, size_t *sizes) {
    uint8_t low_bytes[256], high_bytes[256];
    for (int s = 0; s < 256; s++) {
        low_bytes[s] = (uint8_t)code->codes[s];
        high_bytes[s] = (uint8_t)(code->codes[s] >> 8 | code->lengths[s] << 4);
    }
    table low, high;
    for (int i = 0; i < 4; i++) {
        low.part[i] = _mm512_loadu_si512(low_bytes + 64 * i);
        high.part[i] = _mm512_loadu_si512(high_bytes + 64 * i);
    }
    // unpacklo and unpackhi take turns in every 16 bytes: the places of the runs from the last one to the first.
    static const uint8_t places[16] = {15, 14, 7, 6, 13, 12, 5, 4, 11, 10, 3, 2, 9, 8, 1, 0};
    ck_huffman_writer w[4];
    size_t shortest = n[0];
    for (int i = 0; i < 4; i++) {
        w[i] = (ck_huffman_writer){0, 0, out[i]};
        shortest = n[i] < shortest ? n[i] : shortest;
    }
    uint64_t runs[4][16] __attribute__((aligned(64))), lengths[4][16] __attribute__((aligned(64)));
    size_t done = 0;
    for (; done + 64 <= shortest; done += 64) {
        for (int i = 0; i < 4; i++) { join(_mm512_loadu_si512(x[i] + n[i] - done - 64), &low, &high, runs[i], lengths[i]); }
        // Through memory: the compiler would take the vectors apart by shuffles, which are what this loop has no time for.
        __asm__ volatile("" : : "r"(runs), "r"(lengths) : "memory");
        ck_huffman_writer w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
        _Pragma("clang loop unroll(full)") for (int j = 0; j < 16; j++) {
            const int place = places[j];
            write_run(&w0, runs[0][place], lengths[0][place]);
            write_run(&w1, runs[1][place], lengths[1][place]);
            write_run(&w2, runs[2][place], lengths[2][place]);
            write_run(&w3, runs[3][place], lengths[3][place]);
        }
        w[0] = w0;
        w[1] = w1;
        w[2] = w2;
        w[3] = w3;
    }
    for (int i = 0; i < 4; i++) {
        for (size_t left = n[i] - done; left > 0; left--) { write_run(&w[i], code->codes[x[i][left - 1]], code->lengths[x[i][left - 1]]); }
        sizes[i] = ck_huffman_end(&w[i], out[i]);
    }
}
#else
bool ck_huffman_vectors(void) { return false; }
#endif
