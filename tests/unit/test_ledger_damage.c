/* Whatever becomes of a ledger's files, no receipt is shown that was not put.
 */
#include "ledger_fixture.h"

/* Receipts for some slots, and a coverage; all of it copied home. */
static void setup(void)
{
	static const struct ledger_run runs[] = {{0, 100}, {4096, 8192}};
	struct ledger_coverage coverage = {
		.id = 6, .size = 8000, .runs = runs, .count = 2};
	struct ledger_slot rows[] = {
		receipt_row(0, LEDGER_DURABLE),
		receipt_row(1, LEDGER_COMPLETE),
		receipt_row(7, LEDGER_DURABLE),
	};

	ledger_setup();
	open_good();
	put_good(rows, 3);
	ck_assert_int_eq(ledger_put_coverage(ledger, &coverage), 0);
	close_now();
}

/* It does not open, or does not load; @says is part of why. */
static void refused(int error, const char *says)
{
	struct content content;
	int err = ledger_open(dirfd, NAME, &ledger, why);

	if (!err)
		err = load(&content);
	ck_assert_msg(err == error, "%d, not %d: %s", err, error, why);
	ck_assert_msg(strstr(why, says) != NULL, "%s", why);
	ck_assert_ptr_eq(strstr(why, NAME ".rmfs "), why);
}

/* ---- one field after the other ------------------------------------------- */

static const char *const slot_fields[] = {
	"id",
	"length",
	"generation",
	"state",
	"crc32c",
	"completed_ns",
	"writer_uid",
	"writer_pid",
	"command",
	"uid",
	"gid",
	"mode",
	"mtime_ns",
	"sum",
};

enum { SLOT_FIELDS = sizeof(slot_fields) / sizeof(slot_fields[0]) };

/* A change of any field of a row is found, and the row is named. */
START_TEST(changed_slot_field_refused)
{
	const char *field = slot_fields[_i];

	sql(strcmp(field, "command")
			? "UPDATE slot SET %s = %s + 1 WHERE start = 8192"
			: "UPDATE slot SET %s = %s || '!' WHERE start = 8192",
		field, field);
	refused(-EILSEQ, "the slot at 8192 has a wrong checksum");
}
END_TEST

/* A row that moved to another place is found there. */
START_TEST(moved_row_refused)
{
	sql("UPDATE slot SET start = 65536 - 4096 WHERE start = 8192");
	refused(-EILSEQ, "the slot at 61440 has a wrong checksum");
}
END_TEST

static const char *const meta_changes[] = {
	"uuid = randomblob(16)",
	"uuid = randomblob(15)",
	"uuid = NULL",
	"size = size * 2",
	"slot_size = 0",
	"boot = 'another'",
	"file = file + 1",
	"sum = sum + 1",
};

enum { META_CHANGES = sizeof(meta_changes) / sizeof(meta_changes[0]) };

/* A change of any field of the header is found. */
START_TEST(changed_meta_field_refused)
{
	sql("UPDATE meta SET %s", meta_changes[_i]);
	refused(-EILSEQ, "its header has a wrong checksum");
}
END_TEST

/* A ledger has one header: not none, and not two. */
START_TEST(second_or_no_meta_refused)
{
	sql("INSERT INTO meta SELECT * FROM meta");
	refused(-EILSEQ, "header");
	sql("DELETE FROM meta");
	refused(-EILSEQ, "header");
}
END_TEST

static const char *const coverage_changes[] = {
	"id = 5",
	"id = 100",
	"generation = 1",
	"overrun = 1",
	"size = 8001",
	"runs = zeroblob(32)",
	"runs = substr(runs, 1, 16)",
	"runs = substr(runs, 1, 15)",
	"runs = zeroblob(16 * 5000)",
	"runs = NULL",
	"sum = sum + 1",
};

enum {
	COVERAGE_CHANGES =
		sizeof(coverage_changes) / sizeof(coverage_changes[0])
};

/* A change of any field of a coverage is found. */
START_TEST(changed_coverage_field_refused)
{
	sql("UPDATE coverage SET %s", coverage_changes[_i]);
	refused(-EILSEQ, "damaged coverage");
}
END_TEST

/* ---- rows with good checksums that cannot be ----------------------------- */

static void put_and_refuse(struct ledger_slot row, const char *says)
{
	struct content content;

	open_good();
	put_good(&row, 1);
	ck_assert_int_eq(load(&content), -EILSEQ);
	ck_assert_msg(strstr(why, says) != NULL, "%s", why);
}

