/*
 * Opening a ledger, and closing it.
 *
 * A crash may have left commits in the log that were never synced. They are
 * copied into NAME.rmfs, with a sync before and after, before anything is read:
 * a row that says durable and is shown is on disk.
 */
#include "ledger/sqlite.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/openat.h"

/* A cache pays from here on (2 MB). */
#define BIG_PAGES 512

/* EXCLUSIVE before anything is read: there is no shared memory then. */
static const char pragmas[] = "PRAGMA locking_mode=EXCLUSIVE;"
			      "PRAGMA temp_store=MEMORY;"
			      "PRAGMA secure_delete=OFF;"
			      "PRAGMA synchronous=NORMAL;"
			      "PRAGMA wal_autocheckpoint=0;";

/* Say why, in one sentence; returns @err. */
static int say(const struct ledger *ledger, char *why, int err,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

static int say(const struct ledger *ledger, char *why, int err,
	const char *format, ...)
{
	va_list args;
	int n = snprintf(
		why, LEDGER_WHY_SIZE, "%.150s" LEDGER_SUFFIX " ", ledger->name);

	va_start(args, format);
	vsnprintf(why + n, LEDGER_WHY_SIZE - (size_t)n, format, args);
	va_end(args);
	return err;
}

/* The same for one of SQLite's codes. */
static int say_sqlite(const struct ledger *ledger, char *why, int rc)
{
	int err = ledger_errno(rc);

	switch (err) {
	case 0:
		return 0;
	case -EBUSY:
		return say(ledger, why, err, "is open elsewhere");
	case -EILSEQ:
		return say(ledger, why, err, "is damaged: %s",
			sqlite3_errmsg(ledger->db));
	default:
		return say(ledger, why, err, "cannot be read: %s (%d)",
			sqlite3_errmsg(ledger->db),
			sqlite3_extended_errcode(ledger->db));
	}
}

/* ---- what it is ---------------------------------------------------------- */

/*
 * Look at the file's own header through SQLite's descriptor: nothing is locked
 * and nothing changes, whatever it is. (Its file format, 1.3.)
 */
static int check_format(const struct ledger *ledger, char *why)
{
	static const char magic[] = "SQLite format 3";
	unsigned char head[100];
	sqlite3_file *file;
	uint16_t page_size;
	uint32_t application, version;
	int rc = sqlite3_file_control(
		ledger->db, "main", SQLITE_FCNTL_FILE_POINTER, (void *)&file);

	if (!rc)
		rc = file->pMethods->xRead(file, head, sizeof(head), 0);
	if (rc == SQLITE_IOERR_SHORT_READ)
		return say(ledger, why, -EILSEQ, "is not a ledger: too short");
	if (rc)
		return say(ledger, why, -EIO, "cannot be read (%d)", rc);
	memcpy(&page_size, head + 16, sizeof(page_size));
	memcpy(&version, head + 60, sizeof(version));
	memcpy(&application, head + 68, sizeof(application));
	if (memcmp(head, magic, sizeof(magic)) != 0 ||
		be32toh(application) != LEDGER_APPLICATION_ID)
		return say(ledger, why, -EILSEQ, "is not a ledger");
	version = be32toh(version);
	if (version > LEDGER_VERSION)
		return say(ledger, why, -EPROTO,
			"was made by a newer rmfs (version %u, this one knows "
			"%u)",
			version, LEDGER_VERSION);
	if (!version || be16toh(page_size) != LEDGER_PAGE_SIZE)
		return say(ledger, why, -EILSEQ, "is not a ledger of rmfs");
	return 0;
}

/* The schema is bytes from disk: it may not make SQLite do anything. */
static int distrust(sqlite3 *db)
{
	int rc = 0;

	rc |= sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	rc |= sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	rc |= sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	rc |= sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	/* Nor may closing, which would take the log away, too: ledger_close
	 * copies it home when all is well. */
	rc |= sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	return rc;
}

static int open_file(struct ledger *ledger, int dirfd, const char *file,
	const char *vfs, char *why)
{
	int flags = SQLITE_OPEN_NOMUTEX |
		    (ledger->readonly ? SQLITE_OPEN_READONLY
				      : SQLITE_OPEN_READWRITE);
	char path[LEDGER_PATH_SIZE];
	struct stat st;
	int rc;

	if (fstatat(dirfd, file, &st, AT_SYMLINK_NOFOLLOW))
		return say(ledger, why, -errno, "cannot be opened: %s",
			strerror(errno));
	if (!S_ISREG(st.st_mode))
		return say(ledger, why, -EILSEQ, "is not a ledger");
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, file);
	rc = sqlite3_open_v2(path, &ledger->db, flags, vfs);
	if (!rc)
		rc = distrust(ledger->db);
	if (rc)
		return say_sqlite(ledger, why, rc);
	if (!ledger->readonly && sqlite3_db_readonly(ledger->db, "main"))
		return say(ledger, why, -EACCES, "may not be written");
	return check_format(ledger, why);
}

