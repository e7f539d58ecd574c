/* Room: on a disk with none left, and for a million slots. */
#include <sys/statvfs.h>

#include "ledger_fixture.h"

enum { MANY = 10000, MILLION = 1000000 };

static char mounted[128]; /* where the small disk is */
static char no_disk[512]; /* or why there is none */

struct sequence {
	uint64_t at, end;
};

static bool next_page(void *arg, struct ledger_slot *slot)
{
	struct sequence *sequence = arg;

	if (sequence->at == sequence->end)
		return false;
	*slot = (struct ledger_slot){
		.id = sequence->at + 1,
		.start = sequence->at * 4096,
		.length = 4096,
		.mode = 0600,
		.mtime_ns = MTIME,
	};
	sequence->at++;
	return true;
}

static int create_pages(uint64_t slots)
{
	struct ledger_header header = {.size = slots * 4096, .slot_size = 4096};
	struct sequence sequence = {0, slots};

	return ledger_create(dirfd, NAME, &header, next_page, &sequence);
}

static void make_receipt(struct ledger_slot *slot, uint64_t page)
{
	struct sequence sequence = {page, page + 1};

	next_page(&sequence, slot);
	slot->state = LEDGER_DURABLE;
	slot->generation = UINT32_MAX;
	slot->crc = UINT32_MAX - (uint32_t)page;
	slot->completed_ns = MTIME + (int64_t)page;
	slot->writer_uid = UINT32_MAX;
	slot->writer_pid = 4194304;
	memcpy(slot->command, "fifteen letters", 16);
}

/* Put a receipt into each of @pages, in batches, in random order. */
static void put_receipts(uint64_t pages, uint64_t seed)
{
	struct ledger_slot rows[LEDGER_BATCH_MAX];
	uint32_t *order = calloc(pages, sizeof(*order));
	size_t n;

	ck_assert_ptr_nonnull(order);
	for (uint64_t i = 0; i < pages; i++) {
		uint64_t j = unit_random(&seed) % (i + 1);

		order[i] = order[j];
		order[j] = (uint32_t)i;
	}
	for (uint64_t i = 0; i < pages; i += n) {
		for (n = 0; n < LEDGER_BATCH_MAX && i + n < pages; n++)
			make_receipt(&rows[n], order[i + n]);
		put_good(rows, n);
		ck_assert_int_eq(ledger_sync(ledger), 0);
		ck_assert_int_eq(ledger_tidy(ledger), 0);
	}
	free(order);
}

/* ---- no room ------------------------------------------------------------- */

/* Outside the tests: whatever becomes of one, the other one unmounts. */
static void mount_image(const char *make)
{
	const char *folder = unit_folder();

	*mounted = *no_disk = '\0';
	if (geteuid())
		snprintf(no_disk, sizeof(no_disk), "not root");
	else if (unit_run(no_disk, sizeof(no_disk),
			 "cd %s && truncate -s 320M image && %s image && "
			 "mkdir disk && mount -o loop image disk",
			 folder, make))
		no_disk[strcspn(no_disk, "\n")] = '\0';
	else
		snprintf(mounted, sizeof(mounted), "%s/disk", folder);
}

/* Is there no small disk to test on? Say so. */
static bool skipped(const char *test)
{
	if (!*mounted)
		printf("SKIP  %s: %s\n", test, no_disk);
	return !*mounted;
}

static void mount_ext4(void)
{
	mount_image("mkfs.ext4 -q -m 0");
}

static void mount_xfs(void)
{
	mount_image("mkfs.xfs -q");
}

static void unmount(void)
{
	char out[512];

	if (*mounted && unit_run(out, sizeof(out), "umount %s", mounted))
		printf("%s\n", out);
	*mounted = '\0';
}

static void setup_disk(void)
{
	if (!*mounted)
		return;
	snprintf(dir, sizeof(dir), "%s", mounted);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(dirfd, 0);
	unlinkat(dirfd, "filler", 0);
	ledger_remove(dirfd, NAME);
}

