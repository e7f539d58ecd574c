/* Names, attributes and listings. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "fs/request.h"

/* What every target's folder holds. */
static const struct {
	const char *name;
	enum kind kind;
} target_tree[] = {
	{"ctl", KIND_CTL},
	{"data", KIND_DATA},
	{"ranges", KIND_RANGES},
	{"receipts", KIND_RECEIPTS},
	{"status", KIND_STATUS},
};

enum { TARGET_TREE = sizeof(target_tree) / sizeof(target_tree[0]) };

static bool directory_kind(enum kind kind)
{
	return kind == KIND_ROOT || kind == KIND_TARGET ||
	       kind == KIND_RANGES || kind == KIND_RECEIPTS;
}

/* ---- attributes ------------------------------------------------------------
 */

static int stat_data(const struct target *target, struct stat *st)
{
	struct stat now;

	if (fstat(rmm_map_fd(target->map), &now))
		return -errno;
	st->st_mode = S_IFREG | (now.st_mode & 0444);
	st->st_size = (off_t)target->size;
	st->st_blocks = now.st_blocks;
	st->st_mtim = now.st_mtim;
	st->st_ctim = now.st_ctim;
	return 0;
}

static int stat_text(const struct node *node, struct stat *st)
{
	struct slot_receipt receipt;
	struct text text;
	int err = text_make(node, &text);

	if (err)
		return err;
	free(text.bytes);
	st->st_mode = S_IFREG | 0444;
	st->st_size = (off_t)text.len;
	if (node->kind == KIND_RECEIPT &&
		slot_receipt(node->target, node->slot, &receipt)) {
		st->st_uid = receipt.state.uid;
		st->st_gid = receipt.state.gid;
		st->st_mtim = st->st_ctim =
			text_time(receipt.receipt.completed_ns);
	}
	return 0;
}

int node_stat(struct fs *fs, const struct node *node, struct stat *st)
{
	struct stat folder;
	int err = 0;

	if (node->kind == KIND_SLOT) {
		slot_stat(node->target, node->slot, st);
		st->st_ino = node->ino;
		return 0;
	}
	if (node->target)
		folder = node->target->st;
	else if (fstat(store_dirfd(fs->store), &folder))
		return -errno;
	*st = (struct stat){
		.st_ino = node->ino,
		.st_mode = S_IFDIR | 0755,
		.st_nlink = directory_kind(node->kind) ? 2 : 1,
		.st_uid = folder.st_uid,
		.st_gid = folder.st_gid,
		.st_mtim = folder.st_mtim,
		.st_ctim = folder.st_ctim,
		.st_blksize = RMM_ALIGNMENT,
	};
	if (node->kind == KIND_DATA)
		err = stat_data(node->target, st);
	else if (node->kind == KIND_CTL)
		st->st_mode = S_IFREG | 0600;
	else if (text_kind(node->kind))
		err = stat_text(node, st);
	st->st_atim = st->st_mtim;
	return err;
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node node;
	struct stat st;
	int err;

	(void)fi;
	if (!node_or_reply(req, ino, &node))
		return;
	err = node_stat(request_fs(req), &node, &st);
	if (err)
		reply_error(req, err);
	else
		fuse_reply_attr(req, &st, ATTR_TIMEOUT_S);
}

/* ---- lookup ----------------------------------------------------------------
 */

int node_entry(
	struct fs *fs, const struct node *node, struct fuse_entry_param *entry)
{
	bool comes_and_goes =
		node->kind == KIND_SLOT || node->kind == KIND_RECEIPT;

	*entry = (struct fuse_entry_param){
		.ino = node->ino,
		.generation = 1,
		.attr_timeout = ATTR_TIMEOUT_S,
		.entry_timeout = comes_and_goes ? 0 : STABLE_ENTRY_TIMEOUT_S,
	};
	return node_stat(fs, node, &entry->attr);
}

static void reply_node(fuse_req_t req, const struct node *node)
{
	struct fuse_entry_param entry;
	int err = node_entry(request_fs(req), node, &entry);

	if (err)
		reply_error(req, err);
	else
		fuse_reply_entry(req, &entry);
}

static struct node target_node(struct target *target)
{
	struct node in = {.target = target};

	return node_sibling(&in, KIND_TARGET, NULL);
}

/* A worker's: opening a target may take its time. */
static void find_target(struct task *task)
{
	struct target *target;
	int err = store_find(task->fs->store, task->name, &target);

	if (err) {
		reply_error(task->req, -ENOENT);
	} else {
		struct node node = target_node(target);

		reply_node(task->req, &node);
	}
	free(task);
}

static void lookup_target(
	fuse_req_t req, const struct node *root, const char *name)
{
	struct target *target = store_known(request_fs(req)->store, name);
	struct node node;
	struct task *task;

	if (target) {
		node = target_node(target);
		reply_node(req, &node);
	} else if (target_name_refused(name)) {
		reply_error(req, -ENOENT);
	} else {
		task = task_create(req, root, NULL, name);
		if (task)
			task_run(task, find_target);
	}
}

/* The node called @name in a folder of a target. Returns 0 or -ENOENT. */
static int find_in_target(
	const struct node *folder, const char *name, struct node *node)
{
	struct slot *slot;
	int err;

	if (folder->kind == KIND_TARGET) {
		for (int i = 0; i < TARGET_TREE; i++) {
			if (strcmp(name, target_tree[i].name))
				continue;
			*node = node_sibling(folder, target_tree[i].kind, NULL);
			return 0;
		}
		return -ENOENT;
	}
	slot = target_find(folder->target, name, &err);
	if (!slot)
		return -ENOENT;
	*node = node_sibling(folder,
		folder->kind == KIND_RANGES ? KIND_SLOT : KIND_RECEIPT, slot);
	return 0;
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct node folder, node;
	int err;

	if (!node_or_reply(req, parent, &folder))
		return;
	if (folder.kind == KIND_ROOT) {
		lookup_target(req, &folder, name);
		return;
	}
	err = find_in_target(&folder, name, &node);
	if (err)
		reply_error(req, err);
	else
		reply_node(req, &node);
}

