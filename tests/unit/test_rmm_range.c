/* Alignment, ranges, splits and receipts, at the edges above all. */
#include "ranged_mmap.h"

#include "unit.h"

#define A ((uint64_t)RMM_ALIGNMENT)

static struct rmm_range range(uint64_t start, uint64_t end)
{
	return (struct rmm_range){start, end, 7};
}

static void assert_range(
	const struct rmm_range *got, uint64_t start, uint64_t end)
{
	ck_assert_uint_eq(got->start, start);
	ck_assert_uint_eq(got->end, end);
	ck_assert_uint_eq(got->file, 7);
}

static void assert_unset(const struct rmm_range *got)
{
	ck_assert(rmm_range_equal(got, &(struct rmm_range){0, 0, 0}));
}

/* Rounding goes to the next multiple of 4096 and leaves multiples alone. */
START_TEST(align_rounds_to_multiples)
{
	ck_assert_uint_eq(rmm_align_up(0), 0);
	ck_assert_uint_eq(rmm_align_up(1), A);
	ck_assert_uint_eq(rmm_align_up(A - 1), A);
	ck_assert_uint_eq(rmm_align_up(A), A);
	ck_assert_uint_eq(rmm_align_up(A + 1), 2 * A);
	ck_assert_uint_eq(rmm_align_down(0), 0);
	ck_assert_uint_eq(rmm_align_down(A - 1), 0);
	ck_assert_uint_eq(rmm_align_down(A), A);
	ck_assert_uint_eq(rmm_align_down(2 * A - 1), A);
}
END_TEST

/* Near the top of 64 bits rounding up stays at the top. */
START_TEST(align_up_at_the_top_does_not_wrap)
{
	ck_assert_uint_eq(rmm_align_up(UINT64_MAX), UINT64_MAX);
	ck_assert_uint_eq(rmm_align_up(UINT64_MAX - A + 2), UINT64_MAX);
	ck_assert_uint_eq(rmm_align_up(UINT64_MAX - A + 1), UINT64_MAX - A + 1);
	ck_assert_uint_eq(rmm_align_up(UINT64_MAX - A), UINT64_MAX - A + 1);
	ck_assert_uint_eq(rmm_align_down(UINT64_MAX), UINT64_MAX - A + 1);
}
END_TEST

/* Length and emptiness follow from start and end, the wrong way round too. */
START_TEST(range_of_any_ends_has_its_length)
{
	struct rmm_range r = range(A, 3 * A), none = range(A, A),
			 wrong = range(2 * A, A);

	ck_assert_uint_eq(rmm_range_len(&r), 2 * A);
	ck_assert(!rmm_range_is_empty(&r));
	ck_assert_uint_eq(rmm_range_len(&none), 0);
	ck_assert(rmm_range_is_empty(&none));
	ck_assert_uint_eq(rmm_range_len(&wrong), 0);
	ck_assert(rmm_range_is_empty(&wrong));
}
END_TEST

/* Two ranges are equal when start, end and file are. */
START_TEST(range_equal_compares_all_three)
{
	struct rmm_range a = range(0, A), b = a;

	ck_assert(rmm_range_equal(&a, &b));
	b.file = 8;
	ck_assert(!rmm_range_equal(&a, &b));
	b = range(0, 2 * A);
	ck_assert(!rmm_range_equal(&a, &b));
	b = range(A, A);
	ck_assert(!rmm_range_equal(&a, &b));
}
END_TEST

/* Receipts are equal when their ranges are. */
START_TEST(receipt_equal_compares_ranges)
{
	struct rmm_receipt a = {range(0, A)}, b = a;

	ck_assert(rmm_receipt_equal(&a, &b));
	b.range.file = 8;
	ck_assert(!rmm_receipt_equal(&a, &b));
}
END_TEST

/* Up: the point is rounded up, from the file's start, not the range's. */
START_TEST(split_up_inside_gives_both)
{
	struct rmm_range r = range(A, 3 * A);
	struct rmm_split s = rmm_range_split_up(&r, 100);

	ck_assert_int_eq(s.kind, RMM_SPLIT);
	assert_range(&s.low, A, 2 * A);
	assert_range(&s.high, 2 * A, 3 * A);
	s = rmm_range_split_up(&r, A);
	ck_assert_int_eq(s.kind, RMM_SPLIT);
	assert_range(&s.low, A, 2 * A);
}
END_TEST

/* Up at 0: low is there and empty. */
START_TEST(split_up_at_zero_gives_empty_low)
{
	struct rmm_range r = range(A, 3 * A);
	struct rmm_split s = rmm_range_split_up(&r, 0);

	ck_assert_int_eq(s.kind, RMM_SPLIT);
	assert_range(&s.low, A, A);
	assert_range(&s.high, A, 3 * A);
}
END_TEST

/* Up to or behind the end: all is low, high is not set. */
START_TEST(split_up_reaching_the_end_gives_low)
{
	struct rmm_range r = range(0, A), odd = range(0, A + 100);
	struct rmm_split s = rmm_range_split_up(&r, 100);

	ck_assert_int_eq(s.kind, RMM_SPLIT_LOW);
	assert_range(&s.low, 0, A);
	assert_unset(&s.high);
	s = rmm_range_split_up(&r, A);
	ck_assert_int_eq(s.kind, RMM_SPLIT_LOW);
	s = rmm_range_split_up(&odd, A + 1);
	ck_assert_int_eq(s.kind, RMM_SPLIT_LOW);
	assert_range(&s.low, 0, A + 100);
}
END_TEST