/* A row that reaches into the next one is refused. */
START_TEST(overlapping_row_refused)
{
	struct ledger_slot row = empty_row(2);

	row.length++;
	put_and_refuse(row, "the slot at 24576 overlaps the one before it");
}
END_TEST

/* A row that ends behind the target is refused. */
START_TEST(row_past_end_refused)
{
	struct ledger_slot row = empty_row(7);

	row.length++;
	put_and_refuse(row, "the slot at 57344 lies past the end");
}
END_TEST

/* So is one that begins there. */
START_TEST(row_behind_end_refused)
{
	put_and_refuse(empty_row(8), "the slot at 65536 lies past the end");
}
END_TEST

/* A length that wraps around is past the end, too. */
START_TEST(row_with_huge_length_refused)
{
	struct ledger_slot row = empty_row(7);

	row.length = UINT64_MAX - 4095;
	put_and_refuse(row, "lies past the end");
}
END_TEST

/* Places and states that no slot has are refused. */
START_TEST(senseless_rows_refused)
{
	struct ledger_slot row = empty_row(7);

	row.id = 0;
	put_and_refuse(row, "makes no sense");
	close_now();
	row = empty_row(7);
	row.state = (enum ledger_state)3;
	put_and_refuse(row, "makes no sense");
	close_now();
	row = empty_row(7);
	row.length = 0;
	put_and_refuse(row, "makes no sense");
	close_now();
	row = empty_row(7);
	open_good();
	put_good(&row, 1);
	close_now();
	sql("DELETE FROM slot WHERE start = 57344");
	row.start += 512;
	row.length = 4096;
	put_and_refuse(row, "makes no sense");
}
END_TEST

/* Coverage past the slot's end, or in no order, is refused. */
START_TEST(senseless_coverage_refused)
{
	static const struct ledger_run past[] = {{0, SLOT_SIZE + 1}},
				       touching[] = {{0, 5}, {5, 9}},
				       empty[] = {{7, 7}};
	static const struct {
		const struct ledger_run *runs;
		size_t count;
	} bad[] = {{past, 1}, {touching, 2}, {empty, 1}};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ledger_coverage coverage = {
			.id = 6, .runs = bad[i].runs, .count = bad[i].count};

		open_good();
		ck_assert_int_eq(ledger_put_coverage(ledger, &coverage), 0);
		close_now();
		refused(-EILSEQ, "damaged coverage");
		close_now();
	}
}
END_TEST

/* ---- other files --------------------------------------------------------- */

static void copy(const char *from, const char *to)
{
	char out[256], source[256];

	snprintf(source, sizeof(source), "%s", path_of(from));
	ck_assert_int_eq(
		unit_run(out, sizeof(out), "cp %s %s", source, path_of(to)), 0);
}

/* Rows of another target's ledger do not pass, right as they are there. */
START_TEST(foreign_rows_refused)
{
	copy("", ".other");
	ck_assert_int_eq(create(NAME), 0);
	sql("ATTACH '%s' AS other; "
	    "REPLACE INTO slot SELECT * FROM other.slot WHERE start = 8192",
		path_of(".other"));
	refused(-EILSEQ, "the slot at 8192 has a wrong checksum");
}
END_TEST

/* Nor do all of a ledger's rows under another's header. */
START_TEST(foreign_meta_refused)
{
	copy("", ".other");
	ck_assert_int_eq(create(NAME), 0);
	sql("ATTACH '%s' AS other; DELETE FROM meta; "
	    "INSERT INTO meta SELECT * FROM other.meta",
		path_of(".other"));
	refused(-EILSEQ, "has a wrong checksum");
}
END_TEST

static void put_and_die(void)
{
	struct ledger_slot row = receipt_row(3, LEDGER_DURABLE);

	open_good();
	put_good(&row, 1);
}

/* A new ledger has nothing of the one before it, whose log was still full. */
START_TEST(create_over_full_log_starts_empty)
{
	struct content content;

	in_killed_process(put_and_die);
	ck_assert_int_eq(create(NAME), 0);
	open_good();
	load_good(&content);
	ck_assert_uint_eq(content.count, SLOTS);
	for (unsigned i = 0; i < SLOTS; i++)
		ck_assert_int_eq(content.rows[i].state, LEDGER_EMPTY);
}
END_TEST

/* The log of another ledger, put beside a new one by force, does not pass. */
START_TEST(stale_log_beside_new_ledger_refused)
{
	in_killed_process(put_and_die);
	copy("-wal", ".stale");
	ck_assert_int_eq(create(NAME), 0);
	copy(".stale", "-wal");
	refused(-EILSEQ, "has a wrong checksum");
}
END_TEST

