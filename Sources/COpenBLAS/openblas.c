#include "COpenBLAS.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

// cblas.h's values; its header is not included so that no symbol of the library is linked.
enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };
typedef void (*sgemm_fn)(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *requested;
static const char *failure;
static sgemm_fn sgemm;
static char *(*corename)(void);
static void (*set_threads)(int);

static void open_library(void) {
    if (requested) setenv("OPENBLAS_CORETYPE", requested, 0);
    // Threads are made when a product asks for them: each has a buffer, and spins for a while before it sleeps.
    setenv("OPENBLAS_NUM_THREADS", "1", 0);
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!library) library = dlopen("libopenblas.so", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        failure = "libopenblas.so.0 cannot be loaded; install it with: apt-get install libopenblas-dev";
        return;
    }
    sgemm = (sgemm_fn)dlsym(library, "cblas_sgemm");
    corename = (char *(*)(void))dlsym(library, "openblas_get_corename");
    set_threads = (void (*)(int))dlsym(library, "openblas_set_num_threads");
    if (!sgemm || !corename || !set_threads) failure = "the BLAS found as libopenblas.so.0 is not OpenBLAS: a symbol is missing";
    else set_threads(1);
}

const char *ob_open(const char *coretype) {
    requested = coretype;
    pthread_once(&once, open_library);
    return failure;
}

const char *ob_corename(void) { return corename && !failure ? corename() : "not loaded"; }

// The library has one thread count for the process: 1, but for a product of several threads, which runs alone.
static pthread_rwlock_t products = PTHREAD_RWLOCK_INITIALIZER;

void ob_sgemm(int threads, int transA, int transB, int m, int n, int k, float alpha, const void *a, int lda, const void *b, int ldb, float beta, void *c, int ldc) {
    if (threads > 1) {
        pthread_rwlock_wrlock(&products);
        set_threads(threads);
    } else {
        pthread_rwlock_rdlock(&products);
    }
    sgemm(ROW_MAJOR, transA ? TRANS : NO_TRANS, transB ? TRANS : NO_TRANS, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    if (threads > 1) set_threads(1);
    pthread_rwlock_unlock(&products);
}
