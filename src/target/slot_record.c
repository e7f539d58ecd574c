/*
 * Receipts, and what the ledger is told of a slot.
 *
 * slot.recording is a lock that may be held while its holder blocks: set and
 * cleared under the slot's lock, and waited for with the stripe's condition.
 * While it is set no change of the slot begins; and none is under way when a
 * receipt is on its way, only when partial coverage is: what such a write then
 * adds is not recorded, what it takes away by failing is forgotten after. Only
 * the durability worker writes a slot's row without it, and it leaves alone any
 * slot that has it set, checked while no other row can be written.
 *
 * Failure cases, at each step of slot_settle:
 *   before ledger_put    nothing is recorded, nothing is shown
 *   ledger_put fails     its outcome is unknown: slot.recorded already says
 *                        that there may be a record; no receipt is shown
 *   crash after it       the record is true: nothing has changed since
 * and of slot_unblock:
 *   before ledger_put    the record stands and is true: nothing has changed yet
 *   it fails             the change is refused
 *   crash after it       the slot is empty, or its bytes are as before
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/planted.h"
#include "ledger/ledger.h"
#include "target/durability.h"
#include "target/parking.h"
#include "target/slot_state.h"

enum {
	SUM_BLOCK = 256 * 1024,
	/* More pieces than this are not remembered: the first ones are. */
	REMEMBERED_RUNS = 1024,
};

/* ---- rows ------------------------------------------------------------------
 */

/* The slot's row as it is now. Slot's lock. */
static void make_row(
	struct target *target, struct slot *slot, struct ledger_slot *row)
{
	const struct receipt *receipt = slot->receipt;

	*row = (struct ledger_slot){
		.id = target_slot_id(target, slot),
		.start = slot->start,
		.length = slot->length,
		.generation = slot->generation,
		.uid = slot->uid,
		.gid = slot->gid,
		.mode = slot->mode,
		.mtime_ns = slot->mtime_ns,
	};
	if (!receipt)
		return;
	row->state = slot->recorded == RECORDED_DURABLE ? LEDGER_DURABLE
							: LEDGER_COMPLETE;
	row->crc = slot->crc;
	row->completed_ns = receipt->completed_ns;
	row->writer_uid = receipt->who.uid;
	row->writer_pid = receipt->who.pid;
	memcpy(row->command, receipt->who.command, sizeof(row->command));
}

static int put_row(struct target *target, const struct ledger_slot *row)
{
	int err;

	if (!target->ledger)
		return 0;
	err = ledger_put(target->ledger, row, 1, NULL, NULL);
	if (ledger_error(target->ledger))
		target_withdraw_undurable(target);
	return err;
}

/* ---- the recording lock ----------------------------------------------------
 */

static void wait_recording(struct target *target, struct slot *slot)
{
	while (slot->recording)
		pthread_cond_wait(
			slot_recorded(target, slot), slot_mutex(target, slot));
}

/* Lock the slot and take the recording. */
static void start_recording(struct target *target, struct slot *slot)
{
	slot_lock(target, slot);
	wait_recording(target, slot);
	slot->recording = true;
}

/* Give both back. */
static void end_recording(struct target *target, struct slot *slot)
{
	slot->recording = false;
	pthread_cond_broadcast(slot_recorded(target, slot));
	slot_unlock(target, slot);
}

/* ---- receipts --------------------------------------------------------------
 */

/* Has the slot earned a receipt, but for its checksum? */
static bool earned(const struct slot *slot, const struct writer *writer)
{
	return !slot->receipt && slot->writer == writer &&
	       slot->cover.prefix == slot->length && !slot->overrun &&
	       !writer->inflight;
}

