// Stops the process at a system call that a test names, so that the test can act while nothing moves. Loaded with LD_PRELOAD.
//
// STOP_AT="FUNCTION NTH PART": FUNCTION is pread, pwrite, fsync, linkat or rename; the NTH call whose file has PART in its path stops before it does
// anything. STOP_AT with a fourth word: the thread that was stopped never goes on, whatever the others do.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static void pass(const char *function, const char *path) {
    static atomic_int calls;
    char wanted[16] = "", part[256] = "", hold[8] = "";
    int nth = 0;
    const char *order = getenv("STOP_AT");
    if (!order || sscanf(order, "%15s %d %255s %7s", wanted, &nth, part, hold) < 3) return;
    if (strcmp(function, wanted) || !strstr(path, part) || ++calls != nth) return;
    raise(SIGSTOP);
    while (*hold) pause();
}

static void pass_descriptor(const char *function, int descriptor) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t count = readlink(link, path, sizeof path - 1);
    path[count < 0 ? 0 : count] = 0;
    pass(function, path);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pread(int descriptor, void *bytes, size_t count, off_t offset) {
    pass_descriptor("pread", descriptor);
    return NEXT(pread)(descriptor, bytes, count, offset);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) {
    pass_descriptor("pwrite", descriptor);
    return NEXT(pwrite)(descriptor, bytes, count, offset);
}

int fsync(int descriptor) {
    pass_descriptor("fsync", descriptor);
    return NEXT(fsync)(descriptor);
}

int linkat(int from, const char *old, int to, const char *new, int flags) {
    pass("linkat", new);
    return NEXT(linkat)(from, old, to, new, flags);
}

int rename(const char *old, const char *new) {
    pass("rename", new);
    return NEXT(rename)(old, new);
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    pass("rename", new);
    return NEXT(renameat2)(from, old, to, new, flags);
}
