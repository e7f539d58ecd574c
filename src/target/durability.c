#include "target/durability.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/planted.h"
#include "base/thread.h"
#include "ledger/ledger.h"
#include "target/slot_state.h"

struct entry {
	struct target *target;
	struct slot *slot; /* NULL: only waits for what is queued */
	uint32_t generation;
	struct durable_waiter *waiter; /* may be NULL */
};

struct queue {
	struct entry *entries;
	size_t count;
	size_t room;
};

struct durability {
	pthread_mutex_t lock; /* innermost */
	pthread_cond_t changed;
	struct queue queue; /* lock */
	bool urgent;        /* lock; somebody waits */
	bool stopped;       /* lock */
	pthread_t thread;
};

/* ---- the queue -------------------------------------------------------------
 */

static int push(struct queue *queue, const struct entry *entry)
{
	if (queue->count == queue->room) {
		size_t room = queue->room ? queue->room * 2 : 64;
		void *grown =
			realloc(queue->entries, room * sizeof(*queue->entries));

		if (!grown)
			return -ENOMEM;
		queue->entries = grown;
		queue->room = room;
	}
	queue->entries[queue->count++] = *entry;
	return 0;
}

static int add(struct durability *durability, const struct entry *entry)
{
	int err;

	pthread_mutex_lock(&durability->lock);
	err = push(&durability->queue, entry);
	if (!err && entry->waiter)
		durability->urgent = true;
	/* The first one starts the clock; more only join it. */
	if (durability->urgent || durability->queue.count == 1)
		pthread_cond_signal(&durability->changed);
	pthread_mutex_unlock(&durability->lock);
	return err;
}

void durability_add(
	struct target *target, struct slot *slot, uint32_t generation)
{
	struct entry entry = {
		.target = target,
		.slot = slot,
		.generation = generation,
	};

	if (target->durability && target->ledger)
		(void)add(target->durability, &entry);
}

void durability_wait(
	struct target *target, struct slot *slot, struct durable_waiter *waiter)
{
	struct entry entry = {
		.target = target,
		.slot = slot,
		.waiter = waiter,
	};
	int err = 0;

	if (target->durability && target->ledger &&
		slot_awaits_durable(target, slot, &entry.generation)) {
		err = add(target->durability, &entry);
		if (!err)
			return;
	}
	waiter->done(waiter, err);
}

void durability_drain(struct target *target, struct durable_waiter *waiter)
{
	struct entry entry = {.target = target, .waiter = waiter};
	int err = 0;

	if (target->durability && target->ledger) {
		err = add(target->durability, &entry);
		if (!err)
			return;
	}
	waiter->done(waiter, err);
}

/* ---- a batch: up to LEDGER_BATCH_MAX entries of one target -----------------
 */

struct batch {
	struct target *target;
	const struct entry *entries;
	size_t count; /* of entries */
	struct ledger_slot rows[LEDGER_BATCH_MAX];
	size_t row_count;
};

static bool still(void *arg, const struct ledger_slot *row)
{
	struct target *target = arg;

	return slot_promote(target, target_slot(target, row->id), row);
}

static void make_rows(struct batch *batch)
{
	batch->row_count = 0;
	for (size_t i = 0; i < batch->count; i++) {
		const struct entry *entry = &batch->entries[i];

		if (entry->slot && slot_durable_row(batch->target, entry->slot,
					   entry->generation,
					   &batch->rows[batch->row_count]))
			batch->row_count++;
	}
}

static int put_rows(struct batch *batch)
{
	int err;

	make_rows(batch);
	err = ledger_put(batch->target->ledger, batch->rows, batch->row_count,
		still, batch->target);
	return err ? err : ledger_sync(batch->target->ledger);
}

static void show(struct batch *batch)
{
	for (size_t i = 0; i < batch->row_count; i++) {
		const struct ledger_slot *row = &batch->rows[i];
		struct slot *slot = target_slot(batch->target, row->id);

		slot_show_durable(batch->target, slot, row->generation);
		(void)rmm_map_drop_range(
			batch->target->map, slot->start, slot->length);
	}
}

static int run_batch(struct batch *batch)
{
	int err = put_rows(batch);

	if (!err)
		show(batch);
	else if (ledger_error(batch->target->ledger))
		target_withdraw_undurable(batch->target);
	return err;
}

