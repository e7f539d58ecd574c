/* The run of the daemon: from the checks before it to the last unmount. */
#ifndef RMFS_RMFS_DAEMON_H
#define RMFS_RMFS_DAEMON_H

#include "rmfs/settings.h"

/*
 * Serve settings->source at settings->mountpoint. Unless in the foreground,
 * the caller is the parent: it returns once the mount works, or failed.
 * What goes wrong is logged. No thread may run yet. Returns main's status.
 */
int daemon_run(const struct settings *settings);

#endif
