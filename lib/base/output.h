/* output.h - stdout of a tool whose data is large: written in big pieces, and quiet when whoever
 * reads it has seen enough. SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_OUTPUT_H
#define BASE_OUTPUT_H

#include "base/buf.h"
#include "base/error.h"

enum { OUTPUT_FLUSH_BYTES = 256 * 1024 }; /* when a flush is due */

/* Zero-initialised is empty; gone when its reader is (`| head`). Free `buf`. */
struct output {
    struct buf buf;
    bool gone;
};

/* Writes what is buffered; true also when the reader has gone. ERROR_UNAVAILABLE: it cannot be
 * written (a full disk). SIGPIPE must be ignored (stop.h). */
bool output_flush(struct output *output, struct error *error) __attribute__((warn_unused_result));

/* Looks whether the reader is still there. */
void output_check(struct output *output);

#endif
