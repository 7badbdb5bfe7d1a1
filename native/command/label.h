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

#endif
