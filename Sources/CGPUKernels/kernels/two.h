// Numbers of two floats, with some 46 bits: what the CPU's kernels sum in double, where a GPU has few units for double.
#pragma once
#include "gpu.h"

namespace gpu {

struct two { float hi, lo; };

// Exact: Knuth's sum and the product by a fused multiply-add. The second form is for |a| >= |b|.
GPU_FN two sumOf(float a, float b) {
    const float s = a + b, t = s - a;
    return two{s, (a - (s - t)) + (b - t)};
}
GPU_FN two ordered(float a, float b) {
    const float s = a + b;
    return two{s, b - (s - a)};
}
GPU_FN two productOf(float a, float b) {
    const float p = a * b;
    return two{p, fma(a, b, -p)};
}
GPU_FN two negative(two a) { return two{-a.hi, -a.lo}; }
GPU_FN two add(two a, two b) {
    const two s = sumOf(a.hi, b.hi), t = sumOf(a.lo, b.lo), u = ordered(s.hi, s.lo + t.hi);
    return ordered(u.hi, u.lo + t.lo);
}
GPU_FN two add(two a, float b) {
    const two s = sumOf(a.hi, b);
    return ordered(s.hi, s.lo + a.lo);
}
GPU_FN two multiply(two a, two b) {
    const two p = productOf(a.hi, b.hi);
    return ordered(p.hi, fma(a.lo, b.hi, fma(a.hi, b.lo, p.lo)));
}
GPU_FN two multiply(two a, float b) {
    const two p = productOf(a.hi, b);
    return ordered(p.hi, fma(a.lo, b, p.lo));
}
// b is a whole number of at most 24 bits.
GPU_FN two divided(two a, float b) {
    const float q = divide(a.hi, b);
    return ordered(q, divide(fma(-q, b, a.hi) + a.lo, b));
}
// 1 / sqrt(a) of a > 0: Newton's step from the float's own.
GPU_FN two inverseRoot(two a) {
    const float y = divide(1.0f, root(a.hi));
    const float e = negative(add(multiply(a, productOf(y, y)), -1.0f)).hi;
    return ordered(y, y * (e * fma(0.375f, e, 0.5f)));
}

// ---- Of all lanes of a warp: each gets the same.

GPU_FN two warpSum(two a) {
#pragma unroll
    for (int mask = 16; mask; mask >>= 1) a = add(a, two{shuffleXor(a.hi, mask), shuffleXor(a.lo, mask)});
    return a;
}
GPU_FN float warpMax(float a) {
#pragma unroll
    for (int mask = 16; mask; mask >>= 1) a = larger(a, shuffleXor(a, mask));
    return a;
}

// ---- Of all threads of a block of so many warps: `scratch` has two floats for each warp, and is free again behind the next barrier.

template <int warps> GPU_FN two blockSum(two a, float *scratch) {
    a = warpSum(a);
    barrier();
    if (lane() == 0) scratch[2 * warp()] = a.hi, scratch[2 * warp() + 1] = a.lo;
    barrier();
    two sum = {0, 0};
#pragma unroll
    for (int w = 0; w < warps; w++) sum = add(sum, two{scratch[2 * w], scratch[2 * w + 1]});
    return sum;
}
template <int warps> GPU_FN float blockMax(float a, float *scratch) {
    a = warpMax(a);
    barrier();
    if (lane() == 0) scratch[warp()] = a;
    barrier();
    a = scratch[0];
#pragma unroll
    for (int w = 1; w < warps; w++) a = larger(a, scratch[w]);
    return a;
}
}
