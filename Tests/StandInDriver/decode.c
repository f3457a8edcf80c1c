// Turns statements into instructions: operands become offsets of registers, for constants, special registers and addresses too.
#include "reader.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static bool is(const char *a, const char *b) { return strcmp(a, b) == 0; }
static bool starts(const char *a, const char *b) { return strncmp(a, b, strlen(b)) == 0; }

u32 constant(struct reader *t, u64 bits, bool wide, bool isDynamic) {
    if (!wide) bits = (u32)bits;
    if (!isDynamic)
        for (u32 k = 0; k < t->constants.count; k++) {
            const struct constant *c = &t->constants.items[k];
            bool taken = false;
            for (u32 d = 0; d < t->dynamic.count; d++) taken |= t->dynamic.items[d] == k;
            if (c->bits == bits && c->wide == wide && !taken) return c->offset;
        }
    if (isDynamic) *ADD(t->dynamic) = t->constants.count;
    const u32 offset = t->registerBytes;
    *ADD(t->constants) = (struct constant){bits, offset, wide};
    t->registerBytes += (wide ? 8 : 4) * LANES;
    return offset;
}

static bool special(struct reader *t, const char *name, struct operand *o) {
    static const char *const names[SPECIALS] = {
        "%tid.x", "%tid.y", "%tid.z", "%ntid.x", "%ntid.y", "%ntid.z", "%ctaid.x", "%ctaid.y", "%ctaid.z", "%nctaid.x", "%nctaid.y", "%nctaid.z", "%laneid", "%warpid"};
    for (u8 k = 0; k < SPECIALS; k++) {
        if (!is(names[k], name)) continue;
        *o = (struct operand){.kind = REGISTER};
        for (u32 s = 0; s < t->specials.count; s++)
            if (t->specials.items[s].which == k) return o->offset = t->specials.items[s].offset, true;
        o->offset = t->registerBytes;
        *ADD(t->specials) = (struct special){k, o->offset};
        t->registerBytes += 4 * LANES;
        return true;
    }
    return false;
}

bool find_register(struct reader *t, const char *name, struct operand *o) {
    for (u32 k = t->registers.count; k-- > 0;) {
        const struct registers *r = &t->registers.items[k];
        u32 index = 0;
        if (r->count) {
            const size_t n = strlen(r->prefix);
            if (strncmp(name, r->prefix, n) || !isdigit((unsigned char)name[n])) continue;
            char *end;
            index = (u32)strtoul(name + n, &end, 10);
            if (*end || index >= r->count) continue;
        } else if (!is(name, r->prefix)) continue;
        *o = (struct operand){.kind = REGISTER, .wide = r->wide, .predicate = r->predicate, .offset = r->offset + index * (r->wide ? 8 : 4) * LANES};
        return true;
    }
    return special(t, name, o);
}

// The address of a variable, as the base of an access or as a value.
static u32 symbol(struct reader *t, const char *name, bool wide) {
    for (u32 k = 0; k < t->locals.count; k++)
        if (is(t->locals.items[k].name, name)) return constant(t, t->locals.items[k].value, wide, false);
    for (u32 k = 0; k < t->entry->parameterCount; k++)
        if (is(t->entry->parameters[k].name, name)) return constant(t, t->entry->parameters[k].offset, wide, false);
    for (u32 k = 0; k < t->variables.count; k++)
        if (is(t->variables.items[k].name, name)) return constant(t, t->variables.items[k].value, wide, false);
    for (u32 k = 0; k < t->shared.count; k++) {
        struct symbol *v = &t->shared.items[k];
        if (!is(v->name, name)) continue;
        if (v->isExtern) {
            if (v->align > t->dynamicAlign) t->dynamicAlign = v->align;
            return constant(t, 0, wide, true);
        }
        if (!v->isUsed) {
            v->isUsed = true;
            v->value = (t->staticShared + v->align - 1) / v->align * v->align;
            t->staticShared = (u32)(v->value + v->bytes);
        }
        return constant(t, v->value, wide, false);
    }
    refuse(t, "%s is not declared", name);
}

static void literal(struct reader *t, struct operand *o) {
    skip(t);
    *o = (struct operand){.kind = CONSTANT};
    if (t->at[0] == '0' && (t->at[1] == 'f' || t->at[1] == 'F' || t->at[1] == 'd' || t->at[1] == 'D')) {
        o->isFloat = true, o->wide = (t->at[1] | 32) == 'd';
        o->bits = strtoull(t->at + 2, (char **)&t->at, 16);
    } else o->bits = (u64)number(t);
}

