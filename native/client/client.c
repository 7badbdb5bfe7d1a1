/* See client.h. */
#include "client/client.h"

#include "base/assert.h"

#include <stdio.h>

void fe_clients_init(fe_clients *clients, fe_engine *engine)
{
    *clients = (fe_clients){.engine = engine, .next_id = 1};
    fe_watches_init(&clients->watches, &engine->alloc);
}

void fe_clients_destroy(fe_clients *clients)
{
    FE_ASSERT(clients->count == 0);
    fe_watches_destroy(&clients->watches);
}

static bool copy_addresses(fe_clients *clients, fe_client *client, fe_bytes addr, fe_bytes laddr)
{
    client->addresses =
        fe_alloc_take(&clients->engine->alloc, FE_ALLOC_CLIENT, addr.len + laddr.len + 1);
    if (client->addresses == NULL) return false;
    if (addr.len > 0) memcpy(client->addresses, addr.ptr, addr.len);
    if (laddr.len > 0) memcpy(client->addresses + addr.len, laddr.ptr, laddr.len);
    client->addr = (fe_bytes){client->addresses, addr.len};
    client->laddr = (fe_bytes){client->addresses + addr.len, laddr.len};
    return true;
}

static void link_last(fe_clients *clients, fe_client *client)
{
    client->previous = clients->last;
    client->next = NULL;
    if (clients->last != NULL)
        clients->last->next = client;
    else
        clients->first = client;
    clients->last = client;
    clients->count++;
}

bool fe_client_open(fe_clients *clients, fe_client *client, fe_bytes addr, fe_bytes laddr,
                    bool unix_socket, int fd)
{
    fe_engine *engine = clients->engine;
    fe_alloc *alloc = &engine->alloc;
    *client = (fe_client){.resp = 2,
                          .unix_socket = unix_socket,
                          .fd = fd,
                          .authenticated = engine->options.requirepass[0] == 0,
                          .created_ms = engine->now_ms,
                          .last_ms = engine->now_ms,
                          .wake = client->wake};
    fe_buf_init(&client->input, alloc, FE_ALLOC_CLIENT);
    fe_buf_init(&client->output, alloc, FE_ALLOC_CLIENT);
    client->output_limit = engine->options.output_limit[FE_CLIENT_CLASS_NORMAL].hard;
    client->output.limit = client->output_limit;
    fe_buf_init(&client->pushed, alloc, FE_ALLOC_CLIENT);
    fe_buf_init(&client->walked, alloc, FE_ALLOC_CLIENT);
    if (!copy_addresses(clients, client, addr, laddr)) return false;
    client->reader = fe_reader_new(alloc, engine->options.bulk_len_max);
    if (client->reader == NULL) {
        fe_alloc_give(alloc, FE_ALLOC_CLIENT, client->addresses);
        return false;
    }
    fe_reader_set_authenticated(client->reader, client->authenticated);
    client->id = clients->next_id++;
    link_last(clients, client);
    engine->stats.connections++;
    fe_client_account(clients, client);
    return true;
}

static void text_free(fe_clients *clients, fe_bytes *field)
{
    fe_alloc_give(&clients->engine->alloc, FE_ALLOC_CLIENT, (void *)(uintptr_t)field->ptr);
    *field = (fe_bytes){NULL, 0};
}

bool fe_client_set_text(fe_clients *clients, fe_bytes *field, fe_bytes text)
{
    if (text.len == 0) {
        text_free(clients, field);
        return true;
    }
    uint8_t *copied = fe_alloc_take(&clients->engine->alloc, FE_ALLOC_CLIENT, text.len);
    if (copied == NULL) return false;
    memcpy(copied, text.ptr, text.len);
    text_free(clients, field);
    *field = (fe_bytes){copied, text.len};
    return true;
}

