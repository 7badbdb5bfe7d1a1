/* See monitor.h. */
#include "session/monitor.h"

#include <stdio.h>

static void append_quoted(fe_buf *out, fe_bytes text)
{
    static const char hex[] = "0123456789abcdef";
    fe_buf_append_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        const char *escape = c == '\n'   ? "\\n"
                             : c == '\r' ? "\\r"
                             : c == '\t' ? "\\t"
                             : c == '\a' ? "\\a"
                             : c == '\b' ? "\\b"
                             : c == '"'  ? "\\\""
                             : c == '\\' ? "\\\\"
                                         : NULL;
        if (escape != NULL) {
            fe_buf_append(out, escape, 2);
        } else if (c >= 0x20 && c < 0x7f) {
            fe_buf_append_byte(out, c);
        } else {
            char code[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};
            fe_buf_append(out, code, 4);
        }
    }
    fe_buf_append_byte(out, '"');
}

static void append_address(fe_buf *out, const fe_client *client)
{
    fe_bytes addr = client->addr;
    if (client->unix_socket) {
        fe_buf_append(out, "unix:", 5);
        size_t cut = addr.len;
        while (cut > 0 && addr.ptr[cut - 1] != ':')
            cut--;
        addr.len = cut > 0 ? cut - 1 : addr.len;
    }
    fe_buf_append(out, addr.ptr, addr.len);
}

static void append_line(const fe_call *call, fe_buf *line)
{
    char head[64];
    int64_t now_us = fe_clock_wall_us();
    int len = snprintf(head, sizeof head, "+%lld.%06lld [%u ", (long long)(now_us / 1000000),
                       (long long)(now_us % 1000000), call->client->db);
    fe_buf_append(line, head, (size_t)len);
    append_address(line, call->client);
    fe_buf_append_byte(line, ']');
    for (uint32_t i = 0; i < call->argc; i++) {
        fe_buf_append_byte(line, ' ');
        bool secret = fe_call_is_secret(call->secret_mask, i);
        append_quoted(line, secret ? FE_BYTES("(redacted)") : call->argv[i]);
    }
    fe_buf_append(line, "\r\n", 2);
}

void fe_monitor_show(const fe_call *call)
{
    fe_buf line;
    fe_buf_init(&line, &call->engine->alloc, FE_ALLOC_SCRATCH);
    append_line(call, &line);
    for (fe_client *client = call->clients->first; client != NULL && !line.failed;
         client = client->next) {
        if (!client->monitor || client->kill || fe_client_is_silent(client)) continue;
        if (client == call->client)
            fe_buf_append(&client->output, line.data, line.len);
        else
            fe_client_push(call->clients, client, fe_buf_view(&line));
    }
    fe_buf_free(&line);
}
