/*
 * What the files of the SQLite ledger share.
 *
 *	sqlite_vfs.c    how SQLite opens files, and speaks to our log
 *	sqlite_row.c    a row, a header, a coverage: to and from statements
 *	sqlite_build.c  making and removing
 *	sqlite_open.c   opening, recovering, closing
 *	sqlite_rows.c   what happens in between
 *
 * One connection, used by one thread at a time, in WAL mode. SQLite itself
 * syncs only when the log is copied home; a commit is made durable by our own
 * fdatasync of the log, beside the lock, so that a put never waits for a sync.
 *
 * Nothing that a receipt needs is allocated late: the rows are there from the
 * beginning, of a width that a receipt does not change; the log has its blocks
 * and is copied home before it would need more. What does grow the database
 * (new slots, coverage) first writes zeros to the place where the copy will go:
 * otherwise a full disk would show only then, and leave no way to empty the
 * log.
 *
 * After the first error but "full" nothing is written any more, as SQLite would
 * say OK to the next commit, and that one be lost at the next crash.
 *
 * Locks: ledger.sync_lock and ledger.lock are never held together.
 */
#ifndef RMFS_LEDGER_SQLITE_H
#define RMFS_LEDGER_SQLITE_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "ledger/ledger.h"

#define LEDGER_APPLICATION_ID 0x524d4653 /* "RMFS" */
#define LEDGER_VERSION 1

#define LEDGER_SUFFIX ".rmfs"
#define LEDGER_LOG "-wal"
#define LEDGER_NEW ".new"

/* A VFS name: takes a path as it is, so that it may lead through dirfd. */
#define LEDGER_VFS "rmfs"
/* The same, and nothing changes on disk. */
#define LEDGER_VFS_READONLY "rmfs-readonly"

enum {
	LEDGER_PAGE_SIZE = 4096,
	LEDGER_BOOT_SIZE = 64, /* a boot id with its NUL */
	LEDGER_NAME_SIZE = 256,
	LEDGER_PATH_SIZE = 320,
	/* 1 MiB costs 15 % of the speed, 16 MiB gain as much. */
	LEDGER_LOG_RESERVE = 4 << 20,
	LEDGER_LOG_FRAMES = (LEDGER_LOG_RESERVE - 32) / (LEDGER_PAGE_SIZE + 24),
	/* A coverage in more pieces than this is remembered up to there. */
	LEDGER_RUNS_MAX = 4096,
};

struct ledger {
	char *name;     /* of the target, for messages */
	bool readonly;  /* nothing may be written */
	int log_fd;     /* the log, for our own syncs */
	uint64_t slots; /* rows there were at open */
	struct ledger_header header;
	_Atomic bool rebooted;
	/* The first error; set once, never cleared. */
	_Atomic int error;
	/* Commits so far. Written under lock. */
	_Atomic uint64_t puts;
	/* Frames in the log since it was last copied home. Written under
	 * lock. */
	_Atomic int frames;

	pthread_mutex_t lock;
	sqlite3 *db; /* lock, and all that follows */
	sqlite3_stmt *begin, *commit, *rollback, *page_count;
	sqlite3_stmt *put_slot, *put_coverage, *drop_coverage, *put_boot;
	/* lock; pages of NAME.rmfs that surely have blocks, 0 if not known */
	int64_t file_pages;

	pthread_mutex_t sync_lock;
	uint64_t synced; /* sync_lock; puts that are on disk */
};

/* ---- sqlite_vfs.c ------------------------------------------------------- */

/* Prepare SQLite, once. Returns 0, -ENOMEM, -EIO. */
int ledger_sqlite_init(void);

/* The errno that stands for SQLite's result code. */
int ledger_errno(int rc);

/* ---- sqlite_row.c ------------------------------------------------------- */

/* The order of the columns wherever a slot's row is read or written. */
#define LEDGER_SLOT_COLUMNS                                            \
	"start, id, length, generation, state, crc32c, completed_ns, " \
	"writer_uid, writer_pid, command, uid, gid, mode, mtime_ns, sum"

#define LEDGER_SLOT_VALUES                               \
	"slot(" LEDGER_SLOT_COLUMNS ", pad) VALUES"      \
	"(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11," \
	" ?12, ?13, ?14, ?15, ?16)"

/* Bind a row to a statement with LEDGER_SLOT_VALUES. Returns SQLite's code. */
int ledger_slot_bind(sqlite3_stmt *stmt, const struct ledger_header *header,
	const struct ledger_slot *slot);

/* Read LEDGER_SLOT_COLUMNS back. Is its checksum right? */
bool ledger_slot_read(sqlite3_stmt *stmt, const struct ledger_header *header,
	struct ledger_slot *slot);

#define LEDGER_META_COLUMNS "uuid, size, slot_size, boot, file, sum"
#define LEDGER_META_VALUES \
	"meta(" LEDGER_META_COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6)"

int ledger_meta_bind(sqlite3_stmt *stmt, const struct ledger_header *header,
	const char *boot);

/* Is its checksum right? @boot has LEDGER_BOOT_SIZE bytes. */
bool ledger_meta_read(
	sqlite3_stmt *stmt, struct ledger_header *header, char *boot);

#define LEDGER_COVERAGE_COLUMNS "id, generation, overrun, size, runs, sum"
#define LEDGER_COVERAGE_VALUES                  \
	"coverage(" LEDGER_COVERAGE_COLUMNS ")" \
	" VALUES(?1, ?2, ?3, ?4, ?5, ?6)"

/* @runs is filled, and must live until the statement is reset. */
int ledger_coverage_bind(sqlite3_stmt *stmt, const struct ledger_header *header,
	const struct ledger_coverage *coverage, struct ledger_run *runs);

/*
 * Read LEDGER_COVERAGE_COLUMNS back. @runs has LEDGER_RUNS_MAX places.
 * @length  of the slot
 * Is its checksum right, and are the runs sorted, apart, and in the slot?
 */
bool ledger_coverage_read(sqlite3_stmt *stmt,
	const struct ledger_header *header, struct ledger_coverage *coverage,
	struct ledger_run *runs, uint64_t length);

/* ---- sqlite_build.c ----------------------------------------------------- */

/* The statements that make the tables, and more; SQLite keeps their text. */
enum { LEDGER_TABLES = 3 };
extern const char *const ledger_schema[];

/* Write a file's name: target, ".rmfs", @more. -ENAMETOOLONG. */
int ledger_file_name(char *file, const char *target, const char *more);

/*
 * Open the log, or make it, and see to it that it has LEDGER_LOG_RESERVE bytes
 * of its own. Zeros after its frames mean nothing to SQLite.
 * Returns a descriptor or a negative errno.
 */
int ledger_open_log(int dirfd, const char *file);

/* The machine's boot id; empty if it cannot be had. LEDGER_BOOT_SIZE bytes. */
void ledger_boot_id(char *boot);

/* ---- sqlite_rows.c ------------------------------------------------------ */

/* Prepare what ledger_put and the others need. Returns SQLite's code. */
int ledger_prepare(struct ledger *ledger);

/* Copy the log home, synced, under lock. Returns SQLite's code. */
int ledger_checkpoint(struct ledger *ledger);

#endif
