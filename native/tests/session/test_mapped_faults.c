/* Pages of mapped segments that cannot be read: an error of the keys on them, and of nobody else. The
 * errors are real: the file is cut short under its mapping, so that touching it is a SIGBUS. */
#include "tests/check.h"

#include "engine/flusher.h"
#include "session/session.h"
#include "store/store.h"
#include "store/tier.h"
#include "tests/folder.h"
#include "tests/session/rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#define BIG 40000u
#define IOERR "-IOERR The data could not be read from disk: input/output error\r\n"

typedef struct mapped_rig {
    rig r;
    peer *one;
    char path[64];
} mapped_rig;

static fe_store *store_of(mapped_rig *it)
{
    return it->r.server->engine->store;
}

/* A command whose handler cuts all files short and reads its key then: what a page that goes away
 * between look-up and use would do. */
static const char *cut_path;

static void cut_files(const char *path, long bytes)
{
    char name[1024];
    (void)snprintf(name, sizeof name, "%s/log", path);
    DIR *folder = opendir(name);
    FE_ASSERT(folder != NULL);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (strstr(entry->d_name, ".seg") == NULL) continue;
        (void)snprintf(name, sizeof name, "%.700s/log/%.255s", path, entry->d_name);
        FE_ASSERT(truncate(name, bytes) == 0);
    }
    (void)closedir(folder);
}

static void cut_and_get(fe_call *call)
{
    fe_key key;
    cut_files(cut_path, 0);
    fe_bytes name = call->argv[1];
    fe_key_find(call->store, call->client->db, name, fe_key_hash(fe_store_seed(call->store), name),
                false, &key);
    fe_reply_bulk(&call->reply, fe_key_exists(&key) ? fe_record_value(key.record) : name);
}

static void cut_and_append(fe_call *call)
{
    fe_key key;
    cut_files(cut_path, 4096); /* the head of the record stays, and most of the value goes */
    fe_bytes name = call->argv[1];
    fe_key_find(call->store, call->client->db, name, fe_key_hash(fe_store_seed(call->store), name),
                false, &key);
    FE_ASSERT(fe_key_exists(&key));
    FE_ASSERT(fe_key_resize(&key, fe_record_value_len(key.record) + 1) != NULL);
    fe_reply_ok(&call->reply);
}

static const fe_command_row rows[] = {
    {.name = "cutget",
     .run = cut_and_get,
     .arity = 2,
     .flags = FE_READONLY,
     .keys = {{FE_KEY_RO | FE_KEY_ACCESS, 1, 0, 1}},
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Reads from a file that is gone.",
     .syntax = "key"},
    {.name = "cutappend",
     .run = cut_and_append,
     .arity = 2,
     .flags = FE_WRITE,
     .keys = {{FE_KEY_RW | FE_KEY_UPDATE, 1, 0, 1}},
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Writes what it read from a file that is gone.",
     .syntax = "key"},
};

static void mapped_open(mapped_rig *it)
{
    strcpy(it->path, "/tmp/ferrite-mapped-XXXXXX");
    FE_ASSERT(mkdtemp(it->path) != NULL);
    fe_engine_options options = rig_options();
    options.store.mutable_size = options.store.readonly_size = options.store.cache_size = 4u << 20;
    options.store.lock_memory = false;
    (void)snprintf(options.data_dir, sizeof options.data_dir, "%s", it->path);
    rig_open_with(&it->r, &options);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        FE_ASSERT(fe_commands_add(it->r.server->commands, &rows[i]));
    it->one = rig_connect(&it->r);
    cut_path = it->path;
}

static void mapped_close(mapped_rig *it)
{
    fe_engine_finish_reads(it->r.server->engine);
    rig_close(&it->r);
    remove_folder(it->path);
}

/* All that was written is mapped afterwards. */
static void map_all(mapped_rig *it)
{
    rig_demote(&it->r, FE_TIER_MAPPED);
    CHECK(store_of(it)->log.tiers[FE_TIER_MAPPED].segments > 0);
}

