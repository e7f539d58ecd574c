/* The configuration file, rmfs.conf(5). */
#ifndef RMFS_RMFS_CONFIG_H
#define RMFS_RMFS_CONFIG_H

#include "rmfs/settings.h"

/*
 * Add what the file says to what the command line has said already.
 * Everything is checked before anything is taken: names and sizes of targets
 * too.
 * @why  set to "FILE:LINE: what" on failure; @why_size bytes
 * Returns 0, -EINVAL (the file is wrong), -ENOMEM, or the error of reading it.
 */
int config_load(const char *path, struct settings *settings, char *why,
	size_t why_size);

#endif
