/*
 * What the handlers share: the node a request is about, replies, and tasks, the
 * requests that are answered later or by another thread.
 */
#ifndef RMFS_FS_REQUEST_H
#define RMFS_FS_REQUEST_H

#include <stddef.h>

#include "base/workers.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "target/durability.h"
#include "target/parking.h"
#include "target/slot.h"
#include "target/store.h"
#include "target/target.h"

/* Attributes change by writes, which the kernel sees, and by revocation, which
 * it is told of. Names of slots and receipts come and go. */
#define ATTR_TIMEOUT_S 1.0
#define STABLE_ENTRY_TIMEOUT_S 60.0

struct fs {
	struct store *store;
	struct workers *workers; /* record, read back, zero, open */
	struct workers
		*syncers; /* wait for the disk: a slow one holds up no close */
	struct fuse_session *session;
	struct fs_options options;
};

/* The thing an inode number stands for. target and slot: where it has one. */
struct node {
	fuse_ino_t ino;
	enum kind kind;
	struct target *target;
	struct slot *slot;
};

/* A text that was made when it was opened: status, receipts. */
struct text {
	size_t len;
	char *bytes;
};

/*
 * A request on its way through a worker or the parking; freed when answered.
 * Which fields are used, work says.
 */
struct task {
	struct job job;
	struct waiter waiter;
	struct durable_waiter durable;
	struct fs *fs;
	fuse_req_t req;
	void (*work)(struct task *task);
	struct node node;
	struct fuse_file_info fi;
	struct writer *writer;
	struct who who;
	bool create; /* the open answers a CREATE */
	struct stat attr;
	int to_set;
	ssize_t result; /* what to answer a write with */
	int mode;       /* of fallocate */
	uint64_t offset, len;
	char *bytes; /* of a write that was blocked; freed with the task */
	char name[];
};

#define task_of(member_ptr, member) \
	((struct task *)((char *)(member_ptr)-offsetof(struct task, member)))

static inline struct fs *request_fs(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* The one place where a negative errno becomes what FUSE wants. */
static inline void reply_error(fuse_req_t req, int err)
{
	fuse_reply_err(req, -err);
}

/* A task with room for @name (may be NULL), or NULL after -ENOMEM was sent. */
struct task *task_create(fuse_req_t req, const struct node *node,
	const struct fuse_file_info *fi, const char *name);

/* Send the error, or 0, and free the task. */
void task_end(struct task *task, int err);

/* Let a worker call @work, which answers the request and frees the task. */
void task_run(struct task *task, void (*work)(struct task *task));
/* The same, for work that syncs. */
void task_run_sync(struct task *task, void (*work)(struct task *task));

/* Find what @ino stands for. Returns 0 or -ESTALE. */
int node_find(struct fs *fs, fuse_ino_t ino, struct node *node);

/* The same, and an error is answered: false then. */
bool node_or_reply(fuse_req_t req, fuse_ino_t ino, struct node *node);

/* stat of a node. Returns 0, -ENOENT (a receipt that is gone), -ENOMEM. */
int node_stat(struct fs *fs, const struct node *node, struct stat *st);

/* What a lookup of @node answers. Returns as node_stat. */
int node_entry(
	struct fs *fs, const struct node *node, struct fuse_entry_param *entry);

/* The node of @kind in the same target. */
struct node node_sibling(
	const struct node *node, enum kind kind, struct slot *slot);

/* Is it a file whose text is made when it is opened? */
bool text_kind(enum kind kind);

/* Make it. Returns 0, -ENOENT, -ENOMEM. Free bytes after. */
int text_make(const struct node *node, struct text *text);

/* Nanoseconds of CLOCK_REALTIME as the kernel has them. */
struct timespec text_time(int64_t ns);

/* Tell the kernel, soon, to forget what it has cached of @node. */
void notify_changed(struct fs *fs, const struct node *node);

/* ctl.c: a handle of KIND_CTL. */
void ctl_open(fuse_req_t req, struct fuse_file_info *fi);
void ctl_release(const struct fuse_file_info *fi);
void ctl_read(fuse_req_t req, const struct fuse_file_info *fi, size_t size);
void ctl_write(fuse_req_t req, const struct node *node, struct fuse_bufvec *in,
	const struct fuse_file_info *fi);

/* Handlers, by file. tree.c: */
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	struct fuse_file_info *fi);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
/* open.c: */
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	struct fuse_file_info *fi);
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
	struct fuse_file_info *fi);
/* io.c: */
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	struct fuse_file_info *fi);
void op_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *in,
	off_t offset, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
	struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
	off_t len, struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
	struct fuse_file_info *fi);

#endif
