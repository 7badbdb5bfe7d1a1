/* See reactor.h.
 *
 * One round: wait for events; adopt new connections; resume sessions that were woken; receive from every readable connection
 * into one shared area; serve all their sessions together; send what they answered. Sockets are level-triggered.
 *
 * Sending: replies are sent straight from client.output. When the kernel takes only a part, or when a loan belongs into them,
 * the whole buffer moves to the connection (`sending`, from `sending_at`), so that nothing is ever moved within it, and the rest
 * goes out on EPOLLOUT.
 *
 * Threads: everything here belongs to the reactor's thread, but for `inbox` and the drain request (guarded by `mutex`), the
 * list of woken sessions (guarded by the engine's lock), the counter and the eventfd.
 */
#define _GNU_SOURCE
#include "net/reactor.h"

#include "base/assert.h"
#include "net/slice.h"
#include "session/trace.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 128
#define RECEIVE_AREA (1024u * 1024u) /* shared by the connections of a group */
#define RECEIVE_MIN (16u * 1024u)    /* least space for one receive */
#define RECEIVE_MAX (64u * 1024u)    /* most bytes of one connection per round, bodies apart */
#define OUTPUT_KEPT (64u * 1024u)    /* a larger empty output buffer gives its memory back */
#define SEND_MAX                                                                                   \
    (1024u * 1024u)  /* most bytes sent to one connection before others have their turn */
#define CRON_MS 1000 /* how often each connection is looked at */
#define CRON_BATCH                                                                                 \
    64 /* connections looked at in one round: thousands at once would stall the others for milliseconds */
#define WOKEN_MAX 64   /* woken sessions resumed in a round ... */
#define WOKEN_GROUP 16 /* ... so many at a time, each of whom waits for the others' replies */
#define START_AFTER                                                                                \
    (256u * 1024u)        /* bytes sent after which the disk reads of the round no longer wait */
#define RESUMES_MAX 2     /* times in a round that a session goes on because its output went */
#define FAREWELL_READS 64 /* receives of bytes that nobody wants, before a close */
#define FAREWELL_BYTES 16384

typedef struct connection {
    fe_session *session;
    fe_reactor *reactor;
    int fd;
    uint32_t events; /* what epoll watches */
    bool dead;       /* closed; freed at the end of the round */
    bool eof;        /* the peer sends no more */
    bool input_done; /* eof, or nothing more had come when the reactor drained */
    bool timed;      /* in the list of connections with a due time */
    fe_buf sending;
    size_t sending_at;
    bool sends_loan; /* the session's loan has its place in `sending` */
    struct connection *next, *previous;
    struct connection *timed_next, *timed_previous;
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
    pthread_t self; /* the same, written by the thread itself before it adopts a connection */
    int epoll_fd, event_fd;
    pthread_mutex_t mutex;
    newcomer *inbox; /* newest first */
    bool draining;
    int64_t drain_until_ms; /* all times are of the monotonic clock */
    int64_t deadline_ms;    /* the thread's copy, once it drains */
    _Atomic uint32_t connection_count;
    _Atomic uint32_t overdue;       /* see fe_reactor_overdue */
    fe_session *woken, *woken_last; /* oldest first; guarded by the engine's lock */
    connection *first;
    connection *timed_first;
    int64_t next_due_ms; /* no timed session is due before; INT64_MAX without any */
    connection *dead_first;
    connection *cron_next; /* who is looked at next; NULL = `first` */
    uint64_t cron_due_ticks, cron_ticks;
    int cron_wait_ms; /* between two rounds that look at some */
    bool rung;        /* the eventfd was, in this round */
    bool woke_here;   /* this thread itself has woken a session */
    bool timed_out;   /* in this round: nothing has woken this thread */
    bool reads_left;  /* more disk reads may be done than this round had time for */
    uint8_t *area;
    size_t area_used;
    fe_session *group[FE_GROUP_MAX];
    uint32_t group_count;
    uint64_t sent;         /* bytes since disk reads were last started */
    fe_recorder *recorder; /* the engine's */
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
    session->woken_next = NULL;
    bool was_empty = reactor->woken == NULL;
    if (was_empty)
        reactor->woken = session;
    else
        reactor->woken_last->woken_next = session;
    reactor->woken_last = session;
    if (!was_empty) return;
    if (pthread_equal(pthread_self(), reactor->self))
        reactor->woke_here = true;
    else
        ring(reactor);
}

