/* options.h - which options go together. SPDX-License-Identifier: Apache-2.0 */
#ifndef REPLAY_OPTIONS_H
#define REPLAY_OPTIONS_H

#include "vote-replay/replay.h"

/* Completes the config, or says what does not go together (ERROR_USAGE). */
bool replay_check(struct replay_config *config, struct error *error)
    __attribute__((warn_unused_result));

#endif
