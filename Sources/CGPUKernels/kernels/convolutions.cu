// 3x3 convolutions in int8 by the contract: a scale for each pixel, an accumulator for each tap; and what follows them in a residual block.
#define CG_DEVICE
#include "../include/CGPUKernels.h"
#include "functions.h"
#include "shapes.h"
#include "tiles.h"

namespace gpu {

GPU_FN int outputExtent(int extent, int sampling) { return sampling == cg_same ? extent : sampling == cg_doubled ? 2 * extent : (extent + 1) / 2; }
GPU_FN int outputWidth(const cg_integer_convolution &a) { return outputExtent(a.width, a.sampling); }

// Where the taps of an output pixel lie. All outputs of a map are one row of pixels, which tiles cut anywhere.
struct Place {
    int y, x;  // of the first tap
    bool exists;

    GPU_FN Place(const cg_integer_convolution &a, int pixel) {
        const int width = outputWidth(a), step = a.sampling == cg_stride2 ? 2 : 1;
        exists = pixel < a.to;
        y = pixel / width * step - 1, x = pixel % width * step - 1;
    }
    // The pixel under a tap; below 0 where it is outside the map.
    GPU_FN int under(const cg_integer_convolution &a, int tap) const {
        const int doubled = a.sampling == cg_doubled, row = y + tap / 3, column = x + tap % 3;
        if (!exists || row < 0 || row >= a.height << doubled || column < 0 || column >= a.width << doubled) return -1;
        return (row >> doubled & a.maskX) * a.width + (column >> doubled);
    }
};

// An accumulator that starts at 1.5 * 2^23 is, read as a float, that number plus the sum, as long as the sum stays below 2^22: no conversion.
constexpr int biasedChannels = (1 << 22) / (127 * 127), biasedStart = 0x4b400000;

template <class T> struct Convolution {
    static constexpr int MT = T::MT, NT = T::NT, threads = T::threads, turns = (T::BM * piecesPerRow + threads - 1) / threads;
    // Tiles, and when they are used up the sums of all taps, rows of so many floats; behind them the scales of the nine taps of each pixel.
    static constexpr int sumPitch = T::BN + 8, sumBytes = T::BM * sumPitch * 4, scaleBytes = 9 * T::BM * 4;
    static constexpr int tileBytes = sumBytes > T::bytes ? sumBytes : T::bytes, bytes = tileBytes + scaleBytes;

    GPU_FN static void run(const cg_integer_convolution &a) {
        GPU_SHARED(shared);
        float *scales = (float *)(shared + tileBytes);
        const int first = a.from + blockX() * T::BM, rowN = blockY() * T::BN, warpM = warp() % T::warpsM * T::WM, warpN = warp() / T::warpsM * T::WN;
        const int perTap = a.pitch / depth;
        const RowCopy<T::BN, threads> copyW(a.w, 9 * a.pitch, rowN, a.outputs);
        for (int item = thread(); item < 9 * T::BM; item += threads) {
            const int pixel = Place(a, first + item % T::BM).under(a, item / T::BM);
            scales[item] = pixel < 0 ? 0 : a.sx[pixel];
        }
        // The pixels whose pieces this thread copies: under the first tap, and under the one that is copied.
        int y[turns], x[turns];
        bool exists[turns], inside[turns];
        const i8 *source[turns];
#pragma unroll
        for (int turn = 0; turn < turns; turn++) {
            const Place place(a, first + (turn * threads + thread()) / piecesPerRow);
            y[turn] = place.y, x[turn] = place.x, exists[turn] = place.exists;
        }
        const int doubled = a.sampling == cg_doubled, height = a.height << doubled, width = a.width << doubled;
        int ky = 0, kx = 0, part = 0;

        const bool biased = a.channels <= biasedChannels;
        const int start = biased ? biasedStart : 0;
        int acc[MT][NT][4];
        float f[MT][NT][4];
#pragma unroll
        for (int i = 0; i < MT; i++)
#pragma unroll
            for (int j = 0; j < NT; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) acc[i][j][e] = start, f[i][j][e] = 0;

        int left = perTap, tap = 0;
        T::multiply(
            acc, 9 * perTap, sharedAddress(shared), warpM, warpN,
            [&](u32 at, int tile) GPU_INLINE {
                if (part == 0) {
#pragma unroll
                    for (int turn = 0; turn < turns; turn++) {
                        const int row = y[turn] + ky, column = x[turn] + kx;
                        inside[turn] = exists[turn] && row >= 0 && row < height && column >= 0 && column < width;
                        const int pixel = inside[turn] ? (row >> doubled & a.maskX) * a.width + (column >> doubled) : 0;
                        source[turn] = a.x + (i64)pixel * a.pitch + (turn * threads + thread()) % piecesPerRow * 16;
                    }
                }
#pragma unroll
                for (int turn = 0; turn < turns; turn++) {
                    const int piece = turn * threads + thread();
                    if (T::BM * piecesPerRow % threads != 0 && piece >= T::BM * piecesPerRow) continue;
                    // The next tap reads most of these pixels again: they stay in the first-level cache.
                    copyAsyncCached(at + place(piece / piecesPerRow, piece % piecesPerRow), source[turn] + part * depth, inside[turn] ? 16 : 0);
                }
                copyW.start(at + T::bytesA, tile * depth);
                if (++part == perTap) {
                    part = 0;
                    if (++kx == 3) kx = 0, ky++;
                }
            },
            [&](int) GPU_INLINE {
                if (--left) return;
                left = perTap;
                const float *own = scales + tap++ * T::BM + warpM + (lane() >> 2);
#pragma unroll
                for (int i = 0; i < MT; i++) {
                    const float factors[2] = {own[i * 16], own[i * 16 + 8]};
#pragma unroll
                    for (int j = 0; j < NT; j++)
#pragma unroll
                        for (int e = 0; e < 4; e++) {
                            const float sum = biased ? asFloat((u32)acc[i][j][e]) - 12582912.0f : toFloat(acc[i][j][e]);
                            f[i][j][e] = fma(factors[e >> 1], sum, f[i][j][e]), acc[i][j][e] = start;
                        }
                }
            });
        float *sums = (float *)shared;
        barrier();
#pragma unroll
        for (int i = 0; i < MT; i++)
#pragma unroll
            for (int j = 0; j < NT; j++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    // Lane 4g + t holds columns 2t and 2t + 1 of the rows g and g + 8.
                    const int row = warpM + i * 16 + half * 8 + (lane() >> 2), column = warpN + j * 8 + (lane() & 3) * 2;
                    storeShared(sums + row * sumPitch + column, f[i][j][2 * half], f[i][j][2 * half + 1]);
                }
        barrier();
#pragma unroll 1
        for (int row = warp(); row < T::BM && first + row < a.to; row += threads / 32) finish(a, sums + row * sumPitch, first + row, rowN);
    }

    // What follows the sums of a pixel, which a warp has: four channels a lane, and as many 128 further on.
    GPU_FN static void finish(const cg_integer_convolution &a, const float *sums, int pixel, int rowN) {
        constexpr int groups = (T::BN + 127) / 128;
        const int outputs = a.outputs - rowN < T::BN ? a.outputs - rowN : T::BN;
        const bool whole = a.outputs % 4 == 0;
        const int width = outputWidth(a), row = pixel / width, column = pixel % width;
        const i64 to = (i64)(row & a.maskY) * width + column, at = to * a.outputs + rowN;
        const i64 under = ((i64)(row & a.maskBase) * width + column) * a.outputs + rowN;
        f4 v[groups];
        two squares = {0, 0};
#pragma unroll
        for (int group = 0; group < groups; group++) {
            const int channel = 4 * lane() + 128 * group, count = outputs - channel;
            v[group] = f4{0, 0, 0, 0};
            if (count <= 0) continue;
            const f4 sum = loadShared(sums + channel), s = load4(a.s + rowN + channel, count, count >= 4);
            const f4 b = a.bias ? load4(a.bias + rowN + channel, count, count >= 4) : f4{0, 0, 0, 0};
            f4 &r = v[group];
            r = f4{fma(sum.x, s.x, b.x), fma(sum.y, s.y, b.y), fma(sum.z, s.z, b.z), fma(sum.w, s.w, b.w)};
            if (a.activation == cg_relu) r = f4{r.x < 0 ? 0 : r.x, r.y < 0 ? 0 : r.y, r.z < 0 ? 0 : r.z, r.w < 0 ? 0 : r.w};
            if (a.activation == cg_silu) r = f4{silu(r.x), silu(r.y), silu(r.z), silu(r.w)};
            // Channels past the last one are sums of zeros by scales of zero.
            if (a.norm) squares = add(add(add(add(squares, productOf(r.x, r.x)), productOf(r.y, r.y)), productOf(r.z, r.z)), productOf(r.w, r.w));
        }
        if (a.norm) {
            const float factor = inverseRoot(add(divided(warpSum(squares), (float)a.outputs), two{a.epsilon, a.epsilonRest})).hi;
#pragma unroll
            for (int group = 0; group < groups; group++) {
                const int channel = 4 * lane() + 128 * group, count = outputs - channel;
                if (count <= 0) continue;
                const f4 w = load4(a.norm + channel, count, count >= 4), b = load4(a.normBias + channel, count, count >= 4);
                f4 &r = v[group];
                r = f4{fma(r.x * factor, w.x, b.x), fma(r.y * factor, w.y, b.y), fma(r.z * factor, w.z, b.z), fma(r.w * factor, w.w, b.w)};
            }
        }
        float largest = 0;
#pragma unroll
        for (int group = 0; group < groups; group++) {
            const int channel = 4 * lane() + 128 * group, count = outputs - channel;
            if (count <= 0) continue;
            f4 &r = v[group];
            if (a.base) {
                const f4 base = a.inputs ? shortcut(a, row, column, rowN + channel, count) : load4(a.base + under + channel, count, whole);
                r = f4{base.x + r.x, base.y + r.y, base.z + r.z, base.w + r.w};
            }
            if (a.y) store4(a.y + at + channel, r, count, whole);
            largest = larger(larger(larger(largest, magnitude(r.x)), larger(magnitude(r.y), magnitude(r.z))), magnitude(r.w));
        }
        if (!a.q) return;
        const float scale = scaleOf(warpMax(largest));
        if (lane() == 0) a.sq[to] = scale;
        u32 *q = (u32 *)(a.q + to * a.pitchQ);
#pragma unroll
        for (int group = 0; group < groups; group++) {
            const int channel = 4 * lane() + 128 * group;
            if (channel < a.pitchQ) q[channel / 4] = codes4(v[group], scale);
        }
    }

    // Four channels of what a doubling has added (add_doubled in rows.cu).
    GPU_FN static f4 shortcut(const cg_integer_convolution &a, int row, int column, int channel, int count) {
        const int corner = (row & 1) * 2 + (column & 1), repeats = 4 * a.outputs / a.inputs;
        const float *base = a.base + ((i64)(row / 2 & a.maskBase) * a.width + column / 2) * a.inputs;
        const auto at = [&](int i) { return i < count ? base[(4 * (channel + i) + corner) / repeats] : 0.0f; };
        return f4{at(0), at(1), at(2), at(3)};
    }
};

// ---- Of a map doubled by repetition, with a quarter of the products
//
// Output pixel (2y + dy, 2x + dx) has under its tap (ky, kx) the pixel (y + (dy + ky - 1 >> 1), x + (dx + kx - 1 >> 1)) of the map. A block makes the
// product of each tap with 8 x 16 pixels once, passes it on through shared memory, and adds it to the outputs of the 6 x 14 pixels inside.

struct DoubledConvolution {
    using T = Tile<128, 64, 4, 2, 4, 2>;
    static constexpr int MT = T::MT, NT = T::NT, threads = T::threads, turns = T::BM * piecesPerRow / threads;
    static constexpr int wide = 16, insideRows = 6, insideColumns = 14;
    // Four groups of threads, a channel each, share out the inside in quarters.
    static constexpr int rows = insideRows / 2, columns = insideColumns / 2, pixels = rows * columns;
    static constexpr int sumPitch = T::BN + 8, bytes = T::bytes + T::BM * sumPitch * 4 + T::BM * 4;

