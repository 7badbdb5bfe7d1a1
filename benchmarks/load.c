/* load: GET and SET traffic for what redis-benchmark cannot do.
 *
 * Two disciplines:
 *   closed   (--pipeline P)  every connection sends P requests, waits for their P replies, and goes
 * on; open     (--rate R)      request i is due at start + i/R whatever the server does, and its
 * latency counts from that moment, so a stalled server is charged for every request that it kept
 *                            waiting, also for those not yet sent (no coordinated omission).
 *
 * It knows which keys it wrote with which length, so it can say how many bytes are alive; it fills
 * key spaces in order, overwrites at random with changing sizes, with or without deadlines; it
 * speaks RESP, and memcached's text protocol for the comparison.
 *
 * Which keys: each request has a rank, from 0 on in order, at random (--random), or by Zipf's law
 * (--zipf HUNDREDTHS of the exponent), below --ranks (all keys). With --scatter ranks are spread over
 * the keys, so that neither neighbours nor the first written ones are asked together.
 *
 * Which values: random slices of one pool, or with --derived values that follow from their key
 * (values.h): then each reply to a GET is compared, and what differs is counted as "wrong".
 * With --refill a GET that misses is followed by the SET of what it missed, as from a cache's client.
 *
 * Output, on standard output, one JSON object a line: "window" lines while it runs (by time or by
 * share of the operations), one "result" line at the end. All latencies are microseconds.
 *
 * Invariants: replies of a connection come in order, so the oldest entry of its ring of requests
 * belongs to the next reply; `outstanding` is the sum of all rings. One thread, no locks. */
#include "histogram.h"
#include "values.h"
#include "wire.h"
#include "zipf.h"

#include <stddef.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

enum { READ_CHUNK = 256 * 1024, LINE_MAX_BYTES = 512, CLIENTS_MAX = 4096, REQUEST_OVERHEAD = 160 };
enum { STALL_SECONDS = 60, KEY_TEXT_BYTES = 160, OUTSTANDING_MAX = 4 * 1024 * 1024 };

typedef enum { KIND_OTHER, KIND_GET, KIND_REFILL } request_kind;

typedef struct {
    uint64_t due; /* intended send time */
    uint32_t key;
    request_kind kind;
} request;

typedef struct {
    int fd;
    char *out; /* bytes out[out_sent, out_len) still have to be sent */
    size_t out_len, out_sent, out_cap;
    request *ring; /* sent, or to be sent, and not answered; a power of two long */
    size_t ring_head, ring_len, ring_cap;
    size_t skip;        /* bytes of a value still to pass over, with its line end */
    uint64_t value_len; /* of the value that is coming */
    bool value_wrong;
    char line[LINE_MAX_BYTES]; /* the reply line being collected, cut when longer */
    size_t line_len;
    bool saw_value; /* memcached: a VALUE line came before END */
} connection;

typedef enum { PROTOCOL_RESP, PROTOCOL_MEMCACHED } protocol_kind;

typedef struct {
    uint64_t port, clients, pipeline, rate, count, milliseconds, keys, key_size;
    uint64_t value_min, value_max, ttl_min_ms, ttl_max_ms, expire_from_ms, expire_until_ms;
    uint64_t reads_percent, windows, window_ms, seed, zipf, ranks;
    bool random_order, prefill, sleep_between, ping, scatter, derived, refill;
    protocol_kind protocol;
} options;

typedef struct {
    options opt;
    connection *connections;
    int epoll_fd;
    char *values; /* value_max random printable bytes, twice, so that values may start anywhere */
    uint32_t *lengths; /* per key: length of its value + 1, 0 when never written */
    uint64_t live_keys, live_bytes;
    uint64_t random_state;
    uint64_t issued, completed, outstanding, errors, misses, wrong, refills;
    zipf popularity;
    char first_error[128];
    histogram all, window;
    histogram
        late; /* how long after its due time a request was issued: the generator's own delay */
    uint64_t start_ns, start_cpu_ns, window_start_ns, window_ops, window_index, progress_ns;
    bool random_now, measuring;
    uint64_t count_now;
} load;

