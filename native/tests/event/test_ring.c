/* The ring: records come out as they went in, whole, in order, once; what did not fit is counted. */
#include "tests/check.h"

#include "base/random.h"
#include "event/ring.h"

#include <pthread.h>
#include <sched.h>

typedef struct fixture {
    fe_alloc alloc;
    fe_event_ring ring;
} fixture;

static void open_ring(fixture *it, uint64_t size)
{
    fe_alloc_init(&it->alloc);
    CHECK(fe_event_ring_open(&it->ring, &it->alloc, size));
}

static void close_ring(fixture *it)
{
    fe_event_ring_close(&it->ring, &it->alloc);
    CHECK_INT(0, fe_alloc_used_all(&it->alloc));
}

/* Writes a record that carries `number` and is filled with its low byte. */
static bool put(fe_event_ring *ring, uint64_t number, uint32_t size)
{
    fe_trace_record *record = fe_event_ring_reserve(ring, size);
    if (record == NULL) return false;
    memset(record, (int)(number & 255), size);
    record->size = size;
    record->kind = FE_TRACE_COMMAND;
    record->start_ticks = number;
    return true;
}

static bool is_whole(const fe_trace_record *record)
{
    const uint8_t *bytes = (const uint8_t *)record;
    for (uint32_t i = sizeof *record; i < record->size; i++)
        if (bytes[i] != (uint8_t)(record->start_ticks & 255)) return false;
    return record->kind == FE_TRACE_COMMAND;
}

/* Takes at most `max` records, checks that each is whole, and gives their numbers. */
static uint32_t take(fe_event_ring *ring, uint64_t *numbers, uint32_t max)
{
    uint32_t count = 0;
    const uint8_t *data;
    size_t len;
    while (count < max && (len = fe_event_ring_peek(ring, &data)) != 0) {
        size_t done = 0;
        while (done < len && count < max) {
            const fe_trace_record *record = (const void *)(data + done);
            done += record->size;
            if (record->kind == FE_TRACE_PAD) continue;
            CHECK(is_whole(record));
            numbers[count++] = record->start_ticks;
        }
        fe_event_ring_take(ring, done);
    }
    return count;
}

TEST(what_is_published_comes_out_in_order)
{
    fixture it;
    open_ring(&it, 1);
    uint64_t numbers[8];

    CHECK(put(&it.ring, 7, 128));
    CHECK(put(&it.ring, 8, 160));
    CHECK_INT(0, take(&it.ring, numbers, 8));
    fe_event_ring_publish(&it.ring);

    CHECK_INT(288, fe_event_ring_waiting(&it.ring));
    CHECK_INT(2, take(&it.ring, numbers, 8));
    CHECK_INT(7, numbers[0]);
    CHECK_INT(8, numbers[1]);
    CHECK_INT(0, fe_event_ring_waiting(&it.ring));
    CHECK_INT(2, fe_event_ring_records(&it.ring));
    close_ring(&it);
}

TEST(a_record_may_be_changed_until_it_is_published)
{
    fixture it;
    open_ring(&it, 1);
    uint64_t numbers[1];
    uint64_t at = it.ring.head;

    CHECK(put(&it.ring, 1, 128));
    fe_event_ring_at(&it.ring, at)->start_ticks = 2;
    fe_event_ring_publish(&it.ring);

    CHECK_INT(1, take(&it.ring, numbers, 1));
    CHECK_INT(2, numbers[0]);
    close_ring(&it);
}

TEST(a_full_ring_drops_the_newest_and_counts_it)
{
    fixture it;
    open_ring(&it, FE_EVENT_RING_SIZE_MIN);
    uint64_t numbers[FE_EVENT_RING_SIZE_MIN / 128];
    uint32_t fits = FE_EVENT_RING_SIZE_MIN / 128;

    for (uint32_t i = 0; i < fits; i++)
        CHECK(put(&it.ring, i, 128));
    CHECK(!put(&it.ring, fits, 128));
    CHECK(!put(&it.ring, fits, 128));
    fe_event_ring_publish(&it.ring);

    CHECK_INT(2, fe_event_ring_dropped(&it.ring));
    CHECK_INT(fits, take(&it.ring, numbers, fits));
    CHECK_INT(0, numbers[0]);
    CHECK_INT(fits - 1, numbers[fits - 1]);
    CHECK(put(&it.ring, 1, 128));
    close_ring(&it);
}

