// Linear attention: what its instruction sets share.
#ifndef CKERNELS_LINEAR_ATTENTION_H
#define CKERNELS_LINEAR_ATTENTION_H

#include "kernel_math.h"

#if CK_X86
/// One head of `ck_linear_attention_f32`.
void ck_linear_attention_head_avx512(
    const float *q, size_t ldq, const float *k, size_t ldk, const float *v, size_t ldv, float *out, size_t ldo, size_t t, size_t d,
    bool relu, double eps);
#endif

#endif
