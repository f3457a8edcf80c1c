// Runs the blocks of a kernel on the threads of the host, and the warps of a block in turn from barrier to barrier.
//
// Lanes of a warp that part are groups, each at its own instruction. The group that is furthest behind goes first, so that they meet again where the
// branches do. What all lanes must do together waits for them.
#include "machine.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Instructions of the warps of a block: far beyond what any kernel does, a few minutes here.
u64 most_steps = UINT64_C(1) << 33;

_Noreturn void fail(struct warp *w, int code, int lane, const char *format, ...) {
    struct block *b = w->block;
    struct launch *launch = b->launch;
    char what[256], line[200], thread[40] = "";
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    module_line(launch->entry->text, w->at->line, line, sizeof line);
    if (lane >= 0) snprintf(thread, sizeof thread, ", thread %u", w->index * LANES + (u32)lane);
    pthread_mutex_lock(&launch->mutex);
    // Blocks are begun in order and ended by themselves, so that this is the same one each time.
    if (!launch->code || b->number < launch->failed) {
        launch->failed = b->number;
        launch->code = code;
        snprintf(launch->report, launch->reportBytes, "%s in block (%u, %u, %u)%s %s, in line %u: %s", launch->entry->name, b->index[0], b->index[1], b->index[2], thread, what, w->at->line, line);
    }
    pthread_mutex_unlock(&launch->mutex);
    longjmp(b->failed, 1);
}

static inline u32 bits_of_lanes(const u32 *p) {
    u32 bits = 0;
    for (u32 l = 0; l < LANES; l++) bits |= (p[l] & 1) << l;
    return bits;
}

// Puts the group that runs behind, and the one furthest behind of those that do not wait in front; joins groups at one place. False where all wait.
static bool regroup(struct warp *w) {
    for (u32 a = 0; a < w->groupCount; a++)
        for (u32 b = a + 1; b < w->groupCount;) {
            if (w->groups[a].pc != w->groups[b].pc) { b++; continue; }
            w->groups[a].lanes |= w->groups[b].lanes;
            // Who has just come tries again what the others wait for.
            w->groups[a].waits = false;
            w->groups[b] = w->groups[--w->groupCount];
        }
    u32 first = LANES;
    for (u32 k = 0; k < w->groupCount; k++)
        if (!w->groups[k].waits && (first == LANES || w->groups[k].pc < w->groups[first].pc)) first = k;
    if (first == LANES) return false;
    const struct group chosen = w->groups[first];
    w->groups[first] = w->groups[0], w->groups[0] = chosen;
    return true;
}

// Where the running group lets others go first: they are there, or behind it. Those that wait are met where they wait.
static u32 horizon(const struct warp *w) {
    u32 pc = ~0u;
    for (u32 k = 1; k < w->groupCount; k++)
        if (!w->groups[k].waits && w->groups[k].pc < pc) pc = w->groups[k].pc;
    return pc;
}

