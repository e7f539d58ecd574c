/*
 * The durability worker: takes complete receipts to the disk, in batches.
 *
 * For each batch of one target: the data is synced, then the rows that say
 * "durable" are written, then they are synced, and only then is it shown. A row
 * is written only if its receipt is still there, asked while no revocation can
 * be written; so of a row and its revocation the revocation is always later.
 *
 * A sync that fails is final: see slot_sync.
 */
#ifndef RMFS_TARGET_DURABILITY_H
#define RMFS_TARGET_DURABILITY_H

#include <stdint.h>

/* A receipt may wait this long for others to share its sync. */
enum { DURABILITY_DELAY_MS = 200 };

struct durability;
struct slot;
struct target;

/* Embedded in what waits for a receipt to become durable. */
struct durable_waiter {
	struct durable_waiter *next;
	/* Called once, by the worker: 0 (durable, or taken away by somebody
	 * meanwhile), or the error that keeps it from becoming so. */
	void (*done)(struct durable_waiter *waiter, int err);
};

/* Starts one thread. Returns 0, -ENOMEM, -EAGAIN. */
int durability_create(struct durability **out);

/*
 * Queue the receipt that @slot got in @generation. Without memory it stays
 * complete, and becomes durable when the target is synced next.
 */
void durability_add(
	struct target *target, struct slot *slot, uint32_t generation);

/*
 * Call @waiter->done when the slot's receipt, if it has one, is durable.
 * Nothing is waited for that could be done now.
 */
void durability_wait(struct target *target, struct slot *slot,
	struct durable_waiter *waiter);

/* Call @waiter->done when every receipt queued before is durable or gone. */
void durability_drain(struct target *target, struct durable_waiter *waiter);

/* Finish what is queued, then stop. May be called again. */
void durability_stop(struct durability *durability);

/* Stop and free. Takes NULL. */
void durability_close(struct durability *durability);

#endif
