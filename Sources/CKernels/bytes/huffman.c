// An entropy code for weights: blocks of zstd frames (RFC 8878, 3.1.1.3) whose content is all literals, coded by a Huffman code of their own
// in four streams. Every decoder of zstd reads them; what this coder leaves out is the search for repetitions, which weights do not have.
//
// What it buys: bytes that no version of a library decides (Formats/packed.md, "Codecs"), and with AVX512_VBMI the speed of `convert`. Without
// that, libzstd's literals-only mode, within 0.03% of its size, is faster: 0.57 against 0.43 GB/s for each core (AMD EPYC).
#include "huffman.h"

#include <string.h>

enum { symbols = 256, longest = CK_HUFFMAN_LONGEST, block_bytes = 128 << 10, shortest = 1024 };

static void put(uint8_t *out, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) { out[i] = (uint8_t)(value >> (8 * i)); }
}

// Adds the bytes of every fourth line of 64, counted from `first`. Four tables: equal bytes that follow each other do not wait for each other.
static void count_lines(const uint8_t *x, size_t n, size_t first, uint32_t tables[4][symbols]) {
    for (size_t line = first * 64; line < n; line += 4 * 64) {
        size_t i = line, end = n - line < 64 ? n : line + 64;
        for (; i + 16 <= end; i += 16) {
            uint64_t a, b;
            memcpy(&a, x + i, 8);
            memcpy(&b, x + i + 8, 8);
            for (int j = 0; j < 4; j++) {
                tables[0][(uint8_t)(a >> (16 * j))]++;
                tables[1][(uint8_t)(a >> (16 * j + 8))]++;
                tables[2][(uint8_t)(b >> (16 * j))]++;
                tables[3][(uint8_t)(b >> (16 * j + 8))]++;
            }
        }
        for (; i < end; i++) { tables[0][x[i]]++; }
    }
}

static void add_tables(uint32_t tables[4][symbols], uint32_t *counts) {
    for (size_t s = 0; s < symbols; s++) { counts[s] = tables[0][s] + tables[1][s] + tables[2][s] + tables[3][s]; }
}

// How often symbols occur: of those that are frequent in every fourth line four times that, exactly of the others, so that none is missed.
static void count_symbols(bool vectors, const uint8_t *x, size_t n, uint32_t *counts) {
    enum { frequent = 48 };
    uint32_t tables[4][symbols];
    uint8_t rare[symbols];
    memset(tables, 0, sizeof tables);
    count_lines(x, n, 0, tables);
    add_tables(tables, counts);
    for (size_t s = 0; s < symbols; s++) { rare[s] = counts[s] < frequent ? 0xFF : 0; }
#if CK_HUFFMAN_VECTORS
    if (vectors) { ck_huffman_count_rare_avx512(x, n, rare, tables); }
#endif
    if (!CK_HUFFMAN_VECTORS || !vectors) {
        for (size_t first = 1; first < 4; first++) { count_lines(x, n, first, tables); }
    }
    for (size_t s = 0; s < symbols; s++) {
        uint32_t all = tables[0][s] + tables[1][s] + tables[2][s] + tables[3][s];
        counts[s] = rare[s] ? all : 4 * counts[s];
    }
}

// The symbols that occur, sorted by count and, where those are equal, by themselves; gives how many there are.
static size_t sort_symbols(const uint32_t *counts, uint8_t *order) {
    uint8_t buffers[2][symbols];
    size_t n = 0;
    for (size_t s = 0; s < symbols; s++) {
        if (counts[s]) { buffers[0][n++] = (uint8_t)s; }
    }
    // Three passes of 6 bits: a block has at most 2^17 bytes, and a symbol that has all of them stands alone.
    for (int pass = 0; pass < 3; pass++) {
        const uint8_t *from = buffers[pass % 2];
        uint8_t *to = pass == 2 ? order : buffers[1 - pass % 2];
        uint32_t place[65] = {0};
        for (size_t i = 0; i < n; i++) { place[(counts[from[i]] >> (6 * pass) & 63) + 1]++; }
        for (size_t i = 0; i < 64; i++) { place[i + 1] += place[i]; }
        for (size_t i = 0; i < n; i++) { to[place[counts[from[i]] >> (6 * pass) & 63]++] = from[i]; }
    }
    return n;
}

