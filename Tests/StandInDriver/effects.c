// What reads and writes memory, and what lanes of a warp exchange.
#include "access.h"

void load(struct warp *w, const struct instruction *i, u32 lanes) {
    _Alignas(16) u8 staged[LANES][16];
    const u32 total = i->size * i->count;
    gather(w, i, lanes, total, staged);
    unpack(w, i, lanes, staged);
}

void load_parameter(struct warp *w, const struct instruction *i, u32 lanes) {
    _Alignas(16) u8 staged[LANES][16];
    const u32 total = i->size * i->count;
    for (u32 left = lanes; left; left &= left - 1) {
        const u32 l = (u32)__builtin_ctz(left);
        const u64 at = address_of(w, i, 0, l);
        if (at + total > w->block->launch->entry->parameterBytes) fail(w, ILLEGAL_ADDRESS, (int)l, "reads %u bytes at %llu of the parameters, beyond their end", total, (unsigned long long)at);
        memcpy(staged[l], w->block->launch->parameters + at, total);
    }
    unpack(w, i, lanes, staged);
}

void store(struct warp *w, const struct instruction *i, u32 lanes) {
    _Alignas(16) u8 staged[LANES][16];
    for (u32 k = 0; k < i->count; k++) {
        const u32 *v4 = lanes4(w, i->from[1 + k]);
        const u64 *v8 = lanes8(w, i->from[1 + k]);
        switch (i->size) {
            case 1: for (u32 l = 0; l < LANES; l++) staged[l][k] = (u8)(i->mode ? v8[l] : v4[l]); break;
            case 2: for (u32 l = 0; l < LANES; l++) ((u16 *)staged[l])[k] = (u16)(i->mode ? v8[l] : v4[l]); break;
            case 4: for (u32 l = 0; l < LANES; l++) ((u32 *)staged[l])[k] = i->mode ? (u32)v8[l] : v4[l]; break;
            default: for (u32 l = 0; l < LANES; l++) ((u64 *)staged[l])[k] = v8[l];
        }
    }
    scatter(w, i, lanes, i->size * i->count, staged);
}

// ---- copies from global to shared memory, which arrive when they are waited for ----

void copy_async(struct warp *w, const struct instruction *i, u32 lanes) {
    struct block *b = w->block;
    for (u32 left = lanes; left; left &= left - 1) {
        const u32 l = (u32)__builtin_ctz(left), size = i->size;
        u64 to = i->wide & 1 ? lanes8(w, i->from[0])[l] : lanes4(w, i->from[0])[l];
        u64 from = lanes8(w, i->from[1])[l] + (u64)i->immediate;
        const u32 used = lanes4(w, i->from[2])[l];
        if (used > size) fail(w, LAUNCH_FAILED, (int)l, "copies %u of %u bytes", used, size);
        if (from % size || to % size) fail(w, MISALIGNED, (int)l, "copies %u bytes from %#llx to %#llx of shared memory, which are not aligned to them", size, (unsigned long long)from, (unsigned long long)to);
        if (w->pendingCount == w->pendingRoom) {
            w->pendingRoom = w->pendingRoom ? 2 * w->pendingRoom : 256;
            w->pending = realloc(w->pending, w->pendingRoom * sizeof *w->pending);
            if (!w->pending) abort();
        }
        struct pending *p = &w->pending[w->pendingCount++];
        *p = (struct pending){.to = (u32)to, .group = w->committed[l], .lane = (u8)l, .bytes = (u8)size};
        if (used) memcpy(p->data, global_read(w, (int)l, from, used), used);
        shared_write(w, (int)l, to, size);
        memset(b->writers + to, (int)(INITIALIZED | COMING | (w->index + 1)), size);
    }
}

void copy_commit(struct warp *w, const struct instruction *i, u32 lanes) {
    (void)i;
    for (u32 left = lanes; left; left &= left - 1) w->committed[__builtin_ctz(left)]++;
}

