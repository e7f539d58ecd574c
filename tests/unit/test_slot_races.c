/*
 * Many threads at few slots, with a real ledger behind them: whatever they do,
 * a receipt that is seen is true.
 */
#include <errno.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <ranged_mmap.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/crc32c.h"
#include "target/parking.h"
#include "target/store.h"
#include "target/target.h"
#include "unit.h"

enum {
	SLOT = 8192,
	SLOTS = 4,
	WRITERS = 6,
	CHECKERS = 2,
	CYCLES = 6000,
};

static struct store *store;
static struct target *target;
static uint64_t seed;
static atomic_bool over;
static atomic_long checked, given;

static const struct who alice = {.uid = 1, .pid = 11, .command = "alice"};

static void setup(void)
{
	struct target_spec spec = {
		.name = "big",
		.size = (uint64_t)SLOT * SLOTS,
		.slot_size = SLOT,
	};
	const char *folder = unit_folder();
	char why[300];
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_eq(target_create(fd, &spec, why, sizeof(why)), 0);
	close(fd);
	ck_assert_int_eq(store_open(folder, &store), 0);
	ck_assert_int_eq(store_find(store, "big", &target), 0);
	seed = unit_seed();
}

static void teardown(void)
{
	store_close(store);
}

/* ---- a writer ----------------------------------------------------------- */

/* An open that waits for its turn as a parked request does. */
struct turn {
	struct waiter waiter;
	pthread_mutex_t lock;
	pthread_cond_t woken;
	int result; /* 99: not yet */
};

static void wake(struct waiter *waiter, int err)
{
	struct turn *turn = (struct turn *)waiter;

	pthread_mutex_lock(&turn->lock);
	turn->result = err;
	pthread_cond_signal(&turn->woken);
	pthread_mutex_unlock(&turn->lock);
}

static int wait_turn(struct turn *turn)
{
	int result;

	pthread_mutex_lock(&turn->lock);
	while (turn->result == 99)
		pthread_cond_wait(&turn->woken, &turn->lock);
	result = turn->result;
	turn->result = 99;
	pthread_mutex_unlock(&turn->lock);
	return result;
}

static struct writer *open_slot(struct slot *slot, bool empty)
{
	struct turn turn = {
		.waiter.wake = wake,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.woken = PTHREAD_COND_INITIALIZER,
		.result = 99,
	};
	struct writer *writer = NULL;
	int err;

	do {
		err = slot_open(
			target, slot, &alice, empty, &turn.waiter, &writer);
		if (err == SLOT_PARKED)
			err = wait_turn(&turn) ? -EBUSY : SLOT_PARKED;
		if (err == SLOT_BLOCKED &&
			slot_unblock(target, slot, NULL, true))
			err = -EIO;
	} while (err == SLOT_PARKED || err == SLOT_BLOCKED);
	return err ? NULL : writer;
}

static void write_some(struct writer *writer, uint64_t *random)
{
	char block[3000];
	uint64_t offset = unit_random(random) % SLOT;
	size_t len = unit_random(random) % sizeof(block) + 1;

	memset(block, (int)unit_random(random), sizeof(block));
	if (offset + len > SLOT)
		len = SLOT - offset;
	while (slot_write(writer, block, len, offset) == SLOT_BLOCKED)
		(void)slot_unblock(target, writer->slot, writer, false);
}

static void write_all(struct writer *writer, uint64_t *random)
{
	char block[1024];

	memset(block, (int)unit_random(random), sizeof(block));
	for (uint64_t at = 0; at < SLOT; at += sizeof(block))
		while (slot_write(writer, block, sizeof(block), at) ==
			SLOT_BLOCKED)
			(void)slot_unblock(target, writer->slot, writer, false);
}

static void truncate_some(struct writer *writer, uint64_t *random)
{
	uint64_t size = unit_random(random) % (SLOT + 1);

	while (slot_truncate(target, writer->slot, writer, size, NULL) ==
		SLOT_BLOCKED)
		(void)slot_unblock(target, writer->slot, writer, true);
}

static void flush(struct writer *writer)
{
	if (slot_flush(writer) == SLOT_UNSETTLED)
		(void)slot_settle(writer);
}

/* One handle, as fork and dup share it: this thread writes while that one's
 * close flushes. */
