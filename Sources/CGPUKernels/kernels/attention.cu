// Attention, linear and with softmax, and the depthwise and grouped convolutions around it: all in float32.
#define CG_DEVICE
#include "../include/CGPUKernels.h"
#include "functions.h"

namespace gpu {

constexpr int attentionThreads = 256;

// ---- Linear attention

constexpr int square = 32, block = 32;  // elements of sums that a block makes, along either axis; tokens at a time

GPU_FN void linearSum(const cg_linear_attention &a) {
    GPU_SHARED(shared);
    float *keys = (float *)shared, *values = keys + block * square;
    const int squares = (a.d + square - 1) / square, head = blockY() / (squares * squares), within = blockY() % (squares * squares);
    const int firstJ = within / squares * square, firstI = within % squares * square;
    const int perPart = (a.tokens + a.parts - 1) / a.parts, from = blockX() * perPart, to = from + perPart < a.tokens ? from + perPart : a.tokens;
    const i64 at = (i64)blockZ() * a.tokens * a.ld + head * a.stride;
    // A row of sums for eight threads, four elements each.
    const int j = thread() / 8, i = thread() % 8 * 4;
    two sums[5] = {};
    for (int first = from; first < to; first += block) {
        barrier();
        for (int item = thread(); item < block * square; item += attentionThreads) {
            const int token = first + item / square, column = item % square;
            const float k = token < to && firstJ + column < a.d ? a.k[at + (i64)token * a.ld + firstJ + column] : 0;
            keys[item] = k < 0 ? 0 : k;
            values[item] = token < to && firstI + column < a.d ? a.v[at + (i64)token * a.ld + firstI + column] : 0;
        }
        barrier();
        float part[5] = {};
#pragma unroll 8
        for (int token = 0; token < block; token++) {
            const float k = keys[token * square + j];
            const f4 v = loadShared(values + token * square + i);
            part[0] = fma(k, v.x, part[0]), part[1] = fma(k, v.y, part[1]), part[2] = fma(k, v.z, part[2]), part[3] = fma(k, v.w, part[3]), part[4] = part[4] + k;
        }
#pragma unroll
        for (int e = 0; e < 5; e++) sums[e] = add(sums[e], part[e]);
    }
    if (firstJ + j >= a.d) return;
    float *out = a.sums + (((i64)blockZ() * a.heads + head) * a.parts + blockX()) * (a.d + 1) * a.d * 2;
#pragma unroll
    for (int e = 0; e < 4; e++)
        if (firstI + i + e < a.d) ((f2 *)out)[(firstJ + j) * a.d + firstI + i + e] = f2{sums[e].hi, sums[e].lo};
    if (firstI == 0 && i == 0) ((f2 *)out)[a.d * a.d + firstJ + j] = f2{sums[4].hi, sums[4].lo};
}

GPU_FN void linearTotal(const cg_linear_attention &a) {
    const int size = (a.d + 1) * a.d, item = blockX() * 256 + thread(), head = item / size, element = item % size;
    if (head >= a.maps * a.heads) return;
    const f2 *sums = (const f2 *)a.sums + (i64)head * a.parts * size + element;
    two total = {0, 0};
    for (int part = 0; part < a.parts; part++) total = add(total, two{sums[(i64)part * size].x, sums[(i64)part * size].y});
    a.totals[item] = total.hi;
}

GPU_FN void linearApply(const cg_linear_attention &a) {
    constexpr int tokens = 64;
    GPU_SHARED(shared);
    const int d = a.d, pitch = d + 1, size = (d + 1) * d, first = blockX() * tokens, head = blockY();
    float *totals = (float *)shared, *queries = totals + size;
    const float *source = a.totals + ((i64)blockZ() * a.heads + head) * size;
    const i64 map = (i64)blockZ() * a.tokens;
    for (int item = thread(); item < size; item += attentionThreads) totals[item] = source[item];
    for (int item = thread(); item < tokens * d; item += attentionThreads) {
        const int token = first + item / d;
        const float q = token < a.tokens ? a.q[(map + token) * a.ld + head * a.stride + item % d] : 0;
        queries[item / d * pitch + item % d] = q < 0 ? 0 : q;
    }
    barrier();
    // A token for four threads, each with every fourth of its outputs.
    const int token = thread() / 4;
    if (first + token >= a.tokens) return;
    const float *q = queries + token * pitch;
    float below = 1e-15f;
    for (int j = 0; j < d; j++) below = fma(q[j], totals[d * d + j], below);
    float *out = a.out + (map + first + token) * a.ldo + head * d;
    for (int i0 = thread() % 4; i0 < d; i0 += 32) {
        float sums[8] = {};
        for (int j = 0; j < d; j++) {
#pragma unroll
            for (int e = 0; e < 8; e++)
                if (i0 + 4 * e < d) sums[e] = fma(q[j], totals[j * d + i0 + 4 * e], sums[e]);
        }
#pragma unroll
        for (int e = 0; e < 8; e++)
            if (i0 + 4 * e < d) out[i0 + 4 * e] = divide(sums[e], below);
    }
}

// ---- Softmax attention: tiles of keys pass by a tile of queries, whose largest score and sum of exponentials are kept up to date

template <int queries, int groups> struct Attention {
    static constexpr int keys = 32, rows = queries / 16, scorePitch = 36;

    // Rows of d elements to rows of `pitch`, what does not exist as zeros.
    GPU_FN static void fetch(float *to, const float *from, int ld, int count, int all, int d, int pitch) {
        const bool whole = (d | ld) % 4 == 0;
        const int quarters = (d + 3) / 4, items = all * quarters;
        // Four reads are under way before the first is stored.
        for (int first = thread(); first < items; first += 4 * attentionThreads) {
            f4 v[4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int item = first + i * attentionThreads, row = item / quarters, k = item % quarters * 4;
                v[i] = row < count ? load4(from + (i64)row * ld + k, d - k, whole) : f4{0, 0, 0, 0};
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int item = first + i * attentionThreads;
                float *place = to + item / quarters * pitch + item % quarters * 4;
                if (item < items) place[0] = v[i].x, place[1] = v[i].y, place[2] = v[i].z, place[3] = v[i].w;
            }
        }
    }

    // A score after the cap.
    GPU_FN static double capped(const cg_attention &a, float score) { return (double)a.cap * tangentOf((double)a.scale * (double)score / (double)a.cap); }

    // e^(score - top), both scaled and capped.
    GPU_FN static float weight(const cg_attention &a, float score, float top, double cappedTop) {
        if (a.cap > 0) {
            const double v = capped(a, score) - cappedTop;
            const float high = (float)v;
            return exponential(high, (float)(v - (double)high));
        }
        const two v = productOf(score - top, a.scale);
        return exponential(v.hi, v.lo);
    }

    GPU_FN static void run(const cg_attention &a) {
        GPU_SHARED(shared);
        const int d = a.d, pitch = (d + 3) / 4 * 4 + 4, first = blockX() * queries, head = blockY();
        float *q = (float *)shared, *kv = q + queries * pitch, *scores = kv + keys * pitch;
        const int left = a.rows - first < queries ? a.rows - first : queries;
        fetch(q, a.q + (i64)first * a.ldq + head * d, a.ldq, left, queries, d, pitch);
        // Sixteen threads for each row of scores and of outputs: two keys each, and every sixteenth group of four elements.
        const int ty = thread() / 16, tx = thread() % 16;
        float largest[rows], sum[rows];
        f4 out[rows][groups];
#pragma unroll
        for (int r = 0; r < rows; r++) {
            largest[r] = -3e38f, sum[r] = 0;
#pragma unroll
            for (int g = 0; g < groups; g++) out[r][g] = f4{0, 0, 0, 0};
        }
        // The keys that some row sees.
        const int end = a.causal && a.first + first + left < a.tokens ? a.first + first + left : a.tokens;
        const int begin = a.causal && a.window && a.first + first >= a.window ? (a.first + first - a.window + 1) / keys * keys : 0;
#pragma unroll 1
        for (int key = begin; key < end; key += keys) {
            const int count = end - key < keys ? end - key : keys;
            barrier();
            fetch(kv, a.k + (i64)key * a.ldk + head / a.share * d, a.ldk, count, keys, d, pitch);
            barrier();
            float score[rows][2] = {};
#pragma unroll 1
            for (int k = 0; k < d; k += 4) {
                f4 w[2];
#pragma unroll
                for (int c = 0; c < 2; c++) w[c] = loadShared(kv + (tx + 16 * c) * pitch + k);
#pragma unroll
                for (int r = 0; r < rows; r++) {
                    const f4 x = loadShared(q + (ty + 16 * r) * pitch + k);
#pragma unroll
                    for (int c = 0; c < 2; c++) score[r][c] = fma(x.w, w[c].w, fma(x.z, w[c].z, fma(x.y, w[c].y, fma(x.x, w[c].x, score[r][c]))));
                }
            }
            barrier();
            fetch(kv, a.v + (i64)key * a.ldk + head / a.share * d, a.ldk, count, keys, d, pitch);
            float shrink[rows];
#pragma unroll
            for (int r = 0; r < rows; r++) {
                const int row = a.first + first + ty + 16 * r;
                float top = largest[r];
                bool seen[2];
#pragma unroll
                for (int c = 0; c < 2; c++) {
                    const int column = key + tx + 16 * c;
                    seen[c] = column < end && (!a.causal || (column <= row && (!a.window || column > row - a.window)));
                    if (seen[c]) top = larger(top, score[r][c]);
                }
#pragma unroll
                for (int mask = 8; mask; mask >>= 1) top = larger(top, shuffleXor(top, mask));
                const double cappedTop = a.cap > 0 ? capped(a, top) : 0;
                shrink[r] = largest[r] == top ? 1.0f : weight(a, largest[r], top, cappedTop);
                largest[r] = top;
                float part = 0;
#pragma unroll
                for (int c = 0; c < 2; c++) {
                    const float e = seen[c] ? weight(a, score[r][c], top, cappedTop) : 0;
                    scores[(ty + 16 * r) * scorePitch + tx + 16 * c] = e, part = part + e;
                }
#pragma unroll
                for (int mask = 8; mask; mask >>= 1) part = part + shuffleXor(part, mask);
                sum[r] = fma(sum[r], shrink[r], part);
#pragma unroll
                for (int g = 0; g < groups; g++) {
                    f4 &o = out[r][g];
                    o = f4{o.x * shrink[r], o.y * shrink[r], o.z * shrink[r], o.w * shrink[r]};
                }
            }
            barrier();
#pragma unroll 2
            for (int k = 0; k < keys; k++) {
#pragma unroll
                for (int g = 0; g < groups; g++) {
                    const int element = 4 * tx + 64 * g;
                    if (element >= d) continue;
                    const f4 v = loadShared(kv + k * pitch + element);
#pragma unroll
                    for (int r = 0; r < rows; r++) {
                        const float p = scores[(ty + 16 * r) * scorePitch + k];
                        f4 &o = out[r][g];
                        o = f4{fma(p, v.x, o.x), fma(p, v.y, o.y), fma(p, v.z, o.z), fma(p, v.w, o.w)};
                    }
                }
            }
        }
#pragma unroll
        for (int r = 0; r < rows; r++) {
            const int row = first + ty + 16 * r;
            if (row >= a.rows) continue;
            const float factor = sum[r] > 0 ? divide(1.0f, sum[r]) : 0;
#pragma unroll
            for (int g = 0; g < groups; g++) {
                const int element = 4 * tx + 64 * g;
                const f4 o = out[r][g];
                if (element < d) store4(a.out + (i64)row * a.ldo + head * d + element, f4{o.x * factor, o.y * factor, o.z * factor, o.w * factor}, d - element, (d | a.ldo) % 4 == 0);
            }
        }
    }
};

// ---- Depthwise convolutions

GPU_FN float depthwiseAt(const cg_depthwise &a, int pixel, int channel) {
    const int row = pixel / a.width % a.height, column = pixel % a.width, pad = a.kernel / 2;
    float sum = a.bias ? a.bias[channel] : 0;
    for (int ky = 0; ky < a.kernel; ky++) {
        if (row + ky < pad || row + ky - pad >= a.height) continue;
        for (int kx = 0; kx < a.kernel; kx++) {
            if (column + kx < pad || column + kx - pad >= a.width) continue;
            const i64 at = (i64)pixel + (ky - pad) * a.width + kx - pad;
            sum = fma(a.x[at * a.channels + channel], a.w[(ky * a.kernel + kx) * a.channels + channel], sum);
        }
    }
    return sum;
}

// One of two maps: its taps, and the three rows under them of the columns before, at and behind a pixel.
struct Window {
    float w[9], bias, x[3][3];

