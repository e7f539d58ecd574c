/* What a ledger remembers, and how it answers. */
#include <pthread.h>

#include "ledger_fixture.h"

/* A new ledger has its header and a row for each slot, without a receipt. */
START_TEST(create_then_load_gives_rows)
{
	struct content content;

	open_good();
	ck_assert_uint_eq(
		ledger_header(ledger)->size, (uint64_t)SLOTS * SLOT_SIZE);
	ck_assert_uint_eq(ledger_header(ledger)->slot_size, SLOT_SIZE);
	ck_assert_uint_eq(ledger_slot_count(ledger), SLOTS);
	load_good(&content);
	ck_assert_uint_eq(content.count, SLOTS);
	ck_assert_uint_eq(content.coverages, 0);
	for (unsigned i = 0; i < SLOTS; i++) {
		struct ledger_slot row = empty_row(i);

		ck_assert(same_row(&content.rows[i], &row));
	}
}
END_TEST

/* Two targets never get the same uuid, nor does one that is made anew. */
START_TEST(create_again_gives_new_uuid)
{
	struct ledger_header first;

	open_good();
	first = *ledger_header(ledger);
	close_now();
	ck_assert_int_eq(create(NAME), 0);
	open_good();
	ck_assert_mem_ne(
		first.uuid, ledger_header(ledger)->uuid, LEDGER_UUID_SIZE);
}
END_TEST

/* Every field comes back as it was put, at both ends of what it can be. */
START_TEST(put_extremes_round_trip)
{
	struct ledger_slot rows[2] = {empty_row(0), receipt_row(7, 0)};
	struct content content;

	rows[1] = (struct ledger_slot){
		.id = INT64_MAX,
		.start = rows[1].start,
		.length = SLOT_SIZE - 1,
		.generation = UINT32_MAX,
		.state = LEDGER_DURABLE,
		.crc = UINT32_MAX,
		.completed_ns = INT64_MIN,
		.writer_uid = UINT32_MAX,
		.writer_pid = INT32_MAX,
		.command = "\xff 'fifteen' \n",
		.uid = UINT32_MAX,
		.gid = UINT32_MAX,
		.mode = 07777,
		.mtime_ns = INT64_MAX,
	};
	open_good();
	put_good(rows, 2);
	close_now();
	open_good();
	load_good(&content);
	ck_assert(same_row(&content.rows[0], &rows[0]));
	ck_assert(same_row(&content.rows[7], &rows[1]));
}
END_TEST

static void put_and_die(void)
{
	struct ledger_slot row = receipt_row(3, LEDGER_COMPLETE);

	open_good();
	put_good(&row, 1);
}

/* What was put outlives the process, synced or not. */
START_TEST(put_survives_kill)
{
	struct ledger_slot row = receipt_row(3, LEDGER_COMPLETE);
	struct content content;

	in_killed_process(put_and_die);
	open_good();
	load_good(&content);
	ck_assert(same_row(&content.rows[3], &row));
}
END_TEST

/* A row that is put again replaces what was there. */
START_TEST(put_again_replaces)
{
	struct ledger_slot row = receipt_row(2, LEDGER_DURABLE), again;
	struct content content;

	open_good();
	put_good(&row, 1);
	again = empty_row(2);
	again.generation = 1;
	put_good(&again, 1);
	load_good(&content);
	ck_assert_uint_eq(content.count, SLOTS);
	ck_assert(same_row(&content.rows[2], &again));
}
END_TEST

static bool odd_ones(void *arg, const struct ledger_slot *slot)
{
	++*(unsigned *)arg;
	return slot->id % 2;
}

/* Rows whose receipt is gone by then are left out, the others are put. */
START_TEST(put_with_stale_rows_leaves_them_out)
{
	struct ledger_slot rows[SLOTS];
	struct content content;
	unsigned asked = 0;

	for (unsigned i = 0; i < SLOTS; i++)
		rows[i] = receipt_row(i, LEDGER_DURABLE);
	open_good();
	ck_assert_int_eq(ledger_put(ledger, rows, SLOTS, odd_ones, &asked), 0);
	ck_assert_uint_eq(asked, SLOTS);
	load_good(&content);
	for (unsigned i = 0; i < SLOTS; i++)
		ck_assert_int_eq(content.rows[i].state,
			i % 2 ? LEDGER_EMPTY : LEDGER_DURABLE);
}
END_TEST