static void wake_nothing(fe_client *client)
{
    (void)client;
}

static void leave_timed(connection *it)
{
    if (!it->timed) return;
    if (it->timed_previous != NULL)
        it->timed_previous->timed_next = it->timed_next;
    else
        it->reactor->timed_first = it->timed_next;
    if (it->timed_next != NULL) it->timed_next->timed_previous = it->timed_previous;
    it->timed = false;
}

/* The lock is held. */
static void leave_woken(fe_reactor *reactor, fe_session *session)
{
    if (!session->woken) return;
    fe_session *before = NULL;
    for (fe_session *at = reactor->woken; at != session; at = at->woken_next)
        before = at;
    if (before != NULL)
        before->woken_next = session->woken_next;
    else
        reactor->woken = session->woken_next;
    if (reactor->woken_last == session) reactor->woken_last = before;
    session->woken = false;
}

static void close_connection(connection *it)
{
    if (it->dead) return;
    fe_reactor *reactor = it->reactor;
    it->dead = true;
    leave_timed(it);
    fe_lock_enter(&reactor->server->engine->lock);
    leave_woken(reactor, it->session);
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
    if (reactor->cron_next == it) reactor->cron_next = it->next;
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
    if (len > SEND_MAX) len = SEND_MAX;
    while (done < len) {
        ssize_t sent = send(it->fd, data + done, len - done, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == EWOULDBLOCK) break;
            return -1;
        }
        done += (size_t)sent;
    }
    it->session->writes += done > 0;
    it->session->sent += done;
    it->reactor->sent += done;
    it->session->client.net_out += done;
    return (ssize_t)done;
}

typedef enum progress { SENT_ALL, SENT_PART, SENT_BROKEN } progress;

/* Sends what is in `sending` before `end`. */
static progress send_until(connection *it, size_t end)
{
    if (it->sending_at == end) return SENT_ALL;
    ssize_t sent = send_some(it, it->sending.data + it->sending_at, end - it->sending_at);
    if (sent < 0) return SENT_BROKEN;
    it->sending_at += (size_t)sent;
    return it->sending_at == end ? SENT_ALL : SENT_PART;
}

/* Sends of the loan as much as others have time for. */
static progress send_loan(connection *it)
{
    fe_loan *loan = &it->session->loan;
    ssize_t sent = send_some(it, loan->ptr + loan->sent, loan->len - loan->sent);
    if (sent < 0) return SENT_BROKEN;
    loan->sent += (size_t)sent;
    if (loan->sent < loan->len) return SENT_PART;
    fe_session_return_loan(it->session);
    return SENT_ALL;
}

/* Sends what is in `sending`, and the loan in its place. */
static progress send_waiting(connection *it)
{
    progress made = SENT_ALL;
    if (it->sends_loan) {
        made = send_until(it, it->session->loan.at);
        if (made == SENT_ALL) made = send_loan(it);
        if (made != SENT_ALL) return made;
        it->sends_loan = false;
    }
    made = send_until(it, it->sending.len);
    if (made != SENT_ALL) return made;
    fe_buf_free(&it->sending);
    it->sending_at = 0;
    return SENT_ALL;
}

/* The output is what waits from now on; of it, `sent` bytes do not wait any more. */
static void move_output(connection *it, size_t sent)
{
    fe_buf empty = it->sending;
    it->sending = it->session->client.output;
    it->sending_at = sent;
    it->session->client.output = empty;
}

/* Sends what there is; false when the connection is broken. */
static bool flush(connection *it)
{
    fe_buf *output = &it->session->client.output;
    for (;;) {
        progress made = it->sending.len > 0 ? send_waiting(it) : SENT_ALL;
        if (made == SENT_BROKEN) return false;
        if (made == SENT_PART || output->len == 0) break;
        if (FE_UNLIKELY(fe_loan_is_open(&it->session->loan))) {
            move_output(it, 0);
            it->sends_loan = true;
            continue;
        }
        ssize_t sent = send_some(it, output->data, output->len);
        if (sent < 0) return false;
        if ((size_t)sent == output->len) {
            output->len = 0;
            if (output->cap > OUTPUT_KEPT) fe_buf_free(output);
            break;
        }
        move_output(it, (size_t)sent);
    }
    it->session->unsent = it->sending.len - it->sending_at;
    fe_trace_sent(it->session);
    return true;
}

