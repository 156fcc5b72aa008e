/* tls.h - TLS 1.2 and 1.3 (RFC 5246, RFC 8446) for a server that reads and writes by itself:
 * OpenSSL without I/O. The certificate and its key are files, and may be renewed while it serves.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "base/option.h"

#include <stdbool.h>
#include <stddef.h>

/* PEM files: the server's certificate with its chain behind it, and its private key, without a
 * passphrase. Both NULL: no TLS. */
struct tls_config {
    const char *certificate, *key;
};
enum { TLS_OPTION_COUNT = 2 };
extern const struct option tls_options[];

struct tls_context;
struct tls;

/* Reads the files. Without TLS `context` is NULL, and true is returned; otherwise false with
 * ERROR_CONFIG, which names the file. `config` is borrowed until tls_context_close. */
bool tls_context_open(struct tls_context **context, const struct tls_config *config,
                      struct error *error) __attribute__((warn_unused_result));
void tls_context_close(struct tls_context *context); /* NULL is fine */

/* Looks whether the files have changed, has connections that come from now on use them, and tells
 * the log. Files that cannot be used are told once, and those before them stay. From one thread;
 * connections may begin in another meanwhile. `context` may be NULL. */
void tls_context_renew(struct tls_context *context, const struct log *log);

/* One connection of a client, in one thread at a time. It outlives the context's files. */
struct tls *tls_new(struct tls_context *context);
void tls_free(struct tls *tls); /* NULL is fine */

/* Decrypts what came from the socket, and hands it to `take` in pieces of 16 KiB at most; when that
 * returns false, nothing more is. False: the client has ended its side, or broken the protocol.
 * Then, too, what tls_pending has is still to be sent. */
bool tls_receive(struct tls *tls, const char *data, size_t size,
                 bool (*take)(void *owner, const char *data, size_t size), void *owner);

/* Puts what the handshake, or an alert, wants sent behind `out`. It is to leave before whatever is
 * sealed later. */
void tls_pending(struct tls *tls, struct buf *out);

/* Puts `data` behind `out`, encrypted, and behind what was pending. False: the connection is
 * broken. */
bool tls_seal(struct tls *tls, const void *data, size_t size, struct buf *out)
    __attribute__((warn_unused_result));

/* Puts the alert that says that no more will come (close_notify) behind `out`. */
void tls_finish(struct tls *tls, struct buf *out);

#endif
