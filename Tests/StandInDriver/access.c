#include "access.h"

u8 resolve(u64 *address) {
    if (*address >= DEVICE_BASE || *address < SHARED_BASE) return GLOBAL;
    const bool isShared = *address < LOCAL_BASE;
    *address -= isShared ? SHARED_BASE : LOCAL_BASE;
    return isShared ? SHARED : LOCAL;
}

// ---- global ----

static _Noreturn void global_failure(struct warp *w, int lane, u64 address, u32 bytes, const char *verb) {
    const u64 at = address - DEVICE_BASE;
    for (u32 k = 0; k < bytes; k++) {
        const bool isOutside = at + k >= DEVICE_SPAN || device_memory.state[at + k] == FREE;
        if (isOutside) fail(w, ILLEGAL_ADDRESS, lane, "%s %u bytes at %#llx, of which byte %u lies in no allocation", verb, bytes, (unsigned long long)address, k);
    }
    fail(w, LAUNCH_FAILED, lane, "%s %u bytes at %#llx that nobody has written", verb, bytes, (unsigned long long)address);
}

// Whether all bytes have at least these bits of state.
static inline bool has(const u8 *state, u32 bytes, u8 bits) {
    u8 all = 0xff;
    for (u32 k = 0; k < bytes; k++) all &= state[k];
    return (all & bits) == bits;
}
static inline bool has_sized(const u8 *state, u32 bytes, u8 bits) {
    switch (bytes) {
        case 1: return has(state, 1, bits);
        case 2: return has(state, 2, bits);
        case 4: return has(state, 4, bits);
        case 8: return has(state, 8, bits);
        case 16: return has(state, 16, bits);
        default: return has(state, bytes, bits);
    }
}

const u8 *global_read(struct warp *w, int lane, u64 address, u32 bytes) {
    const u64 at = address - DEVICE_BASE;
    if (at >= DEVICE_SPAN - 16 || !has_sized(device_memory.state + at, bytes, WRITTEN)) global_failure(w, lane, address, bytes, "reads");
    return device_memory.data + at;
}

u8 *global_write(struct warp *w, int lane, u64 address, u32 bytes) {
    const u64 at = address - DEVICE_BASE;
    if (at >= DEVICE_SPAN - 16 || !has_sized(device_memory.state + at, bytes, FRESH)) global_failure(w, lane, address, bytes, "writes");
    memset(device_memory.state + at, WRITTEN, bytes);
    return device_memory.data + at;
}

// ---- shared ----

void shared_bounds(struct warp *w, int lane, u64 address, u32 bytes, bool isWrite) {
    const u32 size = w->block->launch->sharedBytes;
    if (address + bytes > size || address > size)
        fail(w, ILLEGAL_ADDRESS, lane, "%s %u bytes at %#llx of shared memory, which has %u", isWrite ? "writes" : "reads", bytes, (unsigned long long)address, size);
}

static _Noreturn void race(struct warp *w, int lane, u32 at, const char *what, u32 other) {
    if (other == SEVERAL || other == ATOMIC) fail(w, LAUNCH_FAILED, lane, "%s byte %u of shared memory without a barrier between: a race of several warps", what, at);
    fail(w, LAUNCH_FAILED, lane, "%s byte %u of shared memory without a barrier between: a race with warp %u", what, at, other - 1);
}

static void shared_read_byte(struct warp *w, int lane, u32 at) {
    struct block *b = w->block;
    const u8 me = (u8)(w->index + 1), state = b->writers[at], writer = state & WRITER;
    if (state & COMING) fail(w, LAUNCH_FAILED, lane, "reads byte %u of shared memory, into which a copy is on its way: it was not waited for", at);
    if (!(state & INITIALIZED)) fail(w, LAUNCH_FAILED, lane, "reads byte %u of shared memory that nobody has written", at);
    if (writer && writer != me) race(w, lane, at, "reads what was written of", writer);
    u8 *reader = &b->readers[at];
    *reader = *reader == 0 || *reader == me ? me : SEVERAL;
}

