/// The kernels of a GPU: their text in PTX, which any NVIDIA driver since 450 compiles for its card, and the one argument that each takes.
///
/// An argument is a struct, passed by value: `kernelParams` of `cuLaunchKernel` is the address of its address. Matrices are row-major, maps
/// are `[h, w, c]`, rows of `ld` elements; where nothing is said of a pointer it is to float32 and may be 0 where "or 0" stands. Rows of int8 and
/// bfloat16 have a *pitch*: a multiple of 64 bytes, zeros behind the elements. All are aligned to 16 bytes at their first element, but columns of a
/// matrix whose rows are no multiple of four elements. What kernels compute, and how
/// exactly, is in README.md. Counts of elements stay below 2^32 - 1024.
#ifndef CGPUKERNELS_H
#define CGPUKERNELS_H

#ifdef CG_DEVICE
#define CG_AT(type) type *
typedef int cg_int;
#else
#include <stdbool.h>
#include <stdint.h>
/// An address on the device.
#define CG_AT(type) uint64_t
typedef int32_t cg_int;

// ---- The kernels

typedef struct {
    const char *name;
    /// Index of its module.
    int module;
    /// Threads of a block, and bytes of shared memory; 0 where there is a function for it.
    unsigned threads, shared;
    /// Of products and convolutions, else 0: rows and columns of outputs that a block makes, and the share of the fastest's speed in hundredths.
    unsigned rows, columns, speed;
} cg_kernel;

/// All kernels, in the order of modules.
int cg_kernel_count(void);
cg_kernel cg_kernel_at(int index);
/// The one of a family ("gemm_i8_", "conv_f32_" ...) that makes rows by columns of each part soonest, by the tiles that each multiprocessor gets; -1
/// where none can. All are equal in what they compute.
/// - Parameter whole: whether all columns have to be in one tile.
int cg_best(const char *family, long long rows, const int32_t *columns, int parts, int multiprocessors, bool whole);

/// The modules, from 0 on: its name, and its text, which ends with a zero that is not counted in the bytes.
int cg_module_count(void);
const char *cg_module_name(int module);
const char *cg_module_text(int module);
unsigned long cg_module_bytes(int module);
#endif

// ---- rows: quantizers, norms, what is done to elements

/// quantize_rows: a block for each row (x). pitch is at most 24,576.
///
/// In this order: layer norm with a modulation, factors, turn, and the quantizer of the integer contract.
typedef struct {
    CG_AT(const float) x;           ///< [rows, columns] (ldx)
    CG_AT(signed char) q;           ///< codes [rows, pitch]
    CG_AT(float) s;                 ///< scales [rows]
    CG_AT(const float) scale;       ///< or 0: y = (x - mean) / sqrt(variance + epsilon) * (1 + scale) + shift takes the place of x
    CG_AT(const float) shift;
    CG_AT(const float) factors;     ///< or 0: powers of two, one for each column
    float epsilon, epsilonRest;     ///< two floats that a double is the sum of
    cg_int columns, ldx, pitch;
    cg_int turn;                    ///< the largest Hadamard block, a power of two; 1: rows are not turned
} cg_quantize;

static inline unsigned cg_quantize_shared(unsigned pitch) { return 128 + 4 * pitch; }

/// quantize_pixels: 8 rows a block (x), of any number of columns, as they are.
typedef struct {
    CG_AT(const float) x;           ///< [rows, columns], dense
    CG_AT(void) q;                  ///< [rows, pitch]; the pitch is in bytes
    CG_AT(float) s;                 ///< scales [rows]
    cg_int rows, columns, pitch;
} cg_pixels;

/// Types of floats, and of weights that products in float32 take.
enum { cg_f32 = 0, cg_bf16 = 1, cg_f16 = 2, cg_i8 = 3 };

/// narrow_rows: rows in 16 bits, 8 a block (x).
///
/// What float16 has no number for leaves the layer's in `beyond`, where there is none yet: that of the first layer of all that are queued.
typedef struct {
    CG_AT(const float) x;           ///< [rows, columns], dense
    CG_AT(void) q;                  ///< [rows, pitch]; the pitch is in bytes
    CG_AT(unsigned) beyond;         ///< of cg_f16 alone
    cg_int rows, columns, pitch;
    cg_int type;                    ///< cg_bf16 or cg_f16
    unsigned layer;                 ///< not 0
    cg_int reserved;
} cg_narrow;

