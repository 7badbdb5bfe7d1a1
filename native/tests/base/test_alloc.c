/* The accounted allocator: counters, alignment and the failure hook. */
#include "base/alloc.h"

#include <pthread.h>

#include "tests/check.h"

/* What is taken under a class is counted under it, and all of it is gone when it is given back. */
TEST(counters_follow_take_resize_and_give)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);

    void *a = fe_alloc_take(&alloc, FE_ALLOC_CLIENT, 100);
    uint64_t small = fe_alloc_used(&alloc, FE_ALLOC_CLIENT);
    a = fe_alloc_resize(&alloc, FE_ALLOC_CLIENT, a, 10000);
    void *b = fe_alloc_resize(&alloc, FE_ALLOC_ENGINE, NULL, 50);

    CHECK(small >= 100 && small < 200);
    CHECK(fe_alloc_used(&alloc, FE_ALLOC_CLIENT) >= 10000);
    CHECK(fe_alloc_used(&alloc, FE_ALLOC_ENGINE) >= 50);
    CHECK_INT(0, fe_alloc_used(&alloc, FE_ALLOC_LOG));
    CHECK_INT(fe_alloc_used(&alloc, FE_ALLOC_CLIENT) + fe_alloc_used(&alloc, FE_ALLOC_ENGINE),
              fe_alloc_used_all(&alloc));

    fe_alloc_give(&alloc, FE_ALLOC_CLIENT, a);
    fe_alloc_give(&alloc, FE_ALLOC_ENGINE, b);
    fe_alloc_give(&alloc, FE_ALLOC_ENGINE, NULL);
    CHECK_INT(0, fe_alloc_used_all(&alloc));
}

TEST(zeroed_memory_is_zero)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    uint8_t zeros[333] = {0};

    uint8_t *bytes = fe_alloc_take_zeroed(&alloc, FE_ALLOC_SCRATCH, sizeof zeros);

    CHECK_BYTES(zeros, sizeof zeros, bytes, sizeof zeros);
    fe_alloc_give(&alloc, FE_ALLOC_SCRATCH, bytes);
}

/* The hook lets exactly `count` allocations through, and a failed one changes nothing. */
TEST(the_hook_fails_every_kind_of_allocation_after_the_count)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    uint8_t *kept = fe_alloc_take(&alloc, FE_ALLOC_CLIENT, 10);
    uint8_t *pages = fe_pages_map(&alloc, FE_ALLOC_LOG, 4096, 4096);
    kept[9] = 42;

    fe_alloc_fail_after(&alloc, 2);
    void *first = fe_alloc_take(&alloc, FE_ALLOC_CLIENT, 1);
    void *second = fe_alloc_take_zeroed(&alloc, FE_ALLOC_CLIENT, 1);
    uint64_t used = fe_alloc_used_all(&alloc);

    CHECK(first != NULL && second != NULL);
    CHECK(fe_alloc_take(&alloc, FE_ALLOC_CLIENT, 1) == NULL);
    CHECK(fe_alloc_take_zeroed(&alloc, FE_ALLOC_CLIENT, 1) == NULL);
    CHECK(fe_alloc_resize(&alloc, FE_ALLOC_CLIENT, kept, 1000) == NULL);
    CHECK(fe_pages_map(&alloc, FE_ALLOC_LOG, 4096, 4096) == NULL);
    CHECK(fe_pages_remap(&alloc, FE_ALLOC_LOG, pages, 4096, 8192) == NULL);
    CHECK_INT(used, fe_alloc_used_all(&alloc));
    CHECK_INT(42, kept[9]);

    fe_alloc_fail_after(&alloc, -1);
    void *after = fe_alloc_take(&alloc, FE_ALLOC_CLIENT, 1);
    CHECK(after != NULL);
    fe_alloc_give(&alloc, FE_ALLOC_CLIENT, after);
    fe_alloc_give(&alloc, FE_ALLOC_CLIENT, first);
    fe_alloc_give(&alloc, FE_ALLOC_CLIENT, second);
    fe_alloc_give(&alloc, FE_ALLOC_CLIENT, kept);
    fe_pages_unmap(&alloc, FE_ALLOC_LOG, pages, 4096);
    CHECK_INT(0, fe_alloc_used_all(&alloc));
}

TEST(pages_are_aligned_zeroed_and_counted)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);

    for (size_t align = 4096; align <= (size_t)8 << 20; align *= 2) {
        size_t size = 3 * 4096;
        uint8_t *pages = fe_pages_map(&alloc, FE_ALLOC_LOG, size, align);
        CHECK(pages != NULL);
        CHECK_INT(0, (uintptr_t)pages % align);
        CHECK_INT(size, fe_alloc_used(&alloc, FE_ALLOC_LOG));
        CHECK_INT(0, pages[0] | pages[size - 1]);
        memset(pages, 0xff, size);
        fe_pages_unmap(&alloc, FE_ALLOC_LOG, pages, size);
    }
    CHECK_INT(0, fe_alloc_used_all(&alloc));
}