static bool waits_for(const fe_session *session, fe_park_reason reason)
{
    return session->state == FE_SESSION_PARKED && session->park == reason;
}

/* Whether what has been received will still be answered, by Python, after another's exclusive hold (a pause without an end),
 * or when the reader has taken what there is. */
static bool owes_replies(const fe_session *session)
{
    return fe_session_unsent(session) > 0 || waits_for(session, FE_PARK_PYTHON) ||
           waits_for(session, FE_PARK_OUTPUT) || waits_for(session, FE_PARK_DISK) ||
           waits_for(session, FE_PARK_ROOM) ||
           (waits_for(session, FE_PARK_PAUSE) && session->due_ms == 0);
}

/* Before the close of a connection whose replies were sent: a close with unread bytes would make the kernel reset the
 * connection, and the peer lose replies that it has not read. */
static void say_farewell(const connection *it)
{
    uint8_t unwanted[FAREWELL_BYTES];
    shutdown(it->fd, SHUT_WR);
    for (int i = 0; !it->eof && i < FAREWELL_READS; i++)
        if (recv(it->fd, unwanted, sizeof unwanted, MSG_DONTWAIT) <= 0) return;
}

/* Makes epoll watch what the connection wants now. */
static void watch(connection *it)
{
    uint32_t events = 0;
    if (!it->input_done && fe_session_wants_input(it->session)) events |= EPOLLIN;
    bool sends = fe_session_unsent(it->session) > 0 || waits_for(it->session, FE_PARK_OUTPUT);
    if (sends) events |= EPOLLOUT;
    if (events == it->events) return;
    struct epoll_event event = {.events = events, .data.ptr = it};
    int status = epoll_ctl(it->reactor->epoll_fd, EPOLL_CTL_MOD, it->fd, &event);
    FE_ASSERT(status == 0);
    it->events = events;
}

static void note_due(connection *it)
{
    int64_t due = it->session->due_ms;
    if (it->session->state != FE_SESSION_PARKED || due == 0 || due == INT64_MAX) return;
    fe_reactor *reactor = it->reactor;
    if (due < reactor->next_due_ms) reactor->next_due_ms = due;
    if (it->timed) return;
    it->timed = true;
    it->timed_previous = NULL;
    it->timed_next = reactor->timed_first;
    if (it->timed_next != NULL) it->timed_next->timed_previous = it;
    reactor->timed_first = it;
}

/* After a session was served or resumed: sends, closes when it is over, and arms what comes next. A session that stopped for
 * its output goes on as soon as that has been sent, in a later round when it does so again and again. */
static void settle(connection *it)
{
    for (uint32_t resumes = 0;; resumes++) {
        if (it->session->cut_off || !flush(it)) {
            close_connection(it);
            return;
        }
        fe_session *session = it->session;
        bool over = session->state == FE_SESSION_CLOSING || (it->eof && !owes_replies(session));
        bool all_sent = fe_session_unsent(session) == 0;
        if (over && all_sent) {
            say_farewell(it);
            close_connection(it);
            return;
        }
        bool output_went = all_sent && waits_for(session, FE_PARK_OUTPUT);
        if (!output_went || resumes == RESUMES_MAX) break;
        fe_session_resume(session, &it->reactor->batch);
        it->reactor->sent += START_AFTER; /* it has run commands: that took its time */
    }
    note_due(it);
    watch(it);
}

static void start_reads(fe_reactor *reactor)
{
    fe_server_start_reads(reactor->server, &reactor->batch);
    reactor->sent = 0;
}

/* Replies go first, for starting reads takes longer than a client of a hot key should wait. But reads hold places of the
 * disk, so they do not wait for much sending. */
static void serve_group(fe_reactor *reactor)
{
    if (reactor->group_count == 0) return;
    fe_server_serve_first(reactor->server, &reactor->batch, reactor->group, reactor->group_count);
    reactor->sent = 0;
    for (uint32_t i = 0; i < reactor->group_count; i++) {
        settle(reactor->group[i]->transport);
        if (FE_UNLIKELY(reactor->sent >= START_AFTER)) start_reads(reactor);
    }
    fe_stages *stages = &reactor->recorder->stages;
    if (FE_UNLIKELY(stages->awaits_sent)) fe_stages_sent(stages, fe_clock_ticks());
    start_reads(reactor);
    reactor->group_count = 0;
    reactor->area_used = 0;
}

