/* HyperLogLog in Redis's representation.
 *
 * Header, 16 bytes:
 *
 *     0      4          5         8                       16
 *     "HYLL" | encoding | 0, 0, 0 | cardinality, 8 bytes LE |
 *
 *     encoding     0 dense, 1 sparse
 *     cardinality  what the last count estimated; the highest bit set: stale
 *
 * Dense: 16384 registers of 6 bits, the lowest bits of a byte first:
 *
 *     byte      0          1          2
 *     bits      11000000   22221111   33333322        (digits: the register)
 *
 * Sparse: opcodes that together cover the registers from 0 to 16383, none left out:
 *
 *     00llllll            ZERO    l + 1 registers (1 to 64) are 0
 *     01llllll llllllll   XZERO   l + 1 registers (1 to 16384) are 0, high bits first
 *     1vvvvvll            VAL     l + 1 registers (1 to 4) are v + 1 (1 to 32)
 *
 * What Redis writes depends on the order of updates: an opcode that covers a changed register is
 * split, then equal neighbours among the next few opcodes are merged. sparse_set does the same
 * steps, because replicas, backups and GET show the bytes.
 *
 * Invariants: 1. A value that passed fe_hll_validate has a whole header. 2. Opcodes are untrusted:
 * read_opcode never looks behind the end, and runs are checked against 16384 before registers are
 * written. 3. Registers in their one-byte form are at most 63.
 *
 * The estimator is the improved one of Ertl, "New cardinality estimation algorithms for HyperLogLog
 * sketches", 2017, algorithm 6, as in Redis since 5.0. The hash is MurmurHash64A by Austin Appleby.
 *
 * Threads: pure functions.
 */
#include "value/hll.h"

#include "base/assert.h"

#include <math.h>
#include <stdio.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "eight registers are one little-endian word");

enum {
    INDEX_BITS = 14,
    RANK_MAX = 64 - INDEX_BITS + 1, /* a hash whose remaining bits are all zero */
    ENCODING_AT = 4,
    CARDINALITY_AT = 8,
    ENCODING_DENSE = 0,
    ENCODING_SPARSE = 1,
    ZERO_RUN_MAX = 64,
    VAL_RUN_MAX = 4,
    VAL_VALUE_MAX = 32,
    MERGE_OPCODES = 5, /* how many opcodes are looked at after an update */
    VALUES = 64,       /* that a 6-bit register can have */
};

static const uint64_t HASH_SEED = 0xADC83B19U;
static const uint8_t STALE = 0x80;

/* -- elements -- */

/* MurmurHash64A, little-endian. */
static uint64_t hash_bytes(fe_bytes in)
{
    const uint64_t multiplier = 0xC6A4A7935BD1E995U;
    uint64_t hash = HASH_SEED ^ (in.len * multiplier);
    size_t at = 0;

    for (; in.len - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, in.ptr + at, sizeof word);
        word *= multiplier;
        word ^= word >> 47;
        hash = (hash ^ (word * multiplier)) * multiplier;
    }
    if (at < in.len) {
        uint64_t rest = 0;
        memcpy(&rest, in.ptr + at, in.len - at);
        hash = (hash ^ rest) * multiplier;
    }
    hash = (hash ^ (hash >> 47)) * multiplier;
    return hash ^ (hash >> 47);
}

/* Which register an element raises, and to what: the low bits of its hash choose, the rank is the
 * position of the lowest set bit of the rest, counted from 1. */
typedef struct target {
    unsigned index;
    unsigned rank;
} target;

static target aim(fe_bytes element)
{
    uint64_t hash = hash_bytes(element);
    uint64_t rest = (hash >> INDEX_BITS) | ((uint64_t)1 << (RANK_MAX - 1));
    return (target){(unsigned)hash % FE_HLL_REGISTERS, (unsigned)__builtin_ctzll(rest) + 1};
}

/* -- header -- */

fe_hll_status fe_hll_validate(fe_bytes hll)
{
    if (hll.len < FE_HLL_HEADER_BYTES || memcmp(hll.ptr, "HYLL", 4) != 0) return FE_HLL_NOT_HLL;
    if (hll.ptr[ENCODING_AT] > ENCODING_SPARSE) return FE_HLL_NOT_HLL;
    if (fe_hll_is_dense(hll) && hll.len != FE_HLL_DENSE_BYTES) return FE_HLL_NOT_HLL;
    return FE_HLL_OK;
}

