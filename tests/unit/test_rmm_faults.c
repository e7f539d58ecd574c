/*
 * Fault loops: call number n fails, for n = 1, 2, ... until none is left. A
 * creation that fails leaves the old state, whatever failed.
 *
 * The linker sends the library's calls here (--wrap in the Makefile).
 */
#include "ranged_mmap.h"

#include "unit.h"
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#define A ((uint64_t)RMM_ALIGNMENT)

static char path[128];
static const char *folder;

/* The call to fail, counted down; 0: none. And what it fails with. */
static int countdown;
static int fault_errno;
static bool fault_happened;

static bool fails(void)
{
	if (countdown == 0 || --countdown > 0)
		return false;
	fault_happened = true;
	errno = fault_errno;
	return true;
}

/* The linker's names, not ours. NOLINTBEGIN(bugprone-reserved-identifier) */

/*
 * Wrap a function: __wrap_NAME fails when it is its turn.
 * @type    what it returns
 * @failed  its value on failure
 * @params  its parameters, as declared
 * @args    and as passed on
 */
#define WRAP(type, name, failed, params, args)                  \
	type __real_##name params;                              \
	type __wrap_##name params;                              \
	type __wrap_##name params                               \
	{                                                       \
		return fails() ? (failed) : __real_##name args; \
	}

WRAP(void *, malloc, NULL, (size_t size), (size))
WRAP(void *, calloc, NULL, (size_t n, size_t size), (n, size))
WRAP(void *, realloc, NULL, (void *p, size_t size), (p, size))
WRAP(char *, strdup, NULL, (const char *s), (s))
WRAP(int, fstat64, -1, (int fd, void *st), (fd, st))
WRAP(int, fstatat64, -1, (int fd, const char *name, void *st, int flags),
	(fd, name, st, flags))
WRAP(int, statx, -1,
	(int fd, const char *name, int flags, unsigned mask, void *st),
	(fd, name, flags, mask, st))
WRAP(int, fstatfs64, -1, (int fd, void *st), (fd, st))
WRAP(int, fstatvfs64, -1, (int fd, void *st), (fd, st))
WRAP(int, fchmod, -1, (int fd, mode_t mode), (fd, mode))
WRAP(int, fchown, -1, (int fd, uid_t uid, gid_t gid), (fd, uid, gid))
WRAP(int, ftruncate64, -1, (int fd, off_t size), (fd, size))
WRAP(int, linkat, -1, (int d, const char *a, int e, const char *b, int flags),
	(d, a, e, b, flags))
WRAP(int, faccessat, -1, (int d, const char *name, int mode, int flags),
	(d, name, mode, flags))
WRAP(ssize_t, getrandom, -1, (void *buf, size_t len, unsigned flags),
	(buf, len, flags))
WRAP(void *, mmap64, MAP_FAILED,
	(void *at, size_t len, int prot, int flags, int fd, off_t offset),
	(at, len, prot, flags, fd, offset))
WRAP(int, msync, -1, (void *at, size_t len, int flags), (at, len, flags))
WRAP(int, sync_file_range, -1,
	(int fd, off_t offset, off_t len, unsigned flags),
	(fd, offset, len, flags))

/* These take a variable argument, of one kind in the library. */
int __real_open64(const char *name, int flags, ...);
int __wrap_open64(const char *name, int flags, ...);
int __wrap_open64(const char *name, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return fails() ? -1 : __real_open64(name, flags, mode);
}

int __real_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, mode_t mode);
int __wrap_openat64(int dir, const char *name, int flags, mode_t mode)
{
	return fails() ? -1 : __real_openat64(dir, name, flags, mode);
}

int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...)
{
	va_list args;
	int arg;

	va_start(args, command);
	arg = command == F_SETFD ? va_arg(args, int) : 0;
	va_end(args);
	return fails() ? -1 : __real_fcntl64(fd, command, arg);
}

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	return fails() ? -1 : __real_ioctl(fd, request, arg);
}

