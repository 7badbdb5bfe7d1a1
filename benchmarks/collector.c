/* collector: takes OTLP over gRPC, counts what comes, and keeps nothing.
 *
 *     collector    listens on two free ports of 127.0.0.1 until its standard input ends
 *
 * The first port is for traces, the second for all other signals: which one a request is for stands in its
 * headers, which are compressed and never read here. It shares a core with the load generator, so it does
 * as little as a receiver can: no thread, no copy of a span, one send for each request.
 *
 * Orders come as lines on standard input; each is answered with one line of JSON:
 *   take     answer requests (so it begins)
 *   hang     read requests and never answer
 *   error    answer UNAVAILABLE
 *   dead     close the ports and all connections; any other order opens the same ports again
 *   count    change nothing
 * The line: {"ports":[traces,others],"requests":,"spans":,"commands":,"bytes":,"others":,"refused":,
 * "malformed":}. `commands` are spans of kind SERVER; what was not answered with success is not in any of
 * the first four, but in `refused`.
 *
 * HTTP/2 as far as a gRPC client needs it (RFC 9113): windows are as wide as they may be, so a request is
 * never held up; frames that need no answer are passed over. Input of a connection begins with a preface
 * of 24 bytes, then frames: length (3), type (1), flags (1), stream (4), payload.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORTS = 2, CONNECTIONS_MAX = 64, STREAMS_MAX = 32, READ_CHUNK = 1 << 20 };
enum { PREFACE = 24, FRAME_HEAD = 9, MESSAGE_HEAD = 5, FRAME_BYTES_MAX = (1 << 24) - 1 };
enum { FRAME_DATA = 0, FRAME_RST = 3, FRAME_SETTINGS = 4, FRAME_PING = 6, FRAME_WINDOW = 8 };
enum {
    FLAG_END_STREAM = 1,
    FLAG_ACK = 1,
    FLAG_PADDED = 8,
    FRAME_HEADERS = 1,
    SPAN_KIND_SERVER = 2
};

typedef enum { MODE_TAKE, MODE_HANG, MODE_ERROR, MODE_DEAD } mode;

typedef struct {
    uint8_t *data;
    size_t len, cap;
} buffer;

typedef struct {
    uint32_t id; /* 0: free */
    buffer body;
} stream;

typedef struct {
    int fd; /* -1: free */
    bool is_traces, is_greeted;
    buffer in;
    stream streams[STREAMS_MAX];
} connection;

typedef struct {
    mode mode;
    int listeners[PORTS]; /* -1 while dead */
    uint16_t ports[PORTS];
    connection connections[CONNECTIONS_MAX];
    uint64_t requests, spans, commands, bytes, others, refused, malformed;
} collector;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void reserve(buffer *buf, size_t more)
{
    if (buf->len + more <= buf->cap) return;
    buf->cap = (buf->len + more) * 2;
    buf->data = realloc(buf->data, buf->cap);
    if (buf->data == NULL) die("memory");
}

static void append(buffer *buf, const void *data, size_t len)
{
    reserve(buf, len);
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
}

/* Protocol buffers: only lengths are followed. */

typedef struct {
    const uint8_t *at, *end;
} view;

typedef struct {
    uint64_t number; /* 0: at the end, or what follows is no field */
    uint64_t value;  /* of a varint */
    view bytes;      /* of a length-delimited one */
} field;