bool fe_hll_is_dense(fe_bytes hll)
{
    FE_ASSERT(hll.len >= FE_HLL_HEADER_BYTES);
    return hll.ptr[ENCODING_AT] == ENCODING_DENSE;
}

static void mark_stale(uint8_t *hll)
{
    hll[FE_HLL_HEADER_BYTES - 1] |= STALE;
}

void fe_hll_write_empty(uint8_t out[FE_HLL_EMPTY_BYTES])
{
    memset(out, 0, FE_HLL_EMPTY_BYTES);
    memcpy(out, "HYLL", 4);
    out[ENCODING_AT] = ENCODING_SPARSE;
    mark_stale(out);
    out[FE_HLL_HEADER_BYTES] = 0x40 | ((FE_HLL_REGISTERS - 1) >> 8);
    out[FE_HLL_HEADER_BYTES + 1] = (FE_HLL_REGISTERS - 1) & 0xFF;
}

bool fe_hll_get_cached(fe_bytes hll, uint64_t *cardinality)
{
    FE_ASSERT(hll.len >= FE_HLL_HEADER_BYTES);
    if (hll.ptr[FE_HLL_HEADER_BYTES - 1] & STALE) return false;
    memcpy(cardinality, hll.ptr + CARDINALITY_AT, sizeof *cardinality);
    return true;
}

void fe_hll_set_cached(uint8_t *hll, uint64_t cardinality)
{
    memcpy(hll + CARDINALITY_AT, &cardinality, sizeof cardinality);
}

/* -- dense registers -- */

static uint8_t *dense_byte(uint8_t *hll, unsigned index)
{
    return hll + FE_HLL_HEADER_BYTES + index * 6 / 8;
}

/* A register lies in one byte or two; the last one ends with the last byte, so the second is read
 * only if it has a part of the register. */
static unsigned dense_get(const uint8_t *hll, unsigned index)
{
    const uint8_t *byte = hll + FE_HLL_HEADER_BYTES + index * 6 / 8;
    unsigned shift = index * 6 % 8;
    unsigned word = byte[0];
    if (shift > 2) word |= (unsigned)byte[1] << 8;
    return (word >> shift) & 63;
}

static void dense_set(uint8_t *hll, target to)
{
    uint8_t *byte = dense_byte(hll, to.index);
    unsigned shift = to.index * 6 % 8;
    unsigned clear = ~(63U << shift);
    unsigned set = to.rank << shift;

    byte[0] = (uint8_t)((byte[0] & clear) | set);
    if (shift > 2) byte[1] = (uint8_t)((byte[1] & (clear >> 8)) | (set >> 8));
}

static bool dense_raise(uint8_t *hll, target to)
{
    if (dense_get(hll, to.index) >= to.rank) return false;
    dense_set(hll, to);
    mark_stale(hll);
    return true;
}

/* Eight registers: 6 packed bytes, or 8 bytes of a word, register 0 in the lowest. */
static uint64_t unpack_eight(const uint8_t *packed)
{
    uint64_t word = 0;
    memcpy(&word, packed, 6);
    word = (word & 0xFFFFFFU) | ((word << 8) & 0x00FFFFFF00000000U);
    word = (word & 0x00000FFF00000FFFU) | ((word << 4) & 0x0FFF00000FFF0000U);
    return (word & 0x003F003F003F003FU) | ((word << 2) & 0x3F003F003F003F00U);
}

static void pack_eight(uint8_t *packed, uint64_t word)
{
    word = (word & 0x003F003F003F003FU) | ((word & 0x3F003F003F003F00U) >> 2);
    word = (word & 0x00000FFF00000FFFU) | ((word & 0x0FFF00000FFF0000U) >> 4);
    word = (word & 0xFFFFFFU) | ((word & 0x00FFFFFF00000000U) >> 8);
    memcpy(packed, &word, 6);
}

/* The larger of each pair of bytes; all are below 128. */
static uint64_t max_eight(uint64_t a, uint64_t b)
{
    const uint64_t tops = 0x8080808080808080U;
    uint64_t a_wins = ((((a | tops) - b) & tops) >> 7) * 0xFF;
    return (a & a_wins) | (b & ~a_wins);
}

