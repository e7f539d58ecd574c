/*
 * Broken mappings: an errno for whoever uses the library, the program's own
 * SIGBUS for everybody else.
 */
#include "ranged_mmap.h"

#include "unit.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>

#define A ((uint64_t)RMM_ALIGNMENT)
#define MiB ((uint64_t)1 << 20)

static char path[128];
static const char *folder;

static void setup(void)
{
	folder = unit_folder();
	snprintf(path, sizeof(path), "%s/out.bin", folder);
}

static struct rmm_map *created(uint64_t size, unsigned flags)
{
	struct rmm_map *map;

	ck_assert_int_eq(rmm_map_create(path, size, flags, &map), 0);
	return map;
}

/* A map of which only the first page is still in the file. */
static struct rmm_map *shrunk(uint64_t size)
{
	struct rmm_map *map = created(size, 0);

	ck_assert_int_eq(truncate(path, (off_t)A), 0);
	return map;
}

/* A page of memory that faults, and is no map of the library. */
static volatile char *foreign_page(void)
{
	char name[160];
	char *page;
	int fd;

	snprintf(name, sizeof(name), "%s/foreign", folder);
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	page = mmap(NULL, A, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(page, MAP_FAILED);
	close(fd);
	return page;
}

static void touch(void *ptr, size_t len, void *arg)
{
	*(volatile char *)arg = ((volatile char *)ptr)[len - 1];
}

/* ---- shrunk files ---- */

/* Stores and loads of every length into what is gone return EIO. */
START_TEST(store_behind_a_shrunk_end_is_eio)
{
	static const size_t lengths[] = {1, 8, 64, 100, 2048, 4095, 4096, 4097,
		65535, 65536, 70000, 3 << 20};
	struct rmm_map *map = shrunk(8 * MiB);
	char *buf = calloc(1, 3 << 20);
	void *slice;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		for (int odd = 0; odd < 2; odd++) {
			size_t len = lengths[i];
			uint64_t at = 2 * A + (odd ? 1 : 0);

			ck_assert_int_eq(
				rmm_map_write_all_at(map, buf, len, at), -EIO);
			ck_assert_int_eq(
				rmm_map_write_at(map, buf, len, at), -EIO);
			ck_assert_int_eq(
				rmm_map_read_at(map, buf, len, at), -EIO);
			ck_assert_int_eq(rmm_map_fill(map, 1, at, len), -EIO);
		}
	ck_assert_int_eq(rmm_map_read_slice(map, A, A, &slice), -EIO);
	ck_assert_int_eq(rmm_map_access(map, A, A, touch, buf), -EIO);
	ck_assert_int_eq(rmm_map_write_all_at(map, buf, A, 0), 0);
	rmm_map_close(map);
	free(buf);
}
END_TEST

/* A store that begins in the file and ends behind it is EIO as well. */
START_TEST(store_across_a_shrunk_end_is_eio)
{
	struct rmm_map *map = shrunk(MiB);
	char *buf = calloc(1, MiB);

	ck_assert_int_eq(rmm_map_write_all_at(map, buf, 2 * A, 0), -EIO);
	ck_assert_int_eq(rmm_map_write_all_at(map, buf, 100, A - 50), -EIO);
	ck_assert_int_eq(rmm_map_write_all_at(map, buf, MiB, 0), -EIO);
	ck_assert_int_eq(rmm_map_read_at(map, buf, MiB, 0), -EIO);
	/* The page of the end is there, but not all of its bytes are kept. */
	ck_assert_int_eq(truncate(path, (off_t)MiB - 100), 0);
	ck_assert_int_eq(
		rmm_map_write_all_at(map, buf, 32 * A, MiB - 32 * A), -EIO);
	rmm_map_close(map);
	free(buf);
}
END_TEST

/* Bytes behind the end but in its page would be lost: sync says so. */
START_TEST(sync_of_a_shrunk_file_is_eio_for_ever)
{
	struct rmm_map *map = created(MiB, 0);

	ck_assert_int_eq(rmm_map_sync(map), 0);
	ck_assert_int_eq(rmm_map_error(map), 0);
	ck_assert_int_eq(truncate(path, 100), 0);
	ck_assert_int_eq(rmm_map_write_all_at(map, "lost", 4, 200), 0);
	ck_assert_int_eq(rmm_map_sync_range(map, 0, A), -EIO);
	ck_assert_int_eq(truncate(path, (off_t)MiB), 0);
	ck_assert_int_eq(rmm_map_sync(map), -EIO);
	ck_assert_int_eq(rmm_map_sync_range(map, 0, A), -EIO);
	ck_assert_int_eq(rmm_map_flush(map), -EIO);
	ck_assert_int_eq(rmm_map_error(map), -EIO);
	rmm_map_close(map);
}
END_TEST

/* One fault does not cost the next one its handling. */
START_TEST(many_faults_are_all_caught)
{
	struct rmm_map *map = shrunk(2 * MiB);
	char buf[8192] = "";

	for (int i = 0; i < 10000; i++) {
		size_t len = i % 2 ? 100 : sizeof(buf);

		ck_assert_int_eq(
			rmm_map_write_all_at(map, buf, len, MiB), -EIO);
	}
	ck_assert_int_eq(rmm_map_write_all_at(map, buf, A, 0), 0);
	rmm_map_close(map);
}
END_TEST

struct faulter {
	pthread_t thread;
	struct rmm_map *map;
	uint64_t offset;
	int bad;
};

static void *fault_often(void *arg)
{
	struct faulter *f = arg;
	char buf[8192] = "";
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	for (int i = 0; i < 500; i++) {
		size_t len = i % 2 ? 100 : sizeof(buf);

		f->bad += rmm_map_write_all_at(f->map, buf, len, f->offset) !=
			  -EIO;
		f->bad += rmm_map_read_at(f->map, buf, 100, 0) != 100;
	}
	return NULL;
}

/* Threads that block all signals, as workers do, get their EIO too. */
START_TEST(faults_in_many_threads_are_each_ones_own)
{
	struct faulter f[16] = {0};
	struct rmm_map *map = shrunk(2 * MiB);

	for (int i = 0; i < 16; i++) {
		f[i].map = map;
		f[i].offset = MiB + (uint64_t)i * 2 * A;
		ck_assert_int_eq(
			pthread_create(&f[i].thread, NULL, fault_often, &f[i]),
			0);
	}
	for (int i = 0; i < 16; i++) {
		pthread_join(f[i].thread, NULL);
		ck_assert_int_eq(f[i].bad, 0);
	}
	rmm_map_close(map);
}
END_TEST

struct inner {
	struct rmm_map *map;
	int err;
};

static void store_inside(void *ptr, size_t len, void *arg)
{
	struct inner *inner = arg;

	inner->err = rmm_map_write_all_at(inner->map, "x", 1, MiB);
	*(volatile char *)arg = ((volatile char *)ptr)[len - 1];
}

/* A guard within a guard ends itself only; the outer one still stands. */
START_TEST(nested_guards_end_one_by_one)
{
	struct rmm_map *map = shrunk(2 * MiB);
	struct inner inner = {map, 0};

	ck_assert_int_eq(
		rmm_map_access(map, MiB, A, store_inside, &inner), -EIO);
	ck_assert_int_eq(inner.err, -EIO);
	ck_assert_int_eq(rmm_map_write_all_at(map, "x", 1, 0), 0);
	rmm_map_close(map);
}
END_TEST

/* ---- other people's signals ---- */

static sigjmp_buf back;
static void *volatile seen;
static volatile sig_atomic_t calls;

static void program_handler(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	seen = info->si_addr;
	calls++;
	siglongjmp(back, 1);
}

static void program_plain_handler(int sig)
{
	(void)sig;
	calls++;
	siglongjmp(back, 1);
}

/* The program's handler gets the faults of its own addresses, and only those */
START_TEST(handler_of_program_keeps_its_faults)
{
	struct sigaction action = {
		.sa_sigaction = program_handler, .sa_flags = SA_SIGINFO};
	volatile char *page = foreign_page();
	struct rmm_map *map;

	sigaction(SIGBUS, &action, NULL);
	map = shrunk(MiB);
	for (int i = 1; i <= 3; i++) {
		if (sigsetjmp(back, 1) == 0)
			page[7] = 1;
		ck_assert_int_eq(calls, i);
		ck_assert(seen == page + 7);
		ck_assert_int_eq(
			rmm_map_write_all_at(map, "x", 1, 2 * A), -EIO);
		ck_assert_int_eq(calls, i);
	}
	rmm_map_close(map);
}
END_TEST

/* A handler of the old kind, without siginfo, works as well. */
START_TEST(plain_handler_of_program_is_called)
{
	volatile char *page = foreign_page();
	struct rmm_map *map;

	signal(SIGBUS, program_plain_handler);
	map = shrunk(MiB);
	if (sigsetjmp(back, 1) == 0)
		page[0] = 1;
	ck_assert_int_eq(calls, 1);
	ck_assert_int_eq(rmm_map_write_all_at(map, "x", 1, 2 * A), -EIO);
	if (sigsetjmp(back, 1) == 0) {
		raise(SIGBUS);
		for (;;) /* ThreadSanitizer delivers it in some later call */
			usleep(1000);
	}
	ck_assert_int_eq(calls, 2);
	rmm_map_close(map);
}
END_TEST

static struct rmm_map *reading;
static volatile char *reading_from;

static void store_from_foreign(void)
{
	rmm_map_write_all_at(reading, (const void *)reading_from, A, 0);
}

static void store_little_from_foreign(void)
{
	rmm_map_write_all_at(reading, (const void *)reading_from, 100, 0);
}

static void touch_foreign(void)
{
	reading_from[0] = 1;
}

static void send_to_self(void)
{
	kill(getpid(), SIGBUS);
}

/* Run @fn in a child. Returns its wait status. */
static int ended(void (*fn)(void))
{
	int status;
	pid_t child = fork();

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		fn();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return status;
}

/*
 * Without a handler of the program's, a fault that is not ours ends it: a
 * fault of the caller's own buffer is not ours either.
 */
START_TEST(foreign_fault_without_handler_kills)
{
	static void (*const cases[])(void) = {touch_foreign, send_to_self,
		store_from_foreign, store_little_from_foreign};

	signal(SIGBUS, SIG_DFL);
	reading_from = foreign_page();
	reading = created(MiB, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status = ended(cases[i]);

		ck_assert(WIFSIGNALED(status));
		ck_assert_int_eq(WTERMSIG(status), SIGBUS);
	}
	rmm_map_close(reading);
}
END_TEST

/* A program that ignores SIGBUS ignores one that is sent, not a fault. */
START_TEST(ignored_signal_stays_ignored)
{
	int status;

	signal(SIGBUS, SIG_IGN);
	reading_from = foreign_page();
	reading = created(MiB, 0);
	status = ended(send_to_self);
	ck_assert(WIFEXITED(status));
	status = ended(touch_foreign);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGBUS);
	rmm_map_close(reading);
}
END_TEST

