/* How handlers open their keys: expiry, type check, hit and miss counts in one place, in Redis's
 * order of checks. */
#ifndef FE_COMMAND_OPEN_H
#define FE_COMMAND_OPEN_H

#include "command/command.h"
#include "store/look.h"

/* Locates argv[i] for reading; counts a hit or a miss. Returns whether it exists. No type check. */
bool fe_open_read(fe_call *call, uint32_t i, fe_key *key);

/* As fe_open_read, but leaves the access state alone: what TTL, TYPE, EXISTS and OBJECT do. */
bool fe_open_look(fe_call *call, uint32_t i, fe_key *key);

/* As fe_open_read, and marks the access even for a client that asked for CLIENT NO-TOUCH: what
 * TOUCH does. */
bool fe_open_touch(fe_call *call, uint32_t i, fe_key *key);

/* Locates argv[i] without statistics and without touching the access state. */
bool fe_open_peek(fe_call *call, uint32_t i, fe_key *key);

/* Tells where argv[i] is; nothing is counted, touched, expired or read from disk. False: there is no
 * such key. */
bool fe_open_where(const fe_call *call, uint32_t i, fe_whereabouts *where);

/* Locates argv[i] for writing: touches, no hit or miss counted. Returns whether it exists. */
bool fe_open_write(fe_call *call, uint32_t i, fe_key *key);

/* False, with a WRONGTYPE reply, when the key exists and is of another type. */
FE_MUST_USE bool fe_open_check_type(fe_call *call, const fe_key *key, fe_type type);

/* The name of a type, as TYPE answers it. */
const char *fe_open_type_name(fe_type type);

/* The string value as text: of an INT record its digits, written into `digits`. */
fe_bytes fe_open_text(const fe_key *key, char digits[21]);
/* Length of that text; the value itself may be missing (FE_HEADS). */
size_t fe_open_length(const fe_key *key);

/* Replies with the string value as a bulk string. */
void fe_open_reply_text(fe_call *call, const fe_key *key);
/* Answers with `part` of a text that is no number. */
void fe_open_reply_part(fe_call *call, const fe_key *key, fe_bytes part);
/* The reply from `before` on is not given after all: nothing of it is lent. */
void fe_open_take_back(fe_call *call, size_t before);

/* Whether the existing string is held as an integer, and that integer. */
bool fe_open_int(const fe_key *key, int64_t *value);

/* Writes `text` as the key's string value the way SET does: INT when it is a canonical int64, else
 * PLAIN. On failure answers the error and returns false. */
FE_MUST_USE bool fe_open_store_text(fe_call *call, fe_key *key, fe_bytes text, int64_t deadline);
FE_MUST_USE bool fe_open_store_int(fe_call *call, fe_key *key, int64_t value, int64_t deadline);

/* Writes `text` byte for byte, without looking for an integer in it. On failure answers the error
 * and returns false. */
FE_MUST_USE bool fe_open_store_bytes(fe_call *call, fe_key *key, fe_value_kind kind, fe_bytes text,
                                     int64_t deadline);

/* An existing INT or PLAIN string as RAW bytes that may be changed and grown: converts INT to its
 * digits. Makes the key with an empty value when absent. Resizes to at least `len` (never shrinks)
 * with zeros. Counts as a change. NULL after an error reply. */
FE_MUST_USE uint8_t *fe_open_raw(fe_call *call, fe_key *key, size_t len);

/* Gives an existing INT or PLAIN string the RAW form, saying the same; not a change. False after an
 * error reply. */
FE_MUST_USE bool fe_open_make_raw(fe_call *call, fe_key *key);

#endif
