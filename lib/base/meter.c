/* meter.c - how far it is, and how long it will take. SPDX-License-Identifier: Apache-2.0 */
#include "base/meter.h"

#include "base/buf.h"
#include "base/clock.h"

#include <stdio.h>
#include <unistd.h>

enum { BAR = 30, BAR_EVERY_US = 200 * 1000, LINE_EVERY_US = 5 * 1000 * 1000 };

void meter_start(struct meter *meter, const char *tool, const char *things, int64_t total)
{
    *meter = (struct meter){.tool = tool,
                            .things = things,
                            .total = total,
                            .began_us = clock_mono_us(),
                            .shown_us = clock_mono_us(),
                            .terminal = isatty(STDERR_FILENO)};
}

static void left_put(const struct meter *meter, int64_t done, struct buf *out)
{
    int64_t spent_us = clock_mono_us() - meter->began_us;
    double per_us = (double)done / (double)(spent_us ? spent_us : 1);
    buf_format(out, " %.0f/s", per_us * 1e6);
    if (meter->total >= done && done > 0)
        buf_format(out, ", %.0f s left", (double)(meter->total - done) / per_us / 1e6);
}

static void bar_put(const struct meter *meter, int64_t done, struct buf *out)
{
    int64_t filled = meter->total > 0 ? done * BAR / meter->total : 0;
    buf_text(out, "\r[");
    for (int64_t i = 0; i < BAR; i++)
        buf_char(out, i < filled ? '#' : '.');
    buf_format(out, "] %lld", (long long)done);
    if (meter->total > 0)
        buf_format(out, " of %lld", (long long)meter->total);
    buf_format(out, " %s,", meter->things);
    if (meter->total > 0)
        buf_format(out, " %lld %%,", (long long)(done * 100 / meter->total));
    left_put(meter, done, out);
    buf_text(out, "\x1b[K");
}

static void line_put(const struct meter *meter, int64_t done, struct buf *out)
{
    buf_format(out, "%s: %lld", meter->tool, (long long)done);
    if (meter->total > 0)
        buf_format(out, " of %lld", (long long)meter->total);
    buf_format(out, " %s,", meter->things);
    left_put(meter, done, out);
    buf_char(out, '\n');
}

void meter_turn(struct meter *meter, int64_t done)
{
    int64_t now_us = clock_mono_us();
    struct buf out = {0};
    if (now_us - meter->shown_us < (meter->terminal ? BAR_EVERY_US : LINE_EVERY_US))
        return;
    meter->shown_us = now_us;
    meter->drawn = meter->terminal;
    (meter->terminal ? bar_put : line_put)(meter, done, &out);
    fwrite(out.data, 1, out.size, stderr);
    buf_free(&out);
}

void meter_clear(struct meter *meter)
{
    if (meter->drawn)
        fputs("\r\x1b[K", stderr);
    meter->drawn = false;
}
