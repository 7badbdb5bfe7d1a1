/* Memory prepared ahead of need, and given back after use. */
#include "store/index.h"
#include "tests/store/support.h"

TEST(spares_are_asked_for_by_a_large_store_and_used)
{
    fixture f;
    fe_store_options options = fixture_options();
    options.segment_size = 0;
    fixture_open(&f, &options);
    static uint8_t filling[1024];
    size_t size = 0;
    name_buf buf;
    CHECK(!fe_store_spare_wanted(f.store, &size));
    uint64_t given = 0;
    for (uint64_t i = 0; i < 60000; i++) {
        CHECK(set(&f, 0, name_of(&buf, i), (fe_bytes){filling, 1024}, FE_DEADLINE_NONE));
        while (fe_store_spare_wanted(f.store, &size)) {
            fe_store_spare_give(f.store, fe_store_spare_map(&f.alloc, size), size);
            given++;
        }
    }
    CHECK(given > 20);
    fe_store_stats stats;
    fe_store_stats_get(f.store, &stats);
    CHECK(given < stats.log_segments);
    check_store(&f);
    empty_trash(&f);
    CHECK_INT(FE_OK, fe_store_flush_all(f.store, true));
    CHECK(fe_store_used(f.store) < 300 * 1024);
    fixture_close(&f);
}

TEST(an_index_that_is_about_to_grow_gets_its_chunk_ahead_of_need)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    name_buf buf;
    size_t size = 0;
    uint64_t given = 0;
    for (uint64_t i = 0; i < 700000; i++) {
        CHECK(set(&f, 0, name_of(&buf, i), FE_BYTES(""), FE_DEADLINE_NONE));
        if (!fe_store_spare_wanted(f.store, &size) || size != FE_INDEX_CHUNK_BYTES) continue;
        uint64_t log_before = fe_alloc_used(&f.alloc, FE_ALLOC_LOG);
        fe_store_spare_give(f.store, fe_store_spare_map(&f.alloc, size), size);
        CHECK_INT(log_before, fe_alloc_used(&f.alloc, FE_ALLOC_LOG)); /* it counts as index */
        given++;
    }
    CHECK(given >= 1 && given <= 3);
    check_store(&f);
    fixture_close(&f);
}

TEST(a_spare_that_is_not_wanted_any_more_goes_to_the_trash)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    fe_store_spare_give(f.store, fe_store_spare_map(&f.alloc, 65536), 65536);
    fe_trash trash;
    CHECK(fe_store_trash_take(f.store, &trash));
    CHECK_INT(65536, trash.size);
    CHECK_INT(FE_ALLOC_LOG, trash.class);
    fe_pages_unmap(&f.alloc, trash.class, trash.ptr, trash.size);
    CHECK(!fe_store_trash_take(f.store, &trash));
    fixture_close(&f);
}

TEST(no_spare_is_asked_for_above_the_limit)
{
    fixture f;
    fe_store_options options = fixture_options();
    options.memory_max = 8 << 20;
    fixture_open(&f, &options);
    static uint8_t filling[1000];
    name_buf buf;
    size_t size = 0;
    uint64_t wanted = 0, above = 0;
    for (uint64_t i = 0; i < 12000; i++) {
        CHECK(set(&f, 0, name_of(&buf, i), (fe_bytes){filling, 1000}, FE_DEADLINE_NONE));
        bool asked = fe_store_spare_wanted(f.store, &size);
        wanted += asked;
        above += asked && fe_store_used(f.store) + size > options.memory_max;
    }
    CHECK(wanted > 0);
    CHECK_INT(0, above);
    fixture_close(&f);
}

int main(void)
{
    RUN(spares_are_asked_for_by_a_large_store_and_used);
    RUN(an_index_that_is_about_to_grow_gets_its_chunk_ahead_of_need);
    RUN(a_spare_that_is_not_wanted_any_more_goes_to_the_trash);
    RUN(no_spare_is_asked_for_above_the_limit);
    return check_done();
}
