/* rmfsctl recover: a new ledger, and not a byte of the data changed. */
#include <sqlite3.h>

#include "target_fixture.h"

/* ---- looking at the new ledger ------------------------------------------ */

struct found {
	struct ledger_slot rows[64];
	size_t count;
	struct ledger_header header;
};

static int keep_row(void *arg, const struct ledger_slot *row)
{
	struct found *found = arg;

	ck_assert_uint_lt(found->count, 64);
	found->rows[found->count++] = *row;
	return 0;
}

static int no_coverage(void *arg, const struct ledger_coverage *coverage)
{
	(void)arg;
	ck_abort_msg("coverage of slot %llu", (unsigned long long)coverage->id);
	return 0;
}

static void look(struct found *found)
{
	int folder;
	struct ledger *ledger = open_ledger(&folder);

	found->count = 0;
	found->header = *ledger_header(ledger);
	ck_assert_msg(
		ledger_load(ledger, keep_row, no_coverage, found, why) == 0,
		"%s", why);
	ledger_close(ledger);
	close(folder);
}

/* The slots are cut as at first; each is empty, or each has a receipt. */
static void assert_slots(const struct found *found, bool complete)
{
	ck_assert_uint_eq(found->header.size, SIZE);
	ck_assert_uint_eq(found->header.slot_size, SLOT);
	ck_assert_uint_eq(found->count, SLOTS);
	for (int i = 0; i < SLOTS; i++) {
		const struct ledger_slot *row = &found->rows[i];

		ck_assert_uint_eq(row->id, (uint64_t)i + 1);
		ck_assert_uint_eq(row->start, (uint64_t)i * SLOT);
		ck_assert_uint_eq(row->length, slot_length(i));
		ck_assert_int_eq(
			row->state, complete ? LEDGER_COMPLETE : LEDGER_EMPTY);
		ck_assert_uint_eq(row->crc, complete ? sum_of(i) : 0);
		ck_assert_uint_eq(row->mode, 0644);
	}
}

