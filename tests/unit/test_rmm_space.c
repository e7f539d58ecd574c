/* Disk space, on small filesystems that really run out of it. */
#include "ranged_mmap.h"

#include "base/cleanup.h"
#include "unit.h"
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#define A ((uint64_t)RMM_ALIGNMENT)
#define MiB ((uint64_t)1 << 20)

static char path[160];
static char folder[128];

static void setup(void)
{
	snprintf(folder, sizeof(folder), "%s", unit_folder());
	snprintf(path, sizeof(path), "%s/out.bin", folder);
}

/* @test  its __func__, which is its name and _fn */
static void skip(const char *test, const char *why)
{
	printf("SKIP %.*s: %s\n", (int)strlen(test) - 3, test, why);
	fflush(stdout);
}

/* Be where a mount is seen by nobody else, and goes with the process. */
static bool private_mounts(const char *test)
{
	if (unshare(CLONE_NEWNS) == 0 &&
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		return true;
	skip(test, "mounting is not permitted");
	return false;
}

/* Be on a new filesystem of 400 MiB, which @mkfs makes. */
static bool small_filesystem(const char *test, const char *mkfs)
{
	char said[1000];

	if (!private_mounts(test))
		return false;
	ck_assert_int_eq(mount("none", folder, "tmpfs", 0, "size=512m"), 0);
	if (unit_run(said, sizeof(said),
		    "cd %s && truncate -s 400M img && %s img && mkdir mnt && "
		    "mount -o loop img mnt",
		    folder, mkfs) != 0) {
		skip(test, said);
		return false;
	}
	snprintf(path, sizeof(path), "%s/mnt/out.bin", folder);
	return true;
}

static uint64_t free_bytes(void)
{
	char dir[160];
	struct statvfs fs;

	snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path),
		path);
	sync();
	ck_assert_int_eq(statvfs(dir, &fs), 0);
	return fs.f_bfree * fs.f_frsize;
}

static int made(const void *bytes, size_t len)
{
	unit_write(path, bytes, len);
	return open(path, O_RDWR | O_CLOEXEC);
}

/* Reserving grows a file to its size, with zeros, and keeps its bytes. */
START_TEST(reserve_grows_and_keeps_bytes)
{
	int fd = made("hello", 5);
	struct stat st;
	char buf[8] = "";

	ck_assert_int_eq(rmm_reserve(fd, MiB), 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, (off_t)MiB);
	ck_assert_int_ge(st.st_blocks * 512, st.st_size);
	ck_assert_int_eq(pread(fd, buf, 8, 0), 8);
	ck_assert_mem_eq(buf, "hello\0\0", 8);
	close(fd);
}
END_TEST

/* A longer file keeps its length: reserving never cuts. */
START_TEST(reserve_of_less_keeps_length)
{
	int fd = made("hello", 5);
	struct stat st;

	ck_assert_int_eq(ftruncate(fd, (off_t)MiB), 0);
	ck_assert_int_eq(rmm_reserve(fd, 16 * A), 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, (off_t)MiB);
	ck_assert_int_ge(st.st_blocks * 512, 16 * (off_t)A);
	close(fd);
}
END_TEST

/* What no file can be, or is not open for it, is refused. */
START_TEST(reserve_of_nonsense_is_refused)
{
	int fd = made("hello", 5), reading = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	ck_assert_int_eq(rmm_reserve(fd, 0), -EINVAL);
	ck_assert_int_eq(rmm_reserve(fd, UINT64_MAX), -EFBIG);
	ck_assert_int_eq(rmm_reserve(fd, (uint64_t)1 << 60), -ENOSPC);
	ck_assert_int_eq(rmm_reserve(reading, 2 * A), -EBADF);
	ck_assert_int_eq(rmm_reserve(-1, 2 * A), -EBADF);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, 5);
	close(fd);
	close(reading);
}
END_TEST

/* Ask for all there is and a bit: ENOSPC, and all of it is free again. */
static void overask(void)
{
	uint64_t before = free_bytes();
	struct rmm_map *map = NULL;
	struct stat st;
	int fd;

	for (uint64_t over = 0; over <= 64 * A; over += 16 * A) {
		int err = rmm_map_create(path, before + over, 0, &map);

		if (err == 0 && over == 0) { /* it fits to the last block */
			rmm_map_close(KEEP(map));
			ck_assert_int_eq(unlink(path), 0);
		} else {
			ck_assert_int_eq(err, -ENOSPC);
		}
		ck_assert_ptr_null(map);
		ck_assert_int_lt(stat(path, &st), 0);
		ck_assert_uint_eq(free_bytes(), before);
	}
	fd = made("hello", 5);
	ck_assert_int_eq(fsync(fd), 0);
	before = free_bytes();
	ck_assert_int_eq(rmm_reserve(fd, before + 16 * A), -ENOSPC);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, 5);
	ck_assert_uint_eq(free_bytes(), before);
	close(fd);
}

/* A file that fills most of it is reserved, guaranteed, and can be written. */
static void fill_to(uint64_t size)
{
	struct rmm_map *map;

	ck_assert_int_eq(rmm_map_create(path, size, 0, &map), 0);
	ck_assert_int_eq(rmm_map_space(map), RMM_SPACE_GUARANTEED);
	ck_assert_int_eq(rmm_map_fill(map, 7, 0, size), 0);
	ck_assert_int_eq(rmm_map_sync(map), 0);
	ck_assert_int_eq(rmm_map_fill(map, 8, 0, size), 0);
	ck_assert_int_eq(rmm_map_sync(map), 0);
	rmm_map_close(map);
}

/* ext4: more than there is leaves nothing; what is had is had. */
START_TEST(ext4_too_small_leaves_nothing)
{
	if (!small_filesystem(__func__, "mkfs.ext4 -q -m 0"))
		return;
	overask();
	fill_to(300 * MiB);
}
END_TEST

