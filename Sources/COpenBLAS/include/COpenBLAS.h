// OpenBLAS, loaded at run time rather than linked.
//
// Debian's OpenBLAS 0.3.21 reads OPENBLAS_CORETYPE once, while it is being loaded, and takes its Haswell kernels on
// every CPU it does not know: on an AVX-512 CPU newer than the library that costs half of the rate. A library
// that is linked has been loaded before main() can set the variable; one that is opened has not.
#ifndef COPENBLAS_H
#define COPENBLAS_H

#include <stddef.h>

// Opens the library. `coretype` (may be null) is put into OPENBLAS_CORETYPE unless the user has set it.
// Returns null, or a message owned by this module. Safe to call more than once and from any thread; the first call decides.
const char *ob_open(const char *coretype);

// What the opened library calls its kernels ("Haswell", "SkylakeX", ...), or "not loaded".
const char *ob_corename(void);

// C[m,n] = alpha * op(A) * op(B) + beta * C, row-major, on so many threads; `transA`, `transB` are 0 or 1. ob_open() must have succeeded.
// Products of one thread run side by side; one of several waits until it is alone.
void ob_sgemm(int threads, int transA, int transB, int m, int n, int k, float alpha, const void *a, int lda, const void *b, int ldb, float beta, void *c, int ldc);

#endif