/* More rows than a batch may have are refused. */
START_TEST(put_too_many_refused)
{
	static struct ledger_slot rows[LEDGER_BATCH_MAX + 1];

	open_good();
	ck_assert_int_eq(
		ledger_put(ledger, rows, LEDGER_BATCH_MAX + 1, NULL, NULL),
		-EINVAL);
}
END_TEST

/* Slots that are made later have rows, too. */
START_TEST(put_new_slot_adds_row)
{
	struct ledger_slot half[2] = {empty_row(4), empty_row(4)};
	struct content content;

	half[0].length = half[1].length = SLOT_SIZE / 2;
	half[1].start += SLOT_SIZE / 2;
	half[1].id = SLOTS + 1;
	open_good();
	put_good(half, 2);
	load_good(&content);
	ck_assert_uint_eq(content.count, SLOTS + 1);
	ck_assert(same_row(&content.rows[4], &half[0]));
	ck_assert(same_row(&content.rows[5], &half[1]));
}
END_TEST

/* ---- coverage ------------------------------------------------------------ */

static const struct ledger_run some_runs[] = {{0, 100}, {4096, 8192}};

static struct ledger_coverage some_coverage(void)
{
	return (struct ledger_coverage){
		.id = 6,
		.generation = 0,
		.size = 8000,
		.runs = some_runs,
		.count = 2,
	};
}

/* Coverage comes back, and goes when it is put empty. */
START_TEST(coverage_round_trips_and_goes)
{
	struct ledger_coverage coverage = some_coverage();
	struct content content;

	open_good();
	ck_assert_int_eq(ledger_put_coverage(ledger, &coverage), 0);
	close_now();
	open_good();
	load_good(&content);
	ck_assert_uint_eq(content.coverages, 1);
	ck_assert_uint_eq(content.coverage.id, 6);
	ck_assert_uint_eq(content.coverage.size, 8000);
	ck_assert_uint_eq(content.coverage.count, 2);
	ck_assert_mem_eq(content.runs, some_runs, sizeof(some_runs));
	coverage.count = 0;
	ck_assert_int_eq(ledger_put_coverage(ledger, &coverage), 0);
	load_good(&content);
	ck_assert_uint_eq(content.coverages, 0);
}
END_TEST

/* An overrun is remembered, also of a slot of which nothing is covered. */
START_TEST(overrun_alone_remembered)
{
	struct ledger_coverage coverage = {.id = 2, .overrun = true};
	struct content content;

	open_good();
	ck_assert_int_eq(ledger_put_coverage(ledger, &coverage), 0);
	load_good(&content);
	ck_assert_uint_eq(content.coverages, 1);
	ck_assert(content.coverage.overrun);
	ck_assert_uint_eq(content.coverage.count, 0);
}
END_TEST

/* Coverage from before the slot was emptied is not handed over. */
START_TEST(coverage_of_older_generation_ignored)
{
	struct ledger_coverage coverage = some_coverage();
	struct ledger_slot row = empty_row(5);
	struct content content;

	open_good();
	ck_assert_int_eq(ledger_put_coverage(ledger, &coverage), 0);
	row.generation = 1;
	put_good(&row, 1);
	load_good(&content);
	ck_assert_uint_eq(content.coverages, 0);
}
END_TEST

static struct ledger_coverage loaded_large;

static int skip_slot(void *arg, const struct ledger_slot *slot)
{
	(void)arg;
	(void)slot;
	return 0;
}

static int look_at_large(void *arg, const struct ledger_coverage *coverage)
{
	const struct ledger_run *runs = arg;

	loaded_large = *coverage;
	return memcmp(coverage->runs, runs, coverage->count * sizeof(*runs));
}

/* Of a coverage in very many pieces the first ones are remembered. */
START_TEST(coverage_in_many_pieces_is_cut)
{
	static struct ledger_run runs[5000];
	struct ledger_slot row = empty_row(0);
	struct ledger_coverage coverage = {
		.id = 1, .size = 20000, .runs = runs, .count = 5000};

	sql("DELETE FROM slot WHERE start > 0");
	for (unsigned i = 0; i < 5000; i++)
		runs[i] = (struct ledger_run){4 * i, 4 * i + 2};
	row.length = (uint64_t)SLOTS * SLOT_SIZE;
	open_good();
	put_good(&row, 1);
	ck_assert_int_eq(ledger_put_coverage(ledger, &coverage), 0);
	ck_assert_int_eq(
		ledger_load(ledger, skip_slot, look_at_large, runs, why), 0);
	ck_assert_uint_ge(loaded_large.count, 4096);
	ck_assert_uint_lt(loaded_large.count, 5000);
}
END_TEST

