/* Memory prepared ahead of need, and given back after use. */
#include "store/store.h"
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
    CHECK_INT(FE_OK, fe_store_flush_all(f.store, true));
    empty_trash(&f);
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
    fe_trash_unmap(&f.alloc, &trash);
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

#define QUIET 5u /* rounds; a round may make what the next one finds */

/* What the background thread does until nothing is due. */
static void rest(fixture *f)
{
    unsigned quiet = 0;
    for (unsigned i = 0; quiet < QUIET && i < 100000; i++) {
        bool more = fe_store_step_index(f->store, 256);
        more |= fe_store_step_compact(f->store, 65536);
        quiet = more ? 0 : quiet + 1;
        empty_trash(f);
        size_t size = 0;
        if (!fe_store_spare_wanted(f->store, &size)) continue;
        fe_store_spare_give(f->store, fe_store_spare_map(&f->alloc, size), size);
        quiet = 0;
    }
    CHECK_INT(QUIET, quiet);
}

TEST(a_store_that_has_shrunk_gives_back_tails_index_and_spares)
{
    static uint8_t filling[100];
    for (uint64_t step = 15000; step <= 300000; step *= 20) { /* one key in `step` stays */
        fixture f;
        fe_store_options options = fixture_options();
        options.segment_size = 0;
        fixture_open(&f, &options);
        uint64_t empty = fe_store_used(f.store), kept = 0;
        name_buf buf;
        for (uint64_t i = 0; i < 300000; i++) {
            CHECK(set(&f, 0, name_of(&buf, i), (fe_bytes){filling, 100}, FE_DEADLINE_NONE));
            if (i % 1000 == 0) rest(&f);
        }
        fe_store_stats stats;
        fe_store_stats_get(f.store, &stats);
        CHECK(stats.index_bytes > FE_INDEX_CHUNK_BYTES);
        uint64_t full = fe_store_used(f.store);
        for (uint64_t i = 0; i < 300000; i++)
            if ((i + 1) % step != 0) CHECK(del(&f, 0, name_of(&buf, i)));
        rest(&f);
        check_store(&f);
        CHECK(fe_store_used(f.store) - empty < (full - empty) / 100);
        for (uint64_t i = 0; i < 300000; i++)
            kept += (i + 1) % step == 0 && has(&f, 0, name_of(&buf, i), (fe_bytes){filling, 100});
        CHECK_INT(300000 / step, kept);
        CHECK_INT(kept, fe_store_db_size(f.store, 0));
        fixture_close(&f);
    }
}

TEST(a_tail_opened_for_a_large_record_is_not_given_up_over_and_over)
{
    static uint8_t filling[200000];
    fixture f;
    fe_store_options options = fixture_options();
    options.segment_size = 4 << 20;
    fixture_open(&f, &options);
    name_buf buf;
    CHECK(set(&f, 0, name_of(&buf, 1), (fe_bytes){filling, 200000}, FE_DEADLINE_NONE));
    rest(&f);
    fe_store_stats before, after;
    fe_store_stats_get(f.store, &before);
    rest(&f);
    fe_store_stats_get(f.store, &after);
    CHECK_INT(before.compacted_bytes, after.compacted_bytes);
    CHECK_INT(0, after.compacted_bytes);
    fixture_close(&f);
}

TEST(pages_of_nodes_are_cut_from_what_was_mapped_ahead_and_given_back)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    const fe_index_space *space = &f.store->index_space;
    name_buf buf;
    uint64_t cuts = 0;
    for (uint64_t i = 0; i < 1200000; i++) {
        size_t size = 0, left = space->node_pages_bytes;
        CHECK(set(&f, 0, name_of(&buf, i), FE_BYTES(""), FE_DEADLINE_NONE));
        cuts += space->node_pages_bytes < left;
        if (fe_store_spare_wanted(f.store, &size))
            fe_store_spare_give(f.store, fe_store_spare_map(&f.alloc, size), size);
    }
    CHECK(cuts > 10);
    CHECK(space->node_pages != NULL);
    check_store(&f);

    for (uint64_t i = 0; i < 1000000; i++)
        CHECK(del(&f, 0, name_of(&buf, i)));
    rest(&f);

    CHECK(space->node_pages == NULL);
    check_store(&f);
    CHECK_INT(FE_OK, fe_store_flush(f.store, 0, false));
    empty_trash(&f);
    CHECK_INT(0, fe_alloc_used(&f.alloc, FE_ALLOC_INDEX));
    fixture_close(&f);
}

