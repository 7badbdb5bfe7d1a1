/* readcache: replays a trace against models of where a tiered store keeps its records, and counts.
 *
 *     readcache --trace FILE --memory BYTES --segment BYTES --warm OPERATIONS  SPEC...
 *
 * The trace is an array of 12-byte operations (see `operation`). Time is the number of the operation.
 * A read of a key that does not exist (never written, or expired) is followed by a write of it: the
 * client fills its cache. Each SPEC, "name:option=number,...", is replayed from an empty store; one
 * line of JSON comes out for each, whose counts leave out the first `warm` operations.
 *
 *     writes --> MUTABLE ring --sealed, written to flash--> FROZEN ring --> disk
 *                                                              | read while in memory: carried
 *                disk read, if admitted --> SMALL ring --> MAIN ring     (copies, never written)
 *
 * A ring is a queue of segments, and records leave it a segment at a time. Reads are counted in marks,
 * one for each 64 bytes of a segment, which neighbours that begin in the same 64 bytes share. When
 * MAIN is full, its oldest segment is walked, and what was read since is appended again (CLOCK). An
 * update in MUTABLE of equal size is done in place; any other appends to the log, and the old record
 * or copy dies. There is no compaction on disk.
 *
 * Options, with their defaults:
 *   mutable=100 frozen=0  percent of memory; the rest is SMALL and MAIN, one segment of it the spare
 *                         that a walk needs
 *   small=0               percent of SMALL and MAIN; 0: everything enters MAIN
 *   max=3                 a mark stops here: 3 for two bits, 1 for one
 *   carry=1               marks that a record needs when it leaves the log to be carried into MAIN
 *   promote=1             marks that it needs to go from SMALL to MAIN
 *   reinsert=1            marks that it needs to stay in MAIN; above `max`: plain FIFO
 *   keep=1                a record that moves within memory has its mark less one; 0: it has none
 *   walk=0                segments of MAIN walked to free one, after which nothing stays; 0: any
 *   admit=1               what a disk read does: 0 nothing, 1 enters the cache, 2 enters it when the
 *                         ghost knows the key, 3 is copied to the log's tail, 4 the same, but the
 *                         copy is not written to flash, 5 as 3, and a read of a FROZEN record as well
 *   ghost=0               keys remembered, oldest forgotten first, that left the log or SMALL unread,
 *                         or were not admitted; 8 bytes of memory each
 *   regret=0              1: keys that leave MAIN are remembered as well
 *   warm=0                1: the new record of an update begins with the mark that the old one in
 *                         memory had; 2: and with at least 1 if that was in MAIN
 *   lru=1                 another model: least recently used by record; a changed one is written to
 *                         flash when it leaves
 *
 * Invariants: state.segment and state.entry name the only live copy in memory; what is in SMALL or
 * MAIN has its home on disk. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GRANULE = 64, COPY_HEAD = 8, GHOST_BYTES = 8, SPECS_MAX = 512 };
enum { ABSENT = 0, DISK = 1, FIRST = 2 }; /* state.segment: or the number of a segment */
enum { ADMIT_NONE, ADMIT_ALL, ADMIT_GHOST, ADMIT_TAIL, ADMIT_TAIL_UNWRITTEN, ADMIT_TAIL_FROZEN };

typedef struct {
    uint32_t key;
    uint32_t size_and_kind; /* bytes of the record; the highest bit: a write */
    uint32_t ttl;           /* operations until it expires; 0: never */
} operation;

static const uint32_t WRITE_BIT = 1u << 31;

typedef struct {
    uint32_t segment, entry; /* where; `entry` only in a segment */
    uint32_t size;
    uint32_t ghost;    /* 1 + the number of its entry into the ghost; 0: never */
    uint64_t deadline; /* 0: none */
} key_state;

typedef struct {
    uint32_t key, offset;
} entry;

typedef enum { MUTABLE, FROZEN, SMALL, MAIN, RINGS } ring_name;

typedef struct {
    entry *entries;
    uint8_t *marks; /* one for each granule */
    uint32_t count, capacity;
    uint32_t used;    /* bytes */
    uint32_t written; /* of them, that go to flash */
    uint32_t newer;   /* the next one in its ring, or of the free ones; 0 ends */
    ring_name ring;
} segment_state;

