/* Keys that get another name or another database: COPY, RENAME and MOVE. */
#include "command/families.h"
#include "command/open.h"

/* Argument `i` as the number of a database. */
static bool read_db(fe_call *call, uint32_t i, uint32_t *db)
{
    int64_t value;
    if (!fe_call_int32(call, i, &value)) return false;
    if (value >= 0 && value < (int64_t)fe_store_get_options(call->store)->databases) {
        *db = (uint32_t)value;
        return true;
    }
    fe_call_error(call, "ERR DB index is out of range");
    return false;
}

/* Opens argv[i] of another database than the client's, perhaps. */
static bool open_in(fe_call *call, uint32_t db, uint32_t i, fe_key *key)
{
    uint64_t hash = fe_key_hash(fe_store_seed(call->store), call->argv[i]);
    fe_key_find(call->store, db, call->argv[i], hash, call->client->no_touch, key);
    return fe_key_exists(key);
}

/* Makes `to` what `from` is, with its deadline. False after an error reply. */
static bool duplicate(fe_call *call, fe_key *to, const fe_key *from)
{
    fe_status status = fe_key_copy(to, from, fe_record_deadline(from->record));
    if (status != FE_OK) fe_call_status_error(call, status);
    return status == FE_OK;
}

typedef struct copy_options {
    uint32_t db;
    bool replace;
} copy_options;

static bool read_copy_options(fe_call *call, copy_options *options)
{
    for (uint32_t i = 3; i < call->argc; i++) {
        fe_bytes word = call->argv[i];
        if (fe_bytes_is_word(word, "replace")) {
            options->replace = true;
        } else if (fe_bytes_is_word(word, "db") && i + 1 < call->argc) {
            if (!read_db(call, ++i, &options->db)) return false;
        } else {
            fe_call_syntax_error(call);
            return false;
        }
    }
    return true;
}

static void copy(fe_call *call)
{
    copy_options options = {.db = call->client->db};
    if (!read_copy_options(call, &options)) return;
    if (options.db == call->client->db && fe_bytes_equal(call->argv[1], call->argv[2])) {
        fe_call_error(call, "ERR source and destination objects are the same");
        return;
    }
    fe_key from, to;
    if (!fe_open_read(call, 1, &from)) {
        fe_reply_integer(&call->reply, 0);
        return;
    }
    if (open_in(call, options.db, 2, &to) && !options.replace) {
        fe_reply_integer(&call->reply, 0);
        return;
    }
    if (duplicate(call, &to, &from)) fe_reply_integer(&call->reply, 1);
}

static void move(fe_call *call)
{
    uint32_t db;
    if (!read_db(call, 2, &db)) return;
    if (db == call->client->db) {
        fe_call_error(call, "ERR source and destination objects are the same");
        return;
    }
    fe_key from, to;
    if (!fe_open_write(call, 1, &from) || open_in(call, db, 1, &to)) {
        fe_reply_integer(&call->reply, 0);
        return;
    }
    if (!duplicate(call, &to, &from)) return;
    fe_key_delete(&from);
    fe_reply_integer(&call->reply, 1);
}

/* Answers true when the rename is done, false when there is nothing to do or after an error reply
 * (then call->failed). */
static bool rename_key(fe_call *call, bool replace)
{
    fe_key from, to;
    if (!fe_open_write(call, 1, &from)) {
        fe_call_error(call, "ERR no such key");
        return false;
    }
    if (fe_bytes_equal(call->argv[1], call->argv[2])) return replace;
    if (fe_open_write(call, 2, &to) && !replace) return false;
    if (!duplicate(call, &to, &from)) return false;
    fe_key_delete(&from);
    return true;
}

static void rename_always(fe_call *call)
{
    if (rename_key(call, true)) fe_reply_ok(&call->reply);
}

static void rename_if_absent(fe_call *call)
{
    bool done = rename_key(call, false);
    if (!call->failed) fe_reply_integer(&call->reply, done);
}

static const fe_command_row rows[] = {
    {
        .name = "copy",
        .run = copy,
        .arity = -3,
        .flags = FE_WRITE | FE_DENYOOM,
        .categories = FE_CAT_KEYSPACE,
        .keys = {{FE_KEY_RO | FE_KEY_ACCESS, 1, 0, 1}, {FE_KEY_OW | FE_KEY_UPDATE, 2, 0, 1}},
        .group = "generic",
        .since = "6.2.0",
        .complexity = "O(N) with N the length of the value",
        .summary = "Copies the value and the expiry of a key to another key.",
        .syntax = "source destination [DB destination-db] [REPLACE]",
    },
    {
        .name = "move",
        .run = move,
        .arity = 3,
        .flags = FE_WRITE | FE_FAST,
        .categories = FE_CAT_KEYSPACE,
        .keys = {{FE_KEY_RW | FE_KEY_ACCESS | FE_KEY_UPDATE, 1, 0, 1}},
        .group = "generic",
        .since = "1.0.0",
        .complexity = "O(N) with N the length of the value",
        .summary = "Moves a key to another database.",
        .syntax = "key db",
    },
    {
        .name = "rename",
        .run = rename_always,
        .arity = 3,
        .flags = FE_WRITE,
        .categories = FE_CAT_KEYSPACE,
        .keys = {{FE_KEY_RW | FE_KEY_ACCESS | FE_KEY_DELETE, 1, 0, 1},
                 {FE_KEY_OW | FE_KEY_UPDATE, 2, 0, 1}},
        .group = "generic",
        .since = "1.0.0",
        .complexity = "O(N) with N the length of the value",
        .summary = "Gives a key another name, overwriting a key that has it.",
        .syntax = "key newkey",
    },
    {
        .name = "renamenx",
        .run = rename_if_absent,
        .arity = 3,
        .flags = FE_WRITE | FE_FAST,
        .categories = FE_CAT_KEYSPACE,
        .keys = {{FE_KEY_RW | FE_KEY_ACCESS | FE_KEY_DELETE, 1, 0, 1},
                 {FE_KEY_OW | FE_KEY_INSERT, 2, 0, 1}},
        .group = "generic",
        .since = "1.0.0",
        .complexity = "O(N) with N the length of the value",
        .summary = "Gives a key another name if no key has it.",
        .syntax = "key newkey",
    },
};

FE_FAMILY_DEFINE(key_copy, rows);
