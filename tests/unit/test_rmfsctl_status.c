/* rmfsctl status and verify where no rmfs serves the target. */
#include "target_fixture.h"

/* ---- status ------------------------------------------------------------- */

/* Remember that of the third slot 100 bytes were written, and too many. */
static void overrun_third(void)
{
	struct ledger_run run_of = {.start = 50, .end = 150};
	struct ledger_coverage coverage = {
		.id = 3,
		.generation = 1,
		.overrun = true,
		.size = 150,
		.runs = &run_of,
		.count = 1,
	};
	int folder;
	struct ledger *ledger = open_ledger(&folder);

	ck_assert_int_eq(ledger_put_coverage(ledger, &coverage), 0);
	ledger_close(ledger);
	close(folder);
}

/* The ledger's slots, receipts and coverage are counted, for people. */
START_TEST(status_counts_what_the_ledger_knows)
{
	give(0, LEDGER_DURABLE);
	give(3, LEDGER_COMPLETE);
	overrun_third();
	says("status src/big", "target          big\n"
			       "size            201608 (196.8 KiB)\n"
			       "slot_size       65536 (64 KiB)\n"
			       "slots           4\n"
			       "slots_complete  2\n"
			       "slots_durable   1\n"
			       "slots_overrun   1\n"
			       "bytes_covered   70636 (68.9 KiB)\n"
			       "ledger          good\n"
			       "mount           none\n");
}
END_TEST

/* --json says the same to programs. */
START_TEST(status_json_has_numbers_and_texts)
{
	static const char json[] = "{\n"
				   "  \"target\": \"big\",\n"
				   "  \"size\": 201608,\n"
				   "  \"slot_size\": 65536,\n"
				   "  \"slots\": 4,\n"
				   "  \"slots_complete\": 0,\n"
				   "  \"slots_durable\": 0,\n"
				   "  \"slots_overrun\": 0,\n"
				   "  \"bytes_covered\": 0,\n"
				   "  \"ledger\": \"good\",\n"
				   "  \"mount\": \"none\"\n"
				   "}\n";

	says("status --json src/big", json);
	says("status src/big -j", json);
}
END_TEST

/* A name stays a text, whatever it looks like. */
START_TEST(status_json_quotes_names)
{
	ck_assert_int_eq(run("create -s 4096 src/12"), 0);
	ck_assert_int_eq(run("status -j src/12"), 0);
	ck_assert_msg(strstr(out, "\"target\": \"12\","), "%s", out);
	ck_assert_int_eq(run("create -s 4096 'src/a \"b\\c'"), 0);
	ck_assert_int_eq(run("status -j 'src/a \"b\\c'"), 0);
	ck_assert_msg(strstr(out, "\"target\": \"a \\\"b\\\\c\","), "%s", out);
}
END_TEST

/* A file without a ledger is one that has no slots. */
START_TEST(status_without_ledger_says_none)
{
	unit_write("src/plain", "12345", 5);
	ck_assert_msg(run("status src/plain") == 0, "%s", out);
	ck_assert_msg(strstr(out, "ledger          none\n"), "%s", out);
	ck_assert_msg(strstr(out, "slots           0\n"), "%s", out);
	ck_assert_msg(strstr(out, "size            5\n"), "%s", out);
}
END_TEST

/* Receipts that were not durable before a restart are not vouched for. */
START_TEST(status_after_restart_warns)
{
	give(0, LEDGER_DURABLE);
	ck_assert_int_eq(run("status src/big"), 0);
	setenv("RMFS_BOOT_ID", "second", 1);
	ck_assert_int_eq(run("status src/big"), 0);
	ck_assert_ptr_null(strstr(out, "anew"));
	give(1, LEDGER_COMPLETE);
	give(2, LEDGER_COMPLETE);
	ck_assert_int_eq(run("status src/big"), 0);
	ck_assert_msg(strstr(out, "anew before 2 of the receipts"), "%s", out);
}
END_TEST

/* A damaged ledger is told, and so is one of another file. */
START_TEST(status_of_bad_ledger_tells_why)
{
	unit_write("src/other", "12345", 5);
	unit_write("src/other.rmfs", "garbage", 7);
	refused("status src/other", 1, "src/other: other.rmfs is not a ledger");
	ck_assert_int_eq(truncate("src/big", SIZE - 1), 0);
	refused("status src/big", 1,
		"big.rmfs is of a file of 201608 bytes, this one has 201607");
}
END_TEST

/* Looking changes nothing, neither the ledger nor its log. */
START_TEST(status_and_verify_change_nothing)
{
	struct disk before;

	give(0, LEDGER_COMPLETE);
	before = disk_now();
	ck_assert_int_eq(run("status src/big"), 0);
	ck_assert_int_eq(run("verify src/big"), 0);
	assert_untouched(&before);
}
END_TEST

/* A file that is locked is served; without its mount there is no answer. */
START_TEST(status_and_verify_of_locked_file_say_so)
{
	int fd = lock_target();

	refused("status src/big", 1, "locked");
	refused("verify src/big", 1, "locked");
	close(fd);
	ck_assert_int_eq(run("status src/big"), 0);
}
END_TEST