/* ---- what is in it ------------------------------------------------------- */

/* Run a statement that has one row of one number. */
static int get_number(sqlite3 *db, const char *sql, uint64_t *number)
{
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

	if (rc)
		return rc;
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*number = (uint64_t)sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW    ? SQLITE_OK
	       : rc == SQLITE_DONE ? SQLITE_CORRUPT
				   : rc;
}

/*
 * The tables must be as they were made, to the letter: with one less in PRIMARY
 * KEY, a table reads as empty.
 */
static int check_tables(struct ledger *ledger, char *why)
{
	sqlite3_stmt *stmt;
	int tables = 0;
	int rc = sqlite3_prepare_v2(ledger->db,
		"SELECT count(*) FROM sqlite_schema WHERE sql IN (?1, ?2, ?3)",
		-1, &stmt, NULL);

	for (int i = 0; !rc && i < LEDGER_TABLES; i++)
		rc = sqlite3_bind_text(
			stmt, i + 1, ledger_schema[i], -1, SQLITE_STATIC);
	if (!rc)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		tables = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	if (rc != SQLITE_ROW)
		return say_sqlite(ledger, why, rc);
	if (tables != LEDGER_TABLES)
		return say(ledger, why, -EILSEQ,
			"is damaged: its tables are not as they were made");
	return 0;
}

static int read_meta(struct ledger *ledger, char *why)
{
	char boot[LEDGER_BOOT_SIZE], now[LEDGER_BOOT_SIZE];
	sqlite3_stmt *stmt;
	bool good = false;
	int rc;

	rc = sqlite3_prepare_v2(ledger->db,
		"SELECT " LEDGER_META_COLUMNS " FROM meta", -1, &stmt, NULL);
	if (rc)
		return say_sqlite(ledger, why, rc);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		good = ledger_meta_read(stmt, &ledger->header, boot);
		rc = sqlite3_step(stmt);
	}
	sqlite3_finalize(stmt);
	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		return say_sqlite(ledger, why, rc);
	if (!good || rc == SQLITE_ROW)
		return say(ledger, why, -EILSEQ,
			"is damaged: its header has a wrong checksum");
	ledger_boot_id(now);
	/* Relaxed: nobody else knows this ledger yet. */
	atomic_store_explicit(&ledger->rebooted,
		!*now || strcmp(boot, now) != 0, memory_order_relaxed);
	rc = get_number(
		ledger->db, "SELECT count(*) FROM slot", &ledger->slots);
	return say_sqlite(ledger, why, rc);
}

/* ---- making it ready ----------------------------------------------------- */

/* The log's size in frames, after each commit. */
static int log_grown(void *arg, sqlite3 *db, const char *which, int frames)
{
	struct ledger *ledger = arg;

	(void)db;
	(void)which;
	/* Relaxed: a hint for ledger_tidy. */
	atomic_store_explicit(&ledger->frames, frames, memory_order_relaxed);
	return SQLITE_OK;
}

static int enter_wal(sqlite3 *db)
{
	sqlite3_stmt *stmt;
	const char *mode;
	int rc = sqlite3_prepare_v2(
		db, "PRAGMA journal_mode=WAL", -1, &stmt, NULL);

	if (rc)
		return rc;
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		mode = (const char *)sqlite3_column_text(stmt, 0);
		rc = mode && !strcmp(mode, "wal") ? SQLITE_OK : SQLITE_IOERR;
	}
	sqlite3_finalize(stmt);
	return rc;
}

/* Take the lock, keep it, and bring home what is in the log. */
static int recover(struct ledger *ledger)
{
	int rc = enter_wal(ledger->db);

	if (!rc)
		rc = sqlite3_exec(ledger->db, "BEGIN IMMEDIATE; COMMIT", NULL,
			NULL, NULL);
	return rc ? rc : ledger_checkpoint(ledger);
}

/* Open the log for our own syncs, and make sure of its blocks. */
static int reserve_log(
	struct ledger *ledger, int dirfd, const char *name, char *why)
{
	char file[LEDGER_NAME_SIZE];
	int err = ledger_file_name(file, name, LEDGER_LOG);

	if (err)
		return say(ledger, why, err, "has too long a name");
	ledger->log_fd = ledger_open_log(dirfd, file);
	if (ledger->log_fd == -ENOSPC)
		return say(ledger, why, -ENOSPC,
			"has no room for its log: %d MiB are needed",
			LEDGER_LOG_RESERVE >> 20);
	if (ledger->log_fd < 0 || fsync(dirfd)) {
		err = ledger->log_fd < 0 ? ledger->log_fd : -errno;
		return say(ledger, why, err, "has no log: %s", strerror(-err));
	}
	return 0;
}

