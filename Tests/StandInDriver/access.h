// Accesses of a warp to memory: addresses, bounds, alignment, what was never written, and races between the barriers of a block.
#pragma once
#include "machine.h"
#include <stdlib.h>
#include <string.h>

static inline u64 address_of(struct warp *w, const struct instruction *i, u32 source, u32 l) {
    return (i->wide >> source & 1 ? lanes8(w, i->from[source])[l] : (u64)lanes4(w, i->from[source])[l]) + (u64)i->immediate;
}

// Space and address of a generic address.
u8 resolve(u64 *address);

// Addresses of readable, writable bytes; they end the block otherwise.
const u8 *global_read(struct warp *, int lane, u64 address, u32 bytes);
u8 *global_write(struct warp *, int lane, u64 address, u32 bytes);
void shared_bounds(struct warp *, int lane, u64 address, u32 bytes, bool isWrite);
const u8 *shared_read(struct warp *, int lane, u64 address, u32 bytes);
u8 *shared_write(struct warp *, int lane, u64 address, u32 bytes);
// Notes a write of a byte that lies within.
void shared_write_byte(struct warp *, int lane, u32 at);
const u8 *local_read(struct warp *, int lane, u64 address, u32 bytes);
u8 *local_write(struct warp *, int lane, u64 address, u32 bytes);

// `total` bytes of each lane into its place, or out of it.
void gather(struct warp *, const struct instruction *, u32 lanes, u32 total, u8 (*staged)[16]);
void scatter(struct warp *, const struct instruction *, u32 lanes, u32 total, const u8 (*staged)[16]);
// Elements out of the places into registers, extended to their width.
void unpack(struct warp *, const struct instruction *, u32 lanes, const u8 (*staged)[16]);