static void drop_transaction(fe_clients *clients, fe_client *client)
{
    fe_watches_drop(&clients->watches, &client->transaction);
    fe_transaction_clear(&clients->engine->alloc, &client->transaction);
    fe_store_set_interest(clients->engine->store, clients->watches.count > 0);
}

void fe_client_close(fe_clients *clients, fe_client *client)
{
    drop_transaction(clients, client);
    if (client->monitor) clients->monitors--;
    clients->memory -= client->memory;
    text_free(clients, &client->name);
    text_free(clients, &client->lib_name);
    text_free(clients, &client->lib_version);
    fe_client_set_mark(clients, client, NULL);
    fe_alloc_give(&clients->engine->alloc, FE_ALLOC_CLIENT, client->addresses);
    fe_reader_free(client->reader);
    fe_buf_free(&client->input);
    fe_buf_free(&client->output);
    fe_buf_free(&client->pushed);
    fe_buf_free(&client->walked);
    if (client->previous != NULL)
        client->previous->next = client->next;
    else
        clients->first = client->next;
    if (client->next != NULL)
        client->next->previous = client->previous;
    else
        clients->last = client->previous;
    clients->count--;
}

void fe_client_reset(fe_clients *clients, fe_client *client)
{
    drop_transaction(clients, client);
    if (client->monitor) clients->monitors--;
    client->monitor = false;
    client->db = 0;
    client->resp = 2;
    /* A skip that CLIENT REPLY SKIP asked for holds for RESET too, and ends with it. */
    if (client->reply_mode == FE_REPLY_OFF) client->reply_mode = FE_REPLY_ON;
    client->no_evict = false;
    client->no_touch = false;
    client->authenticated = clients->engine->options.requirepass[0] == 0;
    fe_reader_set_authenticated(client->reader, client->authenticated);
    text_free(clients, &client->name);
    fe_client_set_mark(clients, client, NULL);
}

void fe_client_set_mark(fe_clients *clients, fe_client *client, fe_trace_mark *mark)
{
    fe_alloc_give(&clients->engine->alloc, FE_ALLOC_CLIENT, client->mark);
    client->mark = mark;
}

fe_client_class fe_client_get_class(const fe_client *client)
{
    return client->monitor ? FE_CLIENT_CLASS_REPLICA : FE_CLIENT_CLASS_NORMAL;
}

/* Redis's letters for the state of a client. */
static void describe_flags(const fe_client *client, char flags[16])
{
    char *at = flags;
    if (client->monitor) *at++ = 'O';
    if (client->transaction.open) *at++ = 'x';
    if (client->blocked) *at++ = 'b';
    if (client->transaction.dirty) *at++ = 'd';
    if (client->close_after_reply) *at++ = 'c';
    if (client->kill) *at++ = 'A';
    if (client->unix_socket) *at++ = 'U';
    if (client->no_evict) *at++ = 'e';
    if (client->no_touch) *at++ = 'T';
    if (at == flags) *at++ = 'N';
    *at = 0;
}

static void append_text(fe_buf *out, const char *label, fe_bytes text)
{
    fe_buf_append(out, label, strlen(label));
    fe_buf_append(out, text.ptr, text.len);
}