typedef struct {
    uint32_t oldest, newest;
    uint64_t count, budget; /* segments */
} ring_state;

typedef struct {
    uint64_t mutable, frozen, small, max, carry, promote, reinsert, keep, walk, admit, ghost,
        regret, warm, lru;
} options;

typedef struct {
    uint64_t reads, disk_reads, misses, hits[RINGS], updates_in_place, client_bytes, flash_bytes;
    uint64_t carried_bytes, admitted_bytes, reinserted_bytes, walk_segments_max;
} counts;

typedef struct {
    options opt;
    counts n;
    uint64_t memory, segment_bytes, now;
    key_state *state;
    uint32_t keys;
    segment_state *segments;
    uint32_t segment_count, segment_capacity, free_head;
    ring_state rings[RINGS];
    uint64_t ghost_entries;
    uint64_t walked; /* segments of MAIN since it was full */
    /* lru */
    uint32_t *newer, *older; /* by key; [keys] is the ring's head */
    bool *changed;
    uint64_t lru_bytes;
} simulation;

static void die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(2);
}

static void *take(size_t count, size_t size)
{
    void *ptr = calloc(count, size);
    if (ptr == NULL) die("out of memory");
    return ptr;
}

/* ---- segments and rings ---- */

static uint32_t segment_take(simulation *sim)
{
    uint32_t number = sim->free_head;
    if (number != 0) {
        segment_state *reused = &sim->segments[number];
        sim->free_head = reused->newer;
        reused->count = reused->used = reused->written = reused->newer = 0;
        memset(reused->marks, 0, sim->segment_bytes / GRANULE + 1);
        return number;
    }
    if (sim->segment_count == sim->segment_capacity) {
        sim->segment_capacity = sim->segment_capacity * 2;
        sim->segments = realloc(sim->segments, sim->segment_capacity * sizeof(segment_state));
        if (sim->segments == NULL) die("out of memory");
    }
    number = sim->segment_count++;
    segment_state *fresh = &sim->segments[number];
    memset(fresh, 0, sizeof(*fresh));
    fresh->marks = take(sim->segment_bytes / GRANULE + 1, 1);
    return number;
}

static void segment_give(simulation *sim, uint32_t number)
{
    sim->segments[number].newer = sim->free_head;
    sim->free_head = number;
}

static void ring_push(simulation *sim, ring_name name, uint32_t number)
{
    ring_state *ring = &sim->rings[name];
    sim->segments[number].ring = name;
    sim->segments[number].newer = 0;
    if (ring->newest != 0)
        sim->segments[ring->newest].newer = number;
    else
        ring->oldest = number;
    ring->newest = number;
    ring->count++;
}

static uint32_t ring_pop(simulation *sim, ring_name name)
{
    ring_state *ring = &sim->rings[name];
    uint32_t number = ring->oldest;
    ring->oldest = sim->segments[number].newer;
    if (ring->oldest == 0) ring->newest = 0;
    ring->count--;
    return number;
}

/* Appends a record to the newest segment of a ring, or a new one; its mark becomes at least `mark`. */
static void ring_append(simulation *sim, ring_name name, uint32_t key, uint8_t mark, bool written)
{
    key_state *state = &sim->state[key];
    uint32_t size = state->size + (name == SMALL || name == MAIN ? COPY_HEAD : 0);
    uint32_t number = sim->rings[name].newest;
    if (number == 0 || sim->segments[number].used + size > sim->segment_bytes) {
        if (size > sim->segment_bytes) die("a record is larger than a segment");
        number = segment_take(sim);
        ring_push(sim, name, number);
    }
    segment_state *segment = &sim->segments[number];
    if (segment->count == segment->capacity) {
        segment->capacity = segment->capacity ? segment->capacity * 2 : 64;
        segment->entries = realloc(segment->entries, segment->capacity * sizeof(entry));
        if (segment->entries == NULL) die("out of memory");
    }
    uint8_t *place = &segment->marks[segment->used / GRANULE];
    if (*place < mark) *place = mark;
    state->segment = number;
    state->entry = segment->count;
    segment->entries[segment->count++] = (entry){key, segment->used};
    segment->used += size;
    if (written) segment->written += size;
}

