// Products and 3x3 convolutions in float32, of weights of any type.
#define CG_DEVICE
#include "../include/CGPUKernels.h"
#include "functions.h"
#include "shapes.h"

namespace gpu {

// Depth of a tile; sums of so many tiles are kept apart, so that rounding does not grow with the depth.
constexpr int tileDepth = 16, chain = 16;

GPU_FN float rounded(float v, int type) { return type == cg_bf16 ? widen(narrow(v)) : fromHalf(toHalf(v)); }

// Element k of a row of weights, without its scale.
GPU_FN float weightAt(const void *w, int type, i64 k) {
    switch (type) {
    case cg_f32: return ((const float *)w)[k];
    case cg_bf16: return widen(((const u16 *)w)[k]);
    case cg_f16: return fromHalf(((const u16 *)w)[k]);
    default: return toFloat(((const i8 *)w)[k]);
    }
}
// Four of them; `whole` says that they exist and are aligned to their size.
GPU_FN f4 weights4(const void *w, int type, i64 k, int count, bool whole) {
    if (!whole) {
        return f4{count > 0 ? weightAt(w, type, k) : 0, count > 1 ? weightAt(w, type, k + 1) : 0, count > 2 ? weightAt(w, type, k + 2) : 0,
                  count > 3 ? weightAt(w, type, k + 3) : 0};
    }
    if (type == cg_f32) return loadConstant((const float *)w + k);
    if (type == cg_i8) {
        const u32 q = *(const u32 *)((const i8 *)w + k);
        return f4{toFloat((i8)q), toFloat((i8)(q >> 8)), toFloat((i8)(q >> 16)), toFloat((i8)(q >> 24))};
    }
    const u64 q = *(const u64 *)((const u16 *)w + k);
    if (type == cg_bf16) return f4{widen((u16)q), widen((u16)(q >> 16)), widen((u16)(q >> 32)), widen((u16)(q >> 48))};
    return f4{fromHalf((u16)q), fromHalf((u16)(q >> 16)), fromHalf((u16)(q >> 32)), fromHalf((u16)(q >> 48))};
}

// The two operands of a product, four elements of a row at a time.
struct Rows {
    const cg_floats &a;
    bool wholeX, wholeW;
    GPU_FN Rows(const cg_floats &a) : a(a), wholeX((a.depth | a.ldx) % 4 == 0), wholeW((a.depth | a.ldw) % 4 == 0) {}
    GPU_FN f4 left(int row, int k) const { return load4(a.x + (i64)row * a.ldx + k, a.depth - k, wholeX); }
    // The same of row 0, rounded where that is wanted.
    GPU_FN f4 narrowed(int k) const {
        const f4 v = left(0, k);
        if (!a.narrows) return v;
        if (a.narrows == cg_f16 && isBeyondHalf(v)) tell(a.beyond, a.layer);
        return f4{rounded(v.x, a.narrows), rounded(v.y, a.narrows), rounded(v.z, a.narrows), rounded(v.w, a.narrows)};
    }
    GPU_FN f4 right(int column, int k) const {
        f4 v = weights4(a.w, a.weight, (i64)column * a.ldw + k, a.depth - k, wholeW);
        if (a.weight == cg_i8) {
            const float s = a.s[column];
            v = f4{v.x * s, v.y * s, v.z * s, v.w * s};
        }
        return v;
    }
};

GPU_FN int outputExtent(int extent, int sampling) { return sampling == cg_same ? extent : sampling == cg_doubled ? 2 * extent : (extent + 1) / 2; }

struct Pixels {
    const cg_convolution &a;
    int width, step, doubled;
    bool whole;
    GPU_FN Pixels(const cg_convolution &a) : a(a), width(outputExtent(a.width, a.sampling)), step(a.sampling == cg_stride2 ? 2 : 1), doubled(a.sampling == cg_doubled), whole(a.channels % 4 == 0) {}
    GPU_FN float at(int pixel, int k) const {
        const float *from = under(pixel, k / a.channels);
        return from ? from[k % a.channels] : 0;
    }
    // The pixel under a tap; null outside the map.
    GPU_FN const float *under(int pixel, int tap) const {
        const int row = pixel / width * step + tap / 3 - 1, column = pixel % width * step + tap % 3 - 1;
        if (row < 0 || row >= a.height << doubled || column < 0 || column >= a.width << doubled) return nullptr;
        return a.x + ((i64)(row >> doubled & a.maskX) * a.width + (column >> doubled)) * a.channels;
    }
    // Of the pixels that are made.
    GPU_FN f4 left(int index, int k) const {
        const int pixel = a.from + index;
        const int depth = 9 * a.channels;
        if (whole) {
            const float *from = under(pixel, k / a.channels);
            return from ? loadConstant(from + k % a.channels) : f4{0, 0, 0, 0};
        }
        return f4{at(pixel, k), k + 1 < depth ? at(pixel, k + 1) : 0, k + 2 < depth ? at(pixel, k + 2) : 0, k + 3 < depth ? at(pixel, k + 3) : 0};
    }
    // Where an output pixel goes.
    GPU_FN i64 target(int pixel) const { return ((i64)(pixel / width & a.maskY) * width + pixel % width) * a.outputs; }
    GPU_FN f4 right(int channel, int k) const { return load4(a.w + (i64)channel * 9 * a.channels + k, 9 * a.channels - k, whole); }
};

// Element i of a thread's rows or columns: four side by side, or all where there are fewer, and as many again behind those of all threads.
template <int count, int along> GPU_FN int elementOf(int t, int i) {
    constexpr int group = count < 4 ? count : 4;
    return t * group + i % group + i / group * along * group;
}
template <int count, int along> GPU_FN void loadElements(float (&to)[count], const float *row, int t) {
#pragma unroll
    for (int i = 0; i < count; i += 4) {
        if (count % 4 == 0) {
            const f4 v = loadShared(row + elementOf<count, along>(t, i));
            to[i] = v.x, to[i + 1] = v.y, to[i + 2] = v.z, to[i + 3] = v.w;
            continue;
        }
#pragma unroll
        for (int j = i; j < i + 4 && j < count; j++) to[j] = row[elementOf<count, along>(t, j)];
    }
}

// A block makes TM rows by TN columns, each thread RM by RN of them.
template <int TM, int TN, int RM, int RN> struct FloatTile {
    static constexpr int alongM = TM / RM, alongN = TN / RN, threads = alongM * alongN, pitchM = TM + 4, pitchN = TN + 4;
    static constexpr int bytes = tileDepth * (pitchM + pitchN) * 4;
    static_assert(threads == 256 && alongM * TN * 4 <= bytes, "the tiles have room for the sums");
    static constexpr int turnsM = (TM * tileDepth / 4 + threads - 1) / threads, turnsN = (TN * tileDepth / 4 + threads - 1) / threads;

    // Four elements of a row go into four rows of the tile.
    template <int rows> GPU_FN static void keep(float *tile, int item, f4 v) {
        float *to = tile + item % 4 * 4 * (rows + 4) + item / 4;
        to[0] = v.x, to[rows + 4] = v.y, to[2 * (rows + 4)] = v.z, to[3 * (rows + 4)] = v.w;
    }

    template <class Operands, class Finish> GPU_FN static void run(const Operands &operands, int rows, int columns, int depth, const Finish &finish) {
        GPU_SHARED(shared);
        float *left = (float *)shared, *right = left + tileDepth * pitchM;
        const int firstM = blockX() * TM, firstN = blockY() * TN, ty = thread() / alongN, tx = thread() % alongN;
        float total[RM][RN] = {}, sums[RM][RN] = {};
        f4 nextM[turnsM], nextN[turnsN];
        const auto fetch = [&](int k0) GPU_INLINE {
#pragma unroll
            for (int turn = 0; turn < turnsM; turn++) {
                const int item = turn * threads + thread(), row = firstM + item / 4, k = k0 + item % 4 * 4;
                nextM[turn] = item < TM * tileDepth / 4 && row < rows && k < depth ? operands.left(row, k) : f4{0, 0, 0, 0};
            }
#pragma unroll
            for (int turn = 0; turn < turnsN; turn++) {
                const int item = turn * threads + thread(), column = firstN + item / 4, k = k0 + item % 4 * 4;
                nextN[turn] = item < TN * tileDepth / 4 && column < columns && k < depth ? operands.right(column, k) : f4{0, 0, 0, 0};
            }
        };
        fetch(0);
#pragma unroll 1
        for (int k0 = 0, tile = 1; k0 < depth; k0 += tileDepth, tile++) {
            barrier();
#pragma unroll
            for (int turn = 0; turn < turnsM; turn++)
                if (turn * threads + thread() < TM * tileDepth / 4) keep<TM>(left, turn * threads + thread(), nextM[turn]);
#pragma unroll
            for (int turn = 0; turn < turnsN; turn++)
                if (turn * threads + thread() < TN * tileDepth / 4) keep<TN>(right, turn * threads + thread(), nextN[turn]);
            barrier();
            if (k0 + tileDepth < depth) fetch(k0 + tileDepth);
#pragma unroll 4
            for (int k = 0; k < tileDepth; k++) {
                float x[RM], w[RN];
                loadElements<RM, alongM>(x, left + k * pitchM, ty);
                loadElements<RN, alongN>(w, right + k * pitchN, tx);
#pragma unroll
                for (int i = 0; i < RM; i++)
#pragma unroll
                    for (int j = 0; j < RN; j++) sums[i][j] = fma(x[i], w[j], sums[i][j]);
            }
            if (tile % chain != 0 && k0 + tileDepth < depth) continue;
#pragma unroll
            for (int i = 0; i < RM; i++)
#pragma unroll
                for (int j = 0; j < RN; j++) total[i][j] = total[i][j] + sums[i][j], sums[i][j] = 0;
        }
        // Sums go through shared memory, as many rows at a time as there are threads along them: what follows is there once for each, not for each sum.
#pragma unroll
        for (int i = 0; i < RM; i++) {
            barrier();
#pragma unroll
            for (int j = 0; j < RN; j++) left[ty * TN + elementOf<RN, alongN>(tx, j)] = total[i][j];
            barrier();
#pragma unroll 1
            for (int item = thread(); item < alongM * TN; item += threads) {
                const int row = firstM + elementOf<RM, alongM>(item / TN, i), column = firstN + item % TN;
                if (row < rows && column < columns) finish(row, column, left[item]);
            }
        }
    }
};

GPU_FN void finishProduct(const cg_floats &a, int row, int column, float sum) {
    float v = sum + (a.bias ? a.bias[column] : 0.0f);
    if (a.silu) v = silu(v);
    float &y = a.y[(i64)row * a.ldy + column];
    y = a.adds ? fma(a.gate ? a.gate[column] : 1.0f, v, y) : v;
}
GPU_FN float activatedPixel(float v, int activation) { return activation == cg_silu ? silu(v) : activation == cg_relu && v < 0 ? 0 : v; }
}

