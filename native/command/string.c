/* Strings: reading them, and changing a part of them. */
#include "command/families.h"
#include "command/open.h"
#include "command/string_size.h"

static void get(fe_call *call)
{
    fe_key key;
    if (!fe_open_read(call, 1, &key)) {
        fe_reply_null(&call->reply);
        return;
    }
    if (!fe_open_check_type(call, &key, FE_TYPE_STRING)) return;
    fe_open_reply_text(call, &key);
}

static void mget(fe_call *call)
{
    fe_reply_array(&call->reply, call->argc - 1);
    for (uint32_t i = 1; i < call->argc; i++) {
        fe_key key;
        if (fe_open_read(call, i, &key) && fe_record_type(key.record) == FE_TYPE_STRING)
            fe_open_reply_text(call, &key);
        else
            fe_reply_null(&call->reply);
    }
}

static void string_length(fe_call *call)
{
    fe_key key;
    if (!fe_open_read(call, 1, &key)) {
        fe_reply_integer(&call->reply, 0);
        return;
    }
    if (!fe_open_check_type(call, &key, FE_TYPE_STRING)) return;
    fe_reply_integer(&call->reply, (int64_t)fe_open_length(&key));
}

static void getrange(fe_call *call)
{
    int64_t start, end;
    if (!fe_call_int64(call, 2, &start) || !fe_call_int64(call, 3, &end)) return;
    fe_key key;
    if (!fe_open_read(call, 1, &key)) {
        fe_reply_bulk(&call->reply, FE_BYTES(""));
        return;
    }
    if (!fe_open_check_type(call, &key, FE_TYPE_STRING)) return;
    char digits[21];
    fe_bytes text = fe_open_text(&key, digits);
    if (!fe_string_range_reversed(start, end) && fe_string_range(&start, &end, (int64_t)text.len))
        fe_open_reply_part(call, &key, (fe_bytes){text.ptr + start, (size_t)(end - start) + 1});
    else
        fe_reply_bulk(&call->reply, FE_BYTES(""));
}

static void append(fe_call *call)
{
    fe_bytes tail = call->argv[2];
    fe_key key;
    if (!fe_open_write(call, 1, &key)) {
        if (fe_open_store_text(call, &key, tail, FE_DEADLINE_NONE))
            fe_reply_integer(&call->reply, (int64_t)tail.len);
        return;
    }
    if (!fe_open_check_type(call, &key, FE_TYPE_STRING)) return;
    char digits[21];
    size_t old_len = fe_open_text(&key, digits).len;
    if (!fe_string_size_ok(call, old_len, tail.len)) return;
    uint8_t *value = fe_open_raw(call, &key, old_len + tail.len);
    if (value == NULL) return;
    if (tail.len > 0) memcpy(value + old_len, tail.ptr, tail.len);
    fe_reply_integer(&call->reply, (int64_t)(old_len + tail.len));
}

static void setrange(fe_call *call)
{
    int64_t offset;
    if (!fe_call_int64(call, 2, &offset)) return;
    if (offset < 0) {
        fe_call_error(call, "ERR offset is out of range");
        return;
    }
    fe_bytes part = call->argv[3];
    fe_key key;
    size_t old_len = 0;
    if (fe_open_write(call, 1, &key)) {
        if (!fe_open_check_type(call, &key, FE_TYPE_STRING)) return;
        char digits[21];
        old_len = fe_open_text(&key, digits).len;
    }
    if (part.len == 0) {
        fe_reply_integer(&call->reply, (int64_t)old_len);
        return;
    }
    if (!fe_string_size_ok(call, (uint64_t)offset, part.len)) return;
    size_t end = (size_t)offset + part.len;
    uint8_t *value = fe_open_raw(call, &key, end);
    if (value == NULL) return;
    memcpy(value + offset, part.ptr, part.len);
    fe_reply_integer(&call->reply, (int64_t)(end > old_len ? end : old_len));
}

static const fe_command_row rows[] = {
    {
        .name = "get",
        .run = get,
        .arity = 2,
        .flags = FE_READONLY | FE_FAST,
        .categories = FE_CAT_STRING,
        .keys = {{FE_KEY_RO | FE_KEY_ACCESS, 1, 0, 1}},
        .group = "string",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Answers the string at a key.",
        .syntax = "key",
    },
    {
        .name = "mget",
        .run = mget,
        .arity = -2,
        .flags = FE_READONLY | FE_FAST,
        .categories = FE_CAT_STRING,
        .keys = {{FE_KEY_RO | FE_KEY_ACCESS, 1, -1, 1}},
        .group = "string",
        .since = "1.0.0",
        .complexity = "O(N) with N the number of keys",
        .summary = "Answers the strings at several keys, null for each that is not a string.",
        .syntax = "key [key ...]",
        .tips = "request_policy:multi_shard",
    },
    {
        .name = "strlen",
        .run = string_length,
        .arity = 2,
        .flags = FE_READONLY | FE_FAST | FE_HEADS,
        .categories = FE_CAT_STRING,
        .keys = {{FE_KEY_RO, 1, 0, 1}},
        .group = "string",
        .since = "2.2.0",
        .complexity = "O(1)",
        .summary = "Answers the length of a string in bytes.",
        .syntax = "key",
    },
    {
        .name = "getrange",
        .run = getrange,
        .arity = 4,
        .flags = FE_READONLY,
        .categories = FE_CAT_STRING,
        .keys = {{FE_KEY_RO | FE_KEY_ACCESS, 1, 0, 1}},
        .group = "string",
        .since = "2.4.0",
        .complexity = "O(N) with N the length of the answer",
        .summary = "Answers the bytes of a string between two offsets, both included.",
        .syntax = "key start end",
    },
    {
        .name = "substr",
        .run = getrange,
        .arity = 4,
        .flags = FE_READONLY,
        .categories = FE_CAT_STRING,
        .keys = {{FE_KEY_RO | FE_KEY_ACCESS, 1, 0, 1}},
        .group = "string",
        .since = "1.0.0",
        .complexity = "O(N) with N the length of the answer",
        .summary = "The old name of GETRANGE.",
        .syntax = "key start end",
    },
    {
        .name = "append",
        .run = append,
        .arity = 3,
        .flags = FE_WRITE | FE_DENYOOM | FE_FAST,
        .categories = FE_CAT_STRING,
        .keys = {{FE_KEY_RW | FE_KEY_INSERT, 1, 0, 1}},
        .group = "string",
        .since = "2.0.0",
        .complexity = "O(1) amortised, for short values",
        .summary = "Adds bytes to the end of a string, making the key when it is absent.",
        .syntax = "key value",
    },
    {
        .name = "setrange",
        .run = setrange,
        .arity = 4,
        .flags = FE_WRITE | FE_DENYOOM,
        .categories = FE_CAT_STRING,
        .keys = {{FE_KEY_RW | FE_KEY_UPDATE, 1, 0, 1}},
        .group = "string",
        .since = "2.2.0",
        .complexity = "O(M) with M the length of the value; growth costs O(N)",
        .summary = "Overwrites a string from an offset on, filling a gap with zero bytes.",
        .syntax = "key offset value",
    },
};

FE_FAMILY_DEFINE(string, rows);