static void merge_dense(uint8_t registers[FE_HLL_REGISTERS], const uint8_t *hll)
{
    const uint8_t *packed = hll + FE_HLL_HEADER_BYTES;

    for (size_t i = 0; i < FE_HLL_REGISTERS; i += 8, packed += 6) {
        uint64_t mine;
        memcpy(&mine, registers + i, sizeof mine);
        mine = max_eight(mine, unpack_eight(packed));
        memcpy(registers + i, &mine, sizeof mine);
    }
}

static void write_dense(uint8_t *hll, const uint8_t registers[FE_HLL_REGISTERS])
{
    uint8_t *packed = hll + FE_HLL_HEADER_BYTES;

    for (size_t i = 0; i < FE_HLL_REGISTERS; i += 8, packed += 6) {
        uint64_t word;
        memcpy(&word, registers + i, sizeof word);
        pack_eight(packed, word);
    }
}

/* -- sparse opcodes -- */

typedef struct opcode {
    unsigned bytes; /* 1, or 2 for XZERO */
    unsigned run;   /* registers that it covers, at least 1 */
    unsigned value; /* of these registers; 0 for ZERO and XZERO */
} opcode;

/* False at the end, and for an XZERO whose second byte is missing. */
static bool read_opcode(fe_bytes hll, size_t at, opcode *op)
{
    if (at >= hll.len) return false;
    unsigned byte = hll.ptr[at];

    if (byte & 0x80) {
        *op = (opcode){1, (byte & 3) + 1, ((byte >> 2) & 31) + 1};
    } else if (byte & 0x40) {
        if (at + 1 >= hll.len) return false;
        *op = (opcode){2, (((byte & 63) << 8) | hll.ptr[at + 1]) + 1, 0};
    } else {
        *op = (opcode){1, byte + 1, 0};
    }
    return true;
}

static uint8_t val_byte(unsigned value, unsigned run)
{
    return (uint8_t)(0x80 | (value - 1) << 2 | (run - 1));
}

/* Writes the shortest opcode for a run of `run` registers, nothing for none; returns its length. */
static size_t write_run(uint8_t *out, unsigned value, unsigned run)
{
    if (run == 0) return 0;
    if (value != 0) {
        FE_ASSERT(run <= VAL_RUN_MAX && value <= VAL_VALUE_MAX);
        out[0] = val_byte(value, run);
        return 1;
    }
    if (run <= ZERO_RUN_MAX) {
        out[0] = (uint8_t)(run - 1);
        return 1;
    }
    out[0] = (uint8_t)(0x40 | (run - 1) >> 8);
    out[1] = (uint8_t)(run - 1);
    return 2;
}

/* Where a search for a register starts, and where it ended. */
typedef struct place {
    size_t at;          /* offset of an opcode */
    unsigned first;     /* the first register that it covers */
    size_t previous_at; /* the opcode before it, as far as the search knows: itself if it started
                           here */
    unsigned previous_first; /* and its first register */
} place;

static const place PLACE_START = {FE_HLL_HEADER_BYTES, 0, FE_HLL_HEADER_BYTES, 0};

/* Moves `where`, which must not lie behind the register, to the opcode that covers it. False when
 * the value ends before. */
static bool seek(fe_bytes hll, unsigned index, place *where, opcode *op)
{
    while (read_opcode(hll, where->at, op)) {
        if (index < where->first + op->run) return true;
        where->previous_at = where->at;
        where->previous_first = where->first;
        where->at += op->bytes;
        where->first += op->run;
    }
    return false;
}

/* Raises the caller's registers to those of a sparse value; false when it does not cover exactly
 * all. */
static bool merge_sparse(uint8_t registers[FE_HLL_REGISTERS], fe_bytes hll)
{
    unsigned index = 0;
    size_t at = FE_HLL_HEADER_BYTES;
    opcode op;

    for (; read_opcode(hll, at, &op); at += op.bytes) {
        if (op.run > FE_HLL_REGISTERS - index) return false;
        if (op.value == 0) {
            index += op.run;
            continue;
        }
        for (unsigned end = index + op.run; index < end; index++) {
            if (registers[index] < op.value) registers[index] = (uint8_t)op.value;
        }
    }
    return at == hll.len && index == FE_HLL_REGISTERS;
}

