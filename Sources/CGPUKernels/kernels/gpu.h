// The whole of the machine that the kernels use, for clang without an SDK (-x cuda -nocudainc -nocudalib); a check on the host defines EMULATED.
#pragma once

typedef signed char i8;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#ifdef EMULATED
#include "emulation.h"
#else

#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define GPU_KERNEL(threads, blocks) extern "C" __global__ __attribute__((launch_bounds(threads, blocks)))
#define GPU_INLINE __attribute__((always_inline))
#define GPU_FN __device__ GPU_INLINE inline
// All shared memory is what the launch asks for.
#define GPU_SHARED(name) extern __shared__ __attribute__((aligned(1024))) u8 name[]

namespace gpu {

GPU_FN int thread() { return __nvvm_read_ptx_sreg_tid_x(); }
GPU_FN int blockX() { return __nvvm_read_ptx_sreg_ctaid_x(); }
GPU_FN int blockY() { return __nvvm_read_ptx_sreg_ctaid_y(); }
GPU_FN int blockZ() { return __nvvm_read_ptx_sreg_ctaid_z(); }
GPU_FN void barrier() { asm volatile("bar.sync 0;" ::: "memory"); }

GPU_FN u32 sharedAddress(const void *p) {
    u32 a;
    asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(a) : "l"(p));
    return a;
}

