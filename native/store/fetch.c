/* Reads of records that are on disk: started, joined, done. The contract is in store/fetch.h.
 *
 * A read goes through these states; the function makes the transition:
 *
 *     late --(with many others, or for a waiter)--> queued --fe_fetch_take--> in flight --fe_fetch_done--> over
 *      ^                                              ^                         |
 *      |                                              +--fe_fetch_done: the record is longer (one that nobody
 *      |                                              |  waits for may be over instead), or it is
 *      |                                              |  tried once more        |
 *      +--fe_fetch_done: it was refused, which says nothing of the record-------+
 *
 * Invariants
 * 1. There is at most one read for each address, in the table, and it pins the segment.
 * 2. waiter->pending is the number of its waits, and one more while it is in the list `failed`.
 * 3. While a read is under way its record may die, its keyspace may be flushed or change its number:
 * what it brings counts only if a slot of the keyspace with its id still names the address, which
 * nothing else can have as long as the segment is pinned.
 * 4. Only a read that is in flight has a buffer.
 *
 * Threads: the engine's lock is held, but for fe_fetch_check.
 */
#include "store/fetch_read.h"
#include "store/image.h"
#include "store/tier.h"

#include <errno.h>
#include <string.h>

#define PAGE ((size_t)4096)
#define FIRST_MAX ((uint64_t)16 << 10) /* read at first of a record of unknown size */
#define TRIES 2u
#define REFUSALS_MAX 8u /* pauses after which those who wait get the error */
#define AHEAD_MAX 1024u /* reads under way beyond which none is started ahead of need */
#define BUCKETS_MIN 64u

/* The table ------------------------------------------------------------------------------------ */

static fe_fetch_read **chain_of(const fe_fetch *fetch, fe_address address)
{
    uint64_t mixed = address * 0x9e3779b97f4a7c15ull;
    return &fetch->table[mixed >> 32 & (fetch->buckets - 1)];
}

fe_fetch_read *fe_fetch_find(const fe_store *store, fe_address address)
{
    const fe_fetch *fetch = &store->fetch;
    if (fetch->count == 0) return NULL;
    fe_fetch_read *read = *chain_of(fetch, address);
    while (read != NULL && read->address != address)
        read = read->chain;
    return read;
}

static bool table_grow(fe_store *store)
{
    fe_fetch *fetch = &store->fetch;
    if (fetch->count < fetch->buckets) return true;
    fe_fetch grown = {.buckets = fetch->buckets == 0 ? BUCKETS_MIN : fetch->buckets * 2};
    grown.table =
        fe_alloc_take_zeroed(store->alloc, FE_ALLOC_ENGINE, grown.buckets * sizeof(*grown.table));
    if (grown.table == NULL) return fetch->buckets != 0;
    for (uint32_t i = 0; i < fetch->buckets; i++) {
        for (fe_fetch_read *read = fetch->table[i], *next; read != NULL; read = next) {
            next = read->chain;
            fe_fetch_read **chain = chain_of(&grown, read->address);
            read->chain = *chain;
            *chain = read;
        }
    }
    fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, fetch->table);
    fetch->table = grown.table;
    fetch->buckets = grown.buckets;
    return true;
}

static void table_remove(fe_fetch *fetch, fe_fetch_read *read)
{
    fe_fetch_read **at = chain_of(fetch, read->address);
    while (*at != read)
        at = &(*at)->chain;
    *at = read->chain;
    fetch->count--;
}

/* The queue ------------------------------------------------------------------------------------ */

static void queue_append(fe_fetch *fetch, fe_disk_read *read)
{
    bool is_long = fe_room_is_long(read->length);
    fe_fetch_queue *queue = is_long ? &fetch->long_queue : &fetch->queue;
    read->next = NULL;
    *(queue->last != NULL ? &queue->last->next : &queue->first) = read;
    queue->last = read;
    fetch->queued++;
    if (is_long) fetch->long_queued += read->length;
}