// Runs a warp to its next barrier or its end.
static void run_warp(struct warp *w) {
    struct block *b = w->block;
    const struct instruction *code = b->launch->entry->code;
    char *registers = w->registers;
    _Alignas(64) u64 computed[LANES];
    for (;;) {
        if (!w->groupCount) { w->isDone = true; return; }
        if (!regroup(w)) {
            w->at = &code[w->groups[0].pc];
            fail(w, LAUNCH_FAILED, (int)__builtin_ctz(w->groups[0].lanes), "waits for lanes of its warp that wait elsewhere or have ended");
        }
        u32 pc = w->groups[0].pc;
        const u32 lanes = w->groups[0].lanes, stop = horizon(w);
        for (bool goesOn = true; goesOn;) {
            const struct instruction *i = &code[pc];
            w->at = i;
            u32 active = lanes;
            if (i->guard) {
                const u32 bits = bits_of_lanes((const u32 *)(registers + i->guard));
                active &= i->negated ? ~bits : bits;
            }
            switch (i->kind) {
                case COMPUTE4:
                    if (active == ~0u) i->compute(registers, i, registers + i->to[0]);
                    else if (active) {
                        i->compute(registers, i, computed);
                        u32 *to = (u32 *)(registers + i->to[0]);
                        for (u32 l = 0; l < LANES; l++) to[l] = active >> l & 1 ? ((u32 *)computed)[l] : to[l];
                    }
                    pc++;
                    break;
                case COMPUTE8:
                    if (active == ~0u) i->compute(registers, i, registers + i->to[0]);
                    else if (active) {
                        i->compute(registers, i, computed);
                        u64 *to = (u64 *)(registers + i->to[0]);
                        for (u32 l = 0; l < LANES; l++) to[l] = active >> l & 1 ? computed[l] : to[l];
                    }
                    pc++;
                    break;
                case ACT:
                    if (active) i->act(w, i, active);
                    pc++;
                    break;
                case ACT_TOGETHER: {
                    if (!active) { pc++; break; }
                    const u32 members = i->members ? lanes4(w, i->from[i->members - 1])[__builtin_ctz(active)] : ~0u;
                    if (active == members) { i->act(w, i, active), pc++; break; }
                    if ((active & members) != active || active != lanes) fail(w, LAUNCH_FAILED, (int)__builtin_ctz(active), "is done by lanes %#x, and said to be by %#x", active, members);
                    w->groups[0].pc = pc, w->groups[0].waits = true, goesOn = false;
                    break;
                }
                case BRANCH:
                    if (active == lanes) {
                        b->steps += pc >= (u32)i->immediate ? 1 + pc - (u32)i->immediate : 0;
                        if (b->steps > most_steps) fail(w, TIMEOUT, -1, "does not end");
                        pc = (u32)i->immediate;
                    } else if (active) {
                        w->groups[w->groupCount++] = (struct group){(u32)i->immediate, active, false};
                        w->groups[0].pc = pc + 1, w->groups[0].lanes = lanes & ~active, goesOn = false;
                        continue;
                    } else pc++;
                    break;
                case RETURN:
                    w->live &= ~active;
                    w->groups[0].lanes &= ~active;
                    if (active == lanes) w->groups[0] = w->groups[--w->groupCount];
                    else w->groups[0].pc = pc + 1;
                    goesOn = false;
                    continue;
                case BARRIER:
                    if (active != lanes) fail(w, LAUNCH_FAILED, (int)__builtin_ctz(lanes), "is done by lanes %#x of its warp alone", active);
                    if (w->live != w->started) fail(w, LAUNCH_FAILED, (int)__builtin_ctz(w->started & ~w->live), "has ended before a barrier of its block");
                    if (lanes == w->live) { w->groups[0].pc = pc + 1; return; }
                    w->groups[0].pc = pc, w->groups[0].waits = true, goesOn = false;
                    continue;
            }
            if (goesOn && pc >= stop) w->groups[0].pc = pc, goesOn = false;
        }
    }
}

static void start_warp(struct warp *w) {
    const struct launch *launch = w->block->launch;
    const struct entry *e = launch->entry;
    const u32 threads = launch->block[0] * launch->block[1] * launch->block[2], first = w->index * LANES;
    w->live = threads - first >= LANES ? ~0u : (1u << (threads - first)) - 1;
    w->started = w->live, w->isDone = false, w->pendingCount = 0, w->groupCount = 1;
    w->groups[0] = (struct group){0, w->live, false};
    memset(w->committed, 0, sizeof w->committed);
    if (e->localBytes) memset(w->localState, 0, (size_t)e->localBytes * LANES);
    for (u32 k = 0; k < e->specialCount; k++) {
        u32 *to = lanes4(w, e->specials[k].offset);
        const u32 *block = launch->block;
        for (u32 l = 0; l < LANES; l++) {
            const u32 thread = first + l, which = e->specials[k].which, axis = which % 3;
            const u32 tid[] = {thread % block[0], thread / block[0] % block[1], thread / block[0] / block[1]};
            to[l] = which == LANEID ? l : which == WARPID ? w->index : which <= TID_Z ? tid[axis] : which <= NTID_Z ? block[axis] : which <= CTAID_Z ? w->block->index[axis] : launch->grid[axis];
        }
    }
}

