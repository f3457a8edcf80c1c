#include "reader.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *grow(void *items, size_t bytes) {
    void *grown = realloc(items, bytes);
    if (!grown) abort();
    return grown;
}

_Noreturn void refuse(struct reader *t, const char *format, ...) {
    char reason[512], line[200];
    va_list list;
    va_start(list, format);
    vsnprintf(reason, sizeof reason, format, list);
    va_end(list);
    module_line(t->text, t->line, line, sizeof line);
    if (t->bytes) snprintf(t->failure, t->bytes, "line %u: %s: %s", t->line, reason, line);
    longjmp(t->out, 1);
}

void module_line(const char *text, u32 line, char *copy, size_t bytes) {
    for (u32 at = 1; at < line && *text; text++) at += *text == '\n';
    while (*text == ' ' || *text == '\t') text++;
    size_t count = strcspn(text, "\n");
    if (count >= bytes) count = bytes - 1;
    for (size_t k = 0; k < count; k++) copy[k] = text[k] == '\t' ? ' ' : text[k];
    copy[count] = 0;
}

void skip(struct reader *t) {
    for (;; t->at++) {
        if (*t->at == '\n') t->line++;
        else if (t->at[0] == '/' && t->at[1] == '/') {
            t->at += strcspn(t->at, "\n");
            if (!*t->at) return;
            t->line++;
        } else if (t->at[0] == '/' && t->at[1] == '*') {
            for (t->at += 2; *t->at && !(t->at[0] == '*' && t->at[1] == '/'); t->at++) t->line += *t->at == '\n';
            if (!*t->at) return;
            t->at++;
        } else if (!isspace((unsigned char)*t->at)) return;
    }
}

bool take(struct reader *t, const char *punctuation) {
    skip(t);
    const size_t n = strlen(punctuation);
    if (strncmp(t->at, punctuation, n)) return false;
    t->at += n;
    return true;
}

void expect(struct reader *t, const char *punctuation) {
    if (!take(t, punctuation)) refuse(t, "expected %s", punctuation);
}

void word(struct reader *t, char *copy) {
    skip(t);
    size_t n = 0;
    while (isalnum((unsigned char)t->at[n]) || strchr("_$%.:", t->at[n] ? t->at[n] : ' ')) {
        if (t->at[n] == ':' && t->at[n + 1] != ':' && (n == 0 || t->at[n - 1] != ':')) break;  // a label's end, but not of L1::evict_last
        if (n + 1 == NAME) refuse(t, "a name is too long");
        copy[n] = t->at[n], n++;
    }
    copy[n] = 0;
    t->at += n;
}

s64 number(struct reader *t) {
    skip(t);
    char *end;
    const bool isNegative = *t->at == '-';
    const u64 value = strtoull(t->at + isNegative, &end, 0);
    if (end == t->at + isNegative) refuse(t, "expected a number");
    t->at = end;
    if (*t->at == 'U') t->at++;
    return (s64)(isNegative ? 0 - value : value);
}

static bool is(const char *a, const char *b) { return strcmp(a, b) == 0; }

// [.align N] .type name [[N]]: a variable.
static struct symbol variable(struct reader *t) {
    struct symbol v = {.align = 1};
    char w[NAME];
    u32 size = 0;
    for (word(t, w); w[0] == '.'; word(t, w)) {
        if (is(w, ".align")) v.align = (u32)number(t);
        else if (w[1] && strchr("bsuf", w[1])) size = (u32)atoi(w + 2) / 8;
        else refuse(t, "%s of a variable is not supported", w);
    }
    if (!size) refuse(t, "a variable has a type");
    strcpy(v.name, w);
    v.bytes = size;
    if (v.align < size) v.align = size;
    if (take(t, "[")) {
        v.bytes = 0;
        if (!take(t, "]")) v.bytes = size * (u64)number(t), expect(t, "]");
    }
    v.value = size;
    return v;
}

// Constants and globals lie on the device from the time of loading.
static void initialized(struct reader *t) {
    struct symbol v = variable(t);
    const u32 size = (u32)v.value;
    v.value = memory_allocate(v.bytes);
    if (!v.value) refuse(t, "no memory for %s", v.name);
    u8 *data = device_memory.data + (v.value - DEVICE_BASE), *state = device_memory.state + (v.value - DEVICE_BASE);
    memset(data, 0, v.bytes);
    memset(state, WRITTEN, v.bytes);
    if (take(t, "=")) {
        const bool isList = take(t, "{");
        u64 at = 0;
        do {
            skip(t);
            u64 bits;
            if (t->at[0] == '0' && (t->at[1] == 'f' || t->at[1] == 'd')) bits = strtoull(t->at + 2, (char **)&t->at, 16);
            else bits = (u64)number(t);
            if (at + size > v.bytes) refuse(t, "%s has more values than places", v.name);
            memcpy(data + at, &bits, size);
            at += size;
        } while (isList && take(t, ","));
        if (isList) expect(t, "}");
    }
    expect(t, ";");
    *ADD(t->variables) = v;
}

