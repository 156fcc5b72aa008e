/* frame.h - encoded packets, each once in memory however many clients it is queued for.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SOCKETIO_FRAME_H
#define SOCKETIO_FRAME_H

#include "base/buf.h"
#include "socketio/socketio.h"

/* The longest header of a WebSocket frame that is not masked (RFC 6455 section 5.2). */
enum { FRAME_HEADER_MAX = 10 };

struct sio_frame {
    uint32_t references;
    uint32_t kind;
    uint64_t key;
    size_t size;                /* of this part */
    size_t total_size;          /* with the attachments */
    struct sio_frame *next;     /* the next attachment: a part of this frame, without references */
    struct sio_frame *deflated; /* the same for clients that take it compressed; NULL: not made */
    bool is_incompressible;
    bool is_binary;
    bool is_event; /* the application's own: may be conflated and dropped */
    uint8_t header_size;
    char header[FRAME_HEADER_MAX]; /* of a WebSocket frame; it ends where `bytes` begin */
    char bytes[];                  /* with the Engine.IO type when it is text */
};

/* One reference, the caller's, from each of these. `ack_id` NO_ACK: asks for none. */
struct sio_frame *frame_from_text(const char *text, size_t size);
struct sio_frame *frame_from_bytes(const void *bytes, size_t size);

/* A part's compressed bytes (RFC 7692). */
struct sio_frame *frame_from_deflated(const struct sio_frame *frame, const void *bytes,
                                      size_t size);

struct sio_frame *frame_event(const char *namespace, int64_t ack_id,
                              const struct sio_message *message);
struct sio_frame *frame_ack(const char *namespace, int64_t ack_id,
                            const struct sio_message *message);
/* CONNECT, DISCONNECT and CONNECT_ERROR (enum packet_type); `json` "" for none. */
struct sio_frame *frame_control(int type, const char *namespace, const char *json);

#endif