/// layer_norm: y = (x - mean) / sqrt(variance + epsilon) * (1 + weight) + bias. rms_norm: y = x / sqrt(mean of squares + epsilon) *
/// (offset + weight) + bias. A block for each row (x). In place allowed.
typedef struct {
    CG_AT(const float) x;           ///< [rows, columns] (ldx)
    CG_AT(float) y;                 ///< (ldy)
    CG_AT(const float) weight;      ///< or 0: a factor of 1
    CG_AT(const float) bias;        ///< or 0
    float offset, epsilon, epsilonRest;
    cg_int columns, ldx, ldy;
} cg_norm;

/// norm_pixels: y = base + activation(fma(x * factor, weight, bias)), the autoencoder's RMS norm; and y's codes, where wanted. 8 rows a block (x).
/// In place allowed.
typedef struct {
    CG_AT(const float) x;           ///< [rows, columns], as y and base
    CG_AT(const float) weight;
    CG_AT(const float) bias;
    CG_AT(const float) base;        ///< or 0
    CG_AT(float) y;
    CG_AT(signed char) q;           ///< or 0: codes [rows, pitch] with scales s
    CG_AT(float) s;
    float epsilon, epsilonRest;
    cg_int activation;              ///< cg_relu, cg_silu or cg_none
    cg_int rows, columns, pitch;
} cg_norm_pixels;

/// Functions of an element.
enum { cg_none = 0, cg_relu = 1, cg_silu = 2, cg_gelu = 3, cg_exact_gelu = 4 };

/// activate: y = function(x), 1024 elements a block (x).
typedef struct {
    CG_AT(const float) x;
    CG_AT(float) y;
    unsigned count;
    cg_int function;
} cg_activate;

/// gate_gelu: y [rows, columns] = gelu(x[:, :columns]) * x[:, columns:]. gate_silu: y = x[:, :columns] * silu(x[:, columns:]). A block takes
/// 1024 columns (x) of a row (y).
typedef struct {
    CG_AT(const float) x;           ///< [rows, 2 * columns], dense
    CG_AT(float) y;                 ///< [rows, columns], dense
    cg_int columns;
} cg_gate;

/// add: y = fma(gate, x, y), or base + x where there is a base; 1024 elements a block (x).
typedef struct {
    CG_AT(const float) x;
    CG_AT(const float) base;        ///< or 0
    CG_AT(const float) gate;        ///< [columns], or 0: 1
    CG_AT(float) y;
    unsigned count;
    cg_int columns;                 ///< of the gate; elsewhere not used
} cg_add;

/// rotate: rotary embedding of heads in the columns of x from its first on, in place. A block for each row (x).
typedef struct {
    CG_AT(float) x;                 ///< [rows, ..] (ldx)
    CG_AT(const float) table;       ///< [rows, width]: cosines, then sines
    cg_int ldx, heads, width;
} cg_rotate;

/// unshuffle: y [h, w, 4c] of x [2h, 2w, c]: channel 4 * i + 2 * dy + dx is channel i of the pixel (2y + dy, 2x + dx). shuffle: its inverse, x
/// [h, w, 4c] to y [2h, 2w, c], with `base` [h, w, inputs] added as by add_doubled where there is one. 1024 elements of y a block (x).
typedef struct {
    CG_AT(const float) x;
    CG_AT(float) y;
    CG_AT(const float) base;        ///< or 0
    cg_int height, width;           ///< h and w
    cg_int channels;                ///< c
    cg_int inputs;
} cg_shuffle;

/// add_shortcut: y [rows, outputs] += x [rows, inputs]: each channel repeated, or means over consecutive ones. add_doubled: y [2h, 2w, outputs] +=
/// x [h, w, inputs], channel (4 * n + corner) / repeats of it for output n, with repeats = 4 * outputs / inputs. 1024 elements of y a block (x).
typedef struct {
    CG_AT(const float) x;
    CG_AT(float) y;
    unsigned count;                ///< elements of y
    cg_int inputs, outputs;
    cg_int width;                   ///< w; of add_doubled alone
} cg_shortcut;

// ---- products: int8 and 16-bit floats on tensor cores

/// The columns that a weight makes.
typedef struct {
    CG_AT(const void) q;            ///< [columns, pitch]
    CG_AT(const float) s;           ///< scales [columns]; int8 only
    CG_AT(const float) bias;        ///< [columns], or 0
    cg_int columns;
    cg_int reserved;
} cg_part;