using namespace gpu;

#define PRODUCT(name, TM, TN, RM, RN, blocks, speed) \
    GPU_KERNEL(256, blocks) void gemm_f32_##name(const cg_floats a) { \
        FloatTile<TM, TN, RM, RN>::run(Rows(a), a.rows, a.columns, a.depth, [&](int row, int column, float sum) GPU_INLINE { finishProduct(a, row, column, sum); }); \
    }
CG_FLOAT_TILES(PRODUCT)

#define CONVOLUTION(name, TM, TN, RM, RN, blocks, speed) \
    GPU_KERNEL(256, blocks) void conv_f32_##name(const cg_convolution a) { \
        const Pixels pixels(a); \
        FloatTile<TM, TN, RM, RN>::run(pixels, a.to - a.from, a.outputs, 9 * a.channels, [&](int pixel, int channel, float sum) GPU_INLINE { \
            a.y[pixels.target(a.from + pixel) + channel] = activatedPixel(sum + (a.bias ? a.bias[channel] : 0.0f), a.activation); \
        }); \
    }
CG_FLOAT_TILES(CONVOLUTION)

// A warp for each column.
GPU_KERNEL(256, 4) void row_product(const cg_floats a) {
    const int column = blockX() * 8 + warp();
    if (column >= a.columns) return;
    const Rows rows(a);
    two sum = {0, 0};
    for (int k = 4 * lane(); k < a.depth; k += 128) {
        const f4 x = rows.narrowed(k), w = rows.right(column, k);
        sum = add(add(add(add(sum, productOf(x.x, w.x)), productOf(x.y, w.y)), productOf(x.z, w.z)), productOf(x.w, w.w));
    }
    sum = warpSum(sum);
    if (lane()) return;
    if (a.bias) sum = add(sum, a.bias[column]);
    float v = sum.hi;
    if (a.silu) v = silu(v);
    a.y[column] = a.adds ? fma(a.gate ? a.gate[column] : 1.0f, v, a.y[column]) : v;
}