static void declare_registers(struct reader *t) {
    char type[NAME], name[NAME];
    word(t, type);
    const u32 bits = is(type, ".pred") ? 32 : (u32)atoi(type + 2);
    if (bits != 8 && bits != 16 && bits != 32 && bits != 64) refuse(t, "registers of %s are not supported", type);
    do {
        word(t, name);
        if (!name[0] || strlen(name) >= sizeof(((struct registers *)0)->prefix)) refuse(t, "expected a register's name");
        struct registers *r = ADD(t->registers);
        *r = (struct registers){.offset = t->registerBytes, .depth = t->depth, .wide = bits == 64, .predicate = is(type, ".pred")};
        strcpy(r->prefix, name);
        if (take(t, "<")) r->count = (u32)number(t), expect(t, ">");
        t->registerBytes += (r->count ? r->count : 1) * (r->wide ? 8 : 4) * LANES;
    } while (take(t, ","));
    expect(t, ";");
}

static void statement(struct reader *t) {
    char w[NAME];
    if (take(t, ";")) return;
    if (take(t, "{")) { t->depth++; return; }
    u32 guard = 0;
    bool negated = false;
    if (take(t, "@")) {
        negated = take(t, "!");
        struct operand p;
        word(t, w);
        if (!find_register(t, w, &p) || !p.predicate) refuse(t, "%s is no predicate", w);
        guard = p.offset;
    }
    word(t, w);
    if (!w[0]) refuse(t, "expected an instruction");
    if (!guard && *t->at == ':') {
        t->at++;
        struct label *label = ADD(t->labels);
        strcpy(label->name, w), label->at = t->code.count;
    } else if (is(w, ".reg")) declare_registers(t);
    else if (is(w, ".local")) {
        struct symbol v = variable(t);
        v.value = (t->localBytes + v.align - 1) / v.align * v.align;
        t->localBytes = (u32)(v.value + v.bytes);
        *ADD(t->locals) = v;
        expect(t, ";");
    } else if (is(w, ".shared")) {
        *ADD(t->shared) = variable(t);
        expect(t, ";");
    } else if (is(w, ".loc") || is(w, ".file")) t->at += strcspn(t->at, "\n");
    else if (is(w, ".pragma")) t->at += strcspn(t->at, ";");
    else if (w[0] == '.') refuse(t, "%s is not supported", w);
    else {
        decode(t, w, guard, negated);
        expect(t, ";");
    }
}

static void *moved(void *items, size_t bytes) {
    void *copy = malloc(bytes ? bytes : 1);
    if (!copy) abort();
    if (bytes) memcpy(copy, items, bytes);
    return copy;
}

static void body(struct reader *t) {
    t->code.count = t->registers.count = t->labels.count = t->jumps.count = t->constants.count = t->dynamic.count = t->specials.count = t->locals.count = 0;
    t->localBytes = t->staticShared = 0, t->dynamicAlign = 16, t->depth = 1;
    t->registerBytes = 4 * LANES;  // offset 0 is no register
    for (u32 k = 0; k < t->shared.count; k++) t->shared.items[k].isUsed = false;
    expect(t, "{");
    while (t->depth) {
        if (!take(t, "}")) {
            skip(t);
            if (!*t->at) refuse(t, "the text ends within a kernel");
            statement(t);
            continue;
        }
        while (t->registers.count && t->registers.items[t->registers.count - 1].depth == t->depth) t->registers.count--;
        t->depth--;
    }
    *ADD(t->code) = (struct instruction){.kind = RETURN, .line = t->line};
    const u32 end = t->line;
    for (u32 k = 0; k < t->jumps.count; k++) {
        const struct label *jump = &t->jumps.items[k];
        u32 found = 0;
        while (found < t->labels.count && !is(t->labels.items[found].name, jump->name)) found++;
        t->line = jump->line;
        if (found == t->labels.count) refuse(t, "there is no label %s", jump->name);
        t->code.items[jump->at].immediate = t->labels.items[found].at;
    }
    t->line = end;
    struct entry *e = t->entry;
    e->dynamicStart = (t->staticShared + t->dynamicAlign - 1) / t->dynamicAlign * t->dynamicAlign;
    for (u32 k = 0; k < t->dynamic.count; k++) t->constants.items[t->dynamic.items[k]].bits += e->dynamicStart;
    e->code = moved(t->code.items, t->code.count * sizeof *t->code.items), e->length = t->code.count;
    e->constants = moved(t->constants.items, t->constants.count * sizeof *t->constants.items), e->constantCount = t->constants.count;
    e->specials = moved(t->specials.items, t->specials.count * sizeof *t->specials.items), e->specialCount = t->specials.count;
    e->registerBytes = t->registerBytes, e->localBytes = t->localBytes, e->staticShared = t->staticShared;
}

