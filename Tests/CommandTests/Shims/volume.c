// Stands between the program and the file system: a volume that lacks what others have, and a kill at a chosen moment.
//   SHIM_NO_TMPFILE=1     no nameless files
//   SHIM_NO_LINK=errno    no hard links
//   SHIM_NO_RENAME2=errno no flags of renameat2
//   SHIM_KILL_AT=n        SIGKILL before the n-th call that names, renames or removes something
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int setting(const char *name) {
    const char *value = getenv(name);
    return value ? atoi(value) : 0;
}

static void step(void) {
    static atomic_int count;
    int at = setting("SHIM_KILL_AT");
    if (at && atomic_fetch_add(&count, 1) + 1 == at) raise(SIGKILL);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int refused(const char *setting_name) {
    errno = setting(setting_name);
    return errno ? -1 : 0;
}

int linkat(int from, const char *source, int to, const char *target, int flags) {
    step();
    if (refused("SHIM_NO_LINK")) return -1;
    return REAL(linkat)(from, source, to, target, flags);
}

int renameat2(int from, const char *source, int to, const char *target, unsigned flags) {
    step();
    if (flags && refused("SHIM_NO_RENAME2")) return -1;
    return REAL(renameat2)(from, source, to, target, flags);
}

int rename(const char *source, const char *target) {
    step();
    return REAL(rename)(source, target);
}

int unlink(const char *path) {
    step();
    return REAL(unlink)(path);
}

int rmdir(const char *path) {
    step();
    return REAL(rmdir)(path);
}

int mkdir(const char *path, mode_t mode) {
    step();
    return REAL(mkdir)(path, mode);
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list arguments; \
        va_start(arguments, flags); \
        unsigned mode = va_arg(arguments, unsigned); \
        va_end(arguments); \
        if ((flags & O_TMPFILE) == O_TMPFILE && setting("SHIM_NO_TMPFILE")) { \
            errno = EOPNOTSUPP; \
            return -1; \
        } \
        if (flags & O_CREAT) step(); \
        return ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name))(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
