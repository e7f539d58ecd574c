/*
 * What a target remembers: its slots, their receipts, their coverage.
 *
 * The only interface to it, and the only file that knows what lies behind: now
 * SQLite (sqlite_*.c), NAME.rmfs and NAME.rmfs-wal beside the target; a ledger
 * that several hosts share could stand beside it. docs/ledger.md has the
 * schema.
 *
 * Two strengths. What ledger_put returned 0 for survives kill -9; after a
 * ledger_sync that began later and returned 0 it survives a power cut. A
 * receipt and its revocation need no new disk blocks: each slot's row is there,
 * wide enough, from the beginning, and the log has its blocks.
 *
 * Errors are final: after the first failed write or sync no further statement
 * is made, and every call returns that error (a failed COMMIT may yet surface
 * after a crash: its outcome is unknown). Only reopening helps. A full disk is
 * no such error: -ENOSPC, nothing changed, and the next call may do better.
 *
 * Threads: any, after ledger_open; calls block, and take turns. Not to be
 * called with a slot's lock held. POSIX locks: do not fork after ledger_open,
 * and never open and close NAME.rmfs by other means.
 */
#ifndef RMFS_LEDGER_LEDGER_H
#define RMFS_LEDGER_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	LEDGER_UUID_SIZE = 16,
	LEDGER_COMMAND_SIZE = 16,
	LEDGER_BATCH_MAX = 64,
	LEDGER_WHY_SIZE = 256,
};

enum ledger_state {
	LEDGER_EMPTY,    /* no receipt */
	LEDGER_COMPLETE, /* recorded; its bytes may not be on disk */
	LEDGER_DURABLE,  /* its bytes were on disk before it was recorded */
};

struct ledger_header {
	uint64_t size;                  /* of the target, bytes */
	uint64_t slot_size;             /* 0: cut by hand */
	uint64_t file;                  /* the file's identity: rmm_map_id */
	uint8_t uuid[LEDGER_UUID_SIZE]; /* of the target; made by create */
};

/* A row. With LEDGER_EMPTY the receipt's fields are 0. */
struct ledger_slot {
	uint64_t id; /* > 0, never reused */
	uint64_t start, length;
	uint32_t generation;
	enum ledger_state state;
	int64_t completed_ns; /* CLOCK_REALTIME */
	uint32_t crc;
	uid_t writer_uid;
	pid_t writer_pid;
	char command[LEDGER_COMMAND_SIZE];
	uid_t uid; /* owner, as chown left it */
	gid_t gid;
	mode_t mode;
	int64_t mtime_ns;
};

struct ledger_run {
	uint64_t start, end; /* in the slot */
};

/* Partial coverage, good while the slot's row has the same generation. */
struct ledger_coverage {
	uint64_t id;
	uint32_t generation;
	bool overrun;
	uint64_t size;                 /* what stat said */
	const struct ledger_run *runs; /* sorted, apart */
	size_t count;
};

struct ledger;

/* Does @name end as the files of a ledger do? */
bool ledger_reserved(const char *name);

/*
 * Build the ledger of the target @name in the folder @dirfd, synced, replacing
 * what is there, log and all, whole or not at all.
 * @header  its uuid is set here
 * @next    fills in the next slot; false when there are no more
 * Returns 0, -ENOSPC, ...; a failure leaves nothing of it.
 */
int ledger_create(int dirfd, const char *name, struct ledger_header *header,
	bool (*next)(void *arg, struct ledger_slot *slot), void *arg);

/* Remove the ledger and all its files, if there; the folder is not synced. */
void ledger_remove(int dirfd, const char *name);

/*
 * Open the ledger, bring what a crash left in its log to the disk, and make
 * sure of the log's blocks. @dirfd must stay open as long as the ledger.
 * @why  set to one sentence for people on failure; LEDGER_WHY_SIZE bytes
 * Returns 0, -ENOENT (it has none), -EILSEQ (damaged, or not a ledger, or of
 * another target: the header's row does not agree with itself), -EPROTO (made
 * by a newer version; untouched), -EBUSY (open elsewhere), -EACCES, -ENOSPC (no
 * room for its log), -EIO.
 */
int ledger_open(int dirfd, const char *name, struct ledger **out, char *why);

/*
 * The same for reading only, beside no daemon: nothing is changed on disk, what
 * a crash left in the log is seen all the same, and read permission is enough.
 * What would write returns -EROFS then.
 */
int ledger_open_readonly(
	int dirfd, const char *name, struct ledger **out, char *why);

const struct ledger_header *ledger_header(const struct ledger *ledger);

/* How many rows ledger_load will hand over. */
uint64_t ledger_slot_count(const struct ledger *ledger);

/*
 * Hand over every row, by ascending start, and every coverage whose generation
 * is its slot's. A row whose checksum is wrong, or that does not fit into the
 * target, or overlaps another, fails the load.
 * @slot, @coverage  return 0 or an error that ends the load; may not call the
 *                   ledger
 * Returns 0, -EILSEQ (@why says which row), what they return, -EIO.
 */
int ledger_load(struct ledger *ledger,
	int (*slot)(void *arg, const struct ledger_slot *slot),
	int (*coverage)(void *arg, const struct ledger_coverage *coverage),
	void *arg, char *why);

/*
 * Has the machine been started anew since ledger_mark_boot was last called
 * (or since the ledger was made)? Then what is only complete must be verified.
 * RMFS_BOOT_ID in the environment stands in for the kernel's boot id (tests).
 */
bool ledger_rebooted(const struct ledger *ledger);

/* All has been verified and put: remember this boot. Synced. */
int ledger_mark_boot(struct ledger *ledger);

/* The same, and it is the ledger of @file now. Before anybody else has it. */
int ledger_adopt(struct ledger *ledger, uint64_t file);

/*
 * Write up to LEDGER_BATCH_MAX rows in one transaction, committed, not synced.
 * @still  may be NULL; asked for each row while no other put can happen; it
 *         may take a slot's lock; false leaves the row out
 * Returns 0 or the ledger's error.
 */
int ledger_put(struct ledger *ledger, const struct ledger_slot *slots,
	size_t count, bool (*still)(void *arg, const struct ledger_slot *slot),
	void *arg);

/*
 * Sync everything that was put before this call. Others may put meanwhile.
 * Returns 0 or the ledger's error.
 */
int ledger_sync(struct ledger *ledger);

/*
 * Remember partial coverage; no runs and no overrun: forget it. Best effort:
 * a full disk is -ENOSPC here and no error of the ledger.
 */
int ledger_put_coverage(
	struct ledger *ledger, const struct ledger_coverage *coverage);

/* Copy the log into NAME.rmfs when it is over half used. For a worker. */
int ledger_tidy(struct ledger *ledger);

/* The first error, 0 while there is none. */
int ledger_error(const struct ledger *ledger);

/* Bring the log home if all is well, and close. Takes NULL. */
void ledger_close(struct ledger *ledger);

#endif
