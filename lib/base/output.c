/* output.c - stdout, written in big pieces. SPDX-License-Identifier: Apache-2.0 */
#include "base/output.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

bool output_flush(struct output *output, struct error *error)
{
    int failure = 0;
    for (size_t done = 0; done < output->buf.size && !output->gone && !failure;) {
        ssize_t written = write(STDOUT_FILENO, output->buf.data + done, output->buf.size - done);
        if (written >= 0)
            done += (size_t)written;
        else if (errno == EAGAIN) /* somebody else's end of the terminal made it non-blocking */
            poll(&(struct pollfd){.fd = STDOUT_FILENO, .events = POLLOUT}, 1, -1);
        else if (errno == EPIPE)
            output->gone = true;
        else if (errno != EINTR)
            failure = errno;
    }
    buf_clear(&output->buf);
    return !failure ||
           error_set(error, ERROR_UNAVAILABLE, "unable to write to stdout: %s", strerror(failure));
}

void output_check(struct output *output)
{
    struct pollfd fd = {.fd = STDOUT_FILENO};
    if (poll(&fd, 1, 0) > 0 && fd.revents & POLLERR)
        output->gone = true;
}
