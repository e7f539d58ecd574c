/*
 * The bytes of a slot: in, out, and taken back by truncation.
 *
 * A write is three steps: begin (lock, check, announce), the copy (no lock),
 * end (lock, record). Between begin and end the slot may be truncated by its
 * own writer; the generation tells, and such a write covers nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>

#include "base/crc32c.h"
#include "target/parking.h"
#include "target/slot_state.h"

/* From here on one call that maps the pages beats a fault for each. */
enum { POPULATE_MIN = 64 * 1024 };

/* Reads of holes: never written, so one page of zeros for all of it. */
static char zeros[1 << 20];

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ---- writing ---------------------------------------------------------------
 */

/* Map the pages that are about to be written for the first time; a kernel that
 * cannot (before 5.14), or a page that is broken, shows in the copy. */
static void populate(const struct slot_write *op)
{
	char *end = op->bytes + op->len;
	char *page = op->bytes - (uintptr_t)op->bytes % RMM_ALIGNMENT;

	if (op->len >= POPULATE_MIN)
		(void)madvise(page, (size_t)(end - page), MADV_POPULATE_WRITE);
}

/* How many of @len bytes at @offset fit; what does not marks the slot. */
static size_t fit(
	struct target *target, struct slot *slot, uint64_t offset, size_t len)
{
	uint64_t room = offset < slot->length ? slot->length - offset : 0;

	if (len <= room)
		return len;
	slot_mark_overrun(target, slot);
	return (size_t)room;
}

/* Does a stored checksum go on with this write, or end? */
static bool follows(
	struct slot *slot, const struct writer *writer, uint64_t offset)
{
	if (writer->inflight || offset < slot->cover.prefix)
		slot->crc_follows = false;
	return slot->crc_follows && offset == slot->cover.prefix;
}

static int begin(struct writer *writer, uint64_t offset, size_t len,
	struct slot_write *op)
{
	struct target *target = writer->target;
	struct slot *slot = writer->slot;

	if (writer->lost)
		return writer->lost;
	if (slot_blocked(slot, false))
		return SLOT_BLOCKED;
	*op = (struct slot_write){
		.writer = writer,
		.offset = offset,
		.len = fit(target, slot, offset, len),
	};
	if (!op->len)
		return -ENOSPC;
	slot_withdraw(target, slot);
	slot_touch(slot);
	slot_dirty(writer);
	op->bytes = target->base + slot->start + offset;
	op->in_order = follows(slot, writer, offset);
	op->crc = slot->crc;
	op->generation = slot->generation;
	writer->inflight++;
	return 0;
}

int slot_write_begin(struct writer *writer, uint64_t offset, size_t len,
	struct slot_write *op)
{
	struct target *target = writer->target;
	struct slot *slot = writer->slot;
	bool fresh;
	int err;

	slot_lock(target, slot);
	err = begin(writer, offset, len, op);
	if (err == -EBUSY)
		count(&target->counters.refused, 1);
	fresh = offset >= slot->cover.prefix;
	slot_unlock(target, slot);
	if (!err && fresh)
		populate(op);
	return err;
}

static void add_to_sum(void *bytes, size_t len, void *crc)
{
	*(uint32_t *)crc = crc32c(*(uint32_t *)crc, bytes, len);
}

/* Checksum what has just landed, while it is in the processor's cache. */
static void sum_landed(struct slot_write *op, size_t landed)
{
	const struct slot *slot = op->writer->slot;
	uint64_t offset = slot->start + op->offset;

	if (rmm_map_access(op->writer->target->map, offset, landed, add_to_sum,
		    &op->crc))
		op->in_order = false;
}

