/* Every call to the disk fails once: the old state or the new one is there. */
#include <sys/mman.h>

#include "fault_calls.h"
#include "ledger_fixture.h"

/* ---- a job, step by step ------------------------------------------------- */

static const struct ledger_run some_runs[] = {{0, 100}, {4096, 8192}};

static const struct ledger_coverage some_coverage = {
	.id = 6, .size = 8000, .runs = some_runs, .count = 2};

static int put_range(unsigned first, unsigned end, enum ledger_state state)
{
	struct ledger_slot rows[SLOTS];
	size_t n = 0;

	for (unsigned i = first; i < end; i++)
		rows[n++] = receipt_row(i, state);
	return ledger_put(ledger, rows, n, NULL, NULL);
}

static int revoke_first(void)
{
	struct ledger_slot row = empty_row(0);

	row.generation = 1;
	return ledger_put(ledger, &row, 1, NULL, NULL);
}

static int reopen(void)
{
	ledger_close(ledger);
	ledger = NULL;
	return ledger_open(dirfd, NAME, &ledger, why);
}

static int load_only(void)
{
	struct content content;

	return load(&content);
}

enum step {
	OPEN,
	COMPLETE_ONE,
	COMPLETE_MORE,
	SYNC_COMPLETE,
	MAKE_DURABLE,
	SYNC_DURABLE,
	COVER,
	REVOKE,
	SYNC_REVOKED,
	MARK_BOOT,
	REOPEN,
	LOAD,
	LAST_DURABLE,
	SYNC_LAST,
	STEPS,
};

static int take(enum step step)
{
	switch (step) {
	case COMPLETE_ONE:
		return put_range(0, 1, LEDGER_COMPLETE);
	case COMPLETE_MORE:
		return put_range(1, 5, LEDGER_COMPLETE);
	case MAKE_DURABLE:
		return put_range(0, 5, LEDGER_DURABLE);
	case COVER:
		return ledger_put_coverage(ledger, &some_coverage);
	case REVOKE:
		return revoke_first();
	case MARK_BOOT:
		return ledger_mark_boot(ledger);
	case OPEN:
	case REOPEN:
		return reopen();
	case LOAD:
		return load_only();
	case LAST_DURABLE:
		return put_range(7, 8, LEDGER_DURABLE);
	default:
		return ledger_sync(ledger);
	}
}

struct state {
	struct content content;
	bool rebooted;
};

/* What a step does to the state that is remembered. */
static void imagine(struct state *state, enum step step)
{
	struct content *content = &state->content;
	unsigned first = step == LAST_DURABLE ? 7 : step == COMPLETE_MORE;
	unsigned end = step == LAST_DURABLE                            ? 8
		       : step == COMPLETE_ONE                          ? 1
		       : step == COMPLETE_MORE || step == MAKE_DURABLE ? 5
								       : first;

	for (unsigned i = first; i < end; i++)
		content->rows[i] =
			receipt_row(i, step <= COMPLETE_MORE ? LEDGER_COMPLETE
							     : LEDGER_DURABLE);
	if (step == REVOKE) {
		content->rows[0] = empty_row(0);
		content->rows[0].generation = 1;
	}
	if (step == COVER) {
		content->coverages = 1;
		content->coverage = some_coverage;
		memcpy(content->runs, some_runs, sizeof(some_runs));
	}
	if (step == MARK_BOOT)
		state->rebooted = false;
}

/* The state after all steps before @end. */
static struct state state_before(unsigned end)
{
	struct state state = {.rebooted = true};

	state.content.count = SLOTS;
	for (unsigned i = 0; i < SLOTS; i++)
		state.content.rows[i] = empty_row(i);
	for (unsigned step = 0; step < end; step++)
		imagine(&state, (enum step)step);
	return state;
}

/* What the process that did the job tells the one that looks at it. */
struct told {
	unsigned done; /* steps that returned 0 */
	int err;       /* of the next one */
	int fired;
};

static struct told *told;

static bool is_state(unsigned end, const struct content *content)
{
	struct state state = state_before(end);

	return same_content(content, &state.content) &&
	       ledger_rebooted(ledger) == state.rebooted;
}

/* Do the job with its @n-th call failing; look at what is left of it. */
static void fail_call(int n, int error, bool for_ever, bool killed)
{
	struct content content;
	int status;
	pid_t pid;

	*told = (struct told){0};
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		faults_arm(n, error, for_ever);
		for (; told->done < STEPS; told->done++) {
			told->err = take((enum step)told->done);
			if (told->err)
				break;
		}
		if (!killed)
			ledger_close(ledger);
		told->fired = faults_disarm();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert(told->fired || !told->err);
	open_good();
	load_good(&content);
	ck_assert_msg(is_state(told->done, &content) ||
			      (told->err && told->err != -ENOSPC &&
				      is_state(told->done + 1, &content)),
		"call %d, %s: step %u said %d", n, strerror(error), told->done,
		told->err);
	close_now();
}

static void setup_job(void)
{
	ledger_setup();
	setenv("RMFS_BOOT_ID", "the-second", 1);
	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(told, MAP_FAILED);
}

