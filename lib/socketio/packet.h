/* packet.h - Socket.IO packets as they come: their text taken apart, and their JSON checked.
 * https://socket.io/docs/v4/socket-io-protocol, "Packet encoding". SPDX-License-Identifier:
 * Apache-2.0 */
#ifndef SOCKETIO_PACKET_H
#define SOCKETIO_PACKET_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ATTACHMENTS_MAX = 64, JSON_DEPTH_MAX = 64, NO_ACK = -1 };

enum packet_type {
    PACKET_CONNECT,
    PACKET_DISCONNECT,
    PACKET_EVENT,
    PACKET_ACK,
    PACKET_CONNECT_ERROR,
    PACKET_BINARY_EVENT,
    PACKET_BINARY_ACK,
};

/* Points into the text it was read from. */
struct packet {
    enum packet_type type; /* a binary one without attachments is told as a plain one */
    size_t attachment_count;
    const char *namespace; /* "/" when none was named */
    size_t namespace_size;
    int64_t ack_id; /* NO_ACK: none */
    const char *data;
    size_t data_size; /* 0: none */
};

/* Takes a packet's text (behind the Engine.IO type) apart. False: it is none. The JSON is not
 * looked at. */
bool packet_decode(struct packet *packet, const char *text, size_t size)
    __attribute__((warn_unused_result));

/* What a packet says, for its type: of a CONNECT the object, of an event the name and the array of
 * arguments, of an acknowledgement the array. */
struct packet_content {
    json_t *json;
    const char *name; /* of an event; points into name_json */
    json_t *name_json;
    char number[24];       /* a name that is a number, as the protocol allows */
    const char *args_text; /* inside the brackets, without the name */
    size_t args_size;
};

/* Parses and checks the JSON as the reference decoder does. Free with packet_content_free in either
 * case. */
bool packet_read(struct packet_content *content, const struct packet *packet)
    __attribute__((warn_unused_result));
void packet_content_free(struct packet_content *content);

#endif