/* The next that may be taken; NULL: none. */
static fe_disk_read *queue_take(fe_store *store)
{
    fe_fetch *fetch = &store->fetch;
    /* In turns: a long read keeps its place and the disk busy for as long as many short ones. */
    bool is_long = fe_room_for_long(store) &&
                   (fetch->queue.first == NULL || (fetch->long_turn = !fetch->long_turn));
    fe_fetch_queue *queue = is_long ? &fetch->long_queue : &fetch->queue;
    fe_disk_read *read = queue->first;
    if (read == NULL) return NULL;
    queue->first = read->next;
    if (queue->first == NULL) queue->last = NULL;
    read->next = NULL;
    fetch->queued--;
    if (is_long) fetch->long_queued -= read->length;
    return read;
}

bool fe_fetch_is_wanted(const fe_store *store)
{
    const fe_fetch *fetch = &store->fetch;
    return fetch->queue.first != NULL || fetch->failed != NULL || fe_room_for_long(store) ||
           fe_late_is_due(store);
}

static void wake(fe_fetch *fetch, fe_waiter *waiter)
{
    FE_ASSERT(waiter->pending > 0);
    if (--waiter->pending != 0) return;
    fe_room_ready(fetch, waiter);
    if (waiter->wake != NULL) waiter->wake(waiter);
}

static void wake_failed(fe_fetch *fetch)
{
    for (fe_waiter *waiter; (waiter = fetch->failed) != NULL;) {
        fetch->failed = waiter->failed_next;
        waiter->failed = false;
        wake(fetch, waiter);
    }
}

/* Starting ------------------------------------------------------------------------------------- */

static uint32_t block_of(const fe_store *store)
{
    return store->fetch.block != 0 ? store->fetch.block : (uint32_t)PAGE;
}

void fe_fetch_set_block(fe_store *store, uint32_t bytes)
{
    FE_ASSERT(bytes >= 512 && bytes <= PAGE && (bytes & (bytes - 1)) == 0);
    store->fetch.block = bytes;
}

static uint64_t offset_of(const fe_store *store, const fe_fetch_read *read)
{
    return fe_address_offset(read->address, store->log.offset_bits);
}

/* Asks for the first `bytes` of the record; false when they are too many for one read. */
static bool ask(fe_store *store, fe_fetch_read *read, uint64_t bytes)
{
    uint64_t grain = block_of(store), offset = offset_of(store, read);
    uint64_t begin = offset & ~(grain - 1);
    uint64_t end = (offset + bytes + grain - 1) & ~(grain - 1);
    if (end - begin > INT32_MAX) return false;
    read->skip = (uint32_t)(offset - begin);
    read->asked = bytes;
    read->disk.offset = begin;
    read->disk.length = (uint32_t)(end - begin);
    if (read->was_late) read->late_bytes = read->disk.length;
    store->fetch.late_bytes += read->late_bytes;
    read->verdict = FE_VERDICT_NONE;
    queue_append(&store->fetch, &read->disk);
    return true;
}

/* How much to read at first: all of the record where its size is bounded, or known. */
static uint64_t first_bytes(const fe_store *store, fe_address address)
{
    uint32_t n = fe_address_segment(address, store->log.offset_bits);
    uint64_t used = store->log.segments[n].used, max = (uint64_t)store->log.files[n].record_max * 8;
    uint64_t limit = used - fe_address_offset(address, store->log.offset_bits);
    uint64_t bytes = max != 0 && (max < FIRST_MAX || max == used) ? max : FIRST_MAX;
    return bytes < limit ? bytes : limit;
}

bool fe_fetch_ask(fe_store *store, fe_fetch_read *read)
{
    return ask(store, read, first_bytes(store, read->address));
}

