/* Maps: creating, opening, storing, loading, sharing. */
#include "ranged_mmap.h"

#include "unit.h"
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sys/statfs.h>

#define A ((uint64_t)RMM_ALIGNMENT)

static char path[128];
static const char *folder;

static void setup(void)
{
	folder = unit_folder();
	snprintf(path, sizeof(path), "%s/out.bin", folder);
}

static struct rmm_map *created(uint64_t size)
{
	struct rmm_map *map;

	ck_assert_int_eq(rmm_map_create(path, size, 0, &map), 0);
	return map;
}

static int entries(void)
{
	DIR *dir = opendir(folder);
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

/* ---- creating ---- */

/* A new file has its size, zeros, and blocks for all of them. */
START_TEST(create_reserves_zeros)
{
	struct rmm_map *map = created(1000000);
	unsigned char buf[1000] = {1};
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 1000000);
	ck_assert_uint_eq(rmm_map_size(map), 1000000);
	ck_assert_int_eq(rmm_map_read_at(map, buf, 1000, 999000), 1000);
	for (size_t i = 0; i < sizeof(buf); i++)
		ck_assert_uint_eq(buf[i], 0);
	if (rmm_map_space(map) == RMM_SPACE_GUARANTEED)
		ck_assert_int_ge(st.st_blocks * 512, st.st_size);
	ck_assert_int_eq(entries(), 1);
	rmm_map_close(map);
}
END_TEST

/* On ext4, XFS and tmpfs the space of a new file is guaranteed. */
START_TEST(create_on_good_filesystem_is_guaranteed)
{
	struct rmm_map *map = created(1 << 20);
	struct statfs fs;

	ck_assert_int_eq(statfs(path, &fs), 0);
	if (fs.f_type == 0xEF53 || fs.f_type == 0x58465342 ||
		fs.f_type == 0x01021994)
		ck_assert_int_eq(rmm_map_space(map), RMM_SPACE_GUARANTEED);
	else
		printf("SKIP create_on_good_filesystem_is_guaranteed: "
		       "not on ext4, XFS or tmpfs\n");
	rmm_map_close(map);
}
END_TEST

/* A sparse one has its size, no blocks, and promises nothing. */
START_TEST(create_sparse_reserves_nothing)
{
	struct rmm_map *map;
	struct stat st;

	ck_assert_int_eq(
		rmm_map_create(path, (uint64_t)1 << 36, RMM_SPARSE, &map), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, (off_t)1 << 36);
	ck_assert_int_lt(st.st_blocks, 100);
	ck_assert_int_eq(rmm_map_space(map), RMM_SPACE_BEST_EFFORT);
	ck_assert_int_eq(
		rmm_map_write_all_at(map, "x", 1, ((uint64_t)1 << 36) - 1), 0);
	rmm_map_close(map);
}
END_TEST

/* What had the name is replaced, its mode kept; its own map stays whole. */
START_TEST(create_over_file_replaces_it)
{
	struct rmm_map *old, *map;
	char buf[4] = "";
	struct stat st;

	unit_write(path, "old", 3);
	ck_assert_int_eq(chmod(path, 0640), 0);
	ck_assert_int_eq(rmm_map_open(path, 0, &old), 0);
	map = created(A);
	ck_assert_int_eq(rmm_map_read_at(old, buf, 3, 0), 3);
	ck_assert_str_eq(buf, "old");
	ck_assert_int_eq(rmm_map_read_at(map, buf, 3, 0), 3);
	ck_assert_str_eq(buf, "");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0640);
	ck_assert_int_eq(st.st_size, (off_t)A);
	ck_assert_int_eq(entries(), 1);
	rmm_map_close(old);
	rmm_map_close(map);
}
END_TEST

