/*
 * MOUNTPOINT/NAME/ctl: commands, one a write.
 *
 *	sync	take every complete receipt to the disk, and wait for it
 *
 * An error is the write's errno; why, and what a command says, is then read
 *from the same handle: one line a read, in order, nothing when there is no
 *more.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/request.h"

enum { COMMAND_MAX = 4096 };

struct line {
	struct line *next;
	size_t len;
	char text[];
};

/* An open handle. */
struct ctl {
	pthread_mutex_t lock;
	struct line *first, **last; /* lock */
};

static struct ctl *handle(const struct fuse_file_info *fi)
{
	return (struct ctl *)(uintptr_t)fi->fh;
}

void ctl_open(fuse_req_t req, struct fuse_file_info *fi)
{
	struct ctl *ctl = calloc(1, sizeof(*ctl));

	if (!ctl) {
		reply_error(req, -ENOMEM);
		return;
	}
	pthread_mutex_init(&ctl->lock, NULL);
	ctl->last = &ctl->first;
	fi->fh = (uintptr_t)ctl;
	fi->direct_io = 1;
	fi->nonseekable = 1;
	if (fuse_reply_open(req, fi) == -ENOENT)
		ctl_release(fi);
}

void ctl_release(const struct fuse_file_info *fi)
{
	struct ctl *ctl = handle(fi);

	while (ctl->first) {
		struct line *line = ctl->first;

		ctl->first = line->next;
		free(line);
	}
	pthread_mutex_destroy(&ctl->lock);
	free(ctl);
}

/* ---- replies ---------------------------------------------------------------
 */

static void say(struct ctl *ctl, const char *format, const char *what)
{
	size_t room = strlen(format) + strlen(what) + 1;
	struct line *line = malloc(sizeof(*line) + room);

	/* Without memory the errno has to do. */
	if (!line)
		return;
	line->next = NULL;
	line->len = (size_t)snprintf(line->text, room, format, what);
	pthread_mutex_lock(&ctl->lock);
	*ctl->last = line;
	ctl->last = &line->next;
	pthread_mutex_unlock(&ctl->lock);
}

/* Offsets mean nothing; a line that does not fit is read in pieces. */
void ctl_read(fuse_req_t req, const struct fuse_file_info *fi, size_t size)
{
	struct ctl *ctl = handle(fi);
	struct line *line;
	size_t n = 0;

	pthread_mutex_lock(&ctl->lock);
	line = ctl->first;
	if (line)
		n = size < line->len ? size : line->len;
	fuse_reply_buf(req, line ? line->text : NULL, n);
	if (line && n < line->len) {
		line->len -= n;
		memmove(line->text, line->text + n, line->len);
	} else if (line) {
		ctl->first = line->next;
		if (!ctl->first)
			ctl->last = &ctl->first;
		free(line);
	}
	pthread_mutex_unlock(&ctl->lock);
}

/* ---- commands --------------------------------------------------------------
 */

static void end_command(struct task *task, int err)
{
	if (err) {
		say(handle(&task->fi), "error: %s\n", strerror(-err));
		task_end(task, err);
		return;
	}
	say(handle(&task->fi), "%s\n", "ok");
	fuse_reply_write(task->req, (size_t)task->len);
	free(task->bytes);
	free(task);
}

static void synced(struct durable_waiter *durable, int err)
{
	end_command(task_of(durable, durable), err);
}

static void run_command(struct task *task)
{
	char *command = task->bytes;

	command[strcspn(command, "\n")] = '\0';
	if (!strcmp(command, "sync")) {
		task->durable.done = synced;
		durability_drain(task->node.target, &task->durable);
		return;
	}
	say(handle(&task->fi), "error: '%s' is not a command; there is: sync\n",
		command);
	task_end(task, -EINVAL);
}

void ctl_write(fuse_req_t req, const struct node *node, struct fuse_bufvec *in,
	const struct fuse_file_info *fi)
{
	size_t len = fuse_buf_size(in);
	struct fuse_bufvec to = FUSE_BUFVEC_INIT(len);
	struct task *task;
	ssize_t n;

	if (len > COMMAND_MAX) {
		reply_error(req, -EINVAL);
		return;
	}
	task = task_create(req, node, fi, NULL);
	if (!task)
		return;
	task->bytes = calloc(1, len + 1);
	if (!task->bytes) {
		task_end(task, -ENOMEM);
		return;
	}
	to.buf[0].mem = task->bytes;
	in->buf[0].flags |= FUSE_BUF_FD_RETRY;
	n = fuse_buf_copy(&to, in, 0);
	if (n < 0) {
		task_end(task, (int)n);
		return;
	}
	task->len = (uint64_t)n;
	run_command(task);
}