/* A read that is neither queued nor in the table yet; NULL without memory. */
static fe_fetch_read *read_make(fe_store *store, const fe_keyspace *keyspace, fe_address address,
                                uint64_t hash)
{
    if (!table_grow(store)) return NULL;
    fe_fetch_read *read = fe_alloc_take_zeroed(store->alloc, FE_ALLOC_ENGINE, sizeof(*read));
    if (read == NULL) return NULL;
    uint32_t n = fe_address_segment(address, store->log.offset_bits);
    FE_ASSERT(store->log.segments[n].tier == FE_TIER_DISK && store->log.files[n].fd >= 0);
    read->address = address;
    read->hash = hash;
    read->keyspace = keyspace->id;
    read->segment = n;
    read->limit = store->log.segments[n].used - offset_of(store, read);
    read->disk.fd = store->log.files[n].fd;
    return read;
}

static void read_enter(fe_store *store, fe_fetch_read *read)
{
    store->log.files[read->segment].pins++;
    fe_fetch_read **chain = chain_of(&store->fetch, read->address);
    read->chain = *chain;
    *chain = read;
    store->fetch.count++;
}

fe_fetch_read *fe_fetch_start(fe_store *store, const fe_keyspace *keyspace, fe_address address,
                              uint64_t hash)
{
    fe_fetch_read *read = fe_fetch_find(store, address);
    if (read != NULL) {
        if (read->late && !fe_late_promote(store, read)) return NULL;
        store->fetch.stats.joined++;
        return read;
    }
    read = read_make(store, keyspace, address, hash);
    if (read == NULL) return NULL;
    if (!fe_fetch_ask(store, read)) {
        fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, read);
        return NULL;
    }
    read_enter(store, read);
    return read;
}

fe_fetch_read *fe_fetch_start_late(fe_store *store, const fe_keyspace *keyspace, fe_address address,
                                   uint64_t hash)
{
    fe_fetch *fetch = &store->fetch;
    fe_fetch_read *read = fe_fetch_find(store, address);
    if (read != NULL) {
        fetch->stats.joined++;
        return read;
    }
    read = read_make(store, keyspace, address, hash);
    if (read == NULL) return NULL;
    read_enter(store, read);
    fe_late_add(store, read);
    return read;
}

/* It is out of the table. */
static void read_free(fe_store *store, fe_fetch_read *read)
{
    fe_log_unpin(&store->log, read->segment);
    fe_buffer_give(store, read);
    fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, read);
}

void fe_fetch_drop(fe_store *store, fe_fetch_read *read)
{
    table_remove(&store->fetch, read);
    read_free(store, read);
}

/* Waiters -------------------------------------------------------------------------------------- */

void fe_fetch_open(fe_store *store, fe_waiter *waiter)
{
    fe_fetch *fetch = &store->fetch;
    if (waiter->open) return;
    waiter->open = true;
    waiter->older = fetch->newest;
    waiter->newer = NULL;
    *(fetch->newest != NULL ? &fetch->newest->newer : &fetch->oldest) = waiter;
    fetch->newest = waiter;
}

/* Memory for the wait is lacking: it is woken, with the error, when reads are taken. */
static void wait_fail(fe_store *store, fe_waiter *waiter)
{
    waiter->error = ENOMEM;
    if (waiter->failed) return;
    waiter->failed = true;
    waiter->pending++;
    waiter->failed_next = store->fetch.failed;
    store->fetch.failed = waiter;
}

void fe_fetch_wait(fe_store *store, fe_fetch_read *read, fe_need need, bool walk, fe_waiter *waiter)
{
    fe_fetch_open(store, waiter);
    fe_room_wait(&store->fetch, waiter);
    fe_wait *wait = NULL;
    if (read != NULL) wait = fe_alloc_take(store->alloc, FE_ALLOC_ENGINE, sizeof(*wait));
    if (wait == NULL) {
        wait_fail(store, waiter);
        return;
    }
    *wait = (fe_wait){.waiter = waiter, .read = read, .need = need, .walk = walk};
    wait->read_next = read->waits;
    if (read->waits != NULL) read->waits->read_prev = wait;
    read->waits = wait;
    wait->waiter_next = waiter->waits;
    if (waiter->waits != NULL) waiter->waits->waiter_prev = wait;
    waiter->waits = wait;
    waiter->pending++;
}