/* With RMM_EXCL an existing file stays, a new one is made. */
START_TEST(create_exclusively_keeps_existing)
{
	struct rmm_map *map = NULL;

	unit_write(path, "old", 3);
	ck_assert_int_eq(rmm_map_create(path, A, RMM_EXCL, &map), -EEXIST);
	ck_assert_ptr_null(map);
	assert_content("old");
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmm_map_create(path, A, RMM_EXCL, &map), 0);
	ck_assert_int_eq(entries(), 1);
	rmm_map_close(map);
}
END_TEST

/* A directory, a FIFO or a symbolic link of that name is not replaced. */
START_TEST(create_over_other_kinds_is_eexist)
{
	struct rmm_map *map;

	ck_assert_int_eq(rmm_map_create(folder, A, 0, &map), -EEXIST);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(rmm_map_create(path, A, 0, &map), -EEXIST);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(symlink("elsewhere", path), 0);
	ck_assert_int_eq(rmm_map_create(path, A, 0, &map), -EEXIST);
	ck_assert_int_eq(entries(), 1);
}
END_TEST

/* A creation that fails leaves what was there, and nothing else. */
START_TEST(create_that_fails_leaves_nothing)
{
	struct rmm_map *map = NULL;
	char missing[160];

	unit_write(path, "old", 3);
	ck_assert_int_eq(
		rmm_map_create(path, (uint64_t)1 << 60, 0, &map) < 0, 1);
	ck_assert_int_eq(rmm_map_create(path, 0, 0, &map), -EINVAL);
	ck_assert_int_eq(rmm_map_create(path, UINT64_MAX, 0, &map), -EFBIG);
	ck_assert_int_eq(rmm_map_create(path, A, 0x100, &map), -EINVAL);
	ck_assert_int_eq(rmm_map_create(path, A, RMM_RDONLY, &map), -EINVAL);
	ck_assert_int_eq(rmm_map_create("", A, 0, &map), -ENOENT);
	snprintf(missing, sizeof(missing), "%s/missing/out.bin", folder);
	ck_assert_int_eq(rmm_map_create(missing, A, 0, &map), -ENOENT);
	ck_assert_ptr_null(map);
	assert_content("old");
	ck_assert_int_eq(entries(), 1);
}
END_TEST

/* ---- opening ---- */

/* Opening shows what is there and changes neither size nor bytes. */
START_TEST(open_keeps_size_and_bytes)
{
	struct rmm_map *map;
	char buf[8] = "";

	unit_write(path, "hello", 5);
	ck_assert_int_eq(rmm_map_open(path, 0, &map), 0);
	ck_assert_uint_eq(rmm_map_size(map), 5);
	ck_assert_int_eq(rmm_map_read_at(map, buf, 8, 0), 5);
	ck_assert_str_eq(buf, "hello");
	ck_assert_int_eq(rmm_map_write_all_at(map, "J", 1, 0), 0);
	rmm_map_close(map);
	assert_content("Jello");
}
END_TEST

/* What cannot be mapped says why. */
START_TEST(open_of_wrong_files_says_why)
{
	struct rmm_map *map;

	ck_assert_int_eq(rmm_map_open(path, 0, &map), -ENOENT);
	unit_write(path, "", 0);
	ck_assert_int_eq(rmm_map_open(path, 0, &map), -ENODATA);
	ck_assert_int_eq(rmm_map_open(path, RMM_SPARSE, &map), -EINVAL);
	ck_assert_int_eq(rmm_map_open(folder, 0, &map), -EISDIR);
	ck_assert_int_eq(rmm_map_open(folder, RMM_RDONLY, &map), -EINVAL);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(rmm_map_open(path, RMM_RDONLY, &map), -EINVAL);
}
END_TEST

/* A map for reading refuses every store and still reads. */
START_TEST(open_for_reading_refuses_stores)
{
	struct rmm_map *map;
	char buf[8] = "";

	unit_write(path, "hello", 5);
	ck_assert_int_eq(rmm_map_open(path, RMM_RDONLY, &map), 0);
	ck_assert_int_eq(rmm_map_write_all_at(map, "x", 1, 0), -EBADF);
	ck_assert_int_eq(rmm_map_write_at(map, "x", 1, 0), -EBADF);
	ck_assert_int_eq(rmm_map_fill(map, 1, 0, 1), -EBADF);
	ck_assert_int_eq(rmm_map_zero(map, 0, 1), -EBADF);
	ck_assert_int_eq(rmm_map_read_at(map, buf, 8, 0), 5);
	ck_assert_str_eq(buf, "hello");
	ck_assert_int_eq(rmm_map_sync(map), 0);
	rmm_map_close(map);
}
END_TEST

