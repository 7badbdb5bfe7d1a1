/* The queue of MULTI, and which marks of the store touch which watches. */
#include "tests/check.h"

#include "tests/client/rig.h"

#define CLIENTS 3

typedef struct watch_rig {
    client_rig base;
    fe_client clients[CLIENTS];
} watch_rig;

static void open_rig(watch_rig *it)
{
    client_rig_open(&it->base, "");
    for (int i = 0; i < CLIENTS; i++)
        client_rig_connect(&it->base, &it->clients[i]);
    fe_store_set_interest(it->base.engine->store, true);
}

static void close_rig(watch_rig *it)
{
    for (int i = 0; i < CLIENTS; i++)
        fe_client_close(&it->base.clients, &it->clients[i]);
    client_rig_close(&it->base);
}

static fe_key find(watch_rig *it, uint32_t db, const char *name)
{
    fe_store *store = it->base.engine->store;
    fe_bytes bytes = {(const uint8_t *)name, strlen(name)};
    fe_key key;
    fe_key_find(store, db, bytes, fe_key_hash(fe_store_seed(store), bytes), true, &key);
    return key;
}

static void watch(watch_rig *it, int client, uint32_t db, const char *name)
{
    fe_key key = find(it, db, name);
    CHECK(fe_watches_add(&it->base.clients.watches, &it->clients[client].transaction, db, key.name,
                         key.hash, fe_key_exists(&key)));
}

static void put(watch_rig *it, uint32_t db, const char *name, int64_t deadline)
{
    fe_key key = find(it, db, name);
    uint8_t *value = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, 1, deadline);
    FE_ASSERT(value != NULL);
    *value = 'v';
}

/* Takes the marks; then whether the client's transaction is dirty. */
static bool is_dirty(watch_rig *it, int client)
{
    fe_watches_take_marks(&it->base.clients.watches, it->base.engine->store);
    return it->clients[client].transaction.dirty;
}

static void drop(watch_rig *it, int client)
{
    fe_watches_drop(&it->base.clients.watches, &it->clients[client].transaction);
    it->clients[client].transaction.dirty = false;
}

TEST(queued_commands_own_their_arguments)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_transaction transaction = {.open = true};
    char text[8] = "abc";
    for (int i = 0; i < 20; i++) {
        text[0] = (char)('a' + i);
        fe_bytes argv[2] = {{(uint8_t *)text, 3}, {NULL, 0}};
        CHECK(fe_transaction_queue(&alloc, &transaction, NULL, argv, 2));
    }
    memset(text, 'z', sizeof text);

    CHECK_INT(20, transaction.count);
    CHECK(transaction.bytes >= 20 * 3);
    CHECK_BYTES("tbc", 3, transaction.queue[19].argv[0].ptr, transaction.queue[19].argv[0].len);
    CHECK_INT(0, transaction.queue[19].argv[1].len);
    fe_transaction_clear(&alloc, &transaction);
    CHECK(!transaction.open);
    CHECK_INT(0, transaction.bytes);
    CHECK_INT(0, fe_alloc_used_all(&alloc));
}

TEST(a_queue_without_memory_stays_as_it_was)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_transaction transaction = {.open = true};
    fe_bytes argv[1] = {FE_BYTES("x")};
    CHECK(fe_transaction_queue(&alloc, &transaction, NULL, argv, 1));
    fe_alloc_fail_after(&alloc, 0);

    CHECK(!fe_transaction_queue(&alloc, &transaction, NULL, argv, 1));

    CHECK_INT(1, transaction.count);
    fe_transaction_clear(&alloc, &transaction);
    CHECK_INT(0, fe_alloc_used_all(&alloc));
}

TEST(a_change_touches_those_who_watch_that_key_in_that_database)
{
    watch_rig it;
    open_rig(&it);
    watch(&it, 0, 0, "a");
    watch(&it, 1, 1, "a");
    watch(&it, 2, 0, "b");
    watch(&it, 2, 0, "b");
    CHECK_INT(3, it.base.clients.watches.count);

    put(&it, 0, "a", FE_DEADLINE_NONE);

    CHECK(is_dirty(&it, 0));
    CHECK(!is_dirty(&it, 1));
    CHECK(!is_dirty(&it, 2));
    fe_key key = find(&it, 0, "a");
    drop(&it, 0);
    watch(&it, 0, 0, "a");
    fe_key_delete(&key);
    CHECK(is_dirty(&it, 0));
    close_rig(&it);
}

TEST(dropped_watches_are_not_touched)
{
    watch_rig it;
    open_rig(&it);
    watch(&it, 0, 0, "a");
    watch(&it, 1, 0, "a");
    drop(&it, 0);

    put(&it, 0, "a", FE_DEADLINE_NONE);

    CHECK(!is_dirty(&it, 0));
    CHECK(is_dirty(&it, 1));
    CHECK_INT(1, it.base.clients.watches.count);
    close_rig(&it);
}

