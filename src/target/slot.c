/* Handles, receipts and attributes of a slot; its bytes are in slot_io.c. */
#include "target/slot.h"

#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "target/parking.h"
#include "target/slot_state.h"

int64_t slot_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* ---- changes of state ------------------------------------------------------
 */

void slot_touch(struct slot *slot)
{
	slot->changes++;
	slot->mtime_ns = slot_now_ns();
}

void slot_withdraw(struct target *target, struct slot *slot)
{
	if (!slot->receipt)
		return;
	if (slot->receipt->durable)
		count(&target->counters.durable, UINT64_MAX);
	free(slot->receipt);
	slot->receipt = NULL;
	count(&target->counters.complete, UINT64_MAX);
	count(&target->counters.withdrawn, 1);
}

void slot_mark_overrun(struct target *target, struct slot *slot)
{
	slot_withdraw(target, slot);
	if (!slot->overrun)
		count(&target->counters.overrun, 1);
	slot->overrun = true;
}

void slot_empty(struct target *target, struct slot *slot)
{
	if (slot->size || slot->overrun || coverage_bytes(&slot->cover))
		slot->generation++;
	slot_withdraw(target, slot);
	count(&target->counters.covered, -coverage_bytes(&slot->cover));
	coverage_clear(&slot->cover);
	if (slot->overrun)
		count(&target->counters.overrun, UINT64_MAX);
	slot->overrun = false;
	slot->size = 0;
	slot->crc = 0;
	slot->crc_follows = true;
	slot_touch(slot);
}

int slot_cover(
	struct target *target, struct slot *slot, uint64_t start, uint64_t end)
{
	uint64_t before = coverage_bytes(&slot->cover);
	int err = coverage_add(&slot->cover, start, end);

	count(&target->counters.covered, coverage_bytes(&slot->cover) - before);
	return err;
}

void slot_uncover(
	struct target *target, struct slot *slot, uint64_t start, uint64_t end)
{
	uint64_t before = coverage_bytes(&slot->cover);

	if (start < slot->cover.prefix)
		slot->crc_follows = false;
	coverage_remove(&slot->cover, start, end);
	count(&target->counters.covered, coverage_bytes(&slot->cover) - before);
}

/* ---- handles ---------------------------------------------------------------
 */

int slot_admit(struct target *target, struct slot *slot, struct waiter *waiter)
{
	int err = 0;

	if (slot->receipt)
		return -EPERM;
	if (slot->writer)
		err = slot->writer->changed
			      ? -EBUSY
			      : parking_add(target->parking, waiter, slot);
	if (err == -EBUSY)
		count(&target->counters.refused, 1);
	return err || !slot->writer ? err : SLOT_PARKED;
}

int slot_open(struct target *target, struct slot *slot, const struct who *who,
	bool empty, struct waiter *waiter, struct writer **out)
{
	AUTO_FREE struct writer *writer = calloc(1, sizeof(*writer));
	int err;

	if (!writer)
		return -ENOMEM;
	*writer = (struct writer){
		.target = target,
		.slot = slot,
		.who = *who,
		.changed = empty,
		.unsaved = empty,
	};
	/* From the moment it is parked a waiter may be woken, and opened by
	 * another thread: nothing of the request is touched after that. */
	slot_lock(target, slot);
	err = slot_admit(target, slot, waiter);
	if (!err && empty && slot_blocked(slot, true))
		err = SLOT_BLOCKED;
	if (!err) {
		if (empty)
			slot_empty(target, slot);
		*out = slot->writer = writer;
		count(&target->counters.writers, 1);
	}
	slot_unlock(target, slot);
	if (!err)
		(void)KEEP(writer);
	return err;
}

void slot_release(struct writer *writer)
{
	struct target *target = writer->target;
	struct slot *slot = writer->slot;

	slot_lock(target, slot);
	if (slot->writer == writer) {
		slot->writer = NULL;
		count(&target->counters.writers, UINT64_MAX);
	}
	slot_unlock(target, slot);
	parking_wake(target->parking, slot);
	free(writer);
}

/* ---- looking ---------------------------------------------------------------
 */

bool slot_receipt(
	struct target *target, struct slot *slot, struct slot_receipt *receipt)
{
	bool complete;

	slot_lock(target, slot);
	complete = slot->receipt != NULL;
	if (complete) {
		receipt->receipt = *slot->receipt;
		receipt->state = *slot;
	}
	slot_unlock(target, slot);
	return complete && target_intact(target);
}

bool slot_complete(struct target *target, struct slot *slot)
{
	bool complete;

	slot_lock(target, slot);
	complete = slot->receipt != NULL;
	slot_unlock(target, slot);
	return complete;
}

/* ---- attributes ------------------------------------------------------------
 */

void slot_stat(struct target *target, struct slot *slot, struct stat *st)
{
	slot_lock(target, slot);
	*st = (struct stat){
		.st_mode =
			S_IFREG | (slot->receipt ? 0444 : slot->mode | S_IWUSR),
		.st_nlink = 1,
		.st_uid = slot->uid,
		.st_gid = slot->gid,
		.st_size = (off_t)slot->size,
		.st_blksize = RMM_ALIGNMENT,
		.st_blocks =
			(blkcnt_t)((coverage_bytes(&slot->cover) + 511) / 512),
		.st_mtim.tv_sec = slot->mtime_ns / 1000000000,
		.st_mtim.tv_nsec = slot->mtime_ns % 1000000000,
	};
	slot_unlock(target, slot);
	st->st_ctim = st->st_atim = st->st_mtim;
}

void slot_set_attr(
	struct target *target, struct slot *slot, const struct slot_attr *attr)
{
	slot_lock(target, slot);
	if (attr->set_mode && !slot->receipt)
		slot->mode = attr->mode & 0777;
	if (attr->set_uid)
		slot->uid = attr->uid;
	if (attr->set_gid)
		slot->gid = attr->gid;
	if (attr->set_mtime)
		slot->mtime_ns = attr->mtime.tv_sec * INT64_C(1000000000) +
				 attr->mtime.tv_nsec;
	slot_unlock(target, slot);
}

void slot_fini(struct slot *slot)
{
	coverage_clear(&slot->cover);
	free(slot->receipt);
}
