/* Walking through a database: SCAN in steps, KEYS at once. */
#include "base/glob.h"
#include "command/families.h"
#include "command/open.h"

enum { SCAN_COUNT_DEFAULT = 10, KEYS_STEP = 4096, KEYS_STEP_TIERED = 512 };

/* What a walk looks for and where it puts what it finds. */
typedef struct scan_walk {
    const fe_store *store;
    fe_reply *reply;
    uint64_t found;
    fe_buf *expired;  /* names (fe_bytes) of expired keys that match, or NULL: leave them alone */
    fe_bytes pattern; /* of every key, unless all_names */
    bool all_names;
    fe_bytes type_name; /* as the client wrote it, when has_type */
    bool has_type;
} scan_walk;

static bool matches(const scan_walk *walk, const fe_record *record)
{
    fe_bytes name = fe_record_key(record);
    if (!walk->all_names && !fe_glob_match(walk->pattern, name, false)) return false;
    return !walk->has_type ||
           fe_bytes_is_word(walk->type_name, fe_open_type_name(fe_record_type(record)));
}

static void visit(void *context, const fe_record *record)
{
    scan_walk *walk = context;
    bool expired = fe_store_is_expired(walk->store, record);
    if ((expired && walk->expired == NULL) || !matches(walk, record)) return;
    fe_bytes name = fe_record_key(record);
    if (expired) {
        fe_buf_append(walk->expired, &name, sizeof(name));
        return;
    }
    fe_reply_bulk(walk->reply, name);
    walk->found++;
}

/* KEYS. -----------------------------------------------------------------------------------------
 */

static void set_pattern(scan_walk *walk, fe_bytes pattern)
{
    walk->pattern = pattern;
    walk->all_names = fe_bytes_equal(pattern, FE_BYTES("*"));
}

/* A pattern that matches only itself names the key. */
static void keys_literal(fe_call *call)
{
    fe_key key;
    bool found = fe_open_peek(call, 1, &key);
    fe_reply_array(&call->reply, found);
    if (found) fe_reply_bulk(&call->reply, call->argv[1]);
}

/* Where records may be on disk, a step is small enough for the read cache to hold what it misses;
 * the command runs again, and goes on, when that has been read. Other commands run in between, so a
 * key that comes or goes meanwhile is found or not. */
static void keys_by_steps(fe_call *call)
{
    fe_client *client = call->client;
    if (!client->walking) client->walk_cursor = client->walk_count = client->walked.len = 0;
    client->walking = true;
    do {
        size_t before = client->walked.len;
        fe_reply aside = {.buf = &client->walked, .resp = call->reply.resp};
        scan_walk walk = {.store = call->store, .reply = &aside};
        set_pattern(&walk, call->argv[1]);
        uint64_t next = fe_store_scan(call->store, client->db, client->walk_cursor,
                                      KEYS_STEP_TIERED, visit, &walk);
        if (fe_store_is_missing(call->store)) {
            client->walked.len = before;
            call->after = FE_AFTER_FETCH;
            return;
        }
        client->walk_cursor = next;
        call->walked_on = true;
        client->walk_count += walk.found;
    } while (client->walk_cursor != 0 && !client->walked.failed);
    if (client->walked.failed) {
        fe_call_no_memory(call);
    } else {
        fe_reply_array(&call->reply, client->walk_count);
        fe_buf_append(call->reply.buf, client->walked.data, client->walked.len);
    }
    client->walking = false;
    fe_buf_free(&client->walked);
}

static void keys(fe_call *call)
{
    if (fe_glob_is_literal(call->argv[1])) {
        keys_literal(call);
        return;
    }
    if (fe_store_is_tiered(call->store)) {
        keys_by_steps(call);
        return;
    }
    scan_walk walk = {.store = call->store, .reply = &call->reply};
    set_pattern(&walk, call->argv[1]);
    size_t place = fe_reply_array_deferred(&call->reply);
    uint64_t cursor = 0;
    do
        cursor = fe_store_scan(call->store, call->client->db, cursor, KEYS_STEP, visit, &walk);
    while (cursor != 0 && !call->reply.buf->failed);
    fe_reply_array_settle(&call->reply, place, walk.found);
}

/* SCAN. -----------------------------------------------------------------------------------------
 */

/* Cursors are read as C's strtoul reads them, because Redis does: a sign and leading zeros are
 * allowed, and nothing at all is 0. */
