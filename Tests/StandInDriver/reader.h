// Reads PTX: words of the text, and what an entry has while it becomes instructions. Errors leave through `out` with a line.
#pragma once
#include "machine.h"

enum { NAME = 256 };

struct registers { char prefix[64]; u32 count, offset, depth; bool wide, predicate; };  // a single one has count 0
struct symbol { char name[NAME]; u64 value; u32 align; u64 bytes; bool isExtern, isUsed; };
struct label { char name[NAME]; u32 at, line; };

// A list that grows.
#define LIST(T) struct { T *items; u32 count, room; }
#define ADD(list) \
    ((list).count == (list).room ? (list).items = grow((list).items, ((list).room = (list).room ? 2 * (list).room : 16) * sizeof *(list).items) : 0, \
     &(list).items[(list).count++])
void *grow(void *, size_t bytes);

struct reader {
    const char *text, *at;
    u32 line;
    char *failure;
    size_t bytes;
    jmp_buf out;
    // Of the module.
    LIST(struct symbol) variables;  // .global and .const, with addresses
    LIST(struct symbol) shared;
    // Of the entry.
    struct entry *entry;
    LIST(struct instruction) code;
    LIST(struct registers) registers;
    LIST(struct label) labels;
    LIST(struct label) jumps;
    LIST(struct constant) constants;
    LIST(u32) dynamic;  // which constants are the address of dynamic shared memory
    LIST(struct special) specials;
    LIST(struct symbol) locals;
    u32 registerBytes, localBytes, staticShared, dynamicAlign, depth;
};

struct operand {
    enum { REGISTER, CONSTANT, SYMBOL, ADDRESS, VECTOR_OF, SINK } kind;
    bool wide, predicate, isFloat, negated;
    u32 offset;      // of a register
    u64 bits;        // of a constant
    char name[NAME]; // of a symbol
    s64 immediate;   // of an address
    u32 count;
    u32 parts[4];    // of a vector: offsets
    bool wideParts, isSecond;
    u32 second;      // of p|q
};

_Noreturn void refuse(struct reader *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void skip(struct reader *);
bool take(struct reader *, const char *punctuation);
void expect(struct reader *, const char *punctuation);
// A word of letters, digits and _ $ % . : ; empty where there is none.
void word(struct reader *, char *copy);
s64 number(struct reader *);

// A statement of an entry's body, behind its guard or label.
void decode(struct reader *, const char *opcode, u32 guard, bool negated);
bool find_register(struct reader *, const char *name, struct operand *);
u32 constant(struct reader *, u64 bits, bool wide, bool isDynamic);