static void wait_end(fe_store *store, fe_wait *wait)
{
    if (wait->read_next != NULL) wait->read_next->read_prev = wait->read_prev;
    *(wait->read_prev != NULL ? &wait->read_prev->read_next : &wait->read->waits) = wait->read_next;
    if (wait->waiter_next != NULL) wait->waiter_next->waiter_prev = wait->waiter_prev;
    *(wait->waiter_prev != NULL ? &wait->waiter_prev->waiter_next : &wait->waiter->waits) =
        wait->waiter_next;
    fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, wait);
}

static void failed_forget(fe_fetch *fetch, fe_waiter *waiter)
{
    fe_waiter **at = &fetch->failed;
    while (*at != waiter)
        at = &(*at)->failed_next;
    *at = waiter->failed_next;
}

void fe_waiter_close(fe_store *store, fe_waiter *waiter)
{
    fe_fetch *fetch = &store->fetch;
    waiter->error = 0;
    if (!waiter->open) return;
    while (waiter->waits != NULL)
        wait_end(store, waiter->waits);
    if (waiter->failed) failed_forget(fetch, waiter);
    if (waiter->counts) fetch->counting--;
    fe_settle_revoke(store, waiter);
    *(waiter->older != NULL ? &waiter->older->newer : &fetch->oldest) = waiter->newer;
    *(waiter->newer != NULL ? &waiter->newer->older : &fetch->newest) = waiter->older;
    fe_room_close(store, waiter);
    *waiter = (fe_waiter){.wake = waiter->wake};
}

/* Asking for a key ----------------------------------------------------------------------------- */

static bool needs_value(fe_need need)
{
    return need == FE_NEED_READ || need == FE_NEED_EXACT;
}

static void want(fe_store *store, const fe_keyspace *keyspace, fe_address address, uint64_t hash,
                 fe_need need, fe_waiter *waiter)
{
    const fe_fetch *fetch = &store->fetch;
    if (waiter == NULL && (fetch->queued + fetch->in_flight >= AHEAD_MAX ||
                           !fe_room_ahead(store, first_bytes(store, address))))
        return;
    fe_fetch_read *read = fe_fetch_start(store, keyspace, address, hash);
    if (read != NULL) {
        read->wanted = true;
        read->whole |= needs_value(need);
    }
    if (waiter != NULL) fe_fetch_wait(store, read, need, false, waiter);
}

/* Whether the key is in memory and not past its deadline. Of one that is, without the value that is needed, only the
 * home is left. */
static bool is_there(fe_store *store, fe_keyspace *keyspace, fe_bytes name, uint64_t hash,
                     fe_need need, bool ahead)
{
    fe_record *record;
    uint64_t *slot = fe_index_find(&keyspace->index, name, hash, &record);
    if (slot == NULL) return false;
    if (FE_UNLIKELY(fe_record_is_head(record)) && needs_value(need)) {
        if (ahead) return true; /* it may be another's that waits; who needs the value asks again */
        fe_cache_give_up(store, slot);
        return false;
    }
    if (need == FE_NEED_EXACT) fe_tier_touch(store, fe_slot_address(*slot));
    return !(*slot & FE_SLOT_DEADLINE) || !fe_store_expired(store, fe_record_deadline(record));
}

bool fe_fetch_key(fe_store *store, uint32_t db, fe_bytes name, uint64_t hash, fe_need need,
                  fe_waiter *waiter)
{
    if (FE_LIKELY(!store->log.tiered)) return true;
    fe_keyspace *keyspace = store->databases[db];
    const fe_index *index = &keyspace->index;
    bool may_stay = need == FE_NEED_READ || need == FE_NEED_BLIND || need == FE_NEED_HEAD;
    bool is_known = may_stay || store->log.tiers[FE_TIER_MAPPED].segments != 0 ||
                    (need == FE_NEED_EXACT && fe_cache_has_heads(store));
    if (is_known && is_there(store, keyspace, name, hash, need, waiter == NULL) && may_stay)
        return true;
    const uint64_t *cold = fe_index_find_cold(index, hash, NULL);
    if (FE_LIKELY(cold == NULL)) return true;
    if (need == FE_NEED_BLIND && fe_settle_grant(store, keyspace, name, hash, cold, waiter))
        return true;
    for (; cold != NULL; cold = fe_index_find_cold(index, hash, cold))
        want(store, keyspace, fe_slot_address(*cold), hash, need, waiter);
    return false;
}