static void operand(struct reader *t, struct operand *o) {
    char w[NAME];
    skip(t);
    if (take(t, "[")) {
        struct operand base;
        operand(t, &base);
        s64 immediate = 0;
        if (take(t, "+")) immediate = number(t);
        expect(t, "]");
        if (base.kind == SYMBOL) base.offset = symbol(t, base.name, true), base.wide = true;
        else if (base.kind == CONSTANT) base.offset = constant(t, base.bits, true, false), base.wide = true;
        else if (base.kind != REGISTER) refuse(t, "no address");
        *o = (struct operand){.kind = ADDRESS, .offset = base.offset, .wide = base.wide, .immediate = immediate};
        return;
    }
    if (take(t, "{")) {
        *o = (struct operand){.kind = VECTOR_OF};
        do {
            struct operand part;
            operand(t, &part);
            if (o->count == 4 || part.kind == VECTOR_OF || part.kind == ADDRESS) refuse(t, "a vector has four values at most");
            if (part.kind == CONSTANT) part.offset = constant(t, part.bits, part.wide, false);
            if (part.kind == SINK) part.offset = t->registerBytes, t->registerBytes += 8 * LANES, part.wide = o->wideParts;
            if (o->count && part.wide != o->wideParts) refuse(t, "a vector of unequal registers");
            o->wideParts = part.wide;
            o->parts[o->count++] = part.offset;
        } while (take(t, ","));
        expect(t, "}");
        return;
    }
    if (isdigit((unsigned char)*t->at) || *t->at == '-') return literal(t, o);
    const bool negated = take(t, "!");
    word(t, w);
    if (is(w, "_")) { *o = (struct operand){.kind = SINK}; return; }
    if (find_register(t, w, o)) {
        o->negated = negated;
        if (take(t, "|")) {
            struct operand second;
            word(t, w);
            if (!find_register(t, w, &second) || !second.predicate) refuse(t, "%s is no predicate", w);
            o->isSecond = true, o->second = second.offset;
        }
        return;
    }
    if (!w[0]) refuse(t, "expected an operand");
    *o = (struct operand){.kind = SYMBOL};
    strcpy(o->name, w);
}

// The register of a value, of 4 bytes a lane or of 8.
static u32 value(struct reader *t, const struct operand *o, bool wide, bool predicate) {
    if (o->kind == CONSTANT) return constant(t, predicate ? (o->bits ? ~0u : 0) : o->bits, wide, false);
    if (o->kind == SYMBOL) return symbol(t, o->name, wide);
    if (o->kind != REGISTER || o->isSecond || o->negated) refuse(t, "an operand of another kind was expected");
    if (o->wide != wide || o->predicate != predicate) refuse(t, "a register of another type was expected");
    return o->offset;
}
static u32 value4(struct reader *t) {
    struct operand o;
    operand(t, &o);
    return value(t, &o, false, false);
}
static void comma(struct reader *t) { expect(t, ","); }

static void compute(struct reader *t, struct instruction i, const char *name, const struct operand *o, u32 count) {
    const char *signature;
    i.compute = operation_find(name, &signature);
    if (!i.compute) refuse(t, "the instruction %s is not known", name);
    if (strlen(signature) != count) refuse(t, "%s has %zu operands", name, strlen(signature));
    if (o[0].kind != REGISTER) refuse(t, "the result of %s is a register", name);
    i.kind = signature[0] == 'd' ? COMPUTE8 : COMPUTE4;
    i.targets = 1, i.sources = (u8)(count - 1), i.wide = 0;
    for (u32 k = 0; k < count; k++) {
        const u32 offset = value(t, &o[k], signature[k] == 'd', signature[k] == 'p');
        if (k == 0) i.to[0] = offset;
        else i.from[k - 1] = offset, i.wide |= (u8)((signature[k] == 'd') << (k - 1));
    }
    *ADD(t->code) = i;
}