static void alter(const char *sql)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open("src/big.rmfs", &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

/* The data's bytes and time are what they were. */
static void assert_same_data(const struct disk *before)
{
	struct disk now = disk_now();

	ck_assert_uint_eq(now.sums[0], before->sums[0]);
	ck_assert_mem_eq(
		&now.data_time, &before->data_time, sizeof(now.data_time));
}

/* ---- what is healed ----------------------------------------------------- */

/* A lost ledger comes back with all slots empty, once the cut is said. */
START_TEST(recover_of_lost_ledger_empties_all)
{
	struct found found;
	struct disk before = disk_now();

	give(0, LEDGER_DURABLE);
	ck_assert_int_eq(unlink("src/big.rmfs"), 0);
	says("recover --slot-size 64K src/big",
		"src/big: new ledger, 4 slots of 64 KiB, all to be written "
		"again\n");
	look(&found);
	assert_slots(&found, false);
	assert_same_data(&before);
}
END_TEST

/* --trust-data gives every slot a receipt that is true, and says whose. */
START_TEST(recover_with_trust_adopts_the_bytes)
{
	struct found found;
	struct disk before = disk_now();

	ck_assert_int_eq(unlink("src/big.rmfs"), 0);
	says("recover --trust-data -S 64K src/big",
		"src/big: new ledger, 4 slots of 64 KiB, all complete, with "
		"the bytes as they are\n");
	look(&found);
	assert_slots(&found, true);
	for (int i = 0; i < SLOTS; i++) {
		ck_assert_str_eq(found.rows[i].command, "recover");
		ck_assert_int_gt(found.rows[i].writer_pid, 1);
		ck_assert_uint_eq(found.rows[i].writer_uid, getuid());
		ck_assert_int_gt(found.rows[i].completed_ns / 1000000000,
			time(NULL) - 60);
	}
	assert_same_data(&before);
	ck_assert_msg(run("verify --all src/big") == 0, "%s", out);
}
END_TEST

/* Garbage, a cut file, an empty one: whatever is there in its place goes. */
START_TEST(recover_of_damaged_file_replaces_it)
{
	struct found found;

	for (int way = 0; way < 4; way++) {
		if (way == 0)
			unit_write("src/big.rmfs", bytes, 9000);
		else if (way == 1)
			ck_assert_int_eq(truncate("src/big.rmfs", 4096), 0);
		else
			unit_write("src/big.rmfs", "", 0);
		if (way == 3)
			unit_write("src/big.rmfs-wal", bytes, 9000);
		ck_assert_msg(run("recover -S 64K src/big") == 0, "%s", out);
		look(&found);
		assert_slots(&found, false);
	}
}
END_TEST

/* With a damaged row the ledger still knows how the target was cut. */
START_TEST(recover_of_damaged_row_takes_its_slot_size)
{
	struct found found;

	alter("UPDATE slot SET crc32c = 1 WHERE id = 2");
	refused("status src/big", 1, "is damaged");
	ck_assert_msg(run("recover -t src/big") == 0, "%s", out);
	look(&found);
	assert_slots(&found, true);
}
END_TEST

/* The same when the file has another size by now; its word goes before. */
START_TEST(recover_of_resized_file_cuts_what_is_there)
{
	struct found found;

	ck_assert_int_eq(truncate("src/big", SLOT + 1), 0);
	says("recover src/big",
		"src/big: new ledger, 2 slots of 64 KiB, all to be written "
		"again\n");
	look(&found);
	ck_assert_uint_eq(found.header.size, SLOT + 1);
	ck_assert_uint_eq(found.count, 2);
	ck_assert_uint_eq(found.rows[1].length, 1);
	ck_assert_int_eq(truncate("src/big", SIZE), 0);
	ck_assert_msg(run("recover -S 100K src/big") == 0, "%s", out);
	look(&found);
	ck_assert_uint_eq(found.header.slot_size, 100 << 10);
}
END_TEST

/* Slot sizes are those of create: rounded up, larger than all, none. */
START_TEST(recover_rounds_slot_sizes_as_create_does)
{
	says("recover -f -S 5000 src/big", "src/big: new ledger, 25 slots of 8 "
					   "KiB, all to be written again\n");
	says("recover -f -S 1G src/big", "src/big: new ledger, 1 slot of 1 GiB,"
					 " all to be written again\n");
	says("recover -f -t -S 0 src/big",
		"src/big: new ledger, no slots yet\n");
}
END_TEST

/* ---- what is refused ---------------------------------------------------- */

/* A good ledger goes only by force. */
START_TEST(recover_of_good_ledger_needs_force)
{
	struct found found;
	struct disk before;

	give(1, LEDGER_DURABLE);
	before = disk_now();
	refused("recover src/big", 1, "is good, with 1 receipts: --force");
	refused("recover -t -S 64K src/big", 1, "--force");
	assert_untouched(&before);
	ck_assert_msg(run("recover --force src/big") == 0, "%s", out);
	look(&found);
	assert_slots(&found, false);
}
END_TEST

/* One of a newer version is not damaged: it stays, but for force. */
START_TEST(recover_of_newer_ledger_needs_force)
{
	struct disk before;

	alter("PRAGMA user_version=99");
	before = disk_now();
	refused("recover -S 64K src/big", 1, "newer rmfs");
	assert_untouched(&before);
	ck_assert_msg(run("recover -f -S 64K src/big") == 0, "%s", out);
}
END_TEST

/* Nobody knows how a target was cut whose ledger cannot tell. */
START_TEST(recover_without_slot_size_is_refused)
{
	struct disk before;

	unit_write("src/big.rmfs", "garbage", 7);
	before = disk_now();
	refused("recover src/big", 1, "--slot-size");
	refused("recover --trust-data --force src/big", 1, "--slot-size");
	refused("recover -S 64X src/big", 2, "64X");
	refused("recover -S", 2, "value is missing");
	assert_untouched(&before);
}
END_TEST

/* While an rmfs has the target, or another rmfsctl looks at it, it waits. */
START_TEST(recover_of_locked_file_is_refused)
{
	struct disk before;
	int fd = lock_target();

	ck_assert_int_eq(unlink("src/big.rmfs"), 0);
	before = disk_now();
	refused("recover -S 64K src/big", 1, "locked");
	ck_assert_int_eq(flock(fd, LOCK_SH), 0);
	refused("recover -S 64K src/big", 1, "locked");
	assert_untouched(&before);
	close(fd);
	ck_assert_int_eq(run("recover -S 64K src/big"), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rmfsctl recover");
	TCase *heal = unit_case(suite, "heal");
	TCase *refuse = unit_case(suite, "refuse");

	tcase_add_checked_fixture(heal, setup_target, NULL);
	tcase_add_checked_fixture(refuse, setup_target, NULL);
	tcase_add_test(heal, recover_of_lost_ledger_empties_all);
	tcase_add_test(heal, recover_with_trust_adopts_the_bytes);
	tcase_add_test(heal, recover_of_damaged_file_replaces_it);
	tcase_add_test(heal, recover_of_damaged_row_takes_its_slot_size);
	tcase_add_test(heal, recover_of_resized_file_cuts_what_is_there);
	tcase_add_test(heal, recover_rounds_slot_sizes_as_create_does);
	tcase_add_test(refuse, recover_of_good_ledger_needs_force);
	tcase_add_test(refuse, recover_of_newer_ledger_needs_force);
	tcase_add_test(refuse, recover_without_slot_size_is_refused);
	tcase_add_test(refuse, recover_of_locked_file_is_refused);
	return unit_main(suite);
}
