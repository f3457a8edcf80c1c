// What the Huffman coder and its kernels share.
#ifndef CKERNELS_HUFFMAN_H
#define CKERNELS_HUFFMAN_H

#include "../shared/internal.h"

#include <string.h>

// The emulated AVX-512 of the tests has no permutations of bytes.
#if CK_X86 && !defined(CK_EMULATE_AVX512)
#define CK_HUFFMAN_VECTORS 1
#else
#define CK_HUFFMAN_VECTORS 0
#endif

enum { CK_HUFFMAN_LONGEST = 11 };

/// A prefix code: of each symbol its bits and how many they are; 0 where the symbol does not occur.
typedef struct {
    uint16_t codes[256];
    uint8_t lengths[256];
} ck_huffman_code;

/// A stream that is written from the lowest bit on. At most 7 bits wait between two calls of `ck_huffman_flush`.
typedef struct {
    uint64_t bits, count;
    uint8_t *at;
} ck_huffman_writer;

/// Stores whole bytes; up to 8 bytes are written.
CK_INLINE void ck_huffman_flush(ck_huffman_writer *w) {
    memcpy(w->at, &w->bits, 8);
    w->at += w->count >> 3;
    w->bits >>= w->count & 56;
    w->count &= 7;
}

/// Ends a stream by a 1 and gives its length.
CK_INLINE size_t ck_huffman_end(ck_huffman_writer *w, const uint8_t *out) {
    w->bits |= 1ull << w->count;
    memcpy(w->at, &w->bits, 8);
    return (size_t)(w->at - out) + 1;
}

/// Whether the CPU permutes tables of bytes (AVX512_VBMI), beside CK_ISA_AVX512.
bool ck_huffman_vectors(void);

/// Adds to `tables` (any of them) how often the symbols for which `rare` is 0xFF occur in all lines of 64 bytes but every fourth, from the first on.
void ck_huffman_count_rare_avx512(const uint8_t *x, size_t n, const uint8_t *rare, uint32_t tables[4][256]);

/// Four streams at once: the codes of x[i][n[i] - 1] ... x[i][0] from the lowest bit on, then a 1. Up to 64 bytes behind a stream are written.
void ck_huffman_streams_avx512(const uint8_t *const *x, const size_t *n, const ck_huffman_code *code, uint8_t *const *out, size_t *sizes);

#endif
