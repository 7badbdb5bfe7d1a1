/* The register of connections, and what one of them remembers. */
#include "tests/check.h"

#include "tests/client/rig.h"

#define CHECK_HAS(text, part) CHECK(strstr((text), (part)) != NULL)

/* The line of CLIENT LIST, until the next call. */
static const char *describe(const client_rig *it, const fe_client *client, fe_buf *buf)
{
    buf->len = 0;
    fe_client_describe(&it->clients, client, 10, buf);
    fe_buf_append_byte(buf, 0);
    return (const char *)buf->data;
}

TEST(clients_are_listed_in_order_of_their_ids)
{
    client_rig it;
    client_rig_open(&it, "");
    fe_client one, two, three;
    client_rig_connect(&it, &one);
    client_rig_connect(&it, &two);
    client_rig_connect(&it, &three);
    fe_client_close(&it.clients, &two);
    client_rig_connect(&it, &two);

    CHECK_INT(3, it.clients.count);
    CHECK(it.clients.first == &one && one.next == &three && three.next == &two);
    CHECK(it.clients.last == &two && two.previous == &three && two.next == NULL);
    CHECK_INT(4, two.id);
    CHECK_INT(4, it.engine->stats.connections);
    fe_client_close(&it.clients, &one);
    fe_client_close(&it.clients, &two);
    fe_client_close(&it.clients, &three);
    CHECK(it.clients.first == NULL && it.clients.last == NULL);
    client_rig_close(&it);
}

TEST(a_line_tells_what_a_client_is)
{
    client_rig it;
    client_rig_open(&it, "");
    fe_client client;
    client_rig_connect(&it, &client);
    fe_buf line;
    fe_buf_init(&line, &it.engine->alloc, FE_ALLOC_SCRATCH);
    const char *text = describe(&it, &client, &line);
    CHECK(strncmp(text, "id=1 addr=10.0.0.1:5000 laddr=10.0.0.2:6379 fd=9 name= age=", 59) == 0);
    CHECK_HAS(text, " flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=0 ");
    CHECK_HAS(text, " events=r cmd=NULL user=default redir=-1 resp=2 lib-name= lib-ver=");

    CHECK(fe_client_set_text(&it.clients, &client.name, FE_BYTES("me")));
    CHECK(fe_client_set_text(&it.clients, &client.lib_name, FE_BYTES("lib")));
    CHECK(fe_client_set_text(&it.clients, &client.lib_version, FE_BYTES("9")));
    client.db = 3;
    client.resp = 3;
    client.monitor = true;
    it.clients.monitors++;
    client.transaction.open = true;
    client.transaction.dirty = true;
    client.blocked = true;
    client.close_after_reply = true;
    client.kill = true;
    client.unix_socket = true;
    client.no_evict = true;
    client.no_touch = true;
    client.last_command = "client|list";
    text = describe(&it, &client, &line);
    CHECK_HAS(text, " name=me ");
    CHECK_HAS(text, " flags=OxbdcAUeT db=3 ");
    CHECK_HAS(text, " multi=0 ");
    CHECK_HAS(text, " cmd=client|list user=default redir=-1 resp=3 lib-name=lib lib-ver=9");
    fe_buf_free(&line);
    fe_client_close(&it.clients, &client);
    client_rig_close(&it);
}

TEST(texts_are_replaced_and_removed)
{
    client_rig it;
    client_rig_open(&it, "");
    fe_client client;
    client_rig_connect(&it, &client);
    CHECK(fe_client_set_text(&it.clients, &client.name, FE_BYTES("first")));
    CHECK(fe_client_set_text(&it.clients, &client.name, FE_BYTES("second")));
    CHECK_BYTES("second", 6, client.name.ptr, client.name.len);
    fe_alloc_fail_after(&it.engine->alloc, 0);
    CHECK(!fe_client_set_text(&it.clients, &client.name, FE_BYTES("third")));
    CHECK_BYTES("second", 6, client.name.ptr, client.name.len);

    CHECK(fe_client_set_text(&it.clients, &client.name, FE_BYTES("")));

    CHECK_INT(0, client.name.len);
    fe_alloc_fail_after(&it.engine->alloc, -1);
    fe_client_close(&it.clients, &client);
    client_rig_close(&it);
}

TEST(reset_makes_a_client_as_it_was_but_for_its_identity)
{
    client_rig it;
    client_rig_open(&it, "secret");
    fe_client client;
    client_rig_connect(&it, &client);
    CHECK(!client.authenticated);
    client.authenticated = true;
    client.db = 2;
    client.resp = 3;
    client.monitor = true;
    it.clients.monitors++;
    client.no_evict = client.no_touch = true;
    client.reply_mode = FE_REPLY_OFF;
    client.transaction.open = true;
    CHECK(fe_client_set_text(&it.clients, &client.name, FE_BYTES("me")));
    CHECK(fe_watches_add(&it.clients.watches, &client.transaction, 0, FE_BYTES("k"), 7, true));
    uint64_t id = client.id;

    fe_client_reset(&it.clients, &client);

    CHECK(!client.authenticated && !client.monitor && !client.no_evict && !client.no_touch);
    CHECK(!client.transaction.open);
    CHECK_INT(0, client.db);
    CHECK_INT(2, client.resp);
    CHECK_INT(FE_REPLY_ON, client.reply_mode);
    CHECK_INT(0, client.name.len);
    CHECK_INT(0, it.clients.watches.count);
    CHECK_INT(0, it.clients.monitors);
    CHECK_INT(id, client.id);
    fe_client_close(&it.clients, &client);
    client_rig_close(&it);
}

