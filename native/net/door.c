/* See door.h. */
#define _GNU_SOURCE
#include "net/door.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESS_TEXT 64 /* of an IPv6 address in brackets with its port */
#define KEEPALIVE_PROBES 3
#define KEEPALIVE_S_MAX 32767 /* the kernel takes no more */

typedef union any_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage room;
} any_address;

/* Whether the peer is on this machine, by its address. */
static bool is_loopback(const any_address *peer)
{
    if (peer->any.sa_family == AF_UNIX) return true;
    if (peer->any.sa_family == AF_INET) return ntohl(peer->v4.sin_addr.s_addr) >> 24 == 127;
    if (peer->any.sa_family != AF_INET6) return false;
    const struct in6_addr *address = &peer->v6.sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(address) ||
           (IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] == 127);
}

/* Writes ip:port, an IPv6 address in brackets. */
static fe_bytes write_address(const any_address *address, char text[ADDRESS_TEXT])
{
    char host[INET6_ADDRSTRLEN] = "";
    bool is_v6 = address->any.sa_family == AF_INET6;
    const void *ip =
        is_v6 ? (const void *)&address->v6.sin6_addr : (const void *)&address->v4.sin_addr;
    inet_ntop(address->any.sa_family, ip, host, sizeof host);
    unsigned port = ntohs(is_v6 ? address->v6.sin6_port : address->v4.sin_port);
    int len = snprintf(text, ADDRESS_TEXT, is_v6 ? "[%s]:%u" : "%s:%u", host, port);
    return (fe_bytes){(const uint8_t *)text, (size_t)len};
}

static bool set_option(int fd, int level, int option, uint32_t wanted)
{
    int value = (int)wanted;
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/* Asks after `idle_s` of silence, then three times within as long again. */
static bool keep_alive(int fd, uint32_t idle_s)
{
    uint32_t interval_s = idle_s / KEEPALIVE_PROBES;
    if (interval_s == 0) interval_s = 1;
    if (interval_s > KEEPALIVE_S_MAX) interval_s = KEEPALIVE_S_MAX;
    if (idle_s > KEEPALIVE_S_MAX) idle_s = KEEPALIVE_S_MAX;
    return set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
           set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s) &&
           set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval_s) &&
           set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
}

/* Says why, as far as the peer listens, and closes. */
static void turn_away(int fd, fe_bytes reply)
{
    if (send(fd, reply.ptr, reply.len, MSG_NOSIGNAL | MSG_DONTWAIT) > 0) shutdown(fd, SHUT_WR);
    close(fd);
}

/* The reactor that has the fewest connections, and how many all have. */
static fe_reactor *choose(const fe_door *door, uint32_t *all)
{
    fe_reactor *chosen = NULL;
    uint32_t fewest = 0;
    *all = 0;
    for (uint32_t i = 0; i < door->reactor_count; i++) {
        uint32_t count = fe_reactor_connections(door->reactors[i]);
        *all += count;
        if (chosen != NULL && count >= fewest) continue;
        chosen = door->reactors[i];
        fewest = count;
    }
    return chosen;
}

/* Sets the options of the socket and hands it over; false when it cannot, with the socket closed. A peer that has gone
 * meanwhile is no failure. */
static bool hand_over(const fe_door *door, fe_reactor *reactor, int fd, const any_address *peer)
{
    char addr[ADDRESS_TEXT], laddr[ADDRESS_TEXT];
    fe_bytes addr_text = {(const uint8_t *)door->name, door->name == NULL ? 0 : strlen(door->name)};
    fe_bytes laddr_text = addr_text;
    if (door->name == NULL) {
        any_address here;
        socklen_t here_len = sizeof here;
        if (!set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) ||
            (door->keepalive_s > 0 && !keep_alive(fd, door->keepalive_s)) ||
            getsockname(fd, &here.any, &here_len) != 0) {
            close(fd);
            return true;
        }
        addr_text = write_address(peer, addr);
        laddr_text = write_address(&here, laddr);
    }
    if (fe_reactor_adopt(reactor, fd, addr_text, laddr_text, door->name != NULL)) return true;
    close(fd);
    return false;
}

static bool is_exhaustion(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

fe_admission fe_door_admit(const fe_door *door, uint32_t most)
{
    fe_admission done = {0};
    for (uint32_t i = 0; i < most; i++) {
        any_address peer = {.any.sa_family = AF_UNSPEC};
        socklen_t peer_len = sizeof peer;
        int fd = accept4(door->fd, &peer.any, &peer_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            int error = errno;
            if (is_exhaustion(error)) done.exhausted = error;
            if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR || done.exhausted != 0)
                break;
            continue; /* this peer has gone already */
        }
        uint32_t all;
        fe_reactor *reactor = choose(door, &all);
        bool is_full = all >= door->connections_max;
        if (is_full || (door->refuses_strangers && door->name == NULL && !is_loopback(&peer))) {
            turn_away(fd, is_full ? door->too_many : door->denied);
            done.refused++;
        } else if (hand_over(door, reactor, fd, &peer)) {
            done.admitted++;
        } else {
            done.lost++;
        }
    }
    return done;
}
