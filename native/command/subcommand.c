/* See subcommand.h. Pure functions over the call. */
#include "command/subcommand.h"

enum { SHOWN_BYTES_MAX = 128 }; /* of an unknown subcommand */

void fe_subcommand_error(fe_call *call)
{
    char container[32];
    size_t len = 0;
    for (const char *c = call->row->name; *c != 0 && *c != '|'; c++) {
        FE_ASSERT(len + 1 < sizeof container);
        container[len++] = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
    }
    container[len] = 0;
    fe_bytes name = call->argv[1];
    int shown = (int)(name.len < SHOWN_BYTES_MAX ? name.len : SHOWN_BYTES_MAX);
    fe_call_errorf(call,
                   "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.",
                   shown, (const char *)name.ptr, container);
}

bool fe_subcommand_on_off(fe_call *call, uint32_t i, bool *on)
{
    bool is_on = fe_bytes_is_word(call->argv[i], "on");
    if (!is_on && !fe_bytes_is_word(call->argv[i], "off")) {
        fe_call_syntax_error(call);
        return false;
    }
    *on = is_on;
    return true;
}

bool fe_subcommand_is_plain_word(fe_bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '!' || text.ptr[i] > '~') return false;
    return true;
}
