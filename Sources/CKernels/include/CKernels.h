/// The C kernels of sprintpack: integer and floating-point loops over plain memory.
///
/// One header for each folder of sources, in it one section for each kernel, named by the files that define it; a file `x_avx2.c` or
/// `x_avx512.c` holds the variants of `x.c`. KernelsTests/HeaderTests holds the headers to that.
///
/// Common rules
/// - A kernel that has variants takes the instruction set first. One without a variant of its own for a set uses the next lower one.
///   Passing a set that `ck_isa_supported` denies ends in SIGILL.
/// - Every instruction set gives the same bits, for the integer kernels and, where no more is said, for the
///   floating-point ones: the sources are compiled without contraction, sums have a fixed order, and fused multiply-adds stand only where fmaf does.
///   The thread's rounding mode has to be the default one, with denormals on.
/// - Matrices are row-major. `[m, k]` has m rows of k elements; `ld..` is the distance of two rows in elements and at
///   least the number of columns. Images are channels-last: `[h, w, c]`, which is the token matrix `[h*w, c]`.
/// - Counts may be zero, where no more is said: a sum of nothing is 0. Pointers need the alignment of their element type, where no more
///   is said; outputs must not overlap inputs, unless "in place" is allowed. Nothing is allocated; stack use stays below 256 KiB.
/// - Work is split over threads by the caller: by moving row pointers, or by the ranges some kernels take.
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stdbool.h>

// ---- Instruction sets (shared/cpu.c)

/// Baseline C, whatever the compiler makes of it for the target.
static const int CK_ISA_PLAIN = 0;
/// AVX2, FMA and F16C.
static const int CK_ISA_AVX2 = 1;
/// AVX-512 F, BW, VL, DQ and VNNI, on top of CK_ISA_AVX2.
static const int CK_ISA_AVX512 = 2;

/// Whether this CPU and its operating system can run it.
bool ck_isa_supported(int isa);
/// "plain", "avx2", "avx512-vnni"; "unknown" for any other number. A static string.
const char *ck_isa_name(int isa);


#include "CKAttention.h"
#include "CKBytes.h"
#include "CKConvolution.h"
#include "CKNumbers.h"
#include "CKProducts.h"
#include "CKRows.h"

#endif