// Also of a vector into one register, and of a register into a vector.
static void move(struct reader *t, struct instruction i, const char *opcode, struct operand *o) {
    if (o[0].kind == VECTOR_OF) {
        if (o[0].count != 2) refuse(t, "only two halves are supported");
        for (u32 half = 0; half < 2; half++) {
            const struct operand parts[2] = {{.kind = REGISTER, .offset = o[0].parts[half], .wide = o[0].wideParts}, o[1]};
            compute(t, i, is(opcode, "mov.b64") ? (half ? "high32" : "low32") : half ? "high16" : "low16", parts, 2);
        }
    } else if (o[1].kind == VECTOR_OF) {
        if (o[1].count != 2) refuse(t, "only two halves are supported");
        struct operand parts[3] = {o[0], {.kind = REGISTER, .offset = o[1].parts[0]}, {.kind = REGISTER, .offset = o[1].parts[1]}};
        compute(t, i, is(opcode, "mov.b64") ? "pack32" : "pack16", parts, 3);
    } else compute(t, i, opcode, o, 2);
}

// The words of an opcode behind its first, up to the type: space, vector, hints.
struct access { u8 space, count, size; bool isSigned, isParameter, isFloat; char operation[16]; };
static struct access access_of(struct reader *t, const char *opcode) {
    struct access a = {.space = GENERIC, .count = 1};
    static const char *const hints[] = {"volatile", "relaxed", "weak", "acquire", "release", "acq_rel", "gpu", "cta", "sys", "ca", "cg", "cs", "lu", "cv", "nc", "wb", "wt"};
    for (const char *at = strchr(opcode, '.'); at && *at; at += strcspn(at, ".")) {
        char w[32];
        const size_t n = strcspn(++at, ".");
        if (n >= sizeof w) refuse(t, "the instruction %s is not known", opcode);
        memcpy(w, at, n), w[n] = 0;
        bool isHint = starts(w, "L1::") || starts(w, "L2::");
        for (u32 k = 0; k < sizeof hints / sizeof *hints; k++) isHint |= is(w, hints[k]);
        if (isHint) continue;
        if (is(w, "global") || is(w, "const")) a.space = GLOBAL;
        else if (is(w, "shared")) a.space = SHARED;
        else if (is(w, "local")) a.space = LOCAL;
        else if (is(w, "param")) a.isParameter = true;
        else if (is(w, "v2") || is(w, "v4")) a.count = (u8)(w[1] - '0');
        else if (strchr("bsuf", w[0]) && isdigit((unsigned char)w[1])) a.size = (u8)(atoi(w + 1) / 8), a.isSigned = w[0] == 's', a.isFloat = w[0] == 'f';
        else if (n < sizeof a.operation && !a.operation[0]) strcpy(a.operation, w);
        else refuse(t, "the instruction %s is not known", opcode);
    }
    if (a.size != 1 && a.size != 2 && a.size != 4 && a.size != 8) refuse(t, "the instruction %s is not known", opcode);
    return a;
}

static void address(struct reader *t, struct instruction *i, u32 source) {
    struct operand o;
    operand(t, &o);
    if (o.kind != ADDRESS) refuse(t, "expected an address");
    i->from[source] = o.offset, i->immediate = o.immediate;
    if (o.wide) i->wide |= (u8)(1 << source);
}

static void registers_of(struct reader *t, u32 *places, u32 count, bool *wide) {
    struct operand o;
    operand(t, &o);
    if (o.kind == VECTOR_OF) {
        if (o.count != count) refuse(t, "expected %u registers", count);
        memcpy(places, o.parts, count * sizeof *places), *wide = o.wideParts;
    } else {
        if (count != 1) refuse(t, "expected %u registers", count);
        if (o.kind == CONSTANT) o.offset = constant(t, o.bits, *wide, false), o.wide = *wide;
        else if (o.kind != REGISTER) refuse(t, "expected a register");
        places[0] = o.offset, *wide = o.wide;
    }
}

static void memory(struct reader *t, struct instruction i, const char *opcode) {
    const bool isLoad = opcode[0] == 'l';
    const struct access a = access_of(t, opcode);
    if (a.operation[0]) refuse(t, "the instruction %s is not known", opcode);
    i.kind = ACT, i.size = a.size, i.count = a.count, i.isSigned = a.isSigned, i.space = a.space;
    bool wide = a.size == 8;
    if (isLoad) {
        registers_of(t, i.to, a.count, &wide);
        comma(t);
        address(t, &i, 0);
        i.targets = a.count, i.sources = 1, i.mode = wide, i.act = a.isParameter ? load_parameter : load;
    } else {
        address(t, &i, 0);
        comma(t);
        registers_of(t, i.from + 1, a.count, &wide);
        i.sources = (u8)(1 + a.count), i.mode = wide, i.act = store;
        if (a.isParameter) refuse(t, "the instruction %s is not known", opcode);
    }
    *ADD(t->code) = i;
}

