/* What slot.c and slot_io.c share: changes of state, under the slot's lock. */
#ifndef RMFS_TARGET_SLOT_STATE_H
#define RMFS_TARGET_SLOT_STATE_H

#include "ledger/ledger.h"
#include "target/target.h"

/* Which stripe is the slot's. */
static inline pthread_mutex_t *slot_mutex(
	struct target *target, const struct slot *slot)
{
	uint64_t index = (uint64_t)(slot - target->slots);

	return &target->stripes[index % TARGET_STRIPES].mutex;
}

static inline void slot_lock(struct target *target, const struct slot *slot)
{
	pthread_mutex_lock(slot_mutex(target, slot));
}

static inline pthread_cond_t *slot_recorded(
	struct target *target, const struct slot *slot)
{
	uint64_t index = (uint64_t)(slot - target->slots);

	return &target->stripes[index % TARGET_STRIPES].recorded;
}

static inline void slot_unlock(struct target *target, const struct slot *slot)
{
	pthread_mutex_unlock(slot_mutex(target, slot));
}

static inline void count(_Atomic uint64_t *counter, uint64_t by)
{
	/* Relaxed: see struct target_counters. */
	atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

/*
 * Must a change wait for the ledger? See SLOT_BLOCKED.
 * @resets  as for slot_unblock
 */
static inline bool slot_blocked(const struct slot *slot, bool resets)
{
	return slot->recording || slot->stale ||
	       slot->recorded >=
		       (resets ? RECORDED_COVERAGE : RECORDED_COMPLETE);
}

/* Somebody changes the slot through this handle. */
static inline void slot_dirty(struct writer *writer)
{
	writer->changed = true;
	writer->unsaved = true;
}

int64_t slot_now_ns(void);

/* The bytes or the size change now: who reads them back must start again. */
void slot_touch(struct slot *slot);

/* Take the receipt away, if there is one. */
void slot_withdraw(struct target *target, struct slot *slot);

/* No receipt until the slot is emptied: something went past its end. */
void slot_mark_overrun(struct target *target, struct slot *slot);

/* Forget everything that was written. */
void slot_empty(struct target *target, struct slot *slot);

/* coverage_add and coverage_remove, with the target's total kept right. */
int slot_cover(
	struct target *target, struct slot *slot, uint64_t start, uint64_t end);
void slot_uncover(
	struct target *target, struct slot *slot, uint64_t start, uint64_t end);

/*
 * May somebody without a handle change the slot? As slot_open says: 0,
 * SLOT_PARKED, -EPERM, -EBUSY.
 */
int slot_admit(struct target *target, struct slot *slot, struct waiter *waiter);

/* The checksum of the slot's bytes, read through the file: a page that cannot
 * be read is an error there, not a signal. Blocks. 0, -ENOMEM, -EIO. */
int slot_read_sum(
	const struct target *target, const struct slot *slot, uint32_t *sum);

/* Empty the slot, also in the ledger, whatever it is. Blocks. */
int slot_forget(struct target *target, struct slot *slot);

/*
 * The disk has refused bytes of the target: empty the slot, unless it is
 * durable, and end what its writer does with -EIO. Blocks.
 *
 * Writing the same bytes again is not enough. ext4 notes in a cached page that
 * its blocks are allocated, and forgets, when their first write fails, that
 * they still count as unwritten: it writes the page again, says that all is
 * well, and reads zeros after the power cut. So the slot's pages leave the
 * cache before it changes again.
 */
int slot_fail(struct target *target, struct slot *slot);

/* ---- for durability.c: a receipt on its way to the disk ----------------- */

/* The row that will say so; false if that receipt is no more. */
bool slot_durable_row(struct target *target, struct slot *slot,
	uint32_t generation, struct ledger_slot *row);

/*
 * Is @row still true? Asked while no other row can be written. No when the
 * receipt is gone, or when somebody is at its row just now.
 */
bool slot_promote(struct target *target, struct slot *slot,
	const struct ledger_slot *row);

/* The row has been synced: show it, if that receipt is still there. */
void slot_show_durable(
	struct target *target, struct slot *slot, uint32_t generation);

/* Has it a receipt that is not durable yet, and of which generation? */
bool slot_awaits_durable(
	struct target *target, struct slot *slot, uint32_t *generation);

#endif
