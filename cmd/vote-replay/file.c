/* file.c - records from a file: votes as CSV, or envelopes one a line.
 *
 * All of it is read and found right before the first record is handed out, so nothing of a bad file
 * is sent. What cannot be read twice (a pipe) is copied first. SPDX-License-Identifier: Apache-2.0
 */
#include "vote-replay/replay.h"

#include "base/line.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A record of Kafka may have 1 GiB; one that is far from that is no record of votes. */
enum { COPY_BYTES = 64 * 1024, MIB = 1024 * 1024, ENVELOPE_LINE_MAX = 64 * MIB };

struct file_source {
    FILE *file;
    struct votes *votes; /* of a CSV; NULL: envelopes */
    int64_t records, at;
    uint64_t hash;
    char *line;
    size_t line_size;
    struct envelope_text text;
    struct buf value;
};

static bool file_fail(struct error *error)
{
    return error_set(error, ERROR_DATA, "%s", strerror(errno));
}

/* Replaces a pipe by a copy of what comes out of it. */
static bool pipe_copy(FILE **file, struct error *error)
{
    char bytes[COPY_BYTES];
    size_t size;
    FILE *copy = tmpfile();
    if (!copy)
        return error_set(error, ERROR_UNAVAILABLE, "unable to make a copy: %s", strerror(errno));
    while ((size = fread(bytes, 1, sizeof bytes, *file)) > 0 &&
           fwrite(bytes, 1, size, copy) == size)
        ;
    bool fine = !ferror(*file) && !ferror(copy) && !fflush(copy);
    fclose(*file);
    *file = copy;
    return fine || error_set(error, ERROR_UNAVAILABLE, "unable to copy: %s", strerror(errno));
}

static bool file_make_seekable(FILE **file, struct error *error)
{
    struct stat status;
    if (fstat(fileno(*file), &status))
        return file_fail(error);
    if (!S_ISREG(status.st_mode) && !pipe_copy(file, error))
        return false;
    rewind(*file);
    return true;
}

/* FNV-1a of the content, word by word where it can: it only tells one file from another. */
static uint64_t content_hash(FILE *file)
{
    uint64_t hash = 0xcbf29ce484222325u, word;
    char bytes[COPY_BYTES];
    size_t size;
    while ((size = fread(bytes, 1, sizeof bytes, file)) > 0) {
        memset(bytes + size, 0, sizeof bytes - size < 8 ? sizeof bytes - size : 8);
        for (size_t i = 0; i < size; i += sizeof word) {
            memcpy(&word, bytes + i, sizeof word);
            hash = (hash ^ word) * 0x100000001b3u;
            hash ^= hash >> 29;
        }
        hash ^= size;
    }
    rewind(file);
    return hash;
}

/* The next line that is not empty; false at the end. One that is too long has a negative length. */
static bool line_next(struct file_source *source, int64_t *number, ssize_t *length)
{
    while ((*length = line_get(&source->line, &source->line_size, ENVELOPE_LINE_MAX,
                               source->file)) != 0) {
        ++*number;
        while (*length > 0 && strchr("\r\n", source->line[*length - 1]) &&
               source->line[*length - 1])
            source->line[--*length] = '\0';
        if (*length)
            return true;
    }
    return false;
}

static bool envelopes_check(struct file_source *source, struct error *error)
{
    struct envelope envelope;
    int64_t number = 0;
    ssize_t length;
    while (line_next(source, &number, &length)) {
        if (length < 0)
            return error_set(error, ERROR_DATA, "line %lld: is longer than %d MiB",
                             (long long)number, ENVELOPE_LINE_MAX / MIB);
        if (!envelope_parse(&envelope, &source->text, source->line, (size_t)length, error))
            return error_wrap(error, "line %lld", (long long)number);
        if (envelope.headers)
            rd_kafka_headers_destroy(envelope.headers);
        source->records++;
    }
    if (ferror(source->file))
        return file_fail(error);
    rewind(source->file);
    return true;
}

static bool content_check(struct file_source *source, struct error *error)
{
    int first = getc(source->file);
    if (first == EOF)
        return ferror(source->file) ? file_fail(error)
                                    : error_set(error, ERROR_DATA, "the file is empty");
    ungetc(first, source->file);
    if (first == '{')
        return envelopes_check(source, error);
    if (!votes_read(&source->votes, source->file, error))
        return false;
    source->records = (int64_t)votes_count(source->votes);
    return true;
}

bool file_open(struct file_source **file, const char *path, struct error *error)
{
    struct file_source *source = *file = calloc(1, sizeof *source);
    if (!source)
        abort();
    source->file = fopen(strcmp(path, "-") ? path : "/dev/stdin", "re");
    if (!source->file)
        return file_fail(error);
    if (!file_make_seekable(&source->file, error))
        return false;
    source->hash = content_hash(source->file);
    return content_check(source, error);
}

void file_close(struct file_source *file)
{
    if (!file)
        return;
    if (file->file)
        fclose(file->file);
    votes_free(file->votes);
    envelope_text_free(&file->text);
    buf_free(&file->value);
    free(file->line);
    free(file);
}

int64_t file_records(const struct file_source *file)
{
    return file->records;
}

uint64_t file_hash(const struct file_source *file)
{
    return file->hash;
}

void file_skip(struct file_source *file, int64_t records)
{
    int64_t number = 0;
    ssize_t length;
    while (file->at < records && (file->votes || line_next(file, &number, &length)))
        file->at++;
}

enum source_event file_next(struct file_source *file, struct item *item, struct error *error)
{
    int64_t number = 0;
    ssize_t length;
    if (file->at == file->records)
        return SOURCE_DONE;
    *item = (struct item){.next = ++file->at};
    if (file->votes) {
        votes_item(file->votes, (size_t)file->at - 1, &file->value, item);
        return SOURCE_ITEM;
    }
    if (line_next(file, &number, &length) && length > 0 &&
        envelope_parse(&item->envelope, &file->text, file->line, (size_t)length, error))
        return SOURCE_ITEM;
    error_set(error, ERROR_DATA, "the file has changed while it was read");
    return SOURCE_FAILED;
}
