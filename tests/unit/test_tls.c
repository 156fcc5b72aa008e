/* test_tls.c - TLS without sockets, beside a client of OpenSSL's. SPDX-License-Identifier:
 * Apache-2.0 */
#include "unit.h"

#include "tls/tls.h"

#include <malloc.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <unistd.h>

/* A server's connection and a client's, with the bytes between them in our hands. */
struct pair {
    char certificate[40], key[40];
    struct tls_config config;
    struct tls_context *context;
    struct tls *server;
    SSL_CTX *client_context;
    SSL *client;
    struct buf came; /* what the server was told */
    size_t most;     /* of these bytes are taken */
};

static void write_files(struct pair *pair)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    strcpy(pair->certificate, "/tmp/votepipe-tls-XXXXXX");
    strcpy(pair->key, "/tmp/votepipe-tls-XXXXXX");
    FILE *file = fdopen(mkstemp(pair->certificate), "w");
    assert_true(PEM_write_X509(file, certificate));
    fclose(file);
    file = fdopen(mkstemp(pair->key), "w");
    assert_true(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL));
    fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static int open_pair(void **state)
{
    struct error error;
    struct pair *pair = *state = calloc(1, sizeof *pair);
    write_files(pair);
    pair->config = (struct tls_config){pair->certificate, pair->key};
    assert_true(tls_context_open(&pair->context, &pair->config, &error));
    pair->server = tls_new(pair->context);
    pair->client_context = SSL_CTX_new(TLS_client_method());
    pair->client = SSL_new(pair->client_context);
    SSL_set_bio(pair->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(pair->client);
    pair->most = SIZE_MAX;
    return 0;
}

static int close_pair(void **state)
{
    struct pair *pair = *state;
    SSL_free(pair->client);
    SSL_CTX_free(pair->client_context);
    tls_free(pair->server);
    tls_context_close(pair->context);
    buf_free(&pair->came);
    unlink(pair->certificate);
    unlink(pair->key);
    free(pair);
    return 0;
}

static bool take(void *owner, const char *data, size_t size)
{
    struct pair *pair = owner;
    assert_true(size > 0 && size <= 16384);
    buf_put(&pair->came, data, size);
    return pair->came.size < pair->most;
}

/* Hands the server what the client has sent, `step` bytes at a time. */
static bool carry_up(struct pair *pair, size_t step)
{
    char *data;
    bool may_come = true;
    size_t size = (size_t)BIO_get_mem_data(SSL_get_wbio(pair->client), &data);
    for (size_t at = 0; at < size && may_come; at += step)
        may_come =
            tls_receive(pair->server, data + at, size - at < step ? size - at : step, take, pair);
    (void)BIO_reset(SSL_get_wbio(pair->client));
    return may_come;
}

static void carry_down(struct pair *pair, const struct buf *out)
{
    if (out->size > 0)
        assert_int_equal(BIO_write(SSL_get_rbio(pair->client), out->data, (int)out->size),
                         (int)out->size);
}

static void shake_hands(struct pair *pair)
{
    for (int turn = 0; turn < 10 && SSL_in_init(pair->client); turn++) {
        struct buf out = {0};
        SSL_do_handshake(pair->client);
        assert_true(carry_up(pair, SIZE_MAX / 2));
        tls_pending(pair->server, &out);
        carry_down(pair, &out);
        buf_free(&out);
    }
    assert_false(SSL_in_init(pair->client));
}

static void what_is_sealed_is_what_is_read(void **state)
{
    struct pair *pair = *state;
    struct buf out = {0}, text = {0};
    char back[200000];
    shake_hands(pair);
    for (int i = 0; i < 20000; i++)
        buf_format(&text, "%d,", i);
    assert_true(tls_seal(pair->server, text.data, text.size, &out));
    carry_down(pair, &out);
    size_t got = 0;
    for (int size; (size = SSL_read(pair->client, back + got, (int)(sizeof back - got))) > 0;)
        got += (size_t)size;
    assert_int_equal(got, text.size);
    assert_memory_equal(back, text.data, got);
    buf_free(&out);
    buf_free(&text);
}

static void what_comes_in_single_bytes_is_read_whole(void **state)
{
    struct pair *pair = *state;
    static char text[50000];
    shake_hands(pair);
    memset(text, 'v', sizeof text);
    assert_int_equal(SSL_write(pair->client, text, sizeof text), sizeof text);
    assert_true(carry_up(pair, 1));
    assert_int_equal(pair->came.size, sizeof text);
    assert_memory_equal(pair->came.data, text, sizeof text);
}

static void what_is_not_taken_is_not_handed_on(void **state)
{
    struct pair *pair = *state;
    shake_hands(pair);
    pair->most = 1;
    for (int i = 0; i < 3; i++)
        assert_int_equal(SSL_write(pair->client, "vote", 4), 4);
    assert_true(carry_up(pair, SIZE_MAX / 2));
    assert_int_equal(pair->came.size, 4);
}

static void nonsense_ends_it_with_an_alert(void **state)
{
    static const char HELLO[] = "\x16\x03\x01\x00\x04\x01\x00\x00\x00";
    enum { ALERT = 21 }; /* RFC 8446 section 5.1 */
    struct pair *pair = *state;
    struct buf out = {0};
    assert_false(tls_receive(pair->server, HELLO, sizeof HELLO - 1, take, pair));
    tls_pending(pair->server, &out);
    assert_true(out.size > 0 && out.data[0] == ALERT);
    buf_clear(&out);
    assert_false(tls_seal(pair->server, "x", 1, &out));
    assert_int_equal(pair->came.size, 0);
    assert_false(tls_receive(pair->server, "more", 4, take, pair));
    buf_free(&out);
}

static void nothing_is_sealed_before_the_handshake(void **state)
{
    struct pair *pair = *state;
    struct buf out = {0};
    assert_false(tls_seal(pair->server, "secret", 6, &out));
    assert_int_equal(out.size, 0);
    tls_finish(pair->server, &out);
    assert_int_equal(out.size, 0);
}

static void both_ends_are_told(void **state)
{
    struct pair *pair = *state;
    struct buf out = {0};
    char byte;
    shake_hands(pair);
    tls_finish(pair->server, &out);
    carry_down(pair, &out);
    assert_int_equal(SSL_read(pair->client, &byte, 1), 0);
    assert_int_equal(SSL_get_error(pair->client, 0), SSL_ERROR_ZERO_RETURN);
    SSL_shutdown(pair->client);
    assert_false(carry_up(pair, SIZE_MAX / 2));
    buf_free(&out);
}

/* As token checks do it: the thread's errors are not the connection's. */
static bool take_with_an_error(void *owner, const char *data, size_t size)
{
    ERR_raise(ERR_LIB_PEM, ERR_R_MALLOC_FAILURE);
    return take(owner, data, size);
}

static void an_error_of_another_part_does_not_end_it(void **state)
{
    struct pair *pair = *state;
    char *data;
    shake_hands(pair);
    assert_int_equal(SSL_write(pair->client, "vote", 4), 4);
    size_t size = (size_t)BIO_get_mem_data(SSL_get_wbio(pair->client), &data);
    assert_true(tls_receive(pair->server, data, size, take_with_an_error, pair));
    assert_int_equal(pair->came.size, 4);
}

static void nothing_is_kept_behind_the_clients_end(void **state)
{
    struct pair *pair = *state;
    struct buf out = {0};
    static char flood[16 * 1024];
    shake_hands(pair);
    SSL_shutdown(pair->client);
    assert_false(carry_up(pair, SIZE_MAX / 2));
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (int i = 0; i < 1000; i++)
        assert_false(tls_receive(pair->server, flood, sizeof flood, take, pair));
    assert_true(mallinfo2().uordblks + mallinfo2().hblkhd < before + 1024 * 1024);
    assert_true(tls_seal(pair->server, "the answer", 10, &out));
    buf_free(&out);
}

/* Each request for new keys has an answer, which nobody fetches. */
static bool ask_for_keys(struct pair *pair)
{
    assert_true(SSL_key_update(pair->client, SSL_KEY_UPDATE_REQUESTED));
    SSL_do_handshake(pair->client);
    return carry_up(pair, SIZE_MAX / 2);
}

/* Returns how many bytes that took. */
static size_t tell_vote(struct pair *pair)
{
    struct buf out = {0};
    char back[4];
    assert_true(tls_seal(pair->server, "vote", 4, &out));
    carry_down(pair, &out);
    assert_int_equal(SSL_read(pair->client, back, 4), 4);
    assert_memory_equal(back, "vote", 4);
    size_t size = out.size;
    buf_free(&out);
    return size;
}

static void new_keys_are_agreed_on(void **state)
{
    struct pair *pair = *state;
    shake_hands(pair);
    tell_vote(pair); /* and the tickets before it */
    size_t usual = tell_vote(pair);
    assert_true(ask_for_keys(pair));
    assert_true(tell_vote(pair) > usual); /* the server's own new key before it */
    assert_int_equal(tell_vote(pair), usual);
}

static void a_client_that_asks_for_new_keys_and_takes_nothing_is_cut(void **state)
{
    struct pair *pair = *state;
    struct buf out = {0};
    int asked = 0;
    shake_hands(pair);
    while (asked < 10000 && ask_for_keys(pair))
        asked++;
    tls_pending(pair->server, &out);
    assert_true(asked > 100 && asked < 10000);
    assert_true(out.size < 80 * 1024);
    buf_free(&out);
}

#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, open_pair, close_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PAIR(what_is_sealed_is_what_is_read),
        WITH_PAIR(what_comes_in_single_bytes_is_read_whole),
        WITH_PAIR(what_is_not_taken_is_not_handed_on),
        WITH_PAIR(nonsense_ends_it_with_an_alert),
        WITH_PAIR(nothing_is_sealed_before_the_handshake),
        WITH_PAIR(both_ends_are_told),
        WITH_PAIR(an_error_of_another_part_does_not_end_it),
        WITH_PAIR(nothing_is_kept_behind_the_clients_end),
        WITH_PAIR(new_keys_are_agreed_on),
        WITH_PAIR(a_client_that_asks_for_new_keys_and_takes_nothing_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