static uint8_t *mark_of(simulation *sim, const key_state *state)
{
    segment_state *segment = &sim->segments[state->segment];
    return &segment->marks[segment->entries[state->entry].offset / GRANULE];
}

static bool expired(const simulation *sim, const key_state *state)
{
    return state->deadline != 0 && sim->now >= state->deadline;
}

/* ---- leaving memory ---- */

static void ghost_add(simulation *sim, uint32_t key)
{
    if (sim->opt.ghost != 0) sim->state[key].ghost = (uint32_t)++sim->ghost_entries;
}

static bool ghost_knows(const simulation *sim, uint32_t key)
{
    uint32_t number = sim->state[key].ghost;
    return number != 0 && sim->ghost_entries - number < sim->opt.ghost;
}

typedef void (*leave_rule)(simulation *sim, uint32_t key, uint8_t mark);

/* Empties the oldest segment of a ring; `rule` decides about each record that is alive. */
static void ring_leave(simulation *sim, ring_name name, leave_rule rule)
{
    uint32_t number = ring_pop(sim, name);
    for (uint32_t i = 0; i < sim->segments[number].count; i++) {
        entry at = sim->segments[number].entries[i];
        key_state *state = &sim->state[at.key];
        if (state->segment != number || state->entry != i) continue;
        uint8_t mark = sim->segments[number].marks[at.offset / GRANULE];
        state->segment = expired(sim, state) ? ABSENT : DISK;
        if (state->segment == DISK) rule(sim, at.key, mark);
    }
    segment_give(sim, number);
}

static uint8_t one_less(uint8_t mark, uint64_t wanted)
{
    return wanted != 0 && mark != 0 ? (uint8_t)(mark - 1) : 0;
}

static void leave_main(simulation *sim, uint32_t key, uint8_t mark)
{
    if (mark < sim->opt.reinsert || (sim->opt.walk != 0 && sim->walked >= sim->opt.walk)) {
        if (sim->opt.regret) ghost_add(sim, key);
        return;
    }
    sim->n.reinserted_bytes += sim->state[key].size;
    ring_append(sim, MAIN, key, one_less(mark, sim->opt.keep), false);
}

static void main_add(simulation *sim, uint32_t key, uint8_t mark)
{
    ring_append(sim, MAIN, key, mark, false);
    sim->walked = 0;
    for (; sim->rings[MAIN].count > sim->rings[MAIN].budget; sim->walked++)
        ring_leave(sim, MAIN, leave_main);
    if (sim->walked > sim->n.walk_segments_max) sim->n.walk_segments_max = sim->walked;
}

static void leave_small(simulation *sim, uint32_t key, uint8_t mark)
{
    if (mark < sim->opt.promote) {
        ghost_add(sim, key);
        return;
    }
    sim->n.reinserted_bytes += sim->state[key].size;
    main_add(sim, key, one_less(mark, sim->opt.keep));
}

static void leave_log(simulation *sim, uint32_t key, uint8_t mark)
{
    if (sim->rings[MAIN].budget == 0 || mark < sim->opt.carry) {
        ghost_add(sim, key);
        return;
    }
    sim->n.carried_bytes += sim->state[key].size;
    main_add(sim, key, one_less(mark, sim->opt.keep));
}

static void log_append(simulation *sim, uint32_t key, uint8_t mark, bool written)
{
    ring_append(sim, MUTABLE, key, mark, written);
    while (sim->rings[MUTABLE].count > sim->rings[MUTABLE].budget) {
        sim->n.flash_bytes += sim->segments[sim->rings[MUTABLE].oldest].written;
        if (sim->rings[FROZEN].budget == 0)
            ring_leave(sim, MUTABLE, leave_log);
        else
            ring_push(sim, FROZEN, ring_pop(sim, MUTABLE));
    }
    while (sim->rings[FROZEN].count > sim->rings[FROZEN].budget)
        ring_leave(sim, FROZEN, leave_log);
}

/* ---- operations on the log model ---- */

