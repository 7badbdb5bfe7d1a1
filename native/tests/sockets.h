/* The client's end of a connection: all bytes at once. */
#ifndef FE_TESTS_SOCKETS_H
#define FE_TESTS_SOCKETS_H

#include <errno.h>
#include <sys/socket.h>

static inline void send_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, text, len, MSG_NOSIGNAL);
        if (sent <= 0) return;
        text += sent;
        len -= (size_t)sent;
    }
}

/* Receives exactly `len` bytes, or what came before the end or the socket's time-out. */
static inline size_t receive_all(int fd, char *into, size_t len)
{
    size_t got = 0;
    while (got < len) {
        ssize_t received = recv(fd, into + got, len - got, 0);
        if (received < 0 && errno == EINTR) continue;
        if (received <= 0) break;
        got += (size_t)received;
    }
    return got;
}

#endif
