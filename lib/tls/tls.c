/* tls.c - TLS over memory: what the socket has goes in, what it is to have comes out.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tls/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A record's most (RFC 8446 section 5.1). By no more at a time does the memory between us and
 * OpenSSL grow, which a connection keeps. */
enum { PIECE_BYTES = 16 * 1024 };

/* What may wait to be sent: a handshake with a long chain has 10 KiB. A client that asks for more
 * (RFC 8446 section 4.6.3: new keys) while it takes nothing is not served on. */
enum { PENDING_BYTES_MAX = 64 * 1024 };

#define AT(member) .offset = offsetof(struct tls_config, member)
/* clang-format off */
const struct option tls_options[] = {
    {.name = "tls-cert", .type = OPTION_TEXT, AT(certificate), .argument = "FILE",
     .summary = "serves TLS: a PEM certificate, its chain behind it"},
    {.name = "tls-key", .type = OPTION_TEXT, AT(key), .argument = "FILE",
     .summary = "its PEM private key; both are read again when they change"},
};
/* clang-format on */
_Static_assert(sizeof tls_options / sizeof *tls_options == TLS_OPTION_COUNT, "options counted");

/* Tells a file from the one that has replaced it, also behind a link. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct tls_context {
    const struct tls_config *config;
    struct stamp certificate, key; /* of the files that were read last */
    bool is_refused;               /* these could not be used */
    pthread_mutex_t lock;
    SSL_CTX *current;
};

struct tls {
    SSL *ssl;
    BIO *in, *out; /* the connection's */
    bool is_broken;
};

/* --- The files ------------------------------------------------------------------------------- */

static struct stamp stamp_of(const char *file)
{
    struct stat status;
    struct stamp stamp = {0};
    if (stat(file, &status))
        return stamp;
    stamp.device = status.st_dev;
    stamp.inode = status.st_ino;
    stamp.size = status.st_size;
    stamp.changed = status.st_ctim; /* its owner and mode count as well */
    return stamp;
}

static bool stamp_equals(const struct stamp *a, const struct stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* A key with a passphrase is refused, where OpenSSL would ask the terminal for it. */
static int no_passphrase(char *text, int size, int writes, void *context)
{
    (void)text, (void)size, (void)writes, (void)context;
    return -1;
}

static bool refuse_file(const char *option, const char *file, const char *wanted,
                        struct error *error)
{
    const char *why = ERR_reason_error_string(ERR_peek_error());
    if (access(file, R_OK))
        return error_set(error, ERROR_CONFIG, "--%s %s: %s", option, file, strerror(errno));
    return error_set(error, ERROR_CONFIG, "--%s %s: not %s (%s)", option, file, wanted,
                     why ? why : "unknown reason");
}

static bool files_read(SSL_CTX *made, const struct tls_config *config, struct error *error)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(made, config->certificate) != 1)
        return refuse_file("tls-cert", config->certificate, "a PEM certificate", error);
    if (SSL_CTX_use_PrivateKey_file(made, config->key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(made) != 1)
        return refuse_file("tls-key", config->key, "the certificate's PEM key without a passphrase",
                           error);
    return true;
}