/* Done ----------------------------------------------------------------------------------------- */

static void bad(fe_fetch_read *read, int error)
{
    read->verdict = FE_VERDICT_BAD;
    read->error = error;
}

static void more(fe_fetch_read *read, size_t size)
{
    read->verdict = FE_VERDICT_MORE;
    read->size = size;
}

void fe_fetch_check(fe_disk_read *disk)
{
    fe_fetch_read *read = (fe_fetch_read *)disk;
    if (read->verdict != FE_VERDICT_NONE) return;
    uint64_t skip = read->skip;
    if (disk->result < 0) {
        bad(read, -disk->result);
        return;
    }
    uint64_t got = (uint64_t)disk->result;
    uint64_t have = got > skip ? got - skip : 0;
    if (have > read->limit) have = read->limit;
    const uint8_t *data = disk->buffer + skip;
    size_t size = fe_image_record_size(data, (size_t)have);
    bool cut = got < disk->length;
    if (size == FE_IMAGE_IMPOSSIBLE || size > read->limit)
        bad(read, EBADMSG);
    else if (size == 0 || size > have) {
        if (cut)
            bad(read, EIO);
        else if (size == 0 && have == read->limit)
            bad(read, EBADMSG);
        else
            more(read, size);
    } else if (!fe_image_record_check(data, size)) {
        bad(read, EBADMSG);
    } else {
        read->verdict = FE_VERDICT_GOOD;
        read->size = size;
    }
}

/* The record as it is in the buffer. */
static fe_record *record_of(const fe_fetch_read *read)
{
    return (fe_record *)(read->disk.buffer + read->skip);
}

/* The record goes into the cache, in place where it has a mapping; false without memory. */
static bool cache(fe_store *store, fe_keyspace *keyspace, uint64_t hash, uint64_t *slot,
                  fe_fetch_read *read)
{
    fe_record *record = record_of(read);
    fe_image_record_restore(record, keyspace->id, fe_access_frozen(store, read->address));
    bool cut = FE_UNLIKELY(fe_room_is_spent(store, read, record));
    read->kept = cut ? fe_record_cut(record) : read->size;
    if (cut || read->mapping == 0)
        return fe_cache_put(store, keyspace, hash, slot, record, read->kept);
    size_t offset = (size_t)((uint8_t *)record - (uint8_t *)read->memory);
    if (!fe_cache_adopt(store, keyspace, hash, slot, read->memory, read->mapping, offset,
                        read->size))
        return false;
    read->memory = NULL;
    return true;
}

/* A sound record came; returns an errno. */
static int take_record(fe_store *store, fe_keyspace *keyspace, fe_fetch_read *read)
{
    const fe_record *record = record_of(read);
    uint64_t hash = fe_store_record_hash(store, record);
    uint64_t *slot = fe_index_find_address(&keyspace->index, hash, read->address);
    if (slot == NULL) {
        /* Gone meanwhile; unless its slot is where another key's would be. */
        slot = fe_index_find_address(&keyspace->index, read->hash, read->address);
        return slot != NULL ? EBADMSG : 0;
    }
    if (((*slot & FE_SLOT_DEADLINE) != 0) != (fe_record_deadline(record) != 0)) return EBADMSG;
    fe_index_refill(&keyspace->index, hash, slot);
    if (read->settles && fe_settle_record(store, keyspace, read, hash, slot, record)) return 0;
    if (fe_store_expired(store, fe_record_deadline(record))) {
        fe_store_remove_cold(store, keyspace, hash, slot, record);
        fe_store_note_gone(store, keyspace, hash, FE_MISS_EXPIRED);
        store->stats.expired_keys++;
        store->fetch.stats.expired++;
        fe_store_mark_key(store, keyspace->db, hash);
        return 0;
    }
    if (*slot & FE_SLOT_UNSETTLED)
        fe_settle_clear(store, keyspace, fe_record_key(record), hash, slot);
    if (!read->wanted) return 0;
    if (read->pick) fe_missing_picked(store, read, hash);
    return cache(store, keyspace, hash, slot, read) ? 0 : ENOMEM;
}