/* ---- requests
 * ----------------------------------------------------------------------------------------- */

static uint64_t random_next(load *self)
{
    uint64_t mixed = (self->random_state += 0x9e3779b97f4a7c15ULL);
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
    return mixed ^ (mixed >> 31);
}

static uint64_t random_between(load *self, uint64_t low, uint64_t high)
{
    return low + (uint64_t)(((__uint128_t)random_next(self) * (high - low + 1)) >> 64);
}

static void out_reserve(connection *conn, size_t extra)
{
    if (conn->out_sent == conn->out_len) {
        conn->out_sent = conn->out_len = 0;
    }
    if (conn->out_len + extra > conn->out_cap) {
        conn->out_cap = (conn->out_len + extra) * 2;
        conn->out = must_realloc(conn->out, conn->out_cap);
    }
}

static void append(connection *conn, const void *bytes, size_t len)
{
    memcpy(conn->out + conn->out_len, bytes, len);
    conn->out_len += len;
}

__attribute__((format(printf, 2, 3))) static void append_text(connection *conn, const char *format,
                                                              ...)
{
    va_list arguments;
    va_start(arguments, format);
    int len =
        vsnprintf(conn->out + conn->out_len, conn->out_cap - conn->out_len, format, arguments);
    va_end(arguments);
    conn->out_len += (size_t)len;
}

static void ring_push(load *self, connection *conn, request one)
{
    if (conn->ring_len == conn->ring_cap) {
        size_t cap = conn->ring_cap == 0 ? 128 : conn->ring_cap * 2;
        request *ring = must_realloc(NULL, cap * sizeof *ring);
        for (size_t i = 0; i < conn->ring_len; i++) {
            ring[i] = conn->ring[(conn->ring_head + i) & (conn->ring_cap - 1)];
        }
        free(conn->ring);
        conn->ring = ring;
        conn->ring_cap = cap;
        conn->ring_head = 0;
    }
    conn->ring[(conn->ring_head + conn->ring_len) & (conn->ring_cap - 1)] = one;
    conn->ring_len++;
    self->outstanding++;
}

static void key_text(const load *self, uint64_t key, char text[KEY_TEXT_BYTES])
{
    snprintf(text, KEY_TEXT_BYTES, "key:%0*llu", (int)self->opt.key_size - 4,
             (unsigned long long)key);
}

static void remember_write(load *self, uint64_t key, uint64_t length)
{
    uint32_t before = self->lengths[key];
    if (before == 0) {
        self->live_keys++;
        self->live_bytes += self->opt.key_size;
    } else {
        self->live_bytes -= before - 1;
    }
    self->lengths[key] = (uint32_t)length + 1;
    self->live_bytes += length;
}

static void append_deadline(load *self, connection *conn)
{
    const options *opt = &self->opt;
    char digits[24];
    const char *option = "PX";
    uint64_t value = 0;
    if (opt->expire_until_ms > 0) {
        option = "PXAT";
        value = random_between(self, opt->expire_from_ms, opt->expire_until_ms);
    } else {
        value = random_between(self, opt->ttl_min_ms, opt->ttl_max_ms);
    }
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    append_text(conn, "$%zu\r\n%s\r\n$%d\r\n%s\r\n", strlen(option), option, len, digits);
}

static void append_value(load *self, connection *conn, uint64_t key, const char *value,
                         uint64_t length)
{
    append(conn, value, length);
    if (self->opt.derived) {
        char text[KEY_TEXT_BYTES];
        key_text(self, key, text);
        memcpy(conn->out + conn->out_len - length, text,
               length < self->opt.key_size ? length : self->opt.key_size);
    }
}

