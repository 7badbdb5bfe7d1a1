/* See reactor.h.
 *
 * One round: wait for events; adopt new connections; resume sessions that were woken; receive from every readable connection
 * into one shared area; serve all their sessions together; send what they answered. Sockets are level-triggered.
 *
 * Sending: replies are sent straight from client.output. When the kernel takes only a part, the whole buffer moves to the
 * connection (`sending`, from `sending_at`), so that nothing is ever moved within it, and the rest goes out on EPOLLOUT.
 *
 * Threads: everything here belongs to the reactor's thread, but for `inbox` and the drain request (guarded by `mutex`), the
 * list of woken sessions (guarded by the engine's lock), the counter and the eventfd.
 */
#define _GNU_SOURCE
#include "net/reactor.h"

#include "base/assert.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 128
#define GROUP_MAX 64                 /* sessions served together */
#define RECEIVE_AREA (1024u * 1024u) /* shared by the connections of a group */
#define RECEIVE_MIN (16u * 1024u)    /* least space for one receive */
#define RECEIVE_MAX (64u * 1024u)    /* most bytes of one connection per round */
#define OUTPUT_KEPT (64u * 1024u)    /* a larger empty output buffer gives its memory back */
#define CRON_MS 1000

typedef struct connection {
    fe_session *session;
    fe_reactor *reactor;
    int fd;
    uint32_t events; /* what epoll watches */
    bool dead;       /* closed; freed at the end of the round */
    bool timed;      /* in the list of connections with a due time */
    fe_buf sending;
    size_t sending_at;
    struct connection *next, *previous;
    struct connection *timed_next;
    struct connection *dead_next;
} connection;

typedef struct newcomer {
    struct newcomer *next;
    int fd;
    bool unix_socket;
    size_t addr_len, laddr_len;
    uint8_t text[];
} newcomer;

struct fe_reactor {
    fe_server *server;
    pthread_t thread;
    int epoll_fd, event_fd;
    pthread_mutex_t mutex;
    newcomer *inbox; /* newest first */
    bool draining;
    int64_t drain_until_ms;
    int64_t deadline_ms; /* the thread's copy, once it drains */
    _Atomic uint32_t connection_count;
    fe_session *woken; /* guarded by the engine's lock */
    connection *first;
    connection *timed_first;
    connection *dead_first;
    uint64_t cron_due_ns;
    uint8_t *area;
    size_t area_used;
    fe_session *group[GROUP_MAX];
    uint32_t group_count;
    fe_batch batch;
};

static void ring(fe_reactor *reactor)
{
    uint64_t one = 1;
    ssize_t written = write(reactor->event_fd, &one, sizeof one);
    FE_ASSERT(written == (ssize_t)sizeof one || errno == EAGAIN);
}

/* fe_client.wake: the lock is held, any thread. */
static void wake(fe_client *client)
{
    fe_session *session = (fe_session *)client;
    if (session->woken) return;
    fe_reactor *reactor = ((connection *)session->transport)->reactor;
    session->woken = true;
    session->woken_next = reactor->woken;
    bool was_empty = reactor->woken == NULL;
    reactor->woken = session;
    if (was_empty) ring(reactor);
}

static void wake_nothing(fe_client *client)
{
    (void)client;
}

static void leave_timed(connection *it)
{
    if (!it->timed) return;
    connection **link = &it->reactor->timed_first;
    while (*link != it)
        link = &(*link)->timed_next;
    *link = it->timed_next;
    it->timed = false;
}

