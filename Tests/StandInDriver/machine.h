// The machine that runs PTX: what a module becomes, and what blocks and warps have while they run.
#pragma once
#include <pthread.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

enum { LANES = 32, WARPS = 32, VECTOR = 4, SOURCES = 10 };

// What is reported of a kernel, as the driver's codes.
enum {
    INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_CONTEXT = 201, INVALID_PTX = 218,
    INVALID_HANDLE = 400, NOT_FOUND = 500, NOT_READY = 600, ILLEGAL_ADDRESS = 700, OUT_OF_RESOURCES = 701, TIMEOUT = 702, MISALIGNED = 716, LAUNCH_FAILED = 719,
    STREAM_CAPTURE_UNSUPPORTED = 900, STREAM_CAPTURE_INVALID = 901
};

// ---- a module ----

struct warp;
struct instruction;
// Computes all lanes, into a place of its own where only some of them count.
typedef void computation(const char *registers, const struct instruction *, void *to);
// Does what only the active lanes may do.
typedef void effect(struct warp *, const struct instruction *, u32 lanes);

// Registers are arrays of 32 lanes, of 4 bytes each or of 8; a predicate is 0 or -1 in 4. Constants and special registers are registers too.
struct instruction {
    union { computation *compute; effect *act; };
    enum { COMPUTE4, COMPUTE8, ACT, ACT_TOGETHER, BRANCH, RETURN, BARRIER } kind;
    u32 guard;  // offset of the guarding predicate's register; 0 for none
    bool negated;
    u8 targets, sources;  // how many of the offsets below are used
    u8 size, count;       // of memory: bytes of an element, elements
    u8 wide;              // of memory: a lane of the register has 8 bytes; of sources as bits: which have
    bool isSigned;
    u8 space, mode;
    u8 members;           // which source says what lanes take part, from 1; 0 for all of them
    u32 to[VECTOR], from[SOURCES];
    s64 immediate;  // an address's offset, a branch's target, a count of groups
    u32 line;
};

enum { GENERIC, GLOBAL, SHARED, LOCAL };

struct parameter { char *name; u32 offset, bytes; };
struct constant { u64 bits; u32 offset; bool wide; };
struct special { u8 which; u32 offset; };
enum { TID_X, TID_Y, TID_Z, NTID_X, NTID_Y, NTID_Z, CTAID_X, CTAID_Y, CTAID_Z, NCTAID_X, NCTAID_Y, NCTAID_Z, LANEID, WARPID, SPECIALS };

struct entry {
    char *name;
    struct instruction *code;
    u32 length;
    struct parameter *parameters;
    u32 parameterCount, parameterBytes;
    struct constant *constants;
    u32 constantCount;
    struct special *specials;
    u32 specialCount;
    u32 registerBytes, localBytes, staticShared, dynamicStart;
    u32 mostThreads, mostDynamic;
    const char *text;  // the module's
};

struct module {
    char *text;
    struct entry *entries;
    u32 entryCount;
};

// A module of PTX text; null with the line and the reason in `failure` where it is not understood.
struct module *module_load(const char *text, char *failure, size_t bytes);
void module_free(struct module *);
// Copies a line of the text.
void module_line(const char *text, u32 line, char *copy, size_t bytes);

// ---- operations ----

// A result and its operands: w a register of 4 bytes a lane, d of 8, p a predicate.
struct operation { const char *name, *signature; computation *compute; };
struct operations {
    const struct operation *all;
    u32 count;
    effect *multiply8, *multiplyBF16, *multiplyF16;
};
extern const struct operations operations_plain, operations_avx2;
const struct operations *operations_here(void);
computation *operation_find(const char *name, const char **signature);

// Memory, exchange between lanes: effects.c, atomics.c.
effect load, load_parameter, store, copy_async, copy_commit, copy_wait, load_matrices, shuffle, vote, active_lanes, atomic, nothing;

// ---- memory of the device ----

// Device addresses begin here; shared and local memory have windows below.
#define DEVICE_BASE (UINT64_C(1) << 40)
#define SHARED_BASE (UINT64_C(1) << 32)
#define LOCAL_BASE (UINT64_C(2) << 32)
#define WINDOW (UINT64_C(1) << 28)
#define DEVICE_SPAN (UINT64_C(1) << 36)

enum { FREE = 0, FRESH = 1, WRITTEN = 3 };
// A byte of state for each byte of data.
struct device_memory { u8 *data, *state; };
extern struct device_memory device_memory;
bool memory_start(void);
// 0 where there is none.
u64 memory_allocate(size_t bytes);
// The bytes that were there; 0 where nothing was.
size_t memory_release(u64 address);
// Whether they lie in one allocation.
bool memory_holds(u64 address, size_t bytes);

// ---- running ----

// Of shared memory, by byte: whether it was written, whether a copy is on its way, who wrote it since the last barrier, who read it.
enum { INITIALIZED = 0x80, COMING = 0x40, WRITER = 0x3f, ATOMIC = 0x3f, SEVERAL = 0xff, CHUNK = 256 };

struct pending { u32 to, group; u8 lane, bytes, data[16]; };

struct launch {
    const struct entry *entry;
    const u8 *parameters;
    u32 grid[3], block[3], sharedBytes;
    u32 next, blocks, failed;  // of those the first that failed
    pthread_mutex_t mutex;
    int code;
    char *report;
    size_t reportBytes;
};

struct group { u32 pc, lanes; bool waits; };

struct warp {
    struct block *block;
    char *registers;
    u32 index, live, started;  // lanes that have not ended, and all there were
    bool isDone;
    struct group groups[LANES];  // what has parted; the first one runs
    u32 groupCount;
    u8 *local, *localState;
    struct pending *pending;
    u32 pendingCount, pendingRoom, committed[LANES];
    const struct instruction *at;
};

struct block {
    struct launch *launch;
    u32 index[3], number;
    u32 warpCount;
    struct warp warps[WARPS];
    u8 *shared, *writers, *readers, *dirty;
    u64 steps;
    jmp_buf failed;
};

// Runs a kernel to its end. 0, or a code with what happened in `report`.
int launch_run(struct launch *);
// When a block is taken to have no end.
extern u64 most_steps;
// Ends the block with an error; `lane` is -1 where none is meant.
_Noreturn void fail(struct warp *, int code, int lane, const char *format, ...) __attribute__((format(printf, 4, 5)));

static inline u32 *lanes4(struct warp *w, u32 offset) { return (u32 *)(w->registers + offset); }
static inline u64 *lanes8(struct warp *w, u32 offset) { return (u64 *)(w->registers + offset); }