/* A descriptor becomes the map's when mapping it worked, and only then. */
START_TEST(fdopen_takes_descriptor_on_success)
{
	struct rmm_map *map;
	int fd;

	unit_write(path, "hello", 5);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(rmm_map_fdopen(fd, 0, &map), -EACCES);
	ck_assert_int_ge(fcntl(fd, F_GETFD), 0);
	ck_assert_int_eq(rmm_map_fdopen(fd, RMM_RDONLY, &map), 0);
	ck_assert_int_eq(rmm_map_fd(map), fd);
	rmm_map_close(map);
	ck_assert_int_lt(fcntl(fd, F_GETFD), 0);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(rmm_map_fdopen(fd, RMM_RDONLY, &map), -EACCES);
	close(fd);
	ck_assert_int_eq(rmm_map_fdopen(-1, 0, &map), -EBADF);
}
END_TEST

/* ---- identity ---- */

/* The identity is the file's: not the name's, nor the bytes'. */
START_TEST(id_belongs_to_the_file)
{
	struct rmm_map *a = created(A), *b, *other;
	char moved[160];
	uint64_t id = rmm_map_id(a);

	ck_assert_uint_ne(id, 0);
	ck_assert_int_eq(rmm_map_open(path, RMM_RDONLY, &b), 0);
	ck_assert_uint_eq(rmm_map_id(b), id);
	rmm_map_close(b);
	snprintf(moved, sizeof(moved), "%s/moved", folder);
	ck_assert_int_eq(rename(path, moved), 0);
	other = created(A);
	ck_assert_uint_ne(rmm_map_id(other), id);
	ck_assert_int_eq(rmm_map_open(moved, 0, &b), 0);
	ck_assert_uint_eq(rmm_map_id(b), id);
	rmm_map_close(a);
	rmm_map_close(b);
	rmm_map_close(other);
}
END_TEST

/* Files made in the same moment are still different files. */
START_TEST(id_of_files_made_at_once_differs)
{
	uint64_t ids[64];

	for (int i = 0; i < 64; i++) {
		struct rmm_map *map;
		char name[160];

		snprintf(name, sizeof(name), "%s/%d", folder, i);
		ck_assert_int_eq(rmm_map_create(name, A, RMM_SPARSE, &map), 0);
		ids[i] = rmm_map_id(map);
		rmm_map_close(map);
		for (int j = 0; j < i; j++)
			ck_assert_uint_ne(ids[i], ids[j]);
	}
}
END_TEST

/* ---- stores and loads ---- */

/* What was stored is loaded, in any order of places. */
START_TEST(write_in_any_order_reads_back)
{
	struct rmm_map *map = created(300);
	char buf[8];

	ck_assert_int_eq(rmm_map_write_all_at(map, "third", 5, 200), 0);
	ck_assert_int_eq(rmm_map_write_at(map, "first", 5, 0), 5);
	ck_assert_int_eq(rmm_map_write_all_at(map, "second", 6, 100), 0);
	ck_assert_int_eq(rmm_map_read_at(map, buf, 5, 0), 5);
	ck_assert_mem_eq(buf, "first", 5);
	ck_assert_int_eq(rmm_map_read_at(map, buf, 6, 100), 6);
	ck_assert_mem_eq(buf, "second", 6);
	ck_assert_int_eq(rmm_map_read_at(map, buf, 5, 200), 5);
	ck_assert_mem_eq(buf, "third", 5);
	ck_assert_int_eq(rmm_map_sync(map), 0);
	rmm_map_close(map);
}
END_TEST