/* A ledger that lost its end is refused, wherever the cut is. */
START_TEST(truncated_file_refused)
{
	struct stat st;
	int seen = 0;

	ck_assert_int_eq(stat(path_of(""), &st), 0);
	for (off_t size = st.st_size - 100; size > 0; size -= 1111, seen++) {
		/* The log still has these pages; not beside this one. */
		ck_assert_int_eq(truncate(path_of("-wal"), 0), 0);
		ck_assert_int_eq(truncate(path_of(""), size), 0);
		refused(-EILSEQ, "");
		close_now();
	}
	ck_assert_int_gt(seen, 10);
}
END_TEST

/* An empty file is no ledger, and stays empty. */
START_TEST(zero_length_file_refused)
{
	struct stat st;

	ck_assert_int_eq(truncate(path_of(""), 0), 0);
	refused(-EILSEQ, "is not a ledger");
	ck_assert_int_eq(stat(path_of(""), &st), 0);
	ck_assert_int_eq(st.st_size, 0);
}
END_TEST

/* Any other bytes are no ledger, and stay as they are. */
START_TEST(garbage_file_refused)
{
	static unsigned char bytes[20000];
	uint64_t seed = unit_seed(), before;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)unit_random(&seed);
	unit_write(path_of(""), bytes, sizeof(bytes));
	before = disk_state();
	refused(-EILSEQ, "is not a ledger");
	ck_assert_uint_eq(disk_state(), before);
}
END_TEST

/* A database of some other program is no ledger, and stays as it is. */
START_TEST(other_database_refused)
{
	uint64_t before;

	sql("UPDATE meta SET size = size; PRAGMA application_id = 1");
	before = disk_state();
	refused(-EILSEQ, "is not a ledger");
	ck_assert_uint_eq(disk_state(), before);
}
END_TEST

/* The ledger of a newer version is refused in so many words, and untouched. */
START_TEST(newer_version_untouched)
{
	uint64_t before;

	sql("UPDATE meta SET size = size; PRAGMA user_version = 2");
	before = disk_state();
	refused(-EPROTO,
		"was made by a newer rmfs (version 2, this one knows 1)");
	ck_assert_int_eq(
		ledger_open_readonly(dirfd, NAME, &ledger, why), -EPROTO);
	ck_assert_uint_eq(disk_state(), before);
}
END_TEST

/* A symbolic link as a ledger, or as its log, is not followed. */
START_TEST(symbolic_links_refused)
{
	char elsewhere[256];

	snprintf(elsewhere, sizeof(elsewhere), "%s", path_of(".elsewhere"));
	ck_assert_int_eq(rename(path_of(""), elsewhere), 0);
	ck_assert_int_eq(symlink(elsewhere, path_of("")), 0);
	refused(-EILSEQ, "is not a ledger");
	ck_assert_int_eq(unlink(path_of("")), 0);
	ck_assert_int_eq(rename(elsewhere, path_of("")), 0);
	ck_assert_int_eq(rename(path_of("-wal"), elsewhere), 0);
	ck_assert_int_eq(symlink(elsewhere, path_of("-wal")), 0);
	ck_assert_int_eq(ledger_open(dirfd, NAME, &ledger, why), -ELOOP);
}
END_TEST

/* A folder as a ledger is refused. */
START_TEST(folder_refused)
{
	ck_assert_int_eq(unlink(path_of("")), 0);
	ck_assert_int_eq(mkdir(path_of(""), 0755), 0);
	refused(-EILSEQ, "is not a ledger");
}
END_TEST

/* A page that forgets its last row is found, though all others are right. */
START_TEST(forgotten_row_refused)
{
	/* The third page; its header's cell count (SQLite file format, 1.6). */
	const off_t cells = 2 * 4096 + 4;
	unsigned char byte;
	int fd = open(path_of(""), O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, &byte, 1, cells), 1);
	ck_assert_uint_eq(byte, SLOTS);
	byte--;
	ck_assert_int_eq(pwrite(fd, &byte, 1, cells), 1);
	close(fd);
	/* The log would heal it. */
	ck_assert_int_eq(truncate(path_of("-wal"), 0), 0);
	refused(-EILSEQ, "is damaged");
}
END_TEST

/* A table that is gone or has other columns is damage, not a crash. */
START_TEST(other_schema_refused)
{
	sql("UPDATE meta SET size = size; ALTER TABLE slot DROP COLUMN gid");
	refused(-EILSEQ, "is damaged");
	sql("UPDATE meta SET size = size; DROP TABLE coverage");
	refused(-EILSEQ, "is damaged");
}
END_TEST

