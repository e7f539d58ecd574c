/*
 * A target: a file of fixed size, mapped whole, and the slots cut from it.
 *
 * Lock order, outermost first:
 *   1. store.c: the table of targets, store.lock
 *   2. target.sync_lock; then ledger.c's own
 *   3. a slot's lock, slot_lock (one of a fixed number of stripes; never two
 *      at once; never held while bytes move or anything blocks)
 *   4. parking.c: parking.lock; durability.c: durability.lock
 */
#ifndef RMFS_TARGET_TARGET_H
#define RMFS_TARGET_TARGET_H

#include <pthread.h>
#include <ranged_mmap.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/stat.h>

#include "target/slot.h"

struct durability;
struct ledger;
struct parking;

enum { TARGET_STRIPES = 64 };

/* Since the daemon started, but for what is a state. Relaxed: each number is
 * true for itself, nothing is concluded from two of them. */
struct target_counters {
	_Atomic uint64_t covered;   /* bytes covered now */
	_Atomic uint64_t complete;  /* slots with a receipt now */
	_Atomic uint64_t durable;   /* slots with a durable one now */
	_Atomic uint64_t overrun;   /* slots marked overrun now */
	_Atomic uint64_t writers;   /* slots open for writing now */
	_Atomic uint64_t written;   /* bytes that arrived */
	_Atomic uint64_t receipts;  /* receipts given */
	_Atomic uint64_t withdrawn; /* receipts taken away */
	_Atomic uint64_t refused;   /* opens and writes answered EBUSY */
	_Atomic uint64_t errors;    /* writes and syncs that failed */
};

struct target {
	char *name;
	uint32_t id; /* from 1, in the store */
	struct rmm_map *map;
	char *base; /* the mapping's first byte */
	uint64_t size;
	uint64_t slot_size; /* 0: not cut */
	struct stat st;     /* of the file when it was opened */
	struct rmm_allocator *pool;
	struct slot *slots; /* in order of their offsets; slot id - 1 */
	uint64_t slot_count;
	struct parking *parking;       /* the store's */
	struct durability *durability; /* the store's */
	struct ledger *ledger;         /* NULL: nothing is remembered */
	bool strict; /* close waits until the receipt is durable */
	/* Held for each sync and for what its failure means, so that an error
	 * of which Linux told one thread is known to all before the next sync
	 * succeeds. Outside a slot's lock. */
	pthread_mutex_t sync_lock;
	struct target_counters counters;
	struct {
		_Alignas(64) pthread_mutex_t mutex;
		pthread_cond_t recorded; /* a slot's recording has ended */
	} stripes[TARGET_STRIPES];
};

/* What a target is opened with; all of it outlives the target. */
struct target_config {
	struct parking *parking;
	struct durability *durability;
	bool strict;
};

/*
 * Serve the file @fd under @name, cut as its ledger says.
 * @fd      locked, open for reading, and for writing if it has a ledger; the
 *          target's from here on
 * @ledger  NULL: not cut, and never written; the target's on success, the
 *          caller's still after a failure
 * Reserves the file's space again, should somebody have punched holes in it.
 * After a reboot all receipts that are not durable are verified: that reads
 * their slots, and empties those whose bytes are not what the receipt says.
 * @why     LEDGER_WHY_SIZE bytes: with -EILSEQ, what is wrong with the ledger
 * Returns 0, -ENODATA (an empty file), -ENOMEM, -ENOSPC, -EILSEQ (the ledger),
 * ...
 */
int target_open(const char *name, int fd, struct ledger *ledger,
	const struct target_config *config, struct target **out, char *why);

/* As cut into slots of @slot_size, without a ledger: nothing is remembered. */
int target_open_forgetful(const char *name, int fd, uint64_t slot_size,
	const struct target_config *config, struct target **out);

/* Queue what was left complete, but not durable, at the last end. Needs id. */
void target_resume(struct target *target);

/* Takes NULL. No request may be under way. */
void target_close(struct target *target);

/* The slot with that id, from 1 on, or NULL. */
struct slot *target_slot(const struct target *target, uint64_t id);

uint64_t target_slot_id(const struct target *target, const struct slot *slot);

/* Write a slot's name: its first and last byte. SLOT_NAME_SIZE bytes. */
void target_slot_name(
	const struct target *target, const struct slot *slot, char *name);

/*
 * The slot called @name, padded or not.
 * Returns NULL with 0 in *@err; or a reason why no slot can have that name:
 * -EINVAL (unaligned, past the end, starts with a dot), -EEXIST (overlaps
 * another slot), -ENOSPC (a plain name, and no range is left), -EPERM (this
 * target has no slots).
 */
struct slot *target_find(
	const struct target *target, const char *name, int *err);

/* Is the file still what was mapped? Else no receipt of it is worth a thing. */
bool target_intact(const struct target *target);

/*
 * Write all of the target's data to disk and wait. Blocks. What a failure
 * means, slot_sync says. Returns 0 or a negative errno.
 */
int target_sync(struct target *target);

/*
 * Drop the target's clean pages from the cache.
 * Returns 0, or -EIO: a page of [start, start + len) is still there.
 */
int target_drop_pages(struct target *target, uint64_t start, uint64_t len);

/* The ledger has failed: nobody shall see a receipt that is only complete. */
void target_withdraw_undurable(struct target *target);

#endif