static void close_connection(connection *it)
{
    if (it->dead) return;
    fe_reactor *reactor = it->reactor;
    it->dead = true;
    leave_timed(it);
    fe_lock_enter(&reactor->server->engine->lock);
    if (it->session->woken) {
        fe_session **link = &reactor->woken;
        while (*link != NULL && *link != it->session)
            link = &(*link)->woken_next;
        if (*link != NULL) *link = it->session->woken_next;
    }
    it->session->client.wake = wake_nothing;
    fe_lock_leave(&reactor->server->engine->lock);
    fe_session_close(it->session);
    it->session = NULL;
    close(it->fd);
    fe_buf_free(&it->sending);
    if (it->previous != NULL)
        it->previous->next = it->next;
    else
        reactor->first = it->next;
    if (it->next != NULL) it->next->previous = it->previous;
    it->dead_next = reactor->dead_first;
    reactor->dead_first = it;
    atomic_fetch_sub_explicit(&reactor->connection_count, 1, memory_order_relaxed);
}

static void bury_dead(fe_reactor *reactor)
{
    while (reactor->dead_first != NULL) {
        connection *it = reactor->dead_first;
        reactor->dead_first = it->dead_next;
        fe_alloc_give(&reactor->server->engine->alloc, FE_ALLOC_CLIENT, it);
    }
}

/* Sends from `data`; returns the bytes that the kernel took, or -1 when the connection is broken. */
static ssize_t send_some(connection *it, const uint8_t *data, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t sent = send(it->fd, data + done, len - done, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == EWOULDBLOCK) break;
            return -1;
        }
        done += (size_t)sent;
    }
    it->session->writes++;
    it->session->sent += done;
    it->session->client.net_out += done;
    return (ssize_t)done;
}

/* Sends what waits; false when the connection is broken. */
static bool flush(connection *it)
{
    fe_buf *output = &it->session->client.output;
    for (;;) {
        if (it->sending.len > 0) {
            ssize_t sent =
                send_some(it, it->sending.data + it->sending_at, it->sending.len - it->sending_at);
            if (sent < 0) return false;
            it->sending_at += (size_t)sent;
            if (it->sending_at < it->sending.len) break;
            fe_buf_free(&it->sending);
            it->sending_at = 0;
        }
        if (output->len == 0) break;
        ssize_t sent = send_some(it, output->data, output->len);
        if (sent < 0) return false;
        if ((size_t)sent == output->len) {
            output->len = 0;
            if (output->cap > OUTPUT_KEPT) fe_buf_free(output);
            break;
        }
        fe_buf empty = it->sending;
        it->sending = *output;
        it->sending_at = (size_t)sent;
        *output = empty;
    }
    it->session->unsent = it->sending.len - it->sending_at;
    return true;
}

/* Makes epoll watch what the connection wants now. */
static void watch(connection *it)
{
    uint32_t events = 0;
    if (fe_session_wants_input(it->session) && !it->reactor->draining) events |= EPOLLIN;
    if (it->session->unsent > 0) events |= EPOLLOUT;
    if (events == it->events) return;
    struct epoll_event event = {.events = events, .data.ptr = it};
    int status = epoll_ctl(it->reactor->epoll_fd, EPOLL_CTL_MOD, it->fd, &event);
    FE_ASSERT(status == 0);
    it->events = events;
}

static void note_due(connection *it)
{
    int64_t due = it->session->due_ms;
    if (it->timed || it->session->state != FE_SESSION_PARKED || due == 0 || due == INT64_MAX)
        return;
    it->timed = true;
    it->timed_next = it->reactor->timed_first;
    it->reactor->timed_first = it;
}

/* After a session was served or resumed: sends, closes when it is over, and arms what comes next. A session that stopped for
 * its output goes on as soon as that has been sent. */
static void settle(connection *it)
{
    for (;;) {
        if (it->session->cut_off || !flush(it)) {
            close_connection(it);
            return;
        }
        fe_session *session = it->session;
        if (session->state == FE_SESSION_CLOSING && session->unsent == 0) {
            close_connection(it);
            return;
        }
        bool output_went = session->state == FE_SESSION_PARKED && session->park == FE_PARK_OUTPUT &&
                           session->unsent == 0;
        if (!output_went) break;
        fe_session_resume(session, &it->reactor->batch);
    }
    note_due(it);
    watch(it);
}

