// Times of the GPU kernels at the sizes of SANA-Sprint 1.6B at 1024 pixels, and whether all shapes of a product give the same bits. Lines that begin with
// "launched" are of the shapes that the engine takes.
//
// gpu [LIBRARY] [DIVISOR]: another driver than the system's; sizes divided, for a driver that only looks like one.
#include "CGPUKernels.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t address;
static void *library, *stream, *modules[8];
static int multiprocessors, divisor = 1;
// Operations a second of int8 out of registers.
static double peak;

// #embed is C23, and what clang 19 has had in every mode since.
#pragma clang diagnostic ignored "-Wc23-extensions"
static const char peak_text[] = {
#embed "../GPU/peak.ptx" suffix(, 0)
};

#define CALL(name, ...) \
    do { \
        int (*call)() = (int (*)())dlsym(library, #name); \
        int code = call ? call(__VA_ARGS__) : -1; \
        if (code) { printf("%s gave %d\n", #name, code); exit(2); } \
    } while (0)

static address room(size_t bytes) {
    address at;
    CALL(cuMemAlloc_v2, &at, bytes);
    return at;
}
static address copied(const void *from, size_t bytes) {
    address at = room(bytes);
    CALL(cuMemcpyHtoDAsync_v2, at, from, bytes, stream);
    CALL(cuStreamSynchronize, stream);
    return at;
}
static uint32_t next_random(void) {
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}
static address codes(size_t count) {
    int8_t *q = malloc(count);
    for (size_t i = 0; i < count; i++) { q[i] = (int8_t)((int)(next_random() % 255) - 127); }
    address at = copied(q, count);
    free(q);
    return at;
}
static address floats(size_t count, float low, float high) {
    float *x = malloc(4 * count);
    for (size_t i = 0; i < count; i++) { x[i] = low + (high - low) * (float)(next_random() % 65536) / 65536; }
    address at = copied(x, 4 * count);
    free(x);
    return at;
}

static const cg_kernel *kernel(const char *name) {
    static cg_kernel found;
    for (int i = 0; i < cg_kernel_count(); i++) {
        found = cg_kernel_at(i);
        if (strcmp(found.name, name) == 0) { return &found; }
    }
    printf("there is no kernel %s\n", name);
    exit(2);
}

// Microseconds of a launch of a module's kernel: the middle one of some runs of several.
static int by_time(const void *a, const void *b) { return *(const float *)a < *(const float *)b ? -1 : 1; }
static float timed_in(void *module, const char *name, unsigned threads, unsigned x, unsigned y, unsigned z, unsigned bytes, void *argument) {
    unsigned launches = divisor > 1 ? 1 : 20, runs = divisor > 1 ? 1 : 7;
    void *function, *start, *end, *parameters[] = {argument};
    float times[7];
    CALL(cuModuleGetFunction, &function, module, name);
    CALL(cuFuncSetAttribute, function, 8, (int)bytes);
    CALL(cuEventCreate, &start, 0u);
    CALL(cuEventCreate, &end, 0u);
    for (unsigned run = 0; run < runs; run++) {
        CALL(cuEventRecord, start, stream);
        for (unsigned i = 0; i < launches; i++) { CALL(cuLaunchKernel, function, x, y, z, threads, 1u, 1u, bytes, stream, parameters, (void *)0); }
        CALL(cuEventRecord, end, stream);
        CALL(cuStreamSynchronize, stream);
        times[run] = 0;
        if (divisor == 1) { CALL(cuEventElapsedTime, times + run, start, end); }
    }
    qsort(times, runs, sizeof *times, by_time);
    return times[runs / 2] * 1000 / (float)launches;
}
static float timed(const char *name, unsigned x, unsigned y, unsigned z, unsigned shared, void *argument) {
    const cg_kernel *k = kernel(name);
    return timed_in(modules[k->module], name, k->threads, x, y, z, k->shared > shared ? k->shared : shared, argument);
}
static void say(const char *what, const char *name, float time, double operations, double bytes) {
    printf("%-44s %-18s", what, name);
    if (divisor > 1) { printf("\n"); return; }
    printf(" %9.1f us", time);
    if (operations > 0) { printf("  %7.1f TOPS", operations / time * 1e-6); }
    if (bytes > 0) { printf("  %7.0f GB/s", bytes / time * 1e-3); }
    printf("\n");
}

// The shape that is launched, and what it reaches of the peak; returns its time.
static float launched(const char *what, const char *name, float time, double operations) {
    printf("launched: %-34s %-18s", what, name);
    if (divisor == 1) { printf(" %9.1f us  %5.1f %% of the peak", time, 100 * operations / time * 1e6 / peak); }
    printf("\n");
    return time;
}
static void measure_peak(void) {
    enum { threads = 256, products = 16, operations = 2 * 16 * 8 * 32 };
    void *module;
    CALL(cuModuleLoadDataEx, &module, peak_text, 0u, (void *)0, (void *)0);
    unsigned blocks = 2 * (unsigned)multiprocessors;
    struct { address x, y; int turns; } a = {.x = codes(4 * 16 * threads), .y = room(4 * (size_t)threads * blocks), .turns = divisor > 1 ? 2 : 4096};
    float time = timed_in(module, "peak_i8", threads, blocks, 1, 1, 0, &a);
    double done = (double)operations * products * a.turns * (threads / 32) * blocks;
    if (divisor == 1) { peak = done / time * 1e6; }
    say("the peak of int8, out of registers", "peak_i8", time, done, 0);
}

static unsigned up(long long count, unsigned size) { return (unsigned)((count + size - 1) / size); }
static int pitch(int bytes) { return (bytes + 63) / 64 * 64; }

// Whether two results are the same bytes.
static int same(address a, address b, size_t bytes) {
    void *x = malloc(bytes), *y = malloc(bytes);
    CALL(cuMemcpyDtoHAsync_v2, x, a, bytes, stream);
    CALL(cuMemcpyDtoHAsync_v2, y, b, bytes, stream);
    CALL(cuStreamSynchronize, stream);
    int equal = memcmp(x, y, bytes) == 0;
    free(x), free(y);
    return equal;
}

static float step_time;

static int product(const char *what, int rows, int depth, int columns, int times) {
    int own = pitch(depth), failures = 0;
    size_t outputs = (size_t)rows * columns;
    cg_product a = {.x = codes((size_t)rows * own), .sx = floats(rows, 0.01f, 0.02f), .rows = rows, .pitch = own, .ldy = columns};
    a.part[0] = (cg_part){.q = codes((size_t)columns * own), .s = floats(columns, 0.001f, 0.002f), .bias = floats(columns, -1, 1), .columns = columns};
    address first = 0;
    int best = cg_best("gemm_i8_", rows, &columns, 1, multiprocessors, false);
    for (int i = 0; i < cg_kernel_count(); i++) {
        cg_kernel k = cg_kernel_at(i);
        if (strncmp(k.name, "gemm_i8_", 8) != 0) { continue; }
        a.y = room(4 * outputs);
        float time = timed(k.name, up(rows, k.rows), up(columns, k.columns), 1, 0, &a);
        say(what, k.name, time, 2.0 * rows * columns * depth, 0);
        if (i == best) { step_time += (float)times * launched(what, k.name, time, 2.0 * rows * columns * depth); }
        if (first && !same(first, a.y, 4 * outputs)) { printf("WRONG: %s differs\n", k.name), failures++; }
        if (first) { CALL(cuMemFree_v2, a.y); }
        first = first ? first : a.y;
    }
    CALL(cuMemFree_v2, first);
    return failures;
}

// A product of 16-bit floats, by the shape that is launched.
static void half_product(const char *what, const char *family, int rows, int depth, int columns) {
    int own = pitch(2 * depth);
    cg_product a = {.x = codes((size_t)rows * own), .y = room(4 * (size_t)rows * columns), .rows = rows, .pitch = own, .ldy = columns};
    a.part[0] = (cg_part){.q = codes((size_t)columns * own), .bias = floats(columns, -1, 1), .columns = columns};
    cg_kernel k = cg_kernel_at(cg_best(family, rows, &columns, 1, multiprocessors, false));
    say(what, k.name, timed(k.name, up(rows, k.rows), up(columns, k.columns), 1, 0, &a), 2.0 * rows * columns * depth, 0);
}

static int convolution(const char *what, int extent, int channels, int outputs, int sampling) {
    int side = sampling == cg_doubled ? 2 * extent : extent;
    size_t pixels = (size_t)extent * extent, made = (size_t)side * side;
    cg_integer_convolution a = {
        .x = codes(pixels * channels), .sx = floats(pixels, 0.01f, 0.02f), .w = codes((size_t)outputs * 9 * channels), .s = floats(outputs, 0.001f, 0.002f),
        .height = extent, .width = extent, .channels = channels, .pitch = channels, .outputs = outputs, .sampling = sampling, .to = (int)made, .maskX = -1,
        .maskY = -1, .maskBase = -1};
    double operations = 2.0 * 9 * (double)channels * outputs * (double)made;
    address first = 0;
    int failures = 0, best = cg_best("conv_i8_", (int)made, &outputs, 1, multiprocessors, false);
    for (int i = 0; i < cg_kernel_count(); i++) {
        cg_kernel k = cg_kernel_at(i);
        int is_up = strcmp(k.name, "conv_up_i8") == 0 && sampling == cg_doubled;
        if (strncmp(k.name, "conv_i8_", 8) != 0 && !is_up) { continue; }
        a.y = room(4 * made * outputs);
        float time = is_up ? timed(k.name, up(extent, 6) * up(extent, 14), up(outputs, 64), 1, 0, &a)
                           : timed(k.name, up((long long)made, k.rows), up(outputs, k.columns), 1, 0, &a);
        say(what, k.name, time, operations, 0);
        // conv_up_i8 makes a quarter of the products.
        if (sampling == cg_doubled ? is_up : i == best) { launched(what, k.name, time, is_up ? operations / 4 : operations); }
        if (first && !same(first, a.y, 4 * made * outputs)) { printf("WRONG: %s differs\n", k.name), failures++; }
        if (first) { CALL(cuMemFree_v2, a.y); }
        first = first ? first : a.y;
    }
    CALL(cuMemFree_v2, first);
    return failures;
}

static void rows(int tokens, int columns, int turn, int normed) {
    int own = pitch(columns);
    cg_quantize a = {
        .x = floats((size_t)tokens * columns, -3, 3), .q = room((size_t)tokens * own), .s = room(4 * (size_t)tokens), .epsilon = 1e-6f, .columns = columns,
        .ldx = columns, .pitch = own, .turn = turn};
    if (normed) { a.scale = floats(columns, -1, 1), a.shift = floats(columns, -1, 1); }
    char what[80];
    snprintf(what, sizeof what, "quantize %d x %d%s, turned by %d", tokens, columns, normed ? " normed" : "", turn);
    say(what, "quantize_rows", timed("quantize_rows", (unsigned)tokens, 1, 1, cg_quantize_shared((unsigned)own), &a), 0, 5.0 * tokens * columns);
}

static void attention(const char *what, int queries, int tokens, int heads, int d, int share, int causal) {
    int width = heads * d, keys = heads / share * d, wide = d > 128;
    cg_attention a = {
        .q = floats((size_t)queries * width, -1, 1), .k = floats((size_t)tokens * keys, -1, 1), .v = floats((size_t)tokens * keys, -1, 1),
        .out = room(4 * (size_t)queries * width), .rows = queries, .tokens = tokens, .ldq = width, .ldk = keys, .ldo = width, .d = d, .share = share,
        .causal = causal, .scale = 0.1f, .cap = causal ? 50 : 0};
    const char *name = wide ? "attention_256" : "attention_128";
    float time = timed(name, up(queries, wide ? 32 : 64), (unsigned)heads, 1, cg_attention_shared(wide ? 32 : 64, (unsigned)d), &a);
    say(what, name, time, 4.0 * queries * tokens * width * (causal ? 0.5 : 1), 0);
}

static void around(int side, int channels) {
    size_t count = (size_t)side * side * channels;
    cg_depthwise gate = {
        .x = floats(count, -3, 3), .w = floats(9 * (size_t)channels, -1, 1), .bias = floats(channels, -1, 1), .y = room(2 * count),
        .count = (unsigned)(count / 2), .height = side, .width = side, .channels = channels, .kernel = 3};
    say("gate of the mix-FFN", "gate_depthwise", timed("gate_depthwise", up(channels / 2, 256), (unsigned)side * up(side, 8), 1, 0, &gate), 0, 6.0 * count);

    int heads = 2240 / divisor / 32, tokens = side * side, d = 32, width = heads * d;
    cg_linear_attention linear = {
        .q = floats((size_t)tokens * 3 * width, -1, 1), .sums = room((size_t)heads * 8 * 33 * 32 * 8), .totals = room((size_t)heads * 33 * 32 * 4),
        .out = room(4 * (size_t)tokens * width), .ld = 3 * width, .ldo = width, .tokens = tokens, .d = d, .stride = d, .heads = heads, .maps = 1, .parts = 8};
    linear.k = linear.q + 4 * (address)width, linear.v = linear.q + 8 * (address)width;
    say("linear attention", "linear_sum", timed("linear_sum", 8, (unsigned)heads, 1, 0, &linear), 0, 8.0 * tokens * width);
    say("", "linear_total", timed("linear_total", up((long long)heads * 33 * 32, 256), 1, 1, 0, &linear), 0, 0);
    say("", "linear_apply", timed("linear_apply", up(tokens, 64), (unsigned)heads, 1, cg_linear_apply_shared(32), &linear), 0, 8.0 * tokens * width);

    int columns = 2240 / divisor;
    cg_floats product = {
        .x = floats((size_t)tokens * columns, -1, 1), .w = floats((size_t)columns * columns, -1, 1), .y = room(4 * (size_t)tokens * columns), .rows = tokens,
        .columns = columns, .depth = columns, .ldx = columns, .ldw = columns, .ldy = columns, .weight = cg_f32};
    float time = timed("gemm_f32_128x128", up(tokens, 128), up(columns, 128), 1, 0, &product);
    say("a float32 product, 2240 by 2240", "gemm_f32_128x128", time, 2.0 * tokens * columns * columns, 0);
}

int main(int count, char **arguments) {
    library = dlopen(count > 1 ? arguments[1] : "libcuda.so.1", RTLD_NOW);
    if (!library) { printf("%s\n", dlerror()); return 2; }
    if (count > 2) { divisor = atoi(arguments[2]); }
    void *context;
    int device;
    char name[256];
    CALL(cuInit, 0u);
    CALL(cuDeviceGet, &device, 0);
    CALL(cuDeviceGetName, name, 256, device);
    CALL(cuDeviceGetAttribute, &multiprocessors, 16, device);
    CALL(cuDevicePrimaryCtxRetain, &context, device);
    CALL(cuCtxSetCurrent, context);
    CALL(cuStreamCreate, &stream, 1u);
    for (int i = 0; i < cg_module_count(); i++) { CALL(cuModuleLoadDataEx, modules + i, cg_module_text(i), 0u, (void *)0, (void *)0); }
    printf("%s, %d multiprocessors\n", name, multiprocessors);

    measure_peak();
    int tokens = 1024 / divisor, failures = 0, s = divisor;
    failures += product("self.qkv", tokens, 2240 / s, 6720 / s, 20);
    failures += product("self.out, cross.q, cross.out", tokens, 2240 / s, 2240 / s, 60);
    failures += product("ff.in", tokens, 2240 / s, 11200 / s, 20);
    failures += product("ff.out", tokens, 5600 / s, 2240 / s, 20);
    failures += product("text, 300 tokens", 300 / s, 2304, 9216 / s, 0);
    failures += product("text, 20 tokens", 20, 2304, 9216 / s, 0);
    half_product("ff.in, --compute bf16", "gemm_bf16_", tokens, 2240 / s, 11200 / s);
    half_product("ff.in, --compute fp16", "gemm_f16_", tokens, 2240 / s, 11200 / s);
    failures += convolution("3x3, 128 at 1024 px", 1024 / s, 128, 128, cg_same);
    failures += convolution("3x3, 256 at 512 px", 512 / s, 256, 256, cg_same);
    failures += convolution("3x3, 512 at 256 px", 256 / s, 512, 512, cg_same);
    failures += convolution("3x3, 256 at 512 px doubled to 128", 512 / s, 256, 128, cg_doubled);
    if (divisor == 1) { printf("the 120 int8 products of a step: %.2f ms\n", step_time / 1000); }
    rows(tokens, 2240 / s, 1, 1), rows(tokens, 5600 / s / 32 * 32, 32, 0), rows(tokens, 5600 / s / 32 * 32, 1 << 16, 0);
    attention("attention to a prompt of 300", tokens, 300 / s, 20 / s + 1, 112, 1, 0);
    attention("attention of the text encoder, 300 tokens", 300 / s, 300 / s, 8, 256, 2, 1);
    around(32 / s + 1, 11200 / s / 2 * 2);
    printf("%s\n", failures ? "FAILURES" : "all shapes agree bit for bit");
    return failures != 0;
}
