/* Files: ranges, receipts, and what is refused before a byte moves. */
#include "ranged_mmap.h"

#include "unit.h"
#include <errno.h>
#include <pthread.h>

#define A ((uint64_t)RMM_ALIGNMENT)
#define THREADS 16

static char path[128], other_path[128];
static char data[16 * 4096];

static void setup(void)
{
	const char *folder = unit_folder();

	snprintf(path, sizeof(path), "%s/out.bin", folder);
	snprintf(other_path, sizeof(other_path), "%s/other.bin", folder);
	memset(data, 'd', sizeof(data));
}

static struct rmm_file *created(uint64_t size, unsigned flags)
{
	struct rmm_file *file;

	ck_assert_int_eq(
		rmm_file_create(path, size, RMM_CONCURRENT, flags, &file), 0);
	return file;
}

static struct rmm_range taken(struct rmm_file *file, uint64_t len)
{
	struct rmm_range r;

	ck_assert_int_eq(rmm_file_alloc(file, len, &r), 0);
	return r;
}

/* Is every byte of the file @byte? */
static bool all_bytes(const struct rmm_file *file, char byte)
{
	const char *p = rmm_map_ptr(rmm_file_map(file));

	for (uint64_t i = 0; i < rmm_file_size(file); i++)
		if (p[i] != byte)
			return false;
	return true;
}

/* By default the allocator is sequential and has the whole file to give. */
START_TEST(create_default_is_sequential)
{
	struct rmm_file *file;
	struct rmm_allocator *a;

	ck_assert_int_eq(rmm_file_create_default(path, 10 * A, &file), 0);
	a = rmm_file_allocator(file);
	ck_assert_uint_eq(rmm_file_size(file), 10 * A);
	ck_assert_int_eq(rmm_allocator_kind(a), RMM_SEQUENTIAL);
	ck_assert_uint_eq(rmm_allocator_total_size(a), 10 * A);
	ck_assert_uint_eq(rmm_allocator_next_pos(a), 0);
	ck_assert_uint_eq(
		rmm_allocator_file(a), rmm_map_id(rmm_file_map(file)));
	rmm_file_close(file);
	ck_assert_int_eq(rmm_file_open_default(path, &file), 0);
	a = rmm_file_allocator(file);
	ck_assert_int_eq(rmm_allocator_kind(a), RMM_SEQUENTIAL);
	ck_assert_uint_eq(rmm_allocator_remaining(a), 10 * A);
	rmm_file_close(file);
}
END_TEST

/* A write gives a receipt for its range, and the bytes read back. */
START_TEST(write_range_gives_receipt)
{
	struct rmm_file *file = created(2 * A, 0);
	struct rmm_range first = taken(file, A), second = taken(file, A);
	struct rmm_receipt receipt;
	char buf[4096];

	ck_assert_int_eq(
		rmm_file_write_range(file, &second, data, A, &receipt), 0);
	ck_assert(rmm_range_equal(&receipt.range, &second));
	ck_assert_int_eq(rmm_file_flush_range(file, &receipt), 0);
	ck_assert_int_eq(rmm_file_sync_range(file, &receipt), 0);
	ck_assert_int_eq(
		rmm_file_read_range(file, &second, buf, sizeof(buf)), 0);
	ck_assert_mem_eq(buf, data, A);
	ck_assert_int_eq(
		rmm_file_read_range(file, &first, buf, sizeof(buf)), 0);
	ck_assert_int_eq(buf[4095], 0);
	ck_assert_int_eq(
		rmm_file_write_range_all(file, &first, data, A, NULL), 0);
	ck_assert(all_bytes(file, 'd'));
	ck_assert_int_eq(rmm_file_flush(file), 0);
	ck_assert_int_eq(rmm_file_sync(file), 0);
	rmm_file_close(file);
}
END_TEST

