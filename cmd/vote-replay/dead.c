/* dead.c - what the headers of a dead letter say: Kafka Connect's dialect (KIP-298) and the short
 * one. SPDX-License-Identifier: Apache-2.0 */
#include "vote-replay/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const prefixes[] = {"__connect.errors.", "__dlq.errors."};
static const char *const extras[] = {"vote_attempts", "vote_first_failed_at", "vote_sqlstate"};
enum { PREFIXES = 2, EXTRAS = 3 };

static bool header_text(const rd_kafka_headers_t *headers, const char *name, char *text,
                        size_t size)
{
    const void *value;
    size_t length;
    if (rd_kafka_header_get_last(headers, name, &value, &length) || !value || length >= size)
        return false;
    memcpy(text, value, length);
    text[length] = '\0';
    return true;
}

static bool either_text(const rd_kafka_headers_t *headers, const char *name, char *text,
                        size_t size)
{
    for (int i = 0; i < PREFIXES; i++) {
        char full[80];
        snprintf(full, sizeof full, "%s%s", prefixes[i], name);
        if (header_text(headers, full, text, size))
            return true;
    }
    return false;
}

/* Words in the names of exceptions, and what they tell. */
static const struct {
    const char *word, *class;
} exceptions[] = {
    {"undecodable", "undecodable"}, {"Serializ", "undecodable"},      {"Deserializ", "undecodable"},
    {"Conver", "undecodable"},      {"DataException", "undecodable"}, {"Parse", "undecodable"},
    {"Retriable", "transient"},     {"Timeout", "transient"},         {"Connection", "transient"},
    {"Unavailable", "transient"},   {"Disconnect", "transient"},      {"transient", "transient"},
};

static const char *class_of_state(const char *sqlstate)
{
    if (pg_state_class(sqlstate))
        return "transient";
    if (!strncmp(sqlstate, "22", 2))
        return "data";
    return strncmp(sqlstate, "23", 2) ? "refused" : "constraint";
}

/* Of a Java class only its own name is told. */
static const char *class_of_exception(const char *exception)
{
    const char *dot = strrchr(exception, '.');
    for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++) {
        if (strstr(exception, exceptions[i].word))
            return exceptions[i].class;
    }
    return dot && dot[1] ? dot + 1 : exception;
}

void dead_read(struct dead *dead, const rd_kafka_headers_t *headers)
{
    char partition[24];
    *dead = (struct dead){0};
    if (!headers)
        return;
    dead->is_dead = either_text(headers, "topic", dead->origin, sizeof dead->origin) ||
                    either_text(headers, "partition", partition, sizeof partition);
    const char *class = dead->is_dead ? "unknown" : "";
    if (header_text(headers, "vote_sqlstate", dead->exact, sizeof dead->exact))
        class = class_of_state(dead->exact);
    else if (header_text(headers, "__connect.errors.exception.class.name", dead->exact,
                         sizeof dead->exact))
        class = class_of_exception(dead->exact);
    snprintf(dead->class, sizeof dead->class, "%s", class);
}

static bool name_is(const char *name, const char *wanted, size_t size)
{
    return strlen(name) == size && !memcmp(name, wanted, size);
}

bool dead_is_of_class(const struct dead *dead, const char *classes)
{
    while (*classes) {
        size_t size = strcspn(classes, ",");
        if (size && (name_is(dead->class, classes, size) || name_is(dead->exact, classes, size)))
            return true;
        classes += size + (classes[size] == ',');
    }
    return false;
}

static bool is_about_the_error(const char *name)
{
    for (int i = 0; i < PREFIXES; i++) {
        if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
            return true;
    }
    for (int i = 0; i < EXTRAS; i++) {
        if (!strcmp(name, extras[i]))
            return true;
    }
    return false;
}

/* Removing one moves the others, and frees its name. */
void dead_strip(rd_kafka_headers_t *headers)
{
    const char *name;
    const void *value;
    size_t size, at = 0;
    while (!rd_kafka_header_get_all(headers, at, &name, &value, &size)) {
        if (!is_about_the_error(name)) {
            at++;
            continue;
        }
        char *kept = strdup(name);
        if (!kept)
            abort();
        rd_kafka_header_remove(headers, kept);
        free(kept);
    }
}
