/* files.c - see files.h. SPDX-License-Identifier: Apache-2.0 */
#include "http/files.h"

#include "base/buf.h"
#include "base/hash.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { DEPTH_MAX = 4, PATH_SIZE = 1024, ETAG_SIZE = 24 };

/* Best first. */
static const struct {
    const char *suffix, *name;
} encodings[] = {{".br", "br"}, {".gz", "gzip"}, {"", NULL}};
enum { ENCODINGS = sizeof encodings / sizeof *encodings, PLAIN = ENCODINGS - 1 };

struct file {
    struct file *next;
    const char *type;
    struct buf bodies[ENCODINGS]; /* without data: there is none */
    char etag[ETAG_SIZE];
    char path[];
};

struct files {
    struct file *first;
    size_t bytes;
};

static const char *type_of(const char *path)
{
    static const struct {
        const char *suffix, *type;
    } types[] = {
        {".html", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".ico", "image/x-icon"},
        {".woff2", "font/woff2"},
        {".json", "application/json"},
        {".map", "application/json"},
        {".txt", "text/plain; charset=utf-8"},
        {".webmanifest", "application/manifest+json"},
    };
    const char *suffix = strrchr(path, '.');
    for (size_t i = 0; suffix && i < sizeof types / sizeof *types; i++)
        if (!strcmp(suffix, types[i].suffix))
            return types[i].type;
    return "application/octet-stream";
}

/* --- Loading --------------------------------------------------------------------------------- */

static bool read_whole(const char *name, struct buf *body, struct error *error)
{
    char chunk[16 * 1024];
    size_t got;
    FILE *stream = fopen(name, "rb");
    if (!stream)
        return error_set(error, ERROR_CONFIG, "unable to read %s: %s", name, strerror(errno));
    buf_reserve(body, 0); /* an empty file is a file */
    while ((got = fread(chunk, 1, sizeof chunk, stream)) > 0 && body->size <= FILES_BYTES_MAX)
        buf_put(body, chunk, got);
    bool is_whole = !ferror(stream);
    fclose(stream);
    return is_whole || error_set(error, ERROR_CONFIG, "unable to read %s", name);
}

/* Reads what there is of one file in every encoding. */
static bool read_encodings(struct files *files, struct file *file, const char *name,
                           struct error *error)
{
    char encoded[PATH_SIZE + 4];
    struct stat status;
    for (size_t i = 0; i < ENCODINGS; i++) {
        snprintf(encoded, sizeof encoded, "%s%s", name, encodings[i].suffix);
        if (i != PLAIN && stat(encoded, &status))
            continue;
        if (!read_whole(encoded, &file->bodies[i], error))
            return false;
        files->bytes += file->bodies[i].size;
        if (files->bytes > FILES_BYTES_MAX)
            return error_set(error, ERROR_CONFIG, "the files are more than %d MiB",
                             FILES_BYTES_MAX / 1024 / 1024);
    }
    return true;
}

/* Weak, as the encodings share it (RFC 9110 section 8.8.1). */
static void make_etag(struct file *file)
{
    const struct buf *body = &file->bodies[PLAIN];
    snprintf(file->etag, sizeof file->etag, "W/\"%016" PRIx64 "\"",
             hash_bytes(body->data, body->size));
}

static bool load_file(struct files *files, const char *name, const char *path, struct error *error)
{
    size_t size = strlen(path) + 1;
    struct file *file = calloc(1, sizeof *file + size);
    if (!file)
        abort();
    memcpy(file->path, path, size);
    file->type = type_of(path);
    file->next = files->first;
    files->first = file;
    if (!read_encodings(files, file, name, error))
        return false;
    make_etag(file);
    return true;
}

static bool is_encoding(const char *name)
{
    const char *suffix = strrchr(name, '.');
    for (size_t i = 0; suffix && i < PLAIN; i++)
        if (!strcmp(suffix, encodings[i].suffix))
            return true;
    return false;
}