TEST(writers_do_not_unmap_what_a_flush_left)
{
    fixture f;
    fe_store_options options = fixture_options();
    options.segment_size = 0;
    fixture_open(&f, &options);
    static uint8_t filling[8000];
    name_buf buf;
    for (uint64_t i = 0; i < 12000; i++)
        CHECK(set(&f, 0, name_of(&buf, i), (fe_bytes){filling, 8000}, FE_DEADLINE_NONE));
    CHECK_INT(FE_OK, fe_store_flush_all(f.store, false));
    while (fe_store_step_compact(f.store, 65536))
        ;
    fe_store_stats before, after;
    fe_store_stats_get(f.store, &before);
    CHECK(fe_alloc_used(&f.alloc, FE_ALLOC_LOG) > 80u << 20);

    for (uint64_t i = 0; i < 1000; i++) {
        CHECK_INT(FE_OK, fe_store_make_room(f.store));
        CHECK(set(&f, 0, name_of(&buf, i), FE_BYTES("v"), FE_DEADLINE_NONE));
    }

    fe_store_stats_get(f.store, &after);
    CHECK_INT(before.trash_unmapped, after.trash_unmapped);
    check_store(&f);
    fixture_close(&f);
}

TEST(writers_unmap_what_they_left_when_it_is_much)
{
    fixture f;
    fe_store_options options = fixture_options();
    options.segment_size = 0;
    fixture_open(&f, &options);
    static uint8_t filling[4 << 20];
    fe_store_stats stats;
    for (uint64_t i = 0; i < 40; i++) {
        CHECK_INT(FE_OK, fe_store_make_room(f.store));
        CHECK(set(&f, 0, FE_BYTES("k"), (fe_bytes){filling, sizeof(filling)}, FE_DEADLINE_NONE));
        CHECK(del(&f, 0, FE_BYTES("k")));
    }
    fe_store_stats_get(f.store, &stats);
    CHECK(stats.trash_unmapped > 20);
    CHECK(fe_alloc_used(&f.alloc, FE_ALLOC_LOG) <= 80u << 20);
    fixture_close(&f);
}

static uint8_t long_value[32u << 20];

static void set_and_delete_long(fixture *f)
{
    fe_bytes value = {long_value, sizeof(long_value)};
    CHECK(set(f, 0, FE_BYTES("long"), value, FE_DEADLINE_NONE));
    CHECK(del(f, 0, FE_BYTES("long")));
}

TEST(a_long_mapping_is_the_workers)
{
    fixture f;
    fe_store_options options = fixture_options();
    options.segment_size = 0;
    fixture_open(&f, &options);
    for (unsigned i = 0; i < 4; i++)
        set_and_delete_long(&f);
    CHECK(fe_store_trash_news(f.store)); /* which it is woken for, once */
    CHECK(!fe_store_trash_news(f.store));

    for (uint64_t i = 0; i < 100; i++) {
        CHECK_INT(FE_OK, fe_store_make_room(f.store));
        CHECK(set(&f, 0, FE_BYTES("x"), FE_BYTES("1"), FE_DEADLINE_NONE));
    }
    CHECK_INT(FE_OK, fe_store_flush_all(f.store, true));

    CHECK(fe_alloc_used(&f.alloc, FE_ALLOC_LOG) >= 4 * sizeof(long_value));
    empty_trash(&f);
    CHECK(fe_alloc_used(&f.alloc, FE_ALLOC_LOG) < sizeof(long_value));
    fixture_close(&f);
}

TEST(above_the_limit_long_mappings_are_given_back_in_pieces)
{
    fixture f;
    fe_store_options options = fixture_options();
    options.memory_max = 48u << 20;
    fixture_open(&f, &options);
    for (unsigned i = 0; i < 4; i++)
        set_and_delete_long(&f);
    CHECK(fe_store_used(f.store) > 2 * options.memory_max);

    uint64_t most = 0, writes = 0;
    for (; fe_store_used(f.store) > options.memory_max && writes < 100; writes++) {
        uint64_t before = fe_store_used(f.store);
        CHECK_INT(FE_OK, fe_store_make_room(f.store));
        CHECK(set(&f, 0, FE_BYTES("x"), FE_BYTES("1"), FE_DEADLINE_NONE));
        uint64_t less = before - fe_store_used(f.store);
        if (less > most) most = less;
    }

    CHECK(writes < 100);
    CHECK(most <= 16u << 20);
    check_store(&f);
    fixture_close(&f);
}

int main(void)
{
    RUN(spares_are_asked_for_by_a_large_store_and_used);
    RUN(an_index_that_is_about_to_grow_gets_its_chunk_ahead_of_need);
    RUN(a_spare_that_is_not_wanted_any_more_goes_to_the_trash);
    RUN(no_spare_is_asked_for_above_the_limit);
    RUN(a_store_that_has_shrunk_gives_back_tails_index_and_spares);
    RUN(a_tail_opened_for_a_large_record_is_not_given_up_over_and_over);
    RUN(pages_of_nodes_are_cut_from_what_was_mapped_ahead_and_given_back);
    RUN(writers_do_not_unmap_what_a_flush_left);
    RUN(writers_unmap_what_they_left_when_it_is_much);
    RUN(a_long_mapping_is_the_workers);
    RUN(above_the_limit_long_mappings_are_given_back_in_pieces);
    return check_done();
}