    GPU_FN Window(const cg_depthwise &a, int channel) : bias(a.bias ? a.bias[channel] : 0) {
#pragma unroll
        for (int tap = 0; tap < 9; tap++) w[tap] = a.w[tap * a.channels + channel];
    }
    // Column `column` of a map becomes the last of the three; `at` is its pixel of the middle row.
    GPU_FN void take(const cg_depthwise &a, int channel, int row, int column, i64 at) {
#pragma unroll
        for (int ky = 0; ky < 3; ky++) {
            const bool inside = column >= 0 && column < a.width && row + ky > 0 && row + ky <= a.height;
            x[ky][0] = x[ky][1], x[ky][1] = x[ky][2];
            x[ky][2] = inside ? a.x[(at + (ky - 1) * a.width) * a.channels + channel] : 0;
        }
    }
    GPU_FN float sum() const {
        float s = bias;
#pragma unroll
        for (int tap = 0; tap < 9; tap++) s = fma(x[tap / 3][tap % 3], w[tap], s);
        return s;
    }
};

// A thread goes along some pixels of a row with one channel and its gate.
constexpr int strip = 8;
GPU_FN void gateDepthwise(const cg_depthwise &a) {
    const int half = a.channels / 2, channel = blockX() * 256 + thread(), strips = (a.width + strip - 1) / strip;
    if (channel >= half) return;
    const int line = blockY() / strips, row = line % a.height, first = blockY() % strips * strip;
    const i64 start = (i64)line * a.width;
    Window value(a, channel), gate(a, half + channel);
#pragma unroll 1
    for (int column = first - 1; column <= first + strip && column <= a.width; column++) {
        value.take(a, channel, row, column, start + column);
        gate.take(a, half + channel, row, column, start + column);
        if (column > first) a.y[(start + column - 1) * half + channel] = value.sum() * silu(gate.sum());
    }
}
}

