/* SOURCE and MOUNTPOINT: whether they go together, before anything starts. */
#ifndef RMFS_RMFS_PATHS_H
#define RMFS_RMFS_PATHS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct paths {
	char *source; /* absolute, without links; owned */
	char *mountpoint;
};

/*
 * Resolve both and refuse what cannot work: SOURCE no folder, MOUNTPOINT
 * missing or no folder, one inside the other or the same, an rmfs mounted
 * there already. A dead rmfs mount on MOUNTPOINT is taken away, with a line
 * in the log.
 * @why  set to one line on failure; @why_size bytes
 * Returns 0, or a negative errno.
 */
int paths_resolve(const char *source, const char *mountpoint,
	struct paths *paths, char *why, size_t why_size);

void paths_fini(struct paths *paths);

/* Is the absolute path @path the folder @folder, or below it? */
bool path_is_within(const char *path, const char *folder);

/*
 * Find what is mounted on @path, last of all, in a mountinfo file (proc(5)).
 * @type  set to the filesystem type, "" when nothing is; @type_size bytes
 */
void mountinfo_type(
	FILE *mountinfo, const char *path, char *type, size_t type_size);

#endif