static void append_set(load *self, connection *conn, uint64_t key)
{
    const options *opt = &self->opt;
    uint64_t length = opt->derived ? values_length(key, opt->value_min, opt->value_max)
                                   : random_between(self, opt->value_min, opt->value_max);
    bool deadline = opt->ttl_max_ms > 0 || opt->expire_until_ms > 0;
    int digits = (int)opt->key_size - 4;
    const char *value = self->values + (opt->derived ? values_place(key, opt->value_max)
                                                     : random_between(self, 0, opt->value_max));

    out_reserve(conn, length + opt->key_size + REQUEST_OVERHEAD);
    if (opt->protocol == PROTOCOL_MEMCACHED) {
        unsigned long long ttl_s = opt->ttl_max_ms == 0 ? 0 : (opt->ttl_max_ms + 999) / 1000;
        append_text(conn, "set key:%0*llu 0 %llu %llu\r\n", digits, (unsigned long long)key, ttl_s,
                    (unsigned long long)length);
        append(conn, value, length);
        append(conn, "\r\n", 2);
    } else {
        append_text(conn, "*%d\r\n$3\r\nSET\r\n$%llu\r\nkey:%0*llu\r\n$%llu\r\n", deadline ? 5 : 3,
                    (unsigned long long)opt->key_size, digits, (unsigned long long)key,
                    (unsigned long long)length);
        append_value(self, conn, key, value, length);
        append(conn, "\r\n", 2);
        if (deadline) {
            append_deadline(self, conn);
        }
    }
    remember_write(self, key, length);
}

static void append_get(load *self, connection *conn, uint64_t key)
{
    const options *opt = &self->opt;
    int digits = (int)opt->key_size - 4;
    out_reserve(conn, opt->key_size + REQUEST_OVERHEAD);
    if (opt->protocol == PROTOCOL_MEMCACHED) {
        append_text(conn, "get key:%0*llu\r\n", digits, (unsigned long long)key);
    } else {
        append_text(conn, "*2\r\n$3\r\nGET\r\n$%llu\r\nkey:%0*llu\r\n",
                    (unsigned long long)opt->key_size, digits, (unsigned long long)key);
    }
}

static uint64_t rank_next(load *self)
{
    const options *opt = &self->opt;
    uint64_t rank = 0;
    if (!self->random_now) {
        return self->issued % opt->ranks;
    }
    if (opt->zipf == 0) {
        return random_between(self, 0, opt->ranks - 1);
    }
    while (!zipf_try(&self->popularity, (double)(random_next(self) >> 11) * 0x1p-53, &rank)) {}
    return rank;
}

/* A bijection of ranks to keys: the factor is a prime above any number of keys. */
static uint64_t key_of_rank(const load *self, uint64_t rank)
{
    return self->opt.scatter ? (rank * 4294967311ULL + 7) % self->opt.keys : rank;
}

static void issue(load *self, connection *conn, uint64_t due_ns)
{
    const options *opt = &self->opt;
    uint64_t key = key_of_rank(self, rank_next(self));
    request_kind kind = KIND_OTHER;
    if (opt->ping) {
        out_reserve(conn, REQUEST_OVERHEAD);
        append_text(conn,
                    opt->protocol == PROTOCOL_MEMCACHED ? "version\r\n" : "*1\r\n$4\r\nPING\r\n");
    } else if (self->measuring && opt->reads_percent > 0 &&
               random_between(self, 0, 99) < opt->reads_percent) {
        append_get(self, conn, key);
        kind = KIND_GET;
    } else {
        append_set(self, conn, key);
    }
    ring_push(self, conn, (request){.due = due_ns, .key = (uint32_t)key, .kind = kind});
    self->issued++;
}

/* ---- replies
 * ------------------------------------------------------------------------------------------ */

static const request *oldest(const connection *conn)
{
    if (conn->ring_len == 0) {
        die("the server sent a reply that nobody asked for");
    }
    return &conn->ring[conn->ring_head];
}

