/* Single keys, case by case: kinds of values, growth, writes in place, keys held while others come
 * and go.
 */
#include "tests/store/support.h"

static void open_default(fixture *f)
{
    fe_store_options options = fixture_options();
    fixture_open(f, &options);
}

TEST(keys_and_values_may_be_empty_or_binary)
{
    fixture f;
    open_default(&f);
    CHECK(set(&f, 0, FE_BYTES(""), FE_BYTES(""), FE_DEADLINE_NONE));
    CHECK(has(&f, 0, FE_BYTES(""), FE_BYTES("")));
    CHECK(set(&f, 0, FE_BYTES("a\0b"), FE_BYTES("\0\r\n\xff"), FE_DEADLINE_NONE));
    CHECK(has(&f, 0, FE_BYTES("a\0b"), FE_BYTES("\0\r\n\xff")));
    CHECK(!exists(&f, 0, FE_BYTES("a")));
    fixture_close(&f);
}

TEST(a_kind_is_kept_by_deadlines_and_copies_and_replaced_by_writes)
{
    fixture f;
    open_default(&f);
    fe_key key, copy;
    find(&f, 0, FE_BYTES("n"), &key);
    int64_t number = -42;
    uint8_t *at = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_INT, 8, FE_DEADLINE_NONE);
    memcpy(at, &number, 8);
    CHECK_INT(FE_OK, fe_key_set_deadline(&key, START_MS + 1000));
    CHECK(fe_record_flags(key.record) & FE_RECORD_INT);
    find(&f, 1, FE_BYTES("m"), &copy);
    CHECK_INT(FE_OK, fe_key_copy(&copy, &key, FE_DEADLINE_KEEP));
    CHECK(fe_record_flags(copy.record) & FE_RECORD_INT);
    CHECK_INT(START_MS + 1000, fe_record_deadline(copy.record));
    CHECK_BYTES(&number, 8, fe_record_value(copy.record).ptr, fe_record_value(copy.record).len);

    at = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_RAW, 3, FE_DEADLINE_KEEP);
    memcpy(at, "abc", 3);
    CHECK(!(fe_record_flags(key.record) & FE_RECORD_INT));
    CHECK(fe_record_flags(key.record) & FE_RECORD_LARGE);
    CHECK_INT(START_MS + 1000, fe_record_deadline(key.record));
    find(&f, 1, FE_BYTES("m"), &copy);
    CHECK_INT(FE_OK, fe_key_copy(&copy, &key, FE_DEADLINE_NONE));
    CHECK(fe_record_flags(copy.record) & FE_RECORD_LARGE);
    CHECK_INT(0, fe_record_deadline(copy.record));
    check_store(&f);
    fixture_close(&f);
}

TEST(growing_byte_by_byte_is_amortised_and_new_bytes_are_zero)
{
    fixture f;
    open_default(&f);
    CHECK(set(&f, 0, FE_BYTES("a"), FE_BYTES("x"), START_MS + 1000));
    fe_key key;
    find(&f, 0, FE_BYTES("a"), &key);
    uint64_t moves = 0;
    for (size_t len = 2; len <= 100000; len++) {
        fe_record *before = key.record;
        uint8_t *value = fe_key_resize(&key, len);
        CHECK(value != NULL && value[len - 1] == 0 && value[0] == 'x');
        if (value == NULL) break;
        value[len - 1] = (uint8_t)len;
        moves += key.record != before;
    }
    CHECK(moves < 40);
    CHECK_INT(START_MS + 1000, fe_record_deadline(key.record));
    fe_bytes value = fe_record_value(key.record);
    for (size_t i = 2; i <= 100000; i++)
        if (value.ptr[i - 1] != (uint8_t)i) CHECK(false);
    check_store(&f);
    fixture_close(&f);
}

TEST(a_value_beyond_the_bound_is_refused)
{
    fixture f;
    open_default(&f);
    fe_key key;
    find(&f, 0, FE_BYTES("a"), &key);
    CHECK(fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_RAW, (size_t)FE_VALUE_MAX + 1, 0) == NULL);
    CHECK(!fe_key_exists(&key));
    CHECK(set(&f, 0, FE_BYTES("a"), FE_BYTES("v"), FE_DEADLINE_NONE));
    find(&f, 0, FE_BYTES("a"), &key);
    CHECK(fe_key_resize(&key, (size_t)FE_VALUE_MAX + 1) == NULL);
    CHECK(has(&f, 0, FE_BYTES("a"), FE_BYTES("v")));
    fixture_close(&f);
}