    // Adds a tap's products to the four outputs of each pixel. `sums` and `scales` are those of the pixel above and left of this quarter's first.
    template <int tap> GPU_FN static void spread(float (&f)[pixels][4], const float *sums, const float *scales) {
        constexpr int ky = tap / 3, kx = tap % 3;
#pragma unroll
        for (int i = 0; i < pixels; i++)
#pragma unroll
            for (int sy = ky == 0 ? 0 : 1; sy < (ky == 2 ? 3 : 2); sy++)
#pragma unroll
                for (int sx = kx == 0 ? 0 : 1; sx < (kx == 2 ? 3 : 2); sx++) {
                    const int at = (i / columns + sy) * wide + i % columns + sx;
                    const float scale = scales[at], sum = sums[at * sumPitch];
#pragma unroll
                    for (int corner = 0; corner < 4; corner++) {
                        if ((corner / 2 + ky + 1) / 2 != sy || (corner % 2 + kx + 1) / 2 != sx) continue;
                        f[i][corner] = fma(scale, sum, f[i][corner]);
                    }
                }
    }

    GPU_FN static void run(const cg_integer_convolution &a) {
        GPU_SHARED(shared);
        float *sums = (float *)(shared + T::bytes), *scales = sums + T::BM * sumPitch;
        const int across = (a.width + insideColumns - 1) / insideColumns, line = 4 * a.width, lastRow = a.to / line;
        // Of a map that is still being made there is one row below those that are doubled.
        const int bottom = lastRow + 1 < a.height ? lastRow + 1 : a.height;
        // The first pixel of all, which is outside by one row and one column.
        const int top = a.from / line + blockX() / across * insideRows - 1, left = blockX() % across * insideColumns - 1;
        const int rowN = blockY() * T::BN, warpM = warp() % T::warpsM * T::WM, warpN = warp() / T::warpsM * T::WN, perTap = a.pitch / depth;
        const RowCopy<T::BN, threads> copyW(a.w, 9 * a.pitch, rowN, a.outputs);
        const i8 *source[turns];
        bool exists[turns];
#pragma unroll
        for (int turn = 0; turn < turns; turn++) {
            const int piece = turn * threads + thread(), y = top + piece / piecesPerRow / wide, x = left + piece / piecesPerRow % wide;
            exists[turn] = y >= 0 && y < bottom && x >= 0 && x < a.width;
            source[turn] = a.x + (exists[turn] ? ((i64)(y & a.maskX) * a.width + x) * a.pitch : 0) + piece % piecesPerRow * 16;
        }
        if (thread() < T::BM) {
            const int y = top + thread() / wide, x = left + thread() % wide;
            scales[thread()] = y >= 0 && y < bottom && x >= 0 && x < a.width ? a.sx[(y & a.maskX) * a.width + x] : 0;
        }
        const bool biased = a.channels <= biasedChannels;
        const int start = biased ? biasedStart : 0;
        int acc[MT][NT][4];
#pragma unroll
        for (int i = 0; i < MT; i++)
#pragma unroll
            for (int j = 0; j < NT; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) acc[i][j][e] = start;
        float f[pixels][4] = {};
        const int channel = thread() % T::BN, quarter = thread() / T::BN, firstRow = quarter / 2 * rows, firstColumn = quarter % 2 * columns;
        const float *ownScales = scales + firstRow * wide + firstColumn, *ownSums = sums + (firstRow * wide + firstColumn) * sumPitch + channel;
        int part = 0, leftOver = perTap, tap = 0;
        T::multiply(
            acc, 9 * perTap, sharedAddress(shared), warpM, warpN,
            [&](u32 at, int tile) GPU_INLINE {
#pragma unroll
                for (int turn = 0; turn < turns; turn++) {
                    const int piece = turn * threads + thread();
                    copyAsyncCached(at + place(piece / piecesPerRow, piece % piecesPerRow), source[turn] + part * depth, exists[turn] ? 16 : 0);
                }
                copyW.start(at + T::bytesA, tile * depth);
                if (++part == perTap) part = 0;
            },
            [&](int) GPU_INLINE {
                if (--leftOver) return;
                leftOver = perTap;
                // All have passed a barrier since they read the sums of the tap before.
#pragma unroll
                for (int i = 0; i < MT; i++)
#pragma unroll
                    for (int j = 0; j < NT; j++)
#pragma unroll
                        for (int half = 0; half < 2; half++) {
                            const int row = warpM + i * 16 + half * 8 + (lane() >> 2), column = warpN + j * 8 + (lane() & 3) * 2;
                            float v[2];
#pragma unroll
                            for (int side = 0; side < 2; side++) {
                                int &sum = acc[i][j][2 * half + side];
                                v[side] = biased ? asFloat((u32)sum) - 12582912.0f : toFloat(sum), sum = start;
                            }
                            storeShared(sums + row * sumPitch + column, v[0], v[1]);
                        }
                barrier();
                switch (tap++) {
                case 0: spread<0>(f, ownSums, ownScales); break;
                case 1: spread<1>(f, ownSums, ownScales); break;
                case 2: spread<2>(f, ownSums, ownScales); break;
                case 3: spread<3>(f, ownSums, ownScales); break;
                case 4: spread<4>(f, ownSums, ownScales); break;
                case 5: spread<5>(f, ownSums, ownScales); break;
                case 6: spread<6>(f, ownSums, ownScales); break;
                case 7: spread<7>(f, ownSums, ownScales); break;
                default: spread<8>(f, ownSums, ownScales); break;
                }
            });

        if (rowN + channel >= a.outputs) return;
        const float scale = a.s[rowN + channel], shift = a.bias ? a.bias[rowN + channel] : 0;
        const int repeats = a.base ? 4 * a.outputs / a.inputs : 1;
#pragma unroll
        for (int i = 0; i < pixels; i++) {
            const int y = top + 1 + firstRow + i / columns, x = left + 1 + firstColumn + i % columns;
            if (y >= lastRow || x >= a.width) continue;
            const float *base = a.base ? a.base + ((i64)(y & a.maskBase) * a.width + x) * a.inputs : nullptr;
#pragma unroll
            for (int corner = 0; corner < 4; corner++) {
                float v = fma(f[i][corner], scale, shift);
                if (base) v = base[(4 * (rowN + channel) + corner) / repeats] + v;
                const i64 pixel = (i64)(2 * y + corner / 2 & a.maskY) * 2 * a.width + 2 * x + corner % 2;
                a.y[pixel * a.outputs + rowN + channel] = v;
            }
        }
    }
};
}

#define CONVOLUTION(name, BM, BN, WM, WN, stages, buffers, blocks, speed) \
    GPU_KERNEL(32 * WM * WN, blocks) void conv_i8_##name(const cg_integer_convolution a) { gpu::Convolution<gpu::Tile<BM, BN, WM, WN, stages, buffers>>::run(a); }

CG_INTEGER_CONVOLUTIONS(CONVOLUTION)

GPU_KERNEL(256, 1) void conv_up_i8(const cg_integer_convolution a) { gpu::DoubledConvolution::run(a); }
