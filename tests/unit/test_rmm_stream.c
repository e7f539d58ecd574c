/*
 * Stores past the cache: files larger than it get them, and they must be as
 * exact, and as safe on a broken mapping, as the others.
 */
#include "ranged_mmap.h"

#include "unit.h"
#include <errno.h>

#define A ((uint64_t)RMM_ALIGNMENT)
#define MiB ((uint64_t)1 << 20)
#define LONGEST ((size_t)3 << 20)

static char path[128];
static struct rmm_map *map;
static unsigned char *data, *back;

/* A sparse file that is larger than the largest cache. */
static void setup(void)
{
	long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
	uint64_t size = 64 * MiB + (cache > 0 ? (uint64_t)cache : 0);

	snprintf(path, sizeof(path), "%s/out.bin", unit_folder());
	ck_assert_int_eq(rmm_map_create(path, size, RMM_SPARSE, &map), 0);
	data = malloc(LONGEST + 64);
	back = malloc(LONGEST + 128);
	ck_assert_ptr_nonnull(data);
	ck_assert_ptr_nonnull(back);
	for (size_t i = 0; i < LONGEST + 64; i++)
		data[i] = (unsigned char)(i * 7 + i / 256 + 1);
}

static void teardown(void)
{
	rmm_map_close(map);
	free(data);
	free(back);
}

/* Store, and see by read(2) that these bytes changed and none beside them. */
static void store_exactly(size_t len, uint64_t at, size_t skew)
{
	ck_assert_int_eq(rmm_map_zero(map, at - 64, len + 128), 0);
	ck_assert_int_eq(rmm_map_write_all_at(map, data + skew, len, at), 0);
	ck_assert_int_eq(
		pread(rmm_map_fd(map), back, len + 128, (off_t)(at - 64)),
		(ssize_t)len + 128);
	ck_assert_mem_eq(back + 64, data + skew, len);
	for (size_t i = 0; i < 64; i++) {
		ck_assert_int_eq(back[i], 0);
		ck_assert_int_eq(back[64 + len + i], 0);
	}
}

/* Any length, from any address, to any place. */
START_TEST(store_changes_its_bytes_alone)
{
	static const size_t lengths[] = {4095, 4096, 4097, 4159, 4160, 8191,
		65535, 65536, 65600, 2097152, LONGEST - 1, LONGEST};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		for (size_t skew = 0; skew < 64; skew += 21) {
			store_exactly(lengths[i], A, skew);
			store_exactly(lengths[i], 2 * MiB - 4 * A, skew);
			store_exactly(lengths[i], 2 * MiB - 32, skew);
			store_exactly(lengths[i], A + 1, skew);
		}
}
END_TEST

/* Where the file ends now, a store is EIO, and so is the part before it. */
START_TEST(store_past_a_shrunk_end_is_eio)
{
	ck_assert_int_eq(truncate(path, (off_t)(4 * A)), 0);
	for (size_t len = 4096; len <= LONGEST; len *= 2) {
		ck_assert_int_eq(
			rmm_map_write_all_at(map, data, len, 4 * A), -EIO);
		ck_assert_int_eq(
			rmm_map_write_all_at(map, data, len, 4 * A + 64), -EIO);
		ck_assert_int_eq(
			rmm_map_write_all_at(map, data, len + 4 * A, 0), -EIO);
	}
	ck_assert_int_eq(rmm_map_write_all_at(map, data, 4 * A, 0), 0);
	ck_assert_int_eq(pread(rmm_map_fd(map), back, 4 * A, 0), 4 * A);
	ck_assert_mem_eq(back, data, 4 * A);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rmm_stream");
	TCase *tcase = unit_case(suite, "stores");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, store_changes_its_bytes_alone);
	tcase_add_test(tcase, store_past_a_shrunk_end_is_eio);
	return unit_main(suite);
}
