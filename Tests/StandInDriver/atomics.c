// Updates that no other thread sees half done.
#include "access.h"
#include "rounding.h"

static u64 updated(const struct instruction *i, u64 old, u64 by, u64 swap) {
    const bool isWide = i->size == 8, isLess = i->isSigned ? (isWide ? (s64)by < (s64)old : (s32)by < (s32)old) : by < old;
    switch (i->mode) {
        case 0: return old + by;
        case 1: return isLess ? by : old;
        case 2: return isLess ? old : by;
        case 3: return old & by;
        case 4: return old | by;
        case 5: return old ^ by;
        case 6: return by;
        case 7: return old == by ? swap : old;
        default: return bits_of(canonical(float_of((u32)old) + float_of((u32)by)));
    }
}

// Warps update the same place between two barriers, but nobody else may go there.
static u8 *shared_place(struct warp *w, int lane, u64 at, u32 bytes) {
    struct block *b = w->block;
    shared_bounds(w, lane, at, bytes, true);
    for (u32 k = 0; k < bytes; k++) {
        if (b->writers[at + k] == (INITIALIZED | ATOMIC)) continue;
        if (!(b->writers[at + k] & INITIALIZED)) fail(w, LAUNCH_FAILED, lane, "updates byte %llu of shared memory that nobody has written", (unsigned long long)(at + k));
        shared_write_byte(w, lane, (u32)at + k);
        b->writers[at + k] = INITIALIZED | ATOMIC;
    }
    b->dirty[at / CHUNK] = 1;
    return b->shared + at;
}

void atomic(struct warp *w, const struct instruction *i, u32 lanes) {
    for (u32 left = lanes; left; left &= left - 1) {
        const u32 l = (u32)__builtin_ctz(left);
        u64 at = address_of(w, i, 0, l), old, made;
        const u8 space = i->space == GENERIC ? resolve(&at) : i->space;
        if (at % i->size) fail(w, MISALIGNED, (int)l, "updates %u bytes at %#llx, which is not aligned to them", i->size, (unsigned long long)at);
        if (space == LOCAL) fail(w, ILLEGAL_ADDRESS, (int)l, "updates its own memory");
        if (space == GLOBAL) global_read(w, (int)l, at, i->size);
        u8 *place = space == GLOBAL ? global_write(w, (int)l, at, i->size) : shared_place(w, (int)l, at, i->size);
        const u64 by = i->size == 8 ? lanes8(w, i->from[1])[l] : lanes4(w, i->from[1])[l];
        const u64 swap = i->mode != 7 ? 0 : i->size == 8 ? lanes8(w, i->from[2])[l] : lanes4(w, i->from[2])[l];
        if (i->size == 8) {
            u64 *p = (u64 *)place;
            old = __atomic_load_n(p, __ATOMIC_RELAXED);
            do made = updated(i, old, by, swap);
            while (!__atomic_compare_exchange_n(p, &old, made, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
            if (i->targets) lanes8(w, i->to[0])[l] = old;
        } else {
            u32 *p = (u32 *)place, was = __atomic_load_n(p, __ATOMIC_RELAXED);
            do made = updated(i, was, by, swap);
            while (!__atomic_compare_exchange_n(p, &was, (u32)made, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
            if (i->targets) lanes4(w, i->to[0])[l] = was;
        }
    }
}