static bool load_directory(struct files *files, const char *name, const char *path, int depth,
                           struct error *error);

static bool load_entry(struct files *files, const char *name, const char *path, int depth,
                       struct error *error)
{
    struct stat status;
    if (stat(name, &status))
        return error_set(error, ERROR_CONFIG, "unable to read %s: %s", name, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return depth < DEPTH_MAX ? load_directory(files, name, path, depth + 1, error)
                                 : error_set(error, ERROR_CONFIG, "%s lies too deep", name);
    return !S_ISREG(status.st_mode) || is_encoding(name) || load_file(files, name, path, error);
}

static bool load_directory(struct files *files, const char *name, const char *path, int depth,
                           struct error *error)
{
    char entry_name[PATH_SIZE], entry_path[PATH_SIZE];
    const struct dirent *entry;
    bool fine = true;
    DIR *directory = opendir(name);
    if (!directory)
        return error_set(error, ERROR_CONFIG, "unable to read %s: %s", name, strerror(errno));
    while (fine && (entry = readdir(directory))) {
        if (entry->d_name[0] == '.')
            continue;
        int length = snprintf(entry_name, sizeof entry_name, "%s/%s", name, entry->d_name);
        snprintf(entry_path, sizeof entry_path, "%s/%s", path, entry->d_name);
        fine = length < PATH_SIZE ? load_entry(files, entry_name, entry_path, depth, error)
                                  : error_set(error, ERROR_CONFIG, "%s: a name is too long", name);
    }
    closedir(directory);
    return fine;
}

bool files_load(struct files **loaded, const char *directory, struct error *error)
{
    struct files *files = calloc(1, sizeof *files);
    if (!files)
        abort();
    bool fine = load_directory(files, directory, "", 1, error);
    if (!fine)
        files_free(files);
    *loaded = fine ? files : NULL;
    return fine;
}

void files_free(struct files *files)
{
    struct file *next;
    for (struct file *file = files ? files->first : NULL; file; file = next) {
        next = file->next;
        for (size_t i = 0; i < ENCODINGS; i++)
            buf_free(&file->bodies[i]);
        free(file);
    }
    free(files);
}

/* --- Answering ------------------------------------------------------------------------------- */

/* Whether the list has `name`, and not with a weight of nothing: gzip, br;q=0.5, *;q=0 */
static bool encoding_is_accepted(const char *list, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = list; at && *at;) {
        at += strspn(at, " \t,");
        size_t word = strcspn(at, ",; \t"), whole = strcspn(at, ",");
        const char *weight = memmem(at, whole, "q=", 2);
        if (word == size && !strncasecmp(at, name, size))
            return !weight || strtod(weight + 2, NULL) > 0;
        at += whole;
    }
    return false;
}

static size_t choose_encoding(const struct file *file, const char *accepted)
{
    size_t i = 0;
    while (i < PLAIN &&
           !(file->bodies[i].data && encoding_is_accepted(accepted, encodings[i].name)))
        i++;
    return i;
}

bool files_reply(const struct files *files, struct http_request *request, const char *path,
                 const char *headers)
{
    const struct file *file = files->first;
    while (file && strcmp(file->path, path) != 0)
        file = file->next;
    if (!file)
        return false;
    struct buf lines = {0};
    size_t encoding = choose_encoding(file, http_header(request, "Accept-Encoding"));
    buf_format(&lines, "ETag: %s\r\nVary: Accept-Encoding\r\n", file->etag);
    if (encoding != PLAIN)
        buf_format(&lines, "Content-Encoding: %s\r\n", encodings[encoding].name);
    buf_text(&lines, headers ? headers : "");
    if (http_etag_matches(request, file->etag))
        http_reply(request, 304, NULL, lines.data, NULL, 0);
    else
        http_reply(request, 200, file->type, lines.data, file->bodies[encoding].data,
                   file->bodies[encoding].size);
    buf_free(&lines);
    return true;
}
