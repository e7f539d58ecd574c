/* The three allocators: examples, a plain model, and many threads. */
#include "ranged_mmap.h"

#include "unit.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define A ((uint64_t)RMM_ALIGNMENT)
#define FILE_ID 42
#define THREADS 16

static struct rmm_allocator *made(enum rmm_allocator_kind kind, uint64_t size)
{
	struct rmm_allocator *a;

	ck_assert_int_eq(rmm_allocator_create(kind, size, FILE_ID, &a), 0);
	return a;
}

static void assert_alloc(
	struct rmm_allocator *a, uint64_t len, uint64_t start, uint64_t end)
{
	struct rmm_range r;

	ck_assert_int_eq(rmm_allocator_alloc(a, len, &r), 0);
	ck_assert_uint_eq(r.start, start);
	ck_assert_uint_eq(r.end, end);
	ck_assert_uint_eq(r.file, FILE_ID);
}

static int take(struct rmm_allocator *a, uint64_t start, uint64_t end)
{
	return rmm_allocator_take(a, &(struct rmm_range){start, end, FILE_ID});
}

static int give(struct rmm_allocator *a, uint64_t start, uint64_t end)
{
	return rmm_allocator_release(
		a, &(struct rmm_range){start, end, FILE_ID});
}

/* Lengths are rounded up, ranges follow each other without a gap. */
START_TEST(alloc_is_aligned_up_and_adjacent)
{
	struct rmm_allocator *a = made((enum rmm_allocator_kind)_i, 10 * A);

	assert_alloc(a, 100, 0, A);
	assert_alloc(a, A, A, 2 * A);
	assert_alloc(a, A + 1, 2 * A, 4 * A);
	ck_assert_uint_eq(rmm_allocator_next_pos(a), 4 * A);
	ck_assert_uint_eq(rmm_allocator_remaining(a), 6 * A);
	ck_assert_uint_eq(rmm_allocator_total_size(a), 10 * A);
	ck_assert_int_eq(rmm_allocator_kind(a), _i);
	ck_assert_uint_eq(rmm_allocator_file(a), FILE_ID);
	rmm_allocator_close(a);
}
END_TEST

/* Sequential and concurrent give what is left when less is left. */
START_TEST(alloc_of_more_than_left_is_cut)
{
	struct rmm_allocator *a = made((enum rmm_allocator_kind)_i, 3 * A);

	assert_alloc(a, 2 * A, 0, 2 * A);
	assert_alloc(a, 2 * A, 2 * A, 3 * A);
	ck_assert_uint_eq(rmm_allocator_remaining(a), 0);
	rmm_allocator_close(a);
	a = made((enum rmm_allocator_kind)_i, 3 * A);
	assert_alloc(a, UINT64_MAX, 0, 3 * A);
	rmm_allocator_close(a);
}
END_TEST

/* The last range ends where the file does, aligned or not. */
START_TEST(alloc_at_an_unaligned_end_stops_there)
{
	struct rmm_allocator *a = made((enum rmm_allocator_kind)_i, A + 100);

	assert_alloc(a, A, 0, A);
	assert_alloc(a, 100, A, A + 100);
	ck_assert_uint_eq(rmm_allocator_next_pos(a), A + 100);
	rmm_allocator_close(a);
	a = made((enum rmm_allocator_kind)_i, 1);
	assert_alloc(a, 1, 0, 1);
	rmm_allocator_close(a);
}
END_TEST

/* With nothing left the answer is ENOSPC, and the range is left alone. */
START_TEST(alloc_when_exhausted_is_enospc)
{
	struct rmm_allocator *a = made((enum rmm_allocator_kind)_i, A);
	struct rmm_range r = {1, 2, 3};

	assert_alloc(a, 100, 0, A);
	ck_assert_int_eq(rmm_allocator_alloc(a, 1, &r), -ENOSPC);
	ck_assert_int_eq(rmm_allocator_alloc(a, 1, &r), -ENOSPC);
	ck_assert(rmm_range_equal(&r, &(struct rmm_range){1, 2, 3}));
	ck_assert_uint_eq(rmm_allocator_next_pos(a), A);
	ck_assert_uint_eq(rmm_allocator_remaining(a), 0);
	rmm_allocator_close(a);
}
END_TEST

