/*
 * Making a ledger, and removing one.
 *
 * It is built as NAME.rmfs.new, with its log NAME.rmfs.new-wal, both synced;
 * then what was there goes, then the log gets its name, then the ledger. A
 * crash on the way leaves no ledger at all, or the new one; never a ledger
 * beside the log of another one, which SQLite would replay into it.
 */
#include "ledger/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/openat.h"

/* No journal, no sync: it is ours alone until it has its name. */
static const char *const pragmas[] = {
	"PRAGMA page_size=4096",
	"PRAGMA auto_vacuum=NONE",
	"PRAGMA encoding='UTF-8'",
	"PRAGMA locking_mode=EXCLUSIVE",
	"PRAGMA journal_mode=OFF",
	"PRAGMA synchronous=OFF",
	"PRAGMA secure_delete=OFF",
	"PRAGMA temp_store=MEMORY",
	"BEGIN",
};

/* docs/ledger.md explains them. The last one, a view, is for people. */
const char *const ledger_schema[] = {
	"CREATE TABLE meta(\n"
	"	uuid BLOB,\n"
	"	size INTEGER,\n"
	"	slot_size INTEGER,\n"
	"	boot TEXT,\n"
	"	file INTEGER,\n"
	"	sum INTEGER)",

	"CREATE TABLE slot(\n"
	"	start INTEGER PRIMARY KEY,\n"
	"	id INTEGER,\n"
	"	length INTEGER,\n"
	"	generation INTEGER,\n"
	"	state INTEGER,\n"
	"	crc32c INTEGER,\n"
	"	completed_ns INTEGER,\n"
	"	writer_uid INTEGER,\n"
	"	writer_pid INTEGER,\n"
	"	command TEXT,\n"
	"	uid INTEGER,\n"
	"	gid INTEGER,\n"
	"	mode INTEGER,\n"
	"	mtime_ns INTEGER,\n"
	"	sum INTEGER,\n"
	"	pad BLOB)",

	"CREATE TABLE coverage(\n"
	"	id INTEGER PRIMARY KEY,\n"
	"	generation INTEGER,\n"
	"	overrun INTEGER,\n"
	"	size INTEGER,\n"
	"	runs BLOB,\n"
	"	sum INTEGER)",

	"CREATE VIEW receipt AS SELECT\n"
	"	printf('%0*d-%0*d', length(size - 1), start,\n"
	"		length(size - 1), start + length - 1) AS name,\n"
	"	start AS offset,\n"
	"	length,\n"
	"	printf('%08x', crc32c & 0xffffffff) AS crc32c,\n"
	"	CASE state WHEN 1 THEN 'complete' ELSE 'durable' END\n"
	"		AS state,\n"
	"	generation & 0xffffffff AS generation,\n"
	"	strftime('%Y-%m-%dT%H:%M:%S',\n"
	"		completed_ns / 1000000000, 'unixepoch') ||\n"
	"		printf('.%09dZ', completed_ns % 1000000000)\n"
	"		AS completed,\n"
	"	writer_uid & 0xffffffff AS uid,\n"
	"	writer_pid AS pid,\n"
	"	command\n"
	"	FROM slot, meta WHERE state > 0 ORDER BY start",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What belongs to a ledger, in the order in which it may go. */
static const char *const files[] = {
	"",
	LEDGER_LOG,
	"-shm",
	"-journal",
	LEDGER_NEW,
	(LEDGER_NEW LEDGER_LOG),
};

enum { FILES = COUNT(files), OLD_FILES = 4 };

int ledger_file_name(char *file, const char *target, const char *more)
{
	int n = snprintf(
		file, LEDGER_NAME_SIZE, "%s" LEDGER_SUFFIX "%s", target, more);

	return n < LEDGER_NAME_SIZE ? 0 : -ENAMETOOLONG;
}

bool ledger_reserved(const char *name)
{
	char end[32];
	size_t len = strlen(name);

	for (size_t i = 0; i < FILES; i++) {
		size_t n = (size_t)snprintf(
			end, sizeof(end), LEDGER_SUFFIX "%s", files[i]);

		if (len >= n && !strcmp(name + len - n, end))
			return true;
	}
	return false;
}

void ledger_boot_id(char *boot)
{
	const char *given = getenv("RMFS_BOOT_ID");
	FILE *file;

	*boot = '\0';
	if (given) {
		snprintf(boot, LEDGER_BOOT_SIZE, "%s", given);
		return;
	}
	file = fopen("/proc/sys/kernel/random/boot_id", "re");
	if (!file)
		return;
	if (fgets(boot, LEDGER_BOOT_SIZE, file))
		boot[strcspn(boot, "\n")] = '\0';
	fclose(file);
}

/* A random one (RFC 4122, version 4). */
static int make_uuid(uint8_t *uuid)
{
	if (getrandom(uuid, LEDGER_UUID_SIZE, 0) != LEDGER_UUID_SIZE)
		return -EIO;
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
	return 0;
}

static int insert_meta(sqlite3 *db, const struct ledger_header *header)
{
	char boot[LEDGER_BOOT_SIZE];
	sqlite3_stmt *stmt;
	int rc;

	rc = sqlite3_prepare_v2(
		db, "INSERT INTO " LEDGER_META_VALUES, -1, &stmt, NULL);
	if (rc)
		return rc;
	ledger_boot_id(boot);
	rc = ledger_meta_bind(stmt, header, boot);
	if (!rc)
		rc = sqlite3_step(stmt);
	sqlite3_finalize(stmt);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int insert_slots(sqlite3 *db, const struct ledger_header *header,
	bool (*next)(void *arg, struct ledger_slot *slot), void *arg)
{
	struct ledger_slot slot;
	sqlite3_stmt *stmt;
	int rc;

	rc = sqlite3_prepare_v2(
		db, "INSERT INTO " LEDGER_SLOT_VALUES, -1, &stmt, NULL);
	while (!rc && next(arg, &slot)) {
		rc = ledger_slot_bind(stmt, header, &slot);
		if (!rc && sqlite3_step(stmt) != SQLITE_DONE)
			rc = sqlite3_errcode(db);
		sqlite3_reset(stmt);
	}
	sqlite3_finalize(stmt);
	return rc;
}

static int run_all(sqlite3 *db, const char *const *sql, size_t count)
{
	int rc = SQLITE_OK;

	for (size_t i = 0; !rc && i < count; i++)
		rc = sqlite3_exec(db, sql[i], NULL, NULL, NULL);
	return rc;
}

/* journal_mode=WAL only sets two bytes of the file: nothing is open yet. */
static int finish(sqlite3 *db)
{
	char sql[160];

	snprintf(sql, sizeof(sql),
		"PRAGMA application_id=%d; PRAGMA user_version=%d;"
		"COMMIT; PRAGMA journal_mode=WAL",
		LEDGER_APPLICATION_ID, LEDGER_VERSION);
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int fill(sqlite3 *db, const struct ledger_header *header,
	bool (*next)(void *arg, struct ledger_slot *slot), void *arg)
{
	int rc = run_all(db, pragmas, COUNT(pragmas));

	if (!rc)
		rc = run_all(db, ledger_schema, COUNT(ledger_schema));
	if (!rc)
		rc = insert_meta(db, header);
	if (!rc)
		rc = insert_slots(db, header, next, arg);
	return rc ? rc : finish(db);
}

/* SQLite would try again for reading, and hide why it cannot be made. */
static int make_file(int dirfd, const char *file)
{
	int fd = open_beneath(dirfd, file, O_RDWR | O_CREAT | O_EXCL, 0644);

	return fd < 0 ? fd : close(fd) ? -errno : 0;
}

static int build(int dirfd, const char *file,
	const struct ledger_header *header,
	bool (*next)(void *arg, struct ledger_slot *slot), void *arg)
{
	char path[LEDGER_PATH_SIZE];
	sqlite3 *db;
	int rc, err = make_file(dirfd, file);

	if (err)
		return err;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, file);
	rc = sqlite3_open_v2(path, &db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, LEDGER_VFS);
	if (!rc)
		rc = fill(db, header, next, arg);
	err = ledger_errno(rc);
	rc = sqlite3_close(db);
	return err ? err : ledger_errno(rc);
}

static int sync_file(int dirfd, const char *file)
{
	AUTO_FD int fd = open_beneath(dirfd, file, O_RDWR, 0);

	if (fd < 0)
		return fd;
	return fsync(fd) ? -errno : 0;
}

/* Write zeros from the end up to LEDGER_LOG_RESERVE, and sync. */
static int reserve(int fd)
{
	static const char zeros[64 << 10];
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	/* Written, not allocated: an allocated extent would have to be
	 * converted at each sync. */
	for (off_t at = st.st_size; at < LEDGER_LOG_RESERVE;) {
		off_t left = LEDGER_LOG_RESERVE - at;
		size_t piece = sizeof(zeros);
		ssize_t n;

		if (left < (off_t)piece)
			piece = (size_t)left;
		n = pwrite(fd, zeros, piece, at);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			at += n;
	}
	return fsync(fd) ? -errno : 0;
}

int ledger_open_log(int dirfd, const char *file)
{
	AUTO_FD int fd =
		open_beneath(dirfd, file, O_RDWR | O_CREAT | O_NOFOLLOW, 0644);
	int err;

	if (fd < 0)
		return fd;
	err = reserve(fd);
	return err ? err : KEEP_FD(fd);
}

static int make_log(int dirfd, const char *file)
{
	int fd = ledger_open_log(dirfd, file);

	return fd < 0 ? fd : close(fd) ? -errno : 0;
}

/* Remove the first @count of the files of a ledger. */
static void remove_files(int dirfd, const char *name, size_t count)
{
	char file[LEDGER_NAME_SIZE];

	for (size_t i = 0; i < count; i++)
		if (!ledger_file_name(file, name, files[i]))
			unlinkat(dirfd, file, 0);
}

/* Give a file built under its temporary name its own. */
static int rename_new(int dirfd, const char *name, const char *more)
{
	char from[LEDGER_NAME_SIZE], to[LEDGER_NAME_SIZE], new_more[16];

	snprintf(new_more, sizeof(new_more), LEDGER_NEW "%s", more);
	(void)ledger_file_name(from, name, new_more);
	(void)ledger_file_name(to, name, more);
	return renameat(dirfd, from, dirfd, to) ? -errno : 0;
}

/* What was there goes; what was built takes its place. */
static int replace(int dirfd, const char *name)
{
	int err = 0;

	remove_files(dirfd, name, OLD_FILES);
	if (fsync(dirfd))
		err = -errno;
	if (!err)
		err = rename_new(dirfd, name, LEDGER_LOG);
	if (!err)
		err = rename_new(dirfd, name, "");
	if (!err && fsync(dirfd))
		err = -errno;
	if (err)
		ledger_remove(dirfd, name);
	return err;
}

int ledger_create(int dirfd, const char *name, struct ledger_header *header,
	bool (*next)(void *arg, struct ledger_slot *slot), void *arg)
{
	char file[LEDGER_NAME_SIZE], log[LEDGER_NAME_SIZE];
	int err = ledger_file_name(log, name, LEDGER_NEW LEDGER_LOG);

	if (!err)
		err = ledger_sqlite_init();
	if (!err)
		err = make_uuid(header->uuid);
	if (err)
		return err;
	(void)ledger_file_name(file, name, LEDGER_NEW);
	unlinkat(dirfd, file, 0);
	unlinkat(dirfd, log, 0);
	err = build(dirfd, file, header, next, arg);
	if (!err)
		err = sync_file(dirfd, file);
	if (!err)
		err = make_log(dirfd, log);
	if (!err)
		return replace(dirfd, name);
	unlinkat(dirfd, file, 0);
	unlinkat(dirfd, log, 0);
	return err;
}

void ledger_remove(int dirfd, const char *name)
{
	remove_files(dirfd, name, FILES);
}
