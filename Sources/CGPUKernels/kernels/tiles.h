// Tiles of rows of bytes in shared memory, as tensor cores read them: what products and convolutions share.
#pragma once
#include "gpu.h"

namespace gpu {

// Bytes of a row in a tile; pitches are multiples of it.
constexpr int depth = 64, piecesPerRow = depth / 16;

// A 16-byte piece of a row. Pieces are exchanged so that eight rows read at once meet all banks.
GPU_FN u32 place(int row, int piece) { return row * depth + ((piece ^ (row >> 1 & 3)) << 4); }

// What a warp multiplies in a step of 32 bytes.
template <int MT, int NT> struct Fragments { u32 a[MT][4], b[NT][2]; };

// From tiles at a and b, rows from rowA and rowB on, the 32 bytes of a step.
template <int MT, int NT> GPU_FN void load(Fragments<MT, NT> &f, u32 a, u32 b, int step, int rowA, int rowB) {
    const int l = lane();
#pragma unroll
    for (int i = 0; i < MT; i++) loadMatrices4(f.a[i], a + place(rowA + i * 16 + (l & 15), 2 * step + (l >> 4)));
#pragma unroll
    for (int j = 0; j + 1 < NT; j += 2) {
        u32 r[4];
        loadMatrices4(r, b + place(rowB + j * 8 + (l & 7) + (l >> 4) * 8, 2 * step + (l >> 3 & 1)));
        f.b[j][0] = r[0], f.b[j][1] = r[1], f.b[j + 1][0] = r[2], f.b[j + 1][1] = r[3];
    }
    if (NT % 2) loadMatrices2(f.b[NT - 1][0], f.b[NT - 1][1], b + place(rowB + (NT - 1) * 8 + (l & 7), 2 * step + (l >> 3 & 1)));
}

template <class Element, int MT, int NT, class Sum> GPU_FN void multiplyAll(Sum (&sums)[MT][NT][4], const Fragments<MT, NT> &f) {
#pragma unroll
    for (int i = 0; i < MT; i++)
#pragma unroll
        for (int j = 0; j < NT; j++) multiplyAdd(Element(), sums[i][j], f.a[i], f.b[j][0], f.b[j][1]);
}

// A block's share of work: `BM` rows by `BN` columns, cut among warps; stages of tiles in flight, and one or two sets of fragments; the operands' type.
template <int blockM, int blockN, int alongM, int alongN, int inFlight, int sets, class Element = i8> struct Tile {
    static constexpr int BM = blockM, BN = blockN, warpsM = alongM, warpsN = alongN, stages = inFlight, buffers = sets;
    static constexpr int threads = 32 * warpsM * warpsN, WM = BM / warpsM, WN = BN / warpsN, MT = WM / 16, NT = WN / 8, steps = depth / 32;
    static constexpr int bytesA = BM * depth, stageBytes = (BM + BN) * depth, bytes = stages * stageBytes;
    static_assert(WM % 16 == 0 && WN % 8 == 0 && BM % warpsM == 0 && BN % warpsN == 0, "warps take whole fragments");
    using Pieces = Fragments<MT, NT>;

    // Runs `tiles` steps of the pipeline. copy(stage address, tile) starts the copies of a tile; after(tile) is called when a tile's products have been
    // added to `sums`.
    template <class Sum, class Copy, class After>
    GPU_FN static void multiply(Sum (&sums)[MT][NT][4], int tiles, u32 base, int warpM, int warpN, const Copy &copy, const After &after) {
#pragma unroll
        for (int stage = 0; stage < stages - 1; stage++) {
            if (stage < tiles) copy(base + stage * stageBytes, stage);
            commit();
        }
        wait<stages - 2>();
        barrier();
        Pieces f[buffers];
        int reading = 0, writing = stages - 1;
        if (buffers == 2) load(f[0], base, base + bytesA, 0, warpM, warpN);
#pragma unroll 1
        for (int tile = 0; tile < tiles; tile++) {
#pragma unroll
            for (int step = 0; step < steps; step++) {
                if (step == 0) {
                    if (tile + stages - 1 < tiles) copy(base + writing * stageBytes, tile + stages - 1);
                    commit();
                    writing = writing + 1 == stages ? 0 : writing + 1;
                }
                if (buffers == 1) load(f[0], base + reading * stageBytes, base + reading * stageBytes + bytesA, step, warpM, warpN);
                if (step == steps - 1) {
                    wait<stages - 2>();
                    barrier();
                    reading = reading + 1 == stages ? 0 : reading + 1;
                }
                const u32 from = base + reading * stageBytes;
                if (buffers == 2 && (step + 1 < steps || tile + 1 < tiles)) load(f[(step + 1) & 1], from, from + bytesA, (step + 1) % steps, warpM, warpN);
                multiplyAll<Element>(sums, f[step & (buffers - 1)]);
            }
            after(tile);
        }
        wait<0>();
    }
};

// Each thread's share of copying a tile of `rows` rows. Rows past the last one repeat it; nothing is stored of them.
template <int rows, int threads> struct RowCopy {
    static constexpr int pieces = rows * piecesPerRow, turns = (pieces + threads - 1) / threads;
    const i8 *source[turns];
    u32 target[turns];

    GPU_FN RowCopy(const void *matrix, int pitch, int first, int count) {
#pragma unroll
        for (int turn = 0; turn < turns; turn++) {
            const int piece = turn * threads + thread(), row = piece / piecesPerRow, column = piece % piecesPerRow;
            source[turn] = (const i8 *)matrix + (i64)(first + row < count ? first + row : count - 1) * pitch + column * 16;
            target[turn] = place(row, column);
        }
    }
    GPU_FN void start(u32 tile, int offset) const {
#pragma unroll
        for (int turn = 0; turn < turns; turn++)
            if (pieces % threads == 0 || turn + 1 < turns || turn * threads + thread() < pieces) copyAsync(tile + target[turn], source[turn] + offset);
    }
};
}