/* Nothing can be asked for, nor a file without bytes dealt out. */
START_TEST(zero_is_refused)
{
	enum rmm_allocator_kind kind = (enum rmm_allocator_kind)_i;
	struct rmm_allocator *a = made(kind, A), *none = a;
	struct rmm_range r;

	ck_assert_int_eq(rmm_allocator_alloc(a, 0, &r), -EINVAL);
	ck_assert_int_eq(rmm_allocator_create(kind, 0, 0, &none), -EINVAL);
	ck_assert_int_eq(
		rmm_allocator_create(kind, (uint64_t)INT64_MAX + 1, 0, &none),
		-EFBIG);
	ck_assert_ptr_eq(none, a);
	ck_assert_int_eq(
		rmm_allocator_create((enum rmm_allocator_kind)3, A, 0, &none),
		-EINVAL);
	rmm_allocator_close(a);
	rmm_allocator_close(NULL);
}
END_TEST

/* Requests of 8 PiB and more are dealt out right up to the largest file. */
START_TEST(alloc_of_huge_ranges_is_exact)
{
	uint64_t half = (uint64_t)1 << 62, size = INT64_MAX;
	struct rmm_allocator *a = made((enum rmm_allocator_kind)_i, size);

	assert_alloc(a, half, 0, half);
	assert_alloc(a, half - A, half, 2 * half - A);
	assert_alloc(a, A - 1, 2 * half - A, size);
	ck_assert_int_eq(
		rmm_allocator_alloc(a, half, &(struct rmm_range){0, 0, 0}),
		-ENOSPC);
	rmm_allocator_close(a);
}
END_TEST

/* A pool gives all that was asked or nothing: the lowest place that holds it.
 */
START_TEST(pool_alloc_is_first_fit)
{
	struct rmm_allocator *a = made(RMM_POOL, 10 * A + 100);
	struct rmm_range r;

	ck_assert_int_eq(take(a, A, 2 * A), 0);
	ck_assert_int_eq(take(a, 4 * A, 6 * A), 0);
	assert_alloc(a, 2 * A, 2 * A, 4 * A);
	assert_alloc(a, 3 * A, 6 * A, 9 * A);
	assert_alloc(a, A, 0, A);
	assert_alloc(a, A, 9 * A, 10 * A);
	ck_assert_int_eq(rmm_allocator_alloc(a, 101, &r), -ENOSPC);
	assert_alloc(a, 100, 10 * A, 10 * A + 100);
	rmm_allocator_close(a);
}
END_TEST

/* What is taken cannot be taken again, not even a part of it. */
START_TEST(pool_take_of_taken_is_eexist)
{
	struct rmm_allocator *a = made(RMM_POOL, 10 * A);

	ck_assert_int_eq(take(a, 4 * A, 6 * A), 0);
	ck_assert_int_eq(take(a, 4 * A, 6 * A), -EEXIST);
	ck_assert_int_eq(take(a, 3 * A, 5 * A), -EEXIST);
	ck_assert_int_eq(take(a, 5 * A, 7 * A), -EEXIST);
	ck_assert_int_eq(take(a, 3 * A, 7 * A), -EEXIST);
	ck_assert_uint_eq(rmm_allocator_remaining(a), 8 * A);
	ck_assert_int_eq(take(a, 3 * A, 4 * A), 0);
	ck_assert_int_eq(take(a, 6 * A, 10 * A), 0);
	ck_assert_int_eq(take(a, 0, 3 * A), 0);
	ck_assert_uint_eq(rmm_allocator_remaining(a), 0);
	ck_assert_uint_eq(rmm_allocator_next_pos(a), 10 * A);
	rmm_allocator_close(a);
}
END_TEST