/* -- sparse updates -- */

static fe_bytes view_of(const fe_buf *hll)
{
    return (fe_bytes){hll->data, hll->len};
}

/* Replaces the `old_len` bytes at `at` by `new_len` others; false when out of memory. */
static bool splice(fe_buf *hll, size_t at, size_t old_len, const uint8_t *bytes, size_t new_len)
{
    if (new_len > old_len && fe_buf_reserve(hll, new_len - old_len) == NULL) return false;
    size_t rest = hll->len - at - old_len;
    memmove(hll->data + at + new_len, hll->data + at + old_len, rest);
    memcpy(hll->data + at, bytes, new_len);
    hll->len = at + new_len + rest;
    return true;
}

/* Merges equal VAL neighbours, from the opcode before a change on. */
static void merge_neighbours(fe_buf *hll, size_t at)
{
    for (int i = 0; i < MERGE_OPCODES; i++) {
        opcode left, right;
        if (!read_opcode(view_of(hll), at, &left)) return;
        bool mergeable = left.value != 0 && read_opcode(view_of(hll), at + 1, &right) &&
                         right.value == left.value && left.run + right.run <= VAL_RUN_MAX;
        if (mergeable) {
            uint8_t merged = val_byte(left.value, left.run + right.run);
            (void)splice(hll, at, 2, &merged, 1);
        } else {
            at += left.bytes;
        }
    }
}

/* Rewrites `hll` from its registers as a dense value; the header stays but for the encoding. */
static fe_hll_status rewrite_dense(fe_buf *hll, const uint8_t registers[FE_HLL_REGISTERS])
{
    if (hll->len < FE_HLL_DENSE_BYTES &&
        fe_buf_reserve(hll, FE_HLL_DENSE_BYTES - hll->len) == NULL) {
        return FE_HLL_NO_MEMORY;
    }
    hll->len = FE_HLL_DENSE_BYTES;
    hll->data[ENCODING_AT] = ENCODING_DENSE;
    write_dense(hll->data, registers);
    return FE_HLL_OK;
}

static fe_hll_status promote(fe_buf *hll, target to, bool *changed)
{
    fe_hll_status status = fe_hll_to_dense(hll);
    if (status != FE_HLL_OK) return status;
    *changed = dense_raise(hll->data, to);
    return FE_HLL_OK;
}

/* Finds the opcode that covers a register, from `from` on. If that is `from` itself, the opcode
 * before it, where merging has to start, is unknown and the search is done again from the first
 * opcode. */
static bool seek_from(fe_bytes hll, unsigned index, const place *from, place *where, opcode *op)
{
    *where = *from;
    if (!seek(hll, index, where, op)) return false;
    if (where->at != from->at || from->at == PLACE_START.at) return true;
    *where = PLACE_START;
    return seek(hll, index, where, op);
}

/* Raises one register of a sparse value: splits the opcode that covers it, then merges neighbours.
 * The search starts at `from`, which is then moved to the opcode before the change: registers
 * behind the changed one can be searched from there. */
static fe_hll_status sparse_raise(fe_buf *hll, target to, size_t sparse_bytes_max, place *from,
                                  bool *changed)
{
    uint8_t parts[5];
    place where;
    opcode op;

    if (to.rank > VAL_VALUE_MAX) return promote(hll, to, changed);
    if (!seek_from(view_of(hll), to.index, from, &where, &op)) return FE_HLL_CORRUPT;
    if (op.value >= to.rank) {
        *changed = false;
        return FE_HLL_OK;
    }

    size_t len = write_run(parts, op.value, to.index - where.first);
    len += write_run(parts + len, to.rank, 1);
    len += write_run(parts + len, op.value, where.first + op.run - 1 - to.index);
    if (len > op.bytes && hll->len + len - op.bytes > sparse_bytes_max) {
        return promote(hll, to, changed);
    }
    if (!splice(hll, where.at, op.bytes, parts, len)) return FE_HLL_NO_MEMORY;
    merge_neighbours(hll, where.previous_at);
    mark_stale(hll->data);
    *from =
        (place){where.previous_at, where.previous_first, where.previous_at, where.previous_first};
    *changed = true;
    return FE_HLL_OK;
}

/* -- the estimate -- */

/* How many registers have each value. */
typedef struct histogram {
    unsigned count[VALUES];
} histogram;

