/*
 * What is there again after the daemon was killed, or the machine was: each
 * life of the daemon is a process that ends by SIGKILL, on one real folder.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "base/crc32c.h"
#include "target/durability.h"
#include "target/parking.h"
#include "target/store.h"
#include "target/target.h"
#include "unit.h"

enum { SLOT = 64 * 1024, LAST = 5000, SIZE = SLOT + LAST };

static char folder[128];
static char bytes[SIZE];
static struct store *store;
static struct target *target;
static struct slot *slot;

static const struct who alice = {.uid = 1, .pid = 11, .command = "alice"};

static void setup(void)
{
	struct target_spec spec = {
		.name = "big",
		.size = SIZE,
		.slot_size = SLOT,
	};
	char why[300];
	int fd;

	snprintf(folder, sizeof(folder), "%s", unit_folder());
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(target_create(fd, &spec, why, sizeof(why)), 0);
	close(fd);
	for (int i = 0; i < SIZE; i++)
		bytes[i] = (char)(i * 7 + i / 251);
	setenv("RMFS_BOOT_ID", "first", 1);
}

/* ---- a life of the daemon ----------------------------------------------- */

/* In the child every failure ends it with another status than SIGKILL. */
#define must(condition)                                                    \
	do {                                                               \
		if (!(condition)) {                                        \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, \
				#condition);                               \
			_exit(1);                                          \
		}                                                          \
	} while (0)

static void start(void)
{
	must(store_open(folder, &store) == 0);
	must(store_scan(store) == 0);
	must(store_find(store, "big", &target) == 0);
	slot = target_slot(target, 1);
}