/* What no allocator hands out is refused by take and by release. */
START_TEST(pool_of_wrong_range_is_einval)
{
	static const struct rmm_range wrong[] = {
		{0, 0, FILE_ID},
		{4096, 4096, FILE_ID},
		{8192, 4096, FILE_ID},
		{1, 4096, FILE_ID},
		{0, 4097, FILE_ID},
		{0, 10 * 4096 + 101, FILE_ID},
		{0, 11 * 4096, FILE_ID},
		{11 * 4096, 12 * 4096, FILE_ID},
	};
	struct rmm_allocator *a = made(RMM_POOL, 10 * A + 100);
	struct rmm_range other = {0, A, FILE_ID + 1};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ck_assert_int_eq(rmm_allocator_take(a, &wrong[i]), -EINVAL);
		ck_assert_int_eq(rmm_allocator_release(a, &wrong[i]), -EINVAL);
	}
	ck_assert_int_eq(rmm_allocator_take(a, &other), -EXDEV);
	ck_assert_int_eq(rmm_allocator_release(a, &other), -EXDEV);
	ck_assert_uint_eq(rmm_allocator_remaining(a), 10 * A + 100);
	rmm_allocator_close(a);
}
END_TEST

/* What was given back is one place again, and can be had at once. */
START_TEST(pool_release_merges_neighbours)
{
	struct rmm_allocator *a = made(RMM_POOL, 4 * A);

	assert_alloc(a, 4 * A, 0, 4 * A);
	ck_assert_int_eq(give(a, 0, A), 0);
	ck_assert_int_eq(give(a, 2 * A, 3 * A), 0);
	ck_assert_uint_eq(rmm_allocator_next_pos(a), 0);
	ck_assert_int_eq(give(a, A, 2 * A), 0);
	assert_alloc(a, 3 * A, 0, 3 * A);
	ck_assert_int_eq(give(a, 0, 3 * A), 0);
	ck_assert_int_eq(give(a, 3 * A, 4 * A), 0);
	assert_alloc(a, 4 * A, 0, 4 * A);
	rmm_allocator_close(a);
}
END_TEST

/* What is free already cannot be given back, not even a part of it. */
START_TEST(pool_release_of_free_is_enoent)
{
	struct rmm_allocator *a = made(RMM_POOL, 10 * A);

	ck_assert_int_eq(give(a, 0, A), -ENOENT);
	ck_assert_int_eq(take(a, 4 * A, 6 * A), 0);
	ck_assert_int_eq(give(a, 3 * A, 5 * A), -ENOENT);
	ck_assert_int_eq(give(a, 5 * A, 7 * A), -ENOENT);
	ck_assert_int_eq(give(a, 3 * A, 7 * A), -ENOENT);
	ck_assert_int_eq(give(a, 4 * A, 6 * A), 0);
	ck_assert_int_eq(give(a, 4 * A, 6 * A), -ENOENT);
	rmm_allocator_close(a);
}
END_TEST

/* Only a pool takes exact ranges, and takes ranges back. */
START_TEST(take_of_other_kinds_is_enotsup)
{
	struct rmm_allocator *a = made((enum rmm_allocator_kind)_i, 4 * A);

	ck_assert_int_eq(take(a, 0, A), -ENOTSUP);
	ck_assert_int_eq(give(a, 0, A), -ENOTSUP);
	rmm_allocator_close(a);
}
END_TEST

/* ---- against a model: one byte of memory for each page ---- */

#define MODEL_PAGES 97

struct model {
	uint64_t size;
	bool taken[MODEL_PAGES];
};

static uint64_t model_page_end(const struct model *m, size_t page)
{
	uint64_t end = (page + 1) * A;

	return end < m->size ? end : m->size;
}

