/* Opening below a folder without ever leaving it. */
#ifndef RMFS_BASE_OPENAT_H
#define RMFS_BASE_OPENAT_H

#include <sys/types.h>

/*
 * openat2 with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and O_CLOEXEC (Linux 5.6).
 * Returns a descriptor or a negative errno: -ELOOP (a symbolic link), -EXDEV
 * (it leads out).
 */
int open_beneath(int dirfd, const char *name, int flags, mode_t mode);

#endif
