/* progress.c - how far it is, and how long it will take. SPDX-License-Identifier: Apache-2.0 */
#include "vote-replay/replay.h"

#include "base/clock.h"

#include <stdio.h>
#include <unistd.h>

enum { BAR = 30, BAR_EVERY_US = 200 * 1000, LINE_EVERY_US = 5 * 1000 * 1000 };

void progress_start(struct progress *progress, int64_t total)
{
    *progress = (struct progress){.total = total,
                                  .began_us = clock_mono_us(),
                                  .shown_us = clock_mono_us(),
                                  .terminal = isatty(STDERR_FILENO)};
}

static void left_put(const struct progress *progress, int64_t done, struct buf *out)
{
    int64_t spent_us = clock_mono_us() - progress->began_us;
    double per_us = (double)done / (double)(spent_us ? spent_us : 1);
    buf_format(out, " %.0f/s", per_us * 1e6);
    if (progress->total >= done && done > 0)
        buf_format(out, ", %.0f s left", (double)(progress->total - done) / per_us / 1e6);
}

static void bar_put(const struct progress *progress, int64_t done, struct buf *out)
{
    int64_t filled = progress->total > 0 ? done * BAR / progress->total : 0;
    buf_text(out, "\r[");
    for (int64_t i = 0; i < BAR; i++)
        buf_char(out, i < filled ? '#' : '.');
    buf_format(out, "] %lld", (long long)done);
    if (progress->total > 0)
        buf_format(out, " of %lld, %lld %%", (long long)progress->total,
                   (long long)(done * 100 / progress->total));
    left_put(progress, done, out);
    buf_text(out, "\x1b[K");
}

static void line_put(const struct progress *progress, int64_t done, struct buf *out)
{
    buf_format(out, "vote-replay: %lld", (long long)done);
    if (progress->total > 0)
        buf_format(out, " of %lld", (long long)progress->total);
    buf_text(out, " records,");
    left_put(progress, done, out);
    buf_char(out, '\n');
}

void progress_turn(struct progress *progress, int64_t done)
{
    int64_t now_us = clock_mono_us();
    struct buf out = {0};
    if (now_us - progress->shown_us < (progress->terminal ? BAR_EVERY_US : LINE_EVERY_US))
        return;
    progress->shown_us = now_us;
    progress->drawn = progress->terminal;
    (progress->terminal ? bar_put : line_put)(progress, done, &out);
    fwrite(out.data, 1, out.size, stderr);
    buf_free(&out);
}

void progress_clear(struct progress *progress)
{
    if (progress->drawn)
        fputs("\r\x1b[K", stderr);
    progress->drawn = false;
}