static bool read_cursor(fe_call *call, fe_bytes text, uint64_t *cursor)
{
    size_t i = 0;
    bool negative = text.len > 1 && text.ptr[0] == '-';
    if (negative || (text.len > 1 && text.ptr[0] == '+')) i = 1;
    uint64_t value = 0;
    bool valid = true;
    for (; i < text.len && valid; i++) {
        uint8_t digit = (uint8_t)(text.ptr[i] - '0');
        valid = digit <= 9 && !__builtin_mul_overflow(value, 10u, &value) &&
                !__builtin_add_overflow(value, digit, &value);
    }
    if (valid)
        *cursor = negative ? 0 - value : value;
    else
        fe_call_error(call, "ERR invalid cursor");
    return valid;
}

static bool read_scan_options(fe_call *call, scan_walk *walk, uint64_t *count)
{
    for (uint32_t i = 2; i < call->argc; i += 2) {
        fe_bytes word = call->argv[i];
        bool pair = i + 1 < call->argc;
        if (pair && fe_bytes_is_word(word, "count")) {
            int64_t value;
            if (!fe_call_int64(call, i + 1, &value)) return false;
            if (value < 1) {
                fe_call_syntax_error(call);
                return false;
            }
            *count = (uint64_t)value;
        } else if (pair && fe_bytes_is_word(word, "match")) {
            set_pattern(walk, call->argv[i + 1]);
        } else if (pair && fe_bytes_is_word(word, "type")) {
            walk->type_name = call->argv[i + 1];
            walk->has_type = true;
        } else {
            fe_call_syntax_error(call);
            return false;
        }
    }
    return true;
}

/* Looks at the expired keys that a walk met, which removes them. Names lie in their records. */
static void remove_expired(fe_call *call, const fe_buf *names)
{
    for (size_t at = 0; at < names->len; at += sizeof(fe_bytes)) {
        fe_bytes name;
        memcpy(&name, names->data + at, sizeof(name));
        uint64_t hash = fe_key_hash(fe_store_seed(call->store), name);
        fe_key key;
        fe_key_find(call->store, call->client->db, name, hash, true, &key);
        FE_ASSERT(!fe_key_exists(&key));
    }
}

/* The cursor comes before the keys in the reply and is known after them, so the keys are collected
 * aside. */
static void scan_step(fe_call *call, scan_walk *walk, uint64_t cursor, uint64_t count)
{
    fe_buf found, expired;
    fe_buf_init(&found, &call->engine->alloc, FE_ALLOC_SCRATCH);
    fe_buf_init(&expired, &call->engine->alloc, FE_ALLOC_SCRATCH);
    fe_reply aside = {.buf = &found, .resp = call->reply.resp};
    walk->reply = &aside;
    walk->expired = &expired;
    cursor = fe_store_scan(call->store, call->client->db, cursor, count, visit, walk);
    bool missing = fe_store_is_missing(call->store);
    if (!missing) remove_expired(call, &expired);
    if (missing) {
        call->after = FE_AFTER_FETCH;
    } else if (found.failed) {
        fe_call_no_memory(call);
    } else {
        fe_reply_array(&call->reply, 2);
        fe_reply_bulkf(&call->reply, "%llu", (unsigned long long)cursor);
        fe_reply_array(&call->reply, walk->found);
        fe_buf_append(call->reply.buf, found.data, found.len);
    }
    fe_buf_free(&expired);
    fe_buf_free(&found);
}

static void scan(fe_call *call)
{
    uint64_t cursor, count = SCAN_COUNT_DEFAULT;
    scan_walk walk = {.store = call->store, .all_names = true};
    if (!read_cursor(call, call->argv[1], &cursor) || !read_scan_options(call, &walk, &count))
        return;
    if (fe_store_is_tiered(call->store) && count > KEYS_STEP_TIERED) count = KEYS_STEP_TIERED;
    scan_step(call, &walk, cursor, count);
}

static const fe_command_row rows[] = {
    {
        .name = "keys",
        .run = keys,
        .arity = 2,
        .flags = FE_READONLY | FE_HEADS,
        .categories = FE_CAT_KEYSPACE | FE_CAT_DANGEROUS,
        .group = "generic",
        .since = "1.0.0",
        .complexity = "O(N) with N the number of keys in the database",
        .summary = "Lists all keys whose names match a pattern.",
        .syntax = "pattern",
        .tips = "request_policy:all_shards nondeterministic_output_order",
    },
    {
        .name = "scan",
        .run = scan,
        .arity = -2,
        .flags = FE_READONLY,
        .categories = FE_CAT_KEYSPACE,
        .group = "generic",
        .since = "2.8.0",
        .complexity = "O(1) for each call, O(N) for a whole iteration",
        .summary = "Lists the keys of the database step by step.",
        .syntax = "cursor [MATCH pattern] [COUNT count] [TYPE type]",
        .tips = "nondeterministic_output request_policy:special",
    },
};

FE_FAMILY_DEFINE(scan, rows);