int slot_read_sum(
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

/* Everything but the ledger: a checksum, and a file that is what it was. */
static int check_bytes(struct target *target, struct slot *slot)
{
	int err = 0;

	/* No lock: nothing changes the checksum while recording is set. */
	if (!slot->crc_follows)
		err = slot_read_sum(target, slot, &slot->crc);
	if (!err && !target_intact(target))
		err = -EIO;
	return err;
}

/* Record and show the receipt. Recording is held; lock is not. */
static int give_receipt(struct writer *writer, struct receipt *receipt)
{
	struct target *target = writer->target;
	struct slot *slot = writer->slot;
	struct ledger_slot row;
	int err = check_bytes(target, slot);

	if (err)
		return err;
	*receipt = (struct receipt){
		.completed_ns = slot_now_ns(),
		.who = writer->who,
	};
	slot_lock(target, slot);
	slot->crc_follows = true;
	slot->recorded = RECORDED_COMPLETE;
	slot->receipt = receipt;
	make_row(target, slot, &row);
	slot->receipt = NULL;
	slot_unlock(target, slot);
	return put_row(target, &row);
}

static void show_receipt(struct writer *writer, struct receipt *receipt)
{
	struct slot *slot = writer->slot;

	slot->receipt = receipt;
	slot->size = slot->length;
	writer->unsaved = false;
	count(&writer->target->counters.complete, 1);
	count(&writer->target->counters.receipts, 1);
}

static int settle_complete(struct writer *writer)
{
	struct target *target = writer->target;
	struct slot *slot = writer->slot;
	struct receipt *receipt = malloc(sizeof(*receipt));
	uint32_t generation = slot->generation;
	int err = receipt ? give_receipt(writer, receipt) : -ENOMEM;

	slot_lock(target, slot);
	if (err)
		free(receipt);
	else
		show_receipt(writer, receipt);
	end_recording(target, slot);
	if (!err)
		durability_add(target, slot, generation);
	return err;
}

/* ---- partial coverage ------------------------------------------------------
 */

/* The first pieces that are covered. Slot's lock. */
static size_t collect_runs(const struct slot *slot, struct ledger_run *runs)
{
	uint64_t pos = 0, end;
	size_t n = 0;

	while (pos < slot->length && n < REMEMBERED_RUNS) {
		if (coverage_run(&slot->cover, pos, slot->length, &end))
			runs[n++] = (struct ledger_run){pos, end};
		pos = end;
	}
	return n;
}

/* Recording and lock are held; both are given back. */
static int settle_partial(struct writer *writer)
{
	struct target *target = writer->target;
	struct slot *slot = writer->slot;
	AUTO_FREE struct ledger_run *runs =
		malloc(REMEMBERED_RUNS * sizeof(*runs));
	struct ledger_coverage coverage = {
		.id = target_slot_id(target, slot),
		.generation = slot->generation,
		.overrun = slot->overrun,
		.size = slot->size,
		.runs = runs,
	};

	struct ledger_slot row;

	if (runs && target->ledger) {
		coverage.count = collect_runs(slot, runs);
		make_row(target, slot, &row);
		slot->recorded = RECORDED_COVERAGE;
		writer->unsaved = false;
		slot_unlock(target, slot);
		/* Best effort: less is remembered than is true. The row has the
		 * generation that the coverage is good for. */
		if (!put_row(target, &row))
			(void)ledger_put_coverage(target->ledger, &coverage);
		slot_lock(target, slot);
	}
	end_recording(target, slot);
	return 0;
}

int slot_settle(struct writer *writer)
{
	struct target *target = writer->target;
	struct slot *slot = writer->slot;

	start_recording(target, slot);
	if (earned(slot, writer)) {
		slot_unlock(target, slot);
		return settle_complete(writer);
	}
	if (writer->unsaved && slot->writer == writer && !slot->receipt &&
		slot->recorded <= RECORDED_COVERAGE)
		return settle_partial(writer);
	end_recording(target, slot);
	return 0;
}

int slot_flush(struct writer *writer)
{
	struct target *target = writer->target;
	struct slot *slot = writer->slot;
	bool unsettled;

	slot_lock(target, slot);
	/* With a write under way the handle is not done, whatever closed. */
	if (!writer->inflight)
		writer->changed = false;
	unsettled =
		slot->writer == writer &&
		(earned(slot, writer) || (writer->unsaved && target->ledger));
	slot_unlock(target, slot);
	return unsettled ? SLOT_UNSETTLED : 0;
}

/* ---- taking back -----------------------------------------------------------
 */

/* Recording and lock are held and given back. The record goes; on disk, if a
 * power cut could otherwise bring it back. */
static int forget(struct target *target, struct slot *slot)
{
	bool durable = slot->recorded == RECORDED_DURABLE;
	struct ledger_slot row;
	int err;

	make_row(target, slot, &row);
	slot_unlock(target, slot);
	err = put_row(target, &row);
	if (!err && durable && target->ledger &&
		!planted("no-durable-revocation"))
		err = ledger_sync(target->ledger);
	slot_lock(target, slot);
	if (!err)
		slot->recorded = RECORDED_NOTHING;
	end_recording(target, slot);
	return err;
}

static bool is_stale(struct target *target, struct slot *slot)
{
	bool stale;

	slot_lock(target, slot);
	stale = slot->stale;
	slot_unlock(target, slot);
	return stale;
}

/* Leave the pages behind that slot_fail speaks of. Recording and lock are held,
 * and still are after it. */
static int leave_pages(struct target *target, struct slot *slot)
{
	int err;

	slot_unlock(target, slot);
	err = target_drop_pages(target, slot->start, slot->length);
	slot_lock(target, slot);
	if (!err)
		slot->stale = false;
	return err;
}

/* Is the slot still for this one to change? Others came meanwhile, perhaps, and
 * what they wrote, or were given, is not to be touched. */
static bool still_admitted(const struct slot *slot, const struct writer *writer)
{
	return slot->writer == writer && (writer || !slot->receipt);
}

int slot_unblock(struct target *target, struct slot *slot,
	const struct writer *writer, bool resets)
{
	int err = 0;

	/* What arrived late is dirty, and dirty pages stay. */
	if (is_stale(target, slot))
		err = target_sync(target);
	if (err)
		return err;
	start_recording(target, slot);
	if (slot->stale)
		err = leave_pages(target, slot);
	if (err) {
		end_recording(target, slot);
		return err;
	}
	if (!still_admitted(slot, writer) ||
		slot->recorded <
			(resets ? RECORDED_COVERAGE : RECORDED_COMPLETE)) {
		end_recording(target, slot);
		return 0;
	}
	slot_withdraw(target, slot);
	slot->generation++;
	return forget(target, slot);
}

int slot_forget(struct target *target, struct slot *slot)
{
	start_recording(target, slot);
	slot_empty(target, slot);
	if (slot->recorded != RECORDED_NOTHING)
		return forget(target, slot);
	end_recording(target, slot);
	return 0;
}

/* The writer's handle is good for nothing any more. */
static void lose_writer(struct target *target, struct slot *slot, int lost)
{
	if (!slot->writer)
		return;
	slot->writer->lost = lost;
	slot->writer = NULL;
	count(&target->counters.writers, UINT64_MAX);
}

int slot_fail(struct target *target, struct slot *slot)
{
	int err = 0;

	start_recording(target, slot);
	if (slot->receipt && slot->receipt->durable) {
		end_recording(target, slot);
		return 0;
	}
	/* A write under way covers nothing when it ends. */
	if (slot->writer && slot->writer->inflight)
		slot->generation++;
	slot_empty(target, slot);
	lose_writer(target, slot, -EIO);
	slot->stale = true;
	if (slot->recorded != RECORDED_NOTHING)
		err = forget(target, slot);
	else
		end_recording(target, slot);
	parking_wake(target->parking, slot);
	return err;
}

int slot_revoke(struct target *target, struct slot *slot)
{
	int err;

	start_recording(target, slot);
	if (!slot->receipt) {
		end_recording(target, slot);
		return -ENOENT;
	}
	slot_empty(target, slot);
	lose_writer(target, slot, -EBUSY);
	err = forget(target, slot);
	parking_wake(target->parking, slot);
	return err;
}

int slot_save(struct target *target, struct slot *slot)
{
	struct ledger_slot row;
	int err;

	start_recording(target, slot);
	make_row(target, slot, &row);
	slot_unlock(target, slot);
	err = put_row(target, &row);
	slot_lock(target, slot);
	end_recording(target, slot);
	return err;
}

/* ---- becoming durable ------------------------------------------------------
 */

/* Is this the receipt that was given then? Slot's lock. */
static bool same_receipt(const struct slot *slot, uint32_t generation)
{
	return slot->receipt && slot->generation == generation;
}

bool slot_durable_row(struct target *target, struct slot *slot,
	uint32_t generation, struct ledger_slot *row)
{
	bool same;

	slot_lock(target, slot);
	same = same_receipt(slot, generation);
	if (same)
		make_row(target, slot, row);
	slot_unlock(target, slot);
	row->state = LEDGER_DURABLE;
	return same;
}

bool slot_promote(
	struct target *target, struct slot *slot, const struct ledger_slot *row)
{
	struct ledger_slot now;
	bool still = false;

	slot_lock(target, slot);
	if (same_receipt(slot, row->generation) && !slot->recording) {
		/* Of one receipt only the slot's attributes can change. */
		make_row(target, slot, &now);
		still = now.uid == row->uid && now.gid == row->gid &&
			now.mode == row->mode && now.mtime_ns == row->mtime_ns;
	}
	if (still)
		/* From here on taking it back is synced. */
		slot->recorded = RECORDED_DURABLE;
	slot_unlock(target, slot);
	return still;
}

void slot_show_durable(
	struct target *target, struct slot *slot, uint32_t generation)
{
	slot_lock(target, slot);
	if (same_receipt(slot, generation) && !slot->receipt->durable &&
		slot->recorded == RECORDED_DURABLE) {
		slot->receipt->durable = true;
		count(&target->counters.durable, 1);
	}
	slot_unlock(target, slot);
}

bool slot_awaits_durable(
	struct target *target, struct slot *slot, uint32_t *generation)
{
	bool awaits;

	slot_lock(target, slot);
	awaits = slot->receipt && !slot->receipt->durable;
	*generation = slot->generation;
	slot_unlock(target, slot);
	return awaits;
}