/* A record was read from disk: where does it go? */
static void disk_read(simulation *sim, uint32_t key)
{
    uint64_t admit = sim->opt.admit;
    if (admit >= ADMIT_TAIL) {
        log_append(sim, key, 0, admit != ADMIT_TAIL_UNWRITTEN);
        return;
    }
    if (admit == ADMIT_NONE || sim->rings[MAIN].budget == 0) return;
    bool known = ghost_knows(sim, key);
    if (admit == ADMIT_GHOST && !known) {
        ghost_add(sim, key);
        return;
    }
    sim->n.admitted_bytes += sim->state[key].size;
    if (known || sim->rings[SMALL].budget == 0) {
        main_add(sim, key, 0);
        return;
    }
    ring_append(sim, SMALL, key, 0, false);
    while (sim->rings[SMALL].count > sim->rings[SMALL].budget)
        ring_leave(sim, SMALL, leave_small);
}

/* The mark that the new record of an update begins with. */
static uint8_t warmth(simulation *sim, const key_state *state)
{
    if (sim->opt.warm == 0 || state->segment < FIRST) return 0;
    uint8_t mark = *mark_of(sim, state);
    bool proven = sim->opt.warm >= 2 && sim->segments[state->segment].ring == MAIN;
    return mark == 0 && proven ? 1 : mark;
}

static void log_write(simulation *sim, const operation *op, uint32_t size)
{
    key_state *state = &sim->state[op->key];
    state->deadline = op->ttl ? sim->now + op->ttl : 0;
    sim->n.client_bytes += size;
    if (state->segment >= FIRST && state->size == size &&
        sim->segments[state->segment].ring == MUTABLE) {
        sim->n.updates_in_place++;
        return;
    }
    uint8_t mark = warmth(sim, state);
    state->size = size;
    log_append(sim, op->key, mark, true);
}

static void log_step(simulation *sim, const operation *op)
{
    key_state *state = &sim->state[op->key];
    uint32_t size = op->size_and_kind & ~WRITE_BIT;
    if (expired(sim, state)) state->segment = ABSENT;
    if (op->size_and_kind & WRITE_BIT) {
        log_write(sim, op, size);
        return;
    }
    sim->n.reads++;
    if (state->segment == ABSENT) {
        sim->n.misses++;
        log_write(sim, op, size);
    } else if (state->segment == DISK) {
        sim->n.disk_reads++;
        disk_read(sim, op->key);
    } else {
        ring_name name = sim->segments[state->segment].ring;
        uint8_t *mark = mark_of(sim, state);
        sim->n.hits[name]++;
        if (*mark < sim->opt.max) ++*mark;
        if (name == FROZEN && sim->opt.admit == ADMIT_TAIL_FROZEN)
            log_append(sim, op->key, 0, true);
    }
}

static uint64_t segments_in(const simulation *sim, uint64_t bytes)
{
    return (bytes + sim->segment_bytes / 2) / sim->segment_bytes;
}

/* Divides the memory into whole segments; what rounding leaves over goes to MAIN. */
static void log_open(simulation *sim)
{
    const options *opt = &sim->opt;
    uint64_t ghost_bytes = opt->ghost * GHOST_BYTES;
    if (ghost_bytes >= sim->memory) die("the ghost is larger than memory");
    uint64_t all = segments_in(sim, sim->memory - ghost_bytes);
    uint64_t log = segments_in(sim, sim->memory * (opt->mutable + opt->frozen) / 100);
    if (log > all) log = all;
    sim->rings[FROZEN].budget = segments_in(sim, sim->memory * opt->frozen / 100);
    if (sim->rings[FROZEN].budget >= log) die("no memory is left for the mutable ring");
    sim->rings[MUTABLE].budget = log - sim->rings[FROZEN].budget;
    uint64_t cache = all - log;
    if (opt->mutable + opt->frozen >= 100) cache = 0;
    if (cache == 0) return;
    sim->rings[SMALL].budget = (cache * opt->small + 50) / 100;
    if (opt->small != 0 && sim->rings[SMALL].budget == 0) sim->rings[SMALL].budget = 1;
    if (cache < sim->rings[SMALL].budget + 2) die("no memory is left for the main ring");
    sim->rings[MAIN].budget = cache - sim->rings[SMALL].budget - 1; /* one is the walk's spare */
}

/* ---- least recently used ---- */

