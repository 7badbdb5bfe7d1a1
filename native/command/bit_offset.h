/* Bit offsets as arguments: what SETBIT, GETBIT and BITFIELD share. */
#ifndef FE_COMMAND_BIT_OFFSET_H
#define FE_COMMAND_BIT_OFFSET_H

#include "command/command.h"

/* Argument `i` as a bit offset inside the largest string (proto-max-bulk-len). With `width` > 0 the
 * form "#n" is understood, the n-th field of that width. False after an error reply. */
FE_MUST_USE bool fe_bit_offset_read(fe_call *call, uint32_t i, unsigned width, uint64_t *offset);

#endif