/* A length that is not the range's writes nothing and earns nothing. */
START_TEST(write_of_other_length_is_emsgsize)
{
	struct rmm_file *file = created(4 * A, 0);
	struct rmm_range r = taken(file, 2 * A);
	struct rmm_receipt receipt = {{1, 2, 3}};

	ck_assert_int_eq(
		rmm_file_write_range(file, &r, data, 2 * A - 1, &receipt),
		-EMSGSIZE);
	ck_assert_int_eq(
		rmm_file_write_range(file, &r, data, 2 * A + 1, &receipt),
		-EMSGSIZE);
	ck_assert_int_eq(
		rmm_file_write_range(file, &r, data, 0, &receipt), -EMSGSIZE);
	ck_assert_uint_eq(receipt.range.start, 1);
	ck_assert(all_bytes(file, 0));
	rmm_file_close(file);
}
END_TEST

/* A range, a receipt, an allocator of another file is refused everywhere. */
START_TEST(range_of_another_file_is_exdev)
{
	struct rmm_file *file = created(4 * A, 0), *other;
	struct rmm_range r;
	struct rmm_receipt receipt;
	char *text;

	ck_assert_int_eq(
		rmm_file_create(other_path, 4 * A, RMM_POOL, 0, &other), 0);
	r = taken(other, A);
	ck_assert_int_eq(
		rmm_file_write_range(file, &r, data, A, &receipt), -EXDEV);
	ck_assert_int_eq(rmm_file_read_range(file, &r, data, A), -EXDEV);
	ck_assert_int_eq(rmm_file_write_range(other, &r, data, A, &receipt), 0);
	ck_assert_int_eq(rmm_file_flush_range(file, &receipt), -EXDEV);
	ck_assert_int_eq(rmm_file_sync_range(file, &receipt), -EXDEV);
	r.file = 0;
	ck_assert_int_eq(
		rmm_file_write_range(file, &r, data, A, &receipt), -EXDEV);
	ck_assert(all_bytes(file, 0));
	ck_assert_int_eq(
		rmm_allocator_format(rmm_file_allocator(other), &text), 0);
	rmm_file_close(file);
	ck_assert_int_eq(
		rmm_file_resume(path, text, strlen(text), 0, &file), -EXDEV);
	free(text);
	rmm_file_close(other);
}
END_TEST

/* A range that reaches past the end, or backwards, is refused. */
START_TEST(range_past_the_end_is_erange)
{
	struct rmm_file *file = created(2 * A, 0);
	uint64_t id = rmm_map_id(rmm_file_map(file));
	struct rmm_range past = {A, 3 * A, id}, back = {2 * A, A, id},
			 empty = {A, A, id};
	struct rmm_receipt made_up = {past}, receipt;

	ck_assert_int_eq(
		rmm_file_write_range(file, &past, data, 2 * A, &receipt),
		-ERANGE);
	ck_assert_int_eq(
		rmm_file_write_range(file, &back, data, A, &receipt), -ERANGE);
	ck_assert_int_eq(
		rmm_file_write_range(file, &empty, data, 0, &receipt), -ERANGE);
	ck_assert_int_eq(
		rmm_file_read_range(file, &past, data, sizeof(data)), -ERANGE);
	ck_assert_int_eq(rmm_file_flush_range(file, &made_up), -ERANGE);
	ck_assert_int_eq(rmm_file_sync_range(file, &made_up), -ERANGE);
	ck_assert(all_bytes(file, 0));
	rmm_file_close(file);
}
END_TEST

/* A buffer that is too small is refused and left alone. */
START_TEST(read_into_short_buffer_is_enobufs)
{
	struct rmm_file *file = created(2 * A, 0);
	struct rmm_range r = taken(file, 2 * A);

	ck_assert_int_eq(
		rmm_file_read_range(file, &r, data, 2 * A - 1), -ENOBUFS);
	ck_assert_int_eq(data[0], 'd');
	ck_assert_int_eq(rmm_file_read_range(file, &r, data, 2 * A), 0);
	ck_assert_int_eq(data[0], 0);
	ck_assert_int_eq(data[2 * A], 'd');
	rmm_file_close(file);
}
END_TEST

