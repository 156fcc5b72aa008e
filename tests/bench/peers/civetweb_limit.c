/* civetweb_limit.c - civetweb that answers every request 202 without work: the limit of an HTTP
 * server with a thread for each connection. civetweb_limit PORT THREADS
 * SPDX-License-Identifier: Apache-2.0 */
#include <civetweb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int answer(struct mg_connection *connection)
{
    static const char ANSWER[] = "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
                                 "Content-Length: 2\r\nConnection: keep-alive\r\n\r\n{}";
    char body[1024];
    while (mg_read(connection, body, sizeof body) > 0)
        ;
    mg_write(connection, ANSWER, sizeof ANSWER - 1);
    return 1;
}

int main(int count, char **arguments)
{
    if (count != 3) {
        fprintf(stderr, "usage: civetweb_limit PORT THREADS\n");
        return EXIT_FAILURE;
    }
    const char *options[] = {
        "listening_ports", arguments[1], "num_threads", arguments[2], "enable_keep_alive", "yes",
        "tcp_nodelay",     "1",          NULL};
    struct mg_callbacks callbacks = {.begin_request = answer};
    mg_init_library(0);
    if (!mg_start(&callbacks, NULL, options)) {
        fprintf(stderr, "civetweb_limit: unable to listen on %s\n", arguments[1]);
        return EXIT_FAILURE;
    }
    for (;;)
        pause();
}