static void atomics(struct reader *t, struct instruction i, const char *opcode) {
    static const char *const names[] = {"add", "min", "max", "and", "or", "xor", "exch", "cas"};
    struct access a = access_of(t, opcode);
    if (a.size < 4 || a.isFloat + (a.size == 8) == 2) refuse(t, "the instruction %s is not known", opcode);
    i.kind = ACT, i.act = atomic, i.size = a.size, i.count = 1, i.space = a.space, i.isSigned = a.isSigned;
    for (i.mode = 0; i.mode < 8 && !is(names[i.mode], a.operation); i.mode++) {}
    if (i.mode == 8 || (a.isFloat && i.mode != 0)) refuse(t, "the instruction %s is not known", opcode);
    if (a.isFloat) i.mode = 8;
    bool wide = a.size == 8;
    if (opcode[0] == 'a') registers_of(t, i.to, 1, &wide), i.targets = 1, comma(t);
    else i.to[0] = 0;
    address(t, &i, 0);
    for (u32 k = 1; k <= (i.mode == 7 ? 2u : 1u); k++) {
        struct operand o;
        comma(t);
        operand(t, &o);
        i.from[k] = value(t, &o, a.size == 8, false), i.sources = (u8)(k + 1);
    }
    *ADD(t->code) = i;
}

static void copies(struct reader *t, struct instruction i, const char *opcode) {
    i.kind = ACT;
    if (is(opcode, "cp.async.commit_group")) i.act = copy_commit;
    else if (is(opcode, "cp.async.wait_group")) i.act = copy_wait, i.immediate = number(t);
    else if (is(opcode, "cp.async.wait_all")) i.act = copy_wait, i.immediate = -1;
    else if (starts(opcode, "cp.async.ca.shared.global") || starts(opcode, "cp.async.cg.shared.global")) {
        i.act = copy_async;
        struct operand source, size, used;
        address(t, &i, 0);
        if (i.immediate) refuse(t, "an offset of the target is not supported");
        comma(t);
        operand(t, &source);
        if (source.kind != ADDRESS || !source.wide) refuse(t, "expected an address of 64 bits");
        i.from[1] = source.offset, i.immediate = source.immediate;
        comma(t);
        operand(t, &size);
        if (size.kind != CONSTANT || (size.bits != 4 && size.bits != 8 && size.bits != 16)) refuse(t, "4, 8 or 16 bytes are copied");
        if (opcode[10] == 'g' && size.bits != 16) refuse(t, "cp.async.cg copies 16 bytes");
        i.size = (u8)size.bits, i.sources = 2;
        if (take(t, ",")) operand(t, &used), i.from[2] = value(t, &used, false, false), i.sources = 3;
        else i.from[2] = constant(t, i.size, false, false), i.sources = 3;
    } else refuse(t, "the instruction %s is not known", opcode);
    *ADD(t->code) = i;
}

static void matrices(struct reader *t, struct instruction i, const char *opcode) {
    bool wide = false;
    i.kind = ACT_TOGETHER;
    if (starts(opcode, "ldmatrix")) {
        const char *const shape = "ldmatrix.sync.aligned.m8n8.x";
        const u32 count = starts(opcode, shape) ? (u32)(opcode[strlen(shape)] - '0') : 0;
        const char *rest = count ? opcode + strlen(shape) + 1 : "";
        if (starts(rest, ".trans")) i.mode = 1, rest += 6;
        if ((count != 1 && count != 2 && count != 4) || !is(rest, ".shared.b16")) refuse(t, "the instruction %s is not known", opcode);
        i.act = load_matrices, i.count = (u8)count, i.targets = (u8)count;
        registers_of(t, i.to, count, &wide);
        comma(t);
        address(t, &i, 0);
        i.sources = 1;
    } else {
        const struct operations *here = operations_here();
        if (is(opcode, "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32")) i.act = here->multiply8;
        else if (is(opcode, "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32")) i.act = here->multiplyBF16;
        else if (is(opcode, "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32")) i.act = here->multiplyF16;
        else refuse(t, "the instruction %s is not known", opcode);
        registers_of(t, i.to, 4, &wide), comma(t), registers_of(t, i.from, 4, &wide), comma(t), registers_of(t, i.from + 4, 2, &wide), comma(t);
        registers_of(t, i.from + 6, 4, &wide);
        i.targets = 4, i.sources = 10;
    }
    if (wide) refuse(t, "a register of 32 bits was expected");
    *ADD(t->code) = i;
}