/* Empty files are their own error. */
START_TEST(open_of_empty_file_is_enodata)
{
	struct rmm_file *file;

	unit_write(path, "", 0);
	ck_assert_int_eq(rmm_file_open_default(path, &file), -ENODATA);
	ck_assert_int_eq(
		rmm_file_open(other_path, RMM_POOL, 0, &file), -ENOENT);
	ck_assert_int_eq(rmm_file_create_default(path, 0, &file), -EINVAL);
}
END_TEST

/* A file opened for reading gives its bytes and takes none. */
START_TEST(write_to_read_only_file_is_ebadf)
{
	struct rmm_file *file;
	struct rmm_range r;

	rmm_file_close(created(A, 0));
	ck_assert_int_eq(rmm_file_open(path, RMM_POOL, RMM_RDONLY, &file), 0);
	r = taken(file, A);
	ck_assert_int_eq(rmm_file_write_range(file, &r, data, A, NULL), -EBADF);
	ck_assert_int_eq(rmm_file_read_range(file, &r, data, A), 0);
	rmm_file_close(file);
}
END_TEST

/* Another reference keeps file, mapping and allocator alive. */
START_TEST(ref_keeps_the_file_alive)
{
	struct rmm_file *a = created(2 * A, 0), *b = rmm_file_ref(a);
	struct rmm_range r = taken(a, A);

	ck_assert_int_eq(rmm_file_write_range(a, &r, data, A, NULL), 0);
	rmm_file_close(a);
	ck_assert_int_eq(rmm_file_read_range(b, &r, data + A, A), 0);
	ck_assert_mem_eq(data, data + A, A);
	r = taken(b, A);
	ck_assert_uint_eq(r.start, A);
	rmm_file_close(b);
	rmm_file_close(NULL);
}
END_TEST

/* ---- write once ---- */

/* With RMM_WRITE_ONCE no page is written twice, by whatever range. */
START_TEST(write_once_refuses_overlaps)
{
	struct rmm_file *file = created(300 * A, RMM_WRITE_ONCE);
	uint64_t id = rmm_map_id(rmm_file_map(file));
	struct rmm_range mid = {63 * A, 66 * A, id}, low = {60 * A, 64 * A, id},
			 high = {65 * A, 70 * A, id}, all = {0, 300 * A, id},
			 beside = {66 * A, 70 * A, id};
	char *zeros = calloc(300, A);

	ck_assert_int_eq(
		rmm_file_write_range(file, &mid, data, 3 * A, NULL), 0);
	ck_assert_int_eq(rmm_file_write_range(file, &mid, zeros, 3 * A, NULL),
		-EALREADY);
	ck_assert_int_eq(rmm_file_write_range(file, &low, zeros, 4 * A, NULL),
		-EALREADY);
	ck_assert_int_eq(rmm_file_write_range(file, &high, zeros, 5 * A, NULL),
		-EALREADY);
	ck_assert_int_eq(rmm_file_write_range(file, &all, zeros, 300 * A, NULL),
		-EALREADY);
	ck_assert_mem_eq(
		(char *)rmm_map_ptr(rmm_file_map(file)) + 63 * A, data, 3 * A);
	ck_assert_int_eq(
		rmm_file_write_range(file, &beside, data, 4 * A, NULL), 0);
	low.end = 63 * A;
	ck_assert_int_eq(
		rmm_file_write_range(file, &low, data, 3 * A, NULL), 0);
	/* What was refused at page 255 has not spoilt what is before it. */
	low = (struct rmm_range){130 * A, 260 * A, id};
	mid = (struct rmm_range){255 * A, 256 * A, id};
	ck_assert_int_eq(rmm_file_write_range(file, &mid, data, A, NULL), 0);
	ck_assert_int_eq(rmm_file_write_range(file, &low, zeros, 130 * A, NULL),
		-EALREADY);
	low.end = 255 * A;
	ck_assert_int_eq(
		rmm_file_write_range(file, &low, zeros, 125 * A, NULL), 0);
	rmm_file_close(file);
	free(zeros);
}
END_TEST