static void serve_group(fe_reactor *reactor)
{
    if (reactor->group_count == 0) return;
    fe_server_serve(reactor->server, &reactor->batch, reactor->group, reactor->group_count);
    for (uint32_t i = 0; i < reactor->group_count; i++)
        settle(reactor->group[i]->transport);
    reactor->group_count = 0;
    reactor->area_used = 0;
}

/* Receives once from a readable connection and puts its session into the group. */
static void receive(connection *it)
{
    fe_reactor *reactor = it->reactor;
    if (reactor->group_count == GROUP_MAX || RECEIVE_AREA - reactor->area_used < RECEIVE_MIN)
        serve_group(reactor);
    if (it->dead || !fe_session_wants_input(it->session)) return;
    size_t space;
    uint8_t *into = fe_session_input(it->session, &space);
    bool in_area = into == NULL;
    if (in_area) {
        into = reactor->area + reactor->area_used;
        space = RECEIVE_AREA - reactor->area_used;
        if (space > RECEIVE_MAX) space = RECEIVE_MAX;
    }
    ssize_t got = recv(it->fd, into, space, 0);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
    if (got <= 0) {
        close_connection(it);
        return;
    }
    if (in_area) reactor->area_used += ((size_t)got + 63u) & ~(size_t)63u;
    fe_session_receive(it->session, into, (size_t)got);
    reactor->group[reactor->group_count++] = it->session;
}

static void adopt(fe_reactor *reactor, const newcomer *guest)
{
    fe_alloc *alloc = &reactor->server->engine->alloc;
    connection *it = fe_alloc_take_zeroed(alloc, FE_ALLOC_CLIENT, sizeof *it);
    if (it == NULL) {
        close(guest->fd);
        atomic_fetch_sub_explicit(&reactor->connection_count, 1, memory_order_relaxed);
        return;
    }
    it->reactor = reactor;
    it->fd = guest->fd;
    it->events = EPOLLIN;
    fe_buf_init(&it->sending, alloc, FE_ALLOC_CLIENT);
    it->session = fe_session_open(reactor->server, (fe_bytes){guest->text, guest->addr_len},
                                  (fe_bytes){guest->text + guest->addr_len, guest->laddr_len},
                                  guest->unix_socket, guest->fd, wake, it);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = it};
    if (it->session == NULL || epoll_ctl(reactor->epoll_fd, EPOLL_CTL_ADD, it->fd, &event) != 0) {
        if (it->session != NULL) fe_session_close(it->session);
        close(guest->fd);
        fe_alloc_give(alloc, FE_ALLOC_CLIENT, it);
        atomic_fetch_sub_explicit(&reactor->connection_count, 1, memory_order_relaxed);
        return;
    }
    it->next = reactor->first;
    if (reactor->first != NULL) reactor->first->previous = it;
    reactor->first = it;
}

static void adopt_newcomers(fe_reactor *reactor)
{
    pthread_mutex_lock(&reactor->mutex);
    newcomer *newest = reactor->inbox;
    reactor->inbox = NULL;
    pthread_mutex_unlock(&reactor->mutex);
    newcomer *oldest = NULL;
    while (newest != NULL) {
        newcomer *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        newcomer *next = oldest->next;
        adopt(reactor, oldest);
        fe_alloc_give(&reactor->server->engine->alloc, FE_ALLOC_CLIENT, oldest);
        oldest = next;
    }
}

static void resume_woken(fe_reactor *reactor)
{
    for (;;) {
        fe_lock_enter(&reactor->server->engine->lock);
        fe_session *session = reactor->woken;
        if (session != NULL) {
            reactor->woken = session->woken_next;
            session->woken = false;
        }
        fe_lock_leave(&reactor->server->engine->lock);
        if (session == NULL) return;
        connection *it = session->transport;
        fe_session_resume(session, &reactor->batch);
        settle(it);
    }
}

