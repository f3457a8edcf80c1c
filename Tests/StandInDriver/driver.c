#define _GNU_SOURCE
#include "driver.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MULTIPROCESSORS = 16, CACHE_BYTES = 38, MAJOR = 75, MINOR = 76, SHARED_OPTIN = 97, MOST_SHARED = 99 << 10, MOST_THREADS = 1024 };
enum { DYNAMIC_SHARED = 8, ERROR_LOG = 5, ERROR_LOG_BYTES = 6 };

struct card cards[CARDS] = {
    {.name = "Stand-in sm_89", .major = 8, .minor = 9, .total = (size_t)8 << 30},
    {.name = "Stand-in sm_75", .major = 7, .minor = 5, .total = (size_t)8 << 30},
    {.name = "Stand-in of 1 MiB", .major = 8, .minor = 6, .total = 1 << 20},
};
static int version = 12040, visible = CARDS;
static bool isInitialized;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
_Thread_local struct card *current;
_Thread_local u32 capturing;

struct pinned { u8 *at; size_t bytes; struct pinned *next; };
static struct pinned *pinned;

// What a test has the driver be, before it is used.
API void stand_in_pretend(int asVersion, int cardCount, u64 steps) { version = asVersion, visible = cardCount, most_steps = steps; }

void enter(void) { pthread_mutex_lock(&lock); }
void leave(void) { pthread_mutex_unlock(&lock); }
int ready(void) { return !isInitialized ? NOT_INITIALIZED : !current ? INVALID_CONTEXT : current->failure; }
bool is_pinned(const void *at, size_t bytes) {
    for (const struct pinned *p = pinned; p; p = p->next)
        if ((const u8 *)at >= p->at && (const u8 *)at + bytes <= p->at + p->bytes) return true;
    return false;
}