/* Nothing is stored past the end: all or nothing, or cut. */
START_TEST(write_past_the_end_is_erange_or_cut)
{
	struct rmm_map *map = created(100);
	char buf[8] = "";

	ck_assert_int_eq(rmm_map_write_all_at(map, "hello", 5, 95), 0);
	ck_assert_int_eq(rmm_map_write_all_at(map, "WORLD", 5, 96), -ERANGE);
	ck_assert_int_eq(rmm_map_read_at(map, buf, 8, 95), 5);
	ck_assert_str_eq(buf, "hello");
	ck_assert_int_eq(rmm_map_write_at(map, "WORLD", 5, 98), 2);
	ck_assert_int_eq(rmm_map_write_at(map, "x", 1, 100), -ERANGE);
	ck_assert_int_eq(rmm_map_write_at(map, "x", 1, UINT64_MAX), -ERANGE);
	ck_assert_int_eq(
		rmm_map_write_all_at(map, "x", 1, UINT64_MAX), -ERANGE);
	ck_assert_int_eq(rmm_map_write_all_at(map, "x", SIZE_MAX, 1), -ERANGE);
	ck_assert_int_eq(rmm_map_write_all_at(map, "x", 0, 100), 0);
	ck_assert_int_eq(rmm_map_fill(map, 1, 1, UINT64_MAX), -ERANGE);
	ck_assert_int_eq(rmm_map_flush_range(map, 1, 100), -ERANGE);
	ck_assert_int_eq(rmm_map_sync_range(map, 101, 0), -ERANGE);
	ck_assert_int_eq(rmm_map_drop_range(map, 0, 101), -ERANGE);
	rmm_map_close(map);
}
END_TEST

/* Reading is cut at the end, and gives nothing behind it. */
START_TEST(read_past_the_end_is_cut)
{
	struct rmm_map *map = created(100);
	char buf[50];
	void *slice;

	ck_assert_int_eq(rmm_map_read_at(map, buf, 50, 90), 10);
	ck_assert_int_eq(rmm_map_read_at(map, buf, 10, 100), 0);
	ck_assert_int_eq(rmm_map_read_at(map, buf, 10, UINT64_MAX), 0);
	ck_assert_int_eq(rmm_map_write_all_at(map, "hello world", 11, 10), 0);
	ck_assert_int_eq(rmm_map_read_slice(map, 10, 11, &slice), 11);
	ck_assert_mem_eq(slice, "hello world", 11);
	free(slice);
	ck_assert_int_eq(rmm_map_read_slice(map, 95, SIZE_MAX, &slice), 5);
	free(slice);
	ck_assert_int_eq(rmm_map_read_slice(map, 100, 1, &slice), 0);
	free(slice);
	rmm_map_close(map);
}
END_TEST

/* Filling touches the bytes named and no neighbour. */
START_TEST(fill_touches_only_its_range)
{
	uint64_t size = ((uint64_t)5 << 20) + 77;
	struct rmm_map *map = created(size);
	unsigned char *p = rmm_map_ptr(map);

	ck_assert_int_eq(rmm_map_fill(map, 0xFF, 0, size), 0);
	ck_assert_int_eq(rmm_map_zero(map, 1000, ((uint64_t)4 << 20)), 0);
	ck_assert_uint_eq(p[999], 0xFF);
	ck_assert_uint_eq(p[1000], 0);
	ck_assert_uint_eq(p[1000 + (4 << 20) - 1], 0);
	ck_assert_uint_eq(p[1000 + (4 << 20)], 0xFF);
	ck_assert_uint_eq(p[size - 1], 0xFF);
	rmm_map_close(map);
}
END_TEST

/* The pointer shows what was stored, and stores through it are the file's. */
START_TEST(ptr_is_the_file)
{
	struct rmm_map *map = created(100);
	char *p = rmm_map_ptr(map), buf[6] = "";

	ck_assert_int_eq(rmm_map_write_all_at(map, "hello", 5, 0), 0);
	ck_assert_mem_eq(p, "hello", 5);
	memset(p + 5, 'w', 5);
	ck_assert_int_eq(pread(rmm_map_fd(map), buf, 5, 5), 5);
	ck_assert_str_eq(buf, "wwwww");
	rmm_map_close(map);
}
END_TEST