/* This one can be one of a filesystem that knows no flags. */
static bool no_flags;

int __real_renameat2(
	int d, const char *a, int e, const char *b, unsigned flags);
int __wrap_renameat2(
	int d, const char *a, int e, const char *b, unsigned flags);
int __wrap_renameat2(int d, const char *a, int e, const char *b, unsigned flags)
{
	if (flags && no_flags) {
		errno = EINVAL;
		return -1;
	}
	return fails() ? -1 : __real_renameat2(d, a, e, b, flags);
}

/* This one fails half-way, as ext4 does: a part of the blocks is had. */
int __real_fallocate64(int fd, int mode, off_t offset, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len)
{
	if (!fails())
		return __real_fallocate64(fd, mode, offset, len);
	__real_fallocate64(fd, mode, offset, len / 2);
	errno = fault_errno;
	return -1;
}

/* NOLINTEND(bugprone-reserved-identifier) */

static void setup(void)
{
	folder = unit_folder();
	snprintf(path, sizeof(path), "%s/out.bin", folder);
	countdown = 0;
}

static int entries_of(const char *name)
{
	DIR *dir = opendir(name);
	int count = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2;
}

static void assert_content(const char *expected)
{
	char buf[64] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_ge(read(fd, buf, sizeof(buf) - 1), 0);
	close(fd);
	ck_assert_str_eq(buf, expected);
}

/* One attempt at something, with its handle closed again if it got one. */
typedef int attempt_fn(void);

static int create_map(void)
{
	struct rmm_map *map;
	int err = rmm_map_create(path, 16 * A, 0, &map);

	if (!err)
		rmm_map_close(map);
	return err;
}

static int create_sparse_exclusively(void)
{
	struct rmm_map *map;
	int err = rmm_map_create(path, 16 * A, RMM_SPARSE | RMM_EXCL, &map);

	if (!err)
		rmm_map_close(map);
	return err;
}

static int create_file(void)
{
	struct rmm_file *file;
	int err =
		rmm_file_create(path, 16 * A, RMM_POOL, RMM_WRITE_ONCE, &file);

	if (!err)
		rmm_file_close(file);
	return err;
}

static int open_map(void)
{
	struct rmm_map *map;
	int err = rmm_map_open(path, 0, &map);

	if (!err)
		rmm_map_close(map);
	return err;
}

static int open_file(void)
{
	struct rmm_file *file;
	int err = rmm_file_open(path, RMM_POOL, RMM_WRITE_ONCE, &file);

	if (!err)
		rmm_file_close(file);
	return err;
}

static int restore_pool(void)
{
	struct rmm_allocator *a, *b;
	char *text;
	int err = rmm_allocator_create(RMM_POOL, 16 * A, 1, &a);

	if (err)
		return err;
	err = rmm_allocator_take(a, &(struct rmm_range){A, 2 * A, 1});
	if (!err)
		err = rmm_allocator_format(a, &text);
	rmm_allocator_close(a);
	if (err)
		return err;
	err = rmm_allocator_parse(text, strlen(text), &b);
	free(text);
	if (!err)
		rmm_allocator_close(b);
	return err;
}

/*
 * Run the loop. After a failure @old is what the path holds (NULL: nothing),
 * and no descriptor is left open. Returns how many calls could fail.
 */
static int fault_loop(attempt_fn *attempt, int with, const char *old)
{
	int fds = entries_of("/proc/self/fd"), failures = 0;

	fault_errno = with;
	for (int n = 1;; n++) {
		int err;

		fault_happened = false;
		countdown = n;
		err = attempt();
		countdown = 0;
		ck_assert_int_eq(entries_of("/proc/self/fd"), fds);
		if (!fault_happened) {
			ck_assert_int_eq(err, 0);
			return failures;
		}
		if (err) {
			failures++;
			ck_assert_int_lt(err, 0);
			ck_assert_int_eq(entries_of(folder), old ? 1 : 0);
			if (old)
				assert_content(old);
		} else if (old) {
			ck_assert_int_eq(entries_of(folder), 1);
			unit_write(path, old, strlen(old));
		} else {
			unlink(path);
		}
	}
}

