/* deflate.h - permessage-deflate (RFC 7692), without a context between messages, so that a message
 * is compressed once for all its clients and no client needs memory for it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SOCKETIO_DEFLATE_H
#define SOCKETIO_DEFLATE_H

#include "base/buf.h"
#include "socketio/frame.h"

/* What is answered to offers that deflate_is_offered takes (section 7.1.1). */
#define DEFLATE_ANSWER "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

/* Whether one of the offers of a Sec-WebSocket-Extensions header (section 5.1) can be taken: all
 * but those that want a smaller window of us, or say what section 7.1 does not know. */
bool deflate_is_offered(const char *offers);

/* The frame as it goes to clients that agreed: compressed, if that makes it smaller. Borrowed from
 * `frame`, which keeps it. */
struct sio_frame *deflate_frame(struct sio_frame *frame);

enum inflate_result { INFLATE_OK, INFLATE_BROKEN, INFLATE_TOO_LARGE };

/* Appends a whole message's bytes to `out`, at most `max` of them. */
enum inflate_result inflate_message(const void *data, size_t size, size_t max, struct buf *out);

#endif