void shared_write_byte(struct warp *w, int lane, u32 at) {
    struct block *b = w->block;
    const u8 me = (u8)(w->index + 1), state = b->writers[at], writer = state & WRITER, reader = b->readers[at];
    if (state & COMING) fail(w, LAUNCH_FAILED, lane, "writes byte %u of shared memory, into which a copy is on its way: it was not waited for", at);
    if (writer && writer != me) race(w, lane, at, "writes what was written of", writer);
    if (reader && reader != me) race(w, lane, at, "writes what was read of", reader);
    b->writers[at] = INITIALIZED | me;
}

static inline u32 word_at(const u8 *p) {
    u32 v;
    memcpy(&v, p, 4);
    return v;
}

const u8 *shared_read(struct warp *w, int lane, u64 address, u32 bytes) {
    struct block *b = w->block;
    shared_bounds(w, lane, address, bytes, false);
    const u32 at = (u32)address, me = (w->index + 1) * 0x01010101u, settled = INITIALIZED * 0x01010101u;
    b->dirty[at / CHUNK] = 1;
    for (u32 k = 0; k < bytes; k += 4) {
        if (bytes >= 4) {
            const u32 written = word_at(b->writers + at + k), read = word_at(b->readers + at + k);
            if ((written == settled || written == (settled | me)) && (read == 0 || read == me || read == ~0u)) {
                if (read == 0) memcpy(b->readers + at + k, &me, 4);
                continue;
            }
        }
        for (u32 byte = k; byte < k + 4 && byte < bytes; byte++) shared_read_byte(w, lane, at + byte);
    }
    return b->shared + at;
}

u8 *shared_write(struct warp *w, int lane, u64 address, u32 bytes) {
    struct block *b = w->block;
    shared_bounds(w, lane, address, bytes, true);
    const u32 at = (u32)address, me = (w->index + 1) * 0x01010101u, settled = INITIALIZED * 0x01010101u, mine = settled | me;
    b->dirty[at / CHUNK] = 1;
    for (u32 k = 0; k < bytes; k += 4) {
        if (bytes >= 4) {
            const u32 written = word_at(b->writers + at + k), read = word_at(b->readers + at + k);
            if ((written == 0 || written == settled || written == mine) && (read == 0 || read == me)) {
                memcpy(b->writers + at + k, &mine, 4);
                continue;
            }
        }
        for (u32 byte = k; byte < k + 4 && byte < bytes; byte++) shared_write_byte(w, lane, at + byte);
    }
    return b->shared + at;
}

// ---- local: each lane has its own ----

static u64 local_at(struct warp *w, int lane, u64 address, u32 bytes) {
    const u32 size = w->block->launch->entry->localBytes;
    if (address + bytes > size || address > size) fail(w, ILLEGAL_ADDRESS, lane, "goes to %#llx of a thread's own memory, which has %u", (unsigned long long)address, size);
    return (u64)lane * size + address;
}
const u8 *local_read(struct warp *w, int lane, u64 address, u32 bytes) {
    const u64 at = local_at(w, lane, address, bytes);
    if (!has(w->localState + at, bytes, 1)) fail(w, LAUNCH_FAILED, lane, "reads %u bytes of its own memory that it has not written", bytes);
    return w->local + at;
}
u8 *local_write(struct warp *w, int lane, u64 address, u32 bytes) {
    const u64 at = local_at(w, lane, address, bytes);
    memset(w->localState + at, 1, bytes);
    return w->local + at;
}

// ---- a warp's ----

static inline void copy(u8 *to, const u8 *from, u32 bytes) {
    switch (bytes) {
        case 1: *to = *from; break;
        case 2: memcpy(to, from, 2); break;
        case 4: memcpy(to, from, 4); break;
        case 8: memcpy(to, from, 8); break;
        default: memcpy(to, from, 16);
    }
}

static _Noreturn void misaligned(struct warp *w, int lane, u64 address, u32 total) {
    fail(w, MISALIGNED, lane, "goes to %u bytes at %#llx, which is not aligned to them", total, (unsigned long long)address);
}

