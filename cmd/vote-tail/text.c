/* text.c - what of a record's text may reach a terminal. SPDX-License-Identifier: Apache-2.0 */
#include "vote-tail/tail.h"

/* Those of C1, U+0080 to U+009F, are two bytes. */
size_t text_control_size(const char *text, size_t size)
{
    unsigned char c = (unsigned char)text[0], next = size > 1 ? (unsigned char)text[1] : 0;
    if (c < ' ' || c == 0x7f)
        return 1;
    return c == 0xc2 && next >= 0x80 && next < 0xa0 ? 2 : 0;
}
