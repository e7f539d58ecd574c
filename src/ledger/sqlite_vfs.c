/*
 * How SQLite opens files. Its own "unix" VFS does the work; ours are copies of
 * it that differ in as little as they can.
 *
 * "rmfs" leaves a path as it is. SQLite would resolve "/proc/self/fd/N/NAME" to
 * an absolute path, and the folder could be another one by the time of the
 * open. O_NOFOLLOW for the last component is SQLite's own habit.
 *
 * "rmfs-readonly" also opens everything for reading only. A log that a killed
 * daemon left is read without shared memory, which takes locking_mode
 * EXCLUSIVE, which takes a write lock, which a descriptor for reading cannot
 * have: so only the shared lock is really taken. It is enough to find out that
 * somebody holds the ledger. A log that is not there stays so; /dev/null is as
 * empty as it would be.
 */
#include "ledger/sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

struct readonly_methods {
	sqlite3_io_methods own; /* first: what sqlite3_file points to */
	const sqlite3_io_methods *base;
};

static sqlite3_vfs base, direct, readonly;
static int init_error;

static int full_path(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
	(void)vfs;
	return snprintf(out, (size_t)size, "%s", name) < size ? SQLITE_OK
							      : SQLITE_CANTOPEN;
}

static int lock_shared(sqlite3_file *file, int level)
{
	const struct readonly_methods *methods = (const void *)file->pMethods;

	return level <= SQLITE_LOCK_SHARED ? methods->base->xLock(file, level)
					   : SQLITE_OK;
}

static int open_readonly(sqlite3_vfs *vfs, const char *name, sqlite3_file *file,
	int flags, int *out_flags)
{
	struct readonly_methods *methods =
		(void *)((char *)file + vfs->szOsFile - sizeof(*methods));
	int rc;

	flags &= ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
	flags |= SQLITE_OPEN_READONLY;
	rc = base.xOpen(vfs, name, file, flags, out_flags);
	if (rc == SQLITE_CANTOPEN && flags & SQLITE_OPEN_WAL && errno == ENOENT)
		rc = base.xOpen(vfs, "/dev/null", file, flags, out_flags);
	if (rc)
		return rc;
	methods->own = *file->pMethods;
	methods->own.xLock = lock_shared;
	methods->base = file->pMethods;
	file->pMethods = &methods->own;
	return SQLITE_OK;
}

/* The sentence that SQLite has and its result code has not. */
static void log_line(void *arg, int rc, const char *text)
{
	(void)arg;
	if ((rc & 0xff) == SQLITE_IOERR)
		log_warn("SQLite: %s (%d)", text, rc);
	else
		log_debug("SQLite: %s (%d)", text, rc);
}

static int register_vfs(void)
{
	const sqlite3_vfs *unix_vfs = sqlite3_vfs_find(NULL);
	int rc;

	if (!unix_vfs)
		return SQLITE_ERROR;
	base = *unix_vfs;
	direct = base;
	direct.zName = LEDGER_VFS;
	direct.xFullPathname = full_path;
	readonly = direct;
	readonly.zName = LEDGER_VFS_READONLY;
	readonly.xOpen = open_readonly;
	readonly.szOsFile += (int)sizeof(struct readonly_methods);
	rc = sqlite3_vfs_register(&direct, 0);
	return rc ? rc : sqlite3_vfs_register(&readonly, 0);
}

static void init(void)
{
	unsigned char byte;
	int rc;

	/* Refused when somebody has begun to use SQLite: no harm. */
	(void)sqlite3_config(SQLITE_CONFIG_LOG, log_line, NULL);
	rc = sqlite3_initialize();
	if (!rc)
		rc = register_vfs();
	if (rc)
		init_error = ledger_errno(rc);
	/* It opens /dev/urandom, once: before the process is confined. */
	else
		sqlite3_randomness(sizeof(byte), &byte);
}

int ledger_sqlite_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, init);
	return init_error;
}

int ledger_errno(int rc)
{
	if (rc == SQLITE_IOERR_NOMEM)
		return -ENOMEM;
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	/* SQLITE_ERROR: a table or a column is not there. */
	case SQLITE_ERROR:
	case SQLITE_SCHEMA:
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
	case SQLITE_MISMATCH:
	case SQLITE_CONSTRAINT:
	case SQLITE_TOOBIG:
		return -EILSEQ;
	default:
		return -EIO;
	}
}
