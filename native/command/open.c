/* Opening keys: the one place where a command's argument becomes a key of the store, and a string
 * value becomes text.
 *
 * A string is held as an int64 when its text is the canonical decimal form of one, else as bytes.
 * Handlers that want text call fe_open_text; nobody else converts.
 */
#include "command/open.h"

#include "resp/number.h"

enum { INT_TEXT_MAX = 20 }; /* "-9223372036854775808" */

/* Finding. --------------------------------------------------------------------------------------
 */

static inline uint64_t hash_of(const fe_call *call, uint32_t i)
{
    FE_ASSERT(i < call->argc);
    return i < 64 && (call->hash_known_mask >> i & 1)
               ? call->hashes[i]
               : fe_key_hash(fe_store_seed(call->store), call->argv[i]);
}

static inline void find(fe_call *call, uint32_t i, bool no_touch, fe_key *key)
{
    fe_key_find(call->store, call->client->db, call->argv[i], hash_of(call, i), no_touch, key);
    if (FE_UNLIKELY(call->located != NULL)) *call->located = fe_clock_ticks();
}

static inline bool look_up(fe_call *call, uint32_t i, bool no_touch, fe_key *key)
{
    fe_key_look_up(call->store, call->client->db, call->argv[i], hash_of(call, i), no_touch, key);
    if (FE_UNLIKELY(call->located != NULL)) *call->located = fe_clock_ticks();
    return fe_key_exists(key);
}

bool fe_open_read(fe_call *call, uint32_t i, fe_key *key)
{
    return look_up(call, i, call->client->no_touch, key);
}

bool fe_open_look(fe_call *call, uint32_t i, fe_key *key)
{
    return look_up(call, i, true, key);
}

bool fe_open_touch(fe_call *call, uint32_t i, fe_key *key)
{
    return look_up(call, i, false, key);
}

bool fe_open_where(const fe_call *call, uint32_t i, fe_whereabouts *where)
{
    return fe_look_key(call->store, call->client->db, call->argv[i], hash_of(call, i), where);
}

bool fe_open_peek(fe_call *call, uint32_t i, fe_key *key)
{
    find(call, i, true, key);
    return fe_key_exists(key);
}

bool fe_open_write(fe_call *call, uint32_t i, fe_key *key)
{
    find(call, i, call->client->no_touch, key);
    return fe_key_exists(key);
}

bool fe_open_check_type(fe_call *call, const fe_key *key, fe_type type)
{
    if (FE_LIKELY(!fe_key_exists(key) || fe_record_type(key->record) == type)) return true;
    fe_call_error(call, "WRONGTYPE Operation against a key holding the wrong kind of value");
    return false;
}

const char *fe_open_type_name(fe_type type)
{
    switch (type) {
    case FE_TYPE_STRING: return "string";
    case FE_TYPE_FILLER: break;
    }
    FE_ASSERT(false && "a key's record has a type");
    return NULL;
}

/* Reading. --------------------------------------------------------------------------------------
 */

bool fe_open_int(const fe_key *key, int64_t *value)
{
    if (!(fe_record_flags(key->record) & FE_RECORD_INT)) return false;
    memcpy(value, fe_record_value(key->record).ptr, sizeof(*value));
    return true;
}

fe_bytes fe_open_text(const fe_key *key, char digits[21])
{
    int64_t value;
    if (!fe_open_int(key, &value)) return fe_record_value(key->record);
    return (fe_bytes){(const uint8_t *)digits, fe_number_print_int64(digits, value)};
}

size_t fe_open_length(const fe_key *key)
{
    char digits[21];
    bool is_int = (fe_record_flags(key->record) & FE_RECORD_INT) != 0;
    return is_int ? fe_open_text(key, digits).len : fe_record_value_len(key->record);
}

/* Answers with bytes of the value that are not copied; shorter texts are copied into the reply. */
static bool lend(fe_call *call, const fe_key *key, fe_bytes part)
{
    fe_loan *loan = call->loan;
    if (loan == NULL || fe_loan_is_open(loan) || !fe_key_lend(key, &loan->hold)) return false;
    loan->ptr = part.ptr;
    loan->len = part.len;
    loan->sent = 0;
    loan->at = fe_reply_bulk_gap(&call->reply, part.len);
    return true;
}

void fe_open_reply_part(fe_call *call, const fe_key *key, fe_bytes part)
{
    if (FE_UNLIKELY(part.len >= FE_BODY_MIN) && lend(call, key, part)) return;
    fe_reply_bulk(&call->reply, part);
}

void fe_open_reply_text(fe_call *call, const fe_key *key)
{
    int64_t value;
    if (fe_open_int(key, &value))
        fe_reply_bulk_integer(&call->reply, value);
    else
        fe_open_reply_part(call, key, fe_record_value(key->record));
}

