/* The log alone: segments, tails, deaths, in-place changes of size, walks. */
#include "store/log.h"
#include "tests/check.h"

typedef struct rig {
    fe_alloc alloc;
    fe_trash_list trash;
    fe_log log;
} rig;

static void rig_open(rig *r)
{
    fe_alloc_init(&r->alloc);
    r->trash = (fe_trash_list){0};
    fe_log_init(&r->log, &r->alloc, &r->trash, FE_SEGMENT_MIN);
}

static void rig_close(rig *r)
{
    CHECK(fe_log_check(&r->log) == NULL);
    fe_trash_empty(&r->trash, &r->alloc);
    fe_log_close(&r->log);
    CHECK_INT(0, fe_alloc_used_all(&r->alloc));
}

/* A record of `size` bytes (64 KiB at most) with a one-byte key. */
static fe_address add(rig *r, size_t size)
{
    fe_address address = fe_log_append(&r->log, FE_TAIL_NEW, size, 1);
    CHECK(address != FE_ADDRESS_NONE);
    fe_record *record = fe_log_at(&r->log, address);
    record->word = (uint64_t)FE_TYPE_STRING | 1ull << 8 | (uint64_t)(size - 9) << 16 | 1ull << 32;
    return address;
}

static void set_size(rig *r, fe_address address, size_t size)
{
    fe_log_at(&r->log, address)->word =
        (uint64_t)FE_TYPE_STRING | 1ull << 8 | (uint64_t)(size - 9) << 16 | 1ull << 32;
}

TEST(the_last_record_of_the_tail_gives_its_space_back_at_once)
{
    rig r;
    rig_open(&r);
    fe_address a = add(&r, 64), b = add(&r, 80);
    fe_log_kill(&r.log, b, 80);
    CHECK_INT(b, add(&r, 96));
    fe_log_kill(&r.log, b, 96);
    fe_log_kill(&r.log, a, 64);
    CHECK_INT(a, add(&r, 64));
    rig_close(&r);
}

TEST(a_segment_is_freed_by_the_death_of_its_last_record)
{
    rig r;
    rig_open(&r);
    fe_address address[200];
    for (unsigned i = 0; i < 200; i++)
        address[i] = add(&r, 1024);
    CHECK_INT(4, r.log.segment_count);
    for (unsigned i = 0; i < 63; i++)
        fe_log_kill(&r.log, address[i], 1024);
    CHECK_INT(4, r.log.segment_count);
    fe_log_kill(&r.log, address[63], 1024);
    CHECK_INT(3, r.log.segment_count);
    CHECK_INT(136 * 1024, r.log.live);
    rig_close(&r);
}

TEST(a_record_takes_the_dead_space_behind_it_when_it_grows_and_leaves_a_filler_when_it_shrinks)
{
    rig r;
    rig_open(&r);
    fe_address a = add(&r, 64), b = add(&r, 64), c = add(&r, 64);
    CHECK_INT(0, fe_log_room(&r.log, a, 64, 72));
    fe_log_kill(&r.log, b, 64);
    CHECK_INT(128, fe_log_room(&r.log, a, 64, 72));
    set_size(&r, a, 72);
    fe_log_refit(&r.log, a, 64, 128, 72);
    CHECK(fe_log_check(&r.log) == NULL);
    CHECK_INT(72 + 64, r.log.live);
    CHECK_INT(0, fe_log_room(&r.log, a, 72, 136));
    set_size(&r, a, 24);
    fe_log_refit(&r.log, a, 72, 72, 24);
    CHECK(fe_log_check(&r.log) == NULL);

    fe_cursor cursor = {fe_address_segment(a, r.log.offset_bits), 0};
    fe_address at = 0;
    CHECK(fe_log_walk(&r.log, &cursor, &at) != NULL && at == a);
    CHECK(fe_log_walk(&r.log, &cursor, &at) != NULL && at == c);
    CHECK(fe_log_walk(&r.log, &cursor, &at) == NULL);
    rig_close(&r);
}

TEST(the_last_record_of_the_tail_grows_into_what_was_not_appended_yet)
{
    rig r;
    rig_open(&r);
    (void)add(&r, 64);
    fe_address b = add(&r, 64);
    CHECK_INT(4096, fe_log_room(&r.log, b, 64, 4096));
    set_size(&r, b, 4096);
    fe_log_refit(&r.log, b, 64, 4096, 4096);
    CHECK_INT(64 + 4096, r.log.live);
    CHECK_INT(0, fe_log_room(&r.log, b, 4096, FE_SEGMENT_MIN));
    rig_close(&r);
}

TEST(a_walker_is_kept_on_a_boundary_when_the_record_before_it_takes_the_filler_under_it)
{
    rig r;
    rig_open(&r);
    fe_address a = add(&r, 64), b = add(&r, 64), c = add(&r, 64);
    fe_cursor *cursor = &r.log.cursor[FE_WALKER_SWEEP];
    *cursor = (fe_cursor){fe_address_segment(a, r.log.offset_bits), 64};
    fe_log_kill(&r.log, b, 64);
    size_t room = fe_log_room(&r.log, a, 64, 96);
    set_size(&r, a, 96);
    fe_log_refit(&r.log, a, 64, room, 96);
    CHECK(fe_log_check(&r.log) == NULL);
    fe_address at = 0;
    CHECK(fe_log_walk(&r.log, cursor, &at) != NULL && at == c);
    fe_log_kill(&r.log, c, 64);
    CHECK(fe_log_check(&r.log) == NULL);
    CHECK(fe_log_walk(&r.log, cursor, &at) == NULL);
    rig_close(&r);
}