static void reply_done(load *self, connection *conn, uint64_t now)
{
    request one = *oldest(conn);
    conn->ring_head = (conn->ring_head + 1) & (conn->ring_cap - 1);
    conn->ring_len--;
    self->outstanding--;
    self->progress_ns = now;
    if (one.kind == KIND_REFILL) {
        return;
    }
    self->completed++;
    if (self->measuring) {
        uint64_t latency = now > one.due ? now - one.due : 0;
        histogram_add(&self->all, latency);
        histogram_add(&self->window, latency);
        self->window_ops++;
    }
}

/* The refill is a request of its own, behind what has been sent already; it is not measured. */
static void note_miss(load *self, connection *conn, uint64_t now)
{
    request one = *oldest(conn);
    self->misses++;
    if (self->opt.refill && one.kind == KIND_GET) {
        append_set(self, conn, one.key);
        ring_push(self, conn, (request){.due = now, .key = one.key, .kind = KIND_REFILL});
        self->refills++;
    }
}

static void value_begin(load *self, connection *conn)
{
    const options *opt = &self->opt;
    const request *one = oldest(conn);
    conn->value_len = strtoull(conn->line + 1, NULL, 10);
    conn->skip = (size_t)conn->value_len + 2;
    conn->value_wrong = opt->derived && one->kind == KIND_GET &&
                        conn->value_len != values_length(one->key, opt->value_min, opt->value_max);
}

/* `size` bytes of the value, or of the line end behind it, came. */
static void value_bytes(load *self, connection *conn, const char *bytes, size_t size)
{
    const request *one = oldest(conn);
    uint64_t at = conn->value_len + 2 - conn->skip;
    if (!self->opt.derived || one->kind != KIND_GET || conn->value_wrong || at >= conn->value_len) {
        return;
    }
    uint64_t inside = conn->value_len - at < size ? conn->value_len - at : size;
    char text[KEY_TEXT_BYTES];
    key_text(self, one->key, text);
    conn->value_wrong = !values_match(bytes, at, inside, text, self->opt.key_size,
                                      self->values + values_place(one->key, self->opt.value_max));
}

static void value_end(load *self, connection *conn)
{
    if (conn->value_wrong && self->wrong++ == 0 && self->errors == 0) {
        snprintf(self->first_error, sizeof self->first_error, "wrong value of key %lu",
                 (unsigned long)oldest(conn)->key);
    }
}

static void note_error(load *self, const connection *conn)
{
    if (self->errors++ == 0) {
        snprintf(self->first_error, sizeof self->first_error, "%.*s", (int)conn->line_len,
                 conn->line);
    }
}

/* True when the line ends a reply; a bulk length sets `skip` instead. */
static bool resp_line(load *self, connection *conn, uint64_t now)
{
    char kind = conn->line[0];
    if (kind == '-') {
        note_error(self, conn);
    } else if (kind == '_' || (kind == '$' && conn->line[1] == '-')) {
        note_miss(self, conn, now);
    } else if (kind == '$') {
        value_begin(self, conn);
        return false;
    } else if (kind != '+' && kind != ':') {
        die("cannot read the reply '%s'", conn->line);
    }
    return true;
}

static bool memcached_line(load *self, connection *conn)
{
    if (strncmp(conn->line, "VALUE ", 6) == 0) {
        const char *length = strrchr(conn->line, ' ');
        conn->skip = (size_t)strtoull(length, NULL, 10) + 2;
        conn->saw_value = true;
        return false;
    }
    if (strncmp(conn->line, "END", 3) == 0) {
        self->misses += conn->saw_value ? 0 : 1;
        conn->saw_value = false;
    } else if (strncmp(conn->line, "STORED", 6) != 0 && strncmp(conn->line, "VERSION", 7) != 0) {
        note_error(self, conn);
    }
    return true;
}

static void line_end(load *self, connection *conn, uint64_t now)
{
    while (conn->line_len > 0 && conn->line[conn->line_len - 1] == '\r') {
        conn->line_len--;
    }
    conn->line[conn->line_len] = '\0';
    bool resp = self->opt.protocol == PROTOCOL_RESP;
    if (resp ? resp_line(self, conn, now) : memcached_line(self, conn)) {
        reply_done(self, conn, now);
    }
    conn->line_len = 0;
}