/* ---- boots --------------------------------------------------------------- */

/* Another boot is noticed until it is marked. */
START_TEST(reboot_noticed_until_marked)
{
	open_good();
	ck_assert(!ledger_rebooted(ledger));
	close_now();
	setenv("RMFS_BOOT_ID", "the-second", 1);
	open_good();
	ck_assert(ledger_rebooted(ledger));
	close_now();
	open_good();
	ck_assert(ledger_rebooted(ledger));
	ck_assert_int_eq(ledger_mark_boot(ledger), 0);
	ck_assert(!ledger_rebooted(ledger));
	close_now();
	open_good();
	ck_assert(!ledger_rebooted(ledger));
}
END_TEST

/* The kernel's own boot id is the same twice in a row. */
START_TEST(kernel_boot_id_stays)
{
	unsetenv("RMFS_BOOT_ID");
	ck_assert_int_eq(create(NAME), 0);
	open_good();
	ck_assert(!ledger_rebooted(ledger));
}
END_TEST

/* ---- names and owners ---------------------------------------------------- */

/* A target without a ledger is told from one with a bad one. */
START_TEST(open_without_ledger_says_enoent)
{
	ck_assert_int_eq(ledger_open(dirfd, "other", &ledger, why), -ENOENT);
	ck_assert_str_eq(
		why, "other.rmfs cannot be opened: No such file or directory");
}
END_TEST

/* A name too long to have a ledger is refused before anything is made. */
START_TEST(create_with_long_name_refused)
{
	char name[256];
	uint64_t before = disk_state();

	memset(name, 'x', 250);
	name[250] = '\0';
	ck_assert_int_eq(create(name), -ENAMETOOLONG);
	ck_assert_uint_eq(disk_state(), before);
}
END_TEST

/* Names with every byte that a file's name can have work. */
START_TEST(odd_names_work)
{
	static const char name[] = "a%20b?c#d;e'f\"g\\h\n\xff";
	struct ledger *odd;

	ck_assert_int_eq(create(name), 0);
	ck_assert_int_eq(ledger_open(dirfd, name, &odd, why), 0);
	ledger_close(odd);
}
END_TEST

static void open_is_busy(void)
{
	struct ledger *second;

	ck_assert_int_eq(ledger_open(dirfd, NAME, &second, why), -EBUSY);
	ck_assert_str_eq(why, NAME ".rmfs is open elsewhere");
	ck_assert_int_eq(
		ledger_open_readonly(dirfd, NAME, &second, why), -EBUSY);
}

/* Nobody can open a ledger that is open, in this process or in another. */
START_TEST(open_twice_is_busy)
{
	struct ledger_slot row = receipt_row(1, LEDGER_DURABLE);

	open_good();
	in_killed_process(open_is_busy);
	open_is_busy();
	put_good(&row, 1);
	in_killed_process(open_is_busy);
}
END_TEST

/* The files of a ledger are known by their names. */
START_TEST(reserved_names_known)
{
	ck_assert(ledger_reserved("a.rmfs"));
	ck_assert(ledger_reserved("a.rmfs-wal"));
	ck_assert(ledger_reserved("a.rmfs-shm"));
	ck_assert(ledger_reserved("a.rmfs-journal"));
	ck_assert(ledger_reserved("a.rmfs.new"));
	ck_assert(ledger_reserved("a.rmfs.new-wal"));
	ck_assert(!ledger_reserved("a.rmfs.old"));
	ck_assert(!ledger_reserved("rmfs"));
	ck_assert(!ledger_reserved("-wal"));
}
END_TEST

/* Removing takes every file of it away, and no other. */
START_TEST(remove_leaves_nothing_of_it)
{
	char out[256];

	in_killed_process(put_and_die);
	unit_write(path_of("-shm"), "x", 1);
	unit_write(path_of(".new"), "x", 1);
	unit_write(path_of(".mine"), "x", 1);
	ledger_remove(dirfd, NAME);
	ck_assert_int_eq(unit_run(out, sizeof(out), "ls -A %s", dir), 0);
	ck_assert_str_eq(out, NAME ".rmfs.mine\n");
}
END_TEST

