/* log.c - one line an event on stderr. SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"

#include <string.h>
#include <unistd.h>

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* logfmt quotes a value that is empty or holds a blank, a quote, an equals sign or a control. */
static void logfmt_put(struct buf *line, const char *text)
{
    size_t size = strlen(text);
    bool plain = size > 0;
    for (size_t i = 0; i < size && plain; i++)
        plain = (unsigned char)text[i] > ' ' && text[i] != '"' && text[i] != '=' && text[i] != '\\';
    if (plain && buf_is_utf8(text, size))
        buf_put(line, text, size);
    else
        buf_json(line, text, size);
}

static void field_put_logfmt(struct buf *line, const struct log_field *field)
{
    buf_format(line, "%s%s=", line->size ? " " : "", field->key);
    if (field->kind == LOG_KIND_TEXT)
        logfmt_put(line, field->text ? field->text : "");
    else if (field->kind == LOG_KIND_INT)
        buf_int(line, field->number);
    else
        buf_format(line, "%.3f", field->real);
}

static void field_put_json(struct buf *line, const struct log_field *field)
{
    if (field->kind == LOG_KIND_TEXT) {
        buf_member_text(line, field->key, field->text);
    } else if (field->kind == LOG_KIND_INT) {
        buf_member_int(line, field->key, field->number);
    } else {
        buf_member(line, field->key);
        buf_format(line, "%.3f", field->real);
    }
}

void log_write(const struct log *log, enum log_level level, const char *message,
               const struct log_field *fields)
{
    if ((int)level < log->level)
        return;
    char now[CLOCK_TEXT_SIZE];
    clock_format_ms(clock_wall_ms(), now);
    const struct log_field head[] = {LOG_STR("ts", now), LOG_STR("level", level_names[level]),
                                     LOG_STR("tool", log->tool), LOG_STR("msg", message)};
    bool json = log->format == LOG_JSON;
    void (*put)(struct buf *, const struct log_field *) = json ? field_put_json : field_put_logfmt;
    struct buf line = {0};
    if (json)
        buf_char(&line, '{');
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        put(&line, &head[i]);
    for (; fields->kind != LOG_END; fields++)
        put(&line, fields);
    buf_text(&line, json ? "}\n" : "\n");
    ssize_t written = write(log->fd, line.data, line.size);
    (void)written; /* a log that cannot be written has nowhere to say so */
    buf_free(&line);
}

void log_error(const struct log *log, enum log_level level, const char *message,
               const struct error *error)
{
    LOG_EVENT(log, level, message, LOG_STR("error", error->text));
}
