/* BITFIELD: integers of any width inside a string.
 *
 * The arguments are read twice and never stored: once to check them all, before anything happens,
 * and once to run. When none of the writes would change a bit nothing is written, so that watchers
 * are left alone.
 */
#include "command/bit_offset.h"
#include "command/families.h"
#include "command/open.h"
#include "resp/number.h"
#include "value/bits.h"

typedef enum field_verb { FIELD_GET, FIELD_SET, FIELD_INCRBY } field_verb;

typedef struct field_op {
    field_verb verb;
    bool is_signed;
    unsigned width;
    fe_bits_overflow overflow;
    uint64_t offset;  /* in bits */
    int64_t argument; /* of SET and INCRBY */
} field_op;

/* What an operation does to the field, as its 64-bit pattern. */
typedef struct field_outcome {
    bool refused; /* overflow under FAIL: the answer is null */
    bool changes;
    uint64_t value; /* to be written */
    int64_t reply;
} field_outcome;

/* Reading. --------------------------------------------------------------------------------------
 */

static bool read_overflow(fe_call *call, fe_bytes word, fe_bits_overflow *overflow)
{
    if (fe_bytes_is_word(word, "wrap"))
        *overflow = FE_BITS_WRAP;
    else if (fe_bytes_is_word(word, "sat"))
        *overflow = FE_BITS_SAT;
    else if (fe_bytes_is_word(word, "fail"))
        *overflow = FE_BITS_FAIL;
    else {
        fe_call_error(call, "ERR Invalid OVERFLOW type specified");
        return false;
    }
    return true;
}

static bool read_type(fe_call *call, fe_bytes text, field_op *op)
{
    int64_t width = 0;
    bool letter = text.len > 0 && (text.ptr[0] == 'i' || text.ptr[0] == 'u');
    op->is_signed = letter && text.ptr[0] == 'i';
    if (letter && fe_number_read_int64((fe_bytes){text.ptr + 1, text.len - 1}, &width) &&
        width >= 1 && width <= (op->is_signed ? 64 : 63)) {
        op->width = (unsigned)width;
        return true;
    }
    fe_call_error(call, "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is "
                        "not supported but i64 is.");
    return false;
}

static bool read_verb(fe_call *call, uint32_t i, field_verb *verb)
{
    fe_bytes word = call->argv[i];
    uint32_t rest = call->argc - i - 1;
    if (fe_bytes_is_word(word, "get") && rest >= 2)
        *verb = FIELD_GET;
    else if (fe_bytes_is_word(word, "set") && rest >= 3)
        *verb = FIELD_SET;
    else if (fe_bytes_is_word(word, "incrby") && rest >= 3)
        *verb = FIELD_INCRBY;
    else {
        fe_call_syntax_error(call);
        return false;
    }
    return true;
}

typedef enum read_result { READ_OP, READ_END, READ_FAILED } read_result;

/* Reads the operation at *i and steps behind it; OVERFLOW before it goes to op->overflow, which
 * stays for the operations that follow. */
static read_result read_op(fe_call *call, uint32_t *i, field_op *op)
{
    while (*i + 1 < call->argc && fe_bytes_is_word(call->argv[*i], "overflow")) {
        if (!read_overflow(call, call->argv[*i + 1], &op->overflow)) return READ_FAILED;
        *i += 2;
    }
    if (*i >= call->argc) return READ_END;
    if (!read_verb(call, *i, &op->verb) || !read_type(call, call->argv[*i + 1], op) ||
        !fe_bit_offset_read(call, *i + 2, op->width, &op->offset))
        return READ_FAILED;
    if (op->verb != FIELD_GET && !fe_call_int64(call, *i + 3, &op->argument)) return READ_FAILED;
    *i += op->verb == FIELD_GET ? 3 : 4;
    return READ_OP;
}

typedef struct field_plan {
    uint64_t count;
    bool writes;
    uint64_t bytes; /* length that the value must have for the writes */
} field_plan;

static bool read_plan(fe_call *call, field_plan *plan)
{
    field_op op = {.overflow = FE_BITS_WRAP};
    uint32_t i = 2;
    read_result result;
    while ((result = read_op(call, &i, &op)) == READ_OP) {
        plan->count++;
        if (op.verb == FIELD_GET) continue;
        plan->writes = true;
        uint64_t bytes = fe_bits_field_bytes(op.offset, op.width);
        if (bytes > plan->bytes) plan->bytes = bytes;
    }
    return result == READ_END;
}

/* Running. --------------------------------------------------------------------------------------
 */

static field_outcome evaluate_signed(fe_bytes value, const field_op *op)
{
    int64_t old = fe_bits_get_signed(value, op->offset, op->width);
    if (op->verb == FIELD_GET) return (field_outcome){.reply = old};
    bool add = op->verb == FIELD_INCRBY;
    int64_t result;
    if (!fe_bits_add_signed(add ? old : op->argument, add ? op->argument : 0, op->width,
                            op->overflow, &result))
        return (field_outcome){.refused = true};
    return (field_outcome){
        .changes = result != old, .value = (uint64_t)result, .reply = add ? result : old};
}