/* Receives once from a readable connection and puts its session into the group. */
static void receive(connection *it)
{
    fe_reactor *reactor = it->reactor;
    if (reactor->group_count == FE_GROUP_MAX || RECEIVE_AREA - reactor->area_used < RECEIVE_MIN)
        serve_group(reactor);
    if (it->dead || it->input_done || !fe_session_wants_input(it->session)) return;
    size_t space;
    uint8_t *into = fe_session_input(it->session, &space);
    bool in_area = into == NULL;
    if (in_area) {
        into = reactor->area + reactor->area_used;
        space = RECEIVE_AREA - reactor->area_used;
        if (space > RECEIVE_MAX) space = RECEIVE_MAX;
    }
    ssize_t got = recv(it->fd, into, space, 0);
    if (got < 0 && errno == EINTR) return;
    bool nothing = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    if (nothing && !reactor->draining) return;
    if (nothing || (got == 0 && owes_replies(it->session))) {
        it->eof = got == 0;
        it->input_done = true;
        watch(it);
        return;
    }
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
    /* The session comes last: once it is in the register, other threads may wake it. */
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = it};
    bool watched = epoll_ctl(reactor->epoll_fd, EPOLL_CTL_ADD, it->fd, &event) == 0;
    if (watched)
        it->session = fe_session_open(reactor->server, (fe_bytes){guest->text, guest->addr_len},
                                      (fe_bytes){guest->text + guest->addr_len, guest->laddr_len},
                                      guest->unix_socket, guest->fd, wake, it);
    if (it->session == NULL) {
        if (watched) epoll_ctl(reactor->epoll_fd, EPOLL_CTL_DEL, it->fd, &event);
        close(guest->fd);
        fe_alloc_give(alloc, FE_ALLOC_CLIENT, it);
        atomic_fetch_sub_explicit(&reactor->connection_count, 1, memory_order_relaxed);
        return;
    }
    it->session->recorder = reactor->recorder;
    it->session->lends = true;
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

/* Takes the oldest woken sessions out of their list, and returns how many. */
static uint32_t take_woken(fe_reactor *reactor, fe_session *woken[WOKEN_GROUP])
{
    uint32_t count = 0;
    fe_lock_enter(&reactor->server->engine->lock);
    while (reactor->woken != NULL && count < WOKEN_GROUP) {
        woken[count] = reactor->woken;
        leave_woken(reactor, woken[count++]);
    }
    fe_lock_leave(&reactor->server->engine->lock);
    return count;
}

/* Resumes the oldest woken sessions, some together. Others may wake as fast as this resumes (a MONITOR), so a round has an
 * end. */
static void resume_woken(fe_reactor *reactor)
{
    for (uint32_t done = 0, count; done < WOKEN_MAX; done += count) {
        fe_session *woken[WOKEN_GROUP];
        count = take_woken(reactor, woken);
        if (count == 0) return;
        fe_server_resume(reactor->server, &reactor->batch, woken, count);
        for (uint32_t i = 0; i < count; i++)
            settle(woken[i]->transport);
        if (count < WOKEN_GROUP)
            return; /* whoever was woken since is in a list that was empty: it has rung */
    }
    reactor->woke_here = true;
}

/* Takes the sessions that are due out of the list, linked by timed_next, and notes when the next one is. */
static connection *take_due(fe_reactor *reactor, int64_t now_ms)
{
    connection *due = NULL;
    reactor->next_due_ms = INT64_MAX;
    for (connection *it = reactor->timed_first, *next; it != NULL; it = next) {
        next = it->timed_next;
        const fe_session *session = it->session;
        bool waiting = session->state == FE_SESSION_PARKED && session->due_ms != 0;
        if (waiting && session->due_ms > now_ms) {
            if (session->due_ms < reactor->next_due_ms) reactor->next_due_ms = session->due_ms;
            continue;
        }
        leave_timed(it);
        if (!waiting) continue;
        it->timed_next = due;
        due = it;
    }
    return due;
}

