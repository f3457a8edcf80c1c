// Rows to codes, norms, and what is done to elements.
#define CG_DEVICE
#include "../include/CGPUKernels.h"
#include "functions.h"

namespace gpu {

// ---- Rows turned by Hadamard matrices (Formats/schemes.md, "turn")

// Elements of the block that element k of a row of `columns` lies in: blocks of the largest power of two that fits, none above `most`.
GPU_FN int blockOf(int k, int columns, int most) {
    const int fits = (int)(0x80000000u >> leadingZeros((u32)(k ^ columns)));
    return fits < most ? fits : most;
}
// fl(1 / sqrt(n)) of a power of two.
GPU_FN float rootOfBlock(int n) {
    const u32 log = 31 - leadingZeros((u32)n);
    return log & 1 ? asFloat(((127 - (log + 1) / 2) << 23) | 0x3504f3u) : asFloat((127 - log / 2) << 23);
}

// The factors of the matrix for pairs 1 ... 16 apart, between the lanes of a warp.
GPU_FN float turnedInWarp(float v, int k, int columns, int most) {
    const int n = k < columns ? blockOf(k, columns, most) : 1;
#pragma unroll
    for (int h = 1; h < 32; h <<= 1) {
        const float other = shuffleXor(v, h);
        if (h < n) v = k & h ? other - v : v + other;
    }
    return n <= 32 ? v * rootOfBlock(n) : v;
}

// Three factors at once: for pairs 1, 2 and 4 times 2^bit apart, in shared memory.
GPU_FN void turnEights(float *v, int bit, int columns, int most, int threads) {
    const int groups = (((columns - 1) >> (bit + 3)) + 1) << bit;
    for (int group = thread(); group < groups; group += threads) {
        const int first = group >> bit << (bit + 3) | (group & ((1 << bit) - 1));
        float e[8];
        int n[8];
#pragma unroll
        for (int j = 0; j < 8; j++) {
            const int k = first + (j << bit);
            e[j] = k < columns ? v[k] : 0, n[j] = k < columns ? blockOf(k, columns, most) : 0;
        }
#pragma unroll
        for (int s = 0; s < 3; s++)
#pragma unroll
            for (int j = 0; j < 8; j++) {
                if (j >> s & 1 || n[j] <= 1 << (bit + s)) continue;
                const float a = e[j], b = e[j | 1 << s];
                e[j] = a + b, e[j | 1 << s] = a - b;
            }
#pragma unroll
        for (int j = 0; j < 8; j++) {
            const bool last = n[j] > 1 << bit && n[j] <= 1 << (bit + 3);
            if (n[j]) v[first + (j << bit)] = last ? e[j] * rootOfBlock(n[j]) : e[j];
        }
    }
}

// ---- Statistics of a row, in two floats

GPU_FN two factorOf(two squares, int columns, float epsilon, float rest) { return inverseRoot(add(divided(squares, (float)columns), two{epsilon, rest})); }

// Elements `threads` apart that a thread has under way at once, from one on; those past the end are zeros.
template <int count, int threads> GPU_FN void take(float (&e)[count], const float *x, int first, int columns) {
#pragma unroll
    for (int i = 0; i < count; i++) e[i] = first + i * threads < columns ? x[first + i * threads] : 0;
}

template <int warps> GPU_FN two sumOfRow(const float *x, int columns, float *scratch) {
    two sum = {0, 0};
    for (int first = thread(); first < columns; first += 4 * 32 * warps) {
        float e[4];
        take<4, 32 * warps>(e, x, first, columns);
#pragma unroll
        for (int i = 0; i < 4; i++) sum = add(sum, e[i]);
    }
    return blockSum<warps>(sum, scratch);
}
// Of (x + offset)^2.
template <int warps> GPU_FN two squaresOfRow(const float *x, two offset, int columns, float *scratch) {
    two sum = {0, 0};
    for (int first = thread(); first < columns; first += 4 * 32 * warps) {
        float e[4];
        take<4, 32 * warps>(e, x, first, columns);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const two d = add(offset, e[i]);
            if (first + i * 32 * warps < columns) sum = add(sum, multiply(d, d));
        }
    }
    return blockSum<warps>(sum, scratch);
}
GPU_FN float normed(float x, two offset, two factor, float scale, float shift) {
    return add(multiply(multiply(add(offset, x), factor), sumOf(1.0f, scale)), shift).hi;
}

constexpr int rowWarps = 8, rowThreads = 32 * rowWarps;