/* Sessions are resumed by tickets alone: nothing is kept here for clients that do not come back. */
static SSL_CTX *context_read(struct tls_context *context, struct error *error)
{
    SSL_CTX *made = SSL_CTX_new(TLS_server_method());
    if (!made)
        abort();
    SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION);
    SSL_CTX_set_options(made, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(made, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(made, no_passphrase);
    context->certificate = stamp_of(context->config->certificate);
    context->key = stamp_of(context->config->key);
    if (files_read(made, context->config, error))
        return made;
    SSL_CTX_free(made);
    return NULL;
}

bool tls_context_open(struct tls_context **opened, const struct tls_config *config,
                      struct error *error)
{
    *opened = NULL;
    if (!config->certificate && !config->key)
        return true;
    if (!config->certificate || !config->key)
        return error_set(error, ERROR_CONFIG,
                         "--tls-cert and --tls-key go together: --tls-%s is missing",
                         config->certificate ? "key" : "cert");
    struct tls_context *context = calloc(1, sizeof *context);
    if (!context)
        abort();
    context->config = config;
    context->current = context_read(context, error);
    if (!context->current) {
        free(context);
        return false;
    }
    pthread_mutex_init(&context->lock, NULL);
    *opened = context;
    return true;
}

void tls_context_close(struct tls_context *context)
{
    if (!context)
        return;
    SSL_CTX_free(context->current);
    pthread_mutex_destroy(&context->lock);
    free(context);
}

static bool files_have_changed(const struct tls_context *context)
{
    struct stamp certificate = stamp_of(context->config->certificate);
    struct stamp key = stamp_of(context->config->key);
    return !stamp_equals(&certificate, &context->certificate) || !stamp_equals(&key, &context->key);
}

void tls_context_renew(struct tls_context *context, const struct log *log)
{
    struct error error;
    if (!context)
        return;
    bool have_changed = files_have_changed(context);
    if (!have_changed && !context->is_refused)
        return;
    SSL_CTX *made = context_read(context, &error);
    context->is_refused = !made;
    if (!made) {
        if (have_changed)
            log_error(log, LOG_WARN, "the certificate is not renewed", &error);
        return;
    }
    pthread_mutex_lock(&context->lock);
    SSL_CTX *before = context->current;
    context->current = made;
    pthread_mutex_unlock(&context->lock);
    SSL_CTX_free(before); /* connections that use it keep it */
    LOG_EVENT(log, LOG_INFO, "the certificate is renewed",
              LOG_STR("file", context->config->certificate));
}

/* --- Connections ----------------------------------------------------------------------------- */

struct tls *tls_new(struct tls_context *context)
{
    struct tls *tls = calloc(1, sizeof *tls);
    if (!tls)
        abort();
    pthread_mutex_lock(&context->lock);
    tls->ssl = SSL_new(context->current);
    pthread_mutex_unlock(&context->lock);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    if (!tls->ssl || !tls->in || !tls->out)
        abort();
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    SSL_set_accept_state(tls->ssl);
    return tls;
}

void tls_free(struct tls *tls)
{
    if (tls)
        SSL_free(tls->ssl);
    free(tls);
}

/* Takes all that can be decrypted. False: nothing more will be. */
static bool read_records(struct tls *tls, bool (*take)(void *, const char *, size_t), void *owner,
                         bool *goes_on)
{
    char piece[PIECE_BYTES];
    int size = 0;
    /* what others of this thread, such as the check of a token, leave behind would be taken for
     * ours */
    while (*goes_on && (ERR_clear_error(), size = SSL_read(tls->ssl, piece, sizeof piece)) > 0)
        *goes_on = take(owner, piece, (size_t)size);
    if (!*goes_on)
        return true;
    int why = SSL_get_error(tls->ssl, size);
    tls->is_broken |= why == SSL_ERROR_SSL || why == SSL_ERROR_SYSCALL ||
                      BIO_ctrl_pending(tls->out) > PENDING_BYTES_MAX;
    return why == SSL_ERROR_WANT_READ && !tls->is_broken;
}

/* Behind the client's end nothing is read any more, and so must not be kept. */
static bool has_ended(const struct tls *tls)
{
    return SSL_get_shutdown(tls->ssl) & SSL_RECEIVED_SHUTDOWN;
}

bool tls_receive(struct tls *tls, const char *data, size_t size,
                 bool (*take)(void *owner, const char *data, size_t size), void *owner)
{
    bool goes_on = true, may_come = !tls->is_broken && !has_ended(tls);
    while (size > 0 && goes_on && may_come) {
        size_t piece = size < PIECE_BYTES ? size : PIECE_BYTES;
        if (BIO_write(tls->in, data, (int)piece) != (int)piece)
            abort(); /* memory */
        data += piece;
        size -= piece;
        may_come = read_records(tls, take, owner, &goes_on);
    }
    return may_come;
}

void tls_pending(struct tls *tls, struct buf *out)
{
    char *data;
    long size = BIO_get_mem_data(tls->out, &data);
    if (size > 0)
        buf_put(out, data, (size_t)size);
    (void)BIO_reset(tls->out);
}

bool tls_seal(struct tls *tls, const void *data, size_t size, struct buf *out)
{
    const char *left = data;
    ERR_clear_error();
    tls_pending(tls, out);
    while (size > 0 && !tls->is_broken) {
        size_t piece = size < PIECE_BYTES ? size : PIECE_BYTES;
        tls->is_broken = SSL_write(tls->ssl, left, (int)piece) != (int)piece;
        tls_pending(tls, out);
        left += piece;
        size -= piece;
    }
    return !tls->is_broken;
}

void tls_finish(struct tls *tls, struct buf *out)
{
    ERR_clear_error();
    if (!tls->is_broken && !SSL_in_init(tls->ssl))
        SSL_shutdown(tls->ssl);
    tls_pending(tls, out);
}
