/*
 * SOURCE: the folder whose regular files are the targets.
 *
 * Everything below it is reached from one directory descriptor with
 * openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS); a target is a regular file
 * with one link on the same device, and flock'ed while it is open here.
 */
#ifndef RMFS_TARGET_STORE_H
#define RMFS_TARGET_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TARGET_NAME_MAX 200

struct parking;
struct store;
struct target;

/* What a new target shall be. */
struct target_spec {
	const char *name;
	uint64_t size;
	uint64_t slot_size; /* 0: no slots; otherwise rounded up to 4096 */
	mode_t mode;        /* permission bits of the backing file; 0: 0644 */
};

/*
 * Is @name one that a target may have? Returns NULL, or in words why not:
 * empty, too long, '/', control bytes, a leading dot, a name of the ledger's.
 */
const char *target_name_refused(const char *name);

/*
 * Make a target in the folder @dirfd: reserve its space, write its ledger,
 * then let it appear under its name, whole or not at all.
 * @why  set to one line saying what failed, for people; @why_size bytes
 * Returns 0, -EINVAL, -EEXIST, -ENOSPC, ... ; a failure leaves nothing behind.
 */
int target_create(
	int dirfd, const struct target_spec *spec, char *why, size_t why_size);

/*
 * The identity of an open file, as rmm_map_id has it.
 * Returns 0 or a negative errno.
 */
int target_identity(int fd, uint64_t *identity);

/*
 * Open the folder @source: its targets are opened by store_scan.
 * Returns 0, -ENOENT, -ENOTDIR, -EACCES, ...
 */
int store_open(const char *source, struct store **out);

/*
 * Open every target in the folder that is not open yet.
 * What cannot be served is logged, one line each.
 * Returns 0, -EBUSY (a target is served by another rmfs; logged), or the
 * error of reading the folder. Blocks; any thread.
 */
int store_scan(struct store *store);

/*
 * The target called @name: from the table, or opened now. Blocks; any thread.
 * Returns 0, -ENOENT (no such file, or not a target), -EBUSY (locked by
 * another), ...
 */
int store_find(struct store *store, const char *name, struct target **out);

/* The same, only from the table; does not block. NULL if it is not there. */
struct target *store_known(struct store *store, const char *name);

/* The target with that id, from 1 on, without gaps; NULL beyond the last. */
struct target *store_target(struct store *store, uint64_t id);

/* Shall close wait until a receipt is durable? Before the first store_scan. */
void store_set_strict(struct store *store, bool strict);

/* The folder's descriptor, the store's. */
int store_dirfd(const struct store *store);

/* Where requests of all targets wait; the store's. */
struct parking *store_parking(struct store *store);

/* Unmap and close all targets. Takes NULL. No request may be under way. */
void store_close(struct store *store);

#endif