static void exchanges(struct reader *t, struct instruction i, const char *opcode) {
    static const char *const ways[] = {"shfl.sync.up.b32", "shfl.sync.down.b32", "shfl.sync.bfly.b32", "shfl.sync.idx.b32", "vote.sync.all.pred", "vote.sync.any.pred", "vote.sync.uni.pred", "vote.sync.ballot.b32"};
    struct operand o;
    i.kind = ACT_TOGETHER;
    for (i.mode = 0; i.mode < 8 && !is(ways[i.mode], opcode); i.mode++) {}
    if (i.mode == 8) refuse(t, "the instruction %s is not known", opcode);
    operand(t, &o);
    if (i.mode < 4) {
        if (o.isSecond) i.to[1] = o.second, i.targets = 2, o.isSecond = false;
        else i.targets = 1;
        i.to[0] = value(t, &o, false, false);
        for (u32 k = 0; k < 4; k++) comma(t), i.from[k] = value4(t);
        i.sources = 4, i.act = shuffle, i.members = 4;
    } else {
        i.to[0] = value(t, &o, false, i.mode != 7), i.targets = 1;
        comma(t), operand(t, &o);
        i.isSigned = o.negated, o.negated = false;
        i.from[0] = value(t, &o, false, true);
        comma(t), i.from[1] = value4(t);
        i.sources = 2, i.act = vote, i.members = 2;
    }
    *ADD(t->code) = i;
}

void decode(struct reader *t, const char *opcode, u32 guard, bool negated) {
    struct instruction i = {.guard = guard, .negated = negated, .line = t->line};
    char w[NAME];
    if (is(opcode, "bra") || is(opcode, "bra.uni")) {
        i.kind = BRANCH;
        word(t, w);
        struct label *jump = ADD(t->jumps);
        strcpy(jump->name, w), jump->at = t->code.count, jump->line = t->line;
        *ADD(t->code) = i;
    } else if (is(opcode, "ret") || is(opcode, "exit") || is(opcode, "ret.uni")) {
        i.kind = RETURN;
        *ADD(t->code) = i;
    } else if (is(opcode, "bar.sync") || is(opcode, "barrier.sync") || is(opcode, "barrier.sync.aligned")) {
        i.kind = BARRIER;
        if (number(t) != 0 || take(t, ",")) refuse(t, "only barrier 0 of all threads is supported");
        *ADD(t->code) = i;
    } else if (is(opcode, "bar.warp.sync")) {
        i.kind = ACT_TOGETHER, i.act = nothing, i.from[0] = value4(t), i.sources = 1, i.members = 1;
        *ADD(t->code) = i;
    } else if (starts(opcode, "ld.")) memory(t, i, opcode);
    else if (starts(opcode, "st.")) memory(t, i, opcode);
    else if (starts(opcode, "atom.") || starts(opcode, "red.")) atomics(t, i, opcode);
    else if (starts(opcode, "cp.")) copies(t, i, opcode);
    else if (starts(opcode, "ldmatrix.") || starts(opcode, "mma.")) matrices(t, i, opcode);
    else if (starts(opcode, "shfl.") || starts(opcode, "vote.")) exchanges(t, i, opcode);
    else if (is(opcode, "activemask.b32")) {
        i.kind = ACT, i.act = active_lanes, i.to[0] = value4(t), i.targets = 1;
        *ADD(t->code) = i;
    } else if (is(opcode, "membar.gl") || is(opcode, "membar.cta") || is(opcode, "membar.sys") || starts(opcode, "fence.")) {
        // Warps of a block run one at a time here, and blocks meet at the end alone.
    } else {
        struct operand o[6];
        u32 count = 0;
        do {
            if (count == 6) refuse(t, "the instruction %s is not known", opcode);
            operand(t, &o[count++]);
        } while (take(t, ","));
        if (starts(opcode, "mov.") && count == 2) move(t, i, opcode, o);
        else compute(t, i, opcode, o, count);
    }
}
