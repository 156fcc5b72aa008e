/* run.h - what main.c needs of vote-load. SPDX-License-Identifier: Apache-2.0 */
#ifndef LOAD_RUN_H
#define LOAD_RUN_H

#include "vote-load/load.h"

extern const struct option load_options[];
extern const size_t load_option_count;

bool load_run(void *config, const struct options *options, struct log *log, struct error *error);

#endif