/* Two halves, so that equal neighbours do not wait for each other's counter. */
static void tally_eight(histogram *even, histogram *odd, uint64_t word)
{
    for (int i = 0; i < 4; i++, word >>= 16) {
        even->count[word & 63]++;
        odd->count[(word >> 8) & 63]++;
    }
}

static void add_histogram(histogram *to, const histogram *from)
{
    for (int i = 0; i < VALUES; i++)
        to->count[i] += from->count[i];
}

static histogram tally_dense(const uint8_t *hll)
{
    histogram even = {{0}}, odd = {{0}};
    const uint8_t *packed = hll + FE_HLL_HEADER_BYTES;

    for (size_t i = 0; i < FE_HLL_REGISTERS; i += 8, packed += 6) {
        tally_eight(&even, &odd, unpack_eight(packed));
    }
    add_histogram(&even, &odd);
    return even;
}

static bool tally_sparse(fe_bytes hll, histogram *tally)
{
    unsigned index = 0;
    size_t at = FE_HLL_HEADER_BYTES;
    opcode op;

    *tally = (histogram){{0}};
    for (; read_opcode(hll, at, &op); at += op.bytes) {
        if (op.run > FE_HLL_REGISTERS - index) return false;
        tally->count[op.value] += op.run;
        index += op.run;
    }
    return at == hll.len && index == FE_HLL_REGISTERS;
}

/* Ertl's sigma: x + sum of 2^(k-1) x^(2^k); corrects for registers that are still zero. */
static double sigma(double x)
{
    if (x == 1.0) return (double)INFINITY;
    double weight = 1, sum = x, before;
    do {
        x *= x;
        before = sum;
        sum += x * weight;
        weight += weight;
    } while (before != sum);
    return sum;
}

/* Ertl's tau: (1 - x - sum of 2^-k (1 - x^(2^-k))^2) / 3; corrects for registers at the maximum. */
static double tau(double x)
{
    if (x == 0.0 || x == 1.0) return 0;
    double weight = 1, sum = 1 - x, before;
    do {
        x = sqrt(x);
        before = sum;
        weight *= 0.5;
        sum -= (1 - x) * (1 - x) * weight;
    } while (before != sum);
    return sum / 3;
}

/* Rounds to the nearest, half away from zero. Hostile registers can give infinity, which becomes
 * the largest cardinality that the header can hold. */
static uint64_t round_estimate(double estimate)
{
    if (!(estimate < 9223372036854775808.0)) return INT64_MAX;
    uint64_t whole = (uint64_t)estimate;
    return estimate - (double)whole >= 0.5 ? whole + 1 : whole;
}

static uint64_t estimate(const histogram *tally)
{
    const double alpha = 0.721347520444481703680; /* 1 / (2 ln 2) */
    const double registers = FE_HLL_REGISTERS;
    double z = registers * tau((registers - tally->count[RANK_MAX]) / registers);

    for (int rank = RANK_MAX - 1; rank >= 1; rank--)
        z = (z + tally->count[rank]) * 0.5;
    z += registers * sigma(tally->count[0] / registers);
    return round_estimate(alpha * registers * registers / z);
}

/* -- the public operations -- */

fe_hll_status fe_hll_probe(fe_bytes hll, fe_bytes element, bool *would_change)
{
    target to = aim(element);
    place where = PLACE_START;
    opcode op;

    if (fe_hll_is_dense(hll)) {
        *would_change = dense_get(hll.ptr, to.index) < to.rank;
        return FE_HLL_OK;
    }
    if (!seek(hll, to.index, &where, &op)) return FE_HLL_CORRUPT;
    *would_change = op.value < to.rank;
    return FE_HLL_OK;
}

bool fe_hll_add_dense(uint8_t *hll, fe_bytes element)
{
    return dense_raise(hll, aim(element));
}

fe_hll_status fe_hll_add(fe_buf *hll, fe_bytes element, size_t sparse_bytes_max, bool *changed)
{
    place start = PLACE_START;

    if (!fe_hll_is_dense(view_of(hll))) {
        return sparse_raise(hll, aim(element), sparse_bytes_max, &start, changed);
    }
    *changed = fe_hll_add_dense(hll->data, element);
    return FE_HLL_OK;
}

