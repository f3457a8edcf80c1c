// What the tensor cores reach in int8 out of registers alone: what shares of the peak are of (bench-gpu).
#include "gpu.h"

struct Peak {
    const u32 *x;
    int *y;
    int turns;
};

// Sixteen products of 16 x 8 x 32 a warp and turn, none of which waits for another.
GPU_KERNEL(256, 1) void peak_i8(Peak p) {
    u32 a[4][4], b[4][2];
    int sums[4][4][4] = {};
    const int lane = gpu::thread();
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int e = 0; e < 4; e++) a[i][e] = p.x[16 * lane + 4 * i + e];
        for (int e = 0; e < 2; e++) b[i][e] = p.x[8 * lane + 2 * i + e];
    }
    for (int turn = 0; turn < p.turns; turn++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) gpu::multiplyAdd(i8(), sums[i][j], a[i], b[j][0], b[j][1]);
        }
    }
    int all = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) all ^= sums[i][j][e];
        }
    }
    p.y[256 * gpu::blockX() + lane] = all;
}
