/* replay.c - feeds the files given as arguments to a fuzz target once, as a regression test.
 * SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The input has a block of its own size, so that a sanitizer sees one byte read too far. */
static void replay_file(const char *path)
{
    uint8_t scratch[32768];
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    size_t size = fread(scratch, 1, sizeof scratch, file);
    assert(size < sizeof scratch);
    fclose(file);
    uint8_t *data = malloc(size);
    assert(data || size == 0);
    memcpy(data, scratch, size);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
}

/* Names each input before it runs: the last line tells which one ended the program. */
int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    for (int i = 1; i < argc; i++) {
        printf("[ RUN      ] %s\n", argv[i]);
        fflush(stdout);
        replay_file(argv[i]);
    }
    if (argc < 2)
        return EXIT_FAILURE;
    printf("[       OK ] %s: %d inputs\n", slash ? slash + 1 : argv[0], argc - 1);
    return EXIT_SUCCESS;
}