static void resume_due(fe_reactor *reactor)
{
    if (reactor->timed_first == NULL) return;
    int64_t now_ms = fe_clock_wall_ms();
    connection *it = reactor->timed_first;
    while (it != NULL) {
        connection *next = it->timed_next;
        fe_session *session = it->session;
        bool waiting = session->state == FE_SESSION_PARKED && session->due_ms != 0;
        if (!waiting || session->due_ms <= now_ms) {
            leave_timed(it);
            if (waiting) {
                fe_session_resume(session, &reactor->batch);
                settle(it);
                next = reactor->timed_first; /* settling may have changed the list: look again */
                if (next == it) next = it->timed_next;
            }
        }
        it = next;
    }
}

static void cron(fe_reactor *reactor)
{
    uint64_t now_ns = fe_clock_monotonic_ns();
    if (now_ns < reactor->cron_due_ns) return;
    reactor->cron_due_ns = now_ns + CRON_MS * 1000000ull;
    for (connection *it = reactor->first, *next; it != NULL; it = next) {
        next = it->next;
        fe_session_cron(it->session);
        settle(it);
    }
}

/* Milliseconds until the next thing that must happen without an event. */
static int wait_ms(const fe_reactor *reactor)
{
    int64_t wait = CRON_MS;
    if (reactor->draining) wait = 5;
    if (reactor->timed_first != NULL) {
        int64_t now_ms = fe_clock_wall_ms();
        for (const connection *it = reactor->timed_first; it != NULL; it = it->timed_next)
            if (it->session->due_ms - now_ms < wait) wait = it->session->due_ms - now_ms;
    }
    return wait < 0 ? 0 : (int)wait;
}

static void start_draining(fe_reactor *reactor)
{
    for (connection *it = reactor->first, *next; it != NULL; it = next) {
        next = it->next;
        receive(it);
    }
    serve_group(reactor);
    reactor->draining = true;
    for (connection *it = reactor->first, *next; it != NULL; it = next) {
        next = it->next;
        watch(it);
    }
}

/* Whether the reactor may end: every answer has been sent, or the deadline has passed. */
static bool is_drained(fe_reactor *reactor)
{
    bool over = fe_clock_wall_ms() >= reactor->deadline_ms;
    for (connection *it = reactor->first, *next; it != NULL; it = next) {
        next = it->next;
        const fe_session *session = it->session;
        bool busy = session->unsent > 0 ||
                    (session->state == FE_SESSION_PARKED && session->park == FE_PARK_PYTHON);
        if (over || !busy) close_connection(it);
    }
    return reactor->first == NULL;
}

static bool drain_asked(fe_reactor *reactor)
{
    pthread_mutex_lock(&reactor->mutex);
    reactor->deadline_ms = reactor->drain_until_ms;
    pthread_mutex_unlock(&reactor->mutex);
    return reactor->deadline_ms != 0;
}

static void handle_events(fe_reactor *reactor, const struct epoll_event *events, int count)
{
    bool rung = false;
    for (int i = 0; i < count; i++) {
        connection *it = events[i].data.ptr;
        if (it == NULL) {
            uint64_t rings;
            ssize_t got = read(reactor->event_fd, &rings, sizeof rings);
            FE_ASSERT(got == (ssize_t)sizeof rings || errno == EAGAIN);
            rung = true;
            continue;
        }
        if (it->dead) continue;
        if (events[i].events & EPOLLOUT) settle(it);
        if (it->dead) continue;
        bool broken = (events[i].events & (EPOLLERR | EPOLLHUP)) != 0;
        if (events[i].events & EPOLLIN)
            receive(it);
        else if (broken)
            close_connection(it);
    }
    serve_group(reactor);
    if (!rung) return;
    /* Only now: a woken session may be closed, which it must not be while it is in the group. */
    adopt_newcomers(reactor);
    resume_woken(reactor);
}

