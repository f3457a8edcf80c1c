#include "driver.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { EVENT_WITHOUT_TIME = 2 };

static struct stream *streams;

bool is_stream(const struct stream *wanted) {
    for (struct stream *s = streams; s; s = s->others)
        if (s == wanted) return true;
    return false;
}

void release(struct work *w) {
    free(w->staged);
    if (w->kind == LAUNCH) free((void *)w->launch.parameters);
    if ((w->kind == RECORD || w->kind == WAIT) && --w->event->users == 0 && w->event->isDestroyed) free(w->event);
}

void drop(struct recording *r) {
    for (u32 k = 0; k < r->count; k++) release(&r->work[k]);
    free(r->work);
    *r = (struct recording){0};
}

static void append(struct recording *r, struct work w) {
    if (r->count == r->room) {
        r->work = realloc(r->work, (r->room = r->room ? 2 * r->room : 16) * sizeof *r->work);
        if (!r->work) abort();
    }
    r->work[r->count++] = w;
}

int submit(struct stream *s, struct work w) {
    if (w.kind == RECORD || w.kind == WAIT) w.event->users++;
    if (s->captured && (w.kind == WAIT || w.kind == RECORD || w.kind == RECORDING || w.staged)) {
        s->isBroken = true;
        release(&w);
        return STREAM_CAPTURE_UNSUPPORTED;
    }
    append(s->captured ? s->captured : &s->queue, w);
    return 0;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int do_work(struct card *card, struct work *w) {
    u8 *data = device_memory.data, *state = device_memory.state;
    const u64 to = w->to - DEVICE_BASE, from = w->from - DEVICE_BASE;
    switch (w->kind) {
        case COPY_IN:
            memcpy(data + to, w->staged ? w->staged : w->host, w->bytes), memset(state + to, WRITTEN, w->bytes);
            return 0;
        case COPY_ROWS:
            for (size_t row = 0; row < w->rows; row++) {
                const u64 at = to + row * w->toPitch;
                if (w->from) {
                    memmove(data + at, data + from + row * w->fromPitch, w->bytes), memmove(state + at, state + from + row * w->fromPitch, w->bytes);
                } else {
                    memcpy(data + at, (w->staged ? w->staged : (u8 *)w->host) + row * w->fromPitch, w->bytes), memset(state + at, WRITTEN, w->bytes);
                }
            }
            return 0;
        case COPY_OUT: memcpy(w->host, data + from, w->bytes); return 0;
        case COPY: memmove(data + to, data + from, w->bytes), memmove(state + to, state + from, w->bytes); return 0;
        case FILL: memset(data + to, w->value, w->bytes), memset(state + to, WRITTEN, w->bytes); return 0;
        case LAUNCH: {
            struct launch launch = w->launch;
            launch.report = card->text, launch.reportBytes = sizeof card->text;
            return card->failure = launch_run(&launch);
        }
        case RECORD: w->event->done = w->number, w->event->seconds = now(); return 0;
        case WAIT: {
            while (w->event->done < w->number && w->event->stream->next < w->event->stream->queue.count) {
                const int code = finish_event(w->event);
                if (code) return code;
            }
            return 0;
        }
        case RECORDING:
            for (u32 k = 0; k < w->recording->count; k++) {
                const int code = do_work(card, &w->recording->work[k]);
                if (code) return code;
            }
            return 0;
    }
    return 0;
}

static int advance(struct stream *s) {
    struct work w = s->queue.work[s->next++];
    const int code = s->card->failure ? s->card->failure : do_work(s->card, &w);
    release(&w);
    if (s->next == s->queue.count) s->next = s->queue.count = 0;
    return code;
}

int finish(struct stream *s) {
    int code = s->card->failure;
    while (s->next < s->queue.count) {
        const int now = advance(s);
        code = code ? code : now;
    }
    return code;
}

int finish_event(struct event *e) {
    const u64 number = e->recorded;
    while (e->done < number && e->stream->next < e->stream->queue.count) {
        const int code = advance(e->stream);
        if (code) return code;
    }
    return 0;
}

int finish_all(void) {
    int code = 0;
    for (struct stream *s = streams; s; s = s->others) {
        const int now = s->captured ? 0 : finish(s);
        code = code ? code : now;
    }
    return code;
}

// ---- calls ----

API int cuStreamCreate(struct stream **stream, unsigned flags) {
    (void)flags;
    enter();
    const int code = ready();
    if (!code) {
        *stream = calloc(1, sizeof **stream);
        (*stream)->card = current, (*stream)->others = streams, streams = *stream;
    }
    leave();
    return code;
}

API int cuStreamDestroy_v2(struct stream *s) {
    enter();
    int code = is_stream(s) ? 0 : INVALID_HANDLE;
    if (!code) {
        code = finish(s);
        struct stream **place = &streams;
        while (*place != s) place = &(*place)->others;
        *place = s->others;
        if (s->captured) drop(s->captured), free(s->captured), capturing--;
        free(s->queue.work), free(s);
    }
    leave();
    return code;
}

API int cuStreamSynchronize(struct stream *s) {
    enter();
    int code = ready();
    if (!code && !is_stream(s)) code = INVALID_HANDLE;
    if (!code && s->captured) s->isBroken = true, code = STREAM_CAPTURE_UNSUPPORTED;
    if (!code) code = finish(s);
    leave();
    return code;
}

API int cuEventCreate(struct event **event, unsigned flags) {
    enter();
    const int code = ready();
    if (!code) *event = calloc(1, sizeof **event), (*event)->isTimed = !(flags & EVENT_WITHOUT_TIME);
    leave();
    return code;
}

API int cuEventDestroy_v2(struct event *e) {
    enter();
    if (e->users) e->isDestroyed = true;
    else free(e);
    leave();
    return 0;
}

API int cuEventRecord(struct event *e, struct stream *s) {
    enter();
    int code = ready();
    if (!code && !is_stream(s)) code = INVALID_HANDLE;
    if (!code) code = submit(s, (struct work){.kind = RECORD, .event = e, .number = e->recorded + 1});
    if (!code) e->recorded++, e->stream = s;
    leave();
    return code;
}

API int cuEventSynchronize(struct event *e) {
    enter();
    int code = ready();
    if (!code && e->stream && !is_stream(e->stream)) code = 0;
    else if (!code && e->stream) code = finish_event(e);
    leave();
    return code;
}

API int cuEventElapsedTime(float *milliseconds, struct event *start, struct event *end) {
    enter();
    int code = ready();
    if (!code && (!start->isTimed || !end->isTimed || !start->recorded || !end->recorded)) code = INVALID_HANDLE;
    if (!code && (start->done < start->recorded || end->done < end->recorded)) code = NOT_READY;
    if (!code) *milliseconds = (float)((end->seconds - start->seconds) * 1e3);
    leave();
    return code;
}

API int cuStreamWaitEvent(struct stream *s, struct event *e, unsigned flags) {
    (void)flags;
    enter();
    int code = ready();
    if (!code && !is_stream(s)) code = INVALID_HANDLE;
    if (!code && e->recorded) code = submit(s, (struct work){.kind = WAIT, .event = e, .number = e->recorded});
    leave();
    return code;
}

API int cuStreamBeginCapture_v2(struct stream *s, int mode) {
    (void)mode;
    enter();
    int code = ready();
    if (!code && (!is_stream(s) || s->captured)) code = INVALID_HANDLE;
    if (!code) s->captured = calloc(1, sizeof *s->captured), s->isBroken = false, capturing++;
    leave();
    return code;
}

API int cuStreamEndCapture(struct stream *s, struct recording **graph) {
    enter();
    int code = ready();
    if (!code && (!is_stream(s) || !s->captured)) code = INVALID_HANDLE;
    if (is_stream(s) && s->captured) {
        if (code || s->isBroken) drop(s->captured), free(s->captured), code = code ? code : STREAM_CAPTURE_INVALID;
        else *graph = s->captured;
        s->captured = NULL, capturing--;
    }
    leave();
    return code;
}

API int cuGraphInstantiateWithFlags(struct recording **executable, struct recording *graph, unsigned long long flags) {
    (void)flags;
    enter();
    const int code = ready();
    if (!code) {
        *executable = calloc(1, sizeof **executable);
        for (u32 k = 0; k < graph->count; k++) {
            struct work w = graph->work[k];
            if (w.kind == LAUNCH) {
                u8 *copy = malloc(w.launch.entry->parameterBytes + 1);
                memcpy(copy, w.launch.parameters, w.launch.entry->parameterBytes);
                w.launch.parameters = copy;
            }
            append(*executable, w);
        }
    }
    leave();
    return code;
}

API int cuGraphDestroy(struct recording *graph) {
    enter();
    drop(graph), free(graph);
    leave();
    return 0;
}

API int cuGraphExecDestroy(struct recording *executable) {
    enter();
    const int code = finish_all();
    drop(executable), free(executable);
    leave();
    return code;
}

API int cuGraphLaunch(struct recording *executable, struct stream *s) {
    enter();
    int code = ready();
    if (!code && !is_stream(s)) code = INVALID_HANDLE;
    if (!code) code = submit(s, (struct work){.kind = RECORDING, .recording = executable});
    leave();
    return code;
}
