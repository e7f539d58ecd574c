/* Handles, receipts and attributes of a slot; its bytes are in slot_io.c. */
#include "target/slot.h"

#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "target/parking.h"
#include "target/slot_state.h"

enum { SUM_BLOCK = 256 * 1024 };

static int64_t now_ns(void)
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
	slot->mtime_ns = now_ns();
}

void slot_withdraw(struct target *target, struct slot *slot)
{
	if (!slot->receipt)
		return;
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
	};
	/* From the moment it is parked a waiter may be woken, and opened by
	 * another thread: nothing of the request is touched after that. */
	slot_lock(target, slot);
	err = slot_admit(target, slot, waiter);
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

/* ---- receipts --------------------------------------------------------------
 */

/* Is the file still what was mapped? Else no receipt of it is worth a thing. */
static bool intact(const struct target *target)
{
	struct stat st;

	return !fstat(rmm_map_fd(target->map), &st) && st.st_nlink > 0 &&
	       (uint64_t)st.st_size == target->size;
}

/* Has the slot earned a receipt, but for its checksum? */
static bool earned(const struct slot *slot, const struct writer *writer)
{
	return !slot->receipt && slot->writer == writer &&
	       slot->cover.prefix == slot->length && !slot->overrun &&
	       !writer->inflight;
}

/* Give the receipt; the checksum is there and right. */
static int issue(struct writer *writer)
{
	struct target *target = writer->target;
	struct slot *slot = writer->slot;
	struct receipt *receipt;

	if (rmm_map_error(target->map))
		return rmm_map_error(target->map);
	if (!intact(target))
		return -EIO;
	receipt = malloc(sizeof(*receipt));
	if (!receipt)
		return -ENOMEM;
	clock_gettime(CLOCK_REALTIME, &receipt->completed);
	receipt->who = writer->who;
	slot->receipt = receipt;
	slot->size = slot->length;
	count(&target->counters.complete, 1);
	count(&target->counters.receipts, 1);
	return 0;
}

static int settle(struct writer *writer)
{
	if (!earned(writer->slot, writer))
		return 0;
	return writer->slot->crc_follows ? issue(writer) : SLOT_SUM_NEEDED;
}

int slot_settle(struct writer *writer)
{
	int err;

	slot_lock(writer->target, writer->slot);
	err = settle(writer);
	slot_unlock(writer->target, writer->slot);
	return err;
}

int slot_flush(struct writer *writer)
{
	int err;

	slot_lock(writer->target, writer->slot);
	/* With a write under way the handle is not done, whatever closed. */
	if (!writer->inflight)
		writer->changed = false;
	err = settle(writer);
	slot_unlock(writer->target, writer->slot);
	return err;
}

/* The checksum of the slot's bytes, through the file: a page that cannot be
 * read is an error there, not a signal. */
static int read_sum(
	const struct target *target, const struct slot *slot, uint32_t *sum)
{
	AUTO_FREE char *block = malloc(SUM_BLOCK);
	uint64_t done = 0;
	uint32_t crc = 0;

	if (!block)
		return -ENOMEM;
	while (done < slot->length) {
		uint64_t left = slot->length - done;
		ssize_t n = pread(rmm_map_fd(target->map), block,
			left < SUM_BLOCK ? left : SUM_BLOCK,
			(off_t)(slot->start + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EIO;
		crc = crc32c(crc, block, (size_t)n);
		done += (uint64_t)n;
	}
	*sum = crc;
	return 0;
}

int slot_sum(struct writer *writer)
{
	struct target *target = writer->target;
	struct slot *slot = writer->slot;
	uint32_t changes, crc;
	int err;

	slot_lock(target, slot);
	changes = slot->changes;
	err = settle(writer);
	slot_unlock(target, slot);
	if (err != SLOT_SUM_NEEDED)
		return err;
	err = read_sum(target, slot, &crc);
	if (err)
		return err;
	slot_lock(target, slot);
	if (slot->changes == changes && earned(slot, writer)) {
		slot->crc = crc;
		slot->crc_follows = true;
		err = issue(writer);
	}
	slot_unlock(target, slot);
	return err;
}

int slot_revoke(struct target *target, struct slot *slot)
{
	int err = -ENOENT;

	slot_lock(target, slot);
	if (slot->receipt) {
		slot_empty(target, slot);
		if (slot->writer) {
			slot->writer->lost = -EBUSY;
			slot->writer = NULL;
			count(&target->counters.writers, UINT64_MAX);
		}
		err = 0;
	}
	slot_unlock(target, slot);
	parking_wake(target->parking, slot);
	return err;
}

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
	return complete && intact(target);
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