void fe_client_describe(const fe_clients *clients, const fe_client *client, size_t argv_bytes,
                        fe_buf *out)
{
    int64_t now_ms = clients->engine->now_ms;
    char flags[16];
    describe_flags(client, flags);
    char text[512];
    fe_buf_append(out, text,
                  (size_t)snprintf(text, sizeof text, "id=%llu", (unsigned long long)client->id));
    append_text(out, " addr=", client->addr);
    append_text(out, " laddr=", client->laddr);
    fe_buf_append(out, text, (size_t)snprintf(text, sizeof text, " fd=%d", client->fd));
    append_text(out, " name=", client->name);
    size_t queries = client->serving_len > 0 ? client->serving_len : client->input_len;
    size_t output = client->output_len + client->pushed.len + client->unsent;
    int len = snprintf(
        text, sizeof text,
        " age=%lld idle=%lld flags=%s db=%u sub=0 psub=0 ssub=0 multi=%d qbuf=%zu qbuf-free=%zu"
        " argv-mem=%zu multi-mem=%zu rbs=%zu rbp=%zu obl=%zu oll=%d omem=%zu tot-mem=%zu events=%s",
        (long long)((now_ms - client->created_ms) / 1000),
        (long long)((now_ms - client->last_ms) / 1000), flags, client->db,
        client->transaction.open ? (int)client->transaction.count : -1, queries,
        client->input_cap > queries ? client->input_cap - queries : 0, argv_bytes,
        client->transaction.bytes, client->output_cap, output, client->output_len + client->lent,
        client->pushed.len > 0 ? 1 : 0, client->output_cap + client->pushed.cap + client->unsent,
        client->memory, output + client->lent > 0 ? "rw" : "r");
    fe_buf_append(out, text, (size_t)len);
    const char *command = client->last_command != NULL ? client->last_command : "NULL";
    append_text(out, " cmd=", (fe_bytes){(const uint8_t *)command, strlen(command)});
    len = snprintf(text, sizeof text, " user=default redir=-1 resp=%d", client->resp);
    fe_buf_append(out, text, (size_t)len);
    append_text(out, " lib-name=", client->lib_name);
    append_text(out, " lib-ver=", client->lib_version);
}

/* Accounts what `pushed` holds now; any thread, with the lock. */
static void account_pushed(fe_clients *clients, fe_client *client)
{
    clients->memory += client->pushed.cap - client->pushed_cap;
    client->memory += client->pushed.cap - client->pushed_cap;
    client->pushed_cap = client->pushed.cap;
}

void fe_client_push(fe_clients *clients, fe_client *client, fe_bytes bytes)
{
    fe_engine *engine = clients->engine;
    uint64_t hard = engine->options.output_limit[fe_client_get_class(client)].hard;
    size_t waiting = client->output_len + client->unsent + client->lent + client->pushed.len;
    if (hard != 0 && waiting + bytes.len > hard) {
        engine->stats.output_kills++;
        fe_buf_free(&client->pushed);
        fe_client_kill(client);
    } else {
        fe_buf_append(&client->pushed, bytes.ptr, bytes.len);
        client->wake(client);
    }
    account_pushed(clients, client);
}

void fe_client_take_pushed(fe_client *client)
{
    fe_buf_append(&client->output, client->pushed.data, client->pushed.len);
    if (client->pushed.failed) client->output.failed = true;
    fe_buf_free(&client->pushed);
}

void fe_client_unblock(fe_client *client, fe_unblock how)
{
    client->unblock = how;
    client->wake(client);
}

void fe_client_kill(fe_client *client)
{
    client->kill = true;
    client->wake(client);
}

size_t fe_client_owned_bytes(const fe_client *client)
{
    const fe_transaction *transaction = &client->transaction;
    size_t marks = 0;
    if (FE_UNLIKELY(client->mark != NULL)) marks += fe_trace_mark_size(client->mark);
    if (FE_UNLIKELY(transaction->mark != NULL)) marks += fe_trace_mark_size(transaction->mark);
    return transaction->bytes + transaction->watch_bytes + client->walked.cap + client->name.len +
           client->lib_name.len + client->lib_version.len + marks;
}

void fe_client_account(fe_clients *clients, fe_client *client)
{
    client->input_len = client->input.len;
    client->input_cap = client->input.cap;
    client->output_len = client->output.len;
    client->output_cap = client->output.cap;
    client->pushed_cap = client->pushed.cap;
    client->owned_bytes = fe_client_owned_bytes(client);
    size_t memory = client->body_bytes + client->input.cap + client->output.cap +
                    client->pushed.cap + client->unsent + client->owned_bytes +
                    fe_reader_memory(client->reader) + sizeof *client;
    clients->memory += memory - client->memory;
    client->memory = memory;
}
