/* origin.h - which pages may read an answer (Fetch standard, "CORS protocol").
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ORIGIN_H
#define BASE_ORIGIN_H

#include <stdbool.h>

/* Whether the list (of origins by comma, or "*") has this origin. */
bool origin_is_listed(const char *origins, const char *origin);

#endif
