/*
 * A slot and what may happen to it. No FUSE here: the file system decodes
 * requests into these calls, unit tests make them directly.
 *
 * A slot is EMPTY, PARTIAL or COVERED by its coverage; COMPLETE when it also
 * has a receipt, DURABLE when that says so. What leads where:
 *
 *   write, punch   adds coverage; takes a receipt away before the first byte
 *   flush, fsync,  COVERED -> COMPLETE, if nothing was refused past the end
 *   release        and no write is under way
 *   truncate to 0  -> EMPTY; truncate down: coverage beyond goes, and so does
 *                  the receipt
 *   revoke         COMPLETE -> EMPTY, the writer's handle is lost
 *   overrun        any write past the end: no receipt until EMPTY again
 *   durability.c   COMPLETE -> DURABLE; or -> EMPTY when a sync failed
 *
 * A receipt is given in one place, by slot_settle, and only if every byte is
 * covered, the slot is not overrun, no write is under way, and the checksum is
 * of the bytes as they are: computed while they arrived in order, or read back
 * with nothing changing meanwhile.
 *
 * The ledger may remember less than is true, never more. While a slot is being
 * recorded, and before a change that would make its record false, every change
 * is answered SLOT_BLOCKED: the record is then taken back by a worker
 * (slot_unblock), which may block, and the change tried again.
 *
 * One writer at a time: a handle from open for write to RELEASE. Its writes may
 * run in parallel. A handle that lost its slot stays valid and changes nothing.
 */
#ifndef RMFS_TARGET_SLOT_H
#define RMFS_TARGET_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include "target/coverage.h"

enum {
	COMMAND_SIZE = 16, /* a Linux command name with its NUL */
	SLOT_NAME_SIZE = 48,
	SLOT_READ_RUNS = 16,
	/* Answers that are neither a count nor an errno: those end at 4095. */
	SLOT_PARKED = -4096,    /* the waiter will be woken */
	SLOT_BLOCKED = -4097,   /* slot_unblock on a worker, then again */
	SLOT_UNSETTLED = -4098, /* slot_settle on a worker */
};

/* What the ledger may hold of a slot, each more than the one before. */
enum recorded {
	RECORDED_NOTHING,
	RECORDED_COVERAGE,
	RECORDED_COMPLETE,
	RECORDED_DURABLE,
};

struct target;
struct waiter;

/* Who opened a slot for writing. */
struct who {
	uid_t uid;
	pid_t pid;
	char command[COMMAND_SIZE];
};

struct receipt {
	int64_t completed_ns; /* CLOCK_REALTIME */
	struct who who;
	bool durable;
};

/*
 * All fields but start and length: the slot's lock. Kept small: there may be a
 * million of them.
 */
struct slot {
	uint64_t start;  /* in the target; multiple of RMM_ALIGNMENT */
	uint64_t length; /* bytes that make it complete */
	uint64_t size;   /* what stat says: end of what was written */
	struct coverage cover;
	struct writer *writer;   /* the one that may change it */
	struct receipt *receipt; /* while COMPLETE */
	int64_t mtime_ns;
	uid_t uid;
	gid_t gid;
	uint32_t generation; /* grows when coverage is taken away */
	uint32_t changes;    /* grows with every change of the bytes */
	uint32_t crc; /* of [0, prefix) while crc_follows; of all if complete */
	uint16_t mode;
	bool overrun;
	bool crc_follows;
	uint8_t recorded; /* enum recorded */
	bool recording;   /* a worker is at the ledger: nothing may change */
	bool stale;       /* its cached pages are not to be written to */
};

/*
 * A handle opened for writing. Fields: the slot's lock.
 */
struct writer {
	struct target *target;
	struct slot *slot;
	struct who who;
	unsigned inflight; /* writes under way */
	bool changed;      /* since the last FLUSH */
	bool unsaved;      /* coverage has changed since it was recorded */
	int lost;          /* 0, or what every further change gets */
};

/* One write under way. */
struct slot_write {
	struct writer *writer;
	uint64_t offset; /* in the slot */
	size_t len;      /* what fits */
	char *bytes;     /* where it goes: in the mapping */
	uint32_t generation;
	uint32_t crc;
	bool in_order;  /* the checksum goes on with it */
	bool keep_size; /* may be set between begin and end */
};

/* A read, as pieces of the mapping and of zeros. */
struct slot_read {
	struct iovec runs[SLOT_READ_RUNS];
	int count;
	size_t len;
};

/* What chmod, chown and utimens change. */
struct slot_attr {
	bool set_mode, set_uid, set_gid, set_mtime;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	struct timespec mtime;
};

/*
 * Open for writing; with @empty as O_TRUNC does.
 * @waiter  parked when the writer before has closed but is not released yet
 * Returns 0 with a handle in *@out, SLOT_PARKED, SLOT_BLOCKED (only with
 * @empty), -EPERM (it is complete), -EBUSY (another handle has changed it since
 * its last flush; or the time of
 * @waiter is over), -ENOMEM.
 */
int slot_open(struct target *target, struct slot *slot, const struct who *who,
	bool empty, struct waiter *waiter, struct writer **out);

