/* How a value is held, in Redis's words. */
#ifndef FE_COMMAND_OBJECT_H
#define FE_COMMAND_OBJECT_H

#include "store/record.h"

/* What OBJECT ENCODING answers: "int", "embstr" or "raw". */
const char *fe_object_encoding(const fe_record *record);

#endif