/* What can be no target is refused, by all the commands alike. */
START_TEST(file_that_is_no_target_is_refused)
{
	static const char *const commands[] = {"status", "verify", "recover"};
	char line[64];

	ck_assert_int_eq(mkfifo("src/fifo", 0600), 0);
	unit_write("src/empty", "", 0);
	unit_write("src/.hidden", "x", 1);
	ck_assert_int_eq(link("src/big", "src/twin"), 0);
	for (size_t i = 0; i < 3; i++) {
		const char *const files[][2] = {
			{"", "which file?"},
			{"src/big src/twin", "one FILE"},
			{"--nosuch src/big", "unknown option"},
			{"src/none", "No such file"},
			{"src", "is a folder"},
			{"src/fifo", "not a regular file"},
			{"src/empty", "is empty"},
			{"src/.hidden", "dot"},
			{"src/big.rmfs", "reserved"},
			{"src/twin", "more than one link"},
		};

		for (size_t j = 0; j < sizeof(files) / sizeof(files[0]); j++) {
			snprintf(line, sizeof(line), "%s %s", commands[i],
				files[j][0]);
			refused(line, j < 3 ? 2 : 1, files[j][1]);
		}
	}
}
END_TEST

/* ---- verify ------------------------------------------------------------- */

/* True receipts of either strength are found true. */
START_TEST(verify_of_true_receipts_succeeds)
{
	says("verify src/big",
		"big: 0 of 4 slots verified (0 B), 4 without a receipt\n");
	give(0, LEDGER_DURABLE);
	give(3, LEDGER_COMPLETE);
	says("verify src/big", "big: 2 of 4 slots verified (68.8 KiB), 2 "
			       "without a receipt\n");
}
END_TEST

/* One byte that is another is found wherever it lies, with both checksums. */
START_TEST(verify_of_changed_byte_names_the_slot)
{
	static const uint64_t places[] = {
		0, SLOT - 1, SLOT, 2 * SLOT + 777, SIZE - LAST, SIZE - 1};
	char line[200];

	for (int i = 0; i < SLOTS; i++)
		give(i, i % 2 ? LEDGER_COMPLETE : LEDGER_DURABLE);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		int slot = (int)(places[i] / SLOT);
		uint32_t sum = sum_of(slot);

		spoil(places[i]);
		bytes[places[i]] ^= 0xff;
		ck_assert_int_eq(run("verify src/big"), 1);
		snprintf(line, sizeof(line),
			"%06d-%06d: wrong: its %s receipt has crc32c %08x, its "
			"bytes have %08x\nbig: 3 of 4 slots verified",
			slot * SLOT, slot * SLOT + (int)slot_length(slot) - 1,
			slot % 2 ? "complete" : "durable", sum, sum_of(slot));
		ck_assert_msg(strncmp(out, line, strlen(line)) == 0, "%s", out);
		ck_assert_msg(strstr(out, ", 1 wrong\n"), "%s", out);
		bytes[places[i]] ^= 0xff;
		put_bytes();
	}
	ck_assert_int_eq(run("verify src/big"), 0);
}
END_TEST

/* With --all a slot without a receipt is a failure, too. */
START_TEST(verify_all_wants_every_slot)
{
	ck_assert_int_eq(run("verify --all src/big"), 1);
	for (int i = 0; i < SLOTS; i++) {
		ck_assert_int_eq(run("verify --all src/big"), 1);
		give(i, LEDGER_DURABLE);
	}
	says("verify --all src/big",
		"big: 4 of 4 slots verified (196.8 KiB)\n");
	ck_assert_int_eq(run("create -s 4096 src/uncut"), 0);
	ck_assert_int_eq(run("verify src/uncut"), 0);
	ck_assert_int_eq(run("verify --all src/uncut"), 1);
}
END_TEST

/* Without a ledger, or with a bad one, nothing can be verified. */
START_TEST(verify_without_good_ledger_fails)
{
	ck_assert_int_eq(truncate("src/big.rmfs", 100), 0);
	refused("verify src/big", 1, "big.rmfs");
	ck_assert_int_eq(unlink("src/big.rmfs"), 0);
	refused("verify src/big", 1, "has no ledger");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rmfsctl status");
	TCase *status = unit_case(suite, "status");
	TCase *verify = unit_case(suite, "verify");

	tcase_add_checked_fixture(status, setup_target, NULL);
	tcase_add_checked_fixture(verify, setup_target, NULL);
	tcase_add_test(status, status_counts_what_the_ledger_knows);
	tcase_add_test(status, status_json_has_numbers_and_texts);
	tcase_add_test(status, status_json_quotes_names);
	tcase_add_test(status, status_without_ledger_says_none);
	tcase_add_test(status, status_after_restart_warns);
	tcase_add_test(status, status_of_bad_ledger_tells_why);
	tcase_add_test(status, status_and_verify_change_nothing);
	tcase_add_test(status, status_and_verify_of_locked_file_say_so);
	tcase_add_test(status, file_that_is_no_target_is_refused);
	tcase_add_test(verify, verify_of_true_receipts_succeeds);
	tcase_add_test(verify, verify_of_changed_byte_names_the_slot);
	tcase_add_test(verify, verify_all_wants_every_slot);
	tcase_add_test(verify, verify_without_good_ledger_fails);
	return unit_main(suite);
}
