/* A ledger for people to look into, and for reading only. */
#include "ledger_fixture.h"

static void put_and_die(void)
{
	struct ledger_slot row = receipt_row(3, LEDGER_COMPLETE);

	open_good();
	put_good(&row, 1);
}

/* The view shows a person what a receipt file shows. */
START_TEST(receipt_view_is_readable)
{
	struct ledger_slot rows[2] = {receipt_row(0, LEDGER_DURABLE),
		receipt_row(7, LEDGER_COMPLETE)};
	char out[512];

	rows[1].crc = 0x1f;
	rows[1].writer_uid = UINT32_MAX;
	open_good();
	put_good(rows, 2);
	close_now();
	if (unit_run(out, sizeof(out), "command -v sqlite3")) {
		printf("SKIP  receipt_view_is_readable: no sqlite3\n");
		return;
	}
	unit_run(out, sizeof(out), "sqlite3 %s 'select * from receipt'",
		path_of(""));
	ck_assert_str_eq(out,
		"00000-08191|0|8192|fedcba98|durable|0|"
		"2023-11-14T22:13:21.123456789Z|65534|4194304|writer 0\n"
		"57344-65535|57344|8192|0000001f|complete|0|"
		"2023-11-14T22:13:21.123456789Z|4294967295|4194304|writer 7\n");
}
END_TEST

static void open_readonly(void)
{
	int err = ledger_open_readonly(dirfd, NAME, &ledger, why);

	ck_assert_msg(err == 0, "%d %s", err, why);
}

/* Reading sees what a killed daemon left in its log, and changes nothing. */
START_TEST(readonly_after_kill_reads_log)
{
	struct ledger_slot row = receipt_row(3, LEDGER_COMPLETE);
	struct content content;
	uint64_t before;

	in_killed_process(put_and_die);
	before = disk_state();
	open_readonly();
	load_good(&content);
	ck_assert(same_row(&content.rows[3], &row));
	close_now();
	ck_assert_uint_eq(disk_state(), before);
}
END_TEST

static void read_as_nobody(void)
{
	struct content content;

	ck_assert_int_eq(setegid(65534), 0);
	ck_assert_int_eq(seteuid(65534), 0);
	ck_assert_int_eq(access(path_of(""), R_OK), 0);
	ck_assert_int_eq(ledger_open(dirfd, NAME, &ledger, why), -EACCES);
	open_readonly();
	load_good(&content);
	ck_assert_uint_eq(content.rows[3].state, LEDGER_COMPLETE);
}

/* Reading works for those who may only read. */
START_TEST(readonly_as_other_user_works)
{
	if (geteuid()) {
		printf("SKIP  readonly_as_other_user_works: not root\n");
		return;
	}
	in_killed_process(put_and_die);
	ck_assert_int_eq(chmod(unit_top, 0755), 0);
	in_killed_process(read_as_nobody);
}
END_TEST

/* A ledger whose log somebody has tidied away is read without making one. */
START_TEST(readonly_without_log_makes_none)
{
	struct content content;
	uint64_t before;

	ck_assert_int_eq(unlink(path_of("-wal")), 0);
	before = disk_state();
	open_readonly();
	load_good(&content);
	ck_assert_uint_eq(content.count, SLOTS);
	close_now();
	ck_assert_uint_eq(disk_state(), before);
}
END_TEST

/* What is open for reading only refuses everything else. */
START_TEST(readonly_refuses_changes)
{
	struct ledger_slot row = receipt_row(3, LEDGER_COMPLETE);
	struct ledger_coverage coverage = {.id = 2, .overrun = true};

	open_readonly();
	ck_assert_int_eq(ledger_put(ledger, &row, 1, NULL, NULL), -EROFS);
	ck_assert_int_eq(ledger_put_coverage(ledger, &coverage), -EROFS);
	ck_assert_int_eq(ledger_sync(ledger), -EROFS);
	ck_assert_int_eq(ledger_mark_boot(ledger), -EROFS);
	ck_assert_int_eq(ledger_error(ledger), 0);
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
	const TTest *const reading[] = {
		receipt_view_is_readable,
		readonly_after_kill_reads_log,
		readonly_as_other_user_works,
		readonly_without_log_makes_none,
		readonly_refuses_changes,
		NULL,
	};
	Suite *suite = suite_create("ledger_read");

	add(suite, "reading", reading);
	return unit_main(suite);
}
