/* DUMP and RESTORE payloads of string values: one value in RDB encoding, the RDB version, a CRC-64.
 *
 * The layout is drawn at the top of rdb_string.c. Pure functions; reading treats the payload as
 * untrusted and takes memory only for what the payload can really hold.
 */
#ifndef FE_VALUE_RDB_STRING_H
#define FE_VALUE_RDB_STRING_H

#include "base/buf.h"
#include "base/status.h"

enum {
    FE_RDB_VERSION = 11, /* written, and the newest that is read: Redis 7.2 */
    FE_RDB_TYPE_STRING = 0,
};

typedef enum fe_rdb_status {
    FE_RDB_OK,
    FE_RDB_BAD_FOOTER, /* "ERR DUMP payload version or checksum are wrong" */
    FE_RDB_BAD_DATA,   /* "ERR Bad data format" */
    FE_RDB_OTHER_TYPE, /* footer right, but the value is not a string; its type number is reported
                        */
    FE_RDB_TOO_LARGE,  /* the string is longer than the caller allows */
    FE_RDB_NO_MEMORY,  /* the buffer has failed */
} fe_rdb_status;

/* Appends the payload of `value`. Strings of more than 20 bytes are compressed when that saves
 * space, and canonical integers of 32 bits are packed. When memory runs out `out` has failed, as
 * with every append. */
void fe_rdb_string_dump(fe_buf *out, fe_bytes value);

/* Appends the string that `payload` holds to `value`. `len_max` bounds it (proto-max-bulk-len).
 * `type` gets the RDB type number on FE_RDB_OTHER_TYPE. Nothing is appended unless FE_RDB_OK. */
FE_MUST_USE fe_rdb_status fe_rdb_string_restore(fe_bytes payload, size_t len_max, fe_buf *value,
                                                uint8_t *type);

#endif
