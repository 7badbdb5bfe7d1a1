/* hostile: many connections that behave badly, for a bounded time, on loopback only.
 *
 * A third of them each:
 *   half-open   begin a request and never go on;
 *   slow        send a valid stream one byte a second;
 *   giant       announce huge lengths (legal and illegal in turn), send a little of the payload,
 * and stop. A connection that the server closes comes back after a second: a refusal must stay
 * cheap for the server.
 *
 * Time is cut into ticks of 1 ms; connection i acts in tick i * 1000 / N of every second, so the
 * load is even.
 *
 *   fd < 0 (closed) --act--> connecting --writable: opening sent--> open --server closes--> closed
 *
 * Output: one JSON object a line: "ready" when the first round of connections is made, then a
 * "window" a second. One thread, of the lowest policy (SCHED_IDLE). */
#include "wire.h"

#include <sched.h>
#include <sys/epoll.h>

enum { TICKS_PER_SECOND = 1000, EVENTS_MAX = 512, DRAIN_BYTES = 16 * 1024, PAYLOAD_BYTES = 1024 };
enum { RAMP_MS = 2000 };

typedef enum { HALF_OPEN, SLOW, GIANT, KIND_COUNT } behaviour;

typedef struct {
    int fd;      /* -1 when closed */
    bool opened; /* its opening bytes are sent */
    size_t slow_at;
} attacker;

typedef struct {
    uint16_t port;
    uint32_t count;
    uint64_t milliseconds;
    attacker *attackers;
    int epoll_fd;
    uint64_t closed_by_server, connects, sends;
} attack;

static const char slow_stream[] =
    "*3\r\n$3\r\nSET\r\n$12\r\nhostile:slow\r\n$4\r\nbyte\r\n*1\r\n$4\r\nPING\r\n";

static const char *const giant_openings[] = {
    "*3\r\n$3\r\nSET\r\n$13\r\nhostile:giant\r\n$536870912\r\n", /* legal: the largest bulk */
    "*2147483647\r\n",                                           /* illegal: too many arguments */
    "*1048576\r\n$3\r\nDEL\r\n$16777216\r\n", /* legal: many arguments, a large one */
    "*2\r\n$3\r\nGET\r\n$99999999999\r\n",    /* illegal: bulk too long */
};
enum { GIANT_OPENINGS = sizeof giant_openings / sizeof *giant_openings };

static behaviour behaviour_of(uint32_t index)
{
    return (behaviour)(index % KIND_COUNT);
}

static void attacker_close(attack *self, attacker *one)
{
    close(one->fd);
    one->fd = -1;
    self->closed_by_server++;
}

/* Sends what fits; a server that pushes back is left alone. */
static void attacker_send(attack *self, attacker *one, const char *bytes, size_t len)
{
    ssize_t sent = send(one->fd, bytes, len, MSG_NOSIGNAL);
    if (sent > 0) {
        self->sends++;
    } else if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        attacker_close(self, one);
    }
}

static void send_opening(attack *self, attacker *one, uint32_t index)
{
    static const char half_open[] = "*3\r\n$3\r\nSET\r\n$17\r\nhostile:half-";
    one->opened = true;
    switch (behaviour_of(index)) {
    case HALF_OPEN: attacker_send(self, one, half_open, sizeof half_open - 1); break;
    case GIANT: {
        char bytes[256 + PAYLOAD_BYTES];
        const char *opening = giant_openings[(index / KIND_COUNT) % GIANT_OPENINGS];
        size_t len = strlen(opening);
        memset(bytes, 'x', sizeof bytes);
        memcpy(bytes, opening, len);
        attacker_send(self, one, bytes, len + PAYLOAD_BYTES);
        break;
    }
    case SLOW:
    default: break; /* its bytes come one a second */
    }
}

static void attacker_open(attack *self, uint32_t index)
{
    attacker *one = &self->attackers[index];
    one->opened = false;
    one->slow_at = 0;
    one->fd = connect_start(self->port);
    if (one->fd < 0) {
        return;
    }
    self->connects++;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP,
                                .data.u32 = index};
    if (epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, one->fd, &event) != 0) {
        die("epoll_ctl: %s", strerror(errno));
    }
}