enum { cg_most_parts = 4 };

/// gemm_i8_...: y = fma(sx * s, accumulator, bias), gemm_bf16_... and gemm_f16_...: y = sum + bias; of weights whose columns stand side by side. Then silu, where
/// wanted; then y = fma(gate, that, y), where wanted. Grid: rows / tile rows, columns of each part / tile columns, added up; both upwards.
typedef struct {
    CG_AT(const void) x;            ///< [rows, pitch]
    CG_AT(const float) sx;          ///< [rows]; int8 only
    CG_AT(float) y;                 ///< [rows, all columns] (ldy)
    CG_AT(const float) gate;        ///< [all columns], or 0: 1
    cg_part part[cg_most_parts];    ///< those not used have no columns
    cg_int rows, pitch, ldy;
    cg_int silu;                    ///< whether it follows
    cg_int adds;                    ///< whether the result is added to y
    cg_int reserved;
} cg_product;

// ---- floats: products and convolutions in float32

/// gemm_f32_...: y = x w^T * s + bias, then as in cg_product, sums in float32. row_product: one row, 8 columns a block (x), summed in two floats.
typedef struct {
    CG_AT(const float) x;           ///< [rows, depth] (ldx)
    CG_AT(const void) w;            ///< [columns, depth] (ldw elements)
    CG_AT(const float) s;           ///< [columns]; of cg_i8 alone
    CG_AT(const float) bias;        ///< [columns], or 0
    CG_AT(float) y;                 ///< [rows, columns] (ldy)
    CG_AT(const float) gate;        ///< [columns], or 0: 1
    cg_int rows, columns, depth, ldx, ldw, ldy;
    cg_int weight;                  ///< a type
    cg_int silu, adds;
    cg_int narrows;                 ///< of row_product alone: cg_bf16 or cg_f16, which x is rounded to first, or 0
    unsigned layer;                 ///< as of cg_narrow
    CG_AT(unsigned) beyond;
} cg_floats;

/// Every pixel; every second of every second row; a map that is first doubled by repetition.
enum { cg_same = 0, cg_stride2 = 1, cg_doubled = 2 };

/// conv_f32_...: a 3x3 convolution, padding 1. Grid: output pixels made / tile rows, outputs / tile columns. A map may be there in part, its row r
/// being the row r & mask of a ring; a mask of -1 is that of a whole map. conv_f32_narrow: of at most four outputs, 32
/// output pixels a block (x).
typedef struct {
    CG_AT(const float) x;           ///< [h, w, channels]
    CG_AT(const float) w;           ///< [outputs, 9, channels]
    CG_AT(const float) bias;        ///< [outputs], or 0
    CG_AT(float) y;                 ///< [h', w', outputs]; h' = h, ceil(h / 2) or 2h
    cg_int height, width, channels, outputs;
    cg_int sampling;                ///< cg_same, cg_stride2 or cg_doubled
    cg_int activation;              ///< cg_relu, cg_silu or cg_none
    cg_int from, to;                ///< the output pixels that are made, of all h' * w'
    cg_int maskX, maskY;            ///< of the rows of x and of y
} cg_convolution;

static inline unsigned cg_narrow_shared(unsigned channels, unsigned outputs) { return 36 * channels * outputs; }

// ---- convolutions: int8, by the integer contract

/// conv_i8_...: a 3x3 convolution, padding 1, then in this order what is asked for: activation, RMS norm, the base added, codes of the result. Grid:
/// output pixels made / tile rows, outputs / tile columns; norm and codes need all outputs in one tile. Maps and masks as of conv_f32.
///
/// conv_up_i8: the same of a doubled map, cg_doubled, with a quarter of the products; without activation, norm and codes. It makes whole pairs of
/// rows. Grid: pairs of rows made / 6 times w / 14, outputs / 64; all upwards.
typedef struct {
    CG_AT(const signed char) x;     ///< codes [h, w, pitch]
    CG_AT(const float) sx;          ///< scales [h, w]
    CG_AT(const signed char) w;     ///< [outputs, 9, pitch]
    CG_AT(const float) s;           ///< scales [outputs]
    CG_AT(const float) bias;        ///< [outputs], or 0
    CG_AT(const float) norm;        ///< or 0: weights [outputs] of an RMS norm as norm_pixels has it
    CG_AT(const float) normBias;
    CG_AT(const float) base;        ///< or 0: [h', w', outputs], or with `inputs` [h, w, inputs], added as by add_doubled
    CG_AT(float) y;                 ///< or 0: [h', w', outputs]
    CG_AT(signed char) q;           ///< or 0: codes [h', w', pitchQ] of the result, with scales sq [h', w']
    CG_AT(float) sq;
    float epsilon, epsilonRest;
    cg_int height, width;
    cg_int channels;                ///< that are not zero
    cg_int pitch, outputs;
    cg_int sampling;                ///< cg_same, cg_stride2 or cg_doubled
    cg_int activation;              ///< cg_relu, cg_silu or cg_none
    cg_int inputs;                  ///< of the base of a doubling; else 0
    cg_int pitchQ;
    cg_int from, to;                ///< the output pixels that are made, of all h' * w'
    cg_int maskX, maskY, maskBase;  ///< of the rows of x, of y and q, and of the base
} cg_integer_convolution;

