/* files.h - the files of a built web page, held in memory and served over HTTP.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_FILES_H
#define HTTP_FILES_H

#include "http/http.h"

struct files;

/* Reads `directory` and the directories in it, at most FILES_BYTES_MAX altogether. What lies beside
 * a file as NAME.br or NAME.gz is the same compressed. ERROR_CONFIG: it cannot be read, or is too
 * large. Free it with files_free. */
enum { FILES_BYTES_MAX = 64 * 1024 * 1024 };
bool files_load(struct files **files, const char *directory, struct error *error)
    __attribute__((warn_unused_result));
void files_free(struct files *files); /* NULL is fine */

/* Answers with the file at `path` ("/index.html"), in the best encoding that the client takes (RFC
 * 9110 section 12.5.3), or with 304 when it has it already. `headers` is NULL or whole lines.
 * False: there is no such file, and nothing was answered. */
bool files_reply(const struct files *files, struct http_request *request, const char *path,
                 const char *headers) __attribute__((warn_unused_result));

#endif