/* Creating where nothing is: a failure leaves nothing. */
START_TEST(create_anew_fails_cleanly)
{
	static attempt_fn *const attempts[] = {
		create_map, create_sparse_exclusively, create_file};
	static const int errors[] = {EIO, ENOSPC, ENOMEM};

	for (size_t i = 0; i < 3; i++) {
		ck_assert_int_ge(fault_loop(attempts[_i], errors[i], NULL), 8);
		ck_assert_int_eq(unlink(path), 0);
	}
}
END_TEST

/* Creating over a file: a failure leaves that file. */
START_TEST(create_over_file_fails_cleanly)
{
	attempt_fn *attempt = _i ? create_file : create_map;

	unit_write(path, "old", 3);
	ck_assert_int_ge(fault_loop(attempt, EIO, "old"), 10);
}
END_TEST

/* Opening: a failure leaves the file and no descriptor. */
START_TEST(open_fails_cleanly)
{
	attempt_fn *attempt = _i ? open_file : open_map;

	unit_write(path, "old", 3);
	ck_assert_int_ge(fault_loop(attempt, EIO, "old"), 4);
	assert_content("old");
}
END_TEST

/* Allocators and their texts: a failure leaks nothing (ASan watches). */
START_TEST(allocators_fail_cleanly)
{
	ck_assert_int_ge(fault_loop(restore_pool, ENOMEM, NULL), 6);
}
END_TEST

/* A filesystem that knows no RENAME_NOREPLACE gets a link instead. */
START_TEST(create_without_noreplace_links)
{
	no_flags = true;
	ck_assert_int_eq(create_sparse_exclusively(), 0);
	ck_assert_int_eq(entries_of(folder), 1);
	ck_assert_int_eq(create_sparse_exclusively(), -EEXIST);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_ge(fault_loop(create_map, EIO, NULL), 8);
	ck_assert_int_eq(entries_of(folder), 1);
}
END_TEST

/* ---- reserving ---- */

/*
 * The file for it: a page, a hole, reserved pages, a hole. Few enough extents
 * to lie in an ext4 inode: a tree that has grown a block keeps it.
 */
static int patched_file(void)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, "first", 5, 0), 5);
	ck_assert_int_eq(fallocate(fd, FALLOC_FL_KEEP_SIZE, 64 * (off_t)A,
				 16 * (off_t)A),
		0);
	ck_assert_int_eq(ftruncate(fd, 256 * (off_t)A), 0);
	ck_assert_int_eq(fsync(fd), 0);
	return fd;
}

/* Reserve with call @n failing. Returns 0 when it worked all the same. */
static int reserve_with_fault(int n)
{
	int fd = patched_file(), err;
	struct stat before, after;
	char buf[6] = "";

	ck_assert_int_eq(fstat(fd, &before), 0);
	ck_assert_int_lt(before.st_blocks * 512, before.st_size);
	fault_happened = false;
	countdown = n;
	err = rmm_reserve(fd, 1024 * A);
	countdown = 0;
	ck_assert_int_eq(fsync(fd), 0);
	ck_assert_int_eq(fstat(fd, &after), 0);
	if (err) {
		ck_assert_int_eq(after.st_size, before.st_size);
		ck_assert_int_eq(after.st_blocks, before.st_blocks);
	} else {
		ck_assert_int_eq(after.st_size, 1024 * (off_t)A);
		ck_assert_int_ge(after.st_blocks * 512, after.st_size);
	}
	ck_assert_int_eq(pread(fd, buf, 5, 0), 5);
	ck_assert_str_eq(buf, "first");
	close(fd);
	return err;
}