TEST(a_flush_touches_keys_that_were_there)
{
    watch_rig it;
    open_rig(&it);
    put(&it, 0, "a", FE_DEADLINE_NONE);
    put(&it, 1, "a", FE_DEADLINE_NONE);
    fe_watches_take_marks(&it.base.clients.watches, it.base.engine->store);
    watch(&it, 0, 0, "a");
    watch(&it, 1, 0, "missing");
    watch(&it, 2, 1, "a");

    CHECK_INT(FE_OK, fe_store_flush(it.base.engine->store, 0, true));

    CHECK(is_dirty(&it, 0));
    CHECK(!is_dirty(&it, 1));
    CHECK(!is_dirty(&it, 2));
    CHECK_INT(FE_OK, fe_store_flush_all(it.base.engine->store, false));
    CHECK(!is_dirty(&it, 1));
    CHECK(is_dirty(&it, 2));
    close_rig(&it);
}

TEST(a_swap_touches_keys_that_are_in_either_database)
{
    watch_rig it;
    open_rig(&it);
    put(&it, 1, "a", FE_DEADLINE_NONE);
    fe_watches_take_marks(&it.base.clients.watches, it.base.engine->store);
    watch(&it, 0, 0, "a");       /* appears */
    watch(&it, 1, 1, "a");       /* goes away */
    watch(&it, 2, 0, "missing"); /* in neither */

    fe_store_swap(it.base.engine->store, 0, 1);

    CHECK(is_dirty(&it, 0));
    CHECK(is_dirty(&it, 1));
    CHECK(!is_dirty(&it, 2));
    close_rig(&it);
}

TEST(exec_asks_whether_a_watched_key_has_expired)
{
    watch_rig it;
    open_rig(&it);
    fe_store *store = it.base.engine->store;
    int64_t now_ms = fe_store_now(store);
    put(&it, 0, "a", now_ms + 100);
    put(&it, 0, "b", FE_DEADLINE_NONE);
    fe_watches_take_marks(&it.base.clients.watches, store);
    watch(&it, 0, 0, "a");
    watch(&it, 1, 0, "b");
    watch(&it, 2, 0, "missing");
    CHECK(!fe_watches_expired(&it.clients[0].transaction, store));

    fe_store_set_now(store, now_ms + 200);

    CHECK(fe_watches_expired(&it.clients[0].transaction, store));
    CHECK(!fe_watches_expired(&it.clients[1].transaction, store));
    CHECK(!fe_watches_expired(&it.clients[2].transaction, store));
    close_rig(&it);
}

TEST(many_watches_grow_the_table_and_all_are_found)
{
    watch_rig it;
    open_rig(&it);
    char name[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "key:%d", i);
        watch(&it, i % 2, 0, name);
    }
    CHECK_INT(1000, it.base.clients.watches.count);
    CHECK(it.base.clients.watches.bucket_count >= 512);

    put(&it, 0, "key:998", FE_DEADLINE_NONE);
    CHECK(is_dirty(&it, 0));
    CHECK(!is_dirty(&it, 1));
    put(&it, 0, "key:1", FE_DEADLINE_NONE);
    CHECK(is_dirty(&it, 1));
    drop(&it, 0);
    CHECK_INT(500, it.base.clients.watches.count);
    close_rig(&it);
}

TEST(lost_marks_touch_everybody)
{
    watch_rig it;
    open_rig(&it);
    watch(&it, 0, 0, "a");
    watch(&it, 1, 1, "b");

    fe_watches_touch_all(&it.base.clients.watches);

    CHECK(it.clients[0].transaction.dirty && it.clients[1].transaction.dirty);
    CHECK(!it.clients[2].transaction.dirty);
    close_rig(&it);
}

TEST(a_watch_without_memory_is_refused_whole)
{
    watch_rig it;
    open_rig(&it);
    for (int64_t n = 0; n < 2; n++) {
        fe_alloc_fail_after(&it.base.engine->alloc, n);
        CHECK(!fe_watches_add(&it.base.clients.watches, &it.clients[0].transaction, 0,
                              FE_BYTES("a"), 1, true));
        CHECK_INT(0, it.base.clients.watches.count);
    }
    fe_alloc_fail_after(&it.base.engine->alloc, -1);
    close_rig(&it);
}

int main(void)
{
    RUN(queued_commands_own_their_arguments);
    RUN(a_queue_without_memory_stays_as_it_was);
    RUN(a_change_touches_those_who_watch_that_key_in_that_database);
    RUN(dropped_watches_are_not_touched);
    RUN(a_flush_touches_keys_that_were_there);
    RUN(a_swap_touches_keys_that_are_in_either_database);
    RUN(exec_asks_whether_a_watched_key_has_expired);
    RUN(many_watches_grow_the_table_and_all_are_found);
    RUN(lost_marks_touch_everybody);
    RUN(a_watch_without_memory_is_refused_whole);
    return check_done();
}
