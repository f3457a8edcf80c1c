// What the driver's calls share: contexts, streams, and work that waits in them.
//
// Work is done when it must be: when somebody waits for it. Who reads a result too early, or writes into memory that is still to be copied, sees it.
#pragma once
#include "machine.h"

#define API __attribute__((visibility("default")))

enum { CARDS = 3, PROBLEM = 1024 };
// A card and its one context. The second is too old for the kernels, the third has a mebibyte.
struct card {
    const char *name;
    int major, minor;
    size_t total, used;
    int users;
    int failure;  // of a kernel; all further calls give it
    char text[PROBLEM];
};
extern struct card cards[CARDS];

struct function { struct entry *entry; u32 mostDynamic; struct function *next; };
struct loaded { struct module *module; struct function *functions; };

struct stream;
// Of an event that is destroyed, what still waits for it keeps it.
struct event { struct stream *stream; u64 recorded, done; bool isTimed, isDestroyed; u32 users; double seconds; };
struct work {
    enum { COPY_IN, COPY_OUT, COPY, COPY_ROWS, FILL, LAUNCH, RECORD, WAIT, RECORDING } kind;
    u64 to, from;
    void *host;
    u8 *staged;  // a copy of host memory that is not pinned
    size_t bytes, rows, toPitch, fromPitch;
    u8 value;
    struct launch launch;
    struct event *event;
    u64 number;
    struct recording *recording;
};
struct recording { struct work *work; u32 count, room; };
struct stream { struct card *card; struct recording queue; u32 next; struct recording *captured; bool isBroken; struct stream *others; };

// Under one lock: the calling thread's card, with a failure of it that is known already.
extern _Thread_local struct card *current;
extern _Thread_local u32 capturing;
void enter(void), leave(void);
int ready(void);

bool is_stream(const struct stream *);
// Queues work, which is the stream's from then on; or records it.
int submit(struct stream *, struct work);
// Does a stream's work, or that before an event.
int finish(struct stream *);
int finish_event(struct event *);
int finish_all(void);
bool is_pinned(const void *, size_t bytes);
// Frees what work or a recording has.
void release(struct work *);
void drop(struct recording *);