static void lru_unlink(simulation *sim, uint32_t key)
{
    sim->older[sim->newer[key]] = sim->older[key];
    sim->newer[sim->older[key]] = sim->newer[key];
    sim->lru_bytes -= sim->state[key].size;
}

static void lru_evict(simulation *sim)
{
    while (sim->lru_bytes > sim->memory) {
        uint32_t key = sim->newer[sim->keys];
        key_state *state = &sim->state[key];
        lru_unlink(sim, key);
        state->segment = expired(sim, state) ? ABSENT : DISK;
        if (state->segment == DISK && sim->changed[key]) sim->n.flash_bytes += state->size;
        sim->changed[key] = false;
    }
}

static void lru_step(simulation *sim, const operation *op)
{
    uint32_t key = op->key, head = sim->keys;
    key_state *state = &sim->state[key];
    bool write = (op->size_and_kind & WRITE_BIT) != 0;
    bool resident = state->segment >= FIRST;
    if (resident) lru_unlink(sim, key);
    if (!write) sim->n.reads++;
    if (expired(sim, state)) state->segment = ABSENT;
    if (write || state->segment == ABSENT) {
        if (!write) sim->n.misses++;
        state->size = op->size_and_kind & ~WRITE_BIT;
        state->deadline = op->ttl ? sim->now + op->ttl : 0;
        sim->n.client_bytes += state->size;
        sim->changed[key] = true;
    } else if (resident) {
        sim->n.hits[MAIN]++;
    } else {
        sim->n.disk_reads++;
    }
    state->segment = FIRST;
    sim->older[key] = sim->older[head];
    sim->newer[key] = head;
    sim->newer[sim->older[head]] = key;
    sim->older[head] = key;
    sim->lru_bytes += state->size;
    lru_evict(sim);
}

static void lru_open(simulation *sim)
{
    sim->newer = take(sim->keys + 1, sizeof(uint32_t));
    sim->older = take(sim->keys + 1, sizeof(uint32_t));
    sim->changed = take(sim->keys + 1, sizeof(bool));
    sim->newer[sim->keys] = sim->older[sim->keys] = sim->keys;
}

/* ---- running ---- */

static void simulation_close(const simulation *sim)
{
    for (uint32_t i = FIRST; i < sim->segment_count; i++) {
        free(sim->segments[i].entries);
        free(sim->segments[i].marks);
    }
    free(sim->segments);
    free(sim->state);
    free(sim->newer);
    free(sim->older);
    free(sim->changed);
}

/* No ring is over its budget, and every key finds its record where it says. */
static void simulation_check(const simulation *sim)
{
    for (ring_name name = MUTABLE; name < RINGS; name++)
        if (sim->rings[name].count > sim->rings[name].budget) die("a ring is over its budget");
    for (uint32_t key = 0; key < sim->keys && !sim->opt.lru; key++) {
        const key_state *state = &sim->state[key];
        if (state->segment < FIRST) continue;
        const segment_state *segment = &sim->segments[state->segment];
        if (state->entry >= segment->count || segment->entries[state->entry].key != key)
            die("a record is not where its key says");
    }
}

static void print_result(const simulation *sim, const char *name)
{
    const counts *n = &sim->n;
    printf("{\"policy\": \"%s\", \"reads\": %lu, \"disk_reads\": %lu, \"misses\": %lu, ", name,
           n->reads, n->disk_reads, n->misses);
    printf("\"hits_mutable\": %lu, \"hits_frozen\": %lu, \"hits_small\": %lu, \"hits_main\": %lu, ",
           n->hits[MUTABLE], n->hits[FROZEN], n->hits[SMALL], n->hits[MAIN]);
    printf("\"updates_in_place\": %lu, \"client_bytes\": %lu, \"flash_bytes\": %lu, ",
           n->updates_in_place, n->client_bytes, n->flash_bytes);
    printf("\"carried_bytes\": %lu, \"admitted_bytes\": %lu, \"reinserted_bytes\": %lu, ",
           n->carried_bytes, n->admitted_bytes, n->reinserted_bytes);
    printf("\"walk_segments_max\": %lu}\n", n->walk_segments_max);
    fflush(stdout);
}

typedef struct {
    const operation *ops;
    uint64_t count, warm, memory, segment;
    uint32_t keys;
} trace_state;