TEST(what_others_do_to_a_client_wakes_its_thread)
{
    client_rig it;
    client_rig_open(&it, "");
    fe_client client;
    client_rig_connect(&it, &client);

    fe_client_push(&it.clients, &client, FE_BYTES("one "));
    fe_client_push(&it.clients, &client, FE_BYTES("two"));
    fe_client_unblock(&client, FE_UNBLOCK_ERROR);
    fe_client_kill(&client);

    CHECK_INT(4, client.commands); /* counts the wakes here */
    CHECK(client.kill);
    CHECK_INT(FE_UNBLOCK_ERROR, client.unblock);
    CHECK_INT(0, client.output.len);
    fe_client_take_pushed(&client);
    CHECK_BYTES("one two", 7, client.output.data, client.output.len);
    CHECK_INT(0, client.pushed.len);
    fe_client_close(&it.clients, &client);
    client_rig_close(&it);
}

TEST(pushed_bytes_count_at_once_against_memory_and_the_hard_limit)
{
    client_rig it;
    client_rig_open(&it, "");
    it.engine->options.output_limit[FE_CLIENT_CLASS_NORMAL].hard = 1000;
    fe_client client;
    client_rig_connect(&it, &client);
    client.output_len = 300; /* as its own thread last said */
    client.unsent = 200;
    size_t before = it.clients.memory;
    uint8_t bytes[250] = {0};

    fe_client_push(&it.clients, &client, (fe_bytes){bytes, sizeof bytes});
    fe_client_push(&it.clients, &client, (fe_bytes){bytes, sizeof bytes});
    CHECK(!client.kill);
    CHECK_INT(500, client.pushed.len);
    CHECK_INT(before + client.pushed.cap, it.clients.memory);
    fe_client_push(&it.clients, &client, (fe_bytes){bytes, 1});

    CHECK(client.kill);
    CHECK_INT(1, it.engine->stats.output_kills);
    CHECK_INT(0, client.pushed.cap);
    CHECK_INT(before, it.clients.memory);
    fe_client_close(&it.clients, &client);
    client_rig_close(&it);
}

TEST(pushed_bytes_that_memory_has_no_room_for_spoil_the_output)
{
    client_rig it;
    client_rig_open(&it, "");
    fe_client client;
    client_rig_connect(&it, &client);
    fe_client_push(&it.clients, &client, FE_BYTES("one"));
    fe_alloc_fail_after(&it.engine->alloc, 0);

    fe_client_take_pushed(&client);

    CHECK(client.output.failed);
    fe_alloc_fail_after(&it.engine->alloc, -1);
    fe_client_close(&it.clients, &client);
    client_rig_close(&it);
}

TEST(memory_of_clients_adds_up)
{
    client_rig it;
    client_rig_open(&it, "");
    fe_client one, two;
    client_rig_connect(&it, &one);
    client_rig_connect(&it, &two);
    fe_client_account(&it.clients, &one);
    fe_client_account(&it.clients, &two);
    CHECK(one.memory >= sizeof one);
    CHECK_INT(one.memory + two.memory, it.clients.memory);
    size_t before = one.memory;

    CHECK(fe_buf_reserve(&one.output, 5000) != NULL);
    fe_bytes argv[1] = {FE_BYTES("a rather long argument")};
    CHECK(fe_transaction_queue(&it.engine->alloc, &one.transaction, NULL, argv, 1));
    fe_client_account(&it.clients, &one);

    CHECK(one.memory >= before + 5000 + 22);
    CHECK_INT(one.memory + two.memory, it.clients.memory);
    fe_client_close(&it.clients, &one);
    CHECK_INT(two.memory, it.clients.memory);
    fe_client_close(&it.clients, &two);
    client_rig_close(&it);
}

TEST(without_memory_no_client_is_registered)
{
    client_rig it;
    client_rig_open(&it, "");
    for (int64_t n = 0; n < 2; n++) {
        fe_client client = {0};
        fe_alloc_fail_after(&it.engine->alloc, n);
        CHECK(!fe_client_open(&it.clients, &client, FE_BYTES("a:1"), FE_BYTES("b:1"), false, -1));
        CHECK_INT(0, it.clients.count);
    }
    fe_alloc_fail_after(&it.engine->alloc, -1);
    client_rig_close(&it);
}

int main(void)
{
    RUN(clients_are_listed_in_order_of_their_ids);
    RUN(a_line_tells_what_a_client_is);
    RUN(texts_are_replaced_and_removed);
    RUN(reset_makes_a_client_as_it_was_but_for_its_identity);
    RUN(what_others_do_to_a_client_wakes_its_thread);
    RUN(pushed_bytes_count_at_once_against_memory_and_the_hard_limit);
    RUN(pushed_bytes_that_memory_has_no_room_for_spoil_the_output);
    RUN(memory_of_clients_adds_up);
    RUN(without_memory_no_client_is_registered);
    return check_done();
}