GPU_FN void quantizeRow(const cg_quantize &a) {
    GPU_SHARED(shared);
    float *scratch = (float *)shared, *v = scratch + 32;
    const float *x = a.x + (i64)blockX() * a.ldx;
    const int columns = a.columns, whole = (columns + 31) & ~31;
    two offset = {0, 0}, factor = {1, 0};
    // All that a thread reads is under way at once; it is its own until the turn.
    for (int first = thread(); first < columns; first += 8 * rowThreads) {
        float e[8];
        take<8, rowThreads>(e, x, first, columns);
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (first + i * rowThreads < columns) v[first + i * rowThreads] = e[i];
    }
    if (a.scale) {
        offset = negative(divided(sumOfRow<rowWarps>(v, columns, scratch), (float)columns));
        factor = factorOf(squaresOfRow<rowWarps>(v, offset, columns, scratch), columns, a.epsilon, a.epsilonRest);
    }
    float largest = 0;
    // Whole warps take part: a row ends inside one, whose other elements are zeros.
    for (int k = thread(); k < whole; k += rowThreads) {
        float e = k < columns ? v[k] : 0;
        if (a.scale && k < columns) e = normed(e, offset, factor, a.scale[k], a.shift[k]);
        if (a.factors && k < columns) e = e * a.factors[k];
        if (a.turn > 1) e = turnedInWarp(e, k, columns, a.turn);
        v[k] = e, largest = larger(largest, magnitude(e));
    }
    for (int k = whole + thread(); k < a.pitch; k += rowThreads) v[k] = 0;
    const int block = a.turn > 1 ? blockOf(0, columns, a.turn) : 1;
    if (block > 32) {
        for (int bit = 5; 1 << bit < block; bit += 3) {
            barrier();
            turnEights(v, bit, columns, a.turn, rowThreads);
        }
        barrier();
        largest = 0;
        for (int k = thread(); k < columns; k += rowThreads) largest = larger(largest, magnitude(v[k]));
    }
    const float scale = scaleOf(blockMax<rowWarps>(largest, scratch));
    if (thread() == 0) a.s[blockX()] = scale;
    u32 *q = (u32 *)(a.q + (i64)blockX() * a.pitch);
    for (int i = thread(); i < a.pitch / 4; i += rowThreads) q[i] = codes4(loadShared(v + 4 * i), scale);
}

// Of a row that a warp has: four elements a lane at a time.
GPU_FN float largestOf(f4 v) { return larger(larger(magnitude(v.x), magnitude(v.y)), larger(magnitude(v.z), magnitude(v.w))); }

GPU_FN float activated(float v, int function) {
    switch (function) {
    case cg_relu: return v < 0 ? 0 : v;
    case cg_silu: return silu(v);
    case cg_gelu: return gelu(v);
    case cg_exact_gelu: return (float)exactGELU(v);
    default: return v;
    }
}

// ---- Elements: four a thread

constexpr int elements = 1024;
GPU_FN u32 firstElement() { return (u32)blockX() * elements + 4 * thread(); }

// The channel of a map [h, w, inputs] that a doubled one of so many outputs has added to output n of a corner.
GPU_FN int doubledChannel(int n, int corner, int inputs, int outputs) { return (4 * n + corner) / (4 * outputs / inputs); }
}

using namespace gpu;

GPU_KERNEL(256, 4) void quantize_rows(const cg_quantize a) { quantizeRow(a); }

GPU_KERNEL(256, 4) void quantize_pixels(const cg_pixels a) {
    const int row = blockX() * 8 + warp();
    if (row >= a.rows) return;
    const float *x = a.x + (i64)row * a.columns;
    const bool whole = a.columns % 4 == 0;
    float largest = 0;
    for (int k = 4 * lane(); k < a.columns; k += 128) largest = larger(largest, largestOf(load4(x + k, a.columns - k, whole)));
    const float scale = scaleOf(warpMax(largest));
    if (lane() == 0) a.s[row] = scale;
    u32 *q = (u32 *)((i8 *)a.q + (i64)row * a.pitch);
    for (int k = 4 * lane(); k < a.pitch; k += 128) q[k / 4] = k < a.columns ? codes4(load4(x + k, a.columns - k, whole), scale) : 0;
}

