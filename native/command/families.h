/* The families of C commands: the one list that the registry is made from. */
#ifndef FE_COMMAND_FAMILIES_H
#define FE_COMMAND_FAMILIES_H

#include "command/command.h"

/* One line per family, named as in `const fe_family fe_family_<name>` at the end of its file. A
 * container comes before its subcommands within a family; the order of families is free. */
#define FE_FAMILIES(FAMILY)                                                                        \
    FAMILY(string)                                                                                 \
    FAMILY(string_set)                                                                             \
    FAMILY(string_number)                                                                          \
    FAMILY(lcs)                                                                                    \
    FAMILY(bitmap)                                                                                 \
    FAMILY(bitfield)                                                                               \
    FAMILY(hyperloglog)                                                                            \
    FAMILY(key)                                                                                    \
    FAMILY(key_copy)                                                                               \
    FAMILY(key_expire)                                                                             \
    FAMILY(object)                                                                                 \
    FAMILY(scan)                                                                                   \
    FAMILY(dump)                                                                                   \
    FAMILY(connection)                                                                             \
    FAMILY(client)                                                                                 \
    FAMILY(traceparent)                                                                            \
    FAMILY(transaction)                                                                            \
    FAMILY(server)                                                                                 \
    FAMILY(slowlog)                                                                                \
    FAMILY(memory)                                                                                 \
    FAMILY(misses)                                                                                 \
    FAMILY(latency)                                                                                \
    FAMILY(debug)

#define FE_FAMILY_DECLARE(name) extern const fe_family fe_family_##name;
FE_FAMILIES(FE_FAMILY_DECLARE)
#undef FE_FAMILY_DECLARE

/* Ends a family's file: makes its table known under `name`. */
#define FE_FAMILY_DEFINE(name, table)                                                              \
    const fe_family fe_family_##name = {(table), (uint32_t)(sizeof(table) / sizeof((table)[0]))}

/* All families; `count` gets their number. */
const fe_family *const *fe_families(uint32_t *count);

#endif