static void *run(void *argument)
{
    fe_reactor *reactor = argument;
    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int count = epoll_wait(reactor->epoll_fd, events, EVENTS_MAX, wait_ms(reactor));
        FE_ASSERT(count >= 0 || errno == EINTR);
        if (count > 0) handle_events(reactor, events, count);
        resume_due(reactor);
        cron(reactor);
        bury_dead(reactor);
        if (!reactor->draining && drain_asked(reactor)) {
            adopt_newcomers(reactor);
            start_draining(reactor);
        }
        if (reactor->draining && is_drained(reactor)) break;
    }
    bury_dead(reactor);
    return NULL;
}

static void free_reactor(fe_reactor *reactor)
{
    fe_alloc *alloc = &reactor->server->engine->alloc;
    if (reactor->epoll_fd >= 0) close(reactor->epoll_fd);
    if (reactor->event_fd >= 0) close(reactor->event_fd);
    pthread_mutex_destroy(&reactor->mutex);
    fe_alloc_give(alloc, FE_ALLOC_CLIENT, reactor->area);
    fe_alloc_give(alloc, FE_ALLOC_CLIENT, reactor);
}

fe_reactor *fe_reactor_start(fe_server *server, uint32_t number)
{
    fe_alloc *alloc = &server->engine->alloc;
    fe_reactor *reactor = fe_alloc_take_zeroed(alloc, FE_ALLOC_CLIENT, sizeof *reactor);
    if (reactor == NULL) return NULL;
    reactor->server = server;
    pthread_mutex_init(&reactor->mutex, NULL);
    reactor->area = fe_alloc_take(alloc, FE_ALLOC_CLIENT, RECEIVE_AREA);
    reactor->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    reactor->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (reactor->area == NULL || reactor->epoll_fd < 0 || reactor->event_fd < 0 ||
        epoll_ctl(reactor->epoll_fd, EPOLL_CTL_ADD, reactor->event_fd, &event) != 0 ||
        pthread_create(&reactor->thread, NULL, run, reactor) != 0) {
        free_reactor(reactor);
        return NULL;
    }
    char name[16];
    snprintf(name, sizeof name, "reactor-%u", number % 1000);
    pthread_setname_np(reactor->thread, name);
    return reactor;
}

bool fe_reactor_adopt(fe_reactor *reactor, int fd, fe_bytes addr, fe_bytes laddr, bool unix_socket)
{
    newcomer *guest = fe_alloc_take(&reactor->server->engine->alloc, FE_ALLOC_CLIENT,
                                    sizeof *guest + addr.len + laddr.len);
    if (guest == NULL) return false;
    *guest = (newcomer){
        .fd = fd, .unix_socket = unix_socket, .addr_len = addr.len, .laddr_len = laddr.len};
    if (addr.len > 0) memcpy(guest->text, addr.ptr, addr.len);
    if (laddr.len > 0) memcpy(guest->text + addr.len, laddr.ptr, laddr.len);
    pthread_mutex_lock(&reactor->mutex);
    bool stopping = reactor->drain_until_ms != 0;
    if (!stopping) {
        guest->next = reactor->inbox;
        reactor->inbox = guest;
        /* Counted from here on, so that maxclients and the choice of a reactor see it at once. */
        atomic_fetch_add_explicit(&reactor->connection_count, 1, memory_order_relaxed);
        ring(reactor);
    }
    pthread_mutex_unlock(&reactor->mutex);
    if (stopping) fe_alloc_give(&reactor->server->engine->alloc, FE_ALLOC_CLIENT, guest);
    return !stopping;
}

void fe_reactor_drain(fe_reactor *reactor, uint32_t deadline_ms)
{
    pthread_mutex_lock(&reactor->mutex);
    reactor->drain_until_ms = fe_clock_wall_ms() + deadline_ms;
    pthread_mutex_unlock(&reactor->mutex);
    ring(reactor);
}

void fe_reactor_join(fe_reactor *reactor)
{
    pthread_join(reactor->thread, NULL);
    free_reactor(reactor);
}

uint32_t fe_reactor_connections(fe_reactor *reactor)
{
    return atomic_load_explicit(&reactor->connection_count, memory_order_relaxed);
}
