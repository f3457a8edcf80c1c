/// libFuzzer of the compiler's run time, for a program that has its own main (clang's docs, LibFuzzer: "Using libFuzzer as a library").
#ifndef CFUZZER_H
#define CFUZZER_H
#include <stddef.h>
#include <stdint.h>

/// Runs `one` on inputs until the options say stop; does not return where it crashes.
int LLVMFuzzerRunDriver(int *count, char ***arguments, int (*one)(const uint8_t *bytes, size_t count));

#endif
