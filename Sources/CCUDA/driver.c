#include "CCUDA.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int cu_open(const char *library, cu_driver *driver, char *failure, size_t bytes) {
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        snprintf(failure, bytes, "%s", dlerror());
        return 1;
    }
    struct { void *slot; const char *symbol; } calls[] = {
#define CU_SLOT(name, symbol, parameters) {&driver->name, symbol},
        CU_CALLS(CU_SLOT)
#undef CU_SLOT
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        void *call = dlsym(handle, calls[i].symbol);
        memcpy(calls[i].slot, &call, sizeof call);
        if (call) continue;
        snprintf(failure, bytes, "%s", calls[i].symbol);
        return 2;
    }
    return 0;
}