static const struct { int code; const char *name, *text; } codes[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {TIMEOUT, "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"},
    {MISALIGNED, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {STREAM_CAPTURE_INVALID, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"},
};

API int cuGetErrorName(int code, const char **name) {
    for (size_t k = 0; k < sizeof codes / sizeof *codes; k++)
        if (codes[k].code == code) { *name = codes[k].name; return 0; }
    return INVALID_VALUE;
}

// Of a kernel's failure this driver says more than others do.
API int cuGetErrorString(int code, const char **text) {
    static _Thread_local char more[PROBLEM + 64];
    for (size_t k = 0; k < sizeof codes / sizeof *codes; k++) {
        if (codes[k].code != code) continue;
        *text = codes[k].text;
        enter();
        if (current && current->failure == code && code) snprintf(more, sizeof more, "%s: %s", codes[k].text, current->text), *text = more;
        leave();
        return 0;
    }
    return INVALID_VALUE;
}

API int cuInit(unsigned flags) {
    enter();
    const int code = flags ? INVALID_VALUE : visible == 0 ? NO_DEVICE : memory_start() ? 0 : OUT_OF_MEMORY;
    isInitialized = isInitialized || !code;
    leave();
    return code;
}
API int cuDriverGetVersion(int *value) { return *value = version, 0; }
API int cuDeviceGetCount(int *count) { return *count = visible, isInitialized ? 0 : NOT_INITIALIZED; }
API int cuDeviceGet(int *device, int index) { return *device = index, !isInitialized ? NOT_INITIALIZED : index < 0 || index >= visible ? INVALID_DEVICE : 0; }
API int cuDeviceGetName(char *name, int bytes, int device) { return snprintf(name, (size_t)bytes, "%s", cards[device].name), 0; }
API int cuDeviceGetAttribute(int *value, int attribute, int device) {
    switch (attribute) {
        case MULTIPROCESSORS: *value = 4; return 0;
        // So little that maps of tests pass in bands.
        case CACHE_BYTES: *value = 64 << 10; return 0;
        case MAJOR: *value = cards[device].major; return 0;
        case MINOR: *value = cards[device].minor; return 0;
        case SHARED_OPTIN: *value = MOST_SHARED; return 0;
        default: return INVALID_VALUE;
    }
}
API int cuDevicePrimaryCtxRetain(struct card **context, int device) {
    enter();
    cards[device].users++, *context = &cards[device];
    leave();
    return 0;
}
API int cuDevicePrimaryCtxRelease_v2(int device) {
    enter();
    // With its last user a context goes, and what has failed in it.
    if (--cards[device].users == 0) cards[device].failure = 0;
    leave();
    return 0;
}
API int cuCtxSetCurrent(struct card *context) { return current = context, 0; }

API int cuMemGetInfo_v2(size_t *unused, size_t *total) {
    enter();
    const int code = ready();
    if (!code) *total = current->total, *unused = current->total - current->used;
    leave();
    return code;
}
API int cuMemAlloc_v2(u64 *address, size_t bytes) {
    enter();
    int code = ready();
    if (!code && capturing) code = STREAM_CAPTURE_UNSUPPORTED;
    if (!code && !bytes) code = INVALID_VALUE;
    if (!code && bytes > current->total - current->used) code = OUT_OF_MEMORY;
    if (!code && !(*address = memory_allocate(bytes))) code = OUT_OF_MEMORY;
    if (!code) current->used += bytes;
    leave();
    return code;
}
API int cuMemFree_v2(u64 address) {
    enter();
    int code = ready();
    if (!code && capturing) code = STREAM_CAPTURE_UNSUPPORTED;
    // Whatever failed, the memory is given back.
    const int failure = capturing ? 0 : finish_all();
    const size_t bytes = code == STREAM_CAPTURE_UNSUPPORTED ? 0 : memory_release(address);
    if (current) current->used -= bytes;
    if (!code && !bytes) code = INVALID_VALUE;
    leave();
    return code ? code : failure;
}
API int cuMemHostAlloc(void **address, size_t bytes, unsigned flags) {
    (void)flags;
    enter();
    int code = ready();
    struct pinned *p = code ? NULL : malloc(sizeof *p);
    if (p) {
        *p = (struct pinned){aligned_alloc(4096, (bytes + 4095) / 4096 * 4096), bytes, pinned};
        if (p->at) pinned = p, *address = p->at;
        else free(p), code = OUT_OF_MEMORY;
    }
    leave();
    return code;
}
API int cuMemFreeHost(void *address) {
    enter();
    int code = finish_all();
    struct pinned **place = &pinned;
    while (*place && (*place)->at != address) place = &(*place)->next;
    if (*place) {
        struct pinned *p = *place;
        *place = p->next;
        free(p->at), free(p);
    } else code = INVALID_VALUE;
    leave();
    return code;
}

// Host memory that is not pinned is read at once.
static u8 *staged(const void *from, size_t bytes) {
    if (is_pinned(from, bytes)) return NULL;
    u8 *copy = malloc(bytes);
    if (!copy) abort();
    return memcpy(copy, from, bytes);
}
static int submit_checked(struct stream *s, struct work w, bool isValid) {
    int code = ready();
    if (!code && !is_stream(s)) code = INVALID_HANDLE;
    if (!code && !isValid) code = INVALID_VALUE;
    return code ? (release(&w), code) : submit(s, w);
}
API int cuMemcpyHtoDAsync_v2(u64 to, const void *from, size_t bytes, struct stream *s) {
    enter();
    const int code = submit_checked(s, (struct work){.kind = COPY_IN, .to = to, .host = (void *)from, .staged = staged(from, bytes), .bytes = bytes}, memory_holds(to, bytes));
    leave();
    return code;
}
API int cuMemcpyDtoHAsync_v2(void *to, u64 from, size_t bytes, struct stream *s) {
    enter();
    int code = submit_checked(s, (struct work){.kind = COPY_OUT, .host = to, .from = from, .bytes = bytes}, memory_holds(from, bytes));
    // Host memory that is not pinned is written before the call returns.
    if (!code && !s->captured && !is_pinned(to, bytes)) code = finish(s);
    leave();
    return code;
}
API int cuMemcpyDtoDAsync_v2(u64 to, u64 from, size_t bytes, struct stream *s) {
    enter();
    const int code = submit_checked(s, (struct work){.kind = COPY, .to = to, .from = from, .bytes = bytes}, memory_holds(to, bytes) && memory_holds(from, bytes));
    leave();
    return code;
}
API int cuMemsetD8Async(u64 to, unsigned char value, size_t bytes, struct stream *s) {
    enter();
    const int code = submit_checked(s, (struct work){.kind = FILL, .to = to, .value = value, .bytes = bytes}, memory_holds(to, bytes));
    leave();
    return code;
}
struct copy_2d {
    size_t fromX, fromY;
    unsigned fromType;
    const u8 *fromHost;
    u64 fromDevice;
    void *fromArray;
    size_t fromPitch, toX, toY;
    unsigned toType;
    void *toHost;
    u64 toDevice;
    void *toArray;
    size_t toPitch, width, height;
};
API int cuMemcpy2DAsync_v2(const struct copy_2d *c, struct stream *s) {
    enter();
    // To the device from the host or from the device, of whole rows: what is called here.
    const bool isDevice = c->fromType == 2;
    const bool isValid = (isDevice || c->fromType == 1) && c->toType == 2 && !c->fromX && !c->fromY && !c->toX && !c->toY && c->height && c->width <= c->fromPitch && c->width <= c->toPitch
        && memory_holds(c->toDevice, (c->height - 1) * c->toPitch + c->width)
        && (!isDevice || memory_holds(c->fromDevice, (c->height - 1) * c->fromPitch + c->width));
    const int code = submit_checked(
        s,
        (struct work){
            .kind = COPY_ROWS, .to = c->toDevice, .from = isDevice ? c->fromDevice : 0, .host = isDevice ? NULL : (void *)c->fromHost,
            .staged = isValid && !isDevice ? staged(c->fromHost, (c->height - 1) * c->fromPitch + c->width) : NULL,
            .bytes = c->width, .rows = c->height, .toPitch = c->toPitch, .fromPitch = c->fromPitch},
        isValid);
    leave();
    return code;
}

API int cuModuleLoadDataEx(struct loaded **loaded, const void *text, unsigned count, int *options, void **values) {
    char *log = NULL;
    size_t bytes = 0;
    for (unsigned k = 0; k < count; k++) {
        if (options[k] == ERROR_LOG) log = values[k];
        else if (options[k] == ERROR_LOG_BYTES) bytes = (size_t)values[k];
    }
    enter();
    int code = ready();
    if (!code) {
        struct module *m = module_load(text, log, log ? bytes : 0);
        if (m) *loaded = calloc(1, sizeof **loaded), (*loaded)->module = m;
        else code = INVALID_PTX;
    }
    leave();
    return code;
}
API int cuModuleUnload(struct loaded *l) {
    enter();
    const int code = finish_all();
    for (struct function *f = l->functions, *next; f; f = next) next = f->next, free(f);
    module_free(l->module), free(l);
    leave();
    return code;
}
API int cuModuleGetFunction(struct function **function, struct loaded *l, const char *name) {
    enter();
    int code = ready();
    if (!code) {
        code = NOT_FOUND;
        for (u32 k = 0; k < l->module->entryCount; k++) {
            if (strcmp(l->module->entries[k].name, name)) continue;
            *function = calloc(1, sizeof **function);
            **function = (struct function){&l->module->entries[k], 48 << 10, l->functions};
            l->functions = *function, code = 0;
        }
    }
    leave();
    return code;
}
API int cuFuncSetAttribute(struct function *f, int attribute, int value) {
    if (attribute != DYNAMIC_SHARED || value < 0 || (u32)value + f->entry->dynamicStart > MOST_SHARED) return INVALID_VALUE;
    return f->mostDynamic = (u32)value, 0;
}
API int cuLaunchKernel(
    struct function *f, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, unsigned blockY, unsigned blockZ, unsigned sharedBytes, struct stream *s,
    void **parameters, void **extra) {
    (void)extra;
    enter();
    struct entry *e = f->entry;
    const u64 threads = (u64)blockX * blockY * blockZ;
    const bool isValid = threads && threads <= e->mostThreads && threads <= MOST_THREADS && gridX && gridX < 1u << 31 && gridY && gridY < 1 << 16 && gridZ && gridZ < 1 << 16
        && (u64)gridX * gridY * gridZ < 1u << 31 && sharedBytes <= f->mostDynamic && (!e->parameterCount || parameters);
    u8 *bytes = isValid ? calloc(1, e->parameterBytes + 1) : NULL;
    for (u32 k = 0; isValid && k < e->parameterCount; k++) memcpy(bytes + e->parameters[k].offset, parameters[k], e->parameters[k].bytes);
    const int code = submit_checked(
        s,
        (struct work){
            .kind = LAUNCH, .launch = {.entry = e, .parameters = bytes, .grid = {gridX, gridY, gridZ}, .block = {blockX, blockY, blockZ}, .sharedBytes = e->dynamicStart + sharedBytes}},
        isValid);
    leave();
    return code;
}
