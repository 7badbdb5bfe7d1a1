/* What handlers say when they refuse: error replies, counted in one place, and HELP. */
#include "command/command.h"

#include <ctype.h>
#include <stdarg.h>

#include "resp/number.h"

enum { ERROR_LINE_MAX = 1024 };

void fe_call_show_reply(fe_call *call)
{
    if (!fe_client_is_silent(call->client)) call->reply.buf = &call->client->output;
}

void fe_call_error(fe_call *call, const char *line)
{
    fe_reply_error(&call->reply, line);
    fe_engine_count_error(call->engine, line, strlen(line));
    call->failed = true;
}

void fe_call_errorf(fe_call *call, const char *format, ...)
{
    char line[ERROR_LINE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    fe_call_error(call, line);
}

void fe_call_syntax_error(fe_call *call)
{
    fe_call_error(call, "ERR syntax error");
}

void fe_call_arity_error(fe_call *call)
{
    fe_call_errorf(call, "ERR wrong number of arguments for '%s' command", call->row->name);
}

void fe_call_no_memory(fe_call *call)
{
    fe_call_error(call, "OOM command not allowed when used memory > 'maxmemory'.");
}

void fe_call_status_error(fe_call *call, fe_status status)
{
    FE_ASSERT(status != FE_OK);
    if (status == FE_TOO_LARGE)
        fe_call_error(call, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    else
        fe_call_no_memory(call);
}

void fe_call_help(fe_call *call, const char *name, const char *const *lines)
{
    char head[128];
    int len = snprintf(head, sizeof(head),
                       "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", name);
    FE_ASSERT(len > 0 && (size_t)len < sizeof(head));
    for (char *at = head; *at != ' ' && *at != 0; at++)
        *at = (char)toupper((unsigned char)*at);
    uint64_t count = 0;
    while (lines[count] != NULL)
        count++;
    fe_reply_array(&call->reply, count + 3);
    fe_reply_status(&call->reply, head);
    for (uint64_t i = 0; i < count; i++)
        fe_reply_status(&call->reply, lines[i]);
    fe_reply_status(&call->reply, "HELP");
    fe_reply_status(&call->reply, "    Prints this help.");
}

bool fe_call_int32(fe_call *call, uint32_t i, int64_t *value)
{
    int64_t wide;
    if (!fe_call_int64(call, i, &wide)) return false;
    if (wide < INT32_MIN || wide > INT32_MAX) {
        fe_call_errorf(call, "ERR value is out of range, value must between %d and %d", INT32_MIN,
                       INT32_MAX);
        return false;
    }
    *value = wide;
    return true;
}

bool fe_call_timeout_ms(fe_call *call, uint32_t i, int64_t *timeout_ms)
{
    FE_ASSERT(i < call->argc);
    int64_t timeout;
    if (!fe_number_read_int64(call->argv[i], &timeout)) {
        fe_call_error(call, "ERR timeout is not an integer or out of range");
        return false;
    }
    if (timeout < 0) {
        fe_call_error(call, "ERR timeout is negative");
        return false;
    }
    *timeout_ms = timeout;
    return true;
}

bool fe_call_int64(fe_call *call, uint32_t i, int64_t *value)
{
    FE_ASSERT(i < call->argc);
    if (FE_LIKELY(fe_number_read_int64(call->argv[i], value))) return true;
    fe_call_error(call, "ERR value is not an integer or out of range");
    return false;
}
