/* See residence.h. */
#include "engine/residence.h"

#include "base/assert.h"

#include <math.h>
#include <string.h>

#define PAIRS_MIN 64u
#define SWEEP_SEGMENTS 512u
#define TOUR_SEGMENTS 16u
#define SAMPLE_RECORDS 16384u
#define DEVIATIONS 2.0 /* 19 times in 20 a sample is nearer */
#define UNSEEN 3.0 /* so many times what one record of the sample stands for may have been missed */
#define UNIT 8.0   /* bytes */

static uint32_t short_hash(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

void fe_residence_open(fe_residence *residence, fe_alloc *alloc, uint64_t random_seed)
{
    *residence = (fe_residence){.alloc = alloc};
    fe_random_init(&residence->random, random_seed);
}

static void table_give(fe_residence *residence, fe_residence_table **table)
{
    if (*table == NULL) return;
    fe_alloc_give(residence->alloc, FE_ALLOC_ENGINE, *table);
    *table = NULL;
    residence->count--;
}

static void pairs_give(fe_residence *residence)
{
    fe_alloc_give(residence->alloc, FE_ALLOC_ENGINE, residence->pairs);
    residence->pairs = NULL;
    residence->capacity = residence->sweep = 0;
}

void fe_residence_close(fe_residence *residence)
{
    for (uint32_t n = 0; n < residence->capacity; n++)
        for (int i = 0; i < 2; i++)
            table_give(residence, &residence->pairs[n].by[i]);
    pairs_give(residence);
}

void fe_residence_set(fe_residence *residence, const fe_prefixes *ledger,
                      const fe_prefixes *patterns)
{
    fe_residence_cut *cut = &residence->cut;
    cut->on = ledger != NULL;
    cut->patterns = ledger != NULL && patterns != NULL;
    if (ledger == NULL) {
        cut->version++;
        return;
    }
    const fe_prefixes_options *options = &ledger->options;
    cut->version += cut->separator != options->separator || cut->parts != options->parts ||
                    memcmp(&cut->seed, &ledger->seed, sizeof cut->seed) != 0;
    cut->separator = options->separator;
    cut->parts = options->parts;
    cut->seed = ledger->seed;
}

/* Whether it says something of the segment. */
static bool is_valid(const fe_residence *residence, const fe_residence_table *table,
                     const fe_survey_segment *segment)
{
    bool has_file = segment->tier == FE_TIER_MAPPED || segment->tier == FE_TIER_DISK;
    return table != NULL && has_file && table->generation == segment->generation &&
           table->version == residence->cut.version;
}

void fe_residence_sweep(fe_residence *residence, const fe_store *store)
{
    if (residence->pairs == NULL) return;
    for (uint32_t i = 0; i < SWEEP_SEGMENTS && i < residence->capacity; i++) {
        fe_survey_segment segment = fe_survey_segment_of(store, residence->sweep);
        fe_residence_pair *pair = &residence->pairs[residence->sweep];
        for (int by = 0; by < 2; by++) {
            bool wanted = by == 0 || residence->cut.patterns;
            if (!wanted || !is_valid(residence, pair->by[by], &segment))
                table_give(residence, &pair->by[by]);
        }
        if (++residence->sweep == residence->capacity) residence->sweep = 0;
    }
    if (!residence->cut.on && residence->count == 0) pairs_give(residence);
}

/* Tables ---------------------------------------------------------------------------------------- */

typedef struct draft {
    uint64_t units;
    uint32_t floor, count;
    fe_residence_row rows[FE_RESIDENCE_ROWS];
} draft;

static uint32_t find_least(const draft *it)
{
    uint32_t least = 0;
    for (uint32_t i = 1; i < it->count; i++)
        if (it->rows[i].units < it->rows[least].units) least = i;
    return least;
}

static void draft_add(draft *it, uint32_t hash, uint32_t units)
{
    it->units += units;
    uint32_t i = 0;
    while (i < it->count && it->rows[i].hash != hash)
        i++;
    if (i == FE_RESIDENCE_ROWS) { /* the least gives way, and leaves what it had as an error */
        i = find_least(it);
        it->floor = it->rows[i].units;
        it->rows[i] = (fe_residence_row){hash, it->floor, it->floor};
    } else if (i == it->count) {
        it->rows[it->count++] = (fe_residence_row){.hash = hash};
    }
    it->rows[i].units += units;
}

static fe_residence_table *table_make(const fe_residence_job *job, bool by_pattern,
                                      const uint8_t *base, size_t used, uint32_t generation)
{
    draft it = {0};
    uint8_t pattern[FE_TEXT_KEY_MAX];
    for (size_t at = 0, size; at < used; at += size) {
        const fe_record *record = (const fe_record *)(base + at);
        size = fe_record_size(record);
        FE_ASSERT(size >= 8 && size <= used - at);
        if (fe_record_type(record) == FE_TYPE_FILLER) continue;
        fe_prefix_name name =
            fe_prefix_name_of(fe_record_key(record), job->cut.separator, job->cut.parts,
                              &job->cut.seed, by_pattern ? pattern : NULL);
        draft_add(&it, short_hash(name.hash), (uint32_t)(size / 8));
    }
    size_t rows = it.count * sizeof *it.rows;
    fe_residence_table *table =
        fe_alloc_take(job->alloc, FE_ALLOC_ENGINE, sizeof(fe_residence_table) + rows);
    if (table == NULL) return NULL;
    *table = (fe_residence_table){.generation = generation,
                                  .version = job->cut.version,
                                  .units = it.units,
                                  .floor = it.floor,
                                  .count = it.count};
    memcpy(table->rows, it.rows, rows);
    return table;
}

void fe_residence_begin(const fe_residence *residence, fe_residence_job *job)
{
    *job = (fe_residence_job){residence->alloc, residence->cut, {{NULL, NULL}}};
}

void fe_residence_run(fe_residence_job *job, const uint8_t *base, size_t used, uint32_t generation)
{
    if (job->cut.on) job->made.by[0] = table_make(job, false, base, used, generation);
    if (job->cut.patterns) job->made.by[1] = table_make(job, true, base, used, generation);
}

static bool reserve(fe_residence *residence, uint32_t segment)
{
    uint32_t capacity = residence->capacity == 0 ? PAIRS_MIN : residence->capacity;
    while (capacity <= segment)
        capacity *= 2;
    if (capacity == residence->capacity) return true;
    fe_residence_pair *pairs = fe_alloc_resize(residence->alloc, FE_ALLOC_ENGINE, residence->pairs,
                                               capacity * sizeof *pairs);
    if (pairs == NULL) return false;
    memset(pairs + residence->capacity, 0, (capacity - residence->capacity) * sizeof *pairs);
    residence->pairs = pairs;
    residence->capacity = capacity;
    return true;
}

static void table_put(fe_residence *residence, fe_residence_table **to, fe_residence_table *table)
{
    table_give(residence, to);
    if (table == NULL) return;
    table->serial = ++residence->serial;
    *to = table;
    residence->count++;
}

void fe_residence_end(fe_residence *residence, fe_residence_job *job, uint32_t segment)
{
    bool wanted = residence->cut.on && job->cut.version == residence->cut.version;
    bool any = job->made.by[0] != NULL || job->made.by[1] != NULL;
    wanted = wanted && any && reserve(residence, segment);
    for (int i = 0; i < 2; i++) {
        if (wanted) {
            table_put(residence, &residence->pairs[segment].by[i], job->made.by[i]);
        } else {
            fe_alloc_give(job->alloc, FE_ALLOC_ENGINE, job->made.by[i]);
        }
        job->made.by[i] = NULL;
    }
}

/* Adding up ------------------------------------------------------------------------------------- */

static uint32_t place_of(const fe_residence_tour *tour, uint32_t hash)
{
    uint32_t place = hash % FE_RESIDENCE_PLACES;
    while (tour->places[place] != 0 && tour->hashes[tour->places[place] - 1] != hash)
        place = (place + 1) % FE_RESIDENCE_PLACES;
    return place;
}

/* The number of a prefix; or `count`. */
static uint32_t find(const fe_residence_tour *tour, uint32_t hash)
{
    uint32_t found = tour->places[place_of(tour, hash)];
    return found != 0 ? found - 1 : tour->count;
}

void fe_residence_tour_begin(fe_residence_tour *tour, fe_residence *residence,
                             const fe_store *store, bool by_pattern, const uint64_t *hashes,
                             uint32_t count)
{
    FE_ASSERT(count <= FE_PREFIX_COUNT_MAX);
    memset(tour, 0, sizeof *tour);
    tour->by_pattern = by_pattern;
    tour->cut = residence->cut;
    tour->count = count;
    tour->segment = 1;
    tour->serial = residence->serial;
    tour->survey = fe_survey_begin(store, SAMPLE_RECORDS, &residence->random);
    for (uint32_t i = 0; i < count; i++) {
        tour->hashes[i] = short_hash(hashes[i]);
        tour->places[place_of(tour, tour->hashes[i])] = (uint16_t)(i + 1);
    }
}

static fe_prefix_tier tier_of(fe_tier tier)
{
    if (tier == FE_TIER_MUTABLE) return FE_PREFIX_MUTABLE;
    if (tier == FE_TIER_CACHE) return FE_PREFIX_READ_CACHE;
    return tier == FE_TIER_DISK ? FE_PREFIX_DISK : FE_PREFIX_READ_ONLY;
}

static const fe_residence_table *table_of(const fe_residence_tour *tour, uint32_t n,
                                          const fe_survey_segment *segment)
{
    const fe_residence *residence = tour->residence;
    if (n >= residence->capacity) return NULL;
    const fe_residence_table *table = residence->pairs[n].by[tour->by_pattern];
    if (!is_valid(residence, table, segment)) return NULL;
    return segment->tier == FE_TIER_DISK || table->serial <= tour->serial ? table : NULL;
}

/* Bytes of a segment when it was written, and of a prefix in it then; how much of the segment is alive. */
typedef struct part {
    double all, live, most, least;
} part;

static void add_part(fe_residence_bytes *to, fe_prefix_tier tier, const part *of)
{
    double dead = of->all - of->live;
    double high = fmin(of->most, of->live), low = fmax(0, of->least - dead);
    double guess = (of->most + of->least) / 2 * of->live / of->all;
    guess = fmax(low, fmin(high, guess));
    to->bytes[tier] += guess;
    to->error[tier] += fmax(high - guess, guess - low);
}

static void add_table(fe_residence_tour *tour, const fe_residence_table *table,
                      const fe_survey_segment *segment)
{
    fe_prefix_tier tier = tier_of(segment->tier);
    double all = (double)table->units * UNIT, live = fmin(all, (double)segment->live);
    double absent = fmin((double)table->floor * UNIT, live);
    tour->absent[tier] += absent;
    for (uint32_t i = 0; i < table->count; i++) {
        const fe_residence_row *row = &table->rows[i];
        uint32_t number = find(tour, row->hash);
        if (number == tour->count) continue;
        part of = {all, live, row->units * UNIT, (row->units - row->error) * UNIT};
        if (segment->miscounted) of.least = 0; /* nothing of it may be left */
        add_part(&tour->found[number], tier, &of);
        tour->found[number].error[tier] -= absent;
    }
}

static uint32_t number_of(const fe_residence_tour *tour, const fe_record *record)
{
    uint8_t pattern[FE_TEXT_KEY_MAX];
    fe_prefix_name name =
        fe_prefix_name_of(fe_record_key(record), tour->cut.separator, tour->cut.parts,
                          &tour->cut.seed, tour->by_pattern ? pattern : NULL);
    return find(tour, short_hash(name.hash));
}

static void add_segment(fe_residence_tour *tour, uint32_t n)
{
    fe_survey_segment segment = fe_survey_segment_of(tour->store, n);
    if (segment.tier == FE_TIER_FREE) return;
    const fe_residence_table *table = table_of(tour, n, &segment);
    if (segment.tier == FE_TIER_DISK) {
        tour->disk_live += (double)segment.live;
        tour->disk_known += table != NULL ? (double)segment.live : 0;
    }
    if (table != NULL) {
        add_table(tour, table, &segment);
        return;
    }
    const fe_record *single = fe_survey_single(tour->store, n);
    if (single == NULL) {
        if (segment.tier != FE_TIER_DISK)
            tour->sampled_live[tier_of(segment.tier)] += (double)segment.live;
        return;
    }
    uint32_t number = number_of(tour, single);
    if (number == tour->count) return;
    tour->found[number].bytes[tier_of(segment.tier)] += (double)fe_record_size(single);
}

/* What a table tells of is not sampled, nor is its page touched. */
static bool wants_segment(void *context, uint32_t n)
{
    const fe_residence_tour *tour = context;
    fe_survey_segment segment = fe_survey_segment_of(tour->store, n);
    return table_of(tour, n, &segment) == NULL;
}

/* A record of the sample. */
static void add_record(void *context, fe_tier at, const fe_record *record)
{
    fe_residence_tour *tour = context;
    fe_prefix_tier tier = tier_of(at);
    double size = (double)fe_record_size(record), stride = (double)tour->survey.stride;
    tour->met[tier]++;
    tour->met_bytes[tier] += size;
    uint32_t number = number_of(tour, record);
    if (number == tour->count) return;
    tour->found[number].bytes[tier] += stride * size;
    tour->variance[number][tier] += stride * (stride - 1) * size * size;
}

/* What a prefix may have, in 19 cases of 20, of which nothing is in the sample. */
static double unseen_of(const fe_residence_tour *tour, fe_prefix_tier tier)
{
    double stride = (double)tour->survey.stride, live = tour->sampled_live[tier];
    if (stride == 1) return 0;
    if (tour->met[tier] == 0) return live;
    return fmin(live, UNSEEN * stride * tour->met_bytes[tier] / tour->met[tier]);
}

static void finish(fe_residence_tour *tour)
{
    for (uint32_t i = 0; i < tour->count; i++)
        for (int tier = 0; tier < FE_PREFIX_TIERS; tier++) {
            double sampled = DEVIATIONS * sqrt(tour->variance[i][tier]);
            double unseen = unseen_of(tour, (fe_prefix_tier)tier);
            double *error = &tour->found[i].error[tier];
            *error = fmax(0, *error + tour->absent[tier]) + fmax(sampled, unseen);
        }
}

bool fe_residence_tour_step(fe_residence_tour *tour, const fe_residence *residence,
                            const fe_store *store)
{
    tour->residence = residence;
    tour->store = store;
    if (residence->cut.version != tour->cut.version || !residence->cut.on) {
        /* the ledger that asked has begun anew, too */
        memset(tour->found, 0, sizeof tour->found);
        return false;
    }
    uint32_t last = fe_survey_last(store);
    for (uint32_t i = 0; i < TOUR_SEGMENTS && tour->segment <= last; i++)
        add_segment(tour, tour->segment++);
    if (tour->segment <= last) return true;
    if (fe_survey_step(&tour->survey, store, wants_segment, add_record, tour)) return true;
    finish(tour);
    return false;
}
