/* check.c - vote-admin check: does what readers are shown agree with Postgres? Changes nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/check.h"

#include "vote-admin/commands.h"
#include "vote/consistency.h"

#include <stdio.h>

enum { CONNECT_US = 5 * 1000 * 1000 };

#define AT(member) .offset = offsetof(struct admin_config, member)
/* clang-format off */
const struct option check_options[CHECK_OPTION_COUNT] = {
    {.name = "sample", .type = OPTION_INT, AT(sample), .preset = "100", .argument = "N", .min = 1,
     .max = 100000, .flags = OPTION_FLAG_ONLY, .summary = "projects, chosen at random"},
    {.name = "http-url", .type = OPTION_TEXT, AT(http_url), .argument = "URL",
     .flags = OPTION_FLAG_ONLY | OPTION_URL, .summary = "an HTTP cache to look at, too"},
    {.name = "timeout", .type = OPTION_DURATION, AT(check_timeout_us), .preset = "10s",
     .argument = "DURATION", .flags = OPTION_FLAG_ONLY,
     .summary = "those that differ are read again for so long"},
};
/* clang-format on */

static void check_tell(void *context, const char *project_id, const char *sentence,
                       int64_t lasted_us, bool still)
{
    (void)context;
    double lasted_s = (double)lasted_us / 1e6;
    if (still)
        printf("%s: %s, still after %.1f s\n", project_id, sentence, lasted_s);
    else
        printf("%s: %s, for %.1f s\n", project_id, sentence, lasted_s);
    fflush(stdout);
}

static bool check_print(const struct consistency *check, struct error *error)
{
    printf("check: %zu projects, %zu with votes on their way, %zu agreed at once, %zu differ: "
           "%.2f %% agree\n",
           check->sampled, check->pending, check->agreed, check->differ,
           100 * consistency_ratio(check));
    return check->differ == 0 || error_set(error, ERROR_FOUND, "%s", "");
}

bool check_run(void *context, const struct options *options, struct log *log, struct error *error)
{
    (void)options, (void)log;
    struct admin_config *config = context;
    struct pg pg = {.url = config->pg.url, .name = "vote-admin"};
    struct check_http *http = config->http_url ? check_http_new(config->http_url) : NULL;
    struct consistency check = {.pg = &pg,
                                .sample = config->sample,
                                .timeout_us = config->check_timeout_us,
                                .fetch = http ? check_http_fetch : NULL,
                                .tell = check_tell,
                                .context = http};
    bool fine = redis_open(&check.redis, &config->redis, error);
    if (fine && !redis_wait_up(check.redis, CONNECT_US))
        fine = error_set(error, ERROR_UNAVAILABLE, "unable to connect to redis");
    fine = fine && consistency_check(&check, error);
    if (fine && http && check_http_failed(http, error))
        fine = false;
    redis_close(check.redis);
    pg_close(&pg);
    check_http_free(http);
    return fine && check_print(&check, error);
}
