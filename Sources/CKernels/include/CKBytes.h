/// Bytes of files: planes, digests, an entropy code. Part of CKernels.h, whose rules hold.
#ifndef CKBYTES_H
#define CKBYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- Byte planes (bytes/planes.c). Any alignment.

/// Splits n 16-bit little-endian values into their high bytes and their low bytes, n bytes each.
void ck_split16(int isa, const void *x, void *high, void *low, size_t n);
/// Inverse of `ck_split16`.
void ck_merge16(int isa, const void *high, const void *low, void *x, size_t n);

// ---- SHA-256 (bytes/sha256.c)

/// Whether this CPU has instructions for SHA-256. The words are the same without them.
bool ck_sha256_supported(void);
/// Takes `blocks` blocks of 64 bytes into the eight words of a state (FIPS 180-4), in native byte order.
void ck_sha256(bool instructions, uint32_t *state, const void *x, size_t blocks);
/// The same of two states with blocks of their own: with the instructions in little more time than one takes. The states must not be one.
void ck_sha256_pair(bool instructions, uint32_t *first, const void *x, uint32_t *second, const void *y, size_t blocks);

// ---- CRC-32 (bytes/crc32.c)

/// Whether this CPU has carry-less products. Where it has none, the kernel below ends the process: a library does it there.
bool ck_crc32_supported(void);
/// The CRC-32 of zip of what had `crc` and of `blocks` blocks of 64 bytes behind it. Any alignment.
uint32_t ck_crc32(uint32_t crc, const void *x, size_t blocks);

// ---- An entropy code for weights (bytes/huffman.c, bytes/huffman_avx512.c)

/// Compresses x u8 [n], n up to 2^32 - 1, into one zstd frame (RFC 8878) of literals that are coded by a Huffman code for each block of
/// 128 KiB, without a search for repetitions. Gives its length; or 0 where a code cannot be described, which zstd itself has to try then.
///
/// `out` has room for ZSTD_compressBound(n) bytes, `scratch` for ck_huffman_scratch() ones. n >= 4096, so that it suffices.
size_t ck_huffman_frame(int isa, const void *x, size_t n, void *out, void *scratch);
size_t ck_huffman_scratch(void);

#endif
