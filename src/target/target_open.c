/* Opening a target: its file, and what its ledger remembers of it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "ledger/ledger.h"
#include "target/durability.h"
#include "target/slot_state.h"

static void free_target(struct target **target)
{
	target_close(*target);
}

void target_close(struct target *target)
{
	if (!target)
		return;
	ledger_close(target->ledger);
	for (uint64_t i = 0; i < target->slot_count; i++)
		slot_fini(&target->slots[i]);
	free(target->slots);
	rmm_allocator_close(target->pool);
	rmm_map_close(target->map);
	for (int i = 0; i < TARGET_STRIPES; i++) {
		pthread_cond_destroy(&target->stripes[i].recorded);
		pthread_mutex_destroy(&target->stripes[i].mutex);
	}
	pthread_mutex_destroy(&target->sync_lock);
	free(target->name);
	free(target);
}

/* ---- the file --------------------------------------------------------------
 */

static int make(const char *name, struct target **out)
{
	struct target *target;

	if (posix_memalign(
		    (void **)&target, _Alignof(struct target), sizeof(*target)))
		return -ENOMEM;
	memset(target, 0, sizeof(*target));
	pthread_mutex_init(&target->sync_lock, NULL);
	for (int i = 0; i < TARGET_STRIPES; i++) {
		pthread_mutex_init(&target->stripes[i].mutex, NULL);
		pthread_cond_init(&target->stripes[i].recorded, NULL);
	}
	target->name = strdup(name);
	if (!target->name) {
		target_close(target);
		return -ENOMEM;
	}
	*out = target;
	return 0;
}

/* Map @fd and make sure of its space; it is the target's then. */
static int open_file(const char *name, int fd, bool writable,
	const struct target_config *config, struct target **out)
{
	AUTO(free_target) struct target *target = NULL;
	AUTO_FD int owned = fd;
	int err = make(name, &target);

	if (err)
		return err;
	if (fstat(fd, &target->st))
		return -errno;
	target->size = (uint64_t)target->st.st_size;
	target->parking = config->parking;
	target->durability = config->durability;
	target->strict = config->strict;
	err = writable ? rmm_reserve(fd, target->size) : 0;
	if (err && err != -EOPNOTSUPP)
		return err;
	err = rmm_map_fdopen(fd, writable ? 0 : RMM_RDONLY, &target->map);
	if (err)
		return err;
	(void)KEEP_FD(owned);
	target->base = rmm_map_ptr(target->map);
	if (writable)
		err = rmm_allocator_create(RMM_POOL, target->size,
			rmm_map_id(target->map), &target->pool);
	if (err)
		return err;
	*out = KEEP(target);
	return 0;
}

/* ---- slots -----------------------------------------------------------------
 */

static struct slot *append_slot(
	struct target *target, const struct rmm_range *range)
{
	struct slot *slot = &target->slots[target->slot_count++];

	*slot = (struct slot){
		.start = range->start,
		.length = rmm_range_len(range),
		.mtime_ns = target->st.st_mtim.tv_sec * INT64_C(1000000000) +
			    target->st.st_mtim.tv_nsec,
		.uid = target->st.st_uid,
		.gid = target->st.st_gid,
		.mode = (uint16_t)(target->st.st_mode & 0666),
		.generation = 1,
		.crc_follows = true,
	};
	return slot;
}

static int make_room(struct target *target, uint64_t slots)
{
	target->slots = calloc(slots ? slots : 1, sizeof(*target->slots));
	return target->slots ? 0 : -ENOMEM;
}

static int cut(struct target *target, uint64_t slot_size)
{
	struct rmm_range range;
	int err = make_room(target, target->size / slot_size + 1);

	target->slot_size = slot_size;
	for (uint64_t left = target->size; left && !err;
		left -= rmm_range_len(&range)) {
		err = rmm_allocator_alloc(target->pool,
			left < slot_size ? left : slot_size, &range);
		if (!err)
			append_slot(target, &range);
	}
	return err;
}

int target_open_forgetful(const char *name, int fd, uint64_t slot_size,
	const struct target_config *config, struct target **out)
{
	AUTO(free_target) struct target *target = NULL;
	int err = open_file(name, fd, true, config, &target);

	if (!err)
		err = cut(target, slot_size);
	if (err)
		return err;
	*out = KEEP(target);
	return 0;
}

/* ---- the ledger ------------------------------------------------------------
 */

static int load_receipt(
	struct target *target, struct slot *slot, const struct ledger_slot *row)
{
	struct receipt *receipt = malloc(sizeof(*receipt));

	if (!receipt)
		return -ENOMEM;
	*receipt = (struct receipt){
		.completed_ns = row->completed_ns,
		.who.uid = row->writer_uid,
		.who.pid = row->writer_pid,
		.durable = row->state == LEDGER_DURABLE,
	};
	memcpy(receipt->who.command, row->command, sizeof(row->command));
	receipt->who.command[COMMAND_SIZE - 1] = '\0';
	slot->receipt = receipt;
	slot->crc = row->crc;
	slot->size = slot->length;
	slot->recorded =
		receipt->durable ? RECORDED_DURABLE : RECORDED_COMPLETE;
	count(&target->counters.complete, 1);
	count(&target->counters.durable, receipt->durable);
	return slot_cover(target, slot, 0, slot->length);
}

