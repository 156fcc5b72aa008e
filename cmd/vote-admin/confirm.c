/* confirm.c - asks before what cannot be taken back. SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/commands.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *const format_choices[] = {"text", "json", NULL};

bool confirm_has_terminal(void)
{
    return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

bool confirm(const struct admin_config *config, const char *question, struct error *error)
{
    char answer[8] = "";
    if (config->yes)
        return true;
    if (!confirm_has_terminal())
        return error_set(error, ERROR_USAGE,
                         "there is no terminal to ask on: give --yes, or see with --dry-run what "
                         "would be done");
    fprintf(stderr, "%s [y/N] ", question);
    if (fgets(answer, sizeof answer, stdin) &&
        (!strcasecmp(answer, "y\n") || !strcasecmp(answer, "yes\n")))
        return true;
    return error_set(error, ERROR_FOUND, "not confirmed: nothing was changed");
}