static void take_bytes(load *self, connection *conn, const char *bytes, size_t len, uint64_t now)
{
    size_t at = 0;
    while (at < len) {
        if (conn->skip > 0) {
            size_t step = conn->skip < len - at ? conn->skip : len - at;
            if (self->opt.protocol == PROTOCOL_RESP) {
                value_bytes(self, conn, bytes + at, step);
            }
            conn->skip -= step;
            at += step;
            if (conn->skip == 0 && self->opt.protocol == PROTOCOL_RESP) {
                value_end(self, conn);
                reply_done(self, conn, now);
            }
            continue;
        }
        const char *end = memchr(bytes + at, '\n', len - at);
        size_t step = end == NULL ? len - at : (size_t)(end - bytes) - at;
        size_t room = LINE_MAX_BYTES - 1 - conn->line_len;
        size_t kept = step < room ? step : room;
        memcpy(conn->line + conn->line_len, bytes + at, kept);
        conn->line_len += kept;
        at += step;
        if (end != NULL) {
            at++;
            line_end(self, conn, now);
        }
    }
}

static void receive(load *self, connection *conn)
{
    static char chunk[READ_CHUNK];
    for (;;) {
        ssize_t got = recv(conn->fd, chunk, sizeof chunk, 0);
        if (got > 0) {
            take_bytes(self, conn, chunk, (size_t)got, clock_ns());
        }
        if (got == 0) {
            die("the server closed a connection; last error reply: %s", self->first_error);
        }
        if (got < 0 && errno != EAGAIN && errno != EINTR) {
            die("recv: %s", strerror(errno));
        }
        if (got < (ssize_t)sizeof chunk) {
            return;
        }
    }
}

static void send_pending(connection *conn)
{
    while (conn->out_sent < conn->out_len) {
        ssize_t sent = send(conn->fd, conn->out + conn->out_sent, conn->out_len - conn->out_sent,
                            MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EAGAIN || errno == EINTR || errno == ENOTCONN) {
                return;
            }
            die("send: %s", strerror(errno));
        }
        conn->out_sent += (size_t)sent;
    }
}

/* ---- the loop
 * ----------------------------------------------------------------------------------------- */

/* Processor time of the generator since the phase began: whether it was what limited the load. */
static double cpu_seconds(const load *self)
{
    return (double)(process_cpu_ns() - self->start_cpu_ns) / 1e9;
}

static void print_figures(const load *self, const histogram *hist, uint64_t ops, double seconds)
{
    printf("\"ops\":%llu,\"seconds\":%.6f,\"ops_per_second\":%.1f,", (unsigned long long)ops,
           seconds, seconds > 0 ? (double)ops / seconds : 0.0);
    printf("\"p50_us\":%.3f,\"p99_us\":%.3f,\"p999_us\":%.3f,\"p9999_us\":%.3f,\"max_us\":%.3f,",
           histogram_percentile_us(hist, 0.50), histogram_percentile_us(hist, 0.99),
           histogram_percentile_us(hist, 0.999), histogram_percentile_us(hist, 0.9999),
           (double)hist->max_ns / 1e3);
    printf("\"errors\":%llu,\"misses\":%llu,\"wrong\":%llu,\"refills\":%llu,",
           (unsigned long long)self->errors, (unsigned long long)self->misses,
           (unsigned long long)self->wrong, (unsigned long long)self->refills);
    printf("\"live_keys\":%llu,\"live_bytes\":%llu,\"cpu_seconds\":%.6f}\n",
           (unsigned long long)self->live_keys, (unsigned long long)self->live_bytes,
           cpu_seconds(self));
    fflush(stdout);
}