using namespace gpu;

GPU_KERNEL(256, 4) void linear_sum(const cg_linear_attention a) { linearSum(a); }
GPU_KERNEL(256, 4) void linear_total(const cg_linear_attention a) { linearTotal(a); }
GPU_KERNEL(256, 2) void linear_apply(const cg_linear_attention a) { linearApply(a); }

GPU_KERNEL(256, 1) void attention_128(const cg_attention a) { Attention<64, 2>::run(a); }
GPU_KERNEL(256, 1) void attention_256(const cg_attention a) { Attention<32, 4>::run(a); }

GPU_KERNEL(256, 4) void depthwise(const cg_depthwise a) {
    u32 at = (u32)blockX() * 1024 + thread();
#pragma unroll 1
    for (int i = 0; i < 4 && at < a.count; i++, at += 256) a.y[at] = depthwiseAt(a, at / (u32)a.channels, at % (u32)a.channels);
}
GPU_KERNEL(256, 2) void gate_depthwise(const cg_depthwise a) { gateDepthwise(a); }

GPU_KERNEL(256, 4) void pointwise(const cg_pointwise a) {
    const u32 at = (u32)blockX() * 256 + thread();
    if (at >= a.count) return;
    const u32 row = at / (u32)a.channels, channel = at % (u32)a.channels;
    const float *x = a.x + (i64)row * a.channels + channel / (u32)a.width * a.width, *w = a.w + (i64)channel * a.width;
    float sum = 0;
    for (int k = 0; k < a.width; k++) sum = fma(x[k], w[k], sum);
    a.y[at] = sum;
}
