/* The span that an entry of a log is about, as replies tell it. */
#ifndef FE_COMMAND_LABEL_H
#define FE_COMMAND_LABEL_H

#include "event/recorder.h"
#include "resp/reply.h"

/* Two replies: trace id and span id in hexadecimal digits, or two nulls. */
static inline void fe_label_reply_ids(fe_reply *reply, const fe_trace_label *label)
{
    if (label->span_id == 0) {
        fe_reply_null(reply);
        fe_reply_null(reply);
        return;
    }
    char digits[32];
    fe_trace_id_print(digits, label->trace_id);
    fe_reply_bulk(reply, (fe_bytes){(const uint8_t *)digits, 32});
    fe_span_id_print(digits, label->span_id);
    fe_reply_bulk(reply, (fe_bytes){(const uint8_t *)digits, 16});
}

static inline void fe_label_reply_time(fe_reply *reply, const char *name, bool is_known,
                                       uint32_t us)
{
    fe_reply_bulk_text(reply, name);
    if (is_known)
        fe_reply_integer(reply, us);
    else
        fe_reply_null(reply);
}

/* A map of microseconds; null where nobody has measured. */
static inline void fe_label_reply_times(fe_reply *reply, const fe_trace_label *label)
{
    fe_reply_map(reply, 4);
    fe_label_reply_time(reply, "queued", label->is_timed, label->queued_us);
    fe_label_reply_time(reply, "located", label->is_located, label->located_us);
    fe_label_reply_time(reply, "took", label->is_timed, label->took_us);
    fe_label_reply_time(reply, "waited", label->is_timed, label->waited_us);
}

#endif
