// The int8 matrix product for CPUs without AVX-512: what its instruction sets share.
#ifndef CKERNELS_W8A8_H
#define CKERNELS_W8A8_H

#include "../shared/internal.h"

#if CK_X86
enum { ck_w8a8_panel_avx2 = 16 };

size_t ck_w8a8_panel_bytes_avx2(size_t k);
void ck_w8a8_pack_avx2(const int8_t *w, size_t n, size_t k, uint8_t *packed);
void ck_w8a8_avx2(const ck_w8a8 *g);
#endif

#endif