// 16 bytes from global to shared memory, past the first-level cache or through it: the first `bytes` of them (0 or 16), and zeros behind.
GPU_FN void copyAsync(u32 to, const void *from) { asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory"); }
GPU_FN void copyAsync(u32 to, const void *from, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
GPU_FN void copyAsyncCached(u32 to, const void *from, int bytes) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
GPU_FN void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int pending> GPU_FN void wait() { asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory"); }

GPU_FN void loadMatrices4(u32 (&r)[4], u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}
GPU_FN void loadMatrices2(u32 &r0, u32 &r1, u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];" : "=r"(r0), "=r"(r1) : "r"(address) : "memory");
}

// Types of 16-bit floats.
struct bfloat {};
struct half {};

// d += a * b: 16 rows by 8 columns of 32 bytes each, of int8 into int32 or of 16-bit floats into float32.
GPU_FN void multiplyAdd(i8, int (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
GPU_FN void multiplyAdd(bfloat, float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
GPU_FN void multiplyAdd(half, float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Roundings are spelled out where operators do not name them: the sources are compiled without contraction, and a check reads that the text
// holds no operation that may be fused.
GPU_FN float fma(float a, float b, float c) { float r; asm("fma.rn.f32 %0, %1, %2, %3;" : "=f"(r) : "f"(a), "f"(b), "f"(c)); return r; }
GPU_FN float divide(float a, float b) { float r; asm("div.rn.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b)); return r; }
GPU_FN float root(float a) { float r; asm("sqrt.rn.f32 %0, %1;" : "=f"(r) : "f"(a)); return r; }
GPU_FN float toFloat(int a) { float r; asm("cvt.rn.f32.s32 %0, %1;" : "=f"(r) : "r"(a)); return r; }
GPU_FN int toInt(float a) { int r; asm("cvt.rni.s32.f32 %0, %1;" : "=r"(r) : "f"(a)); return r; }
GPU_FN float asFloat(u32 a) { float r; asm("mov.b32 %0, %1;" : "=f"(r) : "r"(a)); return r; }
GPU_FN u32 asBits(float a) { u32 r; asm("mov.b32 %0, %1;" : "=r"(r) : "f"(a)); return r; }
// A NaN loses to a number.
GPU_FN float larger(float a, float b) { float r; asm("max.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b)); return r; }
GPU_FN float smaller(float a, float b) { float r; asm("min.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b)); return r; }
GPU_FN float magnitude(float a) { float r; asm("abs.f32 %0, %1;" : "=f"(r) : "f"(a)); return r; }
GPU_FN float fromHalf(u16 a) { float r; asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(a)); return r; }
GPU_FN u16 toHalf(float a) { u16 r; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r) : "f"(a)); return r; }
// Number of zeros above the highest set bit.
GPU_FN int leadingZeros(u32 a) { int r; asm("clz.b32 %0, %1;" : "=r"(r) : "r"(a)); return r; }
GPU_FN u32 shuffleXor(u32 a, int mask) {
    u32 r;
    asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=r"(r) : "r"(a), "r"(mask));
    return r;
}
// 16 bytes of global and of shared memory, aligned to them.
struct alignas(16) f4 {
    float x, y, z, w;
    static constexpr bool isWhole = false;
};
struct alignas(16) i4 {
    int x, y, z, w;
    static constexpr bool isWhole = true;
};
// What nobody has written since the kernel began may be read at any time.
GPU_FN f4 loadConstant(const float *p) {
    f4 v;
    asm("ld.global.v4.f32 {%0,%1,%2,%3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "l"(p));
    return v;
}
GPU_FN f4 loadGlobal(const float *p) {
    f4 v;
    asm volatile("ld.global.v4.f32 {%0,%1,%2,%3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "l"(p) : "memory");
    return v;
}
GPU_FN void storeGlobal(float *p, f4 v) {
    asm volatile("st.global.v4.f32 [%0], {%1,%2,%3,%4};" ::"l"(p), "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w) : "memory");
}
GPU_FN f4 loadShared(const float *p) {
    f4 v;
    asm volatile("ld.shared.v4.f32 {%0,%1,%2,%3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(sharedAddress(p)) : "memory");
    return v;
}
GPU_FN i4 loadShared(const int *p) {
    i4 v;
    asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(sharedAddress(p)) : "memory");
    return v;
}
GPU_FN void storeShared(int *p, int a, int b) { asm volatile("st.shared.v2.u32 [%0], {%1,%2};" ::"r"(sharedAddress(p)), "r"(a), "r"(b) : "memory"); }
GPU_FN void storeShared(float *p, float a, float b) { asm volatile("st.shared.v2.f32 [%0], {%1,%2};" ::"r"(sharedAddress(p)), "f"(a), "f"(b) : "memory"); }
GPU_FN double rootOf(double a) { double r; asm("sqrt.rn.f64 %0, %1;" : "=d"(r) : "d"(a)); return r; }
GPU_FN double asDouble(u64 a) { double r; asm("mov.b64 %0, %1;" : "=d"(r) : "l"(a)); return r; }
GPU_FN u64 asBits(double a) { u64 r; asm("mov.b64 %0, %1;" : "=l"(r) : "d"(a)); return r; }
}
#endif

namespace gpu {
struct alignas(8) f2 { float x, y; };

GPU_FN float shuffleXor(float a, int mask) { return asFloat(shuffleXor(asBits(a), mask)); }

GPU_FN int lane() { return thread() & 31; }
GPU_FN int warp() { return thread() >> 5; }

// The bits of the bfloat16 that a float is narrowed to, ties to even; a NaN keeps its sign and the top of its payload, made quiet.
GPU_FN u32 narrow(float a) {
    const u32 bits = asBits(a), rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16, quieted = bits >> 16 | 0x40;
    return (bits & 0x7FFFFFFF) > 0x7F800000 ? quieted : rounded;
}
GPU_FN float widen(u32 bits) { return asFloat(bits << 16); }
// Whether float16 has no number for a float: what rounds to infinity, and what is none.
GPU_FN bool isBeyondHalf(f4 v) {
    return !(magnitude(v.x) < 65520.0f) || !(magnitude(v.y) < 65520.0f) || !(magnitude(v.z) < 65520.0f) || !(magnitude(v.w) < 65520.0f);
}
// Leaves a layer's number where there is none. Kernels come one after the other, and threads of one of them leave the same.
GPU_FN void tell(u32 *beyond, u32 layer) {
    if (*beyond == 0) *beyond = layer;
}

// The scale of numbers of which this is the largest magnitude, and the code of one (Formats/schemes.md, "The integer contract").
GPU_FN float scaleOf(float largest) {
    const float scale = divide(largest, 127.0f);
    return scale == 0 ? 1.0f : scale;
}
// NaN becomes -127.
GPU_FN u32 code(float x, float scale) { return (u32)toInt(smaller(larger(divide(x, scale), -127.0f), 127.0f)); }
GPU_FN u32 codes4(f4 v, float scale) {
    return (code(v.x, scale) & 255) | (code(v.y, scale) & 255) << 8 | (code(v.z, scale) & 255) << 16 | code(v.w, scale) << 24;
}

// Of up to four floats from `p` on, `count` of which exist; the rest is 0. `whole` is the same for all threads: that rows have a multiple of four.
GPU_FN f4 load4(const float *p, int count, bool whole) {
    if (whole) return loadConstant(p);
    return f4{count > 0 ? p[0] : 0, count > 1 ? p[1] : 0, count > 2 ? p[2] : 0, count > 3 ? p[3] : 0};
}
// The same where this thread has written.
GPU_FN f4 reload4(const float *p, int count, bool whole) { return whole ? loadGlobal(p) : load4(p, count, false); }
GPU_FN void store4(float *p, f4 v, int count, bool whole) {
    if (whole) { storeGlobal(p, v); return; }
    if (count > 0) p[0] = v.x;
    if (count > 1) p[1] = v.y;
    if (count > 2) p[2] = v.z;
    if (count > 3) p[3] = v.w;
}
}