// Of all groups of a thread but the last so many; -1 also waits for what is in no group yet.
void copy_wait(struct warp *w, const struct instruction *i, u32 lanes) {
    struct block *b = w->block;
    u32 kept = 0;
    for (u32 k = 0; k < w->pendingCount; k++) {
        const struct pending *p = &w->pending[k];
        if (!(lanes >> p->lane & 1) || (s64)p->group >= (s64)w->committed[p->lane] - i->immediate) {
            w->pending[kept++] = *p;
            continue;
        }
        memcpy(b->shared + p->to, p->data, p->bytes);
        memset(b->writers + p->to, (int)(INITIALIZED | (w->index + 1)), p->bytes);
        b->dirty[p->to / CHUNK] = 1;
    }
    w->pendingCount = kept;
}

// ---- exchange between lanes ----

// Lane 8j + g has the address of row g of matrix j; of that row lane 4g + t gets 4 bytes, or, turned, two elements of column g.
void load_matrices(struct warp *w, const struct instruction *i, u32 lanes) {
    (void)lanes;
    u8 rows[LANES][16];
    for (u32 l = 0; l < 8u * i->count; l++) {
        u64 at = address_of(w, i, 0, l);
        if (at % 16) fail(w, MISALIGNED, (int)l, "reads a row of 16 bytes at %#llx of shared memory, which is not aligned to them", (unsigned long long)at);
        memcpy(rows[l], shared_read(w, (int)l, at, 16), 16);
    }
    for (u32 j = 0; j < i->count; j++) {
        u32 *to = lanes4(w, i->to[j]);
        if (!i->mode) memcpy(to, rows[8 * j], 128);
        else
            for (u32 l = 0; l < LANES; l++) {
                u16 low, high;
                memcpy(&low, rows[8 * j + 2 * (l & 3)] + 2 * (l >> 2), 2), memcpy(&high, rows[8 * j + 2 * (l & 3) + 1] + 2 * (l >> 2), 2);
                to[l] = low | (u32)high << 16;
            }
    }
}

void shuffle(struct warp *w, const struct instruction *i, u32 lanes) {
    const u32 *a = lanes4(w, i->from[0]), *b = lanes4(w, i->from[1]), *c = lanes4(w, i->from[2]);
    u32 result[LANES], valid[LANES];
    for (u32 left = lanes; left; left &= left - 1) {
        const u32 l = (u32)__builtin_ctz(left), segment = c[l] >> 8 & 31, clamp = c[l] & 31, by = b[l] & 31;
        const s32 most = (s32)((l & segment) | (clamp & ~segment)), least = (s32)(l & segment);
        s32 j;
        bool inside;
        switch (i->mode) {
            case 0: j = (s32)l - (s32)by, inside = j >= most; break;
            case 1: j = (s32)(l + by), inside = j <= most; break;
            case 2: j = (s32)(l ^ by), inside = j <= most; break;
            default: j = least | (s32)(by & ~segment), inside = j <= most;
        }
        if (!inside) j = (s32)l;
        if (!(lanes >> j & 1)) fail(w, LAUNCH_FAILED, (int)l, "takes the value of lane %d, which takes no part", j);
        result[l] = a[j], valid[l] = inside ? ~0u : 0;
    }
    u32 *to = lanes4(w, i->to[0]), *p = i->targets == 2 ? lanes4(w, i->to[1]) : NULL;
    for (u32 left = lanes; left; left &= left - 1) {
        const u32 l = (u32)__builtin_ctz(left);
        to[l] = result[l];
        if (p) p[l] = valid[l];
    }
}

void vote(struct warp *w, const struct instruction *i, u32 lanes) {
    const u32 *p = lanes4(w, i->from[0]);
    u32 set = 0;
    for (u32 left = lanes; left; left &= left - 1) {
        const u32 l = (u32)__builtin_ctz(left);
        if ((p[l] != 0) != i->isSigned) set |= 1u << l;
    }
    const u32 results[] = {set == lanes ? ~0u : 0, set ? ~0u : 0, set == lanes || !set ? ~0u : 0, set};
    u32 *to = lanes4(w, i->to[0]);
    for (u32 left = lanes; left; left &= left - 1) to[__builtin_ctz(left)] = results[i->mode - 4];
}

void active_lanes(struct warp *w, const struct instruction *i, u32 lanes) {
    u32 *to = lanes4(w, i->to[0]);
    for (u32 left = lanes; left; left &= left - 1) to[__builtin_ctz(left)] = lanes;
}

void nothing(struct warp *w, const struct instruction *i, u32 lanes) { (void)w, (void)i, (void)lanes; }