static bool read_varint(view *in, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && in->at < in->end; shift += 7) {
        uint8_t byte = *in->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

/* Takes the next field. Marks `in` as broken (at = NULL) when it is cut short. */
static field next_field(view *in)
{
    field found = {0};
    uint64_t tag = 0, len = 0;
    if (in->at == in->end) return found;
    if (!read_varint(in, &tag)) goto broken;
    switch (tag & 7) {
    case 0:
        if (!read_varint(in, &found.value)) goto broken;
        break;
    case 1: len = 8; break;
    case 2:
        if (!read_varint(in, &len)) goto broken;
        break;
    case 5: len = 4; break;
    default: goto broken;
    }
    if (len > (uint64_t)(in->end - in->at) || tag >> 3 == 0) goto broken;
    found.bytes = (view){in->at, in->at + len};
    in->at += len;
    found.number = tag >> 3;
    return found;
broken:
    in->at = in->end = NULL;
    return (field){0};
}

static bool count_span(view span, uint64_t *commands)
{
    field one;
    while ((one = next_field(&span)).number != 0) {
        if (one.number != 6) continue;
        *commands += one.value == SPAN_KIND_SERVER;
        return true;
    }
    return span.at != NULL;
}

/* Counts the spans of an ExportTraceServiceRequest: resource_spans, scope_spans and spans are the fields 1,
 * 2 and 2 of the messages that hold them. False when it is none. */
static bool count_request(view request, uint64_t *spans, uint64_t *commands)
{
    field resource, scope, span;
    while ((resource = next_field(&request)).number != 0) {
        if (resource.number != 1) continue;
        view scopes = resource.bytes;
        while ((scope = next_field(&scopes)).number != 0) {
            if (scope.number != 2) continue;
            view all = scope.bytes;
            while ((span = next_field(&all)).number != 0) {
                if (span.number != 2) continue;
                *spans += 1;
                if (!count_span(span.bytes, commands)) return false;
            }
            if (all.at == NULL) return false;
        }
        if (scopes.at == NULL) return false;
    }
    return request.at != NULL;
}

static void count_message(collector *self, const connection *conn, const buffer *body)
{
    self->bytes += body->len;
    if (!conn->is_traces) {
        self->others++;
        return;
    }
    self->requests++;
    view request = {body->data + MESSAGE_HEAD, body->data + body->len};
    if (body->len < MESSAGE_HEAD || !count_request(request, &self->spans, &self->commands))
        self->malformed++;
}

/* HTTP/2 */

static void close_connection(connection *conn)
{
    close(conn->fd);
    free(conn->in.data);
    for (int i = 0; i < STREAMS_MAX; i++)
        free(conn->streams[i].body.data);
    *conn = (connection){.fd = -1};
}

static void put_u32(uint8_t *at, uint32_t value)
{
    uint32_t big = htonl(value);
    memcpy(at, &big, sizeof big);
}

static void append_frame(buffer *out, uint8_t type, uint8_t flags, uint32_t stream_id,
                         const void *payload, size_t len)
{
    uint8_t head[FRAME_HEAD] = {0, (uint8_t)(len >> 8), (uint8_t)len, type, flags};
    put_u32(head + 5, stream_id);
    append(out, head, sizeof head);
    append(out, payload, len);
}

static void append_window(buffer *out, uint32_t increment)
{
    uint8_t payload[4];
    put_u32(payload, increment);
    append_frame(out, FRAME_WINDOW, 0, 0, payload, sizeof payload);
}

/* Headers as literals without an index; 0x88 is ":status: 200" of the static table. */
#define CONTENT_TYPE                                                                               \
    "\x88\x00\x0c"                                                                                 \
    "content-type"                                                                                 \
    "\x10"                                                                                         \
    "application/grpc"
#define GRPC_STATUS                                                                                \
    "\x00\x0b"                                                                                     \
    "grpc-status"

static void append_answer(buffer *out, uint32_t id, mode now)
{
    static const char head[] = CONTENT_TYPE, status_ok[] = GRPC_STATUS "\x01"
                                                                       "0";
    static const char unavailable[] = CONTENT_TYPE GRPC_STATUS "\x02"
                                                               "14";
    static const uint8_t empty_message[MESSAGE_HEAD] = {0};
    if (now == MODE_ERROR) {
        append_frame(out, FRAME_HEADERS, 0x5, id, unavailable, sizeof unavailable - 1);
        return;
    }
    append_frame(out, FRAME_HEADERS, 0x4, id, head, sizeof head - 1);
    append_frame(out, FRAME_DATA, 0, id, empty_message, sizeof empty_message);
    append_frame(out, FRAME_HEADERS, 0x5, id, status_ok, sizeof status_ok - 1);
}

static stream *stream_of(connection *conn, uint32_t id)
{
    stream *unused = NULL;
    for (int i = 0; i < STREAMS_MAX; i++) {
        if (conn->streams[i].id == id) return &conn->streams[i];
        if (conn->streams[i].id == 0) unused = &conn->streams[i];
    }
    if (unused != NULL) {
        unused->id = id;
        unused->body.len = 0;
    }
    return unused;
}

static void take_data(collector *self, connection *conn, const uint8_t *frame, size_t len,
                      buffer *out)
{
    uint8_t flags = frame[4];
    uint32_t id;
    memcpy(&id, frame + 5, sizeof id);
    stream *to = stream_of(conn, ntohl(id));
    if (len > 0) append_window(out, (uint32_t)len);
    if (to == NULL) return;
    const uint8_t *payload = frame + FRAME_HEAD;
    size_t padding = 0;
    if ((flags & FLAG_PADDED) != 0 && len > 0) {
        padding = payload[0];
        payload++;
        len--;
    }
    if (padding <= len) append(&to->body, payload, len - padding);
    if ((flags & FLAG_END_STREAM) == 0) return;
    if (self->mode == MODE_TAKE)
        count_message(self, conn, &to->body);
    else
        self->refused++;
    if (self->mode != MODE_HANG) append_answer(out, to->id, self->mode);
    to->id = 0;
}

static void take_frame(collector *self, connection *conn, const uint8_t *frame, size_t len,
                       buffer *out)
{
    uint32_t id;
    memcpy(&id, frame + 5, sizeof id);
    switch (frame[3]) {
    case FRAME_DATA: take_data(self, conn, frame, len, out); break;
    case FRAME_SETTINGS:
        if ((frame[4] & FLAG_ACK) == 0) append_frame(out, FRAME_SETTINGS, FLAG_ACK, 0, "", 0);
        break;
    case FRAME_PING:
        if ((frame[4] & FLAG_ACK) == 0)
            append_frame(out, FRAME_PING, FLAG_ACK, 0, frame + FRAME_HEAD, len);
        break;
    case FRAME_RST:
        for (int i = 0; i < STREAMS_MAX; i++)
            if (conn->streams[i].id == ntohl(id)) conn->streams[i].id = 0;
        break;
    default: break;
    }
}

/* SETTINGS: INITIAL_WINDOW_SIZE (4) and MAX_FRAME_SIZE (5); then the window of the connection. */
static void greet(buffer *out)
{
    uint8_t settings[12] = {0, 4, 0x7f, 0xff, 0xff, 0xff, 0, 5};
    put_u32(settings + 8, FRAME_BYTES_MAX);
    append_frame(out, FRAME_SETTINGS, 0, 0, settings, sizeof settings);
    append_window(out,
                  0x7fffffffu - 65535u - (1u << 26)); /* what is under way stays below 64 MiB */
}

static void send_all(connection *conn, const buffer *out)
{
    size_t sent = 0;
    while (sent < out->len) {
        ssize_t count = send(conn->fd, out->data + sent, out->len - sent, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return; /* the next receive tells */
        sent += (size_t)count;
    }
}

static void receive(collector *self, connection *conn)
{
    reserve(&conn->in, READ_CHUNK);
    ssize_t got = recv(conn->fd, conn->in.data + conn->in.len, READ_CHUNK, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        close_connection(conn);
        return;
    }
    conn->in.len += (size_t)got;
    buffer out = {0};
    size_t at = 0;
    if (!conn->is_greeted) {
        if (conn->in.len < PREFACE) return;
        if (memcmp(conn->in.data, "PRI * HTTP/2.0", 14) != 0) {
            self->malformed++;
            close_connection(conn);
            return;
        }
        conn->is_greeted = true;
        at = PREFACE;
        greet(&out);
    }
    while (conn->in.len - at >= FRAME_HEAD) {
        const uint8_t *frame = conn->in.data + at;
        size_t len = (size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2];
        if (conn->in.len - at < FRAME_HEAD + len) break;
        take_frame(self, conn, frame, len, &out);
        at += FRAME_HEAD + len;
    }
    memmove(conn->in.data, conn->in.data + at, conn->in.len - at);
    conn->in.len -= at;
    send_all(conn, &out);
    free(out.data);
}

/* Ports and orders */

static void listen_on(collector *self, int number)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(self->ports[number]),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0) die("socket");
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) die("bind");
    if (listen(fd, 64) != 0) die("listen");
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0) die("getsockname");
    self->ports[number] = ntohs(address.sin_port);
    self->listeners[number] = fd;
}