static field_outcome evaluate_unsigned(fe_bytes value, const field_op *op)
{
    uint64_t old = fe_bits_get_unsigned(value, op->offset, op->width);
    if (op->verb == FIELD_GET) return (field_outcome){.reply = (int64_t)old};
    bool add = op->verb == FIELD_INCRBY;
    uint64_t result;
    if (!fe_bits_add_unsigned(add ? old : (uint64_t)op->argument, add ? op->argument : 0, op->width,
                              op->overflow, &result))
        return (field_outcome){.refused = true};
    return (field_outcome){
        .changes = result != old, .value = result, .reply = (int64_t)(add ? result : old)};
}

static field_outcome evaluate(fe_bytes value, const field_op *op)
{
    return op->is_signed ? evaluate_signed(value, op) : evaluate_unsigned(value, op);
}

/* Whether one of the (checked) operations would change the value. */
static bool would_change(fe_call *call, fe_bytes value)
{
    field_op op = {.overflow = FE_BITS_WRAP};
    uint32_t i = 2;
    while (read_op(call, &i, &op) == READ_OP)
        if (evaluate(value, &op).changes) return true;
    return false;
}

/* Runs the (checked) operations. `bytes` is where to write, or NULL when nothing changes. */
static void run(fe_call *call, const field_plan *plan, fe_bytes value, uint8_t *bytes)
{
    field_op op = {.overflow = FE_BITS_WRAP};
    uint32_t i = 2;
    fe_reply_array(&call->reply, plan->count);
    while (read_op(call, &i, &op) == READ_OP) {
        field_outcome outcome = evaluate(value, &op);
        if (outcome.refused) {
            fe_reply_null(&call->reply);
            continue;
        }
        if (outcome.changes) {
            FE_ASSERT(bytes != NULL);
            fe_bits_set_field(bytes, op.offset, op.width, outcome.value);
        }
        fe_reply_integer(&call->reply, outcome.reply);
    }
}

static void run_reading(fe_call *call, const field_plan *plan)
{
    fe_key key;
    char digits[21];
    fe_bytes value = {NULL, 0};
    if (fe_open_read(call, 1, &key)) {
        if (!fe_open_check_type(call, &key, FE_TYPE_STRING)) return;
        value = fe_open_text(&key, digits);
    }
    run(call, plan, value, NULL);
}

static void run_writing(fe_call *call, const field_plan *plan)
{
    fe_key key;
    if (fe_open_write(call, 1, &key)) {
        if (!fe_open_check_type(call, &key, FE_TYPE_STRING)) return;
        char digits[21];
        fe_bytes value = fe_open_text(&key, digits);
        if (plan->bytes <= value.len && !would_change(call, value)) {
            if (fe_open_make_raw(call, &key)) run(call, plan, fe_record_value(key.record), NULL);
            return;
        }
    }
    uint8_t *bytes = fe_open_raw(call, &key, (size_t)plan->bytes);
    if (bytes != NULL) run(call, plan, fe_record_value(key.record), bytes);
}

static void bitfield(fe_call *call)
{
    field_plan plan = {0};
    if (!read_plan(call, &plan)) return;
    if (plan.writes)
        run_writing(call, &plan);
    else
        run_reading(call, &plan);
}

static void bitfield_ro(fe_call *call)
{
    field_plan plan = {0};
    if (!read_plan(call, &plan)) return;
    if (plan.writes)
        fe_call_error(call, "ERR BITFIELD_RO only supports the GET subcommand");
    else
        run_reading(call, &plan);
}

static const fe_command_row rows[] = {
    {
        .name = "bitfield",
        .run = bitfield,
        .arity = -2,
        .flags = FE_WRITE | FE_DENYOOM,
        .categories = FE_CAT_BITMAP,
        .keys = {{FE_KEY_RW | FE_KEY_ACCESS | FE_KEY_UPDATE | FE_KEY_VARIABLE_FLAGS, 1, 0, 1}},
        .group = "bitmap",
        .since = "3.2.0",
        .complexity = "O(1) for each operation",
        .summary = "Reads, sets and adds to integers of any width inside a string.",
        .syntax = "key [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset "
                  "value | INCRBY encoding offset increment> [GET encoding offset | [OVERFLOW "
                  "<WRAP | SAT | FAIL>] <SET encoding offset value | INCRBY encoding offset "
                  "increment> ...]]",
    },
    {
        .name = "bitfield_ro",
        .run = bitfield_ro,
        .arity = -2,
        .flags = FE_READONLY | FE_FAST,
        .categories = FE_CAT_BITMAP,
        .keys = {{FE_KEY_RO | FE_KEY_ACCESS, 1, 0, 1}},
        .group = "bitmap",
        .since = "6.0.0",
        .complexity = "O(1) for each operation",
        .summary = "Reads integers of any width inside a string.",
        .syntax = "key [GET encoding offset [GET encoding offset ...]]",
    },
};

FE_FAMILY_DEFINE(bitfield, rows);