/* Where a pool has to put @len bytes; MODEL_PAGES: nowhere. */
static size_t model_fit(const struct model *m, uint64_t len)
{
	for (size_t first = 0; first < MODEL_PAGES; first++)
		for (size_t p = first; p < MODEL_PAGES && !m->taken[p]; p++)
			if (model_page_end(m, p) - first * A >= len)
				return first;
	return MODEL_PAGES;
}

static size_t model_lowest(const struct model *m)
{
	size_t page = 0;

	while (page < MODEL_PAGES && m->taken[page])
		page++;
	return page;
}

static uint64_t model_remaining(const struct model *m)
{
	uint64_t sum = 0;

	for (size_t p = 0; p < MODEL_PAGES; p++)
		if (!m->taken[p])
			sum += model_page_end(m, p) - p * A;
	return sum;
}

/* Are all pages of [first, end) as @taken says? */
static bool model_all(
	const struct model *m, size_t first, size_t end, bool taken)
{
	for (size_t p = first; p < end; p++)
		if (m->taken[p] != taken)
			return false;
	return true;
}

static void model_mark(struct model *m, const struct rmm_range *r, bool taken)
{
	for (uint64_t at = r->start; at < r->end; at += A) {
		ck_assert(m->taken[at / A] != taken);
		m->taken[at / A] = taken;
	}
}

static void model_alloc(
	struct model *m, struct rmm_allocator *a, uint64_t *seed)
{
	bool pool = rmm_allocator_kind(a) == RMM_POOL;
	uint64_t len = 1 + unit_random(seed) % (6 * A);
	size_t want = pool ? model_fit(m, len) : model_lowest(m);
	struct rmm_range r;
	int err = rmm_allocator_alloc(a, len, &r);

	ck_assert_int_eq(err, want < MODEL_PAGES ? 0 : -ENOSPC);
	if (err)
		return;
	uint64_t end = want * A + rmm_align_up(len);

	ck_assert_uint_eq(r.start, want * A);
	ck_assert_uint_eq(r.end, end < m->size ? end : m->size);
	model_mark(m, &r, true);
}

/* Take or release some pages, free and taken ones as they come. */
static void model_exact(
	struct model *m, struct rmm_allocator *a, uint64_t *seed, bool taking)
{
	size_t first = unit_random(seed) % MODEL_PAGES;
	size_t end = first + 1 + unit_random(seed) % 3;

	if (end > MODEL_PAGES)
		end = MODEL_PAGES;
	struct rmm_range r = {first * A, model_page_end(m, end - 1), FILE_ID};

	if (taking) {
		int err = rmm_allocator_take(a, &r);

		ck_assert_int_eq(
			err, model_all(m, first, end, false) ? 0 : -EEXIST);
		if (!err)
			model_mark(m, &r, true);
	} else {
		int err = rmm_allocator_release(a, &r);

		ck_assert_int_eq(
			err, model_all(m, first, end, true) ? 0 : -ENOENT);
		if (!err)
			model_mark(m, &r, false);
	}
}

static void model_compare(const struct model *m, const struct rmm_allocator *a)
{
	size_t lowest = model_lowest(m);

	ck_assert_uint_eq(rmm_allocator_remaining(a), model_remaining(m));
	ck_assert_uint_eq(rmm_allocator_next_pos(a),
		lowest < MODEL_PAGES ? lowest * A : m->size);
}

/* The allocator comes back from its text the same, in the middle of it all. */
static void model_restore(struct rmm_allocator **a)
{
	char *text;

	ck_assert_int_eq(rmm_allocator_format(*a, &text), 0);
	rmm_allocator_close(*a);
	ck_assert_int_eq(rmm_allocator_parse(text, strlen(text), a), 0);
	free(text);
}

