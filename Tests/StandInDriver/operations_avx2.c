// The same for CPUs with AVX2, which compute eight lanes at once.
#include "machine.h"
#ifdef __x86_64__
#include <immintrin.h>
#include <math.h>
#include <string.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi,bmi2,lzcnt,popcnt"))), apply_to = function)
#define STAND_IN_AVX2
#define TABLE operations_avx2
#include "operations.h"
#pragma clang attribute pop
#endif

const struct operations *operations_here(void) {
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) return &operations_avx2;
#endif
    return &operations_plain;
}

computation *operation_find(const char *name, const char **signature) {
    const struct operations *here = operations_here();
    for (u32 k = 0; k < here->count; k++)
        if (strcmp(here->all[k].name, name) == 0) {
            *signature = here->all[k].signature;
            return here->all[k].compute;
        }
    return NULL;
}
