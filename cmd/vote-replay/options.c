/* options.c - vote-replay's options, and which of them go together. SPDX-License-Identifier:
 * Apache-2.0 */
#include "vote-replay/options.h"

#include "vote/event.h"

#define AT(member) .offset = offsetof(struct replay_config, member)
/* clang-format off */
const struct option replay_options[] = {
    {.name = "from", .type = OPTION_TEXT, AT(from), .argument = "TOPIC",
     .flags = OPTION_FLAG_ONLY, .summary = "requests, results, dead, or any name"},
    {.name = "file", .type = OPTION_TEXT, AT(file), .argument = "FILE",
     .flags = OPTION_FLAG_ONLY, .summary = "votes.csv, or envelopes of vote-tail; -: stdin"},
    {.name = "offset", .letter = 'o', .type = OPTION_TEXT, AT(selector), .argument = "SELECTOR",
     .flags = OPTION_FLAG_ONLY, .summary = "start, end, +N, -N, A:B, @T, @T1:T2, @-15m:"},
    {.name = "follow", .letter = 'f', .type = OPTION_SWITCH, AT(follow),
     .flags = OPTION_FLAG_ONLY, .summary = "wait for more"},
    {.name = "to", .type = OPTION_TEXT, AT(to), .argument = "TOPIC", .flags = OPTION_FLAG_ONLY,
     .summary = "send there; without it: stdout"},
    {.name = "yes", .type = OPTION_SWITCH, AT(yes), .flags = OPTION_FLAG_ONLY,
     .summary = "also to topics outside vote.*"},
    {.name = "dry-run", .type = OPTION_SWITCH, AT(dry_run), .flags = OPTION_FLAG_ONLY,
     .summary = "send nothing, say what would be"},
    {.name = "rate", .type = OPTION_RATE, AT(rate_per_s), .preset = "0", .argument = "N/s",
     .flags = OPTION_FLAG_ONLY, .summary = "so many at most; 0: no limit"},
    {.name = "resume", .type = OPTION_TEXT, AT(resume), .argument = "FILE",
     .flags = OPTION_FLAG_ONLY, .summary = "go on where the last run with it ended"},
    {.name = "max-replays", .type = OPTION_INT, AT(max_replays), .preset = "3", .argument = "N",
     .max = 1000000, .flags = OPTION_FLAG_ONLY, .summary = "leave out what was replayed so often"},
    {.name = "redrive", .type = OPTION_SWITCH, AT(redrive), .flags = OPTION_FLAG_ONLY,
     .summary = "send dead letters back where they came from"},
    {.name = "class", .type = OPTION_TEXT, AT(classes), .argument = "CLASS,...",
     .flags = OPTION_FLAG_ONLY, .summary = "only dead letters of these error classes"},
    {.name = "after", .type = OPTION_DURATION, AT(after_us), .preset = "0", .argument = "DURATION",
     .flags = OPTION_FLAG_ONLY, .summary = "only once they are so old"},
    {.name = "verify", .type = OPTION_SWITCH, AT(verify), .flags = OPTION_FLAG_ONLY,
     .summary = "replay into a scratch database, compare"},
};
/* clang-format on */
const size_t replay_option_count = sizeof replay_options / sizeof *replay_options;

static bool together(bool wrong, const char *text, struct error *error)
{
    return !wrong || error_set(error, ERROR_USAGE, "%s", text);
}

/* Of a topic to stdout nothing is replayed, so nothing is remembered either. */
static bool targets_check(const struct replay_config *config, struct error *error)
{
    bool sends = (config->to || config->redrive) && !config->dry_run;
    if (config->to && !config->yes && !topic_is_ours(topic_name(config->to)))
        return error_set(error, ERROR_USAGE, "%s is outside vote.*: --yes sends there", config->to);
    return together(config->resume && !sends, "--resume needs --to or --redrive, and no --dry-run",
                    error) &&
           together(config->dry_run && config->follow, "--dry-run and --follow: it would never end",
                    error);
}

bool replay_check(struct replay_config *config, struct error *error)
{
    if (config->redrive && !config->from && !config->file)
        config->from = TOPIC_DEAD;
    if (config->verify)
        return together(config->from || config->file || config->to || config->redrive ||
                            config->resume || config->dry_run,
                        "--verify stands alone", error);
    return together(!config->from == !config->file,
                    "one of --from, --file, --redrive, --verify is needed", error) &&
           together(config->file && (config->selector || config->follow || config->after_us),
                    "-o, --follow and --after choose from a topic, not from a file", error) &&
           targets_check(config, error) && filter_check(&config->filter, error);
}