/* A reservation that fails half-way gives back what it got, and only that. */
START_TEST(reserve_that_fails_gives_back)
{
	int failures = 0;

	fault_errno = ENOSPC;
	for (int n = 1; n == 1 || fault_happened; n++)
		failures += reserve_with_fault(n) != 0;
	ck_assert_int_ge(failures, 4);
}
END_TEST

/* ---- syncing ---- */

/* One failed sync, and the map never says all is well again. */
START_TEST(sync_that_failed_is_remembered)
{
	struct rmm_map *map;

	ck_assert_int_eq(rmm_map_create(path, 16 * A, 0, &map), 0);
	ck_assert_int_eq(rmm_map_sync(map), 0);
	countdown = 1;
	fault_errno = _i ? EDQUOT : EIO;
	ck_assert_int_eq(rmm_map_sync_range(map, A, A), -fault_errno);
	ck_assert_int_eq(countdown, 0);
	ck_assert_int_eq(rmm_map_sync(map), -fault_errno);
	ck_assert_int_eq(rmm_map_sync_range(map, 4 * A, A), -fault_errno);
	ck_assert_int_eq(rmm_map_flush(map), -fault_errno);
	ck_assert_int_eq(rmm_map_error(map), -fault_errno);
	rmm_map_close(map);
	ck_assert_int_eq(rmm_map_open(path, 0, &map), 0);
	ck_assert_int_eq(rmm_map_sync(map), 0);
	rmm_map_close(map);
}
END_TEST

/* So it is with a flush that failed; the first error stays. */
START_TEST(flush_that_failed_is_remembered)
{
	struct rmm_map *map;

	ck_assert_int_eq(rmm_map_create(path, 16 * A, 0, &map), 0);
	ck_assert_int_eq(rmm_map_flush(map), 0);
	countdown = 1;
	fault_errno = ENOSPC;
	ck_assert_int_eq(rmm_map_flush_range(map, 0, A), -ENOSPC);
	countdown = 1;
	fault_errno = EIO;
	ck_assert_int_eq(rmm_map_sync(map), -ENOSPC);
	countdown = 0;
	ck_assert_int_eq(rmm_map_error(map), -ENOSPC);
	rmm_map_close(map);
}
END_TEST

/* A sync that was interrupted is no failure: it goes on. */
START_TEST(sync_interrupted_goes_on)
{
	struct rmm_map *map;

	ck_assert_int_eq(rmm_map_create(path, 16 * A, 0, &map), 0);
	countdown = 1;
	fault_errno = EINTR;
	ck_assert_int_eq(rmm_map_sync(map), 0);
	ck_assert_int_eq(countdown, 0);
	ck_assert_int_eq(rmm_map_error(map), 0);
	rmm_map_close(map);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rmm_faults");
	TCase *create = unit_case(suite, "create");
	TCase *reserve = unit_case(suite, "reserve");
	TCase *sync = unit_case(suite, "sync");

	tcase_add_checked_fixture(create, setup, NULL);
	tcase_add_checked_fixture(reserve, setup, NULL);
	tcase_add_checked_fixture(sync, setup, NULL);
	tcase_add_loop_test(create, create_anew_fails_cleanly, 0, 3);
	tcase_add_loop_test(create, create_over_file_fails_cleanly, 0, 2);
	tcase_add_loop_test(create, open_fails_cleanly, 0, 2);
	tcase_add_test(create, allocators_fail_cleanly);
	tcase_add_test(create, create_without_noreplace_links);
	tcase_add_test(reserve, reserve_that_fails_gives_back);
	tcase_add_loop_test(sync, sync_that_failed_is_remembered, 0, 2);
	tcase_add_test(sync, flush_that_failed_is_remembered);
	tcase_add_test(sync, sync_interrupted_goes_on);
	return unit_main(suite);
}
