/* deflate.c - see deflate.h. SPDX-License-Identifier: Apache-2.0 */
#include "socketio/deflate.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

/* A bare window of 32 KiB: neither zlib's header nor its checksum. */
enum { RAW_WINDOW_BITS = -15, MEMORY_LEVEL = 8, INFLATE_STEP = 16 * 1024 };

/* How an empty block without compression ends, which a sender leaves out (section 7.2.1). */
static const unsigned char TAIL[] = {0x00, 0x00, 0xff, 0xff};

/* --- The handshake --------------------------------------------------------------------------- */

struct span {
    const char *start;
    size_t size;
};

/* What comes before `separator` or the end, without the blanks around it; moves on behind it. */
static struct span span_next(const char **at, char separator)
{
    static const char BLANKS[] = " \t";
    const char *start = *at + strspn(*at, BLANKS);
    const char *end = strchr(start, separator);
    *at = end ? end + 1 : start + strlen(start);
    size_t size = end ? (size_t)(end - start) : strlen(start);
    while (size > 0 && strchr(BLANKS, start[size - 1]))
        size--;
    return (struct span){start, size};
}

static bool span_is(struct span span, const char *text)
{
    return span.size == strlen(text) && !strncasecmp(span.start, text, span.size);
}

static bool parameter_is_fine(struct span parameter)
{
    static const char WINDOW[] = "client_max_window_bits";
    size_t size = sizeof WINDOW - 1;
    return span_is(parameter, "server_no_context_takeover") ||
           span_is(parameter, "client_no_context_takeover") ||
           span_is(parameter, "server_max_window_bits=15") ||
           span_is(parameter, "server_max_window_bits=\"15\"") || span_is(parameter, WINDOW) ||
           (parameter.size > size && parameter.start[size] == '=' &&
            !strncasecmp(parameter.start, WINDOW, size));
}

static bool offer_is_fine(struct span offer)
{
    char text[256];
    if (offer.size >= sizeof text)
        return false;
    memcpy(text, offer.start, offer.size);
    text[offer.size] = 0;
    const char *at = text;
    bool is_fine = span_is(span_next(&at, ';'), "permessage-deflate");
    while (*at && is_fine)
        is_fine = parameter_is_fine(span_next(&at, ';'));
    return is_fine;
}

bool deflate_is_offered(const char *offers)
{
    while (offers && *offers)
        if (offer_is_fine(span_next(&offers, ',')))
            return true;
    return false;
}

/* --- Messages -------------------------------------------------------------------------------- */

/* The compressed bytes, or none when they are not fewer. */
static void deflate_bytes(struct buf *out, const void *bytes, size_t size)
{
    z_stream stream = {.next_in = (unsigned char *)bytes, .avail_in = (unsigned)size};
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, RAW_WINDOW_BITS, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    buf_reserve(out, size + sizeof TAIL);
    stream.next_out = (unsigned char *)out->data;
    stream.avail_out = (unsigned)(size + sizeof TAIL);
    bool is_whole = deflate(&stream, Z_SYNC_FLUSH) == Z_OK && stream.avail_out > 0;
    if (is_whole && stream.total_out - sizeof TAIL < size)
        out->size = stream.total_out - sizeof TAIL;
    deflateEnd(&stream);
}

struct sio_frame *deflate_frame(struct sio_frame *frame)
{
    struct buf out = {0};
    if (frame->deflated || frame->is_incompressible)
        return frame->deflated ? frame->deflated : frame;
    deflate_bytes(&out, frame->bytes, frame->size);
    if (out.size > 0)
        frame->deflated = frame_from_deflated(frame, out.data, out.size);
    frame->is_incompressible = out.size == 0;
    buf_free(&out);
    return frame->deflated ? frame->deflated : frame;
}

/* Feeds `size` bytes; false when they are broken, or when `out` has more than `max`. */
static bool inflate_part(z_stream *stream, const void *data, size_t size, size_t max,
                         struct buf *out)
{
    stream->next_in = (unsigned char *)data;
    stream->avail_in = (unsigned)size;
    do {
        buf_reserve(out, INFLATE_STEP);
        stream->next_out = (unsigned char *)out->data + out->size;
        stream->avail_out = INFLATE_STEP;
        int code = inflate(stream, Z_SYNC_FLUSH);
        out->size += INFLATE_STEP - stream->avail_out;
        if (code == Z_STREAM_END) /* a last block is one of many (section 7.2.3.4) */
            code = inflateReset(stream);
        if ((code != Z_OK && code != Z_BUF_ERROR) || out->size > max)
            return false;
    } while (stream->avail_in > 0 || stream->avail_out == 0);
    return true;
}

enum inflate_result inflate_message(const void *data, size_t size, size_t max, struct buf *out)
{
    z_stream stream = {0};
    if (inflateInit2(&stream, RAW_WINDOW_BITS) != Z_OK)
        abort();
    bool is_fine = inflate_part(&stream, data, size, max, out) &&
                   inflate_part(&stream, TAIL, sizeof TAIL, max, out);
    inflateEnd(&stream);
    return is_fine ? INFLATE_OK : out->size > max ? INFLATE_TOO_LARGE : INFLATE_BROKEN;
}
