/* The texts of spans: reading a record's tail, and writing what clients sent as UTF-8. */
#ifndef FE_EVENT_OTLP_TEXT_H
#define FE_EVENT_OTLP_TEXT_H

#include "base/bytes.h"
#include "event/record.h"

#define FE_OTLP_DECIMAL_MAX 20u

/* Sets texts[type] to the first text of each type in the tail, in one pass; those that are not there are
 * empty. False, when a text reaches beyond the tail: then it and what follows are left out. */
bool fe_otlp_text_read(const fe_trace_record *record, fe_bytes texts[FE_TEXT_COUNT]);

/* Whether the text is ASCII of at most `max` characters: then a copy is the same bytes. */
bool fe_otlp_text_is_plain(fe_bytes text, uint32_t max);

/* Writes at most `max` characters of the text at `at`; a byte that is not UTF-8 becomes U+FFFD, three
 * bytes. Returns the place behind. */
uint8_t *fe_otlp_text_copy(uint8_t *at, fe_bytes text, uint32_t max);

/* The same, of a percent-encoded text. */
uint8_t *fe_otlp_text_decode(uint8_t *at, fe_bytes text, uint32_t max);

/* The number in decimal digits, in `out`. */
fe_bytes fe_otlp_text_decimal(uint8_t out[FE_OTLP_DECIMAL_MAX], uint64_t number);

/* The host of "host:port" and "[host]:port"; the path of "/path:0", as peers on unix sockets are called; of another
 * text all of it. Port 0: there is none. */
fe_bytes fe_otlp_text_host(fe_bytes address, uint32_t *port);

/* Takes the next member of "name=value,name=value"; false at its end. */
bool fe_otlp_text_member(fe_bytes *rest, fe_bytes *name, fe_bytes *value);

#endif