fe_hll_status fe_hll_merge(uint8_t registers[FE_HLL_REGISTERS], fe_bytes hll)
{
    if (fe_hll_is_dense(hll)) {
        merge_dense(registers, hll.ptr);
        return FE_HLL_OK;
    }
    return merge_sparse(registers, hll) ? FE_HLL_OK : FE_HLL_CORRUPT;
}

fe_hll_status fe_hll_to_dense(fe_buf *hll)
{
    uint8_t registers[FE_HLL_REGISTERS] = {0};

    if (fe_hll_is_dense(view_of(hll))) return FE_HLL_OK;
    if (!merge_sparse(registers, view_of(hll))) return FE_HLL_CORRUPT;
    return rewrite_dense(hll, registers);
}

static void raise_dense(uint8_t *hll, const uint8_t registers[FE_HLL_REGISTERS])
{
    uint8_t *packed = hll + FE_HLL_HEADER_BYTES;

    for (size_t i = 0; i < FE_HLL_REGISTERS; i += 8, packed += 6) {
        uint64_t theirs;
        memcpy(&theirs, registers + i, sizeof theirs);
        pack_eight(packed, max_eight(theirs, unpack_eight(packed)));
    }
}

/* Registers come in rising order, so each search starts where the last change was, and all of them
 * together pass the value about once. Stops early when the value has become dense. */
static fe_hll_status raise_sparse(fe_buf *hll, const uint8_t registers[FE_HLL_REGISTERS],
                                  size_t sparse_bytes_max)
{
    place where = PLACE_START;

    for (unsigned i = 0; i < FE_HLL_REGISTERS && !fe_hll_is_dense(view_of(hll)); i++) {
        bool changed;
        target to = {i, registers[i]};
        if (registers[i] == 0) continue;
        fe_hll_status status = sparse_raise(hll, to, sparse_bytes_max, &where, &changed);
        if (status != FE_HLL_OK) return status;
    }
    return FE_HLL_OK;
}

fe_hll_status fe_hll_raise(fe_buf *hll, const uint8_t registers[FE_HLL_REGISTERS], bool dense,
                           size_t sparse_bytes_max)
{
    fe_hll_status status =
        dense ? fe_hll_to_dense(hll) : raise_sparse(hll, registers, sparse_bytes_max);

    if (status != FE_HLL_OK) return status;
    if (fe_hll_is_dense(view_of(hll))) raise_dense(hll->data, registers);
    mark_stale(hll->data);
    return FE_HLL_OK;
}

fe_hll_status fe_hll_count(fe_bytes hll, uint64_t *cardinality)
{
    histogram tally;

    if (fe_hll_is_dense(hll)) {
        tally = tally_dense(hll.ptr);
    } else if (!tally_sparse(hll, &tally)) {
        return FE_HLL_CORRUPT;
    }
    *cardinality = estimate(&tally);
    return FE_HLL_OK;
}

uint64_t fe_hll_count_registers(const uint8_t registers[FE_HLL_REGISTERS])
{
    histogram even = {{0}}, odd = {{0}};

    for (size_t i = 0; i < FE_HLL_REGISTERS; i += 8) {
        uint64_t word;
        memcpy(&word, registers + i, sizeof word);
        tally_eight(&even, &odd, word);
    }
    add_histogram(&even, &odd);
    return estimate(&even);
}

fe_hll_status fe_hll_describe(fe_bytes hll, fe_buf *out)
{
    histogram tally;
    size_t at = FE_HLL_HEADER_BYTES;
    opcode op;

    FE_ASSERT(!fe_hll_is_dense(hll));
    if (!tally_sparse(hll, &tally)) return FE_HLL_CORRUPT;
    for (; read_opcode(hll, at, &op); at += op.bytes) {
        char text[32];
        const char *space = at == FE_HLL_HEADER_BYTES ? "" : " ";
        int len = op.value != 0 ? snprintf(text, sizeof text, "%sv:%u,%u", space, op.value, op.run)
                  : op.bytes == 2 ? snprintf(text, sizeof text, "%sZ:%u", space, op.run)
                                  : snprintf(text, sizeof text, "%sz:%u", space, op.run);
        fe_buf_append(out, text, (size_t)len);
    }
    return out->failed ? FE_HLL_NO_MEMORY : FE_HLL_OK;
}