/* A write that failed may be tried again: its bytes are not there. */
START_TEST(write_once_after_failure_may_be_repeated)
{
	struct rmm_file *file = created(100 * A, RMM_WRITE_ONCE);
	struct rmm_range r;
	struct rmm_receipt receipt = {{0, 0, 0}};

	taken(file, 62 * A);
	r = taken(file, 4 * A);
	ck_assert_int_eq(truncate(path, (off_t)A), 0);
	ck_assert_int_eq(
		rmm_file_write_range(file, &r, data, 4 * A, &receipt), -EIO);
	ck_assert_uint_eq(receipt.range.end, 0);
	ck_assert_int_eq(truncate(path, 100 * (off_t)A), 0);
	ck_assert_int_eq(
		rmm_file_write_range(file, &r, data, 4 * A, &receipt), 0);
	ck_assert(rmm_range_equal(&receipt.range, &r));
	rmm_file_close(file);
}
END_TEST

struct racer {
	pthread_t thread;
	struct rmm_file *file;
	struct rmm_range range;
	char byte;
	int err;
};

static void *race(void *arg)
{
	struct racer *racer = arg;
	size_t len = (size_t)rmm_range_len(&racer->range);
	char *buf = malloc(len);

	memset(buf, racer->byte, len);
	racer->err = rmm_file_write_range(
		racer->file, &racer->range, buf, len, NULL);
	free(buf);
	return NULL;
}

/* Of threads that want overlapping ranges one wins, and its bytes are whole */
START_TEST(write_once_race_has_one_winner)
{
	struct rmm_file *file = created(200 * A, RMM_WRITE_ONCE);
	uint64_t id = rmm_map_id(rmm_file_map(file));
	struct racer racers[THREADS];

	for (uint64_t round = 0; round < 4; round++) {
		const char *p = rmm_map_ptr(rmm_file_map(file));
		int winner = -1;

		for (uint64_t t = 0; t < THREADS; t++) {
			uint64_t start = 50 * round + t;

			racers[t] = (struct racer){.file = file,
				.range = {start * A, (start + THREADS) * A, id},
				.byte = (char)(1 + t)};
			ck_assert_int_eq(pthread_create(&racers[t].thread, NULL,
						 race, &racers[t]),
				0);
		}
		for (int t = 0; t < THREADS; t++)
			pthread_join(racers[t].thread, NULL);
		for (int t = 0; t < THREADS; t++) {
			if (racers[t].err) {
				ck_assert_int_eq(racers[t].err, -EALREADY);
				continue;
			}
			ck_assert_int_eq(winner, -1);
			winner = t;
		}
		ck_assert_int_ge(winner, 0);
		for (uint64_t i = racers[winner].range.start;
			i < racers[winner].range.end; i++)
			ck_assert_int_eq(p[i], racers[winner].byte);
	}
	rmm_file_close(file);
}
END_TEST

/* ---- saved and resumed ---- */

/* After a restart the saved allocator goes on, and its ranges are still good */
START_TEST(resume_goes_on_where_it_was)
{
	struct rmm_file *file = created(3 * A, 0);
	struct rmm_range first = taken(file, A), r;
	char *text, range_text[RMM_TEXT_SIZE];

	ck_assert_int_eq(rmm_file_write_range(file, &first, data, A, NULL), 0);
	ck_assert_int_eq(
		rmm_allocator_format(rmm_file_allocator(file), &text), 0);
	ck_assert_int_eq(
		rmm_range_format(&first, range_text, sizeof(range_text)), 0);
	rmm_file_close(file);

	ck_assert_int_eq(
		rmm_file_resume(path, text, strlen(text), 0, &file), 0);
	r = taken(file, A);
	ck_assert_uint_eq(r.start, A);
	ck_assert_int_eq(
		rmm_range_parse(range_text, strlen(range_text), &r), 0);
	ck_assert_int_eq(rmm_file_read_range(file, &r, data + A, A), 0);
	ck_assert_mem_eq(data, data + A, A);
	rmm_file_close(file);
	free(text);
}
END_TEST