static void close_window(load *self, uint64_t now)
{
    printf("{\"type\":\"window\",\"index\":%llu,\"at_s\":%.6f,",
           (unsigned long long)self->window_index, (double)(now - self->start_ns) / 1e9);
    print_figures(self, &self->window, self->window_ops,
                  (double)(now - self->window_start_ns) / 1e9);
    memset(&self->window, 0, sizeof self->window);
    self->window_ops = 0;
    self->window_start_ns = now;
    self->window_index++;
}

static void check_window(load *self, uint64_t now)
{
    if (!self->measuring) {
        return;
    }
    bool by_time =
        self->opt.window_ms > 0 && now - self->window_start_ns >= self->opt.window_ms * NS_PER_MS;
    bool by_share =
        self->opt.windows > 0 && self->window_index < self->opt.windows &&
        self->completed >= self->count_now * (self->window_index + 1) / self->opt.windows;
    if (by_time || by_share) {
        close_window(self, now);
    }
}

static bool may_issue(const load *self, uint64_t now)
{
    bool count_left = self->count_now == 0 || self->issued < self->count_now;
    bool time_left = !self->measuring || self->opt.milliseconds == 0 ||
                     now - self->start_ns < self->opt.milliseconds * NS_PER_MS;
    return count_left && time_left;
}

/* Issues every request that is due by `now`; returns when the next one is. */
static uint64_t issue_due(load *self, uint64_t now)
{
    const options *opt = &self->opt;
    for (;;) {
        uint64_t due =
            self->start_ns + (uint64_t)((__uint128_t)self->issued * NS_PER_S / opt->rate);
        if (due > now || !may_issue(self, due) || self->outstanding >= OUTSTANDING_MAX) {
            return due;
        }
        histogram_add(&self->late, now - due);
        issue(self, &self->connections[self->issued % opt->clients], due);
    }
}

static void issue_closed(load *self, connection *conn)
{
    uint64_t now = clock_ns();
    for (uint64_t i = 0; i < self->opt.pipeline && may_issue(self, now); i++) {
        issue(self, conn, now);
    }
    send_pending(conn);
}

static int wait_for_events(load *self, struct epoll_event *events, int capacity, uint64_t next_due)
{
    if (self->measuring && self->opt.rate > 0 && !self->opt.sleep_between) {
        return epoll_wait(self->epoll_fd, events, capacity, 0);
    }
    uint64_t wait_ns = 100 * NS_PER_MS;
    bool blocked = self->outstanding >= OUTSTANDING_MAX || !may_issue(self, next_due);
    if (self->measuring && self->opt.rate > 0 && !(blocked && self->outstanding > 0)) {
        uint64_t now = clock_ns(); /* when blocked, a reply wakes us; else the next due time does */
        uint64_t until = next_due > now ? next_due - now : 0;
        wait_ns = until < wait_ns ? until : wait_ns;
    }
    struct timespec timeout = {.tv_sec = 0, .tv_nsec = (long)wait_ns};
    return epoll_pwait2(self->epoll_fd, events, capacity, &timeout, NULL);
}

static void loop(load *self)
{
    struct epoll_event events[256];
    bool open_loop = self->measuring && self->opt.rate > 0;
    for (;;) {
        uint64_t now = clock_ns();
        uint64_t next_due = now;
        if (open_loop) {
            next_due = issue_due(self, now);
            for (uint64_t i = 0; i < self->opt.clients; i++) {
                send_pending(&self->connections[i]);
            }
        }
        if (self->outstanding == 0 && !may_issue(self, now)) {
            return;
        }
        int ready = wait_for_events(self, events, 256, next_due);
        for (int i = 0; i < ready; i++) {
            connection *conn = &self->connections[events[i].data.u32];
            receive(self, conn);
            send_pending(conn);
            if (!open_loop && conn->ring_len == 0) {
                issue_closed(self, conn);
            }
        }
        now = clock_ns();
        check_window(self, now);
        if (self->outstanding > 0 && now - self->progress_ns > STALL_SECONDS * NS_PER_S) {
            die("no reply for %d seconds", STALL_SECONDS);
        }
    }
}

