// The part of NVIDIA's driver that is called, found when it is asked for: builds need nothing of NVIDIA's, and a machine without a driver says so.
//
// Signatures and constants are those of the CUDA driver API, with its handles as void pointers. All calls give a CUresult, 0 for success.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Where something lies on the device.
typedef uint64_t cu_address;

// A copy of `height` rows of `width` bytes (CUDA_MEMCPY2D).
typedef struct cu_copy_2d {
    size_t fromX, fromY;
    unsigned fromType;
    const void *fromHost;
    cu_address fromDevice;
    void *fromArray;
    size_t fromPitch;
    size_t toX, toY;
    unsigned toType;
    void *toHost;
    cu_address toDevice;
    void *toArray;
    size_t toPitch;
    size_t width, height;
} cu_copy_2d;

enum { CU_HOST = 1, CU_DEVICE = 2 };
enum { CU_MULTIPROCESSORS = 16, CU_CACHE_BYTES = 38, CU_MAJOR = 75, CU_MINOR = 76, CU_SHARED_OPTIN = 97 };
enum { CU_FUNCTION_DYNAMIC_SHARED = 8 };
enum { CU_JIT_ERROR_LOG = 5, CU_JIT_ERROR_LOG_BYTES = 6 };
enum { CU_STREAM_NON_BLOCKING = 1, CU_EVENT_NO_TIMING = 2, CU_CAPTURE_THREAD_LOCAL = 1 };
enum { CU_OUT_OF_MEMORY = 2, CU_NO_DEVICE = 100 };

// Name here, name there, parameters. The youngest is of CUDA 11.4 (driver 470).
#define CU_CALLS(X) \
    X(initialize, "cuInit", (unsigned flags)) \
    X(version, "cuDriverGetVersion", (int *version)) \
    X(errorName, "cuGetErrorName", (int code, const char **name)) \
    X(errorText, "cuGetErrorString", (int code, const char **text)) \
    X(deviceCount, "cuDeviceGetCount", (int *count)) \
    X(device, "cuDeviceGet", (int *device, int index)) \
    X(deviceName, "cuDeviceGetName", (char *name, int bytes, int device)) \
    X(deviceAttribute, "cuDeviceGetAttribute", (int *value, int attribute, int device)) \
    X(retainContext, "cuDevicePrimaryCtxRetain", (void **context, int device)) \
    X(releaseContext, "cuDevicePrimaryCtxRelease_v2", (int device)) \
    X(setContext, "cuCtxSetCurrent", (void *context)) \
    X(memoryInfo, "cuMemGetInfo_v2", (size_t *unused, size_t *total)) \
    X(allocate, "cuMemAlloc_v2", (cu_address *address, size_t bytes)) \
    X(release, "cuMemFree_v2", (cu_address address)) \
    X(allocateHost, "cuMemHostAlloc", (void **address, size_t bytes, unsigned flags)) \
    X(releaseHost, "cuMemFreeHost", (void *address)) \
    X(copyIn, "cuMemcpyHtoDAsync_v2", (cu_address to, const void *from, size_t bytes, void *stream)) \
    X(copyOut, "cuMemcpyDtoHAsync_v2", (void *to, cu_address from, size_t bytes, void *stream)) \
    X(copy, "cuMemcpyDtoDAsync_v2", (cu_address to, cu_address from, size_t bytes, void *stream)) \
    X(copy2D, "cuMemcpy2DAsync_v2", (const cu_copy_2d *copy, void *stream)) \
    X(fill, "cuMemsetD8Async", (cu_address to, unsigned char value, size_t bytes, void *stream)) \
    X(createStream, "cuStreamCreate", (void **stream, unsigned flags)) \
    X(destroyStream, "cuStreamDestroy_v2", (void *stream)) \
    X(synchronize, "cuStreamSynchronize", (void *stream)) \
    X(waitForEvent, "cuStreamWaitEvent", (void *stream, void *event, unsigned flags)) \
    X(createEvent, "cuEventCreate", (void **event, unsigned flags)) \
    X(destroyEvent, "cuEventDestroy_v2", (void *event)) \
    X(recordEvent, "cuEventRecord", (void *event, void *stream)) \
    X(synchronizeEvent, "cuEventSynchronize", (void *event)) \
    X(elapsed, "cuEventElapsedTime", (float *milliseconds, void *start, void *end)) \
    X(beginCapture, "cuStreamBeginCapture_v2", (void *stream, int mode)) \
    X(endCapture, "cuStreamEndCapture", (void *stream, void **graph)) \
    X(instantiate, "cuGraphInstantiateWithFlags", (void **executable, void *graph, unsigned long long flags)) \
    X(destroyGraph, "cuGraphDestroy", (void *graph)) \
    X(launchGraph, "cuGraphLaunch", (void *executable, void *stream)) \
    X(destroyExecutable, "cuGraphExecDestroy", (void *executable)) \
    X(loadModule, "cuModuleLoadDataEx", (void **module, const void *text, unsigned count, int *options, void **values)) \
    X(unloadModule, "cuModuleUnload", (void *module)) \
    X(function, "cuModuleGetFunction", (void **function, void *module, const char *name)) \
    X(setFunctionAttribute, "cuFuncSetAttribute", (void *function, int attribute, int value)) \
    X(launch, "cuLaunchKernel", \
      (void *function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, unsigned blockY, unsigned blockZ, unsigned sharedBytes, void *stream, \
       void **parameters, void **extra))

typedef struct cu_driver {
#define CU_FIELD(name, symbol, parameters) int(*name) parameters;
    CU_CALLS(CU_FIELD)
#undef CU_FIELD
} cu_driver;

// The calls of a library, which stays loaded. Where it cannot be loaded, 1 with the system's reason in `failure`; where it lacks a call, 2 with the name
// of the call, and what precedes it in the table is there. The text is copied into `failure`, as far as `bytes` reach.
int cu_open(const char *library, cu_driver *driver, char *failure, size_t bytes);
