// The shapes that products and convolutions are built in: read by the kernels and by the table of them.
//
// name, rows, columns, warps along rows, along columns, tiles in flight, sets of fragments, blocks on a multiprocessor, speed in a hundredth of the
// fastest's, as an H200 has measured it with all its multiprocessors at work (the smallest and the convolutions but the first are estimates)
#pragma once

// The large ones fill a card at 1024 tokens of 2240, 6720 and 11200 columns; the small ones are for few rows. A multiprocessor has 100 KB on Ada.
#define CG_INTEGER_PRODUCTS(X) \
    X(128x256, 128, 256, 2, 4, 4, 2, 1, 100) \
    X(128x224, 128, 224, 2, 4, 4, 2, 1, 97) \
    X(128x160, 128, 160, 2, 4, 4, 2, 1, 100) \
    X(128x128, 128, 128, 2, 4, 3, 1, 2, 92) \
    X(64x160, 64, 160, 1, 4, 3, 1, 4, 90) \
    X(64x64, 64, 64, 2, 2, 4, 1, 6, 74) \
    X(32x32, 32, 32, 1, 2, 4, 1, 12, 40)

#define CG_HALF_PRODUCTS(X) \
    X(128x256, 128, 256, 2, 4, 4, 2, 1, 100) \
    X(128x128, 128, 128, 2, 4, 3, 1, 2, 92) \
    X(64x64, 64, 64, 2, 2, 4, 1, 6, 74)

#define CG_INTEGER_CONVOLUTIONS(X) \
    X(128x128, 128, 128, 2, 4, 4, 2, 1, 100) \
    X(64x256, 64, 256, 1, 8, 4, 2, 1, 90) \
    X(64x64, 64, 64, 2, 2, 4, 1, 3, 70)

// name, rows, columns, rows and columns of a thread, blocks on a multiprocessor, speed
#define CG_FLOAT_TILES(X) \
    X(128x128, 128, 128, 8, 8, 1, 100) \
    X(32x64, 32, 64, 2, 4, 2, 50)
