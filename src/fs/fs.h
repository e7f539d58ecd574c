/*
 * The FUSE side: decodes a request, calls the target layer, replies once.
 * Low-level API: one request, one handler, any libfuse thread.
 */
#ifndef RMFS_FS_FS_H
#define RMFS_FS_FS_H

#include <fuse_lowlevel.h>

struct fs;
struct store;

struct fs_options {
	/* Called once, when the kernel has greeted us: the mount works. */
	void (*ready)(void *arg);
	void *ready_arg;
};

/* The handlers; a session's userdata is its struct fs. */
extern const struct fuse_lowlevel_ops fs_ops;

/*
 * Make what the handlers need. @store outlives it.
 * Starts threads: call after daemonizing. Returns 0 or a negative errno.
 */
int fs_create(
	struct store *store, const struct fs_options *options, struct fs **out);

/* Tell the session that notifications go to: before its loop starts. */
void fs_set_session(struct fs *fs, struct fuse_session *session);

/*
 * Answer whatever is still parked or queued and stop the threads: after the
 * session's loop, before the session is destroyed.
 */
void fs_stop(struct fs *fs);

/* Takes NULL. After fs_stop. */
void fs_close(struct fs *fs);

#endif
