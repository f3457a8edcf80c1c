// The device's memory: one span of addresses, of which pages come when they are touched. What is given back is not given out again soon.
#define _GNU_SOURCE
#include "machine.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 256 };
struct place { u64 at, bytes; };

struct device_memory device_memory;
static struct place *places;  // in use, in order
static u32 count, room;
static u64 next = ALIGNMENT;

bool memory_start(void) {
    if (device_memory.data) return true;
    void *data = mmap(NULL, DEVICE_SPAN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    void *state = mmap(NULL, DEVICE_SPAN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED || state == MAP_FAILED) return false;
    device_memory = (struct device_memory){data, state};
    return true;
}

// The first gap of so many bytes at or behind an offset, with room before the next allocation; 0 where there is none.
static u64 gap(u64 from, u64 bytes, u32 *index) {
    u64 at = from;
    u32 k = 0;
    for (; k < count; k++) {
        if (places[k].at + places[k].bytes <= at) continue;
        if (places[k].at >= at + bytes + ALIGNMENT) break;
        at = (places[k].at + places[k].bytes + 2 * ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    *index = k;
    return at + bytes + ALIGNMENT <= DEVICE_SPAN ? at : 0;
}

u64 memory_allocate(size_t bytes) {
    u32 index;
    if (!memory_start() || !bytes || bytes > DEVICE_SPAN / 2) return 0;
    u64 at = gap(next, bytes, &index);
    if (!at) at = gap(ALIGNMENT, bytes, &index);
    if (!at) return 0;
    if (count == room) {
        places = realloc(places, (room = room ? 2 * room : 64) * sizeof *places);
        if (!places) abort();
    }
    memmove(places + index + 1, places + index, (count - index) * sizeof *places);
    places[index] = (struct place){at, bytes}, count++;
    // Whoever reads it all the same gets no zeros.
    memset(device_memory.data + at, 0xa5, bytes);
    memset(device_memory.state + at, FRESH, bytes);
    next = (at + bytes + 2 * ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return DEVICE_BASE + at;
}

// Gives the whole pages back, and empties what is left of them.
static void forget(u8 *start, u64 bytes) {
    const u64 page = 4096, at = (u64)start, first = (at + page - 1) / page * page, end = (at + bytes) / page * page;
    if (bytes < page) { memset(start, 0, bytes); return; }
    memset(start, 0, first - at);
    if (first < end) madvise((void *)first, end - first, MADV_DONTNEED);
    memset((void *)end, 0, at + bytes - end);
}

size_t memory_release(u64 address) {
    for (u32 k = 0; k < count; k++) {
        if (places[k].at + DEVICE_BASE != address) continue;
        const u64 bytes = places[k].bytes;
        forget(device_memory.data + places[k].at, bytes);
        forget(device_memory.state + places[k].at, bytes);
        memmove(places + k, places + k + 1, (--count - k) * sizeof *places);
        return bytes;
    }
    return 0;
}

bool memory_holds(u64 address, size_t bytes) {
    for (u32 k = 0; k < count; k++)
        if (address >= places[k].at + DEVICE_BASE && address + bytes <= places[k].at + places[k].bytes + DEVICE_BASE) return true;
    return false;
}