/* Do this in a daemon that is then killed; with @slots, when it has some. */
static void live_with(bool slots, void (*life)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		start();
		must(slots == (slot != NULL));
		life();
		kill(getpid(), SIGKILL);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void live(void (*life)(void))
{
	live_with(true, life);
}

static void reboot(void)
{
	setenv("RMFS_BOOT_ID", "second", 1);
}

static void never(struct waiter *waiter, int err)
{
	(void)waiter;
	(void)err;
	_exit(2);
}

static struct writer *open_slot(bool empty)
{
	struct waiter waiter = {.wake = never};
	struct writer *writer;
	int err;

	while ((err = slot_open(target, slot, &alice, empty, &waiter,
			&writer)) == SLOT_BLOCKED)
		must(slot_unblock(target, slot, NULL, true) == 0);
	must(err == 0);
	return writer;
}

static void put(struct writer *writer, uint64_t offset, size_t len)
{
	ssize_t n;

	while ((n = slot_write(writer, bytes + offset, len, offset)) ==
		SLOT_BLOCKED)
		must(slot_unblock(target, slot, writer, false) == 0);
	must(n == (ssize_t)len);
}

static void flush(struct writer *writer)
{
	if (slot_flush(writer) == SLOT_UNSETTLED)
		must(slot_settle(writer) == 0);
}

static struct writer *fill(void)
{
	struct writer *writer = open_slot(true);

	put(writer, 0, SLOT);
	flush(writer);
	must(slot_complete(target, slot));
	return writer;
}

static void assert_true_receipt(void)
{
	struct slot_receipt receipt;

	must(slot_receipt(target, slot, &receipt));
	must(receipt.state.crc == crc32c(0, target->base, SLOT));
	must(receipt.state.crc == crc32c(0, bytes, SLOT));
	must(!strcmp(receipt.receipt.who.command, "alice"));
}

static void assert_empty(void)
{
	must(!slot_complete(target, slot));
	must(coverage_bytes(&slot->cover) == 0);
	must(slot->size == 0);
}

struct durable {
	struct durable_waiter waiter;
	atomic_int result; /* 99: not yet */
};

static void note(struct durable_waiter *waiter, int err)
{
	/* Sequential consistency: a test waits for nothing else. */
	atomic_store(&((struct durable *)waiter)->result, err);
}

static void wait_durable(void)
{
	struct durable durable = {{.done = note}, 99};

	durability_wait(target, slot, &durable.waiter);
	while (atomic_load(&durable.result) == 99)
		usleep(1000);
	must(atomic_load(&durable.result) == 0);
}

static bool is_durable(void)
{
	struct slot_receipt receipt;

	must(slot_receipt(target, slot, &receipt));
	return receipt.receipt.durable;
}

/* Change a byte of the file, as a lost write would. */
static void lose_byte(void)
{
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s/big", folder);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(pwrite(fd, "lost", 4, 1000), 4);
	close(fd);
}

/* ---- what the lives do -------------------------------------------------- */

static void life_fill(void)
{
	fill();
}

static void life_fill_durable(void)
{
	fill();
	wait_durable();
	must(is_durable());
}

static void life_true_receipt(void)
{
	assert_true_receipt();
}

static void life_true_durable(void)
{
	assert_true_receipt();
	must(is_durable());
}

static void life_empty(void)
{
	assert_empty();
}

/* A receipt that was there when the daemon was killed is there again. */
START_TEST(complete_receipt_survives_kill)
{
	live(life_fill);
	live(life_true_receipt);
}
END_TEST

/* What was complete becomes durable in the next life. */
static void life_becomes_durable(void)
{
	wait_durable();
	must(is_durable());
}

START_TEST(complete_receipt_becomes_durable_later)
{
	live(life_fill);
	live(life_becomes_durable);
	reboot();
	live(life_true_durable);
}
END_TEST

static void life_half(void)
{
	struct writer *writer = open_slot(true);

	put(writer, 0, 10000);
	put(writer, 20000, 5000);
	flush(writer);
}

static void life_finish(void)
{
	struct writer *writer;

	must(slot->cover.prefix == 10000);
	must(coverage_bytes(&slot->cover) == 15000);
	must(slot->size == 25000);
	writer = open_slot(false);
	put(writer, 10000, 10000);
	put(writer, 25000, SLOT - 25000);
	flush(writer);
	assert_true_receipt();
}

/* Coverage recorded at a close is there again, and the job goes on from it. */
START_TEST(partial_coverage_survives_kill)
{
	live(life_half);
	live(life_finish);
	live(life_true_receipt);
}
END_TEST

static void life_empty_half(void)
{
	open_slot(true);
}

/* Coverage that was taken away does not come back. */
START_TEST(emptied_coverage_stays_empty)
{
	live(life_half);
	live(life_empty_half);
	live(life_empty);
}
END_TEST

static void life_late_write(void)
{
	struct writer *writer = fill();

	put(writer, 100, 10);
}

/* After a late write that nobody closed there is no receipt. */
START_TEST(late_write_leaves_no_receipt)
{
	live(life_late_write);
	live(life_empty);
}
END_TEST

static void life_revoke(void)
{
	must(slot_revoke(target, slot) == 0);
}

/* Nor after it was revoked, also when it was durable. */
START_TEST(revoked_receipt_stays_revoked)
{
	live(life_fill_durable);
	live(life_revoke);
	live(life_empty);
	reboot();
	live(life_empty);
}
END_TEST

static void life_overrun(void)
{
	struct writer *writer = open_slot(true);

	put(writer, 0, SLOT);
	must(slot_write(writer, bytes, 1, SLOT) == -ENOSPC);
	flush(writer);
	must(!slot_complete(target, slot));
}

static void life_still_overrun(void)
{
	struct writer *writer;

	must(slot->overrun);
	writer = open_slot(false);
	flush(writer);
	must(!slot_complete(target, slot));
}

/* The overrun mark is remembered with the coverage. */
START_TEST(overrun_survives_kill)
{
	live(life_overrun);
	live(life_still_overrun);
}
END_TEST

static void life_chown(void)
{
	struct slot_attr attr = {
		.set_uid = true,
		.uid = 77,
		.set_mode = true,
		.mode = 0640,
	};

	slot_set_attr(target, slot, &attr);
	must(slot_save(target, slot) == 0);
}

static void life_owned(void)
{
	must(slot->uid == 77);
	must(slot->mode == 0640);
}

/* Owners and modes are remembered. */
START_TEST(owner_survives_kill)
{
	live(life_chown);
	live(life_owned);
}
END_TEST

/* After a reboot a complete receipt stands if the bytes are what it says, */
START_TEST(complete_receipt_survives_reboot_with_its_bytes)
{
	live(life_fill);
	reboot();
	live(life_true_receipt);
}
END_TEST

/* and if not, the slot is empty, for good. */
START_TEST(complete_receipt_falls_without_its_bytes)
{
	live(life_fill);
	lose_byte();
	reboot();
	live(life_empty);
	live(life_empty);
}
END_TEST

/* Partial coverage says nothing after a reboot. */
START_TEST(partial_coverage_falls_at_reboot)
{
	live(life_half);
	reboot();
	live(life_empty);
	live(life_empty);
}
END_TEST

/* A durable receipt is not read again: it is what was promised. */
START_TEST(durable_receipt_survives_reboot)
{
	live(life_fill_durable);
	reboot();
	live(life_true_durable);
}
END_TEST

static void shell(const char *command)
{
	char out[500];

	ck_assert_msg(
		!unit_run(out, sizeof(out), "cd %s && %s", folder, command),
		"%s", out);
}

static void life_read_only(void)
{
	must(target->ledger == NULL);
}

/* The ledger of another file, of the same size, is not believed. */
START_TEST(foreign_ledger_is_not_believed)
{
	live(life_fill_durable);
	shell("head -c 70536 /dev/zero >new && mv new big");
	live_with(false, life_read_only);
	shell("cmp -n 70536 big /dev/zero");
}
END_TEST

static void life_nothing(void)
{
}

/* Nor is one that has no receipt to tell by. */
START_TEST(foreign_ledger_without_receipts_is_not_believed)
{
	live(life_nothing);
	shell("cp big new && mv new big");
	live_with(false, life_read_only);
}
END_TEST

/* A copy of the file is believed, for its bytes confirm every receipt. */
START_TEST(copied_target_keeps_its_receipts)
{
	live(life_fill_durable);
	shell("cp big new && mv new big");
	live(life_true_durable);
	lose_byte();
	live(life_nothing);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("recovery");
	TCase *tcase = unit_case(suite, "recovery");

	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, complete_receipt_survives_kill);
	tcase_add_test(tcase, complete_receipt_becomes_durable_later);
	tcase_add_test(tcase, partial_coverage_survives_kill);
	tcase_add_test(tcase, emptied_coverage_stays_empty);
	tcase_add_test(tcase, late_write_leaves_no_receipt);
	tcase_add_test(tcase, revoked_receipt_stays_revoked);
	tcase_add_test(tcase, overrun_survives_kill);
	tcase_add_test(tcase, owner_survives_kill);
	tcase_add_test(tcase, complete_receipt_survives_reboot_with_its_bytes);
	tcase_add_test(tcase, complete_receipt_falls_without_its_bytes);
	tcase_add_test(tcase, partial_coverage_falls_at_reboot);
	tcase_add_test(tcase, durable_receipt_survives_reboot);
	tcase_add_test(tcase, foreign_ledger_is_not_believed);
	tcase_add_test(tcase, foreign_ledger_without_receipts_is_not_believed);
	tcase_add_test(tcase, copied_target_keeps_its_receipts);
	return unit_main(suite);
}
