/// Norms, activations and sums, row by row. Part of CKernels.h, whose rules hold.
#ifndef CKROWS_H
#define CKROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- Norms (rows/norm.c). Sums and arithmetic in double, one rounding at the end. In place allowed. Dense.

/// y [m, k] = (x - mean) / sqrt(variance + eps) * (1 + scale[k]) + shift[k]; scale and shift may be NULL (0).
void ck_layernorm_modulate(
    int isa, const void *x, const void *scale, const void *shift, double eps, void *y, size_t m, size_t k);
/// y [m, k] = x / sqrt(mean of squares + eps) * (weight_offset + weight[k]) + bias[k].
///
/// weight may be NULL (factor 1, the offset is not used), bias may be NULL (0). weight_offset is 0, or 1 for Gemma.
void ck_rmsnorm(
    int isa, const void *x, const void *weight, const void *bias, double weight_offset, double eps, void *y, size_t m,
    size_t k);

// ---- Activations and gated products (rows/activation.c). Computed in double, one rounding at the end: within 0.51 ulp of the exact value.
// In place allowed. NaN gives NaN; results for infinities are not specified.

void ck_silu(int isa, const void *x, void *y, size_t n);
/// gelu in its tanh form ("gelu_pytorch_tanh").
void ck_gelu_tanh(int isa, const void *x, void *y, size_t n);
/// max(x, 0); NaN stays NaN.
void ck_relu(int isa, const void *x, void *y, size_t n);
/// y [m, h] = a * silu(g), where a = u[:, :h], g = u[:, h:] of u [m, 2h]. Not in place.
void ck_glu_silu(int isa, const void *u, void *y, size_t m, size_t h);
/// y [n] = gelu_tanh(gate[n]) * up[n].
void ck_geglu_tanh(int isa, const void *gate, const void *up, void *y, size_t n);
// ---- Sums (rows/elementwise.c). In place allowed.

/// y = a + b.
void ck_add(int isa, const void *a, const void *b, void *y, size_t n);
/// x [m, k] += gate[k] * y [m, k], in double and rounded once; gate may be NULL (1).
void ck_residual_gate(int isa, void *x, const void *gate, const void *y, size_t m, size_t k);

#endif
