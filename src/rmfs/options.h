/* The command line. One table drives reading it and --help. */
#ifndef RMFS_RMFS_OPTIONS_H
#define RMFS_RMFS_OPTIONS_H

#include <stdio.h>

#include "rmfs/settings.h"

/*
 * Read the command line into @settings.
 * @argv      permuted, options first
 * @settings  zeroed before; the caller finishes it, also after a failure
 * @why       set to one line on failure; @why_size bytes
 * One thread. Returns 0, -EINVAL (refused), -ENOMEM.
 */
int options_parse(int argc, char **argv, struct settings *settings, char *why,
	size_t why_size);

/* Print how rmfs is called. */
void options_help(FILE *out);

#endif