// ---- attention: and what stands around it

/// depthwise: y = bias + a kernel x kernel depthwise convolution, padding kernel / 2. gate_depthwise: of the two halves of the channels, 3x3, y =
/// first * silu(second). 1024 elements of y a block (x); of gate_depthwise 256 channels of y (x), and 8 pixels of a row of a map (y), rounded up.
typedef struct {
    CG_AT(const float) x;           ///< [maps, h, w, channels]
    CG_AT(const float) w;           ///< [kernel * kernel, channels]
    CG_AT(const float) bias;        ///< [channels], or 0
    CG_AT(float) y;                 ///< as x; of gate_depthwise half the channels
    unsigned count;                ///< elements of y
    cg_int height, width, channels, kernel;
} cg_depthwise;

/// pointwise: y = a 1x1 convolution in groups of `width` channels, each of the weight's rows [channels, width]. 256 elements of y a block (x).
typedef struct {
    CG_AT(const float) x;           ///< [rows, channels]
    CG_AT(const float) w;
    CG_AT(float) y;
    unsigned count;
    cg_int channels, width;
} cg_pointwise;

/// Heads of maps of so many tokens each, one below the other: head h is at columns h * stride + [0, d) of q, k and v, at h * d + [0, d) of out.
/// d is at most 128.
///
/// linear_sum: sums over the tokens of a part, of relu(k) and of relu(k) v^T, 32 x 32 elements of them a block: a part (x), a head and in it a
/// square, heads * ceil(d / 32)^2 (y), a map (z). linear_total: the parts added up and rounded, 256 elements of totals a block (x). linear_apply:
/// out = totals relu(q) / (sum of k . relu(q) + 1e-15), 64 tokens a block (x), a head (y), a map (z).
typedef struct {
    CG_AT(const float) q;           ///< [maps * tokens, ..] (ld)
    CG_AT(const float) k;
    CG_AT(const float) v;
    CG_AT(float) sums;              ///< [maps, heads, parts, d + 1, d, 2]: row j is of k[j], the last of k itself
    CG_AT(float) totals;            ///< [maps, heads, d + 1, d]
    CG_AT(float) out;               ///< [maps * tokens, ..] (ldo)
    cg_int ld, ldo, tokens, d, stride, heads, maps;
    cg_int parts;
} cg_linear_attention;

static inline unsigned cg_linear_apply_shared(unsigned d) { return 4 * (64 * (d + 1) + d * d + d); }

/// attention_128, attention_256: out = softmax(scale * q k^T) v, for heads of at most so many elements; a head (y), 64 or 32 queries a block (x).
/// With `causal` query row i sees the keys j <= first + i, and of those the last `window`.
typedef struct {
    CG_AT(const float) q;           ///< [rows, ..] (ldq), head h at h * d
    CG_AT(const float) k;           ///< [tokens, ..] (ldk), head h at h / share * d
    CG_AT(const float) v;
    CG_AT(float) out;               ///< [rows, heads * d] (ldo)
    cg_int rows, tokens, ldq, ldk, ldo, d;
    cg_int share;                   ///< heads that have the same keys and values
    cg_int causal, first;
    cg_int window;                  ///< or 0: all keys before
    float scale;
    float cap;                      ///< or 0; scores become cap * tanh(score / cap)
} cg_attention;

static inline unsigned cg_attention_shared(unsigned queries, unsigned d) { return 4 * (queries + 32) * ((d + 3) / 4 * 4 + 4) + 4 * 36 * queries; }

#endif