// Eight lanes for each pixel, which share its channels; at most four outputs, whose weights all blocks hold.
GPU_KERNEL(256, 4) void conv_f32_narrow(const cg_convolution a) {
    GPU_SHARED(shared);
    float *w = (float *)shared;
    const int depth = 9 * a.channels;
    for (int i = thread(); i < depth * a.outputs; i += 256) w[i] = a.w[i];
    barrier();
    const Pixels pixels(a);
    const int pixel = a.from + blockX() * 32 + thread() / 8, part = thread() % 8;
    float sums[4] = {0, 0, 0, 0};
    for (int tap = 0; tap < 9; tap++) {
        const float *from = pixel < a.to ? pixels.under(pixel, tap) : nullptr;
        if (!from) continue;
        for (int k = 4 * part; k < a.channels; k += 32) {
            const f4 x = load4(from + k, a.channels - k, pixels.whole);
#pragma unroll
            for (int o = 0; o < 4; o++) {
                if (o >= a.outputs) continue;
                const float *row = w + o * depth + tap * a.channels + k;
                const f4 v = pixels.whole ? loadShared(row)
                                          : f4{row[0], k + 1 < a.channels ? row[1] : 0, k + 2 < a.channels ? row[2] : 0, k + 3 < a.channels ? row[3] : 0};
                sums[o] = fma(x.w, v.w, fma(x.z, v.z, fma(x.y, v.y, fma(x.x, v.x, sums[o]))));
            }
        }
    }
#pragma unroll
    for (int o = 0; o < 4; o++)
#pragma unroll
        for (int mask = 4; mask; mask >>= 1) sums[o] = sums[o] + shuffleXor(sums[o], mask);
    if (part || pixel >= a.to) return;
#pragma unroll
    for (int o = 0; o < 4; o++)
        if (o < a.outputs) a.y[pixels.target(pixel) + o] = activatedPixel(sums[o] + (a.bias ? a.bias[o] : 0.0f), a.activation);
}
