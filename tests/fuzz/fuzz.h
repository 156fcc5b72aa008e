/* fuzz.h - what every fuzz target offers: libFuzzer calls it with what it invents, replay.c with
 * the files of a corpus. SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_H
#define FUZZ_H

#undef NDEBUG /* a target is its assertions */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* Runs the code under test on one input and asserts what must hold for any. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
