/*
 * Make the N-th call to the disk fail.
 *
 * The C library's functions are defined anew here, so that SQLite's calls come
 * by as well as our own. While armed, reads, writes, truncations, opens,
 * renames and syncs are counted, and the N-th fails; or all from the N-th on.
 * Nothing is ever really synced: no test here pulls the plug.
 */
#ifndef FAULT_CALLS_H
#define FAULT_CALLS_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

struct faults {
	bool armed;
	bool writes_only; /* count only writes */
	bool syncs_only;  /* count only syncs */
	bool for_ever;    /* not only the N-th */
	int countdown;
	int error;
	int fired;
};

static struct faults faults;

static inline void faults_arm(int n, int error, bool for_ever)
{
	faults = (struct faults){
		.armed = true,
		.for_ever = for_ever,
		.countdown = n,
		.error = error,
	};
}

/* Returns how many calls failed. */
static inline int faults_disarm(void)
{
	faults.armed = false;
	return faults.fired;
}

static inline bool faults_now(bool is_write, bool is_sync)
{
	if (!faults.armed || (faults.writes_only && !is_write) ||
		(faults.syncs_only && !is_sync))
		return false;
	if (faults.countdown > 1 || (faults.fired && !faults.for_ever)) {
		faults.countdown--;
		return false;
	}
	faults.fired++;
	errno = faults.error;
	return true;
}

ssize_t pread(int fd, void *buf, size_t len, off_t at)
{
	return faults_now(false, false)
		       ? -1
		       : syscall(SYS_pread64, fd, buf, len, at);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t at)
{
	return faults_now(true, false)
		       ? -1
		       : syscall(SYS_pwrite64, fd, buf, len, at);
}

int ftruncate(int fd, off_t size)
{
	return faults_now(true, false) ? -1
				       : (int)syscall(SYS_ftruncate, fd, size);
}

int fsync(int fd)
{
	(void)fd;
	return faults_now(false, true) ? -1 : 0;
}

int fdatasync(int fd)
{
	(void)fd;
	return faults_now(false, true) ? -1 : 0;
}

int open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	if (flags & O_CREAT) {
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	if (faults_now(false, false))
		return -1;
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	if (faults_now(false, false))
		return -1;
	return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

#endif