/* Write until there is no block left, whatever the file system holds back. */
static void fill_disk(void)
{
	static char zeros[1 << 20];
	struct statvfs st;

	for (int round = 0; round < 8; round++) {
		int fd = openat(dirfd, "filler",
			O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

		ck_assert_int_ge(fd, 0);
		for (size_t piece = sizeof(zeros); piece >= 512; piece /= 2)
			while (write(fd, zeros, piece) > 0)
				;
		(void)fsync(fd);
		close(fd);
		ck_assert_int_eq(statvfs(dir, &st), 0);
	}
	printf("%llu blocks free\n", (unsigned long long)st.f_bavail);
	ck_assert_uint_lt(st.f_bavail, 16);
}

/* Coverage of the first slots, in as many pieces as are remembered. */
static int put_much_coverage(void)
{
	static struct ledger_run runs[2000];
	int err = 0;

	for (unsigned i = 0; i < 2000; i++)
		runs[i] = (struct ledger_run){2 * i, 2 * i + 1};
	for (unsigned i = 1; i <= 200 && !err; i++) {
		struct ledger_coverage coverage = {
			.id = i, .runs = runs, .count = 2000};

		err = ledger_put_coverage(ledger, &coverage);
	}
	return err;
}

static void work_on_full_disk(void)
{
	uint64_t seed = unit_seed();

	open_good();
	ck_assert_int_eq(put_much_coverage(), -ENOSPC);
	ck_assert_int_eq(ledger_error(ledger), 0);
	put_receipts(MANY, seed);
	ck_assert_int_eq(put_much_coverage(), -ENOSPC);
	put_receipts(MANY, seed + 1);
}

static int count_durable(void *arg, const struct ledger_slot *slot)
{
	struct ledger_slot wanted = {0};

	make_receipt(&wanted, slot->start / 4096);
	*(unsigned *)arg += same_row(slot, &wanted);
	return 0;
}

static int ignore_coverage(void *arg, const struct ledger_coverage *coverage)
{
	(void)arg;
	(void)coverage;
	return 0;
}

/* With no block left, every receipt is put; kill -9 loses none of them. */
START_TEST(full_disk_takes_every_receipt)
{
	unsigned durable = 0;
	char out[64];
	int err;

	if (skipped("full_disk_takes_every_receipt"))
		return;
	ck_assert_int_eq(create_pages(MANY), 0);
	open_good();
	close_now();
	fill_disk();
	in_killed_process(work_on_full_disk);
	open_good();
	err = ledger_load(
		ledger, count_durable, ignore_coverage, &durable, why);
	ck_assert_msg(err == 0, "%d %s", err, why);
	ck_assert_uint_eq(durable, MANY);
	unit_run(out, sizeof(out), "ls %s | grep -c rmfs", dir);
	ck_assert_str_eq(out, "2\n");
}
END_TEST

/* There, no ledger can be made, and nothing is left of the attempt. */
START_TEST(full_disk_refuses_new_ledger)
{
	uint64_t before;

	if (skipped("full_disk_refuses_new_ledger"))
		return;
	fill_disk();
	before = disk_state();
	ck_assert_int_eq(create_pages(MANY), -ENOSPC);
	ck_assert_uint_eq(disk_state(), before);
}
END_TEST

/* A ledger whose log is gone says what it lacks. */
START_TEST(full_disk_without_log_says_so)
{
	if (skipped("full_disk_without_log_says_so"))
		return;
	ck_assert_int_eq(create_pages(MANY), 0);
	ck_assert_int_eq(unlinkat(dirfd, NAME ".rmfs-wal", 0), 0);
	fill_disk();
	ck_assert_int_eq(ledger_open(dirfd, NAME, &ledger, why), -ENOSPC);
	ck_assert_str_eq(
		why, NAME ".rmfs has no room for its log: 4 MiB are needed");
	ck_assert_int_eq(unlinkat(dirfd, "filler", 0), 0);
	open_good();
}
END_TEST

/* ---- a million slots ----------------------------------------------------- */

static double seconds(void)
{
	static struct timespec last;
	struct timespec now;
	double passed;

	clock_gettime(CLOCK_MONOTONIC, &now);
	passed = (double)(now.tv_sec - last.tv_sec) +
		 (double)(now.tv_nsec - last.tv_nsec) / 1e9;
	last = now;
	return passed;
}

static int count_slot(void *arg, const struct ledger_slot *slot)
{
	(void)slot;
	++*(uint64_t *)arg;
	return 0;
}

/* A million slots take seconds, and under 100 bytes each. */
START_TEST(million_slots_fit)
{
	struct ledger_slot row;
	uint64_t seen = 0;
	struct stat st;

	seconds();
	ck_assert_int_eq(create_pages(MILLION), 0);
	printf("create %.2f s, ", seconds());
	ck_assert_int_eq(stat(path_of(""), &st), 0);
	printf("%.1f bytes a slot, ", (double)st.st_size / MILLION);
	ck_assert_int_lt(st.st_size, 100 * (off_t)MILLION);
	seconds();
	open_good();
	ck_assert_int_eq(
		ledger_load(ledger, count_slot, ignore_coverage, &seen, why),
		0);
	printf("open and load %.2f s, ", seconds());
	ck_assert_uint_eq(seen, MILLION);
	for (unsigned i = 0; i < 10000; i++) {
		make_receipt(&row, i * 97);
		put_good(&row, 1);
	}
	printf("put one %.1f us\n", seconds() * 1e6 / 10000);
}
END_TEST

/* Receipts, as wide as can be, leave the database as large as it was made. */
START_TEST(widest_receipts_keep_size)
{
	struct stat before, after;

	ck_assert_int_eq(create_pages(MANY), 0);
	ck_assert_int_eq(stat(path_of(""), &before), 0);
	open_good();
	put_receipts(MANY, unit_seed());
	close_now();
	ck_assert_int_eq(stat(path_of(""), &after), 0);
	ck_assert_int_eq(before.st_size, after.st_size);
}
END_TEST

static void add_disk(Suite *suite, const char *name, void (*mount_it)(void))
{
	TCase *tcase = unit_case(suite, name);

	tcase_add_unchecked_fixture(tcase, mount_it, unmount);
	tcase_add_checked_fixture(tcase, setup_disk, ledger_teardown);
	tcase_add_test(tcase, full_disk_takes_every_receipt);
	tcase_add_test(tcase, full_disk_refuses_new_ledger);
	tcase_add_test(tcase, full_disk_without_log_says_so);
}

int main(void)
{
	Suite *suite = suite_create("ledger_space");
	TCase *large = unit_case(suite, "large");

	tcase_add_checked_fixture(large, ledger_setup, ledger_teardown);
	tcase_add_test(large, widest_receipts_keep_size);
	tcase_add_test(large, million_slots_fit);
	add_disk(suite, "ext4", mount_ext4);
	add_disk(suite, "xfs", mount_xfs);
	return unit_main(suite);
}