static const char *ask(mapped_rig *it, const char *request)
{
    rig_say(it->one, request);
    rig_settle(&it->r);
    return rig_take(it->one);
}

#define CHECK_ASK(it, request, expected) CHECK_TEXT((expected), ask((it), (request)))

static uint64_t faults_of(mapped_rig *it)
{
    fe_tier_stats stats;
    fe_tier_stats_get(store_of(it), &stats);
    return stats.page_faults;
}

static void set_big(mapped_rig *it, const char *name, char fill)
{
    char *text = malloc(BIG + 128);
    FE_ASSERT(text != NULL);
    int head =
        snprintf(text, 128, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%u\r\n", strlen(name), name, BIG);
    memset(text + head, fill, BIG);
    memcpy(text + head + BIG, "\r\n", 2);
    rig_send(it->one, text, (size_t)head + BIG + 2);
    CHECK_GOT(it->one, "+OK\r\n");
    free(text);
}

TEST(a_key_whose_page_is_gone_answers_an_error_and_others_do_not)
{
    mapped_rig it;
    mapped_open(&it);
    CHECK_ASK(&it, "MSET a 1x b 2x\r\n", "+OK\r\n");
    map_all(&it);
    CHECK_ASK(&it, "MSET c 3x d 4x\r\n", "+OK\r\n");
    cut_files(it.path, 0);

    CHECK_ASK(&it, "GET a\r\nGET c\r\nGET b\r\nGET none\r\n", IOERR "$2\r\n3x\r\n" IOERR "$-1\r\n");
    CHECK_INT(1, faults_of(&it));
    CHECK_INT(0, store_of(&it)->log.tiers[FE_TIER_MAPPED].segments);
    CHECK_ASK(&it, "GET a\r\nDBSIZE\r\n", IOERR ":4\r\n");
    fe_fetch_fault fault;
    CHECK(fe_fetch_fault_take(store_of(&it), &fault));
    CHECK_INT(5, fault.error);
    CHECK_INT(0, fault.offset);
    mapped_close(&it);
}

TEST(writes_over_lost_records_never_bring_zeros_or_old_values)
{
    static const struct {
        const char *request, *expected, *then;
    } cases[] = {
        {"SET a new\r\n", "+OK\r\n", "$3\r\nnew\r\n"},
        {"APPEND a more\r\n", IOERR, IOERR},
        {"INCR a\r\n", IOERR, IOERR},
        {"SETRANGE a 1 z\r\n", IOERR, IOERR},
        {"GETSET a new\r\n", IOERR, IOERR},
        {"EXPIRE a 100\r\n", IOERR, IOERR},
        {"SETNX a new\r\n", IOERR, IOERR},
        {"COPY a b REPLACE\r\n", IOERR, IOERR},
        {"RENAME a b\r\n", IOERR, IOERR},
        {"PFCOUNT a\r\n", IOERR, IOERR},
        {"DEL a\r\n", ":0\r\n", "$-1\r\n"},
        {"UNLINK a none\r\n", ":0\r\n", "$-1\r\n"},
        {"MSET a new x y\r\n", "+OK\r\n", "$3\r\nnew\r\n"},
        {"FLUSHALL\r\n", "+OK\r\n", "$-1\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mapped_rig it;
        mapped_open(&it);
        CHECK_ASK(&it, "SET a 1\r\n", "+OK\r\n");
        map_all(&it);
        cut_files(it.path, 0);
        CHECK_ASK(&it, cases[i].request, cases[i].expected);
        CHECK_ASK(&it, "GET a\r\n", cases[i].then);
        CHECK_ASK(&it, "EXISTS b\r\n", ":0\r\n");
        mapped_close(&it);
    }
}

TEST(a_page_in_the_middle_of_a_value_is_met_before_it_is_copied)
{
    static const char *const requests[] = {
        "APPEND big more\r\n",          "GET big\r\n",
        "GETRANGE big 39990 39999\r\n", "SETRANGE big 3 abc\r\n",
        "SETBIT big 9 1\r\n",           "COPY big other\r\n",
        "RENAME big other\r\n",         "PERSIST big\r\nEXPIRE big 100\r\n"};
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        mapped_rig it;
        mapped_open(&it);
        set_big(&it, "big", 'v');
        map_all(&it);
        cut_files(it.path, 8192);
        const char *got = ask(&it, requests[i]);
        CHECK(strstr(got, IOERR) != NULL);
        CHECK_ASK(&it, "GET big\r\n", IOERR);
        CHECK_ASK(&it, "EXISTS other\r\nDBSIZE\r\n", ":0\r\n:1\r\n");
        mapped_close(&it);
    }
}

TEST(walks_over_lost_records_answer_an_error_and_then_leave_them_out)
{
    mapped_rig it;
    mapped_open(&it);
    CHECK_ASK(&it, "MSET a 1 b 2\r\n", "+OK\r\n");
    map_all(&it);
    CHECK_ASK(&it, "SET c 3\r\n", "+OK\r\n");
    cut_files(it.path, 0);
    CHECK_ASK(&it, "KEYS *\r\n", IOERR);
    CHECK_ASK(&it, "KEYS *\r\n", "*1\r\n$1\r\nc\r\n");
    CHECK_ASK(&it, "SCAN 0\r\n", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nc\r\n");
    CHECK_ASK(&it, "DEBUG CHECK-STORE\r\n", "+OK\r\n");
    mapped_close(&it);
}

TEST(a_transaction_meets_the_fault_before_it_begins)
{
    mapped_rig it;
    mapped_open(&it);
    CHECK_ASK(&it, "MSET a 1 b 2\r\n", "+OK\r\n");
    map_all(&it);
    cut_files(it.path, 0);
    const char *got = ask(&it, "MULTI\r\nSET c 3\r\nINCR a\r\nEXEC\r\n");
    CHECK(strstr(got, "EXECABORT") != NULL);
    CHECK_ASK(&it, "GET c\r\n", "$-1\r\n");
    mapped_close(&it);
}

TEST(a_fault_inside_a_handler_spoils_its_reply_and_what_it_wrote)
{
    mapped_rig it;
    mapped_open(&it);
    set_big(&it, "big", 'v');
    CHECK_ASK(&it, "SET small 1\r\n", "+OK\r\n");
    map_all(&it);
    CHECK_ASK(&it, "SET later 2\r\n", "+OK\r\n");
    CHECK_ASK(&it, "CUTAPPEND big\r\n", IOERR);
    CHECK_ASK(&it, "EXISTS big\r\nGET later\r\nGET small\r\n", ":0\r\n$1\r\n2\r\n$1\r\n1\r\n");
    CHECK_INT(
        1, store_of(&it)->log.tiers[FE_TIER_MAPPED].segments); /* that of `small`, all in a page */
    mapped_close(&it);

    mapped_open(&it);
    CHECK_ASK(&it, "SET a 1\r\n", "+OK\r\n");
    map_all(&it);
    CHECK_ASK(&it, "CUTGET a\r\nGET a\r\n", IOERR IOERR);
    mapped_close(&it);
}

TEST(a_fault_inside_a_transaction_ends_what_is_left_of_it)
{
    mapped_rig it;
    mapped_open(&it);
    CHECK_ASK(&it, "MSET a 1 b 2\r\n", "+OK\r\n");
    map_all(&it);
    CHECK_ASK(&it, "MULTI\r\nSET c 3\r\nCUTGET a\r\nSET b 9\r\nGET c\r\nEXEC\r\n",
              "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*4\r\n+OK\r\n" IOERR IOERR IOERR);
    CHECK_ASK(&it, "GET c\r\nGET b\r\n", "$1\r\n3\r\n" IOERR);
    mapped_close(&it);
}

/* Splits up to level 8 and more read the keys of mapped records. */
TEST(an_index_that_grows_over_lost_records_keeps_their_slots)
{
    enum { COUNT = 1200, MORE = 4000 };
    mapped_rig it;
    mapped_open(&it);
    char request[64];
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(request, sizeof request, "SET key:%d %d\r\n", i, i);
        CHECK_ASK(&it, request, "+OK\r\n");
    }
    map_all(&it);
    cut_files(it.path, 0);
    for (int i = COUNT; i < COUNT + MORE; i++) {
        (void)snprintf(request, sizeof request, "SET key:%d %d\r\n", i, i);
        CHECK_ASK(&it, request, "+OK\r\n");
        if (i % 500 != 0) continue;
        uint64_t entered = fe_engine_enter(it.r.server->engine);
        while (fe_store_step_index(store_of(&it), 64)) {}
        fe_engine_leave(it.r.server->engine, FE_STEP_INDEX, entered);
    }
    CHECK(faults_of(&it) > 0);
    for (int i = 0; i < COUNT + MORE; i += 7) {
        char expected[96], digits[16];
        int len = snprintf(digits, sizeof digits, "%d", i);
        (void)snprintf(request, sizeof request, "GET key:%d\r\n", i);
        (void)snprintf(expected, sizeof expected, "$%d\r\n%s\r\n", len, digits);
        CHECK_ASK(&it, request, i < COUNT ? IOERR : expected);
    }
    /* A lost record that may be the key's that is overwritten goes with it (store/fetch.h). */
    fe_lock_enter(&it.r.server->engine->lock);
    fe_fetch_hurry(store_of(&it));
    fe_lock_leave(&it.r.server->engine->lock);
    (void)fe_flusher_round(it.r.server->engine);
    rig_settle(&it.r);
    fe_fetch_stats stats;
    uint32_t in_flight;
    fe_fetch_stats_get(store_of(&it), &stats, &in_flight);
    (void)snprintf(request, sizeof request, ":%d\r\n", COUNT + MORE - (int)stats.lost);
    CHECK_ASK(&it, "DBSIZE\r\n", request);
    mapped_close(&it);
}

TEST(what_is_lost_is_not_carried_into_the_read_cache)
{
    mapped_rig it;
    mapped_open(&it);
    set_big(&it, "big", 'v');
    CHECK_ASK(&it, "SET a 1\r\n", "+OK\r\n");
    map_all(&it);
    CHECK(strlen(ask(&it, "GET big\r\nGET big\r\nGET a\r\nGET a\r\n")) >
          2 * BIG); /* read: marked */
    cut_files(it.path, 8192);
    fe_engine *engine = it.r.server->engine;
    for (bool more = true; more;) {
        uint64_t entered = fe_engine_enter(engine);
        more = fe_tier_demote_all(engine->store, FE_TIER_DISK);
        fe_engine_leave(engine, FE_STEP_TIER, entered);
        (void)fe_flusher_round(engine);
    }
    CHECK_ASK(&it, "GET big\r\n", IOERR);
    CHECK(faults_of(&it) > 0);
    mapped_close(&it);
}

int main(void)
{
    RUN(a_key_whose_page_is_gone_answers_an_error_and_others_do_not);
    RUN(writes_over_lost_records_never_bring_zeros_or_old_values);
    RUN(a_page_in_the_middle_of_a_value_is_met_before_it_is_copied);
    RUN(walks_over_lost_records_answer_an_error_and_then_leave_them_out);
    RUN(a_transaction_meets_the_fault_before_it_begins);
    RUN(a_fault_inside_a_handler_spoils_its_reply_and_what_it_wrote);
    RUN(a_fault_inside_a_transaction_ends_what_is_left_of_it);
    RUN(an_index_that_grows_over_lost_records_keeps_their_slots);
    RUN(what_is_lost_is_not_carried_into_the_read_cache);
    return check_done();
}