TEST(an_overwrite_that_fits_stays_where_it_is)
{
    fixture f;
    open_default(&f);
    CHECK(set(&f, 0, FE_BYTES("a"), FE_BYTES("0123456789"), FE_DEADLINE_NONE));
    CHECK(set(&f, 0, FE_BYTES("b"), FE_BYTES("0123456789"), FE_DEADLINE_NONE));
    fe_key key;
    find(&f, 0, FE_BYTES("a"), &key);
    fe_record *before = key.record;
    CHECK(set(&f, 0, FE_BYTES("a"), FE_BYTES("9876543210"), FE_DEADLINE_NONE));
    CHECK(set(&f, 0, FE_BYTES("a"), FE_BYTES("1"), FE_DEADLINE_NONE));
    CHECK(set(&f, 0, FE_BYTES("a"), FE_BYTES("123456"), FE_DEADLINE_NONE));
    find(&f, 0, FE_BYTES("a"), &key);
    CHECK(key.record == before);
    CHECK(has(&f, 0, FE_BYTES("a"), FE_BYTES("123456")));
    fe_store_stats stats;
    fe_store_stats_get(f.store, &stats);
    CHECK_INT(3, stats.in_place);
    CHECK_INT(2, stats.appended);
    CHECK_INT(5, stats.changes);
    fixture_close(&f);
}

/* A write keeps its record or moves it to the tail, and is counted as one of both. */
TEST(every_change_of_a_value_is_counted_once)
{
    fixture f;
    open_default(&f);
    fe_key key;
    fe_store_stats stats;
    CHECK(set(&f, 0, FE_BYTES("a"), FE_BYTES("value"), START_MS + 1000));
    find(&f, 0, FE_BYTES("a"), &key);
    CHECK(fe_key_resize(&key, 1000) != NULL); /* the tail, with room for more */
    fe_store_stats_get(f.store, &stats);
    uint64_t appended = stats.appended, changes = stats.changes, in_place = stats.in_place;
    CHECK_INT(changes, in_place + appended);

    CHECK(fe_key_resize(&key, 1001) != NULL);
    CHECK(fe_key_edit(&key) != NULL);
    fe_key_changed(&key);
    CHECK(fe_key_edit(&key) != NULL); /* and nothing was changed */
    CHECK_INT(FE_OK, fe_key_set_deadline(&key, START_MS + 2000));
    fe_store_stats_get(f.store, &stats);

    CHECK_INT(in_place + 3, stats.in_place);
    CHECK_INT(appended, stats.appended);
    CHECK_INT(changes + 3, stats.changes);
    fixture_close(&f);
}

/* RENAME holds two keys: the second's insertion splits buckets, its removal moves slots. */
TEST(a_found_key_stays_good_while_other_keys_come_and_go)
{
    fixture f;
    open_default(&f);
    CHECK(set(&f, 0, FE_BYTES("held"), FE_BYTES("value"), FE_DEADLINE_NONE));
    fe_key held;
    find(&f, 0, FE_BYTES("held"), &held);
    name_buf buf;
    for (uint64_t i = 0; i < 3000; i++)
        CHECK(set(&f, 0, name_of(&buf, i), FE_BYTES("v"), FE_DEADLINE_NONE));
    CHECK_INT(FE_OK, fe_key_set_deadline(&held, START_MS + 500));
    for (uint64_t i = 0; i < 3000; i++)
        CHECK(del(&f, 0, name_of(&buf, i)));
    CHECK(fe_key_write(&held, FE_TYPE_STRING, FE_VALUE_PLAIN, 0, FE_DEADLINE_KEEP) != NULL);
    CHECK_INT(START_MS + 500, fe_record_deadline(held.record));
    fe_key_delete(&held);
    CHECK_INT(0, fe_store_db_size(f.store, 0));
    check_store(&f);
    fixture_close(&f);
}

int main(void)
{
    RUN(keys_and_values_may_be_empty_or_binary);
    RUN(a_kind_is_kept_by_deadlines_and_copies_and_replaced_by_writes);
    RUN(growing_byte_by_byte_is_amortised_and_new_bytes_are_zero);
    RUN(a_value_beyond_the_bound_is_refused);
    RUN(an_overwrite_that_fits_stays_where_it_is);
    RUN(every_change_of_a_value_is_counted_once);
    RUN(a_found_key_stays_good_while_other_keys_come_and_go);
    return check_done();
}