static void replay(const trace_state *trace, const char *name, options opt)
{
    simulation sim = {.opt = opt, .memory = trace->memory, .segment_bytes = trace->segment};
    sim.keys = trace->keys;
    sim.state = take(trace->keys, sizeof(key_state));
    sim.segment_capacity = 64;
    sim.segments = take(sim.segment_capacity, sizeof(segment_state));
    sim.segment_count = FIRST;
    if (opt.lru)
        lru_open(&sim);
    else
        log_open(&sim);
    for (uint64_t i = 0; i < trace->count; i++) {
        sim.now = i;
        if (i == trace->warm) sim.n = (counts){0};
        if (opt.lru)
            lru_step(&sim, &trace->ops[i]);
        else
            log_step(&sim, &trace->ops[i]);
    }
    simulation_check(&sim);
    print_result(&sim, name);
    simulation_close(&sim);
}

/* ---- the command line ---- */

static uint64_t number_of(const char *text)
{
    char *end = NULL;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-') die("not a number");
    return value;
}

/* Cuts `spec` at its colon and reads what follows. */
static options options_of(char *spec)
{
    options opt = {.mutable = 100, .max = 3, .carry = 1, .promote = 1, .reinsert = 1, .keep = 1};
    opt.admit = ADMIT_ALL;
    const struct {
        const char *name;
        uint64_t *value;
    } table[] = {
        {"mutable", &opt.mutable}, {"frozen", &opt.frozen},     {"small", &opt.small},
        {"max", &opt.max},         {"carry", &opt.carry},       {"promote", &opt.promote},
        {"keep", &opt.keep},       {"reinsert", &opt.reinsert}, {"walk", &opt.walk},
        {"admit", &opt.admit},     {"ghost", &opt.ghost},       {"regret", &opt.regret},
        {"warm", &opt.warm},       {"lru", &opt.lru},
    };
    char *rest = strchr(spec, ':');
    if (rest != NULL) *rest++ = '\0';
    for (char *word = rest ? strtok(rest, ",") : NULL; word != NULL; word = strtok(NULL, ",")) {
        char *value = strchr(word, '=');
        if (value == NULL) die("an option has no value");
        *value++ = '\0';
        size_t i = 0;
        while (i < sizeof(table) / sizeof(*table) && strcmp(table[i].name, word) != 0)
            i++;
        if (i == sizeof(table) / sizeof(*table)) die("no such option");
        *table[i].value = number_of(value);
    }
    if (opt.max == 0 || opt.max > 255 || opt.reinsert == 0) die("marks must count");
    return opt;
}

static void trace_map(trace_state *trace, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) die("cannot open the trace");
    if (info.st_size == 0 || (size_t)info.st_size % sizeof(operation) != 0) die("not a trace");
    trace->ops = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (trace->ops == MAP_FAILED) die("cannot map the trace");
    close(fd);
    trace->count = (size_t)info.st_size / sizeof(operation);
    for (uint64_t i = 0; i < trace->count; i++)
        if (trace->ops[i].key >= trace->keys) trace->keys = trace->ops[i].key + 1;
}

int main(int argc, char **argv)
{
    trace_state trace = {0};
    const char *path = NULL;
    char *specs[SPECS_MAX];
    int spec_count = 0;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0) {
            if (spec_count == SPECS_MAX) die("too many policies");
            specs[spec_count++] = argv[i];
            continue;
        }
        if (i + 1 == argc) die("an option has no value");
        const char *name = argv[i] + 2;
        const char *value = argv[++i];
        if (strcmp(name, "trace") == 0)
            path = value;
        else if (strcmp(name, "memory") == 0)
            trace.memory = number_of(value);
        else if (strcmp(name, "segment") == 0)
            trace.segment = number_of(value);
        else if (strcmp(name, "warm") == 0)
            trace.warm = number_of(value);
        else
            die("no such option");
    }
    if (path == NULL || trace.memory == 0 || trace.segment == 0)
        die("--trace, --memory and --segment");
    trace_map(&trace, path);
    for (int i = 0; i < spec_count; i++) {
        options opt = options_of(specs[i]);
        replay(&trace, specs[i], opt);
    }
    return 0;
}
