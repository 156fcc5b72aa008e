/* raw_fanout.c - the limit of a fan-out: one write of prebuilt WebSocket frames to each connection.
 *
 *     raw_fanout PAYLOAD_BYTES; prints its port
 *
 * No Socket.IO, and of WebSocket only what the load needs: every connection that has sent a request
 * gets a 101, and what comes later is ["broadcast","all",COUNT,...]: so many to all the others, in
 * one write to each.
 * BUGS: a request must come in one piece, and a peer that does not read ends the program.
 * SPDX-License-Identifier: Apache-2.0 */
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

enum { CONNECTIONS_MAX = 20000, EVENTS_MAX = 256, BACKLOG = 1024, BURST_MAX = 16 };

static const char accepted[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                               "Connection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

struct raw {
    int poll, listener;
    size_t count;
    int connections[CONNECTIONS_MAX]; /* those that are WebSockets */
    bool is_open[CONNECTIONS_MAX];    /* by descriptor: has had its 101 */
    size_t frame_size;
    unsigned char frames[BURST_MAX * (4 + 65535)]; /* the same one, again and again */
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
static void raw_make_frames(struct raw *raw, long payload_bytes)
{
    if (payload_bytes < 126 || payload_bytes > 65535)
        errx(1, "PAYLOAD_BYTES: from 126 to 65535");
    raw->frame_size = 4 + (size_t)payload_bytes;
    for (size_t i = 0; i < BURST_MAX; i++) {
        unsigned char *frame = raw->frames + i * raw->frame_size;
        memset(frame, 'x', raw->frame_size);
        frame[0] = 0x81;
        frame[1] = 126;
        frame[2] = (unsigned char)(payload_bytes >> 8);
        frame[3] = (unsigned char)payload_bytes;
    }
}

static void raw_accept(struct raw *raw)
{
    int fd = accept4(raw->listener, NULL, NULL, SOCK_NONBLOCK), on = 1;
    if (fd < 0 || fd >= CONNECTIONS_MAX)
        err(1, "accept");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    raw_watch(raw, fd);
}

static void raw_broadcast(const struct raw *raw, int caller, long count)
{
    if (count < 1 || count > BURST_MAX)
        errx(1, "%ld broadcasts at once: from 1 to %d", count, BURST_MAX);
    size_t size = (size_t)count * raw->frame_size;
    for (size_t i = 0; i < raw->count; i++)
        if (raw->connections[i] != caller &&
            write(raw->connections[i], raw->frames, size) != (ssize_t)size)
            err(1, "write");
}

static void raw_read(struct raw *raw, int fd)
{
    static const char room[] = "\"all\",";
    char data[4096], *found;
    ssize_t size = read(fd, data, sizeof data - 1);
    if (size <= 0) {
        close(fd); /* the load is over, and nobody is written to any more */
    } else if (raw->is_open[fd]) {
        data[size] = '\0';
        found = memmem(data, (size_t)size, room, sizeof room - 1);
        raw_broadcast(raw, fd, found ? strtol(found + sizeof room - 1, NULL, 10) : 0);
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
    raw_make_frames(&raw, strtol(argv[1], NULL, 10));
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
