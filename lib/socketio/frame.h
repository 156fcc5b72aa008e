/* frame.h - encoded packets, each once in memory however many clients it is queued for.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SOCKETIO_FRAME_H
#define SOCKETIO_FRAME_H

#include "base/buf.h"
#include "socketio/socketio.h"

/* Bytes in front of a frame's own that a transport may write its header to. It is the same header
 * for every client, so that sharing is safe: servers do not mask (RFC 6455 section 5.1). */
enum { FRAME_HEADROOM = 16 };

struct sio_frame {
    uint32_t references;
    uint32_t kind;
    uint64_t key;
    size_t size;            /* of this part */
    size_t total_size;      /* with the attachments */
    struct sio_frame *next; /* the next attachment: a part of this frame, without references */
    bool is_binary;
    bool is_event; /* the application's own: may be conflated and dropped */
    char room[FRAME_HEADROOM];
    char bytes[]; /* with the Engine.IO type when it is text; a NUL follows */
};

/* One reference, the caller's, from each of these. `ack_id` NO_ACK: asks for none. */
struct sio_frame *frame_from_text(const char *text, size_t size);
struct sio_frame *frame_from_bytes(const void *bytes, size_t size);

struct sio_frame *frame_event(const char *namespace, int64_t ack_id,
                              const struct sio_message *message);
struct sio_frame *frame_ack(const char *namespace, int64_t ack_id,
                            const struct sio_message *message);
/* CONNECT, DISCONNECT and CONNECT_ERROR (enum packet_type); `json` "" for none. */
struct sio_frame *frame_control(int type, const char *namespace, const char *json);

#endif
