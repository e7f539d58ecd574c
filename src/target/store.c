/*
 * The table of targets only grows while the store is open, and a target stays
 * where it is: who got a pointer may use it until the store closes.
 */
#include "target/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/openat.h"
#include "ledger/ledger.h"
#include "target/durability.h"
#include "target/parking.h"
#include "target/target.h"

struct store {
	int dirfd;
	struct stat st;              /* of the folder */
	char *path;                  /* as given, for messages */
	struct target_config config; /* of every target */
	/* Held while a target is opened, so that none is opened twice. */
	pthread_mutex_t opening;
	pthread_rwlock_t lock;   /* below opening */
	struct target **targets; /* lock; by id - 1 */
	uint32_t count;          /* lock */
	uint32_t room;           /* lock */
	void *by_name;           /* lock; a tsearch tree of struct target */
	void *complained;        /* opening; names that have been logged */
};

static int compare_targets(const void *a, const void *b)
{
	return strcmp(((const struct target *)a)->name,
		((const struct target *)b)->name);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* ---- opening a target ------------------------------------------------------
 */

/* Say once, for each name, why it is not served. */
static int refuse(
	struct store *store, const char *name, int err, const char *why)
{
	char *copy;

	if (tfind(name, &store->complained, compare_names))
		return err;
	copy = strdup(name);
	if (copy && !tsearch(copy, &store->complained, compare_names))
		free(copy);
	log_warn("%s/%s: not served: %s", store->path, name, why);
	return err;
}

static int refuse_errno(struct store *store, const char *name, int err)
{
	return refuse(store, name, err, strerror(-err));
}

/* Why this file cannot be a target, or NULL. */
static const char *unfit(const struct store *store, const struct stat *st)
{
	if (st->st_nlink != 1)
		return "it has more than one link";
	if (st->st_dev != store->st.st_dev)
		return "it is on another device";
	if (!st->st_size)
		return "it is empty";
	return NULL;
}

/*
 * Open what @path names and lock it: for reading only, unless it has a ledger.
 * @path is an O_PATH descriptor, so that no device or fifo is ever opened.
 */
static int open_locked(
	struct store *store, const char *name, int path, bool has_ledger)
{
	char link[32];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", path);
	AUTO_FD int fd =
		open(link, (has_ledger ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (fd < 0)
		return refuse_errno(store, name, -errno);
	if (flock(fd, LOCK_EX | LOCK_NB))
		return refuse(store, name, -EBUSY,
			"another program has locked it (another rmfs?)");
	return KEEP_FD(fd);
}

/* Say in the log why it is served for reading only. */
static void mistrust(struct store *store, const char *name, const char *why)
{
	log_error("%s/%s.rmfs: %s; %s is served for reading only until "
		  "'rmfsctl recover' has built a new ledger",
		store->path, name, why, name);
}

static bool has_file(struct store *store, const char *name, const char *end)
{
	char file[TARGET_NAME_MAX + 16];
	struct stat st;

	snprintf(file, sizeof(file), "%s%s", name, end);
	return !fstatat(store->dirfd, file, &st, AT_SYMLINK_NOFOLLOW);
}

/* Has it a ledger? One that is lost has left its log behind. */
static bool has_ledger(struct store *store, const char *name)
{
	bool found = has_file(store, name, ".rmfs");

	if (!found && has_file(store, name, ".rmfs-wal"))
		mistrust(store, name,
			"is missing, though its log, beside it, is there");
	return found;
}

/* Open the file of a target, if it can be one. */
static int open_file(struct store *store, const char *name, bool writable)
{
	AUTO_FD int path =
		open_beneath(store->dirfd, name, O_PATH | O_NOFOLLOW, 0);
	struct stat st;
	const char *why;

	if (path < 0)
		return path;
	if (fstat(path, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOENT;
	why = unfit(store, &st);
	if (why)
		return refuse(store, name, -ENOENT, why);
	return open_locked(store, name, path, writable);
}

/*
 * The ledger of an open target. NULL with 0 when it is not to be trusted: its
 * data can still be read.
 */
static int open_ledger(
	struct store *store, const char *name, int fd, struct ledger **out)
{
	char why[LEDGER_WHY_SIZE];
	struct stat st;
	int err = ledger_open(store->dirfd, name, out, why);

	if (err == -EBUSY || err == -ENOSPC || err == -ENOMEM)
		return refuse(store, name, err, why);
	if (!err && !fstat(fd, &st) &&
		(uint64_t)st.st_size != ledger_header(*out)->size) {
		snprintf(why, sizeof(why),
			"it is of a file of %llu bytes, and this one has %llu",
			(unsigned long long)ledger_header(*out)->size,
			(unsigned long long)st.st_size);
		ledger_close(*out);
		err = -EILSEQ;
	}
	if (err) {
		mistrust(store, name, why);
		*out = NULL;
	}
	return 0;
}

/* Serve the file @fd with what its ledger remembers, or without one. */
static int open_with_ledger(struct store *store, const char *name, int fd,
	bool writable, struct target **out)
{
	AUTO_FD int owned = fd;
	struct ledger *ledger = NULL;
	char why[LEDGER_WHY_SIZE];
	int again, err = 0;

	if (writable)
		err = open_ledger(store, name, fd, &ledger);
	if (err)
		return err;
	/* A copy, should the ledger turn out to be damaged within. */
	again = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (again < 0)
		return -errno;
	err = target_open(
		name, KEEP_FD(owned), ledger, &store->config, out, why);
	if (err != -EILSEQ || !ledger) {
		close(again);
		if (err)
			ledger_close(ledger);
		return err ? refuse_errno(store, name, err) : 0;
	}
	ledger_close(ledger);
	mistrust(store, name, why);
	err = target_open(name, again, NULL, &store->config, out, why);
	return err ? refuse_errno(store, name, err) : 0;
}

/* Put it in the table; it is the store's then. */
static int insert(struct store *store, struct target *target)
{
	int err = 0;

	pthread_rwlock_wrlock(&store->lock);
	if (store->count == store->room) {
		uint32_t room = store->room ? store->room * 2 : 16;
		void *grown =
			realloc(store->targets, room * sizeof(*store->targets));

		if (!grown) {
			err = -ENOMEM;
			goto out;
		}
		store->targets = grown;
		store->room = room;
	}
	if (!tsearch(target, &store->by_name, compare_targets)) {
		err = -ENOMEM;
		goto out;
	}
	store->targets[store->count++] = target;
	target->id = store->count;
out:
	pthread_rwlock_unlock(&store->lock);
	return err;
}

static struct target *known(struct store *store, const char *name)
{
	struct target key = {.name = (char *)name};
	struct target **found;

	pthread_rwlock_rdlock(&store->lock);
	found = tfind(&key, &store->by_name, compare_targets);
	pthread_rwlock_unlock(&store->lock);
	return found ? *found : NULL;
}

static int open_target(
	struct store *store, const char *name, struct target **out)
{
	struct target *target = NULL;
	bool writable;
	int fd, err;

	*out = known(store, name);
	if (*out)
		return 0;
	writable = has_ledger(store, name);
	fd = open_file(store, name, writable);
	if (fd < 0)
		return fd;
	err = open_with_ledger(store, name, fd, writable, &target);
	if (err)
		return err;
	err = insert(store, target);
	if (err) {
		target_close(target);
		return err;
	}
	target_resume(target);
	*out = target;
	return 0;
}

int store_find(struct store *store, const char *name, struct target **out)
{
	int err;

	*out = known(store, name);
	if (*out)
		return 0;
	if (target_name_refused(name))
		return -ENOENT;
	pthread_mutex_lock(&store->opening);
	err = open_target(store, name, out);
	pthread_mutex_unlock(&store->opening);
	return err;
}

/* ---- the table -------------------------------------------------------------
 */

struct target *store_known(struct store *store, const char *name)
{
	return known(store, name);
}

struct target *store_target(struct store *store, uint64_t id)
{
	struct target *target = NULL;

	pthread_rwlock_rdlock(&store->lock);
	if (id - 1 < store->count)
		target = store->targets[id - 1];
	pthread_rwlock_unlock(&store->lock);
	return target;
}

int store_dirfd(const struct store *store)
{
	return store->dirfd;
}

/* ---- the folder ------------------------------------------------------------
 */

static void close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int store_scan(struct store *store)
{
	AUTO(close_dir) DIR *dir = NULL;
	struct target *target;
	struct dirent *entry;
	int fd = open_beneath(store->dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
	bool busy = false;

	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	for (errno = 0; (entry = readdir(dir)); errno = 0) {
		if (entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN)
			continue;
		if (store_find(store, entry->d_name, &target) == -EBUSY)
			busy = true;
	}
	if (errno)
		return -errno;
	return busy ? -EBUSY : 0;
}

static void store_release(struct store **store)
{
	store_close(*store);
}

int store_open(const char *source, struct store **out)
{
	AUTO(store_release) struct store *store = calloc(1, sizeof(*store));
	int err;

	if (!store)
		return -ENOMEM;
	pthread_mutex_init(&store->opening, NULL);
	pthread_rwlock_init(&store->lock, NULL);
	store->dirfd = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->dirfd < 0 || fstat(store->dirfd, &store->st))
		return -errno;
	store->path = strdup(source);
	if (!store->path)
		return -ENOMEM;
	err = parking_create(&store->config.parking);
	if (!err)
		err = durability_create(&store->config.durability);
	if (err)
		return err;
	*out = KEEP(store);
	return 0;
}

void store_set_strict(struct store *store, bool strict)
{
	store->config.strict = strict;
}

struct parking *store_parking(struct store *store)
{
	return store->config.parking;
}

static void forget(void *node)
{
	(void)node;
}

void store_close(struct store *store)
{
	int saved = errno;

	if (!store)
		return;
	durability_close(store->config.durability);
	tdestroy(store->by_name, forget);
	tdestroy(store->complained, free);
	for (uint32_t i = 0; i < store->count; i++)
		target_close(store->targets[i]);
	free(store->targets);
	parking_close(store->config.parking);
	if (store->dirfd >= 0)
		close(store->dirfd);
	pthread_rwlock_destroy(&store->lock);
	pthread_mutex_destroy(&store->opening);
	free(store->path);
	free(store);
	errno = saved;
}