/* Any sequence of calls does what an array of pages does. */
START_TEST(random_calls_match_the_model)
{
	uint64_t seed = unit_seed();

	for (int round = 0; round < 60; round++) {
		struct model m = {
			.size = MODEL_PAGES * A - unit_random(&seed) % A};
		struct rmm_allocator *a =
			made((enum rmm_allocator_kind)_i, m.size);

		for (int step = 0; step < 500; step++) {
			unsigned what = unit_random(&seed) % 8;

			if (what >= 3 && _i == RMM_POOL)
				model_exact(&m, a, &seed, what < 5);
			else
				model_alloc(&m, a, &seed);
			model_compare(&m, a);
			if (what == 0)
				model_restore(&a);
		}
		rmm_allocator_close(a);
	}
}
END_TEST

/* ---- many threads ---- */

struct worker {
	pthread_t thread;
	struct rmm_allocator *a;
	_Atomic unsigned char *given; /* how often each page was */
	uint64_t seed;
	unsigned beyond; /* calls to make when it is exhausted */
	int last;
};

static void *deplete(void *arg)
{
	struct worker *w = arg;
	struct rmm_range r;

	while ((w->last = rmm_allocator_alloc(
			w->a, 1 + unit_random(&w->seed) % (3 * A), &r)) == 0)
		for (uint64_t at = r.start; at < r.end; at += A)
			/* Relaxed: read after the threads were joined. */
			atomic_fetch_add_explicit(
				&w->given[at / A], 1, memory_order_relaxed);
	for (unsigned i = 0; i < w->beyond; i++)
		if (rmm_allocator_alloc(w->a, UINT64_MAX, &r) != -ENOSPC)
			w->last = 0;
	return NULL;
}

static void start_and_join(struct worker *workers, void *(*fn)(void *))
{
	for (int t = 0; t < THREADS; t++)
		ck_assert_int_eq(pthread_create(&workers[t].thread, NULL, fn,
					 &workers[t]),
			0);
	for (int t = 0; t < THREADS; t++)
		pthread_join(workers[t].thread, NULL);
}

/*
 * Sixteen threads share a file out among them, with no byte twice or lost. It
 * is so large that they really run at the same time.
 */
START_TEST(concurrent_threads_get_each_byte_once)
{
	uint64_t pages = _i == RMM_POOL ? 200000 : 10000000, left = 0;
	struct rmm_allocator *a =
		made((enum rmm_allocator_kind)_i, pages * A - 1);
	_Atomic unsigned char *given = calloc(pages, sizeof(*given));
	struct worker workers[THREADS] = {0};
	uint64_t seed = unit_seed();

	for (int t = 0; t < THREADS; t++) {
		workers[t].a = a;
		workers[t].given = given;
		workers[t].seed = unit_random(&seed);
		workers[t].beyond = 1000000 / THREADS;
	}
	start_and_join(workers, deplete);
	for (int t = 0; t < THREADS; t++)
		ck_assert_int_eq(workers[t].last, -ENOSPC);
	for (uint64_t page = 0; page < pages; page++) {
		unsigned times = atomic_load_explicit(
			&given[page], memory_order_relaxed);

		if (times > 1)
			ck_abort_msg("page %lu given %u times",
				(unsigned long)page, times);
		if (times == 0)
			left += page + 1 < pages ? A : A - 1;
	}
	/* A pool can be left with places that are too short for a request. */
	if (_i != RMM_POOL)
		ck_assert_uint_eq(left, 0);
	ck_assert_uint_eq(rmm_allocator_remaining(a), left);
	free((void *)given);
	rmm_allocator_close(a);
}
END_TEST

/*
 * Of many calls that find nothing, none brings an exhausted one back: together
 * these would advance it by more than 2^64 pages.
 */
START_TEST(concurrent_after_ten_million_failures_is_exhausted)
{
	struct rmm_allocator *a = made(RMM_CONCURRENT, INT64_MAX);
	struct rmm_range r;

	assert_alloc(a, UINT64_MAX, 0, INT64_MAX);
	for (int i = 0; i < 10000000; i++)
		if (rmm_allocator_alloc(a, (uint64_t)1 << 53, &r) != -ENOSPC)
			ck_abort_msg("call %d got a range", i);
	ck_assert_uint_eq(rmm_allocator_next_pos(a), INT64_MAX);
	rmm_allocator_close(a);
}
END_TEST

