/*
 * What a run of rmfs shall do: the command line's word, then what the
 * configuration file adds to it.
 */
#ifndef RMFS_RMFS_SETTINGS_H
#define RMFS_RMFS_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "target/store.h"

/* One line telling what was refused, with room for a path. */
#define WHY_MAX 4608

#define THREADS_MAX 512u

/* Who may enter the mount. */
enum access {
	ACCESS_UNSAID, /* the user who mounts */
	ACCESS_OWNER,
	ACCESS_ROOT,
	ACCESS_OTHER,
};

/* Does close wait until a receipt is durable? */
enum strictness {
	STRICT_UNSAID, /* it does not */
	STRICT_NO,
	STRICT_YES,
};

/* Zeroed: nothing said. All texts are owned, NULL when not said. */
struct settings {
	char *source;
	char *mountpoint;
	char *config;
	char *fsname;
	char *fuse_options; /* for libfuse: comma-separated, escaped */
	unsigned threads;   /* 0: not said */
	enum access access;
	enum strictness strict;
	bool foreground;
	bool debug;
	bool clone_fd;
	bool help;
	bool version;
	struct target_spec *targets; /* owned, their names too */
	size_t target_count;
};

/* Free what it holds and zero it. */
void settings_fini(struct settings *settings);

/* Read a number of threads. Returns 0, -EINVAL (not 1 to THREADS_MAX). */
int settings_threads(const char *text, unsigned *threads);

/* Read "strict" or "normal". Returns 0, -EINVAL (neither). */
int settings_durability(const char *text, enum strictness *strict);

/* Take from @more what @settings has not said; @more is left finished. */
void settings_add(struct settings *settings, struct settings *more);

#endif