/* ---- the worker ------------------------------------------------------------
 */

static int by_target(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return x->target->id < y->target->id ? -1
					     : x->target->id > y->target->id;
}

/* Tell who waits, or queue again: somebody was at the row just then. */
static void finish(
	const struct entry *entries, size_t count, int err, struct queue *later)
{
	for (size_t i = 0; i < count; i++) {
		const struct entry *entry = &entries[i];
		uint32_t generation;
		int result = err;

		if (!err && entry->slot &&
			slot_awaits_durable(
				entry->target, entry->slot, &generation) &&
			generation == entry->generation) {
			result = push(later, entry);
			if (!result)
				continue;
		}
		if (entry->waiter)
			entry->waiter->done(entry->waiter, result);
	}
}

/* All entries are of one target. */
static int run_target(const struct entry *entries, size_t count)
{
	struct target *target = entries[0].target;
	int err = 0;

	if (!planted("no-data-sync") && !planted("record-before-data"))
		err = target_sync(target);
	for (size_t at = 0; at < count && !err; at += LEDGER_BATCH_MAX) {
		size_t left = count - at;
		struct batch batch = {
			.target = target,
			.entries = entries + at,
			.count = left < LEDGER_BATCH_MAX ? left
							 : LEDGER_BATCH_MAX,
		};

		err = run_batch(&batch);
	}
	if (planted("record-before-data"))
		err = target_sync(target);
	if (!err)
		err = ledger_tidy(target->ledger);
	return err;
}

static void run_queue(struct queue *queue, struct queue *later)
{
	struct entry *entries = queue->entries;
	size_t start = 0;

	qsort(entries, queue->count, sizeof(*entries), by_target);
	for (size_t end = 1; end <= queue->count; end++) {
		int err;

		if (end < queue->count &&
			entries[end].target == entries[start].target)
			continue;
		err = run_target(entries + start, end - start);
		finish(entries + start, end - start, err, later);
		start = end;
	}
}

/* Wait until there is something to do, and others had time to join it. */
static void wait_for_work(struct durability *durability)
{
	struct timespec until;

	while (!durability->queue.count && !durability->stopped)
		pthread_cond_wait(&durability->changed, &durability->lock);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += DURABILITY_DELAY_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (!durability->urgent && !durability->stopped)
		if (pthread_cond_timedwait(
			    &durability->changed, &durability->lock, &until))
			break;
}

static void *work(void *arg)
{
	struct durability *durability = arg;

	pthread_mutex_lock(&durability->lock);
	for (;;) {
		struct queue queue, later = {0};

		wait_for_work(durability);
		if (!durability->queue.count && durability->stopped)
			break;
		queue = durability->queue;
		durability->queue = (struct queue){0};
		durability->urgent = false;
		pthread_mutex_unlock(&durability->lock);
		run_queue(&queue, &later);
		free(queue.entries);
		pthread_mutex_lock(&durability->lock);
		for (size_t i = 0; i < later.count; i++)
			(void)push(&durability->queue, &later.entries[i]);
		free(later.entries);
	}
	pthread_mutex_unlock(&durability->lock);
	return NULL;
}

/* ---- life ------------------------------------------------------------------
 */

int durability_create(struct durability **out)
{
	struct durability *durability = calloc(1, sizeof(*durability));
	int err;

	if (!durability)
		return -ENOMEM;
	cond_init_monotonic(&durability->changed);
	pthread_mutex_init(&durability->lock, NULL);
	err = thread_start(&durability->thread, work, durability);
	if (err) {
		durability->stopped = true;
		durability_close(durability);
		return err;
	}
	*out = durability;
	return 0;
}

void durability_stop(struct durability *durability)
{
	bool again;

	pthread_mutex_lock(&durability->lock);
	again = durability->stopped;
	durability->stopped = true;
	pthread_cond_signal(&durability->changed);
	pthread_mutex_unlock(&durability->lock);
	if (!again)
		pthread_join(durability->thread, NULL);
}

void durability_close(struct durability *durability)
{
	if (!durability)
		return;
	durability_stop(durability);
	free(durability->queue.entries);
	pthread_cond_destroy(&durability->changed);
	pthread_mutex_destroy(&durability->lock);
	free(durability);
}
