// Linear attention: what its instruction sets share.
#ifndef CKERNELS_LINEAR_ATTENTION_H
#define CKERNELS_LINEAR_ATTENTION_H

#include "../shared/kernel_math.h"

#if CK_X86
/// One head in float32: q, k, v and out point at its first column.
void ck_linear_attention_head_avx512(const ck_linear_heads *h, const float *q, const float *k, const float *v, float *out);
#endif

#endif