/* Whether it was noted already, of late; else it is from now on. */
static bool is_told(fe_fetch *fetch, const fe_fetch_fault *fault)
{
    for (unsigned i = 0; i < FE_FETCH_TOLD; i++) {
        const fe_fetch_fault *told = &fetch->told[i];
        if (told->segment == fault->segment && told->generation == fault->generation &&
            told->offset == fault->offset && told->error == fault->error)
            return true;
    }
    fetch->told[fetch->told_next++ % FE_FETCH_TOLD] = *fault;
    return false;
}

void fe_fetch_note_fault(fe_store *store, uint32_t segment, uint64_t offset, int error,
                         const char *cause)
{
    fe_fetch *fetch = &store->fetch;
    fe_fetch_fault fault = {.segment = segment,
                            .generation = store->log.segments[segment].generation,
                            .offset = offset,
                            .error = error,
                            .cause = cause};
    if (is_told(fetch, &fault)) return;
    if (fetch->fault_count == FE_FETCH_FAULTS)
        fetch->stats.untold++;
    else
        fetch->faults[(fetch->fault_first + fetch->fault_count++) % FE_FETCH_FAULTS] = fault;
}

static void fault_add(fe_store *store, const fe_fetch_read *read, int error)
{
    store->fetch.stats.failed++;
    const fe_segment_file *file = &store->log.files[read->segment];
    bool is_cut = error == EIO && fe_device_is_cut(file->fd, file->size);
    if (error == EBADMSG || is_cut) fe_log_mark_damaged(&store->log, read->segment);
    fe_fetch_note_fault(store, read->segment, offset_of(store, read), error, NULL);
}

bool fe_fetch_fault_take(fe_store *store, fe_fetch_fault *fault)
{
    fe_fetch *fetch = &store->fetch;
    if (fetch->fault_count == 0) return false;
    *fault = fetch->faults[fetch->fault_first];
    fetch->fault_first = (fetch->fault_first + 1) % FE_FETCH_FAULTS;
    fetch->fault_count--;
    return true;
}

static bool overwrites(const fe_wait *wait)
{
    return wait->need == FE_NEED_REMOVE || wait->need == FE_NEED_BLIND;
}

/* Whether somebody writes over the record, so that it need not be read. */
static bool may_lose(const fe_fetch_read *read)
{
    if (read->settles) return true;
    for (const fe_wait *wait = read->waits; wait != NULL; wait = wait->read_next)
        if (overwrites(wait)) return true;
    return false;
}

/* Whether the error says nothing of the record: memory or the system's room for reads was lacking, or whatever
 * else will pass. What a disk says of bad media is not EIO alone. */
static bool is_passing(int error)
{
    switch (error) {
    case EIO:
    case EBADMSG:
    case ENODATA:
    case EILSEQ:
    case EREMOTEIO:
    case EUCLEAN: return false;
    default: return error != 0;
    }
}

/* The record could not be read; returns the error for those who wanted to see it. */
static int lose_record(fe_store *store, fe_keyspace *keyspace, fe_fetch_read *read, int error)
{
    uint64_t *slot = fe_index_find_address(&keyspace->index, read->hash, read->address);
    if (slot == NULL) return 0;
    if (error == ENOMEM) return error;
    fault_add(store, read, error);
    if (is_passing(error) || !may_lose(read)) return error;
    fe_store_remove_unread(store, keyspace, read->hash, slot);
    store->fetch.stats.lost++;
    return error;
}