/* Each call fails, once or from then on; the end is a close or a kill. */
START_TEST(any_failed_call_leaves_old_or_new)
{
	int error = _i & 1 ? ENOSPC : EIO, n = 0;
	char out[16];

	do {
		/* As before the first one. */
		ledger_remove(dirfd, NAME);
		setenv("RMFS_BOOT_ID", "the-first", 1);
		ck_assert_int_eq(create(NAME), 0);
		setenv("RMFS_BOOT_ID", "the-second", 1);
		fail_call(++n, error, _i & 2, _i & 4);
	} while (told->fired);
	ck_assert_int_gt(n, 50);
	unit_run(out, sizeof(out), "ls -A %s | wc -l", dir);
	ck_assert_str_eq(out, "2\n");
}
END_TEST

/* ---- tidying ------------------------------------------------------------- */

/* 600 commits are over half of the log. */
static void fill_log(void)
{
	for (int i = 0; i < 600; i++)
		ck_assert_int_eq(put_range(0, 5, LEDGER_DURABLE), 0);
}

/* Whatever fails while the log is copied home, nothing put before is lost. */
START_TEST(any_failed_call_of_tidy_loses_nothing)
{
	int n = 0;

	do {
		struct content content;
		int status;
		pid_t pid = fork();

		n++;
		if (!pid) {
			open_good();
			fill_log();
			faults_arm(n, _i ? ENOSPC : EIO, false);
			told->err = ledger_tidy(ledger);
			told->fired = faults_disarm();
			_exit(0);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_int_eq(status, 0);
		ck_assert(!told->err == !told->fired);
		open_good();
		load_good(&content);
		for (unsigned i = 0; i < 5; i++)
			ck_assert_int_eq(content.rows[i].state, LEDGER_DURABLE);
		close_now();
	} while (told->fired);
	ck_assert_int_gt(n, 4);
}
END_TEST

/* Tidying copies the log home when it is over half used, and not before. */
START_TEST(tidy_copies_when_half_full)
{
	struct stat before, after;

	open_good();
	ck_assert_int_eq(put_range(0, 5, LEDGER_DURABLE), 0);
	ck_assert_int_eq(stat(path_of(""), &before), 0);
	ck_assert_int_eq(ledger_tidy(ledger), 0);
	ck_assert_int_eq(stat(path_of(""), &after), 0);
	ck_assert_int_eq(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	fill_log();
	ck_assert_int_eq(ledger_tidy(ledger), 0);
	ck_assert_int_eq(stat(path_of(""), &after), 0);
	ck_assert(before.st_mtim.tv_sec != after.st_mtim.tv_sec ||
		  before.st_mtim.tv_nsec != after.st_mtim.tv_nsec);
}
END_TEST

/* ---- what is final, and what is not -------------------------------------- */

/* Every call says the first error, and nothing more is written. */
static void all_is_over(void)
{
	uint64_t before = disk_state();

	ck_assert_int_eq(faults_disarm(), 1);
	ck_assert_int_eq(ledger_error(ledger), -EIO);
	ck_assert_int_eq(put_range(1, 2, LEDGER_COMPLETE), -EIO);
	ck_assert_int_eq(ledger_put_coverage(ledger, &some_coverage), -EIO);
	ck_assert_int_eq(ledger_mark_boot(ledger), -EIO);
	ck_assert_int_eq(ledger_sync(ledger), -EIO);
	ck_assert_int_eq(ledger_tidy(ledger), -EIO);
	ck_assert_int_eq(load_only(), -EIO);
	close_now();
	ck_assert_uint_eq(disk_state(), before);
	open_good();
	ck_assert_int_eq(put_range(1, 2, LEDGER_COMPLETE), 0);
	ck_assert_int_eq(ledger_sync(ledger), 0);
}

/* After a failed sync, which Linux reports once, nothing is believed. */
START_TEST(failed_sync_is_final)
{
	open_good();
	ck_assert_int_eq(put_range(0, 1, LEDGER_COMPLETE), 0);
	faults_arm(1, EIO, false);
	faults.syncs_only = true;
	ck_assert_int_eq(ledger_sync(ledger), -EIO);
	all_is_over();
}
END_TEST

/* A sync that fails for want of space is no less final. */
START_TEST(failed_sync_on_full_disk_is_final)
{
	open_good();
	ck_assert_int_eq(put_range(0, 1, LEDGER_COMPLETE), 0);
	faults_arm(1, ENOSPC, false);
	faults.syncs_only = true;
	ck_assert_int_eq(ledger_sync(ledger), -EIO);
	all_is_over();
}
END_TEST

/* A commit that failed may yet surface: it is the last one. */
START_TEST(failed_write_is_final)
{
	open_good();
	faults_arm(1, EIO, false);
	faults.writes_only = true;
	ck_assert_int_eq(put_range(0, 1, LEDGER_COMPLETE), -EIO);
	all_is_over();
}
END_TEST

/* A sync with nothing new to sync asks the disk for nothing. */
START_TEST(sync_of_nothing_is_free)
{
	open_good();
	faults_arm(1, EIO, true);
	ck_assert_int_eq(ledger_sync(ledger), 0);
	ck_assert_int_eq(faults_disarm(), 0);
	ck_assert_int_eq(put_range(0, 1, LEDGER_COMPLETE), 0);
	ck_assert_int_eq(ledger_sync(ledger), 0);
	faults_arm(1, EIO, true);
	ck_assert_int_eq(ledger_sync(ledger), 0);
	ck_assert_int_eq(faults_disarm(), 0);
}
END_TEST

/* A log without room is emptied, and the row is put all the same. */
START_TEST(full_once_is_overcome)
{
	struct content content;

	open_good();
	ck_assert_int_eq(put_range(0, 1, LEDGER_COMPLETE), 0);
	faults_arm(1, ENOSPC, false);
	faults.writes_only = true;
	ck_assert_int_eq(put_range(1, 5, LEDGER_COMPLETE), 0);
	ck_assert_int_eq(faults_disarm(), 1);
	load_good(&content);
	ck_assert(is_state(COMPLETE_MORE + 1, &content));
}
END_TEST

/* A disk that stays full changes nothing, and is no error of the ledger. */
START_TEST(full_for_ever_changes_nothing)
{
	struct content content;

	open_good();
	ck_assert_int_eq(put_range(0, 1, LEDGER_COMPLETE), 0);
	faults_arm(1, ENOSPC, true);
	faults.writes_only = true;
	ck_assert_int_eq(put_range(1, 5, LEDGER_COMPLETE), -ENOSPC);
	ck_assert_int_ge(faults_disarm(), 2);
	ck_assert_int_eq(ledger_error(ledger), 0);
	load_good(&content);
	ck_assert(is_state(COMPLETE_ONE + 1, &content));
	ck_assert_int_eq(put_range(1, 5, LEDGER_COMPLETE), 0);
}
END_TEST

/* ---- making -------------------------------------------------------------- */

static unsigned files_there(void)
{
	char out[16];

	unit_run(out, sizeof(out), "ls -A %s | wc -l", dir);
	return (unsigned)strtoul(out, NULL, 10);
}

/* A ledger is made whole, or nothing of it is left. */
START_TEST(any_failed_call_of_create_leaves_nothing)
{
	int n = 0, fired, err;

	do {
		ledger_remove(dirfd, NAME);
		faults_arm(++n, _i & 1 ? ENOSPC : EIO, _i & 2);
		err = create(NAME);
		fired = faults_disarm();
		ck_assert(fired || !err);
		ck_assert_uint_eq(files_there(), err ? 0 : 2);
	} while (fired);
	ck_assert_int_gt(n, 50);
	open_good();
}
END_TEST

/* Made over another one, it is that one, or the new one, or none. */
START_TEST(any_failed_call_of_create_keeps_old_or_none)
{
	int n = 0, fired, err, kept = 0;

	do {
		struct ledger_header old;

		ck_assert_int_eq(create(NAME), 0);
		open_good();
		old = *ledger_header(ledger);
		close_now();
		faults_arm(++n, _i & 1 ? ENOSPC : EIO, _i & 2);
		err = create(NAME);
		fired = faults_disarm();
		ck_assert_uint_eq(files_there(), 2 * !!files_there());
		if (!files_there()) {
			ck_assert_int_ne(err, 0);
			continue;
		}
		open_good();
		ck_assert_int_eq(!memcmp(old.uuid, ledger_header(ledger)->uuid,
					 sizeof(old.uuid)),
			!!err);
		kept += !!err;
		ck_assert_int_eq(load_only(), 0);
		close_now();
	} while (fired);
	ck_assert_int_gt(kept, 10);
}
END_TEST

static void add(Suite *suite, const char *name, const TTest *const *tests)
{
	TCase *tcase = unit_case(suite, name);

	tcase_add_checked_fixture(tcase, setup_job, ledger_teardown);
	for (; *tests; tests++)
		tcase_add_test(tcase, *tests);
}

static void add_loop(Suite *suite, const char *name, const TTest *test, int end)
{
	TCase *tcase = unit_case(suite, name);

	tcase_add_checked_fixture(tcase, setup_job, ledger_teardown);
	tcase_add_loop_test(tcase, test, 0, end);
}

int main(void)
{
	const TTest *const ends[] = {
		tidy_copies_when_half_full,
		failed_sync_is_final,
		failed_sync_on_full_disk_is_final,
		failed_write_is_final,
		sync_of_nothing_is_free,
		full_once_is_overcome,
		full_for_ever_changes_nothing,
		NULL,
	};
	Suite *suite = suite_create("ledger_faults");

	add(suite, "ends", ends);
	add_loop(suite, "job", any_failed_call_leaves_old_or_new, 8);
	add_loop(suite, "tidy", any_failed_call_of_tidy_loses_nothing, 2);
	add_loop(suite, "create", any_failed_call_of_create_leaves_nothing, 4);
	add_loop(
		suite, "again", any_failed_call_of_create_keeps_old_or_none, 4);
	return unit_main(suite);
}