/* Down: the point is rounded down, from the file's start. */
START_TEST(split_down_inside_gives_both)
{
	struct rmm_range r = range(A, 3 * A), odd = range(0, A + 100);
	struct rmm_split s = rmm_range_split_down(&r, 5000);

	ck_assert_int_eq(s.kind, RMM_SPLIT);
	assert_range(&s.low, A, 2 * A);
	assert_range(&s.high, 2 * A, 3 * A);
	s = rmm_range_split_down(&odd, A + 100);
	ck_assert_int_eq(s.kind, RMM_SPLIT);
	assert_range(&s.low, 0, A);
	assert_range(&s.high, A, A + 100);
}
END_TEST

/* Down at the length of an aligned range: high is there and empty. */
START_TEST(split_down_at_the_length_gives_empty_high)
{
	struct rmm_range r = range(A, 3 * A);
	struct rmm_split s = rmm_range_split_down(&r, 2 * A);

	ck_assert_int_eq(s.kind, RMM_SPLIT);
	assert_range(&s.low, A, 3 * A);
	assert_range(&s.high, 3 * A, 3 * A);
}
END_TEST

/* Down to or before the start: all is high, low is not set. */
START_TEST(split_down_reaching_the_start_gives_high)
{
	struct rmm_range r = range(A, 3 * A);
	struct rmm_split s = rmm_range_split_down(&r, 0);

	ck_assert_int_eq(s.kind, RMM_SPLIT_HIGH);
	assert_range(&s.high, A, 3 * A);
	assert_unset(&s.low);
	s = rmm_range_split_down(&r, A - 1);
	ck_assert_int_eq(s.kind, RMM_SPLIT_HIGH);
}
END_TEST

/* A position behind the end is out of bounds, and no part is given. */
START_TEST(split_beyond_the_length_is_out_of_bounds)
{
	struct rmm_range r = range(A, 2 * A), wrong = range(A, 0);
	struct rmm_split s = rmm_range_split_up(&r, A + 1);

	ck_assert_int_eq(s.kind, RMM_SPLIT_OUT_OF_BOUNDS);
	assert_unset(&s.low);
	assert_unset(&s.high);
	s = rmm_range_split_down(&r, UINT64_MAX);
	ck_assert_int_eq(s.kind, RMM_SPLIT_OUT_OF_BOUNDS);
	assert_unset(&s.high);
	s = rmm_range_split_up(&wrong, 0);
	ck_assert_int_eq(s.kind, RMM_SPLIT_OUT_OF_BOUNDS);
	s = rmm_range_split_down(&wrong, 0);
	ck_assert_int_eq(s.kind, RMM_SPLIT_OUT_OF_BOUNDS);
}
END_TEST

/* Whatever is split, the parts put together are the whole. */
START_TEST(split_of_random_ranges_loses_nothing)
{
	uint64_t seed = unit_seed();

	for (int i = 0; i < 20000; i++) {
		uint64_t start = unit_random(&seed) >> unit_random(&seed) % 64;
		uint64_t len = unit_random(&seed) >> unit_random(&seed) % 64;
		struct rmm_range r = range(start, start + len);
		uint64_t pos = unit_random(&seed) >> unit_random(&seed) % 64;

		if (r.end < r.start)
			continue;
		struct rmm_split up = rmm_range_split_up(&r, pos);
		struct rmm_split down = rmm_range_split_down(&r, pos);

		ck_assert_int_eq(up.kind == RMM_SPLIT_OUT_OF_BOUNDS, pos > len);
		ck_assert_int_eq(
			down.kind == RMM_SPLIT_OUT_OF_BOUNDS, pos > len);
		if (pos > len)
			continue;
		ck_assert_uint_eq(
			rmm_range_len(&up.low) + rmm_range_len(&up.high), len);
		ck_assert_uint_eq(
			rmm_range_len(&down.low) + rmm_range_len(&down.high),
			len);
		ck_assert_uint_ge(rmm_range_len(&up.low), pos);
		ck_assert_uint_le(rmm_range_len(&down.low), pos);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rmm_range");
	TCase *align = unit_case(suite, "align");
	TCase *value = unit_case(suite, "value");
	TCase *split = unit_case(suite, "split");

	tcase_add_test(align, align_rounds_to_multiples);
	tcase_add_test(align, align_up_at_the_top_does_not_wrap);
	tcase_add_test(value, range_of_any_ends_has_its_length);
	tcase_add_test(value, range_equal_compares_all_three);
	tcase_add_test(value, receipt_equal_compares_ranges);
	tcase_add_test(split, split_up_inside_gives_both);
	tcase_add_test(split, split_up_at_zero_gives_empty_low);
	tcase_add_test(split, split_up_reaching_the_end_gives_low);
	tcase_add_test(split, split_down_inside_gives_both);
	tcase_add_test(split, split_down_at_the_length_gives_empty_high);
	tcase_add_test(split, split_down_reaching_the_start_gives_high);
	tcase_add_test(split, split_beyond_the_length_is_out_of_bounds);
	tcase_add_test(split, split_of_random_ranges_loses_nothing);
	return unit_main(suite);
}