GPU_KERNEL(256, 4) void narrow_rows(const cg_narrow a) {
    const int row = blockX() * 8 + warp();
    if (row >= a.rows) return;
    const float *x = a.x + (i64)row * a.columns;
    const bool whole = a.columns % 4 == 0;
    u32 *q = (u32 *)((i8 *)a.q + (i64)row * a.pitch);
    for (int k = 4 * lane(); k < a.pitch / 2; k += 128) {
        const f4 v = k < a.columns ? load4(x + k, a.columns - k, whole) : f4{0, 0, 0, 0};
        if (a.type == cg_bf16) {
            q[k / 2] = narrow(v.x) | narrow(v.y) << 16, q[k / 2 + 1] = narrow(v.z) | narrow(v.w) << 16;
            continue;
        }
        q[k / 2] = toHalf(v.x) | (u32)toHalf(v.y) << 16, q[k / 2 + 1] = toHalf(v.z) | (u32)toHalf(v.w) << 16;
        if (isBeyondHalf(v)) tell(a.beyond, a.layer);
    }
}

GPU_KERNEL(256, 4) void layer_norm(const cg_norm a) {
    GPU_SHARED(shared);
    float *scratch = (float *)shared;
    const float *x = a.x + (i64)blockX() * a.ldx;
    float *y = a.y + (i64)blockX() * a.ldy;
    const two offset = negative(divided(sumOfRow<rowWarps>(x, a.columns, scratch), (float)a.columns));
    const two factor = factorOf(squaresOfRow<rowWarps>(x, offset, a.columns, scratch), a.columns, a.epsilon, a.epsilonRest);
    for (int k = thread(); k < a.columns; k += rowThreads) y[k] = normed(x[k], offset, factor, a.weight ? a.weight[k] : 0, a.bias ? a.bias[k] : 0);
}

GPU_KERNEL(256, 4) void rms_norm(const cg_norm a) {
    GPU_SHARED(shared);
    const float *x = a.x + (i64)blockX() * a.ldx;
    float *y = a.y + (i64)blockX() * a.ldy;
    const two factor = factorOf(squaresOfRow<rowWarps>(x, two{0, 0}, a.columns, (float *)shared), a.columns, a.epsilon, a.epsilonRest);
    for (int k = thread(); k < a.columns; k += rowThreads) {
        two v = multiply(factor, x[k]);
        if (a.weight) v = multiply(v, sumOf(a.offset, a.weight[k]));
        y[k] = a.bias ? add(v, a.bias[k]).hi : v.hi;
    }
}

GPU_KERNEL(256, 4) void norm_pixels(const cg_norm_pixels a) {
    const int row = blockX() * 8 + warp();
    if (row >= a.rows) return;
    const i64 at = (i64)row * a.columns;
    const bool whole = a.columns % 4 == 0;
    two sum = {0, 0};
    for (int k = 4 * lane(); k < a.columns; k += 128) {
        const f4 v = load4(a.x + at + k, a.columns - k, whole);
        sum = add(add(add(add(sum, productOf(v.x, v.x)), productOf(v.y, v.y)), productOf(v.z, v.z)), productOf(v.w, v.w));
    }
    const float factor = factorOf(warpSum(sum), a.columns, a.epsilon, a.epsilonRest).hi;
    float largest = 0;
    for (int k = 4 * lane(); k < a.columns; k += 128) {
        const int count = a.columns - k;
        const f4 v = load4(a.x + at + k, count, whole), w = load4(a.weight + k, count, whole), b = load4(a.bias + k, count, whole);
        f4 r = {fma(v.x * factor, w.x, b.x), fma(v.y * factor, w.y, b.y), fma(v.z * factor, w.z, b.z), fma(v.w * factor, w.w, b.w)};
        r = f4{activated(r.x, a.activation), activated(r.y, a.activation), activated(r.z, a.activation), activated(r.w, a.activation)};
        if (a.base) {
            const f4 base = load4(a.base + at + k, count, whole);
            r = f4{base.x + r.x, base.y + r.y, base.z + r.z, base.w + r.w};
        }
        largest = larger(largest, largestOf(r));
        store4(a.y + at + k, r, count, whole);
    }
    if (!a.q) return;
    const float scale = scaleOf(warpMax(largest));
    if (lane() == 0) a.s[row] = scale;
    u32 *q = (u32 *)(a.q + (i64)row * a.pitch);
    // A lane reads back what it has written itself.
    for (int k = 4 * lane(); k < a.pitch; k += 128) q[k / 4] = k < a.columns ? codes4(reload4(a.y + at + k, a.columns - k, whole), scale) : 0;
}

GPU_KERNEL(256, 4) void activate(const cg_activate a) {
    const u32 at = firstElement();
    if (at >= a.count) return;
    const int count = a.count - at < 4 ? (int)(a.count - at) : 4;
    const f4 v = load4(a.x + at, count, count == 4);
    store4(a.y + at, f4{activated(v.x, a.function), activated(v.y, a.function), activated(v.z, a.function), activated(v.w, a.function)}, count, count == 4);
}