TEST(a_large_record_has_a_mapping_of_its_own_that_grows_and_dies_with_it)
{
    rig r;
    rig_open(&r);
    (void)add(&r, 64);
    fe_address big = add(&r, 40000);
    CHECK(fe_address_segment(big, r.log.offset_bits) != 1);
    CHECK_INT(FE_SEGMENT_MIN + 40960, r.log.bytes);
    memset((uint8_t *)fe_log_at(&r.log, big) + 9, 'x', 40000 - 9);
    size_t room = fe_log_room(&r.log, big, 40000, 60000);
    CHECK_INT(61440, room);
    CHECK(((uint8_t *)fe_log_at(&r.log, big))[39999] == 'x');
    set_size(&r, big, 60000);
    fe_log_refit(&r.log, big, 40000, room, 60000);
    CHECK(fe_log_check(&r.log) == NULL);
    CHECK_INT(0, fe_log_room(&r.log, big, 60000, 20000)); /* it had better move to a shared one */
    fe_log_kill(&r.log, big, 60000);
    CHECK_INT(FE_SEGMENT_MIN, r.log.bytes);
    CHECK_INT(61440, r.trash.bytes);
    rig_close(&r);
}

TEST(the_victim_is_the_full_segment_with_the_least_alive)
{
    rig r;
    rig_open(&r);
    fe_address address[200];
    for (unsigned i = 0; i < 200; i++)
        address[i] = add(&r, 1024);
    CHECK_INT(0, fe_log_victim(&r.log, 60));
    for (unsigned i = 0; i < 20; i++)
        fe_log_kill(&r.log, address[i], 1024);
    for (unsigned i = 64; i < 100; i++)
        fe_log_kill(&r.log, address[i], 1024);
    CHECK_INT(fe_address_segment(address[64], r.log.offset_bits), fe_log_victim(&r.log, 60));
    CHECK_INT(56 * 1024, fe_log_garbage(&r.log));
    rig_close(&r);
}

TEST(segments_start_small_and_grow_with_the_log)
{
    rig r;
    fe_alloc_init(&r.alloc);
    r.trash = (fe_trash_list){0};
    fe_log_init(&r.log, &r.alloc, &r.trash, FE_SEGMENT_DEFAULT);
    (void)add(&r, 1024);
    CHECK_INT(FE_SEGMENT_MIN, r.log.bytes);
    for (unsigned i = 0; i < 80 * 1024; i++)
        (void)add(&r, 1024);
    CHECK_INT(FE_SEGMENT_DEFAULT, fe_log_next_size(&r.log));
    CHECK(r.log.bytes - r.log.live <= FE_SEGMENT_DEFAULT);
    fe_log_set_segment_max(&r.log, 100000);
    CHECK_INT(FE_SEGMENT_MIN, fe_log_next_size(&r.log));
    rig_close(&r);
}

TEST(a_refused_mapping_or_table_leaves_the_log_as_it_was)
{
    for (int64_t allowed = 0; allowed < 8; allowed++) {
        rig r;
        rig_open(&r);
        fe_alloc_fail_after(&r.alloc, allowed);
        uint64_t live = 0;
        for (unsigned i = 0; i < 400; i++)
            if (fe_log_append(&r.log, FE_TAIL_NEW, i % 7 == 0 ? 20000 : 1024, 1) !=
                FE_ADDRESS_NONE) {
                fe_alloc_fail_after(&r.alloc, -1);
                break;
            }
        fe_alloc_fail_after(&r.alloc, allowed);
        fe_address address;
        while ((address = fe_log_append(&r.log, FE_TAIL_NEW, 1024, 1)) != FE_ADDRESS_NONE) {
            set_size(&r, address, 1024);
            live += 1024;
        }
        fe_alloc_fail_after(&r.alloc, -1);
        CHECK(r.log.live >= live);
        CHECK(fe_log_append(&r.log, FE_TAIL_NEW, 1024, 1) != FE_ADDRESS_NONE);
        fe_trash_empty(&r.trash, &r.alloc);
        fe_log_close(&r.log);
        CHECK_INT(0, fe_alloc_used_all(&r.alloc));
    }
}

int main(void)
{
    RUN(the_last_record_of_the_tail_gives_its_space_back_at_once);
    RUN(a_segment_is_freed_by_the_death_of_its_last_record);
    RUN(a_record_takes_the_dead_space_behind_it_when_it_grows_and_leaves_a_filler_when_it_shrinks);
    RUN(the_last_record_of_the_tail_grows_into_what_was_not_appended_yet);
    RUN(a_walker_is_kept_on_a_boundary_when_the_record_before_it_takes_the_filler_under_it);
    RUN(a_large_record_has_a_mapping_of_its_own_that_grows_and_dies_with_it);
    RUN(the_victim_is_the_full_segment_with_the_least_alive);
    RUN(segments_start_small_and_grow_with_the_log);
    RUN(a_refused_mapping_or_table_leaves_the_log_as_it_was);
    return check_done();
}
