/* Bytes in and out, and the size. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/request.h"

/* ---- reading ---------------------------------------------------------------
 */

/* Straight from the mapping: a page that is broken is EFAULT in the kernel's
 * copy, and the reader gets EIO. */
static void read_data(
	fuse_req_t req, const struct target *target, size_t size, off_t offset)
{
	uint64_t at = (uint64_t)offset;
	uint64_t left = at < target->size ? target->size - at : 0;

	fuse_reply_buf(req, left ? target->base + at : NULL,
		size < left ? size : left);
}

/* Too many holes to name each. */
static void read_copied(
	fuse_req_t req, const struct node *node, size_t size, off_t offset)
{
	AUTO_FREE char *buf = malloc(size);
	ssize_t n = buf ? slot_read_copy(node->target, node->slot, buf, size,
				  (uint64_t)offset)
			: -ENOMEM;

	if (n < 0)
		reply_error(req, (int)n);
	else
		fuse_reply_buf(req, buf, (size_t)n);
}

static void read_slot(
	fuse_req_t req, const struct node *node, size_t size, off_t offset)
{
	struct slot_read plan;

	if (slot_read_plan(
		    node->target, node->slot, (uint64_t)offset, size, &plan))
		read_copied(req, node, size, offset);
	else
		fuse_reply_iov(req, plan.runs, plan.count);
}

static void read_text(
	fuse_req_t req, const struct text *text, size_t size, off_t offset)
{
	size_t at = (size_t)offset < text->len ? (size_t)offset : text->len;
	size_t left = text->len - at;

	fuse_reply_buf(req, text->bytes + at, size < left ? size : left);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	struct fuse_file_info *fi)
{
	struct node node;

	if (!node_or_reply(req, ino, &node))
		return;
	if (node.kind == KIND_DATA)
		read_data(req, node.target, size, offset);
	else if (node.kind == KIND_SLOT)
		read_slot(req, &node, size, offset);
	else if (node.kind == KIND_CTL)
		ctl_read(req, fi, size);
	else if (text_kind(node.kind))
		read_text(req, (struct text *)(uintptr_t)fi->fh, size, offset);
	else
		reply_error(req, -EISDIR);
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
	struct fuse_file_info *fi)
{
	struct node node;
	int64_t found;

	(void)fi;
	if (!node_or_reply(req, ino, &node))
		return;
	if (node.kind == KIND_SLOT) {
		found = slot_seek(node.target, node.slot, (uint64_t)offset,
			whence == SEEK_DATA);
	} else if (node.kind == KIND_DATA) {
		found = (uint64_t)offset >= node.target->size ? -ENXIO
			: whence == SEEK_DATA                 ? offset
					      : (int64_t)node.target->size;
	} else {
		found = -EINVAL;
	}
	if (found < 0)
		reply_error(req, (int)found);
	else
		fuse_reply_lseek(req, found);
}

/* ---- writing ---------------------------------------------------------------
 */

/*
 * Move the request's bytes to where they belong. From the pipe that is one
 * read(2) into the mapping: the kernel's only copy, and a page that is broken
 * is EFAULT there. What came in memory (small writes, io_uring) is copied under
 * the guard. Returns the count or a negative errno.
 */
static ssize_t move_bytes(struct fuse_bufvec *in, const struct slot_write *op)
{
	struct target *target = op->writer->target;
	struct fuse_buf *from = &in->buf[0];
	struct fuse_bufvec to = FUSE_BUFVEC_INIT(op->len);
	ssize_t n;
	int err;

	if (!(from->flags & FUSE_BUF_IS_FD)) {
		err = rmm_map_write_all_at(target->map, from->mem, op->len,
			(uint64_t)(op->bytes - target->base));
		return err ? err : (ssize_t)op->len;
	}
	from->flags |= FUSE_BUF_FD_RETRY;
	to.buf[0].mem = op->bytes;
	n = fuse_buf_copy(&to, in, 0);
	return n == -EFAULT ? -EIO : n;
}

static void reply_written(struct task *task)
{
	if (task->result < 0) {
		task_end(task, (int)task->result);
		return;
	}
	fuse_reply_write(task->req, (size_t)task->result);
	free(task->bytes);
	free(task);
}

/*
 * A worker's: what a write leaves to be done. Its bytes, if it was blocked; its
 * record, if it failed; its sync. Through O_SYNC, O_DSYNC and RWF_SYNC: only
 * the flags of each write tell.
 */
static void finish_write(struct task *task)
{
	struct target *target = task->node.target;
	struct slot *slot = task->node.slot;
	int err = 0;

	while (task->bytes && !err) {
		task->result = slot_write(
			task->writer, task->bytes, task->len, task->offset);
		if (task->result != SLOT_BLOCKED)
			break;
		err = slot_unblock(target, slot, task->writer, false);
	}
	if (!err && task->result < 0)
		(void)slot_unblock(target, slot, task->writer, true);
	else if (!err && task->fi.flags & (O_SYNC | O_DSYNC))
		err = slot_sync(target, slot);
	if (err)
		task->result = err;
	reply_written(task);
}

/* Keep the bytes, for the pipe is needed; a worker writes them. */
static void write_later(fuse_req_t req, const struct node *node,
	const struct fuse_file_info *fi, struct fuse_bufvec *in, off_t offset)
{
	struct fuse_bufvec to = FUSE_BUFVEC_INIT(fuse_buf_size(in));
	struct task *task = task_create(req, node, fi, NULL);
	ssize_t n;

	if (!task)
		return;
	task->offset = (uint64_t)offset;
	task->bytes = malloc(to.buf[0].size);
	if (!task->bytes) {
		task_end(task, -ENOMEM);
		return;
	}
	to.buf[0].mem = task->bytes;
	in->buf[0].flags |= FUSE_BUF_FD_RETRY;
	n = fuse_buf_copy(&to, in, 0);
	if (n <= 0) {
		task_end(task, n ? (int)n : -EIO);
		return;
	}
	task->len = (uint64_t)n;
	/* It may have to sync a revocation, or itself. */
	task_run_sync(task, finish_write);
}