/* ---- many at once -------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 300 };

struct job {
	unsigned mine;
	int err;
};

/* Each thread owns two slots: it puts, syncs now and then, and tidies. */
static void *put_rounds(void *arg)
{
	struct job *job = arg;
	unsigned mine = job->mine;
	int err = 0;

	for (unsigned round = 0; !err && round < ROUNDS; round++) {
		struct ledger_slot rows[2] = {
			receipt_row(2 * mine, LEDGER_COMPLETE),
			receipt_row(2 * mine + 1, LEDGER_DURABLE)};

		rows[0].generation = rows[1].generation = round;
		err = ledger_put(ledger, rows, 2, NULL, NULL);
		if (!err && round % 7 == 0)
			err = ledger_sync(ledger);
		if (!err && round % 11 == 0)
			err = ledger_tidy(ledger);
	}
	job->err = err;
	return NULL;
}

/* Threads that put, sync and tidy at once all find their last rows again. */
START_TEST(threads_put_and_sync_at_once)
{
	static struct job jobs[THREADS];
	pthread_t thread[THREADS];
	struct content content;

	open_good();
	for (unsigned i = 0; i < THREADS; i++) {
		jobs[i].mine = i;
		ck_assert_int_eq(
			pthread_create(&thread[i], NULL, put_rounds, &jobs[i]),
			0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
		ck_assert_int_eq(jobs[i].err, 0);
	}
	close_now();
	open_good();
	load_good(&content);
	for (unsigned i = 0; i < SLOTS; i++)
		ck_assert_uint_eq(content.rows[i].generation, ROUNDS - 1);
}
END_TEST

/* Without anybody tidying, the log needs no more than it has; it keeps that. */
START_TEST(log_never_grows)
{
	struct ledger_slot rows[SLOTS];
	struct stat before, after;

	open_good();
	ck_assert_int_eq(stat(path_of("-wal"), &before), 0);
	for (unsigned round = 0; round < 3000; round++) {
		for (unsigned i = 0; i < SLOTS; i++) {
			rows[i] = receipt_row(i, LEDGER_COMPLETE);
			rows[i].generation = round;
		}
		put_good(rows, SLOTS);
	}
	ck_assert_int_eq(stat(path_of("-wal"), &after), 0);
	ck_assert_int_eq(after.st_size, before.st_size);
	ck_assert_int_eq(after.st_blocks, before.st_blocks);
	close_now();
	ck_assert_int_eq(stat(path_of("-wal"), &after), 0);
	ck_assert_int_eq(after.st_blocks, before.st_blocks);
}
END_TEST

static void add(Suite *suite, const char *name, const TTest *const *tests)
{
	TCase *tcase = unit_case(suite, name);

	tcase_add_checked_fixture(tcase, ledger_setup, ledger_teardown);
	for (; *tests; tests++)
		tcase_add_test(tcase, *tests);
}

int main(void)
{
	const TTest *const rows[] = {
		create_then_load_gives_rows,
		create_again_gives_new_uuid,
		put_extremes_round_trip,
		put_survives_kill,
		put_again_replaces,
		put_with_stale_rows_leaves_them_out,
		put_too_many_refused,
		put_new_slot_adds_row,
		NULL,
	};
	const TTest *const coverage[] = {
		coverage_round_trips_and_goes,
		overrun_alone_remembered,
		coverage_of_older_generation_ignored,
		coverage_in_many_pieces_is_cut,
		NULL,
	};
	const TTest *const boots[] = {
		reboot_noticed_until_marked,
		kernel_boot_id_stays,
		NULL,
	};
	const TTest *const names[] = {
		open_without_ledger_says_enoent,
		create_with_long_name_refused,
		odd_names_work,
		open_twice_is_busy,
		reserved_names_known,
		remove_leaves_nothing_of_it,
		NULL,
	};
	const TTest *const together[] = {
		threads_put_and_sync_at_once,
		log_never_grows,
		NULL,
	};
	Suite *suite = suite_create("ledger");

	add(suite, "rows", rows);
	add(suite, "coverage", coverage);
	add(suite, "boots", boots);
	add(suite, "names", names);
	add(suite, "together", together);
	return unit_main(suite);
}