void fe_open_take_back(fe_call *call, size_t before)
{
    fe_loan *loan = call->loan;
    if (loan == NULL || !fe_loan_is_open(loan) || loan->at < before) return;
    fe_store_release(call->store, &loan->hold);
    *loan = (fe_loan){0}; /* its length would count as bytes that are still to be sent */
}

/* Writing. --------------------------------------------------------------------------------------
 */

/* Allocates the value; the reason for NULL is told by the length. */
static uint8_t *write_value(fe_call *call, fe_key *key, fe_value_kind kind, size_t len,
                            int64_t deadline)
{
    if (len > FE_VALUE_MAX) {
        fe_call_status_error(call, FE_TOO_LARGE);
        return NULL;
    }
    uint8_t *value = fe_key_write(key, FE_TYPE_STRING, kind, len, deadline);
    if (value == NULL) fe_call_no_memory(call);
    return value;
}

bool fe_open_store_int(fe_call *call, fe_key *key, int64_t value, int64_t deadline)
{
    uint8_t *to = write_value(call, key, FE_VALUE_INT, sizeof(value), deadline);
    if (to == NULL) return false;
    memcpy(to, &value, sizeof(value));
    return true;
}

/* Whether the text was received into pages of its own. */
static bool is_body(const fe_call *call, fe_bytes text)
{
    const fe_body *body = call->body;
    if (FE_LIKELY(body == NULL) || !fe_body_is_open(body)) return false;
    return text.ptr == fe_body_start(body) && text.len == body->len;
}

bool fe_open_store_bytes(fe_call *call, fe_key *key, fe_value_kind kind, fe_bytes text,
                         int64_t deadline)
{
    FE_ASSERT(kind != FE_VALUE_INT);
    if (FE_UNLIKELY(is_body(call, text)) && fe_key_adopts(key, call->body)) {
        if (fe_key_adopt(key, FE_TYPE_STRING, call->body, deadline)) return true;
        fe_call_no_memory(call);
        return false;
    }
    uint8_t *to = write_value(call, key, kind, text.len, deadline);
    if (to == NULL) return false;
    if (text.len > 0) memcpy(to, text.ptr, text.len);
    return true;
}

bool fe_open_store_text(fe_call *call, fe_key *key, fe_bytes text, int64_t deadline)
{
    int64_t value;
    /* The first byte decides nearly every case without a call. */
    bool perhaps = text.len - 1 < INT_TEXT_MAX && text.ptr[0] <= '9';
    if (perhaps && fe_number_read_int64(text, &value))
        return fe_open_store_int(call, key, value, deadline);
    return fe_open_store_bytes(call, key, FE_VALUE_PLAIN, text, deadline);
}

static uint8_t *raw_new(fe_call *call, fe_key *key, fe_bytes text, size_t len, int64_t deadline)
{
    size_t whole = text.len > len ? text.len : len;
    if (whole > FE_VALUE_MAX) {
        fe_call_status_error(call, FE_TOO_LARGE);
        return NULL;
    }
    uint8_t *value = fe_key_write_zeros(key, FE_TYPE_STRING, whole, deadline);
    if (value == NULL) fe_call_no_memory(call);
    if (value != NULL && text.len > 0) memcpy(value, text.ptr, text.len);
    return value;
}

uint8_t *fe_open_raw(fe_call *call, fe_key *key, size_t len)
{
    if (len > FE_VALUE_MAX) {
        fe_call_status_error(call, FE_TOO_LARGE);
        return NULL;
    }
    if (!fe_key_exists(key)) return raw_new(call, key, (fe_bytes){NULL, 0}, len, FE_DEADLINE_NONE);
    unsigned flags = fe_record_flags(key->record);
    if (flags & FE_RECORD_INT) {
        char digits[21];
        return raw_new(call, key, fe_open_text(key, digits), len, FE_DEADLINE_KEEP);
    }
    size_t old = fe_record_value_len(key->record);
    if ((flags & FE_RECORD_LARGE) && len <= old) {
        uint8_t *value = fe_key_edit(key);
        if (value == NULL)
            fe_call_no_memory(call);
        else
            fe_key_changed(key);
        return value;
    }
    uint8_t *value = fe_key_resize(key, len > old ? len : old);
    if (value == NULL) fe_call_no_memory(call);
    return value;
}

bool fe_open_make_raw(fe_call *call, fe_key *key)
{
    unsigned flags = fe_record_flags(key->record);
    if ((flags & FE_RECORD_LARGE) && !(flags & FE_RECORD_INT)) return true;
    char digits[21];
    fe_bytes text = fe_open_text(key, digits);
    uint8_t *value = fe_key_recast(key, text.len);
    if (value == NULL) {
        fe_call_no_memory(call);
        return false;
    }
    if (flags & FE_RECORD_INT) memcpy(value, digits, text.len);
    return true;
}
