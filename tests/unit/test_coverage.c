/* Coverage against a plain array of bytes. */
#include <stdbool.h>

#include "target/coverage.h"
#include "unit.h"

enum { MODEL_BYTES = 5 * 4096 + 123, ROUNDS = 4000 };

#define CHUNK (UINT64_C(128) << 20)

static struct coverage cover;

static void setup(void)
{
	cover = (struct coverage){0};
}

static void teardown(void)
{
	coverage_clear(&cover);
}

static void add(uint64_t start, uint64_t end)
{
	ck_assert_int_eq(coverage_add(&cover, start, end), 0);
}

/* Everything that can be asked agrees with @model. */
static void agree(const bool *model)
{
	uint64_t bytes = 0, prefix = 0, end;

	for (unsigned i = 0; i < MODEL_BYTES; i++)
		bytes += model[i];
	while (prefix < MODEL_BYTES && model[prefix])
		prefix++;
	ck_assert_uint_eq(coverage_bytes(&cover), bytes);
	ck_assert_uint_eq(cover.prefix, prefix);
	for (uint64_t pos = 0; pos < MODEL_BYTES; pos = end) {
		bool covered = coverage_run(&cover, pos, MODEL_BYTES, &end);

		ck_assert_uint_gt(end, pos);
		ck_assert_ptr_null(memchr(
			model + pos, covered ? 0 : 1, (size_t)(end - pos)));
		if (end < MODEL_BYTES)
			ck_assert_int_ne(model[end], covered);
	}
}

/* A range at random: short, of whole pages, or of any length. */
static void random_range(uint64_t *seed, uint64_t *start, uint64_t *end)
{
	uint64_t kind = unit_random(seed) % 4;
	uint64_t a = unit_random(seed) % (MODEL_BYTES + 1);
	uint64_t b = unit_random(seed) % (MODEL_BYTES + 1);

	if (kind == 0)
		b = a + unit_random(seed) % 40;
	if (kind == 1) {
		a -= a % 4096;
		b -= b % 4096;
	}
	if (b > MODEL_BYTES)
		b = MODEL_BYTES;
	*start = a < b ? a : b;
	*end = a < b ? b : a;
}

/* Any sequence of additions and removals leaves exactly the right bytes. */
START_TEST(random_changes_match_model)
{
	static bool model[MODEL_BYTES];
	uint64_t seed = unit_seed();

	memset(model, 0, sizeof(model));
	for (int round = 0; round < ROUNDS; round++) {
		bool adding = unit_random(&seed) % 5 != 0;
		uint64_t start, end;

		random_range(&seed, &start, &end);
		if (adding)
			add(start, end);
		else
			coverage_remove(&cover, start, end);
		memset(model + start, adding, end - start);
		agree(model);
		if (cover.prefix == MODEL_BYTES || round % 200 == 199) {
			coverage_clear(&cover);
			memset(model, 0, sizeof(model));
		}
	}
}
END_TEST

/* A sequential writer of any block size costs no memory at all. */
START_TEST(sequential_writes_need_no_tail)
{
	for (uint64_t at = 0; at < 1 << 20; at += 3000) {
		add(at, at + 3000);
		ck_assert_ptr_null(cover.tail);
	}
}
END_TEST

/* What came beyond a hole joins the prefix when the hole is filled. */
START_TEST(filling_hole_joins_tail)
{
	add(4096, 8192);
	add(8192, 8292);
	ck_assert_uint_eq(cover.prefix, 0);
	add(0, 4096);
	ck_assert_uint_eq(cover.prefix, 8292);
	ck_assert_ptr_null(cover.tail);
}
END_TEST

/* Writing backwards ends in one prefix, too. */
START_TEST(backward_writes_end_complete)
{
	for (uint64_t at = 1 << 20; at > 0; at -= 1024)
		add(at - 1024, at);
	ck_assert_uint_eq(cover.prefix, 1 << 20);
	ck_assert_ptr_null(cover.tail);
}
END_TEST

/* Overlapping and repeated writes count each byte once. */
START_TEST(overlapping_writes_count_once)
{
	add(100, 5000);
	add(50, 200);
	add(4000, 9000);
	add(100, 5000);
	ck_assert_uint_eq(coverage_bytes(&cover), 9000 - 50);
}
END_TEST

/* Runs and prefix cross the borders of chunks, also of missing ones. */
START_TEST(runs_cross_chunks)
{
	uint64_t end;

	add(CHUNK - 10, CHUNK + 10);
	add(5 * CHUNK, 5 * CHUNK + 4096);
	ck_assert(!coverage_run(&cover, 0, 8 * CHUNK, &end));
	ck_assert_uint_eq(end, CHUNK - 10);
	ck_assert(coverage_run(&cover, end, 8 * CHUNK, &end));
	ck_assert_uint_eq(end, CHUNK + 10);
	ck_assert(!coverage_run(&cover, end, 8 * CHUNK, &end));
	ck_assert_uint_eq(end, 5 * CHUNK);
	ck_assert(coverage_run(&cover, end, 8 * CHUNK, &end));
	ck_assert_uint_eq(end, 5 * CHUNK + 4096);
	ck_assert(!coverage_run(&cover, end, 8 * CHUNK, &end));
	ck_assert_uint_eq(end, 8 * CHUNK);
	add(0, CHUNK - 10);
	ck_assert_uint_eq(cover.prefix, CHUNK + 10);
}
END_TEST

/* Uncovering the middle of a long prefix keeps both of its ends. */
START_TEST(removing_middle_keeps_both_ends)
{
	uint64_t end;

	add(0, 3 * CHUNK);
	coverage_remove(&cover, 1000, CHUNK + 7);
	ck_assert_uint_eq(cover.prefix, 1000);
	ck_assert_uint_eq(
		coverage_bytes(&cover), 3 * CHUNK - (CHUNK + 7 - 1000));
	ck_assert(coverage_run(&cover, CHUNK + 7, 3 * CHUNK, &end));
	ck_assert_uint_eq(end, 3 * CHUNK);
	add(1000, CHUNK + 7);
	ck_assert_uint_eq(cover.prefix, 3 * CHUNK);
}
END_TEST

/* A limit within a run cuts it. */
START_TEST(limit_cuts_run)
{
	uint64_t end;

	add(8192, 16384);
	ck_assert(coverage_run(&cover, 9000, 10000, &end));
	ck_assert_uint_eq(end, 10000);
	ck_assert(!coverage_run(&cover, 0, 100, &end));
	ck_assert_uint_eq(end, 100);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("coverage");
	TCase *tcase = unit_case(suite, "coverage");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, random_changes_match_model);
	tcase_add_test(tcase, sequential_writes_need_no_tail);
	tcase_add_test(tcase, filling_hole_joins_tail);
	tcase_add_test(tcase, backward_writes_end_complete);
	tcase_add_test(tcase, overlapping_writes_count_once);
	tcase_add_test(tcase, runs_cross_chunks);
	tcase_add_test(tcase, removing_middle_keeps_both_ends);
	tcase_add_test(tcase, limit_cuts_run);
	return unit_main(suite);
}