static int make_ready(struct ledger *ledger, char *why)
{
	uint64_t pages = 0;
	int rc = recover(ledger);

	if (!rc)
		rc = ledger_prepare(ledger);
	if (!rc)
		rc = get_number(ledger->db, "PRAGMA page_count", &pages);
	if (!rc && pages > BIG_PAGES)
		rc = sqlite3_exec(ledger->db, "PRAGMA cache_size=-16000", NULL,
			NULL, NULL);
	if (!rc)
		sqlite3_wal_hook(ledger->db, log_grown, ledger);
	return say_sqlite(ledger, why, rc);
}

/* ---- open and close ------------------------------------------------------ */

static struct ledger *alloc_ledger(const char *name, bool readonly)
{
	struct ledger *ledger = calloc(1, sizeof(*ledger));

	if (!ledger)
		return NULL;
	ledger->name = strdup(name);
	if (!ledger->name) {
		free(ledger);
		return NULL;
	}
	ledger->readonly = readonly;
	ledger->log_fd = -1;
	pthread_mutex_init(&ledger->lock, NULL);
	pthread_mutex_init(&ledger->sync_lock, NULL);
	return ledger;
}

/* Finalizing what was never prepared, and closing what was never opened, do
 * nothing. */
static void free_ledger(struct ledger *ledger)
{
	sqlite3_stmt *stmts[] = {
		ledger->begin,
		ledger->commit,
		ledger->rollback,
		ledger->page_count,
		ledger->put_slot,
		ledger->put_coverage,
		ledger->drop_coverage,
		ledger->put_boot,
	};

	for (size_t i = 0; i < sizeof(stmts) / sizeof(stmts[0]); i++)
		sqlite3_finalize(stmts[i]);
	sqlite3_close(ledger->db);
	if (ledger->log_fd >= 0)
		close(ledger->log_fd);
	pthread_mutex_destroy(&ledger->lock);
	pthread_mutex_destroy(&ledger->sync_lock);
	free(ledger->name);
	free(ledger);
}

static int open_ledger(int dirfd, const char *name, bool readonly,
	struct ledger **out, char *why)
{
	struct ledger *ledger = alloc_ledger(name, readonly);
	char file[LEDGER_NAME_SIZE];
	int err;

	*why = '\0';
	if (!ledger)
		return -ENOMEM;
	err = ledger_sqlite_init();
	if (!err)
		err = ledger_file_name(file, name, "");
	if (err)
		say(ledger, why, err, "cannot be opened: %s", strerror(-err));
	else
		err = open_file(ledger, dirfd, file,
			readonly ? LEDGER_VFS_READONLY : LEDGER_VFS, why);
	if (!err && !readonly)
		err = reserve_log(ledger, dirfd, name, why);
	if (!err)
		err = say_sqlite(ledger, why,
			sqlite3_exec(ledger->db, pragmas, NULL, NULL, NULL));
	if (!err && !readonly)
		err = make_ready(ledger, why);
	if (!err)
		err = check_tables(ledger, why);
	if (!err)
		err = read_meta(ledger, why);
	if (err) {
		free_ledger(ledger);
		return err;
	}
	*out = ledger;
	return 0;
}

int ledger_open(int dirfd, const char *name, struct ledger **out, char *why)
{
	return open_ledger(dirfd, name, false, out, why);
}

int ledger_open_readonly(
	int dirfd, const char *name, struct ledger **out, char *why)
{
	return open_ledger(dirfd, name, true, out, why);
}

void ledger_close(struct ledger *ledger)
{
	int rc, saved = errno;

	if (!ledger)
		return;
	if (!ledger->readonly && !ledger_error(ledger)) {
		rc = ledger_checkpoint(ledger);
		if (rc)
			log_warn("%s" LEDGER_SUFFIX
				 ": the log was not copied home: %s",
				ledger->name, sqlite3_errmsg(ledger->db));
	}
	free_ledger(ledger);
	errno = saved;
}

const struct ledger_header *ledger_header(const struct ledger *ledger)
{
	return &ledger->header;
}

uint64_t ledger_slot_count(const struct ledger *ledger)
{
	return ledger->slots;
}

bool ledger_rebooted(const struct ledger *ledger)
{
	/* Relaxed: what was put is synced before it changes. */
	return atomic_load_explicit(&ledger->rebooted, memory_order_relaxed);
}

int ledger_error(const struct ledger *ledger)
{
	/* Acquire: pairs with fail in sqlite_rows.c. */
	return atomic_load_explicit(&ledger->error, memory_order_acquire);
}