static void parameter(struct reader *t, struct entry *e, u32 *room) {
    char w[NAME];
    word(t, w);
    if (!is(w, ".param")) refuse(t, "expected .param");
    struct symbol v = variable(t);
    if (e->parameterCount == *room) e->parameters = grow(e->parameters, (*room = *room ? 2 * *room : 8) * sizeof *e->parameters);
    e->parameterBytes = (e->parameterBytes + v.align - 1) / v.align * v.align;
    e->parameters[e->parameterCount++] = (struct parameter){strdup(v.name), e->parameterBytes, (u32)v.bytes};
    e->parameterBytes += (u32)v.bytes;
}

static void read_entry(struct reader *t, struct module *m, u32 *entryRoom) {
    if (m->entryCount == *entryRoom) m->entries = grow(m->entries, (*entryRoom = *entryRoom ? 2 * *entryRoom : 16) * sizeof *m->entries);
    struct entry *e = t->entry = &m->entries[m->entryCount++];
    *e = (struct entry){.mostThreads = 1024, .mostDynamic = 48 << 10, .text = m->text};
    char w[NAME];
    u32 room = 0;
    word(t, w);
    e->name = strdup(w);
    if (take(t, "(") && !take(t, ")")) {
        do parameter(t, e, &room);
        while (take(t, ","));
        expect(t, ")");
    }
    for (skip(t); *t->at == '.'; skip(t)) {
        word(t, w);
        const bool bounds = is(w, ".maxntid") || is(w, ".reqntid");
        if (!bounds && !is(w, ".minnctapersm") && !is(w, ".maxnreg")) refuse(t, "%s of a kernel is not supported", w);
        u32 product = (u32)number(t);
        while (take(t, ",")) product *= (u32)number(t);
        if (bounds) e->mostThreads = product;
    }
    body(t);
}

static void read_module(struct reader *t, struct module *m) {
    char w[NAME];
    u32 room = 0;
    bool isExtern = false;
    for (skip(t); *t->at; skip(t)) {
        word(t, w);
        if (is(w, ".version") || is(w, ".target") || is(w, ".address_size") || is(w, ".file") || is(w, ".loc")) t->at += strcspn(t->at, "\n");
        else if (is(w, ".extern") || is(w, ".visible") || is(w, ".weak")) isExtern = w[1] == 'e';
        else if (is(w, ".shared")) {
            struct symbol v = variable(t);
            v.isExtern = isExtern;
            *ADD(t->shared) = v;
            expect(t, ";");
            isExtern = false;
        } else if ((is(w, ".global") || is(w, ".const")) && !isExtern) initialized(t);
        else if (is(w, ".entry")) read_entry(t, m, &room);
        else refuse(t, "%s is not supported in a module", w[0] ? w : "this");
    }
}

struct module *module_load(const char *text, char *failure, size_t bytes) {
    struct module *m = calloc(1, sizeof *m);
    struct reader *t = calloc(1, sizeof *t);
    if (!m || !t) abort();
    m->text = strdup(text);
    *t = (struct reader){.text = m->text, .at = m->text, .line = 1, .failure = failure, .bytes = bytes};
    const bool failed = setjmp(t->out);
    if (!failed) read_module(t, m);
    free(t->variables.items), free(t->shared.items), free(t->code.items), free(t->registers.items), free(t->labels.items), free(t->jumps.items);
    free(t->constants.items), free(t->dynamic.items), free(t->specials.items), free(t->locals.items), free(t);
    if (!failed) return m;
    module_free(m);
    return NULL;
}

void module_free(struct module *m) {
    for (u32 k = 0; k < m->entryCount; k++) {
        struct entry *e = &m->entries[k];
        for (u32 p = 0; p < e->parameterCount; p++) free(e->parameters[p].name);
        free(e->name), free(e->parameters), free(e->code), free(e->constants), free(e->specials);
    }
    free(m->entries), free(m->text), free(m);
}
