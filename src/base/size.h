/* Sizes as people write them. */
#ifndef RMFS_BASE_SIZE_H
#define RMFS_BASE_SIZE_H

#include <stddef.h>
#include <stdint.h>

#define SIZE_TEXT_MAX 32

/*
 * Read a size: a decimal number, then nothing (bytes), K, M, G, T or KiB, MiB,
 * GiB, TiB (powers of 1024), or KB, MB, GB, TB (powers of 1000).
 * @text   the whole text must be the size: no sign, no space, no fraction
 * @bytes  set on success only
 * Returns 0, -EINVAL (not a size), -ERANGE (over 2^63 - 1, a file's limit).
 */
int size_parse(const char *text, uint64_t *bytes);

/*
 * Write @bytes for a person, in powers of 1024: "64 MiB", "1.5 GiB", "17 B".
 * @buf  SIZE_TEXT_MAX bytes; returned
 */
char *size_format(char *buf, uint64_t bytes);

#endif
