/* listeners.c - the load of the fan-out bench: many WebSockets in one room, and one that asks for
 * broadcasts.
 *
 *     listeners PORT COUNT PAYLOAD_BYTES [raw]
 *
 * Prints "ready" once all are in the room. Each line of its input has for how many ms to run, and
 * how many broadcasts to ask for at once: every listener has them whole before the next are asked
 * for. Prints "BROADCASTS DELIVERIES BYTES" of what came. With `raw` it joins nothing.
 * Frames are counted by their headers and not unpacked, so that one core is enough.
 * SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 512, READ_BYTES = 65536, SMALLEST_NEWS = 126, STALL_MS = 10000 };

static const char request[] =
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/* What is left of the frame that is being read. */
struct listener {
    int fd;
    uint8_t header_size;
    unsigned char header[4];
    uint32_t payload_left;
};

struct load {
    int port, poll, caller;
    bool is_raw;
    size_t count;
    long payload_bytes;
    struct listener *listeners;
    uint64_t broadcasts, deliveries, bytes;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- Connecting ------------------------------------------------------------------------------ */

static void write_all(int fd, const void *data, size_t size)
{
    if (write(fd, data, size) != (ssize_t)size)
        err(1, "write");
}

/* A short text frame, masked with zeros. */
static void send_text(int fd, const char *text)
{
    size_t size = strlen(text);
    unsigned char frame[6 + 125] = {0x81, (unsigned char)(0x80 | size)};
    if (size > 125)
        errx(1, "too long: %s", text);
    memcpy(frame + 6, text, size);
    write_all(fd, frame, 6 + size);
}

static void read_until(int fd, const char *mark)
{
    char data[8192];
    size_t size = 0;
    do {
        ssize_t got = read(fd, data + size, sizeof data - size);
        if (got <= 0)
            errx(1, "closed before %s came", mark);
        size += (size_t)got;
    } while (!memmem(data, size, mark, strlen(mark)));
}

static int load_connect(const struct load *load, bool joins)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)load->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address))
        err(1, "connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    write_all(fd, request, sizeof request - 1);
    read_until(fd, load->is_raw ? "\r\n\r\n" : "\"maxPayload\"");
    if (load->is_raw)
        return fd;
    send_text(fd, "40");
    read_until(fd, "40{");
    if (joins) {
        send_text(fd, "421[\"join\",\"all\"]");
        read_until(fd, "431[true]");
    }
    return fd;
}

static void load_connect_all(struct load *load)
{
    load->poll = epoll_create1(0);
    load->listeners = calloc(load->count, sizeof *load->listeners);
    for (size_t i = 0; i < load->count; i++) {
        struct listener *listener = &load->listeners[i];
        listener->fd = load_connect(load, true);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = listener};
        if (epoll_ctl(load->poll, EPOLL_CTL_ADD, listener->fd, &event))
            err(1, "epoll_ctl");
    }
    load->caller = load_connect(load, false);
}

/* --- Counting -------------------------------------------------------------------------------- */

/* RFC 6455, 5.2: two bytes, and two more with a length from 126 up. Larger ones do not occur. */
static size_t header_take(struct listener *listener, const unsigned char *data)
{
    listener->header[listener->header_size++] = *data;
    unsigned length = listener->header_size > 1 ? listener->header[1] : 0;
    if (length > 126)
        errx(1, "a masked or a very long frame");
    if (listener->header_size == 2 && length < 126)
        listener->payload_left = length;
    else if (listener->header_size == 4)
        listener->payload_left = (uint32_t)listener->header[2] << 8 | listener->header[3];
    return 1;
}

static bool header_is_whole(const struct listener *listener)
{
    return listener->header_size == 4 || (listener->header_size == 2 && listener->header[1] < 126);
}

static size_t payload_take(struct listener *listener, size_t size)
{
    size_t taken = size < listener->payload_left ? size : listener->payload_left;
    listener->payload_left -= (uint32_t)taken;
    return taken;
}

static void load_count(struct load *load, struct listener *listener, const unsigned char *data,
                       size_t size)
{
    while (size > 0) {
        size_t taken =
            header_is_whole(listener) ? payload_take(listener, size) : header_take(listener, data);
        data += taken;
        size -= taken;
        if (header_is_whole(listener) && listener->payload_left == 0) {
            load->deliveries += listener->header[1] == SMALLEST_NEWS; /* others are pings */
            listener->header_size = 0;
        }
    }
}

static void load_read(struct load *load, struct listener *listener)
{
    static unsigned char data[READ_BYTES];
    ssize_t size = read(listener->fd, data, sizeof data);
    if (size <= 0)
        errx(1, "a listener was closed");
    load->bytes += (uint64_t)size;
    load_count(load, listener, data, (size_t)size);
}

static void load_await(struct load *load, uint64_t deliveries)
{
    struct epoll_event events[EVENTS_MAX];
    while (load->deliveries < deliveries) {
        int count = epoll_wait(load->poll, events, EVENTS_MAX, STALL_MS);
        if (count <= 0)
            errx(1, "nothing came for %d ms", STALL_MS);
        for (int i = 0; i < count; i++)
            load_read(load, events[i].data.ptr);
    }
}

/* --- Running --------------------------------------------------------------------------------- */

/* What the caller is told is thrown away. */
static void load_drain_caller(const struct load *load)
{
    char data[4096];
    while (recv(load->caller, data, sizeof data, MSG_DONTWAIT) > 0)
        continue;
}

static void load_run(struct load *load, int64_t run_ms, long burst)
{
    char call[64];
    snprintf(call, sizeof call, "427[\"broadcast\",\"all\",%ld,%ld]", burst, load->payload_bytes);
    int64_t end_ms = now_ms() + run_ms;
    load->broadcasts = load->deliveries = load->bytes = 0;
    do {
        send_text(load->caller, call);
        load->broadcasts += (uint64_t)burst;
        load_await(load, load->broadcasts * load->count);
        load_drain_caller(load);
    } while (now_ms() < end_ms);
    printf("%llu %llu %llu\n", (unsigned long long)load->broadcasts,
           (unsigned long long)load->deliveries, (unsigned long long)load->bytes);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char line[32], *rest;
    struct load load = {0};
    if (argc < 4)
        errx(64, "usage: listeners PORT COUNT PAYLOAD_BYTES [raw]");
    load.port = (int)strtol(argv[1], NULL, 10);
    load.count = (size_t)strtol(argv[2], NULL, 10);
    load.is_raw = argc > 4 && !strcmp(argv[4], "raw");
    load.payload_bytes = strtol(argv[3], NULL, 10);
    load_connect_all(&load);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        int64_t run_ms = strtol(line, &rest, 10);
        load_run(&load, run_ms, strtol(rest, NULL, 10));
    }
    return 0;
}