// The address of lane 0 where all lanes go to places one behind the other; 0 elsewhere.
static u64 run_of(struct warp *w, const struct instruction *i, u32 lanes, u32 total) {
    if (lanes != ~0u || !(i->wide & 1)) return 0;
    const u64 *at = lanes8(w, i->from[0]);
    u64 difference = 0;
    for (u32 l = 0; l < LANES; l++) difference |= at[l] ^ (at[0] + l * total);
    return difference ? 0 : at[0] + (u64)i->immediate;
}

void gather(struct warp *w, const struct instruction *i, u32 lanes, u32 total, u8 (*staged)[16]) {
    if (i->space == GLOBAL) {
        const u64 run = run_of(w, i, lanes, total), at = run - DEVICE_BASE;
        if (run && (run & (total - 1)) == 0 && at < DEVICE_SPAN - 512 && has(device_memory.state + at, LANES * total, WRITTEN)) {
            for (u32 l = 0; l < LANES; l++) copy(staged[l], device_memory.data + at + l * total, total);
            return;
        }
    }
    // Lanes that read the same place see the same: it is looked at once.
    u64 seen = ~UINT64_C(0);
    const u8 *from = NULL;
    for (u32 left = lanes; left; left &= left - 1) {
        const u32 l = (u32)__builtin_ctz(left);
        u64 at = address_of(w, i, 0, l);
        if (at == seen && (i->space == SHARED || i->space == GLOBAL)) {
            copy(staged[l], from, total);
            continue;
        }
        seen = at;
        const u8 space = i->space == GENERIC ? resolve(&at) : i->space;
        if (at & (total - 1)) misaligned(w, (int)l, at, total);
        from = space == GLOBAL ? global_read(w, (int)l, at, total) : space == SHARED ? shared_read(w, (int)l, at, total) : local_read(w, (int)l, at, total);
        copy(staged[l], from, total);
    }
}

void scatter(struct warp *w, const struct instruction *i, u32 lanes, u32 total, const u8 (*staged)[16]) {
    for (u32 left = lanes; left; left &= left - 1) {
        const u32 l = (u32)__builtin_ctz(left);
        u64 at = address_of(w, i, 0, l);
        const u8 space = i->space == GENERIC ? resolve(&at) : i->space;
        if (at & (total - 1)) misaligned(w, (int)l, at, total);
        u8 *to = space == GLOBAL ? global_write(w, (int)l, at, total) : space == SHARED ? shared_write(w, (int)l, at, total) : local_write(w, (int)l, at, total);
        copy(to, staged[l], total);
    }
}

void unpack(struct warp *w, const struct instruction *i, u32 lanes, const u8 (*staged)[16]) {
    for (u32 k = 0; k < i->count; k++) {
        u64 values[LANES];
        switch (i->size + (i->isSigned ? 16 : 0)) {
            case 1: for (u32 l = 0; l < LANES; l++) values[l] = staged[l][k]; break;
            case 17: for (u32 l = 0; l < LANES; l++) values[l] = (u64)(s64)(s8)staged[l][k]; break;
            case 2: for (u32 l = 0; l < LANES; l++) values[l] = ((const u16 *)staged[l])[k]; break;
            case 18: for (u32 l = 0; l < LANES; l++) values[l] = (u64)(s64)((const s16 *)staged[l])[k]; break;
            case 4: for (u32 l = 0; l < LANES; l++) values[l] = ((const u32 *)staged[l])[k]; break;
            case 20: for (u32 l = 0; l < LANES; l++) values[l] = (u64)(s64)((const s32 *)staged[l])[k]; break;
            default: for (u32 l = 0; l < LANES; l++) values[l] = ((const u64 *)staged[l])[k];
        }
        if (i->mode) {
            u64 *to = lanes8(w, i->to[k]);
            for (u32 l = 0; l < LANES; l++) to[l] = lanes >> l & 1 ? values[l] : to[l];
        } else {
            u32 *to = lanes4(w, i->to[k]);
            for (u32 l = 0; l < LANES; l++) to[l] = lanes >> l & 1 ? (u32)values[l] : to[l];
        }
    }
}
