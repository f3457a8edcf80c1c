// Which instruction sets this machine can run. __builtin_cpu_supports asks the CPU and, through XGETBV, the system.
#include "internal.h"

bool ck_isa_supported(int isa) {
    if (isa == CK_ISA_PLAIN) { return true; }
#if CK_X86
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    if (isa == CK_ISA_AVX2) { return avx2; }
    if (isa == CK_ISA_AVX512) {
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")
            && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
    }
#endif
    return false;
}

const char *ck_isa_name(int isa) {
    if (isa == CK_ISA_PLAIN) { return "plain"; }
    if (isa == CK_ISA_AVX2) { return "avx2"; }
    if (isa == CK_ISA_AVX512) { return "avx512-vnni"; }
    return "unknown";
}