/* A trigger that somebody left in the schema does not run. */
START_TEST(trigger_does_not_run)
{
	struct ledger_slot row = receipt_row(2, LEDGER_COMPLETE);
	struct content content;

	sql("UPDATE meta SET size = size; "
	    "CREATE TRIGGER evil AFTER INSERT ON slot "
	    "BEGIN DELETE FROM slot; END");
	open_good();
	put_good(&row, 1);
	load_good(&content);
	ck_assert_uint_eq(content.count, SLOTS);
}
END_TEST

/* Somebody with the sqlite3 program takes the log away; it is made anew. */
START_TEST(log_is_made_anew)
{
	struct stat st;
	struct content content;

	sql("UPDATE meta SET size = size");
	ck_assert_int_ne(access(path_of("-wal"), F_OK), 0);
	open_good();
	load_good(&content);
	ck_assert_int_eq(stat(path_of("-wal"), &st), 0);
	ck_assert_int_eq(st.st_size, 4 << 20);
	ck_assert_int_ge(st.st_blocks, (4 << 20) / 512);
}
END_TEST

/* ---- bit rot ------------------------------------------------------------- */

enum { FLIPS = 1500 };

static void restore_flipped(int fd, off_t at, unsigned char byte)
{
	ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
}

/* Any bit may flip: the ledger is refused, or says exactly what it said. */
START_TEST(flipped_bit_refused_or_harmless)
{
	uint64_t seed = unit_seed();
	struct content good, content;
	struct stat st;
	int caught = 0;

	ck_assert_int_eq(unlink(path_of("-wal")), 0);
	ck_assert_int_eq(ledger_open_readonly(dirfd, NAME, &ledger, why), 0);
	load_good(&good);
	close_now();
	int fd = open(path_of(""), O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	for (int i = 0; i < FLIPS; i++) {
		off_t at = (off_t)(unit_random(&seed) % (uint64_t)st.st_size);
		int bit = (int)(unit_random(&seed) % 8);
		unsigned char byte, flipped;
		int err;

		ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
		flipped = (unsigned char)(byte ^ 1 << bit);
		ck_assert_int_eq(pwrite(fd, &flipped, 1, at), 1);
		err = ledger_open_readonly(dirfd, NAME, &ledger, why);
		if (!err)
			err = load(&content);
		close_now();
		ck_assert_msg(
			err ? *why != '\0' : same_content(&good, &content),
			"bit %d of byte %lld: %d", bit, (long long)at, err);
		caught += err != 0;
		restore_flipped(fd, at, byte);
	}
	close(fd);
	printf("%d of %d flips refused\n", caught, FLIPS);
	ck_assert_int_gt(caught, FLIPS / 50);
}
END_TEST

static void add(Suite *suite, const char *name, const TTest *const *tests)
{
	TCase *tcase = unit_case(suite, name);

	tcase_add_checked_fixture(tcase, setup, ledger_teardown);
	for (; *tests; tests++)
		tcase_add_test(tcase, *tests);
}

int main(void)
{
	const TTest *const rows[] = {
		moved_row_refused,
		second_or_no_meta_refused,
		overlapping_row_refused,
		row_past_end_refused,
		row_behind_end_refused,
		row_with_huge_length_refused,
		senseless_rows_refused,
		senseless_coverage_refused,
		NULL,
	};
	const TTest *const files[] = {
		foreign_rows_refused,
		foreign_meta_refused,
		create_over_full_log_starts_empty,
		stale_log_beside_new_ledger_refused,
		truncated_file_refused,
		zero_length_file_refused,
		garbage_file_refused,
		other_database_refused,
		newer_version_untouched,
		symbolic_links_refused,
		folder_refused,
		forgotten_row_refused,
		other_schema_refused,
		trigger_does_not_run,
		log_is_made_anew,
		flipped_bit_refused_or_harmless,
		NULL,
	};
	Suite *suite = suite_create("ledger_damage");
	TCase *fields = unit_case(suite, "fields");

	tcase_add_checked_fixture(fields, setup, ledger_teardown);
	tcase_add_loop_test(fields, changed_slot_field_refused, 0, SLOT_FIELDS);
	tcase_add_loop_test(
		fields, changed_meta_field_refused, 0, META_CHANGES);
	tcase_add_loop_test(
		fields, changed_coverage_field_refused, 0, COVERAGE_CHANGES);
	add(suite, "rows", rows);
	add(suite, "files", files);
	return unit_main(suite);
}