/* Cover what has landed, and carry the checksum on if it is in order. */
static int record(struct slot_write *op, uint64_t landed)
{
	struct target *target = op->writer->target;
	struct slot *slot = op->writer->slot;
	uint64_t prefix = slot->cover.prefix;
	uint64_t end = op->offset + landed;
	int err = slot_cover(target, slot, op->offset, end);

	if (slot->cover.prefix != prefix) {
		/* Not if somebody else began to write meanwhile, nor if the
		 * prefix went on over what had come out of order. */
		slot->crc_follows = slot->crc_follows && op->in_order &&
				    slot->cover.prefix == end;
		slot->crc = op->crc;
	}
	if (!op->keep_size)
		slot->size = max_u64(slot->size, end);
	count(&target->counters.written, landed);
	return err;
}

ssize_t slot_write_end(struct slot_write *op, ssize_t landed)
{
	struct writer *writer = op->writer;
	struct target *target = writer->target;
	struct slot *slot = writer->slot;
	uint64_t arrived = landed > 0 ? (uint64_t)landed : 0;
	int err = 0;

	if (arrived && op->in_order)
		sum_landed(op, arrived);
	slot_lock(target, slot);
	writer->inflight--;
	if (op->generation == slot->generation) {
		if (arrived)
			err = record(op, arrived);
		if (arrived < op->len)
			slot_uncover(target, slot, op->offset + arrived,
				op->offset + op->len);
	}
	slot_unlock(target, slot);
	if (arrived < op->len || err)
		count(&target->counters.errors, 1);
	return err ? err : landed;
}

ssize_t slot_write(
	struct writer *writer, const void *buf, size_t len, uint64_t offset)
{
	struct slot_write op;
	int err = slot_write_begin(writer, offset, len, &op);

	if (err)
		return err;
	err = rmm_map_write_all_at(
		writer->target->map, buf, op.len, writer->slot->start + offset);
	return slot_write_end(&op, err ? err : (ssize_t)op.len);
}

/* ---- truncate and fallocate ------------------------------------------------
 */

static int truncate_past(struct target *target, struct slot *slot)
{
	slot_mark_overrun(target, slot);
	return -ENOSPC;
}

/* The size changes to @size <= length, which is not the size it has. */
static void resize(struct target *target, struct slot *slot, uint64_t size)
{
	if (!size) {
		slot_empty(target, slot);
		return;
	}
	if (size < slot->size) {
		slot_withdraw(target, slot);
		slot_uncover(target, slot, size, slot->length);
		slot->generation++;
	}
	slot->size = size;
	slot_touch(slot);
}

static int truncate_locked(struct target *target, struct slot *slot,
	struct writer *writer, uint64_t size, struct waiter *waiter)
{
	int err = 0;

	if (writer && writer->lost)
		return writer->lost;
	if (size && size == slot->size)
		return 0;
	if (!writer)
		err = slot_admit(target, slot, waiter);
	if (err)
		return err;
	if (slot_blocked(slot, size < slot->size || !size))
		return SLOT_BLOCKED;
	if (writer)
		slot_dirty(writer);
	if (size > slot->length)
		return truncate_past(target, slot);
	resize(target, slot, size);
	return 0;
}

int slot_truncate(struct target *target, struct slot *slot,
	struct writer *writer, uint64_t size, struct waiter *waiter)
{
	int err;

	slot_lock(target, slot);
	err = truncate_locked(target, slot, writer, size, waiter);
	slot_unlock(target, slot);
	return err;
}

/* May [offset, offset + len) be reserved or zeroed? */
static int check_end(
	struct writer *writer, bool says_size, uint64_t offset, uint64_t len)
{
	uint64_t end;

	if (writer->lost)
		return writer->lost;
	if (slot_blocked(writer->slot, false))
		return SLOT_BLOCKED;
	if (!__builtin_add_overflow(offset, len, &end) &&
		end <= writer->slot->length)
		return 0;
	/* Who says that the file goes on beyond the slot has too much for it;
	 * who only wants blocks there has said nothing. */
	return says_size ? truncate_past(writer->target, writer->slot)
			 : -ENOSPC;
}

