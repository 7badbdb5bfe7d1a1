/* The door over real listening sockets. */
#include "net/door.h"

#include "tests/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REACTORS 2

typedef struct rig {
    fe_server *server;
    fe_reactor *reactors[REACTORS];
    struct sockaddr_storage at;
    socklen_t at_len;
    fe_door door;
} rig;

static void rig_listen(rig *it, const struct sockaddr *at, socklen_t len)
{
    it->door.fd = socket(at->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(it->door.fd >= 0);
    CHECK_INT(0, bind(it->door.fd, at, len));
    CHECK_INT(0, listen(it->door.fd, 64));
    it->at_len = sizeof it->at;
    CHECK_INT(0, getsockname(it->door.fd, (struct sockaddr *)&it->at, &it->at_len));
}

static void rig_start(rig *it)
{
    fe_engine_options options = {.store = {.databases = 16,
                                           .samples = 5,
                                           .lfu_log_factor = 10,
                                           .lfu_decay_minutes = 1,
                                           .segment_size = 65536,
                                           .seed = {1, 2}},
                                 .bulk_len_max = 1 << 20,
                                 .query_buffer_max = 1 << 24,
                                 .slowlog_max = 8,
                                 .expire_effort = 1,
                                 .hz = 100};
    *it = (rig){0};
    it->server = fe_server_new(&options);
    CHECK(it->server != NULL);
    for (uint32_t i = 0; i < REACTORS; i++) {
        it->reactors[i] = fe_reactor_start(it->server, i);
        CHECK(it->reactors[i] != NULL);
    }
    it->door = (fe_door){.reactors = it->reactors,
                         .reactor_count = REACTORS,
                         .connections_max = 100,
                         .refuses_strangers = true,
                         .keepalive_s = 300,
                         .too_many = FE_BYTES("-ERR many\r\n"),
                         .denied = FE_BYTES("-DENIED\r\n")};
}

static void rig_open(rig *it)
{
    rig_start(it);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    rig_listen(it, (const struct sockaddr *)&at, sizeof at);
}

static void rig_close(rig *it)
{
    close(it->door.fd);
    for (uint32_t i = 0; i < REACTORS; i++)
        fe_reactor_drain(it->reactors[i], 2000);
    for (uint32_t i = 0; i < REACTORS; i++)
        fe_reactor_join(it->reactors[i]);
    fe_server_free(it->server);
}

/* A connection that waits at the door. */
static int rig_knock(const rig *it)
{
    int fd = socket(it->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_INT(0, connect(fd, (const struct sockaddr *)&it->at, it->at_len));
    return fd;
}

static void expect(int fd, const char *request, const char *reply)
{
    char got[512];
    size_t len = 0;
    CHECK_INT(strlen(request), send(fd, request, strlen(request), MSG_NOSIGNAL));
    while (len < strlen(reply)) {
        ssize_t more = recv(fd, got + len, sizeof got - len, 0);
        if (more <= 0) break;
        len += (size_t)more;
    }
    CHECK_BYTES(reply, strlen(reply), got, len);
}

/* What comes until the other end closes. */
static void expect_farewell(int fd, const char *reply)
{
    char got[512];
    size_t len = 0;
    ssize_t more;
    while ((more = recv(fd, got + len, sizeof got - len, 0)) > 0)
        len += (size_t)more;
    CHECK_INT(0, more);
    CHECK_BYTES(reply, strlen(reply), got, len);
}

TEST(newcomers_are_spread_and_served)
{
    rig it;
    rig_open(&it);
    int fds[6];
    for (int i = 0; i < 6; i++)
        fds[i] = rig_knock(&it);

    fe_admission done = fe_door_admit(&it.door, 64);

    CHECK_INT(6, done.admitted);
    CHECK_INT(0, done.refused);
    CHECK_INT(0, done.exhausted);
    CHECK_INT(3, fe_reactor_connections(it.reactors[0]));
    CHECK_INT(3, fe_reactor_connections(it.reactors[1]));
    for (int i = 0; i < 6; i++) {
        expect(fds[i], "PING\r\n", "+PONG\r\n");
        close(fds[i]);
    }
    rig_close(&it);
}

TEST(a_call_takes_no_more_than_it_may)
{
    rig it;
    rig_open(&it);
    int fds[5];
    for (int i = 0; i < 5; i++)
        fds[i] = rig_knock(&it);

    CHECK_INT(3, fe_door_admit(&it.door, 3).admitted);
    CHECK_INT(2, fe_door_admit(&it.door, 3).admitted);
    CHECK_INT(0, fe_door_admit(&it.door, 3).admitted);

    for (int i = 0; i < 5; i++) {
        expect(fds[i], "PING\r\n", "+PONG\r\n");
        close(fds[i]);
    }
    rig_close(&it);
}

TEST(who_is_one_too_many_is_told_so)
{
    rig it;
    rig_open(&it);
    it.door.connections_max = 2;
    int first = rig_knock(&it), second = rig_knock(&it), third = rig_knock(&it);

    fe_admission done = fe_door_admit(&it.door, 64);

    CHECK_INT(2, done.admitted);
    CHECK_INT(1, done.refused);
    expect_farewell(third, "-ERR many\r\n");
    expect(second, "PING\r\n", "+PONG\r\n");
    close(first);
    close(second);
    close(third);
    rig_close(&it);
}

/* The kernel gives a socket of this machine's own address, when it has one besides loopback, to whoever asks. */
static bool own_address(struct sockaddr_in *into)
{
    struct sockaddr_in far = {.sin_family = AF_INET, .sin_port = htons(9)};
    inet_pton(AF_INET, "192.0.2.1", &far.sin_addr);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    socklen_t len = sizeof *into;
    bool found = connect(fd, (struct sockaddr *)&far, sizeof far) == 0 &&
                 getsockname(fd, (struct sockaddr *)into, &len) == 0;
    close(fd);
    into->sin_port = 0;
    return found && ntohl(into->sin_addr.s_addr) >> 24 != 127;
}

TEST(strangers_are_denied)
{
    struct sockaddr_in own;
    if (!own_address(&own)) return; /* a machine with no network has no strangers */
    rig it;
    rig_start(&it);
    rig_listen(&it, (const struct sockaddr *)&own, sizeof own);
    int fd = rig_knock(&it);
    CHECK_INT(1, fe_door_admit(&it.door, 64).refused);
    expect_farewell(fd, "-DENIED\r\n");
    close(fd);

    it.door.refuses_strangers = false;
    fd = rig_knock(&it);
    CHECK_INT(1, fe_door_admit(&it.door, 64).admitted);
    expect(fd, "PING\r\n", "+PONG\r\n");
    close(fd);
    rig_close(&it);
}

/* IPv4 inside an IPv6 socket, and IPv6 itself where the machine has it. */
static void knock_at_v6(bool as_v4)
{
    rig it;
    rig_start(&it);
    struct sockaddr_in6 at = {.sin6_family = AF_INET6};
    if (!as_v4) at.sin6_addr = in6addr_loopback;
    int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has_v6 = probe >= 0 && bind(probe, (struct sockaddr *)&at, sizeof at) == 0;
    if (probe >= 0) close(probe);
    if (has_v6) {
        rig_listen(&it, (const struct sockaddr *)&at, sizeof at);
        struct sockaddr_in6 *there = (struct sockaddr_in6 *)&it.at;
        if (as_v4) inet_pton(AF_INET6, "::ffff:127.0.0.1", &there->sin6_addr);
        int fd = rig_knock(&it);
        CHECK_INT(1, fe_door_admit(&it.door, 64).admitted);
        char expected[96], *place = expected;
        const char *host = as_v4 ? "[::ffff:127.0.0.1]" : "[::1]";
        place += snprintf(place, sizeof expected, "%s:%u", host, ntohs(there->sin6_port));
        char list[4096] = "";
        CHECK_INT(13, send(fd, "CLIENT LIST\r\n", 13, MSG_NOSIGNAL));
        CHECK(recv(fd, list, sizeof list - 1, 0) > 0);
        CHECK(strstr(list, expected) != NULL);
        close(fd);
    } else {
        it.door.fd = -1;
    }
    rig_close(&it);
}

TEST(loopback_of_ipv6_is_no_stranger)
{
    knock_at_v6(false);
    knock_at_v6(true);
}

TEST(clients_of_a_unix_socket_are_named_after_it)
{
    rig it;
    rig_start(&it);
    struct sockaddr_un at = {.sun_family = AF_UNIX}; /* an abstract name leaves no file */
    int len = snprintf(at.sun_path + 1, sizeof at.sun_path - 1, "ferrite-door-%d", (int)getpid());
    rig_listen(&it, (const struct sockaddr *)&at,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len));
    it.door.name = "unix socket here:0";
    int fd = rig_knock(&it);

    CHECK_INT(1, fe_door_admit(&it.door, 64).admitted);

    char list[4096] = "";
    CHECK_INT(13, send(fd, "CLIENT LIST\r\n", 13, MSG_NOSIGNAL));
    CHECK(recv(fd, list, sizeof list - 1, 0) > 0);
    CHECK(strstr(list, "addr=unix socket here:0 laddr=unix socket here:0 ") != NULL);
    close(fd);
    rig_close(&it);
}

TEST(a_lack_of_descriptors_is_told_and_passes)
{
    rig it;
    rig_open(&it);
    int fd = rig_knock(&it);
    struct rlimit before, low;
    CHECK_INT(0, getrlimit(RLIMIT_NOFILE, &before));
    int free_fd = dup(fd);
    close(free_fd);
    low = before;
    low.rlim_cur = (rlim_t)free_fd;
    CHECK_INT(0, setrlimit(RLIMIT_NOFILE, &low));
    fe_admission done = fe_door_admit(&it.door, 64);
    CHECK_INT(0, setrlimit(RLIMIT_NOFILE, &before));

    CHECK_INT(EMFILE, done.exhausted);
    CHECK_INT(0, done.admitted + done.refused + done.lost);
    CHECK_INT(1, fe_door_admit(&it.door, 64).admitted);
    expect(fd, "PING\r\n", "+PONG\r\n");
    close(fd);
    rig_close(&it);
}

TEST(a_door_to_reactors_that_stop_loses_its_guests)
{
    rig it;
    rig_open(&it);
    int fd = rig_knock(&it);
    for (uint32_t i = 0; i < REACTORS; i++)
        fe_reactor_drain(it.reactors[i], 2000);

    fe_admission done = fe_door_admit(&it.door, 64);

    CHECK_INT(1, done.lost);
    CHECK_INT(0, done.admitted);
    expect_farewell(fd, "");
    close(fd);
    rig_close(&it);
}

TEST(a_gone_peer_is_no_failure)
{
    rig it;
    rig_open(&it);
    int fd = rig_knock(&it);
    struct linger at_once = {.l_onoff = 1};
    CHECK_INT(0, setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
    close(fd); /* a reset */
    int next = rig_knock(&it);

    fe_admission done = fe_door_admit(&it.door, 64);

    CHECK_INT(0, done.lost);
    CHECK_INT(0, done.exhausted);
    expect(next, "PING\r\n", "+PONG\r\n");
    close(next);
    rig_close(&it);
}

int main(void)
{
    RUN(newcomers_are_spread_and_served);
    RUN(a_call_takes_no_more_than_it_may);
    RUN(who_is_one_too_many_is_told_so);
    RUN(strangers_are_denied);
    RUN(loopback_of_ipv6_is_no_stranger);
    RUN(clients_of_a_unix_socket_are_named_after_it);
    RUN(a_lack_of_descriptors_is_told_and_passes);
    RUN(a_door_to_reactors_that_stop_loses_its_guests);
    RUN(a_gone_peer_is_no_failure);
    return check_done();
}
