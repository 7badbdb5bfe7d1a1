/* Fuzzes trace context: what is read prints back as it was, what is picked from baggage is picked again
 * from itself, and nothing reads past the end. */
#include "base/assert.h"
#include "event/context.h"

static void check_traceparent(fe_bytes text)
{
    fe_trace_parent parent;
    if (!fe_traceparent_read(text, &parent)) return;
    char printed[48];
    fe_trace_id_print(printed, parent.trace_id);
    fe_span_id_print(printed + 32, parent.span_id);
    FE_ASSERT(text.len >= FE_TRACEPARENT_LEN && parent.span_id != 0);
    FE_ASSERT(memcmp(printed, text.ptr + 3, 32) == 0);
    FE_ASSERT(memcmp(printed + 32, text.ptr + 36, 16) == 0);
    FE_ASSERT((parent.flags & ~(FE_PARENT_SAMPLED | FE_PARENT_RANDOM)) == 0);
}

static void check_tracestate(fe_bytes text)
{
    if (!fe_tracestate_is_valid(text)) return;
    FE_ASSERT(text.len <= FE_TRACESTATE_MAX && memchr(text.ptr, '=', text.len) != NULL);
    for (size_t i = 0; i < text.len; i++)
        FE_ASSERT(text.ptr[i] == '\t' || (text.ptr[i] >= ' ' && text.ptr[i] <= '~'));
}

static void check_baggage(fe_bytes text)
{
    static const char allowed[] = "a,tenant, b";
    uint8_t first[256], second[256];
    size_t cap = text.len > 0 ? text.ptr[0] : 0;
    size_t len = fe_baggage_pick(text, FE_BYTES(allowed), first, cap);
    FE_ASSERT(len <= cap);
    size_t again = fe_baggage_pick((fe_bytes){first, len}, FE_BYTES(allowed), second, cap);
    FE_ASSERT(again == len && memcmp(first, second, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fe_bytes text = {data, size};
    check_traceparent(text);
    check_tracestate(text);
    check_baggage(text);
    return 0;
}