// The lengths of the best code of at most `longest` bits, by package-merge (Larmore and Hirschberg 1990).
//
// Each level has the symbols, and packages of two items of the level before, sorted by weight. Of the last one 2n - 2 items are taken, and of
// each level before the items that the packages are made of: a symbol's length is the number of levels in which it is taken.
static void code_lengths(const uint32_t *counts, const uint8_t *order, size_t n, uint8_t *lengths) {
    uint32_t weights[2][2 * symbols + 2];
    // Of the first i items of a level so many are symbols.
    uint16_t leaves[longest][2 * symbols + 1];
    uint32_t sorted[symbols + 1];
    for (size_t i = 0; i < n; i++) { sorted[i] = counts[order[i]]; }
    sorted[n] = UINT32_MAX;
    size_t packages = 0;
    for (int level = 0; level < longest; level++) {
        uint32_t *before = weights[(level + 1) % 2], *now = weights[level % 2];
        size_t leaf = 0, package = 0, items = n + packages;
        // Where there is no package any more, nor a symbol, the other one is the smaller.
        before[2 * packages] = before[2 * packages + 1] = 1u << 30;
        leaves[level][0] = 0;
        // No branches: which of the two comes next cannot be foreseen.
        for (size_t i = 0; i < items; i++) {
            uint32_t next = before[2 * package] + before[2 * package + 1];
            bool is_leaf = sorted[leaf] <= next;
            now[i] = is_leaf ? sorted[leaf] : next;
            leaf += is_leaf;
            package += !is_leaf;
            leaves[level][i + 1] = (uint16_t)leaf;
        }
        packages = items / 2;
    }
    memset(lengths, 0, symbols);
    size_t taken = 2 * n - 2;
    for (int level = longest - 1; level >= 0 && taken; level--) {
        size_t count = leaves[level][taken];
        for (size_t i = 0; i < count; i++) { lengths[order[i]]++; }
        taken = 2 * (taken - count);
    }
}

// Bits from the lowest on, as all streams of zstd are written.
typedef struct {
    uint64_t bits;
    unsigned count;
    uint8_t *out;
} bit_writer;

static void add_bits(bit_writer *w, uint64_t value, unsigned count) {
    w->bits |= value << w->count;
    w->count += count;
    while (w->count >= 8) {
        *w->out++ = (uint8_t)w->bits;
        w->bits >>= 8;
        w->count -= 8;
    }
}

// Codes weights of symbols by FSE (RFC 8878, 4.1 and 4.2.1.2); gives the bytes written, or 0 where these weights cannot be coded so.
static size_t fse_weights(const uint8_t *w, size_t n, uint8_t *out) {
    enum { log = 6, size = 1 << log, alphabet = longest + 1 };
    uint32_t counts[alphabet] = {0};
    int shares[alphabet], given = 0, largest = 0, last = 0;
    for (size_t i = 0; i < n; i++) { counts[w[i]]++; }
    for (int s = 0; s < alphabet; s++) {
        if (counts[s] == n) { return 0; }
        shares[s] = (int)(counts[s] * size / n);
        if (counts[s] && shares[s] == 0) { shares[s] = 1; }
        if (counts[s]) { last = s; }
        given += shares[s];
        if (shares[s] > shares[largest]) { largest = s; }
    }
    shares[largest] += size - given;
    if (shares[largest] < 1) { return 0; }
    bit_writer bits = {0, 0, out};
    add_bits(&bits, log - 5, 4);
    int remaining = size + 1, threshold = size, width = log + 1;
    for (int s = 0; s <= last;) {
        int value = shares[s] + 1, spare = 2 * threshold - 1 - remaining;
        remaining -= shares[s];
        if (value >= threshold) { value += spare; }
        add_bits(&bits, (uint64_t)value, (unsigned)(width - (value < spare)));
        while (remaining < threshold && threshold > 1) {
            width--;
            threshold >>= 1;
        }
        bool is_zero = shares[s] == 0;
        s++;
        if (!is_zero) { continue; }
        // How many more zeros follow, in twos of bits.
        int zeros = 0;
        while (shares[s + zeros] == 0) { zeros++; }
        s += zeros;
        for (; zeros >= 3; zeros -= 3) { add_bits(&bits, 3, 2); }
        add_bits(&bits, (uint64_t)zeros, 2);
    }
    if (bits.count) { add_bits(&bits, 0, 8 - bits.count); }

    // The states, and of each symbol where they start and how many bits a step to it takes.
    uint8_t spread[size];
    uint16_t states[size];
    int starts[alphabet], position = 0, start = 0;
    for (int s = 0; s <= last; s++) {
        starts[s] = start;
        start += shares[s];
        for (int i = 0; i < shares[s]; i++) {
            spread[position] = (uint8_t)s;
            position = (position + (size >> 1) + (size >> 3) + 3) & (size - 1);
        }
    }
    int next[alphabet];
    memcpy(next, starts, sizeof next);
    for (int i = 0; i < size; i++) { states[next[spread[i]]++] = (uint16_t)(size + i); }
    // From state x (size ... 2 size - 1) to symbol s: the low bits are written until what is left lies in share ... 2 share - 1.
    unsigned state[2] = {0, 0};
    bool begun[2] = {false, false};
    bits = (bit_writer){0, 0, bits.out};
    for (size_t i = n; i-- > 0;) {
        int s = w[i], share = shares[s];
        unsigned *x = &state[i % 2];
        if (!begun[i % 2]) {
            // The first symbol of a state costs nothing: any of its states will do, the first one here.
            begun[i % 2] = true;
            *x = states[starts[s]];
            continue;
        }
        unsigned count = 0;
        while ((*x >> count) >= 2 * (unsigned)share) { count++; }
        add_bits(&bits, *x & ((1u << count) - 1), count);
        *x = states[starts[s] + (int)(*x >> count) - share];
    }
    add_bits(&bits, state[1] - size, log);
    add_bits(&bits, state[0] - size, log);
    add_bits(&bits, 1, 1);
    if (bits.count) { add_bits(&bits, 0, 8 - bits.count); }
    return (size_t)(bits.out - out);
}