/* Close a handle, after slot_settle; whoever is parked wakes. */
void slot_release(struct writer *writer);

/*
 * Announce a write of @len > 0 bytes at @offset.
 * When it returns 0, move at most @op->len bytes to @op->bytes and call
 * slot_write_end. What does not fit marks the slot overrun, here.
 * Returns 0, SLOT_BLOCKED, -ENOSPC (nothing fits), or what became of the
 * handle: -EBUSY, -ESTALE.
 */
int slot_write_begin(struct writer *writer, uint64_t offset, size_t len,
	struct slot_write *op);

/*
 * Record that @landed bytes of it have arrived, or why none have (< 0).
 * Coverage of the bytes that should have arrived and did not is taken away:
 * nobody knows what is there.
 * Returns the count to answer, or a negative errno.
 */
ssize_t slot_write_end(struct slot_write *op, ssize_t landed);

/* Write from memory: begin, a guarded copy, end. */
ssize_t slot_write(
	struct writer *writer, const void *buf, size_t len, uint64_t offset);

/*
 * FLUSH: the handle's changes are done for now. Does not block.
 * Returns 0, or SLOT_UNSETTLED: there is something to record.
 */
int slot_flush(struct writer *writer);

/*
 * Give the receipt if the slot has earned it, and record it; else record how
 * much is covered, as well as that can be done. Blocks: it may have to read the
 * slot back for its checksum.
 * Returns 0, -ENOMEM, -EIO, or the ledger's error.
 */
int slot_settle(struct writer *writer);

/*
 * Take back from the ledger what a change would make false; it is on disk
 * before a durable receipt's bytes may change. And leave behind the pages
 * of a slot that the disk has refused; see slot_fail. Blocks.
 * Nothing is taken back if the change would be refused by now: then trying it
 * again says why.
 * @writer  the handle that wants the change; NULL for an open, and by path
 * @resets  the change empties or shortens the slot: no coverage may be left
 * Returns 0, the ledger's error, or -EIO: then the change must not happen.
 */
int slot_unblock(struct target *target, struct slot *slot,
	const struct writer *writer, bool resets);

/*
 * Write the slot's bytes to disk and wait. Blocks.
 * Linux says once that it could not write, of whichever bytes of the file, and
 * drops them: after a failure all slots of the target that are not durable are
 * empty. Returns 0 or a negative errno.
 */
int slot_sync(struct target *target, struct slot *slot);

/*
 * Set the size. @writer is NULL when it was asked by path; then the rules of
 * slot_open hold, and @waiter may be parked.
 * Returns 0, SLOT_PARKED, SLOT_BLOCKED, -ENOSPC (past the end: the slot is
 * overrun), -EPERM, -EBUSY, -ESTALE. The size it has is no change, whoever
 * asks; 0 always empties.
 */
int slot_truncate(struct target *target, struct slot *slot,
	struct writer *writer, uint64_t size, struct waiter *waiter);

/*
 * Mode 0 and KEEP_SIZE reserve what is reserved already; PUNCH_HOLE and
 * ZERO_RANGE write zeros, which takes time for long ranges.
 * Returns 0, SLOT_BLOCKED, -EOPNOTSUPP, -ENOSPC, -EBUSY, -ESTALE, -EIO.
 */
int slot_fallocate(
	struct writer *writer, int mode, uint64_t offset, uint64_t len);

/*
 * Take the receipt away and empty the slot; its writer's handle is lost.
 * Blocks. Returns 0, -ENOENT (it has no receipt), or the ledger's error.
 */
int slot_revoke(struct target *target, struct slot *slot);

/*
 * Plan a read of @len bytes at @offset: what is covered comes from the mapping,
 * holes are zeros, nothing beyond the size.
 * Returns 0, or -E2BIG: more runs than fit, read with slot_read_copy.
 */
int slot_read_plan(struct target *target, struct slot *slot, uint64_t offset,
	size_t len, struct slot_read *plan);

/* Read into memory, guarded. Returns the count or -EIO. */
ssize_t slot_read_copy(struct target *target, struct slot *slot, void *buf,
	size_t len, uint64_t offset);

/*
 * SEEK_DATA and SEEK_HOLE from @offset.
 * Returns the position, -ENXIO (at or past the end of the file; no data).
 */
int64_t slot_seek(
	struct target *target, struct slot *slot, uint64_t offset, bool data);

/* Fill in all of @st but its inode number and device. */
void slot_stat(struct target *target, struct slot *slot, struct stat *st);

/*
 * chmod, chown, utimens. A complete slot takes the mode and ignores it.
 * slot_save records them; it blocks. Returns 0 or the ledger's error.
 */
int slot_save(struct target *target, struct slot *slot);
void slot_set_attr(
	struct target *target, struct slot *slot, const struct slot_attr *attr);

/* What a receipt says; false while there is none. */
struct slot_receipt {
	struct receipt receipt;
	struct slot state; /* a copy, for offset, length, crc, generation */
};
bool slot_receipt(
	struct target *target, struct slot *slot, struct slot_receipt *receipt);

/* Does it have a receipt now? */
bool slot_complete(struct target *target, struct slot *slot);

/* Free what a slot holds, when its target closes. */
void slot_fini(struct slot *slot);

#endif