/* What a connection does once a second. */
static void attacker_act(attack *self, uint32_t index)
{
    attacker *one = &self->attackers[index];
    if (one->fd < 0) {
        attacker_open(self, index);
    } else if (one->opened && behaviour_of(index) == SLOW) {
        attacker_send(self, one, slow_stream + one->slow_at, 1);
        one->slow_at = (one->slow_at + 1) % (sizeof slow_stream - 1);
    }
}

static void attacker_event(attack *self, uint32_t index, uint32_t events)
{
    attacker *one = &self->attackers[index];
    char drained[DRAIN_BYTES];
    if (one->fd < 0) {
        return;
    }
    if ((events & EPOLLOUT) != 0 && !one->opened) {
        send_opening(self, one, index);
    }
    while (one->fd >= 0 && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
        ssize_t got = recv(one->fd, drained, sizeof drained, 0);
        if (got < 0 && errno == EAGAIN) {
            return; /* only now: the end of the stream may share its edge with the last reply */
        }
        if (got == 0 || (got < 0 && errno != EINTR)) {
            attacker_close(self, one);
        }
    }
}

static void poll_events(attack *self, int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int ready = epoll_wait(self->epoll_fd, events, EVENTS_MAX, timeout_ms);
    for (int i = 0; i < ready; i++) {
        attacker_event(self, events[i].data.u32, events[i].events);
    }
}

static void report(const attack *self, const char *type, uint64_t since_ns)
{
    uint32_t open_now = 0;
    for (uint32_t i = 0; i < self->count; i++) {
        open_now += self->attackers[i].fd >= 0 && self->attackers[i].opened;
    }
    printf("{\"type\":\"%s\",\"at_s\":%.3f,\"open\":%u,\"closed_by_server\":%llu,\"connects\":%llu,"
           "\"sends\":%llu}\n",
           type, (double)(clock_ns() - since_ns) / 1e9, open_now,
           (unsigned long long)self->closed_by_server, (unsigned long long)self->connects,
           (unsigned long long)self->sends);
    fflush(stdout);
}

/* Opens all connections over RAMP_MS, then lets each act once a second. */
static void run(attack *self)
{
    uint64_t start = clock_ns();
    for (uint32_t opened = 0; opened < self->count;) {
        uint64_t due = (clock_ns() - start) / NS_PER_MS * self->count / RAMP_MS;
        for (; opened < self->count && opened < due; opened++) {
            attacker_open(self, opened);
        }
        poll_events(self, 1);
    }
    report(self, "ready", start);

    uint64_t ready = clock_ns();
    uint64_t tick = 0;
    for (; tick < self->milliseconds; tick++) {
        uint64_t slot = tick % TICKS_PER_SECOND;
        uint32_t from = (uint32_t)(slot * self->count / TICKS_PER_SECOND);
        uint32_t until = (uint32_t)((slot + 1) * self->count / TICKS_PER_SECOND);
        for (uint32_t i = from; i < until; i++) {
            attacker_act(self, i);
        }
        poll_events(self, 0);
        if (slot == TICKS_PER_SECOND - 1) {
            report(self, "window", ready);
        }
        while (clock_ns() - ready < (tick + 1) * NS_PER_MS) {
            poll_events(self, 1);
        }
    }
}

int main(int argc, char **argv)
{
    static attack self;
    if (argc != 4) {
        die("usage: hostile PORT CONNECTIONS MILLISECONDS");
    }
    /* The healthy client shares this core: its wait for it would count as the server's. What the hostile ones still do is
     * counted in `connects` and `sends`. */
    struct sched_param none = {0};
    if (sched_setscheduler(0, SCHED_IDLE, &none) != 0) {
        die("sched_setscheduler: %s", strerror(errno));
    }
    self.port = (uint16_t)parse_number("port", argv[1]);
    self.count = (uint32_t)parse_number("connections", argv[2]);
    self.milliseconds = parse_number("milliseconds", argv[3]);
    uint64_t files = raise_file_limit();
    if (files < (uint64_t)self.count + 16) {
        die("%u connections need more than the %llu open files allowed here", self.count,
            (unsigned long long)files);
    }
    self.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    self.attackers = calloc(self.count, sizeof *self.attackers);
    if (self.epoll_fd < 0 || self.attackers == NULL) {
        die("cannot set up %u connections", self.count);
    }
    for (uint32_t i = 0; i < self.count; i++) {
        self.attackers[i].fd = -1;
    }
    run(&self);
    return 0;
}