TEST(discarded_pages_stay_mapped_and_counted_and_hold_nothing)
{
    static const size_t sizes[] = {(size_t)4 << 20, ((size_t)5 << 20) + 4096};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        fe_alloc alloc;
        fe_alloc_init(&alloc);
        uint8_t *pages = fe_pages_map(&alloc, FE_ALLOC_LOG, sizes[i], 4096);
        memset(pages, 'x', sizes[i]);

        fe_pages_discard(pages, sizes[i]);

        CHECK_INT((int64_t)sizes[i], (int64_t)fe_alloc_used(&alloc, FE_ALLOC_LOG));
        CHECK_INT(0, pages[0] | pages[sizes[i] / 2] | pages[sizes[i] - 1]);
        fe_pages_unmap(&alloc, FE_ALLOC_LOG, pages, sizes[i]);
    }
}

TEST(a_reservation_is_counted_as_it_is_used)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    uint8_t *pages = fe_pages_reserve(&alloc, FE_ALLOC_INDEX, (size_t)2 << 20, 4096);
    CHECK_INT(4096, fe_alloc_used(&alloc, FE_ALLOC_INDEX));
    memset(pages, 'x', 4096);

    CHECK(fe_pages_count(&alloc, FE_ALLOC_INDEX, 8192));

    CHECK_INT(12288, fe_alloc_used(&alloc, FE_ALLOC_INDEX));
    CHECK_INT('x', pages[4095]);
    CHECK_INT(0, pages[4096] | pages[12287]);
    fe_alloc_fail_after(&alloc, 0);
    CHECK(!fe_pages_count(&alloc, FE_ALLOC_INDEX, 4096));
    CHECK(fe_pages_reserve(&alloc, FE_ALLOC_INDEX, 8192, 4096) == NULL);
    CHECK_INT(12288, fe_alloc_used(&alloc, FE_ALLOC_INDEX));
    fe_pages_unmap_reserved(&alloc, FE_ALLOC_INDEX, pages, (size_t)2 << 20, 12288);
    CHECK_INT(0, fe_alloc_used_all(&alloc));
}

TEST(growing_pages_keeps_what_they_held)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    uint8_t *pages = fe_pages_map(&alloc, FE_ALLOC_INDEX, 8192, 4096);
    memset(pages, 7, 8192);

    pages = fe_pages_remap(&alloc, FE_ALLOC_INDEX, pages, 8192, (size_t)4 << 20);

    CHECK(pages != NULL);
    CHECK_INT(7, pages[0]);
    CHECK_INT(7, pages[8191]);
    CHECK_INT(0, pages[8192]);
    CHECK_INT((size_t)4 << 20, fe_alloc_used(&alloc, FE_ALLOC_INDEX));
    fe_pages_unmap(&alloc, FE_ALLOC_INDEX, pages, (size_t)4 << 20);
    CHECK_INT(0, fe_alloc_used_all(&alloc));
}

TEST(an_impossible_mapping_is_refused)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);

    CHECK(fe_pages_map(&alloc, FE_ALLOC_LOG, SIZE_MAX / 4096 * 4096, (size_t)1 << 30) == NULL);
    CHECK_INT(0, fe_alloc_used_all(&alloc));
}

#define THREADS 4
#define ALLOWED 1000

static void *take_until_refused(void *argument)
{
    fe_alloc *alloc = argument;
    void *taken[ALLOWED];
    intptr_t count = 0;
    void *ptr;
    while ((ptr = fe_alloc_take(alloc, FE_ALLOC_CLIENT, 16)) != NULL)
        taken[count++] = ptr;
    for (intptr_t i = 0; i < count; i++)
        fe_alloc_give(alloc, FE_ALLOC_CLIENT, taken[i]);
    return (void *)count;
}

/* The count-down is shared: together the threads get exactly what was allowed. */
TEST(the_hook_counts_across_threads)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_alloc_fail_after(&alloc, ALLOWED);
    pthread_t threads[THREADS];
    intptr_t total = 0;

    for (int i = 0; i < THREADS; i++) {
        CHECK_INT(0, pthread_create(&threads[i], NULL, take_until_refused, &alloc));
    }
    for (int i = 0; i < THREADS; i++) {
        void *count;
        CHECK_INT(0, pthread_join(threads[i], &count));
        total += (intptr_t)count;
    }

    CHECK_INT(ALLOWED, total);
    CHECK_INT(0, fe_alloc_used_all(&alloc));
}

TEST(the_heap_tells_what_blocks_and_mappings_take)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    uint64_t allocated, active, allocated_then, active_then;
    if (!fe_alloc_heap(&alloc, &allocated, &active)) return; /* the C library does not say */

    void *pages = fe_pages_map(&alloc, FE_ALLOC_LOG, 1 << 20, 4096);
    CHECK(pages != NULL);

    CHECK(fe_alloc_heap(&alloc, &allocated_then, &active_then));
    CHECK_INT(allocated + (1 << 20), allocated_then);
    CHECK_INT(active + (1 << 20), active_then);
    CHECK(allocated <= active);
    fe_pages_unmap(&alloc, FE_ALLOC_LOG, pages, 1 << 20);
}

int main(void)
{
    RUN(the_heap_tells_what_blocks_and_mappings_take);
    RUN(counters_follow_take_resize_and_give);
    RUN(zeroed_memory_is_zero);
    RUN(the_hook_fails_every_kind_of_allocation_after_the_count);
    RUN(pages_are_aligned_zeroed_and_counted);
    RUN(discarded_pages_stay_mapped_and_counted_and_hold_nothing);
    RUN(a_reservation_is_counted_as_it_is_used);
    RUN(growing_pages_keeps_what_they_held);
    RUN(an_impossible_mapping_is_refused);
    RUN(the_hook_counts_across_threads);
    return check_done();
}
