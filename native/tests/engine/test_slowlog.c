/* The slow log: a bounded ring of entries that own their text. */
#include "tests/check.h"

#include "engine/slowlog.h"

typedef struct log_rig {
    fe_alloc alloc;
    fe_slowlog log;
} log_rig;

static void open_log(log_rig *it, uint32_t max)
{
    fe_alloc_init(&it->alloc);
    fe_slowlog_init(&it->log, &it->alloc);
    fe_slowlog_set_max(&it->log, max);
}

static void close_log(log_rig *it)
{
    fe_slowlog_free(&it->log);
    CHECK_INT(0, fe_alloc_used_all(&it->alloc));
}

/* Adds an entry whose only argument is the number, of one digit. */
static uint64_t add_number(log_rig *it, int number)
{
    uint8_t digit = (uint8_t)('0' + number);
    fe_bytes arg = {&digit, 1};
    return fe_slowlog_add(&it->log, 1000 + number, 50 + number, &arg, 1, FE_BYTES("10.0.0.1:5"),
                          FE_BYTES("me"));
}

static int number_of(const fe_slowlog_entry *entry)
{
    return entry->argv[0].ptr[0] - '0';
}

TEST(entries_are_newest_first_and_bounded)
{
    log_rig it;
    open_log(&it, 3);
    CHECK(fe_slowlog_get(&it.log, 0) == NULL);
    for (int i = 0; i < 5; i++)
        add_number(&it, i);

    CHECK_INT(3, it.log.count);
    for (uint32_t i = 0; i < 3; i++)
        CHECK_INT(4 - (int)i, number_of(fe_slowlog_get(&it.log, i)));
    CHECK(fe_slowlog_get(&it.log, 3) == NULL);
    const fe_slowlog_entry *newest = fe_slowlog_get(&it.log, 0);
    CHECK_INT(4, newest->id);
    CHECK_INT(1004, newest->unix_seconds);
    CHECK_INT(54, newest->duration_us);
    CHECK_BYTES("10.0.0.1:5", 10, newest->client_addr.ptr, newest->client_addr.len);
    CHECK_BYTES("me", 2, newest->client_name.ptr, newest->client_name.len);
    close_log(&it);
}

TEST(a_new_bound_keeps_the_newest)
{
    log_rig it;
    open_log(&it, 4);
    for (int i = 0; i < 6; i++)
        add_number(&it, i);

    fe_slowlog_set_max(&it.log, 2);
    CHECK_INT(2, it.log.count);
    CHECK_INT(5, number_of(fe_slowlog_get(&it.log, 0)));
    CHECK_INT(4, number_of(fe_slowlog_get(&it.log, 1)));
    fe_slowlog_set_max(&it.log, 5);
    add_number(&it, 6);
    CHECK_INT(3, it.log.count);
    CHECK_INT(6, number_of(fe_slowlog_get(&it.log, 0)));
    CHECK_INT(4, number_of(fe_slowlog_get(&it.log, 2)));
    fe_slowlog_set_max(&it.log, 0);
    add_number(&it, 7);
    CHECK_INT(0, it.log.count);
    close_log(&it);
}

TEST(the_ring_takes_memory_only_as_it_fills)
{
    log_rig it;
    open_log(&it, UINT32_MAX);
    CHECK_INT(0, fe_alloc_used_all(&it.alloc));

    for (int i = 0; i < 1000; i++)
        add_number(&it, i % 10);

    CHECK_INT(1000, it.log.count);
    CHECK(it.log.cap <= 2048);
    CHECK_INT(9, number_of(fe_slowlog_get(&it.log, 0)));
    CHECK_INT(0, number_of(fe_slowlog_get(&it.log, 999)));
    CHECK_INT(0, fe_slowlog_get(&it.log, 999)->id);
    fe_slowlog_set_max(&it.log, 20);
    CHECK_INT(20, it.log.cap);
    CHECK_INT(980, fe_slowlog_get(&it.log, 19)->id);
    close_log(&it);
}

TEST(a_ring_that_cannot_grow_goes_round)
{
    log_rig it;
    open_log(&it, 100);
    for (int i = 0; i < 16; i++)
        add_number(&it, i % 10);
    CHECK_INT(16, it.log.cap);
    fe_alloc_fail_after(&it.alloc, 1); /* the text of an entry, and not the ring */

    add_number(&it, 7);

    fe_alloc_fail_after(&it.alloc, -1);
    CHECK_INT(16, it.log.count);
    CHECK_INT(7, number_of(fe_slowlog_get(&it.log, 0)));
    CHECK_INT(1, fe_slowlog_get(&it.log, 15)->id);
    close_log(&it);
}

TEST(clearing_keeps_the_numbering)
{
    log_rig it;
    open_log(&it, 4);
    add_number(&it, 1);
    add_number(&it, 2);

    fe_slowlog_clear(&it.log);
    add_number(&it, 3);

    CHECK_INT(1, it.log.count);
    CHECK_INT(2, fe_slowlog_get(&it.log, 0)->id);
    close_log(&it);
}

TEST(long_arguments_and_long_lists_are_cut_and_say_so)
{
    log_rig it;
    open_log(&it, 4);
    uint8_t text[200];
    memset(text, 'x', sizeof text);
    fe_bytes argv[40];
    for (size_t i = 0; i < 40; i++)
        argv[i] = (fe_bytes){text, i == 0 ? 128 : i == 1 ? 129 : 1};

    fe_slowlog_add(&it.log, 1, 1, argv, 32, FE_BYTES(""), FE_BYTES(""));
    fe_slowlog_add(&it.log, 1, 1, argv, 40, FE_BYTES(""), FE_BYTES(""));

    const fe_slowlog_entry *whole = fe_slowlog_get(&it.log, 1);
    CHECK_INT(32, whole->argc);
    CHECK_INT(128, whole->argv[0].len);
    CHECK_BYTES("xx... (1 more bytes)", 20, whole->argv[1].ptr + 126, whole->argv[1].len - 126);
    CHECK_INT(1, whole->argv[31].len);
    const fe_slowlog_entry *cut = fe_slowlog_get(&it.log, 0);
    CHECK_INT(32, cut->argc);
    CHECK_BYTES("... (9 more arguments)", 22, cut->argv[31].ptr, cut->argv[31].len);
    close_log(&it);
}

TEST(without_memory_an_entry_is_left_out)
{
    log_rig it;
    open_log(&it, 4);
    CHECK_INT(1, add_number(&it, 1));
    fe_alloc_fail_after(&it.alloc, 0);

    CHECK_INT(0, add_number(&it, 2)); /* nobody's entry is taken for it */
    fe_slowlog_set_max(&it.log, 9);

    CHECK_INT(1, it.log.count);
    CHECK_INT(1, number_of(fe_slowlog_get(&it.log, 0)));
    close_log(&it);
}

int main(void)
{
    RUN(entries_are_newest_first_and_bounded);
    RUN(a_new_bound_keeps_the_newest);
    RUN(the_ring_takes_memory_only_as_it_fills);
    RUN(a_ring_that_cannot_grow_goes_round);
    RUN(clearing_keeps_the_numbering);
    RUN(long_arguments_and_long_lists_are_cut_and_say_so);
    RUN(without_memory_an_entry_is_left_out);
    return check_done();
}