static int load_slot(void *arg, const struct ledger_slot *row)
{
	struct target *target = arg;
	struct rmm_range range = {
		.start = row->start,
		.end = row->start + row->length,
		.file = rmm_map_id(target->map),
	};
	struct slot *slot;
	int err;

	if (row->id != target->slot_count + 1)
		return -EILSEQ;
	err = rmm_allocator_take(target->pool, &range);
	if (err)
		return -EILSEQ;
	slot = append_slot(target, &range);
	slot->generation = row->generation;
	slot->uid = row->uid;
	slot->gid = row->gid;
	slot->mode = (uint16_t)row->mode;
	slot->mtime_ns = row->mtime_ns;
	return row->state == LEDGER_EMPTY ? 0 : load_receipt(target, slot, row);
}

static int load_coverage(void *arg, const struct ledger_coverage *coverage)
{
	struct target *target = arg;
	struct slot *slot = target_slot(target, coverage->id);
	int err = 0;

	if (!slot || coverage->size > slot->length)
		return -EILSEQ;
	if (slot->receipt)
		return 0; /* from before it was complete */
	for (size_t i = 0; i < coverage->count && !err; i++)
		err = slot_cover(target, slot, coverage->runs[i].start,
			coverage->runs[i].end);
	if (coverage->overrun)
		slot_mark_overrun(target, slot);
	slot->size = coverage->size;
	slot->crc_follows = false;
	slot->recorded = RECORDED_COVERAGE;
	return err;
}

/*
 * A receipt that was not durable stands only if the bytes, read from disk, are
 * what it says. Partial coverage cannot be verified: it stands until the
 * machine is started anew.
 */
static int verify_slot(struct target *target, struct slot *slot, bool rebooted)
{
	uint32_t crc = 0;
	int err;

	if (slot->recorded == RECORDED_NOTHING ||
		slot->recorded == RECORDED_DURABLE ||
		(slot->recorded == RECORDED_COVERAGE && !rebooted))
		return 0;
	if (slot->recorded == RECORDED_COMPLETE) {
		err = slot_read_sum(target, slot, &crc);
		if (err == -ENOMEM)
			return err;
		if (!err && crc == slot->crc)
			return 0;
	}
	log_warn("%s: bytes %llu to %llu did not all reach the disk: to be "
		 "written again",
		target->name, (unsigned long long)slot->start,
		(unsigned long long)(slot->start + slot->length - 1));
	return slot_forget(target, slot);
}

static bool all_durable(const struct target *target)
{
	for (uint64_t i = 0; i < target->slot_count; i++)
		if (target->slots[i].recorded != RECORDED_DURABLE)
			return false;
	return true;
}

/*
 * What the disk refused, an earlier daemon may have been told and not lived to
 * record; and no page of it may be written to again: see slot_fail.
 */
static int verify(struct target *target)
{
	bool rebooted = ledger_rebooted(target->ledger);
	int err = 0;

	if (!all_durable(target)) {
		/* If that fails, they are empty: nothing to be verified. */
		(void)target_sync(target);
		(void)target_drop_pages(target, 0, 1);
	}
	for (uint64_t i = 0; i < target->slot_count && !err; i++)
		err = verify_slot(target, &target->slots[i], rebooted);
	if (!err && rebooted)
		err = ledger_mark_boot(target->ledger);
	return err;
}

/* Do the bytes say what the slot's receipt does? */
static bool confirms(struct target *target, const struct slot *slot)
{
	uint32_t crc;

	return !slot_read_sum(target, slot, &crc) && crc == slot->crc;
}

/*
 * The ledger was made for another file: of one that this is a copy of, or of
 * something else. Receipts tell: if there are any, and the bytes confirm them
 * all, it is a copy, and its ledger is this one from here on.
 */
static int adopt(struct target *target, char *why)
{
	uint64_t confirmed = 0;
	int err = 0;

	/* A copy may be durable in its ledger and only in memory itself. */
	if (fdatasync(rmm_map_fd(target->map)))
		return -errno;
	for (uint64_t i = 0; i < target->slot_count; i++) {
		struct slot *slot = &target->slots[i];

		if (slot->receipt && !confirms(target, slot)) {
			confirmed = 0;
			break;
		}
		confirmed += slot->receipt != NULL;
	}
	if (!confirmed) {
		snprintf(why, LEDGER_WHY_SIZE,
			"is the ledger of another file, and the bytes of this "
			"one do not say that it is a copy");
		return -EILSEQ;
	}
	for (uint64_t i = 0; i < target->slot_count && !err; i++)
		if (!target->slots[i].receipt)
			err = slot_forget(target, &target->slots[i]);
	return err ? err
		   : ledger_adopt(target->ledger, rmm_map_id(target->map));
}

void target_resume(struct target *target)
{
	for (uint64_t i = 0; i < target->slot_count; i++)
		if (target->slots[i].recorded == RECORDED_COMPLETE)
			durability_add(target, &target->slots[i],
				target->slots[i].generation);
}

static int load(struct target *target, char *why)
{
	const struct ledger_header *header = ledger_header(target->ledger);
	uint64_t slots = ledger_slot_count(target->ledger);
	int err;

	snprintf(why, LEDGER_WHY_SIZE, "has slots that do not fit");
	target->slot_size = header->slot_size;
	err = make_room(target, slots);
	if (!err)
		err = ledger_load(
			target->ledger, load_slot, load_coverage, target, why);
	if (!err && header->file != rmm_map_id(target->map))
		err = adopt(target, why);
	return err ? err : verify(target);
}

int target_open(const char *name, int fd, struct ledger *ledger,
	const struct target_config *config, struct target **out, char *why)
{
	AUTO(free_target) struct target *target = NULL;
	int err = open_file(name, fd, ledger != NULL, config, &target);

	if (err)
		return err;
	if (ledger) {
		target->ledger = ledger;
		err = load(target, why);
	}
	if (err) {
		/* The caller's still. */
		target->ledger = NULL;
		return err;
	}
	*out = KEEP(target);
	return 0;
}