void fe_fetch_waits_end(fe_store *store, fe_fetch_read *read, int error)
{
    for (fe_wait *wait; (wait = read->waits) != NULL;) {
        fe_waiter *waiter = wait->waiter;
        bool walk = wait->walk;
        bool passing = is_passing(error);
        if (error != 0 && (passing || (!walk && !overwrites(wait)))) waiter->error = error;
        if (error != 0 && walk && ++waiter->skipped > FE_FETCH_BAD / 2) waiter->error = error;
        wait_end(store, wait);
        waiter->kept += read->kept;
        if (fe_room_is_long(read->asked)) waiter->kept_long += read->kept;
        wake(&store->fetch, waiter);
    }
}

static bool waits_walk(const fe_fetch_read *read)
{
    for (const fe_wait *wait = read->waits; wait != NULL; wait = wait->read_next)
        if (wait->walk) return true;
    return false;
}

static void finish(fe_store *store, fe_fetch_read *read)
{
    fe_keyspace *keyspace = store->by_id[read->keyspace];
    int error = read->verdict == FE_VERDICT_BAD ? read->error : 0;
    if (keyspace == NULL) error = 0; /* it was flushed: there is nothing to read any more */
    fe_room_hold(store, read);
    if (keyspace != NULL && error == 0) error = take_record(store, keyspace, read);
    if (keyspace != NULL && error != 0) error = lose_record(store, keyspace, read, error);
    if (error != 0 && !is_passing(error) && waits_walk(read)) fe_missing_failed(store, read);
    fe_settle_end(store, read);
    table_remove(&store->fetch, read);
    store->fetch.late_reads -= read->was_late;
    fe_fetch_waits_end(store, read, error);
    read_free(store, read);
}

/* Asks again, for `bytes`; when they are too many the read ends with an error. */
static bool again(fe_store *store, fe_fetch_read *read, uint64_t bytes)
{
    fe_buffer_give(store, read);
    if (ask(store, read, bytes)) return true;
    bad(read, ENOMEM);
    return false;
}

/* A long record that nobody waits for: it is left for later when there is no room to read it ahead of need. Whether
 * the read is over. */
static bool leave(fe_store *store, fe_fetch_read *read, uint64_t bytes)
{
    if (read->waits != NULL || read->settles) return false;
    fe_buffer_give(store, read);
    if (fe_room_ahead(store, bytes)) return false;
    store->fetch.late_reads -= read->was_late;
    fe_fetch_drop(store, read);
    return true;
}

/* A read that failed for now is put off, and started again after a pause: for those who wait, some times; for the
 * write that it settles until it has, or the record that was written over would come back when the new one
 * goes. False when it is over. */
static bool put_off(fe_store *store, fe_fetch_read *read)
{
    if (read->verdict != FE_VERDICT_BAD || !is_passing(read->error)) return false;
    if (store->by_id[read->keyspace] == NULL) return false;
    if (!read->settles && read->waits == NULL) return false;
    if (read->error == ENOMEM || ++read->refusals > REFUSALS_MAX) {
        if (!read->settles) return false;
        if (read->error != ENOMEM) fault_add(store, read, read->error);
        read->refusals = 0;
        fe_fetch_waits_end(store, read, read->error);
    }
    fe_buffer_give(store, read);
    store->fetch.late_reads -= read->was_late;
    read->was_late = false;
    fe_late_again(store, read);
    return true;
}

