/* A target's slots and their names, and its bytes as a whole. */
#include "target/target.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "target/slot_state.h"

/* ---- slots and their names -------------------------------------------------
 */

struct slot *target_slot(const struct target *target, uint64_t id)
{
	return id - 1 < target->slot_count ? &target->slots[id - 1] : NULL;
}

uint64_t target_slot_id(const struct target *target, const struct slot *slot)
{
	return (uint64_t)(slot - target->slots) + 1;
}

static int digits(uint64_t n)
{
	int count = 1;

	while (n /= 10)
		count++;
	return count;
}

void target_slot_name(
	const struct target *target, const struct slot *slot, char *name)
{
	int width = digits(target->size - 1);

	snprintf(name, SLOT_NAME_SIZE, "%0*" PRIu64 "-%0*" PRIu64, width,
		slot->start, width, slot->start + slot->length - 1);
}

/* Read a decimal number and step over it; false if there is none. */
static bool number(const char **text, uint64_t *n)
{
	const char *at = *text;

	for (*n = 0; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(*n, 10, n) ||
			__builtin_add_overflow(*n, (uint64_t)(*at - '0'), n))
			return false;
	if (at == *text)
		return false;
	*text = at;
	return true;
}

/* Is @name a range, first and last byte? */
static bool range_name(const char *name, uint64_t *first, uint64_t *last)
{
	return number(&name, first) && *name++ == '-' && number(&name, last) &&
	       !*name && *first <= *last;
}

/* The first slot that ends after @pos, or NULL. */
static struct slot *slot_after(const struct target *target, uint64_t pos)
{
	uint64_t low = 0, high = target->slot_count;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;
		const struct slot *slot = &target->slots[mid];

		if (slot->start + slot->length <= pos)
			low = mid + 1;
		else
			high = mid;
	}
	return low < target->slot_count ? &target->slots[low] : NULL;
}

/* Why there is no slot for this range, though one was asked for. */
static int refuse_range(const struct target *target, uint64_t first,
	uint64_t last, const struct slot *next)
{
	if (last >= target->size || first % RMM_ALIGNMENT ||
		((last + 1) % RMM_ALIGNMENT && last + 1 != target->size))
		return -EINVAL;
	return next && next->start <= last ? -EEXIST : -EPERM;
}

struct slot *target_find(
	const struct target *target, const char *name, int *err)
{
	uint64_t first, last;
	struct slot *slot;

	*err = 0;
	if (!range_name(name, &first, &last)) {
		*err = name[0] == '.'      ? -EINVAL
		       : target->slot_size ? -ENOSPC
					   : -EPERM;
		return NULL;
	}
	slot = slot_after(target, first);
	if (slot && slot->start == first &&
		slot->start + slot->length - 1 == last)
		return slot;
	*err = refuse_range(target, first, last, slot);
	return NULL;
}

/* ---- its bytes, and what the disk says of them -----------------------------
 */

bool target_intact(const struct target *target)
{
	struct stat st;

	return !fstat(rmm_map_fd(target->map), &st) && st.st_nlink > 0 &&
	       (uint64_t)st.st_size == target->size;
}

/* Nobody knows which bytes were lost: whatever is not durable is. */
static void empty_undurable(struct target *target)
{
	for (uint64_t id = 1; id <= target->slot_count; id++)
		(void)slot_fail(target, target_slot(target, id));
}

/* After a sync: @result is 0 or -1 with errno. sync_lock is held. */
static int judge(struct target *target, int result)
{
	int err = result ? -errno : 0;

	if (!err)
		return 0;
	count(&target->counters.errors, 1);
	log_error("%s: cannot write to disk: %s: all slots that were not "
		  "durable are empty again",
		target->name, strerror(-err));
	empty_undurable(target);
	return err;
}

int target_sync(struct target *target)
{
	int err;

	pthread_mutex_lock(&target->sync_lock);
	err = judge(target, fdatasync(rmm_map_fd(target->map)));
	pthread_mutex_unlock(&target->sync_lock);
	return err;
}

int slot_sync(struct target *target, struct slot *slot)
{
	int err;

	/* Of a range of the mapping: the kernel's ranged fdatasync. */
	pthread_mutex_lock(&target->sync_lock);
	err = judge(target,
		msync(target->base + slot->start, slot->length, MS_SYNC));
	pthread_mutex_unlock(&target->sync_lock);
	return err;
}

/* Is any page of the mapping from @start on in the cache? */
static bool cached(const struct target *target, uint64_t start, uint64_t len)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t skew = start % page;
	size_t pages = (size_t)((len + skew + page - 1) / page);
	AUTO_FREE unsigned char *there = malloc(pages);

	if (!there || mincore(target->base + start - skew, len + skew, there))
		return true;
	for (size_t i = 0; i < pages; i++)
		if (there[i] & 1)
			return true;
	return false;
}

int target_drop_pages(struct target *target, uint64_t start, uint64_t len)
{
	/* All of them: one large page may hold bytes of several slots. */
	(void)rmm_map_drop_range(target->map, 0, target->size);
	(void)posix_fadvise(rmm_map_fd(target->map), 0, 0, POSIX_FADV_DONTNEED);
	return cached(target, start, len) ? -EIO : 0;
}

void target_withdraw_undurable(struct target *target)
{
	for (uint64_t id = 1; id <= target->slot_count; id++) {
		struct slot *slot = target_slot(target, id);

		slot_lock(target, slot);
		if (slot->receipt && !slot->receipt->durable)
			slot_withdraw(target, slot);
		slot_unlock(target, slot);
	}
}