TEST(a_ring_without_memory_is_not_opened)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_alloc_fail_after(&alloc, 0);
    fe_event_ring ring = {0};

    CHECK(!fe_event_ring_open(&ring, &alloc, 1));
    CHECK(ring.data == NULL);
}

/* A queue of numbers stands beside the ring; records of any size come and go at random. */
TEST(it_agrees_with_a_queue)
{
    uint64_t seed = 20260101;
    printf("seed %llu\n", (unsigned long long)seed);
    fe_random random;
    fe_random_init(&random, seed);
    fixture it;
    open_ring(&it, FE_EVENT_RING_SIZE_MIN);
    static uint64_t queue[1 << 16], numbers[1 << 16];
    uint64_t first = 0, visible = 0, last = 0, next = 0, drops = 0;
    for (uint32_t step = 0; step < 200000; step++) {
        uint64_t choice = fe_random_below(&random, 8);
        if (choice < 5) {
            uint32_t size = 128 + 32 * (uint32_t)fe_random_below(&random, choice == 0 ? 100 : 4);
            uint64_t number = next++;
            if (put(&it.ring, number, size))
                queue[last++ & 0xffff] = number;
            else
                drops++;
        } else if (choice == 5) {
            fe_event_ring_publish(&it.ring);
            visible = last;
        } else {
            uint32_t max = 1 + (uint32_t)fe_random_below(&random, 40);
            uint64_t wanted = visible - first < max ? visible - first : max;
            uint32_t got = take(&it.ring, numbers, max);
            CHECK_INT(wanted, got);
            for (uint32_t i = 0; i < got; i++)
                CHECK_INT(queue[first++ & 0xffff], numbers[i]);
        }
        CHECK_INT(drops, fe_event_ring_dropped(&it.ring));
        CHECK_INT(last, fe_event_ring_records(&it.ring));
        if (check_failures > 10) break;
    }
    CHECK(drops > 0 && last > 50000);
    close_ring(&it);
}

#define SENT 300000u

typedef struct writing {
    fe_event_ring *ring;
    uint64_t accepted;
    _Atomic bool over;
} writing;

static void *write_all(void *argument)
{
    writing *it = argument;
    for (uint64_t i = 1; i <= SENT; i++) {
        it->accepted += put(it->ring, i, 128 + 32 * (uint32_t)(i % 5));
        if (i % 7 == 0) fe_event_ring_publish(it->ring);
        if (i % 64 == 0) sched_yield();
    }
    fe_event_ring_publish(it->ring);
    atomic_store(&it->over, true);
    return NULL;
}

TEST(two_threads_lose_nothing_but_what_is_counted)
{
    fixture it;
    open_ring(&it, 65536);
    writing all = {.ring = &it.ring};
    pthread_t writer;
    CHECK_INT(0, pthread_create(&writer, NULL, write_all, &all));
    uint64_t numbers[64];
    uint64_t received = 0, last = 0;
    bool ordered = true;
    for (;;) {
        bool over = atomic_load(&all.over); /* before the look: then nothing comes behind it */
        uint32_t count = take(&it.ring, numbers, 64);
        for (uint32_t i = 0; i < count; i++) {
            ordered &= numbers[i] > last;
            last = numbers[i];
        }
        received += count;
        if (count > 0) continue;
        if (over) break;
        sched_yield();
    }
    pthread_join(writer, NULL);

    CHECK(ordered);
    CHECK_INT(all.accepted, received);
    CHECK_INT(all.accepted, fe_event_ring_records(&it.ring));
    CHECK_INT(SENT - all.accepted, fe_event_ring_dropped(&it.ring));
    close_ring(&it);
}

int main(void)
{
    RUN(what_is_published_comes_out_in_order);
    RUN(a_record_may_be_changed_until_it_is_published);
    RUN(a_full_ring_drops_the_newest_and_counts_it);
    RUN(a_ring_without_memory_is_not_opened);
    RUN(it_agrees_with_a_queue);
    RUN(two_threads_lose_nothing_but_what_is_counted);
    return check_done();
}
