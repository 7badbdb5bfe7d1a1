/* LCS: what two strings have in common. */
#include "value/lcs.h"
#include "command/families.h"
#include "command/open.h"
#include "resp/number.h"

typedef struct lcs_options {
    bool length;
    bool ranges;
    bool range_lengths;
    int64_t range_length_min;
} lcs_options;

static bool read_options(fe_call *call, lcs_options *options)
{
    for (uint32_t i = 3; i < call->argc; i++) {
        fe_bytes word = call->argv[i];
        if (fe_bytes_is_word(word, "idx")) {
            options->ranges = true;
        } else if (fe_bytes_is_word(word, "len")) {
            options->length = true;
        } else if (fe_bytes_is_word(word, "withmatchlen")) {
            options->range_lengths = true;
        } else if (fe_bytes_is_word(word, "minmatchlen") && i + 1 < call->argc) {
            if (!fe_call_int64(call, ++i, &options->range_length_min)) return false;
            if (options->range_length_min < 0) options->range_length_min = 0;
        } else {
            fe_call_syntax_error(call);
            return false;
        }
    }
    if (!options->ranges || !options->length) return true;
    fe_call_error(call, "ERR If you want both the length and indexes, please just use IDX.");
    return false;
}

/* The bound is Redis's, which counts four bytes for each pair of positions; we take a bit. It
 * bounds the time as well. */
static bool size_ok(fe_call *call, fe_bytes a, fe_bytes b)
{
    if (a.len >= UINT32_MAX - 1 || b.len >= UINT32_MAX - 1) {
        fe_call_error(call, "ERR String too long for LCS");
        return false;
    }
    uint64_t pairs = (uint64_t)(a.len + 1) * (b.len + 1);
    if (pairs <= call->engine->options.bulk_len_max / 4) return true;
    fe_call_error(call,
                  "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
    return false;
}

static void no_memory(fe_call *call)
{
    fe_call_error(call, "ERR Insufficient memory, failed allocating transient memory for LCS");
}

static void reply_range(fe_call *call, size_t first, size_t last)
{
    fe_reply_array(&call->reply, 2);
    fe_reply_integer(&call->reply, (int64_t)first);
    fe_reply_integer(&call->reply, (int64_t)last);
}

static void reply_ranges(fe_call *call, fe_lcs *lcs, const lcs_options *options)
{
    fe_reply_map(&call->reply, 2);
    fe_reply_bulk_text(&call->reply, "matches");
    size_t place = fe_reply_array_deferred(&call->reply);
    uint64_t count = 0;
    fe_lcs_match match;
    while (fe_lcs_next(lcs, (size_t)options->range_length_min, &match)) {
        fe_reply_array(&call->reply, options->range_lengths ? 3 : 2);
        reply_range(call, match.a_first, match.a_last);
        reply_range(call, match.b_first, match.b_last);
        if (options->range_lengths)
            fe_reply_integer(&call->reply, (int64_t)(match.a_last - match.a_first + 1));
        count++;
    }
    fe_reply_array_settle(&call->reply, place, count);
    fe_reply_bulk_text(&call->reply, "len");
    fe_reply_integer(&call->reply, (int64_t)lcs->length);
}

static void reply_length(fe_call *call, fe_bytes a, fe_bytes b)
{
    size_t length;
    fe_alloc *alloc = &call->engine->alloc;
    if (fe_lcs_length(alloc, a, b, SIZE_MAX, &length) != FE_LCS_OK)
        no_memory(call);
    else
        fe_reply_integer(&call->reply, (int64_t)length);
}

static void compare(fe_call *call, fe_bytes a, fe_bytes b, const lcs_options *options)
{
    if (options->length) {
        reply_length(call, a, b);
        return;
    }
    fe_lcs lcs;
    if (fe_lcs_open(&lcs, &call->engine->alloc, a, b, SIZE_MAX) != FE_LCS_OK) {
        no_memory(call);
        return;
    }
    if (options->ranges) {
        reply_ranges(call, &lcs, options);
    } else {
        uint8_t *out = fe_reply_bulk_space(&call->reply, lcs.length);
        if (out != NULL) fe_lcs_string(&lcs, out);
    }
    fe_lcs_close(&lcs);
}

static void lcs(fe_call *call)
{
    char digits[2][21];
    fe_bytes text[2] = {FE_BYTES(""), FE_BYTES("")};
    bool strings = true;
    /* The second look-up may remove an expired key, which leaves the first record where it is. */
    for (uint32_t i = 0; i < 2; i++) {
        fe_key key;
        if (!fe_open_read(call, i + 1, &key)) continue;
        if (fe_record_type(key.record) == FE_TYPE_STRING)
            text[i] = fe_open_text(&key, digits[i]);
        else
            strings = false;
    }
    if (!strings) {
        fe_call_error(call, "ERR The specified keys must contain string values");
        return;
    }
    lcs_options options = {0};
    if (read_options(call, &options) && size_ok(call, text[0], text[1]))
        compare(call, text[0], text[1], &options);
}

static const fe_command_row rows[] = {
    {
        .name = "lcs",
        .run = lcs,
        .arity = -3,
        .flags = FE_READONLY,
        .categories = FE_CAT_STRING,
        .keys = {{FE_KEY_RO | FE_KEY_ACCESS, 1, 1, 1}},
        .group = "string",
        .since = "7.0.0",
        .complexity = "O(N*M) with N and M the lengths of the strings",
        .summary = "Finds the longest common subsequence of two strings.",
        .syntax = "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
    },
};

FE_FAMILY_DEFINE(lcs, rows);