/* A text that is none, or for another size, resumes nothing. */
START_TEST(resume_from_wrong_text_is_refused)
{
	struct rmm_file *file = created(3 * A, 0);
	char *text;

	ck_assert_int_eq(
		rmm_allocator_format(rmm_file_allocator(file), &text), 0);
	rmm_file_close(file);
	file = NULL;
	ck_assert_int_eq(
		rmm_file_resume(path, text, strlen(text) - 1, 0, &file),
		-EINVAL);
	ck_assert_int_eq(rmm_file_resume(path, "", 0, 0, &file), -EINVAL);
	ck_assert_int_eq(truncate(path, (off_t)A), 0);
	ck_assert_int_eq(
		rmm_file_resume(path, text, strlen(text), 0, &file), -EXDEV);
	ck_assert_ptr_null(file);
	free(text);
}
END_TEST

/* ---- many threads ---- */

static void *fill_share(void *arg)
{
	struct racer *racer = arg;
	struct rmm_range r;
	struct rmm_receipt receipt;
	int err;

	while ((err = rmm_file_alloc(racer->file, 3 * A, &r)) == 0) {
		size_t len = (size_t)rmm_range_len(&r);

		err = rmm_file_write_range(
			racer->file, &r, data, len, &receipt);
		if (!err)
			err = rmm_file_flush_range(racer->file, &receipt);
		if (err)
			break;
	}
	racer->err = err;
	rmm_file_close(racer->file);
	return NULL;
}

/* Threads that share one file fill it to its last byte. */
START_TEST(threads_fill_a_file)
{
	struct rmm_file *file = created(1000 * A - 5, RMM_WRITE_ONCE);
	struct racer racers[THREADS];

	for (int t = 0; t < THREADS; t++) {
		racers[t].file = rmm_file_ref(file);
		ck_assert_int_eq(pthread_create(&racers[t].thread, NULL,
					 fill_share, &racers[t]),
			0);
	}
	for (int t = 0; t < THREADS; t++) {
		pthread_join(racers[t].thread, NULL);
		ck_assert_int_eq(racers[t].err, -ENOSPC);
	}
	ck_assert_int_eq(rmm_file_sync(file), 0);
	ck_assert(all_bytes(file, 'd'));
	rmm_file_close(file);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rmm_file");
	TCase *range = unit_case(suite, "range");
	TCase *once = unit_case(suite, "once");
	TCase *resume = unit_case(suite, "resume");
	TCase *threads = unit_case(suite, "threads");
	TCase *cases[] = {range, once, resume, threads};

	for (size_t i = 0; i < 4; i++)
		tcase_add_checked_fixture(cases[i], setup, NULL);
	tcase_add_test(range, create_default_is_sequential);
	tcase_add_test(range, write_range_gives_receipt);
	tcase_add_test(range, write_of_other_length_is_emsgsize);
	tcase_add_test(range, range_of_another_file_is_exdev);
	tcase_add_test(range, range_past_the_end_is_erange);
	tcase_add_test(range, read_into_short_buffer_is_enobufs);
	tcase_add_test(range, open_of_empty_file_is_enodata);
	tcase_add_test(range, write_to_read_only_file_is_ebadf);
	tcase_add_test(range, ref_keeps_the_file_alive);
	tcase_add_test(once, write_once_refuses_overlaps);
	tcase_add_test(once, write_once_after_failure_may_be_repeated);
	tcase_add_test(once, write_once_race_has_one_winner);
	tcase_add_test(resume, resume_goes_on_where_it_was);
	tcase_add_test(resume, resume_from_wrong_text_is_refused);
	tcase_add_test(threads, threads_fill_a_file);
	return unit_main(suite);
}