static void resume_due(fe_reactor *reactor)
{
    if (reactor->next_due_ms == INT64_MAX) return;
    int64_t now_ms = fe_clock_monotonic_ms();
    if (now_ms < reactor->next_due_ms) return;
    /* Resuming one closes no other, but may put it back into the list: its link is read before. */
    for (connection *it = take_due(reactor, now_ms), *next; it != NULL; it = next) {
        next = it->timed_next;
        fe_session_resume(it->session, &reactor->batch);
        settle(it);
    }
}

/* Looks at some connections, and so often that each has its turn once in CRON_MS. */
static void cron(fe_reactor *reactor)
{
    uint64_t now = fe_clock_ticks();
    if (now < reactor->cron_due_ticks) return;
    uint32_t count = fe_reactor_connections(reactor);
    uint32_t rounds = count / CRON_BATCH + 1;
    reactor->cron_due_ticks = now + reactor->cron_ticks / rounds;
    reactor->cron_wait_ms = rounds < CRON_MS ? CRON_MS / (int)rounds : 1;
    connection *it = reactor->cron_next != NULL ? reactor->cron_next : reactor->first;
    for (int i = 0; it != NULL && i < CRON_BATCH; i++) {
        reactor->cron_next = it->next; /* moves on should that one be closed */
        fe_session_cron(it->session);
        settle(it);
        it = reactor->cron_next;
    }
}

/* Milliseconds until the next thing that must happen without an event. */
static int wait_ms(const fe_reactor *reactor)
{
    int64_t wait = reactor->cron_wait_ms;
    if (reactor->woke_here || reactor->reads_left) return 0;
    if (reactor->draining) wait = 5;
    if (reactor->next_due_ms != INT64_MAX) {
        int64_t until_due = reactor->next_due_ms - fe_clock_monotonic_ms();
        if (until_due < wait) wait = until_due;
    }
    return wait < 0 ? 0 : (int)wait;
}

/* Receives what the kernel still holds, from each connection once a round until there is nothing more. */
static void receive_rest(fe_reactor *reactor)
{
    for (connection *it = reactor->first, *next; it != NULL; it = next) {
        next = it->next;
        receive(it);
    }
    serve_group(reactor);
}