// Forgets who wrote and read between the last two barriers.
static void settle(struct block *b) {
    const u32 size = b->launch->sharedBytes;
    for (u32 chunk = 0; chunk * CHUNK < size; chunk++) {
        if (!b->dirty[chunk]) continue;
        b->dirty[chunk] = 0;
        u8 *writers = b->writers + chunk * CHUNK;
        for (u32 k = 0; k < CHUNK; k++) writers[k] &= writers[k] & COMING ? 0xff : INITIALIZED;
        memset(b->readers + chunk * CHUNK, 0, CHUNK);
    }
}

static void run_block(struct block *b) {
    const struct launch *launch = b->launch;
    const u32 room = (launch->sharedBytes + CHUNK) / CHUNK * CHUNK;
    if (launch->sharedBytes) memset(b->writers, 0, room), memset(b->readers, 0, room), memset(b->dirty, 0, room / CHUNK);
    b->steps = 0;
    for (u32 k = 0; k < b->warpCount; k++) start_warp(&b->warps[k]);
    if (setjmp(b->failed)) return;
    for (u32 done = 0; done < b->warpCount;) {
        done = 0;
        for (u32 k = 0; k < b->warpCount; k++) {
            if (!b->warps[k].isDone) run_warp(&b->warps[k]);
            done += b->warps[k].isDone;
        }
        if (done && done < b->warpCount)
            for (u32 k = 0; k < b->warpCount; k++)
                if (!b->warps[k].isDone) fail(&b->warps[k], LAUNCH_FAILED, -1, "waits at a barrier for %u warps that have ended", done);
        if (launch->sharedBytes) settle(b);
    }
}

static void *zeroed(size_t bytes) {
    void *p = NULL;
    if (posix_memalign(&p, 64, bytes ? bytes : 64)) abort();
    memset(p, 0, bytes);
    return p;
}

static void *work(void *argument) {
    struct launch *launch = argument;
    const struct entry *e = launch->entry;
    const u32 threads = launch->block[0] * launch->block[1] * launch->block[2], room = (launch->sharedBytes + CHUNK) / CHUNK * CHUNK;
    struct block *b = zeroed(sizeof *b);
    b->launch = launch, b->warpCount = (threads + LANES - 1) / LANES;
    b->shared = zeroed(room), b->writers = zeroed(room), b->readers = zeroed(room), b->dirty = zeroed(room / CHUNK);
    for (u32 k = 0; k < b->warpCount; k++) {
        struct warp *w = &b->warps[k];
        w->block = b, w->index = k, w->registers = zeroed(e->registerBytes);
        w->local = zeroed((size_t)e->localBytes * LANES), w->localState = zeroed((size_t)e->localBytes * LANES);
        for (u32 c = 0; c < e->constantCount; c++)
            for (u32 l = 0; l < LANES; l++)
                if (e->constants[c].wide) lanes8(w, e->constants[c].offset)[l] = e->constants[c].bits;
                else lanes4(w, e->constants[c].offset)[l] = (u32)e->constants[c].bits;
    }
    for (u32 at; (at = __atomic_fetch_add(&launch->next, 1, __ATOMIC_RELAXED)) < launch->blocks && !__atomic_load_n(&launch->code, __ATOMIC_RELAXED);) {
        b->number = at;
        b->index[0] = at % launch->grid[0], b->index[1] = at / launch->grid[0] % launch->grid[1], b->index[2] = at / launch->grid[0] / launch->grid[1];
        run_block(b);
    }
    for (u32 k = 0; k < b->warpCount; k++) free(b->warps[k].registers), free(b->warps[k].local), free(b->warps[k].localState), free(b->warps[k].pending);
    free(b->shared), free(b->writers), free(b->readers), free(b->dirty), free(b);
    return NULL;
}

int launch_run(struct launch *launch) {
    pthread_t threads[64];
    launch->next = 0, launch->code = 0, launch->blocks = launch->grid[0] * launch->grid[1] * launch->grid[2];
    pthread_mutex_init(&launch->mutex, NULL);
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    u32 wanted = cores < 1 ? 1 : cores > 64 ? 64 : (u32)cores, made = 0;
    if (wanted > launch->blocks) wanted = launch->blocks;
    while (made + 1 < wanted && pthread_create(&threads[made], NULL, work, launch) == 0) made++;
    work(launch);
    for (u32 k = 0; k < made; k++) pthread_join(threads[k], NULL);
    pthread_mutex_destroy(&launch->mutex);
    return launch->code;
}
