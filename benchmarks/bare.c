/* The floor under every server of this machine: a loop that waits, receives, and sends "+PONG" for
 * each PING, and does nothing else. What a command costs here is what the kernel takes for carrying
 * it; no server that uses sockets the same way can be below it.
 *
 *     bare PORT    on 127.0.0.1, until it is ended
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 128, INPUT = 64 * 1024 };

static const char pong[] = "+PONG\r\n";
#define PONG (sizeof pong - 1)

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int epoll_fd, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
}

static int listen_on(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0) die("socket");
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) die("bind");
    if (listen(fd, 511) != 0) die("listen");
    return fd;
}

static void take(int epoll_fd, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), yes = 1;
    if (fd < 0) return;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    watch(epoll_fd, fd);
}

/* One receive and one send. The generator asks for the configuration first: that gets an error. */
static void serve(int fd, char *input, const char *replies)
{
    ssize_t got = recv(fd, input, INPUT, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        close(fd);
        return;
    }
    size_t pings = 0;
    for (const char *at = input, *end = input + got;
         (at = memmem(at, (size_t)(end - at), "PING", 4)) != NULL; at += 4)
        pings++;
    static const char unknown[] = "-ERR only PING\r\n";
    if (pings == 0)
        (void)send(fd, unknown, sizeof unknown - 1, MSG_NOSIGNAL);
    else
        (void)send(fd, replies, pings * PONG, MSG_NOSIGNAL);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: bare PORT\n", stderr);
        return 2;
    }
    int listener = listen_on(atoi(argv[1])), epoll_fd = epoll_create1(0);
    char *input = malloc(INPUT), *replies = malloc(INPUT * PONG);
    if (epoll_fd < 0 || input == NULL || replies == NULL) die("memory");
    for (size_t i = 0; i < INPUT; i++)
        memcpy(replies + i * PONG, pong, PONG);
    watch(epoll_fd, listener);
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                take(epoll_fd, listener);
            else
                serve(events[i].data.fd, input, replies);
        }
    }
}
