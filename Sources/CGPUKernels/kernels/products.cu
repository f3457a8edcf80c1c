// Products of rows by weights on tensor cores: the integer contract of Formats/schemes.md, and 16-bit floats.
#define CG_DEVICE
#include "../include/CGPUKernels.h"
#include "functions.h"
#include "shapes.h"
#include "tiles.h"

namespace gpu {

// The weight that has a block's columns: the first of them in it, and of the result.
struct Columns { const void *q; const float *s, *bias; int count, first, place; };

// Weights stand side by side in the result, and start with a block of their own.
template <int BN> GPU_FN Columns columnsOf(const cg_product &a, int block) {
    Columns c = {a.part[0].q, a.part[0].s, a.part[0].bias, a.part[0].columns, block * BN, 0};
#pragma unroll
    for (int part = 1; part < cg_most_parts; part++) {
        if (c.first < (c.count + BN - 1) / BN * BN || a.part[part].columns == 0) continue;
        c = Columns{a.part[part].q, a.part[part].s, a.part[part].bias, a.part[part].columns, c.first - (c.count + BN - 1) / BN * BN, c.place + c.count};
    }
    return c;
}

// What an output becomes: y = fma(scale, sum, shift) in int8, sum + shift in floats.
GPU_FN float finished(int sum, float scale, float shift) { return fma(scale, toFloat(sum), shift); }
GPU_FN float finished(float sum, float, float shift) { return sum + shift; }

// The rest of what is asked for, of up to four columns from one on, which is a multiple of four.
template <class Four> GPU_FN void finish(const cg_product &a, const Columns &c, int row, int column, Four sum) {
    constexpr bool scaled = Four::isWhole;
    const int count = c.count - column, place = c.place + column;
    const f4 one = {1, 1, 1, 1}, none = {0, 0, 0, 0};
    const f4 scale = scaled ? load4(c.s + column, count, count >= 4) : one, shift = c.bias ? load4(c.bias + column, count, count >= 4) : none;
    const float factor = scaled ? a.sx[row] : 1.0f;
    f4 v = {finished(sum.x, factor * scale.x, shift.x), finished(sum.y, factor * scale.y, shift.y), finished(sum.z, factor * scale.z, shift.z),
            finished(sum.w, factor * scale.w, shift.w)};
    if (a.silu) v = f4{silu(v.x), silu(v.y), silu(v.z), silu(v.w)};
    float *y = a.y + (i64)row * a.ldy + place;
    const bool whole = count >= 4 && (a.ldy | c.place) % 4 == 0;
    if (a.adds) {
        const f4 gate = a.gate ? load4(a.gate + place, count, count >= 4 && c.place % 4 == 0) : one, old = reload4(y, count, whole);
        v = f4{fma(gate.x, v.x, old.x), fma(gate.y, v.y, old.y), fma(gate.z, v.z, old.z), fma(gate.w, v.w, old.w)};
    }
    store4(y, v, count, whole);
}

template <class T, class Sum> GPU_FN void product(const cg_product &a) {
    GPU_SHARED(shared);
    const Columns c = columnsOf<T::BN>(a, blockY());
    const int rowM = blockX() * T::BM, warpM = warp() % T::warpsM * T::WM, warpN = warp() / T::warpsM * T::WN;
    const RowCopy<T::BM, T::threads> copyX(a.x, a.pitch, rowM, a.rows);
    const RowCopy<T::BN, T::threads> copyW(c.q, a.pitch, c.first, c.count);
    Sum sums[T::MT][T::NT][4] = {};
    T::multiply(
        sums, a.pitch / depth, sharedAddress(shared), warpM, warpN,
        [&](u32 at, int tile) GPU_INLINE {
            copyX.start(at, tile * depth);
            copyW.start(at + T::bytesA, tile * depth);
        },
        [](int) GPU_INLINE {});

    // Sums go through shared memory, sixteen rows of each warp at a time, so that rows are read and written in whole lines.
    constexpr int pitch = T::BN + 8, quarter = T::BN / 4;
    static_assert(T::warpsM * 16 * pitch * 4 <= T::bytes, "the tiles have room for the sums");
#pragma unroll
    for (int i = 0; i < T::MT; i++) {
        barrier();
#pragma unroll
        for (int j = 0; j < T::NT; j++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                // Lane 4g + t holds columns 2t and 2t + 1 of the rows g and g + 8.
                const int row = warp() % T::warpsM * 16 + half * 8 + (lane() >> 2), column = warpN + j * 8 + (lane() & 3) * 2;
                storeShared((Sum *)shared + row * pitch + column, sums[i][j][2 * half], sums[i][j][2 * half + 1]);
            }
        barrier();
#pragma unroll 1
        for (int item = thread(); item < T::warpsM * 16 * quarter; item += T::threads) {
            const int from = item / quarter, column = c.first + item % quarter * 4;
            const int row = rowM + from / 16 * T::WM + i * 16 + from % 16;
            if (row < a.rows && column < c.count) finish(a, c, row, column, loadShared((const Sum *)shared + from * pitch + item % quarter * 4));
        }
    }
}
}

#define INTEGER(name, BM, BN, WM, WN, stages, buffers, blocks, speed) \
    GPU_KERNEL(32 * WM * WN, blocks) void gemm_i8_##name(const cg_product a) { gpu::product<gpu::Tile<BM, BN, WM, WN, stages, buffers>, int>(a); }
#define FLOATS(type, element, name, BM, BN, WM, WN, stages, buffers, blocks) \
    GPU_KERNEL(32 * WM * WN, blocks) void gemm_##type##_##name(const cg_product a) { \
        gpu::product<gpu::Tile<BM, BN, WM, WN, stages, buffers, gpu::element>, float>(a); \
    }
#define HALF(name, BM, BN, WM, WN, stages, buffers, blocks, speed) \
    FLOATS(bf16, bfloat, name, BM, BN, WM, WN, stages, buffers, blocks) FLOATS(f16, half, name, BM, BN, WM, WN, stages, buffers, blocks)

CG_INTEGER_PRODUCTS(INTEGER)
CG_HALF_PRODUCTS(HALF)
