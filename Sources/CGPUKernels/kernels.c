// The table of kernels, the choice among them, and the text that they are compiled from on a machine with a GPU.
#include "include/CGPUKernels.h"
#include "kernels/shapes.h"

#include <string.h>

// #embed is C23, and what clang 19 has had in every mode since.
#pragma clang diagnostic ignored "-Wc23-extensions"

static const char attention_text[] = {
#embed "ptx/attention.ptx" suffix(, 0)
};
static const char convolutions_text[] = {
#embed "ptx/convolutions.ptx" suffix(, 0)
};
static const char floats_text[] = {
#embed "ptx/floats.ptx" suffix(, 0)
};
static const char products_text[] = {
#embed "ptx/products.ptx" suffix(, 0)
};
static const char rows_text[] = {
#embed "ptx/rows.ptx" suffix(, 0)
};

enum { attention, convolutions, floats, products, rows };

static const struct {
    const char *name, *text;
    unsigned long bytes;
} modules[] = {
    [attention] = {"attention", attention_text, sizeof attention_text - 1},
    [convolutions] = {"convolutions", convolutions_text, sizeof convolutions_text - 1},
    [floats] = {"floats", floats_text, sizeof floats_text - 1},
    [products] = {"products", products_text, sizeof products_text - 1},
    [rows] = {"rows", rows_text, sizeof rows_text - 1},
};

int cg_module_count(void) { return sizeof modules / sizeof *modules; }
const char *cg_module_name(int module) { return modules[module].name; }
const char *cg_module_text(int module) { return modules[module].text; }
unsigned long cg_module_bytes(int module) { return modules[module].bytes; }

// Shared memory as the templates of kernels/*.cu count it.
enum { depth = 64, row_scratch = 128, square = 32 };
#define CG_LARGER(a, b) ((a) > (b) ? (a) : (b))
#define CG_TILES(BM, BN, stages) ((stages) * ((BM) + (BN)) * depth)

#define CG_PRODUCT(type, name, BM, BN, WM, WN, stages, buffers, blocks, speed) \
    {"gemm_" #type "_" #name, products, 32 * (WM) * (WN), CG_TILES(BM, BN, stages), BM, BN, speed},
#define CG_INTEGER(name, ...) CG_PRODUCT(i8, name, __VA_ARGS__)
#define CG_HALF(name, ...) CG_PRODUCT(bf16, name, __VA_ARGS__) CG_PRODUCT(f16, name, __VA_ARGS__)
#define CG_CONVOLUTION(name, BM, BN, WM, WN, stages, buffers, blocks, speed) \
    {"conv_i8_" #name, convolutions, 32 * (WM) * (WN), CG_LARGER(CG_TILES(BM, BN, stages), (BM) * ((BN) + 8) * 4) + 36 * (BM), BM, BN, speed},
#define CG_FLOAT(kind, name, TM, TN, RM, RN, blocks, speed) \
    {#kind "_f32_" #name, floats, 256, 16 * 4 * ((TM) + (TN) + 8), TM, TN, speed},
#define CG_FLOAT_PRODUCT(name, ...) CG_FLOAT(gemm, name, __VA_ARGS__)
#define CG_FLOAT_CONVOLUTION(name, ...) CG_FLOAT(conv, name, __VA_ARGS__)
#define CG_ROW(name, shared) {#name, rows, 256, shared, 0, 0, 0},

static const cg_kernel kernels[] = {
    {"attention_128", attention, 256, 0, 0, 0, 0},
    {"attention_256", attention, 256, 0, 0, 0, 0},
    {"depthwise", attention, 256, 0, 0, 0, 0},
    {"gate_depthwise", attention, 256, 0, 0, 0, 0},
    {"linear_apply", attention, 256, 0, 0, 0, 0},
    {"linear_sum", attention, 256, 2 * square * square * 4, 0, 0, 0},
    {"linear_total", attention, 256, 0, 0, 0, 0},
    {"pointwise", attention, 256, 0, 0, 0, 0},
    CG_INTEGER_CONVOLUTIONS(CG_CONVOLUTION)
    {"conv_up_i8", convolutions, 256, CG_TILES(128, 64, 4) + 128 * (64 + 8) * 4 + 128 * 4, 0, 0, 0},
    CG_FLOAT_TILES(CG_FLOAT_CONVOLUTION)
    CG_FLOAT_TILES(CG_FLOAT_PRODUCT)
    {"conv_f32_narrow", floats, 256, 0, 0, 0, 0},
    {"row_product", floats, 256, 0, 0, 0, 0},
    CG_INTEGER_PRODUCTS(CG_INTEGER)
    CG_HALF_PRODUCTS(CG_HALF)
    CG_ROW(activate, 0)
    CG_ROW(add, 0)
    CG_ROW(add_doubled, 0)
    CG_ROW(add_shortcut, 0)
    CG_ROW(gate_gelu, 0)
    CG_ROW(gate_silu, 0)
    CG_ROW(layer_norm, row_scratch)
    CG_ROW(narrow_rows, 0)
    CG_ROW(norm_pixels, 0)
    CG_ROW(quantize_pixels, 0)
    CG_ROW(quantize_rows, 0)
    CG_ROW(rms_norm, row_scratch)
    CG_ROW(rotate, 0)
    CG_ROW(shuffle, 0)
    CG_ROW(unshuffle, 0)
};
int cg_kernel_count(void) { return sizeof kernels / sizeof *kernels; }
cg_kernel cg_kernel_at(int index) { return kernels[index]; }

// Each multiprocessor has as many tiles to make, one after the other, as the one that has most.
int cg_best(const char *family, long long rows, const int32_t *columns, int parts, int multiprocessors, bool whole) {
    int best = -1;
    double least = 0;
    for (int i = 0; i < cg_kernel_count(); i++) {
        const cg_kernel *k = kernels + i;
        if (k->speed == 0 || strncmp(k->name, family, strlen(family)) != 0) continue;
        long long across = 0;
        bool fits = true;
        for (int part = 0; part < parts; part++) {
            across += (columns[part] + k->columns - 1) / k->columns;
            fits = fits && columns[part] <= (int32_t)k->columns;
        }
        if (whole && !fits) continue;
        const long long tiles = (rows + k->rows - 1) / k->rows * across;
        const double time = (double)((tiles + multiprocessors - 1) / multiprocessors) * k->rows * k->columns / k->speed;
        if (best < 0 || time < least) best = i, least = time;
    }
    return best;
}
