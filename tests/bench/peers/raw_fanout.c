/* raw_fanout.c - the limit of a fan-out: writes one prebuilt WebSocket frame to each connection.
 *
 *     raw_fanout PAYLOAD_BYTES; prints its port
 *
 * No Socket.IO, and of WebSocket only what the load needs: every connection that has sent a request
 * gets a 101, and whatever comes later from any connection asks for one broadcast to all the
 * others. BUGS: a request must come in one piece, and an answer is taken for granted unless it
 * fails. SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 20000, EVENTS_MAX = 256, BACKLOG = 1024 };

static const char accepted[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                               "Connection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

struct raw {
    int poll, listener;
    size_t count;
    int connections[CONNECTIONS_MAX]; /* those that are WebSockets */
    bool is_open[CONNECTIONS_MAX];    /* by descriptor: has had its 101 */
    size_t frame_size;
    unsigned char frame[4 + 65535];
};

static void raw_watch(const struct raw *raw, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(raw->poll, EPOLL_CTL_ADD, fd, &event))
        err(1, "epoll_ctl");
}

static void raw_listen(struct raw *raw)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    raw->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (raw->listener < 0 || bind(raw->listener, (struct sockaddr *)&address, size) ||
        listen(raw->listener, BACKLOG) ||
        getsockname(raw->listener, (struct sockaddr *)&address, &size))
        err(1, "listen");
    raw_watch(raw, raw->listener);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
}

/* RFC 6455, 5.2: a text frame that is final and, from a server, not masked. */
static void raw_make_frame(struct raw *raw, long payload_bytes)
{
    if (payload_bytes < 126 || payload_bytes > 65535)
        errx(1, "PAYLOAD_BYTES: from 126 to 65535");
    raw->frame[0] = 0x81;
    raw->frame[1] = 126;
    raw->frame[2] = (unsigned char)(payload_bytes >> 8);
    raw->frame[3] = (unsigned char)payload_bytes;
    memset(raw->frame + 4, 'x', (size_t)payload_bytes);
    raw->frame_size = 4 + (size_t)payload_bytes;
}

static void raw_accept(struct raw *raw)
{
    int fd = accept4(raw->listener, NULL, NULL, SOCK_NONBLOCK), on = 1;
    if (fd < 0 || fd >= CONNECTIONS_MAX)
        err(1, "accept");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    raw_watch(raw, fd);
}

static void raw_broadcast(const struct raw *raw, int caller)
{
    for (size_t i = 0; i < raw->count; i++)
        if (raw->connections[i] != caller &&
            write(raw->connections[i], raw->frame, raw->frame_size) != (ssize_t)raw->frame_size)
            err(1, "write");
}

static void raw_read(struct raw *raw, int fd)
{
    char data[4096];
    if (read(fd, data, sizeof data) <= 0) {
        close(fd); /* the load is over, and nobody is written to any more */
    } else if (raw->is_open[fd]) {
        raw_broadcast(raw, fd);
    } else {
        raw->is_open[fd] = true;
        raw->connections[raw->count++] = fd;
        if (write(fd, accepted, sizeof accepted - 1) != sizeof accepted - 1)
            err(1, "write");
    }
}

int main(int argc, char **argv)
{
    static struct raw raw;
    struct epoll_event events[EVENTS_MAX];
    if (argc != 2)
        errx(64, "usage: raw_fanout PAYLOAD_BYTES");
    signal(SIGPIPE, SIG_IGN);
    raw_make_frame(&raw, strtol(argv[1], NULL, 10));
    raw.poll = epoll_create1(0);
    raw_listen(&raw);
    for (;;) {
        int count = epoll_wait(raw.poll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++)
            if (events[i].data.fd == raw.listener)
                raw_accept(&raw);
            else
                raw_read(&raw, events[i].data.fd);
    }
}