/* XFS: the same; and a file that shares blocks promises nothing. */
START_TEST(xfs_too_small_leaves_nothing)
{
	struct rmm_map *map;
	char said[1000];

	if (!small_filesystem(__func__, "mkfs.xfs -q"))
		return;
	overask();
	fill_to(100 * MiB);
	if (unit_run(said, sizeof(said), "cp --reflink=always %s %s.2", path,
		    path) != 0)
		return;
	ck_assert_int_eq(rmm_map_open(path, 0, &map), 0);
	ck_assert_int_eq(rmm_map_space(map), RMM_SPACE_BEST_EFFORT);
	rmm_map_close(map);
}
END_TEST

/* XFS, full to the last block: what was reserved is still there. */
START_TEST(xfs_full_keeps_what_is_reserved)
{
	char said[1000];
	int fd;

	if (!small_filesystem(__func__, "mkfs.xfs -q"))
		return;
	fd = made("", 0);
	ck_assert_int_eq(rmm_reserve(fd, 64 * MiB), 0);
	ck_assert_int_ne(
		unit_run(said, sizeof(said),
			"for bs in 1M 4K 1; do dd if=/dev/zero bs=$bs "
			"of=%s.2 oflag=append conv=notrunc,fsync; done",
			path),
		0);
	ck_assert_int_eq(rmm_reserve(fd, 64 * MiB), 0);
	ck_assert_int_eq(rmm_reserve(fd, 64 * MiB + 4096), -ENOSPC);
	ck_assert_int_eq(ftruncate(fd, 65 * MiB), 0);
	ck_assert_int_eq(rmm_reserve(fd, 65 * MiB), -ENOSPC);
	close(fd);
}
END_TEST

/* tmpfs: more than there is leaves nothing, and what is had is had. */
START_TEST(tmpfs_too_small_leaves_nothing)
{
	if (!private_mounts(__func__))
		return;
	ck_assert_int_eq(mount("none", folder, "tmpfs", 0, "size=8m"), 0);
	overask();
	fill_to(7 * MiB);
}
END_TEST

/* btrfs writes elsewhere each time: it reserves, but promises nothing. */
START_TEST(btrfs_is_best_effort)
{
	struct rmm_map *map;

	if (!small_filesystem(__func__, "mkfs.btrfs -q"))
		return;
	ck_assert_int_eq(rmm_map_create(path, 8 * MiB, 0, &map), 0);
	ck_assert_int_eq(rmm_map_space(map), RMM_SPACE_BEST_EFFORT);
	rmm_map_close(map);
}
END_TEST

/* ramfs cannot reserve: reserving says so, creating does without. */
START_TEST(ramfs_creates_best_effort)
{
	struct rmm_map *map;
	struct stat st;
	int fd;

	if (!private_mounts(__func__))
		return;
	ck_assert_int_eq(mount("none", folder, "ramfs", 0, NULL), 0);
	fd = made("hello", 5);
	ck_assert_int_eq(rmm_reserve(fd, MiB), -EOPNOTSUPP);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, 5);
	close(fd);
	ck_assert_int_eq(rmm_map_create(path, MiB, 0, &map), 0);
	ck_assert_uint_eq(rmm_map_size(map), MiB);
	ck_assert_int_eq(rmm_map_space(map), RMM_SPACE_BEST_EFFORT);
	ck_assert_int_eq(rmm_map_fill(map, 7, 0, MiB), 0);
	rmm_map_close(map);
}
END_TEST

/* An opened file promises what its blocks can keep: not with a hole. */
START_TEST(open_with_a_hole_is_best_effort)
{
	struct rmm_map *map;
	int fd;

	if (!small_filesystem(__func__, "mkfs.ext4 -q"))
		return;
	fd = made("hello", 5);
	ck_assert_int_eq(rmm_reserve(fd, 64 * A), 0);
	ck_assert_int_eq(rmm_map_open(path, 0, &map), 0);
	ck_assert_int_eq(rmm_map_space(map), RMM_SPACE_GUARANTEED);
	rmm_map_close(map);
	/* Blocks behind the end make up for the hole in number only. */
	ck_assert_int_eq(fallocate(fd, FALLOC_FL_KEEP_SIZE, 64 * (off_t)A,
				 64 * (off_t)A),
		0);
	ck_assert_int_eq(
		fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
			8 * (off_t)A, (off_t)A),
		0);
	ck_assert_int_eq(rmm_map_open(path, 0, &map), 0);
	ck_assert_int_eq(rmm_map_space(map), RMM_SPACE_BEST_EFFORT);
	rmm_map_close(map);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rmm_space");
	TCase *reserve = unit_case(suite, "reserve");
	TCase *kinds = unit_case(suite, "filesystems");

	tcase_add_checked_fixture(reserve, setup, NULL);
	tcase_add_checked_fixture(kinds, setup, NULL);
	tcase_add_test(reserve, reserve_grows_and_keeps_bytes);
	tcase_add_test(reserve, reserve_of_less_keeps_length);
	tcase_add_test(reserve, reserve_of_nonsense_is_refused);
	tcase_add_test(kinds, ext4_too_small_leaves_nothing);
	tcase_add_test(kinds, xfs_too_small_leaves_nothing);
	tcase_add_test(kinds, xfs_full_keeps_what_is_reserved);
	tcase_add_test(kinds, tmpfs_too_small_leaves_nothing);
	tcase_add_test(kinds, btrfs_is_best_effort);
	tcase_add_test(kinds, ramfs_creates_best_effort);
	tcase_add_test(kinds, open_with_a_hole_is_best_effort);
	return unit_main(suite);
}
