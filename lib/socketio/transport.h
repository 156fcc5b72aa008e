/* transport.h - a Socket.IO server on the network, on the caller's libuv loop.
 *
 * HTTP long-polling, WebSocket and the upgrade between them, on one port. All calls, and all the
 * callbacks of the server, are made by the thread that runs the loop; the application adds what
 * else it waits for (uv_async_t, uv_timer_t, uv_poll_t) to the same loop.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SOCKETIO_TRANSPORT_H
#define SOCKETIO_TRANSPORT_H

#include "base/error.h"
#include "socketio/socketio.h"

struct sio_transport;
struct tls_context;
struct uv_loop_s;

/* Listens on HOST:PORT (an IP address, [IPv6] in brackets, or nothing for all; port 0: any that is
 * free), ignores SIGPIPE, and serves `server` whenever the loop runs.
 * `tls` NULL: in plain. `server`, `loop` and `tls` are borrowed until sio_transport_close. */
bool sio_transport_open(struct sio_transport **transport, struct sio_server *server,
                        struct uv_loop_s *loop, const char *listen, struct tls_context *tls,
                        struct error *error) __attribute__((warn_unused_result));

/* Serves another server, with a path of its own, on the same port. At most TRANSPORT_SERVERS_MAX.
 */
void sio_transport_add(struct sio_transport *transport, struct sio_server *server);
enum { TRANSPORT_SERVERS_MAX = 4 };

/* The port it listens on. */
int sio_transport_port(const struct sio_transport *transport);

/* Cuts all connections, without disconnect callbacks, and frees the transport; it turns the loop
 * until its handles are closed. Call it when the loop has stopped (uv_stop), before
 * sio_server_free. NULL is fine. */
void sio_transport_close(struct sio_transport *transport);

#endif