struct sharer {
	struct writer *writer;
	uint64_t random;
};

static void *write_shared(void *arg)
{
	struct sharer *sharer = arg;

	for (int i = 0; i < 8; i++)
		write_some(sharer->writer, &sharer->random);
	return NULL;
}

static void share(struct writer *writer, uint64_t *random)
{
	struct sharer sharer = {writer, unit_random(random)};
	pthread_t thread;

	if (pthread_create(&thread, NULL, write_shared, &sharer))
		return;
	for (int i = 0; i < 8; i++)
		flush(writer);
	pthread_join(thread, NULL);
}

static void one_cycle(struct slot *slot, uint64_t *random)
{
	struct writer *writer;

	if (unit_random(random) % 3 == 0) {
		(void)slot_revoke(target, slot);
		return;
	}
	writer = open_slot(slot, unit_random(random) % 2);
	if (!writer)
		return;
	write_all(writer, random);
	for (uint64_t n = unit_random(random) % 4; n; n--) {
		flush(writer);
		if (unit_random(random) % 4)
			write_some(writer, random);
		else
			truncate_some(writer, random);
	}
	if (unit_random(random) % 4 == 0)
		share(writer, random);
	flush(writer);
	if (slot_complete(target, slot))
		/* Relaxed: a number to print. */
		atomic_fetch_add_explicit(&given, 1, memory_order_relaxed);
	slot_release(writer);
}

static void *write_loop(void *arg)
{
	uint64_t random = seed + (uintptr_t)arg;

	for (int i = 0; i < CYCLES; i++)
		one_cycle(target_slot(target, unit_random(&random) % SLOTS + 1),
			&random);
	return NULL;
}

/* ---- a checker ---------------------------------------------------------- */

/* Read by pread: the writers' stores are not ours to race with. */
static uint32_t sum_of(const struct slot *slot)
{
	char block[SLOT];

	if (pread(rmm_map_fd(target->map), block, SLOT, (off_t)slot->start) !=
		SLOT)
		abort();
	return crc32c(0, block, SLOT);
}

/*
 * A receipt that is the same before and after the bytes were read was true
 * meanwhile. Returns false if it lies.
 */
static bool check(struct slot *slot)
{
	struct slot_receipt before, after;
	uint32_t crc;

	if (!slot_receipt(target, slot, &before))
		return true;
	crc = sum_of(slot);
	if (!slot_receipt(target, slot, &after) ||
		after.state.changes != before.state.changes)
		return true;
	/* Relaxed: a number to print. */
	atomic_fetch_add_explicit(&checked, 1, memory_order_relaxed);
	return crc == before.state.crc && crc == after.state.crc;
}

static void *check_loop(void *arg)
{
	uint64_t random = seed + 1000 + (uintptr_t)arg;

	/* Relaxed: the threads are joined before anything is concluded. */
	while (!atomic_load_explicit(&over, memory_order_relaxed))
		if (!check(target_slot(
			    target, unit_random(&random) % SLOTS + 1)))
			return "a false receipt";
	return NULL;
}

/* Whatever many writers do at once, no receipt that is seen is false. */
START_TEST(receipts_are_true_under_races)
{
	pthread_t writers[WRITERS], checkers[CHECKERS];
	void *lie;

	for (uintptr_t i = 0; i < CHECKERS; i++)
		ck_assert_int_eq(pthread_create(&checkers[i], NULL, check_loop,
					 (void *)i),
			0);
	for (uintptr_t i = 0; i < WRITERS; i++)
		ck_assert_int_eq(pthread_create(&writers[i], NULL, write_loop,
					 (void *)i),
			0);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	atomic_store(&over, true);
	for (int i = 0; i < CHECKERS; i++) {
		pthread_join(checkers[i], &lie);
		ck_assert_ptr_null(lie);
	}
	printf("%ld receipts given, %ld checked\n", (long)given, (long)checked);
	ck_assert_int_gt(given, 100);
	ck_assert_int_gt(checked, 100);
	for (uint64_t id = 1; id <= SLOTS; id++)
		ck_assert(check(target_slot(target, id)));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("slot_races");
	TCase *tcase = unit_case(suite, "races");

	tcase_set_timeout(tcase, 240);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, receipts_are_true_under_races);
	return unit_main(suite);
}