/* Whether the reactor may end: everything received is answered and sent, or the deadline has passed. */
static bool is_drained(fe_reactor *reactor)
{
    bool over = fe_clock_monotonic_ms() >= reactor->deadline_ms;
    for (connection *it = reactor->first, *next; it != NULL; it = next) {
        next = it->next;
        if (!over && waits_for(it->session, FE_PARK_TIME)) {
            fe_session_wait_no_more(it->session, &reactor->batch);
            settle(it);
            if (it->dead) continue;
        }
        const fe_session *session = it->session;
        bool has_input = session->state == FE_SESSION_READY && !it->input_done;
        if (!over && (has_input || owes_replies(session))) continue;
        say_farewell(it);
        close_connection(it);
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
    reactor->rung = false;
    for (int i = 0; i < count; i++) {
        connection *it = events[i].data.ptr;
        if (events[i].data.ptr == reactor) continue; /* a disk read is done: see below */
        if (it == NULL) {
            uint64_t rings;
            ssize_t got = read(reactor->event_fd, &rings, sizeof rings);
            FE_ASSERT(got == (ssize_t)sizeof rings || errno == EAGAIN);
            reactor->rung = true;
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
    /* Disk reads are looked at whatever has woken this thread: when one that it has started itself is done, that is often
     * an interrupted wait. First, when others may wait for their places, so that the disk has work meanwhile; else after
     * those who wait for nothing. Once a round, so that they are taken together, and not more than others can wait for. */
    fe_disk *disk = reactor->server->engine->disk;
    bool is_full = disk != NULL && fe_disk_is_full(disk);
    uint32_t taken = is_full ? fe_server_take_done(reactor->server) : 0;
    serve_group(reactor);
    if (disk != NULL && !is_full) taken = fe_server_take_done(reactor->server);
    reactor->reads_left = taken >= FE_TAKE_ROUND;
    if (FE_UNLIKELY(reactor->timed_out && taken != 0))
        atomic_fetch_add_explicit(&reactor->overdue, taken, memory_order_relaxed);
    if (!reactor->rung && !reactor->woke_here) return;
    /* Only now: a woken session may be closed, which it must not be while it is in the group. */
    adopt_newcomers(reactor);
    reactor->woke_here = false;
    resume_woken(reactor);
}

/* Input is there, perhaps. */
static void note_readable(fe_recorder *recorder)
{
    bool due = fe_stages_is_due(&recorder->stages);
    uint64_t now = FE_UNLIKELY(due || fe_recorder_is_on(recorder)) ? fe_clock_ticks() : 0;
    recorder->readable = now;
    recorder->stages.readable = due ? now : 0;
}

static void *run(void *argument)
{
    fe_reactor *reactor = argument;
    reactor->self = pthread_self();
    fe_slice_ask(); /* the asyncio thread may share the core and compute for milliseconds */
    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int wait = wait_ms(reactor);
        int count = epoll_wait(reactor->epoll_fd, events, EVENTS_MAX, wait);
        FE_ASSERT(count >= 0 || errno == EINTR);
        reactor->timed_out = count == 0 && wait > 0;
        note_readable(reactor->recorder);
        handle_events(reactor, events, count);
        resume_due(reactor);
        cron(reactor);
        bury_dead(reactor);
        fe_event_ring_publish(&reactor->recorder->ring);
        if (!reactor->draining && reactor->rung && drain_asked(reactor)) {
            adopt_newcomers(reactor);
            reactor->draining = true;
        }
        if (!reactor->draining) continue;
        receive_rest(reactor);
        if (is_drained(reactor)) break;
    }
    bury_dead(reactor);
    fe_event_ring_publish(&reactor->recorder->ring);
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

/* Completed disk reads are taken by whichever reactor is free or awake. */
static bool watch_disk(fe_reactor *reactor)
{
    fe_disk *disk = reactor->server->engine->disk;
    if (disk == NULL) return true;
    struct epoll_event event = {.events = EPOLLIN | EPOLLET | EPOLLEXCLUSIVE, .data.ptr = reactor};
    return epoll_ctl(reactor->epoll_fd, EPOLL_CTL_ADD, fe_disk_fd(disk), &event) == 0;
}

fe_reactor *fe_reactor_start(fe_server *server, uint32_t number)
{
    fe_alloc *alloc = &server->engine->alloc;
    fe_reactor *reactor = fe_alloc_take_zeroed(alloc, FE_ALLOC_CLIENT, sizeof *reactor);
    if (reactor == NULL) return NULL;
    reactor->server = server;
    reactor->next_due_ms = INT64_MAX;
    reactor->cron_wait_ms = CRON_MS;
    reactor->cron_ticks = (uint64_t)(server->engine->ticks_per_us * 1000.0 * CRON_MS);
    uint64_t entered = fe_engine_enter(server->engine);
    reactor->recorder = fe_recorder_new(&server->engine->telemetry);
    fe_engine_leave(server->engine, FE_STEP_BATCH, entered);
    pthread_mutex_init(&reactor->mutex, NULL);
    reactor->area = fe_alloc_take(alloc, FE_ALLOC_CLIENT, RECEIVE_AREA);
    reactor->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    reactor->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (reactor->recorder == NULL || reactor->area == NULL || reactor->epoll_fd < 0 ||
        reactor->event_fd < 0 ||
        epoll_ctl(reactor->epoll_fd, EPOLL_CTL_ADD, reactor->event_fd, &event) != 0 ||
        !watch_disk(reactor) || pthread_create(&reactor->thread, NULL, run, reactor) != 0) {
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
        bool was_empty = reactor->inbox == NULL;
        guest->next = reactor->inbox;
        reactor->inbox = guest;
        /* Counted from here on, so that maxclients and the choice of a reactor see it at once. */
        atomic_fetch_add_explicit(&reactor->connection_count, 1, memory_order_relaxed);
        /* All of the inbox is taken at once, after the ring that its first has caused. */
        if (was_empty) ring(reactor);
    }
    pthread_mutex_unlock(&reactor->mutex);
    if (stopping) fe_alloc_give(&reactor->server->engine->alloc, FE_ALLOC_CLIENT, guest);
    return !stopping;
}

void fe_reactor_drain(fe_reactor *reactor, uint32_t deadline_ms)
{
    pthread_mutex_lock(&reactor->mutex);
    reactor->drain_until_ms = fe_clock_monotonic_ms() + deadline_ms;
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

uint32_t fe_reactor_overdue(fe_reactor *reactor)
{
    return atomic_load_explicit(&reactor->overdue, memory_order_relaxed);
}
