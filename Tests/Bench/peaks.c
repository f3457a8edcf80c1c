// What this machine can do at most: the floors under the table of bench.py, as one line of JSON.
//
// Registers only, so that nothing but the arithmetic units counts: eight or more independent chains of fused
// multiply-adds per thread; and one pass over memory that no cache holds. Operations are 2 per multiply-accumulate.
#include <immintrin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { chains = 12, rounds = 40000000, threads_max = 64 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#define LOOP(type, zero, step)                                    \
    type a[chains];                                               \
    for (int i = 0; i < chains; i++) { a[i] = zero; }             \
    for (long n = 0; n < rounds; n++) {                           \
        _Pragma("GCC unroll 12") for (int i = 0; i < chains; i++) { \
            a[i] = step;                                          \
            __asm__ volatile("" : "+v"(a[i]));                    \
        }                                                         \
    }

__attribute__((target("avx2,fma"))) static void *f32_avx2(void *unused) {
    __m256 x = _mm256_set1_ps(0.5f);
    LOOP(__m256, x, _mm256_fmadd_ps(x, x, a[i]))
    return unused;
}
__attribute__((target("avx512f"))) static void *f32_avx512(void *unused) {
    __m512 x = _mm512_set1_ps(0.5f);
    LOOP(__m512, x, _mm512_fmadd_ps(x, x, a[i]))
    return unused;
}
__attribute__((target("avx512f,avx512bf16"))) static void *bf16_avx512(void *unused) {
    __m512bh x = (__m512bh)_mm512_set1_epi16(0x3F00);
    LOOP(__m512, _mm512_setzero_ps(), _mm512_dpbf16_ps(a[i], x, x))
    return unused;
}
__attribute__((target("avx512f,avx512vnni"))) static void *s8_vnni(void *unused) {
    __m512i x = _mm512_set1_epi8(1);
    LOOP(__m512i, x, _mm512_dpbusd_epi32(a[i], x, x))
    return unused;
}
__attribute__((target("avx2"))) static void *s8_avx2(void *unused) {
    // Widened bytes: the exact product of signed bytes, which saturating pairs are not.
    __m256i x = _mm256_set1_epi16(1);
    LOOP(__m256i, x, _mm256_add_epi32(a[i], _mm256_madd_epi16(x, x)))
    return unused;
}

static const size_t bytes = (size_t)512 << 20;
static void *read_memory(void *at) {
    uint64_t sum = 0;
    for (int pass = 0; pass < 4; pass++) {
        for (size_t i = 0; i < bytes / 8; i += 8) {
            const uint64_t *p = (const uint64_t *)at + i;
            sum += p[0] + p[1] + p[2] + p[3] + p[4] + p[5] + p[6] + p[7];
        }
    }
    return (void *)(uintptr_t)sum;
}

static double seconds(void *(*work)(void *), int threads, char *memory) {
    pthread_t id[threads_max];
    double start = now();
    for (int i = 0; i < threads; i++) { pthread_create(&id[i], NULL, work, memory ? memory + (size_t)i * bytes : NULL); }
    for (int i = 0; i < threads; i++) { pthread_join(id[i], NULL); }
    return now() - start;
}

static double rate(void *(*work)(void *), int threads, double operations) {
    seconds(work, threads, NULL);  // the clock settles
    return operations * chains * rounds * threads / seconds(work, threads, NULL) / 1e9;
}

int main(int count, char **arguments) {
    int threads = count > 1 ? atoi(arguments[1]) : 1;
    if (threads < 1 || threads > threads_max) { return 64; }
    printf("{\"threads\": %d", threads);
    if (__builtin_cpu_supports("avx512f")) {
        printf(", \"f32_gflops\": %.0f", rate(f32_avx512, threads, 32));
    } else if (__builtin_cpu_supports("avx2")) {
        printf(", \"f32_gflops\": %.0f", rate(f32_avx2, threads, 16));
    }
    if (__builtin_cpu_supports("avx512bf16")) { printf(", \"bf16_gflops\": %.0f", rate(bf16_avx512, threads, 64)); }
    if (__builtin_cpu_supports("avx512vnni")) {
        printf(", \"s8_gops\": %.0f", rate(s8_vnni, threads, 128));
    } else if (__builtin_cpu_supports("avx2")) {
        printf(", \"s8_gops\": %.0f", rate(s8_avx2, threads, 32));
    }
    char *memory = malloc(bytes * (size_t)threads);
    if (!memory) { return 2; }
    memset(memory, 1, bytes * (size_t)threads);
    printf(", \"read_gb_per_s\": %.1f}\n", 4.0 * (double)bytes * threads / seconds(read_memory, threads, memory) / 1e9);
    free(memory);
    return 0;
}