static void take_connection(collector *self, int number)
{
    int fd = accept(self->listeners[number], NULL, NULL), yes = 1;
    if (fd < 0) return;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        if (self->connections[i].fd >= 0) continue;
        self->connections[i] = (connection){.fd = fd, .is_traces = number == 0};
        return;
    }
    close(fd);
}

static void behave(collector *self, mode wanted)
{
    for (int i = 0; i < PORTS; i++) {
        if (wanted != MODE_DEAD && self->listeners[i] < 0) listen_on(self, i);
        if (wanted != MODE_DEAD || self->listeners[i] < 0) continue;
        close(self->listeners[i]);
        self->listeners[i] = -1;
    }
    for (int i = 0; i < CONNECTIONS_MAX && wanted == MODE_DEAD; i++)
        if (self->connections[i].fd >= 0) close_connection(&self->connections[i]);
    self->mode = wanted;
}

static void report(const collector *self)
{
    printf("{\"ports\":[%u,%u],\"requests\":%llu,\"spans\":%llu,\"commands\":%llu,\"bytes\":%llu,"
           "\"others\":%llu,\"refused\":%llu,\"malformed\":%llu}\n",
           self->ports[0], self->ports[1], (unsigned long long)self->requests,
           (unsigned long long)self->spans, (unsigned long long)self->commands,
           (unsigned long long)self->bytes, (unsigned long long)self->others,
           (unsigned long long)self->refused, (unsigned long long)self->malformed);
    fflush(stdout);
}