// Describes the code (4.2.1.1): the weight of each symbol but the last one. Gives the bytes written, at most 129, or 0 where it cannot be.
static size_t describe(const uint8_t *lengths, unsigned most, uint8_t *out) {
    uint8_t weights[symbols + 1] = {0};
    size_t last = 0;
    for (size_t s = 0; s < symbols; s++) {
        weights[s] = lengths[s] ? (uint8_t)(most + 1 - lengths[s]) : 0;
        if (lengths[s]) { last = s; }
    }
    uint8_t coded[4 * symbols];
    size_t size = last > 1 ? fse_weights(weights, last, coded) : 0;
    if (size > 0 && size < 128 && (size < (last + 1) / 2 || last > 128)) {
        out[0] = (uint8_t)size;
        memcpy(out + 1, coded, size);
        return size + 1;
    }
    if (last > 128) { return 0; }
    weights[last] = 0;
    out[0] = (uint8_t)(127 + last);
    for (size_t i = 0; i < last; i += 2) { out[1 + i / 2] = (uint8_t)(weights[i] << 4 | weights[i + 1]); }
    return 1 + (last + 1) / 2;
}

// Codes of equal length count up in the order of the symbols, longer ones before shorter ones.
static unsigned assign_codes(const uint8_t *lengths, uint16_t *codes) {
    unsigned most = 0, number[longest + 1] = {0}, first[longest + 2] = {0};
    for (size_t s = 0; s < symbols; s++) {
        number[lengths[s]]++;
        if (lengths[s] > most) { most = lengths[s]; }
    }
    for (unsigned length = most, next = 0; length > 0; length--) {
        first[length] = next;
        next = (next + number[length]) >> 1;
    }
    for (size_t s = 0; s < symbols; s++) { codes[s] = lengths[s] ? (uint16_t)first[lengths[s]]++ : 0; }
    return most;
}

// Up to four symbols before x[n], the last one first.
CK_INLINE void add_symbols(ck_huffman_writer *w, const uint8_t *x, size_t n, size_t count, const ck_huffman_code *code) {
    for (size_t i = 1; i <= count; i++) {
        w->bits |= (uint64_t)code->codes[x[n - i]] << w->count;
        w->count += code->lengths[x[n - i]];
    }
    ck_huffman_flush(w);
}

