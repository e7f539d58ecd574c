/* What slot.c and slot_io.c share: changes of state, under the slot's lock. */
#ifndef RMFS_TARGET_SLOT_STATE_H
#define RMFS_TARGET_SLOT_STATE_H

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

static inline void slot_unlock(struct target *target, const struct slot *slot)
{
	pthread_mutex_unlock(slot_mutex(target, slot));
}

static inline void count(_Atomic uint64_t *counter, uint64_t by)
{
	/* Relaxed: see struct target_counters. */
	atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

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

#endif