static void sum_bytes(void *ptr, size_t len, void *arg)
{
	const unsigned char *p = ptr;

	for (size_t i = 0; i < len; i++)
		*(uint64_t *)arg += p[i];
}

/* Access runs the function on exactly the bytes named, once. */
START_TEST(access_sees_its_bytes)
{
	struct rmm_map *map = created(3 * A);
	uint64_t sum = 0;

	ck_assert_int_eq(rmm_map_fill(map, 2, A - 10, 20), 0);
	ck_assert_int_eq(rmm_map_access(map, A - 5, 10, sum_bytes, &sum), 0);
	ck_assert_uint_eq(sum, 20);
	ck_assert_int_eq(
		rmm_map_access(map, 3 * A - 1, 2, sum_bytes, &sum), -ERANGE);
	ck_assert_uint_eq(sum, 20);
	rmm_map_close(map);
}
END_TEST

/* Any stores, short and long, with flushes between, leave what they should. */
START_TEST(random_stores_match_plain_memory)
{
	uint64_t seed = unit_seed(), size = ((uint64_t)9 << 20) + 123;
	struct rmm_map *map = created(size);
	unsigned char *model = calloc(1, size), *noise = malloc(size);
	void *all;

	for (uint64_t i = 0; i < size; i++)
		noise[i] = (unsigned char)unit_random(&seed);
	for (int i = 0; i < 400; i++) {
		uint64_t offset = unit_random(&seed) % size;
		uint64_t len = unit_random(&seed) % (size - offset + 1);
		uint64_t from = unit_random(&seed) % (size - len + 1);

		len >>= unit_random(&seed) % 24;
		ck_assert_int_eq(
			rmm_map_write_all_at(map, noise + from, len, offset),
			0);
		memcpy(model + offset, noise + from, len);
		if (i % 16 == 0)
			ck_assert_int_eq(
				rmm_map_flush_range(map, offset, len), 0);
		if (i % 16 == 8)
			ck_assert_int_eq(
				rmm_map_drop_range(map, offset, len), 0);
		if (i % 64 == 32)
			ck_assert_int_eq(
				rmm_map_sync_range(map, offset, len), 0);
	}
	ck_assert_int_eq(rmm_map_read_slice(map, 0, size, &all), (ssize_t)size);
	ck_assert(memcmp(all, model, size) == 0);
	rmm_map_close(map);
	ck_assert_int_eq(rmm_map_open(path, RMM_RDONLY, &map), 0);
	ck_assert(memcmp(rmm_map_ptr(map), model, size) == 0);
	rmm_map_close(map);
	free(all);
	free(model);
	free(noise);
}
END_TEST

/* ---- sharing ---- */

/* Each reference keeps the map; the last one closes the file. */
START_TEST(ref_keeps_the_map_alive)
{
	struct rmm_map *a = created(100), *b = rmm_map_ref(a);
	char buf[6] = "";
	int fd = rmm_map_fd(a);

	ck_assert_int_eq(rmm_map_write_all_at(a, "file1", 5, 0), 0);
	rmm_map_close(a);
	ck_assert_int_eq(rmm_map_read_at(b, buf, 5, 0), 5);
	ck_assert_str_eq(buf, "file1");
	errno = 77;
	rmm_map_close(b);
	ck_assert_int_eq(errno, 77);
	ck_assert_int_lt(fcntl(fd, F_GETFD), 0);
	rmm_map_close(NULL);
}
END_TEST

#define WRITERS 100

struct writer {
	pthread_t thread;
	struct rmm_map *map;
	uint64_t offset;
	int err;
};