void fe_fetch_done(fe_store *store, fe_disk_read *disk)
{
    fe_fetch *fetch = &store->fetch;
    fe_fetch_read *read = (fe_fetch_read *)disk;
    fetch->in_flight--;
    fetch->stats.reads++;
    fe_exponential_add(&fetch->durations, fe_exponential_of_ns(disk->took_ns));
    if (disk->took_ns > fetch->longest_ns) fetch->longest_ns = disk->took_ns;
    if (disk->result > 0) fetch->stats.bytes += (uint64_t)disk->result;
    fe_fetch_check(disk);
    if (read->verdict == FE_VERDICT_MORE) {
        fetch->stats.longer++;
        uint64_t bytes = read->size != 0 ? read->size : FIRST_MAX;
        if (bytes > read->limit) bytes = read->limit;
        if (leave(store, read, bytes) || again(store, read, bytes)) return;
    } else if (read->verdict == FE_VERDICT_BAD && !is_passing(read->error) &&
               ++read->tries < TRIES) {
        fetch->stats.retried++;
        if (again(store, read, read->asked)) return;
    }
    if (!put_off(store, read)) finish(store, read);
}

/* The buffer is taken only now, when the disk has a place for the read: a command may have queued any number. False
 * without memory: the read is over, or put off. */
static bool take_buffer(fe_store *store, fe_disk_read *disk, fe_disk_read **taken)
{
    fe_fetch_read *read = (fe_fetch_read *)disk;
    fe_room_take(store, read);
    if (FE_UNLIKELY(!fe_buffer_take(store, read, disk->length))) {
        bad(read, ENOMEM);
        if (!put_off(store, read)) finish(store, read);
        return false;
    }
    *taken = disk;
    return true;
}

uint32_t fe_fetch_take(fe_store *store, fe_disk_read **reads, uint32_t max)
{
    fe_fetch *fetch = &store->fetch;
    wake_failed(fetch);
    if (fe_late_is_due(store)) fe_late_start(store);
    uint32_t count = 0;
    for (fe_disk_read *disk; count < max && (disk = queue_take(store)) != NULL;)
        count += take_buffer(store, disk, &reads[count]);
    fetch->in_flight += count;
    return count;
}

/* The rest ------------------------------------------------------------------------------------- */

const char *fe_fetch_error_text(int error)
{
    switch (error) {
    case EBADMSG: return "the record does not match its checksum";
    case ENOMEM: return "out of memory";
    case EIO:
    case ENODATA:
    case EILSEQ:
    case EREMOTEIO:
    case EUCLEAN: return "input/output error";
    default: return "the read was refused";
    }
}

void fe_fetch_stats_get(const fe_store *store, fe_fetch_stats *stats, uint32_t *in_flight)
{
    *stats = store->fetch.stats;
    *in_flight = store->fetch.queued + store->fetch.in_flight;
}

const fe_exponential *fe_fetch_durations(const fe_store *store, uint64_t *longest_ns)
{
    *longest_ns = store->fetch.longest_ns;
    return &store->fetch.durations;
}

void fe_fetch_durations_reset(fe_store *store)
{
    memset(&store->fetch.durations, 0, sizeof(store->fetch.durations));
    store->fetch.longest_ns = 0;
}

static void close_read(fe_store *store, fe_fetch_read *read)
{
    fe_settle_end(store, read);
    fe_fetch_drop(store, read);
}

static void queue_close(fe_store *store, const fe_fetch_queue *queue)
{
    for (fe_disk_read *read = queue->first, *next; read != NULL; read = next) {
        next = read->next;
        close_read(store, (fe_fetch_read *)read);
    }
}

void fe_fetch_close(fe_store *store)
{
    fe_fetch *fetch = &store->fetch;
    FE_ASSERT(fetch->in_flight == 0 && fetch->oldest == NULL);
    queue_close(store, &fetch->queue);
    queue_close(store, &fetch->long_queue);
    for (fe_fetch_read *read = fetch->late, *next; read != NULL; read = next) {
        next = read->late_next;
        close_read(store, read);
    }
    FE_ASSERT(fetch->count == 0 && fetch->settle_count == 0 && fetch->grant_count == 0);
    fe_buffers_free(store);
    fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, fetch->table);
    fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, fetch->missing);
    uint32_t block = fetch->block;
    *fetch = (fe_fetch){.block = block};
}