static void run_phase(load *self, bool measuring, uint64_t count, bool random_order)
{
    self->measuring = measuring;
    self->random_now = random_order;
    self->count_now = count;
    self->issued = self->completed = self->window_ops = 0;
    self->start_ns = self->window_start_ns = self->progress_ns = clock_ns();
    self->start_cpu_ns = process_cpu_ns();
    if (!measuring || self->opt.rate == 0) {
        for (uint64_t i = 0; i < self->opt.clients; i++) {
            issue_closed(self, &self->connections[i]);
        }
    }
    loop(self);
}

/* ---- start
 * -------------------------------------------------------------------------------------------- */

static void open_connections(load *self)
{
    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    self->connections = calloc(self->opt.clients, sizeof *self->connections);
    if (self->epoll_fd < 0 || self->connections == NULL) {
        die("cannot set up %llu connections", (unsigned long long)self->opt.clients);
    }
    for (uint32_t i = 0; i < self->opt.clients; i++) {
        connection *conn = &self->connections[i];
        conn->fd = connect_start((uint16_t)self->opt.port);
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = i};
        if (conn->fd < 0 || epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event) != 0) {
            die("cannot connect to port %llu", (unsigned long long)self->opt.port);
        }
    }
}

static void make_values(load *self)
{
    size_t len = self->opt.value_max * 2 + 1;
    self->values = must_realloc(NULL, len);
    for (size_t i = 0; i < len; i++) {
        self->values[i] = (char)('!' + random_between(self, 0, 90));
    }
    self->lengths = calloc(self->opt.keys, sizeof *self->lengths);
    if (self->lengths == NULL) {
        die("out of memory for %llu keys", (unsigned long long)self->opt.keys);
    }
}

static const struct {
    const char *name;
    size_t offset;
} number_options[] = {
    {"port", offsetof(options, port)},
    {"clients", offsetof(options, clients)},
    {"pipeline", offsetof(options, pipeline)},
    {"rate", offsetof(options, rate)},
    {"count", offsetof(options, count)},
    {"milliseconds", offsetof(options, milliseconds)},
    {"keys", offsetof(options, keys)},
    {"key-size", offsetof(options, key_size)},
    {"value-min", offsetof(options, value_min)},
    {"value-max", offsetof(options, value_max)},
    {"ttl-min-ms", offsetof(options, ttl_min_ms)},
    {"ttl-max-ms", offsetof(options, ttl_max_ms)},
    {"expire-from-unix-ms", offsetof(options, expire_from_ms)},
    {"expire-until-unix-ms", offsetof(options, expire_until_ms)},
    {"reads-percent", offsetof(options, reads_percent)},
    {"windows", offsetof(options, windows)},
    {"window-ms", offsetof(options, window_ms)},
    {"seed", offsetof(options, seed)},
    {"zipf", offsetof(options, zipf)},
    {"ranks", offsetof(options, ranks)},
};

static const struct {
    const char *name;
    size_t offset;
} flag_options[] = {
    {"random", offsetof(options, random_order)}, {"prefill", offsetof(options, prefill)},
    {"sleep", offsetof(options, sleep_between)}, {"ping", offsetof(options, ping)},
    {"scatter", offsetof(options, scatter)},     {"derived", offsetof(options, derived)},
    {"refill", offsetof(options, refill)},
};

static bool set_option(options *opt, const char *name, const char *value)
{
    for (size_t i = 0; i < sizeof number_options / sizeof *number_options; i++) {
        if (value != NULL && strcmp(name, number_options[i].name) == 0) {
            uint64_t number = parse_number(name, value);
            memcpy((char *)opt + number_options[i].offset, &number, sizeof number);
            return true;
        }
    }
    for (size_t i = 0; i < sizeof flag_options / sizeof *flag_options; i++) {
        if (value == NULL && strcmp(name, flag_options[i].name) == 0) {
            *((bool *)((char *)opt + flag_options[i].offset)) = true;
            return true;
        }
    }
    return false;
}