/* ---- listings ---------------------------------------------------------------
 * A cookie says after which entry to go on: 1 and 2 are the dots, id + 2 is
 * the target, the slot, or the place in target_tree with that id.
 */

struct entry {
	uint64_t id;
	const char *name;
	fuse_ino_t ino;
	mode_t type;
	char slot_name[SLOT_NAME_SIZE];
};

static bool next_target(struct fs *fs, uint64_t id, struct entry *entry)
{
	struct target *target = store_target(fs->store, id);

	if (!target)
		return false;
	entry->id = id;
	entry->name = target->name;
	entry->ino = target_node(target).ino;
	entry->type = S_IFDIR;
	return true;
}

static bool next_in_target(
	const struct node *folder, uint64_t id, struct entry *entry)
{
	enum kind kind;

	if (id > TARGET_TREE)
		return false;
	kind = target_tree[id - 1].kind;
	entry->id = id;
	entry->name = target_tree[id - 1].name;
	entry->ino = node_sibling(folder, kind, NULL).ino;
	entry->type = directory_kind(kind) ? S_IFDIR : S_IFREG;
	return true;
}

static bool next_slot(
	const struct node *folder, uint64_t id, struct entry *entry)
{
	bool receipts = folder->kind == KIND_RECEIPTS;
	struct target *target = folder->target;
	struct slot *slot;

	while ((slot = target_slot(target, id)) && receipts &&
		!slot_complete(target, slot))
		id++;
	if (!slot)
		return false;
	target_slot_name(target, slot, entry->slot_name);
	entry->id = id;
	entry->name = entry->slot_name;
	entry->ino =
		node_sibling(folder, receipts ? KIND_RECEIPT : KIND_SLOT, slot)
			.ino;
	entry->type = S_IFREG;
	return true;
}

/* The first entry with an id of at least @id. */
static bool next_entry(struct fs *fs, const struct node *folder, uint64_t id,
	struct entry *entry)
{
	switch (folder->kind) {
	case KIND_ROOT:
		return next_target(fs, id, entry);
	case KIND_TARGET:
		return next_in_target(folder, id, entry);
	default:
		return next_slot(folder, id, entry);
	}
}

/* Append an entry; false when the buffer is full. */
static bool append(fuse_req_t req, struct fuse_bufvec *out, size_t size,
	const char *name, fuse_ino_t ino, mode_t type, uint64_t cookie)
{
	struct stat st = {.st_ino = ino, .st_mode = type};
	size_t room = size - out->buf[0].size;
	size_t n = fuse_add_direntry(req,
		(char *)out->buf[0].mem + out->buf[0].size, room, name, &st,
		(off_t)cookie);

	if (n > room)
		return false;
	out->buf[0].size += n;
	return true;
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	struct fuse_file_info *fi)
{
	AUTO_FREE char *buf = malloc(size);
	struct fuse_bufvec out = FUSE_BUFVEC_INIT(0);
	uint64_t cookie = (uint64_t)offset;
	struct node folder;
	struct entry entry;
	bool room = true;

	(void)fi;
	if (!node_or_reply(req, ino, &folder))
		return;
	if (!buf) {
		reply_error(req, -ENOMEM);
		return;
	}
	out.buf[0].mem = buf;
	for (; room && cookie < 2; cookie++)
		room = append(req, &out, size, cookie ? ".." : ".", ino,
			S_IFDIR, cookie + 1);
	while (room &&
		next_entry(request_fs(req), &folder, cookie - 1, &entry)) {
		cookie = entry.id + 2;
		room = append(req, &out, size, entry.name, entry.ino,
			entry.type, cookie);
	}
	fuse_reply_buf(req, buf, out.buf[0].size);
}

/* A worker's: new files in SOURCE are opened. */
static void scan_source(struct task *task)
{
	(void)store_scan(task->fs->store);
	fuse_reply_open(task->req, &task->fi);
	free(task);
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node node;
	struct task *task;

	if (!node_or_reply(req, ino, &node))
		return;
	if (node.kind != KIND_ROOT) {
		fuse_reply_open(req, fi);
		return;
	}
	task = task_create(req, &node, fi, NULL);
	if (task)
		task_run(task, scan_source);
}

/* ---- unlink ----------------------------------------------------------------
 */

static void revoke_and_reply(struct task *task)
{
	struct node *node = &task->node;
	struct node slot = node_sibling(node, KIND_SLOT, node->slot);
	int err = slot_revoke(node->target, node->slot);

	reply_error(task->req, err);
	if (!err)
		notify_changed(task->fs, &slot);
	free(task);
}

/* rm receipts/NAME revokes; nothing else can be removed. */
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct node folder, receipt;
	struct task *task;
	int err = -EPERM;

	if (!node_or_reply(req, parent, &folder))
		return;
	if (folder.kind == KIND_RECEIPTS)
		err = find_in_target(&folder, name, &receipt);
	if (err) {
		reply_error(req, err);
		return;
	}
	task = task_create(req, &receipt, NULL, NULL);
	if (task)
		task_run(task, revoke_and_reply);
}
