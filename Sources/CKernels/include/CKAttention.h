/// Attention: its softmax, the linear kind, and that to a packed prompt. Part of CKernels.h, whose rules hold.
#ifndef CKATTENTION_H
#define CKATTENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- Softmax (attention/softmax.c)

/// Softmax of rows of x f32 [m, n] (ld), in place: v = scale * x, then softcap * tanh(v / softcap) where softcap > 0,
/// then exp(v - max) / sum, over the columns that row i may see; the others become 0.
///
/// scale > 0. Row i sees column j if j <= first + i and, where window > 0, j > first + i - window. A row that sees
/// nothing becomes all zeros. Computed in double from the inputs; two roundings to float per element.
void ck_softmax_rows(int isa, void *x, size_t ld, size_t m, size_t n, double scale, double softcap, size_t first, size_t window);

// ---- Linear attention (attention/linear_attention.c, attention/linear_attention_avx512.c)

/// Largest head dimension of `ck_linear_attention`.
enum { CK_LINEAR_ATTENTION_MAX_D = 128 };

/// Heads over t tokens. Rows are tokens; head h lies at columns h * head_stride + [0, d) of q, k and v, and at h * d + [0, d) of out.
typedef struct {
    const float *q, *k, *v;  ///< rows `ld` apart
    size_t ld;
    float *out;              ///< rows `ldo` apart
    size_t ldo;
    size_t t, d, head_stride;
    size_t h0, h1;           ///< heads [h0, h1)
    bool relu;               ///< q and k are taken as max(., 0)
    double eps;
} ck_linear_heads;

/// A = sum over tokens of v k^T, z = sum of k, out = A q / (z . q + eps). Returns false, having done nothing, if d is 0 or above
/// CK_LINEAR_ATTENTION_MAX_D.
///
/// All sums are in double, with one rounding at the end; with AVX-512 products over at most 32 tokens and over d are summed in float32, the
/// rest in double. Then an output is within (d + 40) * 2^-24 * (sum over j of q[j] * sum over tokens of |k[j] v|) / (z . q + eps) of the exact one.
/// Source: diffusers SanaLinearAttnProcessor2_0 (eps 1e-15), SanaMultiscaleLinearAttention.
bool ck_linear_attention(int isa, ck_linear_heads heads);

// ---- Cross-attention (attention/cross_attention.c, attention/cross_attention_avx512.c)

/// Bytes of the packed keys and values of so many heads.
size_t ck_cross_attention_bytes(size_t tokens, size_t d, size_t heads);
/// Bytes of scratch that `ck_cross_attention` needs, whatever the number of heads and queries.
size_t ck_cross_attention_scratch(size_t tokens, size_t d);
/// Packs keys f32 [tokens, heads * d] (ldk) and values (ldv). `packed` needs an alignment of 4, better 64.
void ck_pack_cross_attention(
    const void *k, size_t ldk, const void *v, size_t ldv, void *packed, size_t tokens, size_t d, size_t heads);
/// Queries of some heads, to keys and values that have been packed.
typedef struct {
    const float *q;       ///< [m, heads * d] (ldq)
    size_t ldq;
    const void *packed;
    float *out;           ///< [m, heads * d] (ldo)
    size_t ldo;
    size_t m, tokens, d;
    size_t h0, h1;        ///< heads [h0, h1)
    double scale;
} ck_cross_heads;

/// out = softmax(scale * q k^T) v; without any token 0.
///
/// Scores are never written for more than 32 queries. Products are summed in float32; exponentials are computed in float32
/// with AVX-512, in double else. With s = scale * (sum over i of |q[i] k[i]|) at its largest, an output is within
/// (2 * s * (d + 2) + tokens + 16) * 2^-24 * (sum over tokens of p |v|) of the exact one, p being the exact probabilities.
void ck_cross_attention(int isa, ck_cross_heads heads, void *scratch);

#endif