static options read_options(int argc, char **argv)
{
    options opt = {.clients = 50, .pipeline = 1, .keys = 1000000, .key_size = 16, .seed = 1};
    opt.value_min = opt.value_max = 64;
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (strcmp(name, "--memcached") == 0) {
            opt.protocol = PROTOCOL_MEMCACHED;
        } else if (strncmp(name, "--", 2) != 0) {
            die("unexpected argument '%s'", name);
        } else if (!set_option(&opt, name + 2, NULL)) {
            if (i + 1 >= argc || !set_option(&opt, name + 2, argv[i + 1])) {
                die("unknown option '%s', or its value is missing", name);
            }
            i++;
        }
    }
    opt.ranks = opt.ranks == 0 ? opt.keys : opt.ranks;
    return opt;
}

static void check_options(const options *opt)
{
    if (opt->port == 0 || opt->port > UINT16_MAX) {
        die("--port is needed, 1 to 65535");
    }
    if (opt->clients == 0 || opt->clients > CLIENTS_MAX || opt->pipeline == 0) {
        die("--clients is 1 to %d, --pipeline at least 1", CLIENTS_MAX);
    }
    if (opt->key_size < 5 || opt->key_size > 128 || opt->keys == 0 || opt->keys > UINT32_MAX) {
        die("--key-size is 5 to 128, --keys 1 to 4 billion");
    }
    if (opt->value_min > opt->value_max || opt->value_max > 512ULL * 1024 * 1024) {
        die("--value-min is at most --value-max, which is at most 512 MiB");
    }
    if (opt->ttl_min_ms > opt->ttl_max_ms || opt->expire_from_ms > opt->expire_until_ms) {
        die("the range of deadlines is upside down");
    }
    if (opt->ranks > opt->keys || opt->zipf == 100) {
        die("--ranks is at most --keys, --zipf anything but 100");
    }
    if (opt->protocol == PROTOCOL_MEMCACHED && (opt->derived || opt->refill)) {
        die("--derived and --refill need RESP");
    }
    if (opt->derived && opt->value_max == 0) {
        die("--derived needs values");
    }
    if (opt->count == 0 && opt->milliseconds == 0 && !opt->prefill) {
        die("--count or --milliseconds is needed");
    }
}

int main(int argc, char **argv)
{
    static load self;
    self.opt = read_options(argc, argv);
    check_options(&self.opt);
    self.random_state = self.opt.derived ? 1 : self.opt.seed; /* one pool for all processes */
    raise_file_limit();
    prctl(PR_SET_TIMERSLACK, 1UL); /* sleep until the due time, not 50 us past it */
    make_values(&self);
    self.random_state = self.opt.derived ? self.opt.seed : self.random_state;
    self.popularity = zipf_make(self.opt.ranks, (double)self.opt.zipf / 100.0);
    open_connections(&self);

    if (self.opt.prefill) {
        run_phase(&self, false, self.opt.keys, false);
        printf("{\"type\":\"filled\",\"live_keys\":%llu,\"live_bytes\":%llu}\n",
               (unsigned long long)self.live_keys, (unsigned long long)self.live_bytes);
        fflush(stdout);
    }
    if (self.opt.count > 0 || self.opt.milliseconds > 0) {
        run_phase(&self, true, self.opt.count, self.opt.random_order);
    }
    uint64_t now = clock_ns();
    if (self.window_ops > 0 && (self.opt.windows > 0 || self.opt.window_ms > 0)) {
        close_window(&self, now);
    }
    printf("{\"type\":\"result\",\"first_error\":\"");
    for (const char *at = self.first_error; *at != '\0'; at++) {
        putchar(*at == '"' || *at == '\\' || *at < ' ' ? '?' : *at);
    }
    printf("\",\"late_p99_us\":%.3f,", histogram_percentile_us(&self.late, 0.99));
    print_figures(&self, &self.all, self.all.total, (double)(now - self.start_ns) / 1e9);
    return 0;
}