GPU_KERNEL(256, 4) void gate_gelu(const cg_gate a) {
    const float *x = a.x + (i64)blockY() * 2 * a.columns;
    float *y = a.y + (i64)blockY() * a.columns;
    for (int k = blockX() * elements + thread(), i = 0; i < 4 && k < a.columns; i++, k += rowThreads) y[k] = gelu(x[k]) * x[k + a.columns];
}
GPU_KERNEL(256, 4) void gate_silu(const cg_gate a) {
    const float *x = a.x + (i64)blockY() * 2 * a.columns;
    float *y = a.y + (i64)blockY() * a.columns;
    for (int k = blockX() * elements + thread(), i = 0; i < 4 && k < a.columns; i++, k += rowThreads) y[k] = x[k] * silu(x[k + a.columns]);
}

GPU_KERNEL(256, 4) void add(const cg_add a) {
    u32 at = (u32)blockX() * elements + thread();
    for (int i = 0; i < 4 && at < a.count; i++, at += rowThreads) {
        if (a.base) a.y[at] = a.base[at] + a.x[at];
        else a.y[at] = fma(a.gate ? a.gate[at % (u32)a.columns] : 1.0f, a.x[at], a.y[at]);
    }
}

GPU_KERNEL(256, 4) void rotate(const cg_rotate a) {
    const int half = a.width / 2;
    const float *table = a.table + (i64)blockX() * a.width;
    float *x = a.x + (i64)blockX() * a.ldx;
    for (int i = thread(); i < a.heads * half; i += rowThreads) {
        const int at = i / half * a.width + i % half;
        const float p = x[at], q = x[at + half], cosine = table[i % half], sine = table[half + i % half];
        x[at] = add(productOf(p, cosine), productOf(-q, sine)).hi;
        x[at + half] = add(productOf(q, cosine), productOf(p, sine)).hi;
    }
}

GPU_KERNEL(256, 4) void unshuffle(const cg_shuffle a) {
    const u32 count = (u32)a.height * a.width * 4 * a.channels;
    u32 at = (u32)blockX() * elements + thread();
    for (int i = 0; i < 4 && at < count; i++, at += rowThreads) {
        const int channel = at % (u32)(4 * a.channels), pixel = at / (u32)(4 * a.channels), y = pixel / a.width, x = pixel % a.width;
        const i64 from = (i64)(2 * y + (channel >> 1 & 1)) * 2 * a.width + 2 * x + (channel & 1);
        a.y[at] = a.x[from * a.channels + channel / 4];
    }
}
GPU_KERNEL(256, 4) void shuffle(const cg_shuffle a) {
    const u32 count = (u32)a.height * a.width * 4 * a.channels;
    u32 at = (u32)blockX() * elements + thread();
    for (int i = 0; i < 4 && at < count; i++, at += rowThreads) {
        const int channel = at % (u32)a.channels, pixel = at / (u32)a.channels, y = pixel / (2 * a.width), x = pixel % (2 * a.width);
        const int corner = (y & 1) * 2 + (x & 1);
        const i64 from = (i64)(y / 2) * a.width + x / 2;
        float v = a.x[from * 4 * a.channels + 4 * channel + corner];
        if (a.base) v = v + a.base[from * a.inputs + doubledChannel(channel, corner, a.inputs, a.channels)];
        a.y[at] = v;
    }
}

GPU_KERNEL(256, 4) void add_shortcut(const cg_shortcut a) {
    u32 at = (u32)blockX() * elements + thread();
    for (int i = 0; i < 4 && at < a.count; i++, at += rowThreads) {
        if (a.outputs >= a.inputs) {
            a.y[at] = a.y[at] + a.x[at / (u32)(a.outputs / a.inputs)];
            continue;
        }
        const int group = a.inputs / a.outputs;
        two sum = {0, 0};
        for (int j = 0; j < group; j++) sum = add(sum, a.x[(u64)at * group + j]);
        a.y[at] = a.y[at] + divided(sum, (float)group).hi;
    }
}
GPU_KERNEL(256, 4) void add_doubled(const cg_shortcut a) {
    u32 at = (u32)blockX() * elements + thread();
    for (int i = 0; i < 4 && at < a.count; i++, at += rowThreads) {
        const int channel = at % (u32)a.outputs, pixel = at / (u32)a.outputs, y = pixel / (2 * a.width), x = pixel % (2 * a.width);
        const i64 from = (i64)(y / 2) * a.width + x / 2;
        a.y[at] = a.y[at] + a.x[from * a.inputs + doubledChannel(channel, (y & 1) * 2 + (x & 1), a.inputs, a.outputs)];
    }
}