static void *write_chunk(void *arg)
{
	struct writer *w = arg;
	unsigned char buf[1024];

	memset(buf, (int)(w->offset / sizeof(buf) % 251), sizeof(buf));
	w->err = rmm_map_write_all_at(w->map, buf, sizeof(buf), w->offset);
	rmm_map_close(w->map);
	return NULL;
}

/* A hundred threads write side by side, and each byte is its writer's. */
START_TEST(threads_write_side_by_side)
{
	struct rmm_map *map = created(WRITERS * 1024);
	struct writer w[WRITERS];
	const unsigned char *p = rmm_map_ptr(map);

	for (uint64_t i = 0; i < WRITERS; i++) {
		w[i].map = rmm_map_ref(map);
		w[i].offset = i * 1024;
		ck_assert_int_eq(
			pthread_create(&w[i].thread, NULL, write_chunk, &w[i]),
			0);
	}
	for (int i = 0; i < WRITERS; i++) {
		pthread_join(w[i].thread, NULL);
		ck_assert_int_eq(w[i].err, 0);
	}
	for (size_t i = 0; i < WRITERS * 1024; i++)
		ck_assert_uint_eq(p[i], i / 1024 % 251);
	rmm_map_close(map);
}
END_TEST

/* Dropping page-table entries shrinks the program, not the file. */
START_TEST(drop_loses_memory_but_no_byte)
{
	uint64_t size = (uint64_t)16 << 20;
	struct rmm_map *map = created(size);
	long before, after;
	FILE *statm;
	int got = 0;

	ck_assert_int_eq(rmm_map_fill(map, 3, 0, size), 0);
	statm = fopen("/proc/self/statm", "r");
	got += fscanf(statm, "%*s %ld", &before);
	fclose(statm);
	ck_assert_int_eq(rmm_map_drop_range(map, 0, size), 0);
	statm = fopen("/proc/self/statm", "r");
	got += fscanf(statm, "%*s %ld", &after);
	fclose(statm);
	ck_assert_int_eq(got, 2);
	ck_assert_int_gt(before - after, 3000);
	ck_assert_uint_eq(((unsigned char *)rmm_map_ptr(map))[size - 1], 3);
	rmm_map_close(map);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rmm_map");
	TCase *create = unit_case(suite, "create");
	TCase *open = unit_case(suite, "open");
	TCase *access = unit_case(suite, "access");
	TCase *share = unit_case(suite, "share");
	TCase *cases[] = {create, open, access, share};

	for (size_t i = 0; i < 4; i++)
		tcase_add_checked_fixture(cases[i], setup, NULL);
	tcase_add_test(create, create_reserves_zeros);
	tcase_add_test(create, create_on_good_filesystem_is_guaranteed);
	tcase_add_test(create, create_sparse_reserves_nothing);
	tcase_add_test(create, create_over_file_replaces_it);
	tcase_add_test(create, create_exclusively_keeps_existing);
	tcase_add_test(create, create_over_other_kinds_is_eexist);
	tcase_add_test(create, create_that_fails_leaves_nothing);
	tcase_add_test(open, open_keeps_size_and_bytes);
	tcase_add_test(open, open_of_wrong_files_says_why);
	tcase_add_test(open, open_for_reading_refuses_stores);
	tcase_add_test(open, fdopen_takes_descriptor_on_success);
	tcase_add_test(open, id_belongs_to_the_file);
	tcase_add_test(open, id_of_files_made_at_once_differs);
	tcase_add_test(access, write_in_any_order_reads_back);
	tcase_add_test(access, write_past_the_end_is_erange_or_cut);
	tcase_add_test(access, read_past_the_end_is_cut);
	tcase_add_test(access, fill_touches_only_its_range);
	tcase_add_test(access, ptr_is_the_file);
	tcase_add_test(access, access_sees_its_bytes);
	tcase_add_test(access, random_stores_match_plain_memory);
	tcase_add_test(share, ref_keeps_the_map_alive);
	tcase_add_test(share, threads_write_side_by_side);
	tcase_add_test(share, drop_loses_memory_but_no_byte);
	return unit_main(suite);
}
