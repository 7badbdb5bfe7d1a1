/* What containers (CLIENT, DEBUG, SLOWLOG, ...) share. */
#ifndef FE_COMMAND_SUBCOMMAND_H
#define FE_COMMAND_SUBCOMMAND_H

#include "command/command.h"

/* Answers that argv[1] is unknown or has the wrong number of arguments: for forms that the row's
 * arity lets through. */
void fe_subcommand_error(fe_call *call);

/* Argument `i` as ON or OFF; false after a syntax error. */
FE_MUST_USE bool fe_subcommand_on_off(fe_call *call, uint32_t i, bool *on);

/* Whether a text may be a client's name, or that of its library: printable, without spaces. */
bool fe_subcommand_is_plain_word(fe_bytes text);

#endif
