/* Permission bits as people write them. */
#ifndef RMFS_BASE_MODE_H
#define RMFS_BASE_MODE_H

#include <sys/types.h>

/*
 * Read the mode of a file that its owner reads and writes: octal, 0600 to
 * 0777, with or without the leading zero.
 * @mode  set on success only
 * Returns 0, -EINVAL (not such a mode).
 */
int mode_parse(const char *text, mode_t *mode);

#endif
