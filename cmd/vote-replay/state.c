/* state.c - what --resume FILE remembers.
 *
 * The guarantee: whenever the process ends, also by kill -9, the next run with the same file goes
 * on where this one ended; a reader with isolation.level=read_committed finds each record once.
 *
 * How far it is stands in Kafka: the transaction that has the records also has the position behind
 * them, as an offset of the group vote-replay-ID. Both are there or neither is. This file names the
 * ID, and the ranges that the selector meant at the first start; it is on the disk before the first
 * record is sent. It repeats the position, since Kafka forgets a group after a week: what is
 * written here was committed before, so of the two the greater one holds. SPDX-License-Identifier:
 * Apache-2.0 */
#include "vote-replay/replay.h"

#include "base/clock.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { VERSION = 1, STATE_BYTES_MAX = 1024 * 1024, STATE_DEPTH_MAX = 4 };

static void id_make(char id[33])
{
    unsigned char bytes[16];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        abort();
    for (int i = 0; i < 16; i++)
        snprintf(id + 2 * i, 3, "%02x", bytes[i]);
}

static bool spans_read(struct state *state, const json_t *spans)
{
    json_int_t partition, from, to;
    for (size_t i = 0; i < json_array_size(spans); i++) {
        if (json_unpack(json_array_get(spans, i), "[III]", &partition, &from, &to))
            return false;
        state_add(state, (int32_t)partition, from, to);
    }
    return json_is_array(spans);
}

static bool state_take(struct state *state, json_t *object, const char *task, struct error *error)
{
    int version;
    const char *id, *known_task;
    json_t *spans;
    if (json_unpack(object, "{s:i,s:s,s:s,s:o}", "version", &version, "id", &id, "task",
                    &known_task, "ranges", &spans) ||
        version != VERSION || strlen(id) != sizeof state->id - 1 || !spans_read(state, spans))
        return error_set(error, ERROR_DATA, "%s is no state of a replay", state->path);
    if (strcmp(known_task, task))
        return error_set(error, ERROR_USAGE, "%s belongs to another replay: %s", state->path,
                         known_task);
    memcpy(state->id, id, sizeof state->id);
    state->found = true;
    return true;
}

/* NULL when it is no JSON, or more than a state ever is. */
static json_t *state_load(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = malloc(STATE_BYTES_MAX + 1);
    if (!text)
        abort();
    size_t size = file ? fread(text, 1, STATE_BYTES_MAX + 1, file) : 0;
    bool fits = size <= STATE_BYTES_MAX && json_depth_is_within(text, size, STATE_DEPTH_MAX);
    json_t *object = fits ? json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL) : NULL;
    free(text);
    if (file)
        fclose(file);
    return object;
}

bool state_open(struct state *state, const char *path, const char *task, struct error *error)
{
    *state = (struct state){.path = path, .task = strdup(task)};
    if (!state->task)
        abort();
    if (access(path, F_OK)) {
        id_make(state->id);
        return errno == ENOENT || error_set(error, ERROR_CONFIG, "%s: %s", path, strerror(errno));
    }
    json_t *object = state_load(path);
    bool taken = state_take(state, object, task, error);
    json_decref(object);
    return taken;
}

void state_add(struct state *state, int32_t partition, int64_t from, int64_t to)
{
    state->spans = reallocarray(state->spans, state->span_count + 1, sizeof *state->spans);
    if (!state->spans)
        abort();
    state->spans[state->span_count++] =
        (struct span){.partition = partition, .from = from, .to = to};
}

struct span *state_span(struct state *state, int32_t partition)
{
    for (size_t i = 0; i < state->span_count; i++) {
        if (state->spans[i].partition == partition)
            return &state->spans[i];
    }
    return NULL;
}

static void state_encode(const struct state *state, struct buf *out)
{
    buf_format(out, "{\"version\":%d", VERSION);
    buf_member_text(out, "id", state->id);
    buf_member_text(out, "task", state->task);
    buf_member(out, "ranges");
    for (size_t i = 0; i < state->span_count; i++)
        buf_format(out, "%c[%d,%lld,%lld]", i ? ',' : '[', (int)state->spans[i].partition,
                   (long long)state->spans[i].from, (long long)state->spans[i].to);
    buf_text(out, state->span_count ? "]}\n" : "[]}\n");
}

/* The name, too, must be on the disk. */
static bool directory_sync(const char *path)
{
    char *copy = strdup(path);
    int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    bool synced = fd >= 0 && !fsync(fd);
    if (fd >= 0)
        close(fd);
    free(copy);
    return synced;
}

static bool text_write(const char *path, const struct buf *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool written =
        fd >= 0 && write(fd, text->data, text->size) == (ssize_t)text->size && !fsync(fd);
    if (fd >= 0 && close(fd))
        written = false;
    return written;
}

bool state_write(struct state *state, struct error *error)
{
    struct buf text = {0}, path = {0};
    state_encode(state, &text);
    buf_format(&path, "%s.new", state->path);
    bool written = text_write(path.data, &text) && !rename(path.data, state->path) &&
                   directory_sync(state->path);
    if (!written)
        error_set(error, ERROR_CONFIG, "unable to write %s: %s", state->path, strerror(errno));
    state->written_us = clock_mono_us();
    buf_free(&text);
    buf_free(&path);
    return written;
}

void state_free(struct state *state)
{
    free(state->spans);
    free(state->task);
}
