/* Handles: open, create, flush, fsync, release. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "fs/request.h"

/* ---- opening for writing ---------------------------------------------------
 */

/* The name of the process, without what would spoil a line of text. */
static void read_command(pid_t pid, char *command)
{
	char path[32];
	ssize_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = read(fd, command, COMMAND_SIZE - 1);
	if (n > 0 && command[n - 1] == '\n')
		n--;
	command[n > 0 ? n : 0] = '\0';
	for (char *c = command; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
}

static struct who requester(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct who who = {.uid = ctx->uid, .pid = ctx->pid};

	read_command(ctx->pid, who.command);
	return who;
}

static int reply_opened(struct task *task, struct writer *writer)
{
	struct fuse_entry_param entry;

	task->fi.fh = (uintptr_t)writer;
	task->fi.direct_io = 1;
	if (!task->create)
		return fuse_reply_open(task->req, &task->fi);
	(void)node_entry(task->fs, &task->node, &entry);
	return fuse_reply_create(task->req, &entry, &task->fi);
}

static void unblock_and_open(struct task *task);

/* Also the way on for an open that was parked, or blocked. */
static void open_slot(struct task *task)
{
	struct writer *writer;
	int err = slot_open(task->node.target, task->node.slot, &task->who,
		task->fi.flags & O_TRUNC, &task->waiter, &writer);

	if (err == SLOT_PARKED)
		return;
	if (err == SLOT_BLOCKED) {
		task_run(task, unblock_and_open);
		return;
	}
	if (err) {
		task_end(task, err);
		return;
	}
	if (reply_opened(task, writer) == -ENOENT)
		/* Whoever asked is gone; no RELEASE will come. */
		slot_release(writer);
	free(task);
}

/* What was covered is about to be forgotten: in the ledger first. */
static void unblock_and_open(struct task *task)
{
	int err = slot_unblock(task->node.target, task->node.slot, NULL, true);

	if (err)
		task_end(task, err);
	else
		open_slot(task);
}

static void wake_open(struct waiter *waiter, int err)
{
	struct task *task = task_of(waiter, waiter);

	if (err)
		task_end(task, err);
	else
		open_slot(task);
}

static void open_for_writing(fuse_req_t req, const struct node *node,
	const struct fuse_file_info *fi, bool create)
{
	struct task *task = task_create(req, node, fi, NULL);

	if (!task)
		return;
	task->create = create;
	task->who = requester(req);
	task->waiter.wake = wake_open;
	open_slot(task);
}

/* ---- opening for reading ---------------------------------------------------
 */

static void open_text(
	fuse_req_t req, const struct node *node, struct fuse_file_info *fi)
{
	struct text *text = malloc(sizeof(*text));
	int err = text ? text_make(node, text) : -ENOMEM;

	if (err) {
		free(text);
		reply_error(req, err);
		return;
	}
	fi->fh = (uintptr_t)text;
	/* Its length changes from open to open: the kernel shall ask. */
	fi->direct_io = 1;
	if (fuse_reply_open(req, fi) == -ENOENT) {
		free(text->bytes);
		free(text);
	}
}

static void open_for_reading(
	fuse_req_t req, const struct node *node, struct fuse_file_info *fi)
{
	fi->fh = 0;
	if (node->kind == KIND_DATA)
		/* Slots are other inodes: what is written there would not
		 * reach pages cached here. */
		fi->direct_io = 1;
	else
		fi->keep_cache = slot_complete(node->target, node->slot);
	fuse_reply_open(req, fi);
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	bool writing =
		(fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC;
	struct node node;

	if (!node_or_reply(req, ino, &node))
		return;
	if (node.kind == KIND_CTL)
		ctl_open(req, fi);
	else if (writing && node.kind != KIND_SLOT)
		reply_error(req, -EPERM);
	else if (writing)
		open_for_writing(req, &node, fi, false);
	else if (text_kind(node.kind))
		open_text(req, &node, fi);
	else
		open_for_reading(req, &node, fi);
}

/* The kernel has just found no such name, but it may exist by now. */
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	struct fuse_file_info *fi)
{
	struct node folder, node;
	struct slot *slot;
	int err = -EPERM;

	(void)mode;
	if (!node_or_reply(req, parent, &folder))
		return;
	if (folder.kind != KIND_RANGES) {
		reply_error(req, err);
		return;
	}
	slot = target_find(folder.target, name, &err);
	if (!slot || fi->flags & O_EXCL) {
		reply_error(req, slot ? -EEXIST : err);
		return;
	}
	node = node_sibling(&folder, KIND_SLOT, slot);
	open_for_writing(req, &node, fi, true);
}

/* ---- flush, fsync, release -------------------------------------------------
 */

static void reply_durable(struct durable_waiter *durable, int err)
{
	task_end(task_of(durable, durable), err);
}

/* Answer when the receipt, if there is one, is on disk. */
static void end_durable(struct task *task)
{
	task->durable.done = reply_durable;
	durability_wait(task->node.target, task->node.slot, &task->durable);
}

static void settle_and_reply(struct task *task)
{
	int err = slot_settle(task->writer);

	if (!err && task->node.target->strict)
		end_durable(task);
	else
		task_end(task, err);
}

void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct task *task = NULL;
	struct node node;

	if (!node_or_reply(req, ino, &node))
		return;
	if (node.kind == KIND_SLOT && fi->fh &&
		slot_flush((struct writer *)(uintptr_t)fi->fh))
		task = task_create(req, &node, fi, NULL);
	else
		reply_error(req, 0);
	if (task)
		task_run(task, settle_and_reply);
}

static void sync_and_reply(struct task *task)
{
	struct node *node = &task->node;
	int err = node->kind == KIND_SLOT ? slot_sync(node->target, node->slot)
					  : target_sync(node->target);

	if (err || !task->writer) {
		task_end(task, err);
		return;
	}
	err = slot_settle(task->writer);
	if (err)
		task_end(task, err);
	else
		end_durable(task);
}

void op_fsync(
	fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct task *task = NULL;
	struct node node;

	(void)datasync;
	if (!node_or_reply(req, ino, &node))
		return;
	if (node.kind == KIND_SLOT || node.kind == KIND_DATA)
		task = task_create(req, &node, fi, NULL);
	else
		reply_error(req, 0);
	if (task)
		task_run_sync(task, sync_and_reply);
}

static void settle_and_release(struct task *task)
{
	/* Nobody is left to be told; without a receipt the slot says it. */
	(void)slot_settle(task->writer);
	slot_release(task->writer);
	task_end(task, 0);
}

static void release_writer(
	fuse_req_t req, const struct node *node, struct fuse_file_info *fi)
{
	struct writer *writer = (struct writer *)(uintptr_t)fi->fh;
	struct task *task = NULL;

	if (slot_flush(writer)) {
		task = task_create(req, node, fi, NULL);
		if (task)
			task_run(task, settle_and_release);
		else
			slot_release(writer);
		return;
	}
	slot_release(writer);
	reply_error(req, 0);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node node;
	struct text *text;

	if (!node_or_reply(req, ino, &node))
		return;
	if (node.kind == KIND_SLOT && fi->fh) {
		release_writer(req, &node, fi);
		return;
	}
	if (node.kind == KIND_CTL)
		ctl_release(fi);
	if (text_kind(node.kind)) {
		text = (struct text *)(uintptr_t)fi->fh;
		free(text->bytes);
		free(text);
	}
	reply_error(req, 0);
}