static void end_write(fuse_req_t req, const struct node *node,
	const struct fuse_file_info *fi, ssize_t n)
{
	struct task *task;

	if (n >= 0 && !(fi->flags & (O_SYNC | O_DSYNC))) {
		fuse_reply_write(req, (size_t)n);
		return;
	}
	task = task_create(req, node, fi, NULL);
	if (!task)
		return;
	task->result = n;
	task_run_sync(task, finish_write);
}

void op_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *in,
	off_t offset, struct fuse_file_info *fi)
{
	struct slot_write op;
	struct node node;
	int err;

	if (!node_or_reply(req, ino, &node))
		return;
	if (node.kind == KIND_CTL) {
		ctl_write(req, &node, in, fi);
		return;
	}
	if (node.kind != KIND_SLOT || !fi->fh) {
		reply_error(req, -EBADF);
		return;
	}
	err = slot_write_begin((struct writer *)(uintptr_t)fi->fh,
		(uint64_t)offset, fuse_buf_size(in), &op);
	if (err == SLOT_BLOCKED)
		write_later(req, &node, fi, in, offset);
	else if (err)
		reply_error(req, err);
	else
		end_write(req, &node, fi,
			slot_write_end(&op, move_bytes(in, &op)));
}

static void fallocate_and_reply(struct task *task)
{
	struct node *node = &task->node;
	int err;

	do {
		err = slot_fallocate(
			task->writer, task->mode, task->offset, task->len);
	} while (err == SLOT_BLOCKED &&
		 !(err = slot_unblock(
			   node->target, node->slot, task->writer, false)));
	task_end(task, err);
}

/* Zeros may be many: a worker writes them. */
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
	off_t len, struct fuse_file_info *fi)
{
	struct node node;
	struct task *task;

	if (!node_or_reply(req, ino, &node))
		return;
	if (node.kind != KIND_SLOT || !fi->fh) {
		reply_error(req, -EBADF);
		return;
	}
	task = task_create(req, &node, fi, NULL);
	if (!task)
		return;
	task->mode = mode;
	task->offset = (uint64_t)offset;
	task->len = (uint64_t)len;
	task_run(task, fallocate_and_reply);
}

/* ---- setattr ---------------------------------------------------------------
 */

static struct slot_attr slot_attr(const struct stat *attr, int to_set)
{
	struct slot_attr set = {
		.set_mode = to_set & FUSE_SET_ATTR_MODE,
		.set_uid = to_set & FUSE_SET_ATTR_UID,
		.set_gid = to_set & FUSE_SET_ATTR_GID,
		.set_mtime = to_set &
			     (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW),
		.mode = attr->st_mode,
		.uid = attr->st_uid,
		.gid = attr->st_gid,
		.mtime = attr->st_mtim,
	};

	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		clock_gettime(CLOCK_REALTIME, &set.mtime);
	return set;
}

static void unblock_and_set(struct task *task);

/* A worker's: remember the attributes. The answer does not wait for the disk,
 * but for the ledger: chown hands bytes to somebody. */
static void save_and_reply(struct task *task)
{
	struct node *node = &task->node;
	struct stat st;
	int err = slot_save(node->target, node->slot);

	if (err) {
		task_end(task, err);
		return;
	}
	(void)node_stat(task->fs, node, &st);
	fuse_reply_attr(task->req, &st, ATTR_TIMEOUT_S);
	free(task);
}

/* Also the way on for a truncate that was parked, or blocked. */
static void set_slot(struct task *task)
{
	struct node *node = &task->node;
	struct slot_attr set = slot_attr(&task->attr, task->to_set);
	int err = 0;

	if (task->to_set & FUSE_SET_ATTR_SIZE)
		err = slot_truncate(node->target, node->slot, task->writer,
			(uint64_t)task->attr.st_size, &task->waiter);
	if (err == SLOT_PARKED)
		return;
	if (err == SLOT_BLOCKED) {
		task_run(task, unblock_and_set);
		return;
	}
	if (err) {
		task_end(task, err);
		return;
	}
	slot_set_attr(node->target, node->slot, &set);
	task_run(task, save_and_reply);
}

static void unblock_and_set(struct task *task)
{
	struct node *node = &task->node;
	struct stat st;
	int err;

	slot_stat(node->target, node->slot, &st);
	err = slot_unblock(node->target, node->slot, task->writer,
		task->attr.st_size < st.st_size || !task->attr.st_size);
	if (err)
		task_end(task, err);
	else
		set_slot(task);
}

static void wake_set(struct waiter *waiter, int err)
{
	struct task *task = task_of(waiter, waiter);

	if (err)
		task_end(task, err);
	else
		set_slot(task);
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
	struct fuse_file_info *fi)
{
	struct node node;
	struct task *task;

	if (!node_or_reply(req, ino, &node))
		return;
	if (node.kind == KIND_DATA || text_kind(node.kind)) {
		reply_error(req, -EPERM);
		return;
	}
	if (node.kind != KIND_SLOT) {
		/* tar restores the times and modes of folders; a ctl has no
		 * size to be set. */
		op_getattr(req, ino, fi);
		return;
	}
	task = task_create(req, &node, fi, NULL);
	if (!task)
		return;
	task->attr = *attr;
	task->to_set = to_set;
	task->waiter.wake = wake_set;
	set_slot(task);
}