/* Takes what came on standard input; orders are single lines, each waited for by who sends it. */
static void take_order(collector *self)
{
    static const char *const names[] = {"take\n", "hang\n", "error\n", "dead\n"};
    char line[16] = {0};
    ssize_t len = read(STDIN_FILENO, line, sizeof line - 1);
    if (len <= 0) exit(0);
    for (int i = 0; i < 4; i++)
        if (strcmp(line, names[i]) == 0) behave(self, (mode)i);
    report(self);
}

static void wait_and_serve(collector *self)
{
    struct pollfd waits[1 + PORTS + CONNECTIONS_MAX] = {{.fd = STDIN_FILENO, .events = POLLIN}};
    for (int i = 0; i < PORTS; i++)
        waits[1 + i] = (struct pollfd){.fd = self->listeners[i], .events = POLLIN};
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        waits[1 + PORTS + i] = (struct pollfd){.fd = self->connections[i].fd, .events = POLLIN};
    if (poll(waits, 1 + PORTS + CONNECTIONS_MAX, -1) < 0) {
        if (errno == EINTR) return;
        die("poll");
    }
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        if (waits[1 + PORTS + i].revents != 0) receive(self, &self->connections[i]);
    for (int i = 0; i < PORTS; i++)
        if (waits[1 + i].revents != 0) take_connection(self, i);
    if (waits[0].revents != 0) take_order(self);
}

int main(void)
{
    static collector self;
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        self.connections[i].fd = -1;
    for (int i = 0; i < PORTS; i++)
        listen_on(&self, i);
    report(&self);
    for (;;)
        wait_and_serve(&self);
}
