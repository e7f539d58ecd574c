/* The session's beginning and end, and what every handler needs. */
#include "fs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "fs/request.h"

enum { WORKERS = 4, SYNCERS = 2, MAX_WRITE = 1 << 20 };

/* ---- capabilities ----------------------------------------------------------
 */

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
static void want(struct fuse_conn_info *conn, uint64_t capability)
{
	fuse_set_feature_flag(conn, capability);
}

static void refuse(struct fuse_conn_info *conn, uint64_t capability)
{
	fuse_unset_feature_flag(conn, capability);
}
#else
static void want(struct fuse_conn_info *conn, unsigned capability)
{
	conn->want |= conn->capable & capability;
}

static void refuse(struct fuse_conn_info *conn, unsigned capability)
{
	conn->want &= ~capability;
}
#endif

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct fs *fs = userdata;

	conn->max_write = MAX_WRITE;
	want(conn, FUSE_CAP_SPLICE_READ);
	/* FLUSH would overtake writes, and a short write become EIO. */
	refuse(conn, FUSE_CAP_ASYNC_DIO);
	/* With entries that are not kept every one is looked up again. */
	refuse(conn, FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO);
	/* The kernel would own sizes, let two writers in, and hide overruns. */
	refuse(conn, FUSE_CAP_WRITEBACK_CACHE);
#ifdef FUSE_CAP_DIRECT_IO_ALLOW_MMAP
	want(conn, FUSE_CAP_DIRECT_IO_ALLOW_MMAP);
#endif
	if (fs->options.ready)
		fs->options.ready(fs->options.ready_arg);
}

/* ---- nodes -----------------------------------------------------------------
 */

int node_find(struct fs *fs, fuse_ino_t ino, struct node *node)
{
	*node = (struct node){.ino = ino, .kind = inode_kind(ino)};
	if (ino == FUSE_ROOT_ID)
		return 0;
	node->target = store_target(fs->store, inode_target(ino));
	if (!node->target || node->kind == KIND_ROOT)
		return -ESTALE;
	if (node->kind == KIND_SLOT || node->kind == KIND_RECEIPT) {
		node->slot = target_slot(node->target, inode_slot(ino));
		if (!node->slot)
			return -ESTALE;
	}
	return 0;
}

bool node_or_reply(fuse_req_t req, fuse_ino_t ino, struct node *node)
{
	int err = node_find(request_fs(req), ino, node);

	if (err)
		reply_error(req, err);
	return !err;
}

struct node node_sibling(
	const struct node *node, enum kind kind, struct slot *slot)
{
	return (struct node){
		.ino = inode_make(node->target->id, kind,
			slot ? target_slot_id(node->target, slot) : 0),
		.kind = kind,
		.target = node->target,
		.slot = slot,
	};
}

/* ---- tasks -----------------------------------------------------------------
 */

struct task *task_create(fuse_req_t req, const struct node *node,
	const struct fuse_file_info *fi, const char *name)
{
	size_t len = name ? strlen(name) + 1 : 0;
	struct task *task = calloc(1, sizeof(*task) + len);

	if (!task) {
		reply_error(req, -ENOMEM);
		return NULL;
	}
	task->fs = request_fs(req);
	task->req = req;
	task->node = *node;
	if (fi) {
		task->fi = *fi;
		if (node->kind == KIND_SLOT)
			task->writer = (struct writer *)(uintptr_t)fi->fh;
	}
	if (name)
		memcpy(task->name, name, len);
	return task;
}

void task_end(struct task *task, int err)
{
	reply_error(task->req, err);
	free(task->bytes);
	free(task);
}

static void run_task(struct job *job)
{
	struct task *task = task_of(job, job);

	task->work(task);
}

static void run_on(struct workers *workers, struct task *task,
	void (*work)(struct task *task))
{
	task->work = work;
	task->job.run = run_task;
	workers_run(workers, &task->job);
}

void task_run(struct task *task, void (*work)(struct task *task))
{
	run_on(task->fs->workers, task, work);
}

void task_run_sync(struct task *task, void (*work)(struct task *task))
{
	run_on(task->fs->syncers, task, work);
}

struct notice {
	struct job job;
	struct fuse_session *session;
	fuse_ino_t ino;
};

static void send_notice(struct job *job)
{
	struct notice *notice = (struct notice *)job;

	fuse_lowlevel_notify_inval_inode(notice->session, notice->ino, 0, 0);
	free(notice);
}

void notify_changed(struct fs *fs, const struct node *node)
{
	struct notice *notice = malloc(sizeof(*notice));

	/* Without memory the kernel learns of it a second later. */
	if (!notice)
		return;
	*notice = (struct notice){
		.job.run = send_notice,
		.session = fs->session,
		.ino = node->ino,
	};
	workers_run(fs->workers, &notice->job);
}

/* ---- what is never allowed, and the file system as a whole -----------------
 */

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name,
	mode_t mode, dev_t rdev)
{
	(void)parent, (void)name, (void)mode, (void)rdev;
	reply_error(req, -EPERM);
}

static void op_mkdir(
	fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	(void)parent, (void)name, (void)mode;
	reply_error(req, -EPERM);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	(void)parent, (void)name;
	reply_error(req, -EPERM);
}

static void op_symlink(
	fuse_req_t req, const char *to, fuse_ino_t parent, const char *name)
{
	(void)to, (void)parent, (void)name;
	reply_error(req, -EPERM);
}

static void op_link(
	fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	(void)ino, (void)parent, (void)name;
	reply_error(req, -EPERM);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
	fuse_ino_t new_parent, const char *new_name, unsigned flags)
{
	(void)parent, (void)name, (void)new_parent, (void)flags;
	reply_error(req, new_name[0] == '.' ? -EINVAL : -EPERM);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st;

	(void)ino;
	if (fstatvfs(store_dirfd(request_fs(req)->store), &st))
		reply_error(req, -errno);
	else
		fuse_reply_statfs(req, &st);
}

const struct fuse_lowlevel_ops fs_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.read = op_read,
	.write_buf = op_write_buf,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.statfs = op_statfs,
	.create = op_create,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
};

/* ---- life ------------------------------------------------------------------
 */

int fs_create(
	struct store *store, const struct fs_options *options, struct fs **out)
{
	struct fs *fs = calloc(1, sizeof(*fs));
	int err;

	if (!fs)
		return -ENOMEM;
	fs->store = store;
	fs->options = *options;
	err = workers_create(WORKERS, &fs->workers);
	if (!err)
		err = workers_create(SYNCERS, &fs->syncers);
	if (err) {
		workers_close(fs->workers);
		free(fs);
		return err;
	}
	*out = fs;
	return 0;
}

void fs_set_session(struct fs *fs, struct fuse_session *session)
{
	fs->session = session;
}

void fs_stop(struct fs *fs)
{
	parking_stop(store_parking(fs->store));
	/* Who syncs may still hand something to a worker. */
	workers_close(fs->syncers);
	workers_close(fs->workers);
	fs->syncers = fs->workers = NULL;
}

void fs_close(struct fs *fs)
{
	free(fs);
}