static void *churn(void *arg)
{
	struct worker *w = arg;

	for (int i = 0; i < 20000; i++) {
		struct rmm_range r;
		uint64_t len = 1 + unit_random(&w->seed) % (4 * A);

		if (rmm_allocator_alloc(w->a, len, &r) == 0 &&
			rmm_allocator_release(w->a, &r) < 0)
			w->last = -1;
	}
	return NULL;
}

/* Threads that take and give back leave a pool whole. */
START_TEST(pool_after_concurrent_churn_is_whole)
{
	struct rmm_allocator *a = made(RMM_POOL, 64 * A);
	struct worker workers[THREADS] = {0};
	uint64_t seed = unit_seed();

	for (int t = 0; t < THREADS; t++) {
		workers[t].a = a;
		workers[t].seed = unit_random(&seed);
	}
	start_and_join(workers, churn);
	for (int t = 0; t < THREADS; t++)
		ck_assert_int_eq(workers[t].last, 0);
	assert_alloc(a, 64 * A, 0, 64 * A);
	rmm_allocator_close(a);
}
END_TEST

/* A hundred thousand places in hostile order take no time to speak of. */
START_TEST(pool_with_many_places_stays_fast)
{
	uint64_t places = 100000;
	struct rmm_allocator *a = made(RMM_POOL, 2 * places * A);
	struct timespec start, end;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
	for (uint64_t i = 0; i < places; i++)
		ck_assert_int_eq(take(a, (2 * i + 1) * A, 2 * (i + 1) * A), 0);
	for (uint64_t i = 0; i < places; i++)
		ck_assert_uint_eq(rmm_allocator_next_pos(a), 0);
	ck_assert_uint_eq(rmm_allocator_remaining(a), places * A);
	for (uint64_t i = places; i-- > 0;)
		ck_assert_int_eq(give(a, (2 * i + 1) * A, 2 * (i + 1) * A), 0);
	assert_alloc(a, 2 * places * A, 0, 2 * places * A);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	ck_assert_int_lt(end.tv_sec - start.tv_sec, 10);
	rmm_allocator_close(a);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rmm_allocator");
	TCase *each = unit_case(suite, "each kind");
	TCase *pool = unit_case(suite, "pool");
	TCase *model = unit_case(suite, "model");
	TCase *threads = unit_case(suite, "threads");

	tcase_add_loop_test(each, alloc_is_aligned_up_and_adjacent, 0, 3);
	tcase_add_loop_test(each, alloc_of_more_than_left_is_cut, 0, 2);
	tcase_add_loop_test(each, alloc_at_an_unaligned_end_stops_there, 0, 3);
	tcase_add_loop_test(each, alloc_when_exhausted_is_enospc, 0, 3);
	tcase_add_loop_test(each, zero_is_refused, 0, 3);
	tcase_add_loop_test(each, alloc_of_huge_ranges_is_exact, 0, 3);
	tcase_add_loop_test(each, take_of_other_kinds_is_enotsup, 0, 2);
	tcase_add_test(pool, pool_alloc_is_first_fit);
	tcase_add_test(pool, pool_take_of_taken_is_eexist);
	tcase_add_test(pool, pool_of_wrong_range_is_einval);
	tcase_add_test(pool, pool_release_merges_neighbours);
	tcase_add_test(pool, pool_release_of_free_is_enoent);
	tcase_add_test(pool, pool_with_many_places_stays_fast);
	tcase_add_loop_test(model, random_calls_match_the_model, 0, 3);
	tcase_add_loop_test(
		threads, concurrent_threads_get_each_byte_once, 1, 3);
	tcase_add_test(
		threads, concurrent_after_ten_million_failures_is_exhausted);
	tcase_add_test(threads, pool_after_concurrent_churn_is_whole);
	return unit_main(suite);
}