static void grow(struct writer *writer, uint64_t size)
{
	if (size <= writer->slot->size)
		return;
	writer->slot->size = size;
	slot_dirty(writer);
	slot_touch(writer->slot);
}

static int write_zeros(
	struct writer *writer, bool keep_size, uint64_t offset, uint64_t len)
{
	struct slot_write op;
	ssize_t landed;
	int err = slot_write_begin(writer, offset, len, &op);

	if (err)
		return err;
	op.keep_size = keep_size;
	err = rmm_map_zero(
		writer->target->map, writer->slot->start + offset, op.len);
	landed = slot_write_end(&op, err ? err : (ssize_t)op.len);
	return landed < 0 ? (int)landed : 0;
}

int slot_fallocate(
	struct writer *writer, int mode, uint64_t offset, uint64_t len)
{
	const int zeroing = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
	bool keep_size = mode & FALLOC_FL_KEEP_SIZE;
	int err;

	if (mode & ~(zeroing | FALLOC_FL_KEEP_SIZE))
		return -EOPNOTSUPP;
	slot_lock(writer->target, writer->slot);
	err = check_end(writer, !keep_size || mode & zeroing, offset, len);
	if (!err && !keep_size && !(mode & zeroing))
		grow(writer, offset + len);
	slot_unlock(writer->target, writer->slot);
	if (err || !(mode & zeroing))
		return err;
	return write_zeros(writer, keep_size, offset, len);
}

/* ---- reading ---------------------------------------------------------------
 */

int slot_read_plan(struct target *target, struct slot *slot, uint64_t offset,
	size_t len, struct slot_read *plan)
{
	uint64_t end, next;

	*plan = (struct slot_read){0};
	slot_lock(target, slot);
	end = offset < slot->size ? min_u64(offset + len, slot->size) : offset;
	while (offset < end && plan->count < SLOT_READ_RUNS) {
		bool covered = coverage_run(&slot->cover, offset, end, &next);
		uint64_t run = next - offset;

		if (!covered)
			run = min_u64(run, sizeof(zeros));
		plan->runs[plan->count++] = (struct iovec){
			.iov_base =
				covered ? target->base + slot->start + offset
					: zeros,
			.iov_len = run,
		};
		plan->len += run;
		offset += run;
	}
	slot_unlock(target, slot);
	return offset < end ? -E2BIG : 0;
}

/* Copy the pieces of @plan to @buf, those of the mapping under its guard. */
static int copy_plan(
	struct target *target, const struct slot_read *plan, char *buf)
{
	for (int i = 0; i < plan->count; i++) {
		const struct iovec *run = &plan->runs[i];
		const char *from = run->iov_base;
		ssize_t n = (ssize_t)run->iov_len;

		if (from == zeros)
			memset(buf, 0, run->iov_len);
		else
			n = rmm_map_read_at(target->map, buf, run->iov_len,
				(uint64_t)(from - target->base));
		if (n < 0)
			return (int)n;
		buf += run->iov_len;
	}
	return 0;
}

ssize_t slot_read_copy(struct target *target, struct slot *slot, void *buf,
	size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		struct slot_read plan;
		int more = slot_read_plan(
			target, slot, offset + done, len - done, &plan);
		int err = copy_plan(target, &plan, (char *)buf + done);

		if (err)
			return err;
		done += plan.len;
		if (!more)
			break;
	}
	return (ssize_t)done;
}

int64_t slot_seek(
	struct target *target, struct slot *slot, uint64_t offset, bool data)
{
	int64_t found = -ENXIO;
	uint64_t next;

	slot_lock(target, slot);
	if (offset < slot->size) {
		bool covered =
			coverage_run(&slot->cover, offset, slot->size, &next);

		if (covered == data)
			found = (int64_t)offset;
		else if (!data || next < slot->size)
			found = (int64_t)next;
	}
	slot_unlock(target, slot);
	return found;
}