static void fault_twice(void)
{
	if (sigsetjmp(back, 1) == 0)
		reading_from[0] = 1;
	if (rmm_map_write_all_at(reading, "x", 1, 2 * A) != -EIO || calls != 1)
		_exit(1);
	reading_from[0] = 1;
}

/* A handler for one time gets one fault; the second is the default's. */
START_TEST(one_shot_handler_is_called_once)
{
	struct sigaction action = {.sa_sigaction = program_handler,
		.sa_flags = SA_SIGINFO | (int)SA_RESETHAND};
	int status;

	sigaction(SIGBUS, &action, NULL);
	reading_from = foreign_page();
	reading = shrunk(MiB);
	status = ended(fault_twice);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGBUS);
	rmm_map_close(reading);
}
END_TEST

/* ---- full filesystems ---- */

/* @test  its __func__, which is its name and _fn */
static void skip(const char *test, const char *why)
{
	printf("SKIP %.*s: %s\n", (int)strlen(test) - 3, test, why);
	fflush(stdout);
}

/* Be where a mount is seen by nobody else, or say why not. */
static bool private_mounts(const char *test)
{
	if (unshare(CLONE_NEWNS) == 0 &&
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		return true;
	skip(test, "mounting is not permitted");
	return false;
}

/* A sparse map on a filesystem that fills up: stores say ENOSPC, and live. */
static struct rmm_map *fill_up(uint64_t size)
{
	struct rmm_map *map = created(size, RMM_SPARSE);
	char *buf = malloc(MiB);
	int err = 0;

	memset(buf, 1, MiB);
	for (uint64_t at = 0; at < size && !err; at += 8 * A)
		err = rmm_map_write_all_at(map, buf, 8 * A, at);
	ck_assert_int_eq(err, -ENOSPC);
	/* A last block may be found for so little. */
	err = rmm_map_write_all_at(map, buf, 100, size - 100);
	ck_assert(err == 0 || err == -ENOSPC);
	ck_assert_int_eq(rmm_map_fill(map, 1, size - MiB, MiB), -ENOSPC);
	ck_assert_int_eq(
		rmm_map_write_all_at(map, buf, MiB, size - MiB), -ENOSPC);
	free(buf);
	return map;
}

/* What has its blocks can be written, however full it is. */
static void rewrite(struct rmm_map *map)
{
	ck_assert_int_eq(rmm_map_fill(map, 2, 0, 8 * A), 0);
	rmm_map_close(map);
}

/* tmpfs that is full. */
START_TEST(store_into_a_full_tmpfs_is_enospc)
{
	if (!private_mounts(__func__))
		return;
	ck_assert_int_eq(mount("none", folder, "tmpfs", 0, "size=4m"), 0);
	rewrite(fill_up(16 * MiB));
}
END_TEST

/* Fill a new filesystem of @size bytes, which @mkfs makes. NULL: skipped. */
static struct rmm_map *fill_up_disk(
	const char *test, const char *mkfs, uint64_t size)
{
	char said[1000];

	if (!private_mounts(test))
		return NULL;
	ck_assert_int_eq(mount("none", folder, "tmpfs", 0, "size=1g"), 0);
	if (unit_run(said, sizeof(said),
		    "cd %s && truncate -s %llu img && %s img && mkdir mnt && "
		    "mount -o loop img mnt",
		    folder, (unsigned long long)size, mkfs) != 0) {
		skip(test, said);
		return NULL;
	}
	snprintf(path, sizeof(path), "%s/mnt/out.bin", folder);
	return fill_up(2 * size);
}

/* ext4 that is full. */
START_TEST(store_into_a_full_ext4_is_enospc)
{
	struct rmm_map *map = fill_up_disk(__func__, "mkfs.ext4 -q", 16 * MiB);

	if (map)
		rewrite(map);
}
END_TEST

/* XFS that is full. */
START_TEST(store_into_a_full_xfs_is_enospc)
{
	struct rmm_map *map = fill_up_disk(__func__, "mkfs.xfs -q", 320 * MiB);

	if (map)
		rewrite(map);
}
END_TEST

/* btrfs that is full; it can refuse to rewrite as well. */
START_TEST(store_into_a_full_btrfs_is_enospc)
{
	struct rmm_map *map =
		fill_up_disk(__func__, "mkfs.btrfs -q", 128 * MiB);

	rmm_map_close(map);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rmm_guard");
	TCase *shrink = unit_case(suite, "shrunk");
	TCase *foreign = unit_case(suite, "foreign");
	TCase *full = unit_case(suite, "full");

	tcase_add_checked_fixture(shrink, setup, NULL);
	tcase_add_checked_fixture(foreign, setup, NULL);
	tcase_add_checked_fixture(full, setup, NULL);
	tcase_add_test(shrink, store_behind_a_shrunk_end_is_eio);
	tcase_add_test(shrink, store_across_a_shrunk_end_is_eio);
	tcase_add_test(shrink, sync_of_a_shrunk_file_is_eio_for_ever);
	tcase_add_test(shrink, many_faults_are_all_caught);
	tcase_add_test(shrink, faults_in_many_threads_are_each_ones_own);
	tcase_add_test(shrink, nested_guards_end_one_by_one);
	tcase_add_test(foreign, handler_of_program_keeps_its_faults);
	tcase_add_test(foreign, plain_handler_of_program_is_called);
	tcase_add_test(foreign, foreign_fault_without_handler_kills);
	tcase_add_test(foreign, ignored_signal_stays_ignored);
	tcase_add_test(foreign, one_shot_handler_is_called_once);
	tcase_add_test(full, store_into_a_full_tmpfs_is_enospc);
	tcase_add_test(full, store_into_a_full_ext4_is_enospc);
	tcase_add_test(full, store_into_a_full_xfs_is_enospc);
	tcase_add_test(full, store_into_a_full_btrfs_is_enospc);
	return unit_main(suite);
}