// Four streams side by side, since the steps of one wait for each other.
static void streams_plain(const uint8_t *const *x, const size_t *n, const ck_huffman_code *code, uint8_t *const *out, size_t *sizes) {
    ck_huffman_writer w[4] = {{0, 0, out[0]}, {0, 0, out[1]}, {0, 0, out[2]}, {0, 0, out[3]}};
    size_t done = 0;
    // The last stream is the shortest.
    for (; done + 4 <= n[3]; done += 4) {
        for (int i = 0; i < 4; i++) { add_symbols(&w[i], x[i], n[i] - done, 4, code); }
    }
    for (int i = 0; i < 4; i++) {
        for (size_t left = n[i] - done; left > 0; left--) { add_symbols(&w[i], x[i], left, 1, code); }
        sizes[i] = ck_huffman_end(&w[i], out[i]);
    }
}

size_t ck_huffman_scratch(void) { return 4 * (block_bytes / 4 * longest / 8 + 64); }

static size_t raw_block(const uint8_t *x, size_t n, bool is_last, uint8_t *out) {
    put(out, (uint64_t)n << 3 | is_last, 3);
    memcpy(out + 3, x, n);
    return 3 + n;
}

// One block: its header, and where coding gains nothing its bytes as they are. 0 where its code cannot be described.
static size_t encode_block(bool vectors, const uint8_t *x, size_t n, bool is_last, uint8_t *out, uint8_t *scratch) {
    uint32_t counts[symbols];
    uint8_t order[symbols];
    ck_huffman_code code;
    count_symbols(vectors, x, n, counts);
    size_t different = sort_symbols(counts, order);
    if (different == 1) {
        put(out, (uint64_t)n << 3 | 1 << 1 | is_last, 3);
        out[3] = x[0];
        return 4;
    }
    code_lengths(counts, order, different, code.lengths);
    unsigned most = assign_codes(code.lengths, code.codes);
    uint8_t description[160];
    size_t described = describe(code.lengths, most, description);
    if (described == 0) { return 0; }
    const size_t part = (n + 3) / 4, room = ck_huffman_scratch() / 4;
    const uint8_t *parts[4];
    uint8_t *streams[4];
    size_t lengths[4], sizes[4];
    for (size_t i = 0; i < 4; i++) {
        parts[i] = x + i * part;
        lengths[i] = i < 3 ? part : n - 3 * part;
        streams[i] = scratch + i * room;
    }
#if CK_HUFFMAN_VECTORS
    if (vectors) { ck_huffman_streams_avx512(parts, lengths, &code, streams, sizes); }
    else { streams_plain(parts, lengths, &code, streams, sizes); }
#else
    streams_plain(parts, lengths, &code, streams, sizes);
#endif
    size_t size = described + 6 + sizes[0] + sizes[1] + sizes[2] + sizes[3];
    if (5 + size + 1 >= n) { return raw_block(x, n, is_last, out); }
    put(out, (uint64_t)(5 + size + 1) << 3 | 2 << 1 | is_last, 3);
    // Literals that are coded (2), in four streams, with two sizes of 18 bits (3).
    put(out + 3, (uint64_t)size << 22 | (uint64_t)n << 4 | 3 << 2 | 2, 5);
    uint8_t *at = out + 8;
    memcpy(at, description, described);
    at += described;
    for (size_t i = 0; i < 3; i++) { put(at + 2 * i, sizes[i], 2); }
    at += 6;
    for (size_t i = 0; i < 4; i++) {
        memcpy(at, streams[i], sizes[i]);
        at += sizes[i];
    }
    *at++ = 0;  // no sequences
    return (size_t)(at - out);
}

static size_t encode_frame(bool vectors, const uint8_t *x, size_t n, uint8_t *out, uint8_t *scratch) {
    put(out, 0xFD2FB528, 4);
    // One segment, with its size in four bytes.
    out[4] = 2 << 6 | 1 << 5;
    put(out + 5, n, 4);
    size_t done = 9;
    for (size_t at = 0; at < n; at += block_bytes) {
        size_t rest = n - at, count = rest < block_bytes ? rest : block_bytes;
        // Of what is short the description of a code would be most.
        size_t size = rest < shortest ? raw_block(x + at, count, true, out + done) : encode_block(vectors, x + at, count, rest == count, out + done, scratch);
        if (size == 0) { return 0; }
        done += size;
    }
    return done;
}

size_t ck_huffman_frame(int isa, const void *x, size_t n, void *out, void *scratch) {
    return encode_frame(isa >= CK_ISA_AVX512 && ck_huffman_vectors(), x, n, out, scratch);
}
