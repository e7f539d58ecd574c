#include "target/target.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "target/parking.h"
#include "target/slot_state.h"

/* ---- opening ---------------------------------------------------------------
 */

static int cut(struct target *target)
{
	struct rmm_range range;
	uint64_t per_slot = target->slot_size;
	uint64_t slots = target->size / per_slot + 1;
	int err;

	target->slots = calloc(slots, sizeof(*target->slots));
	if (!target->slots)
		return -ENOMEM;
	for (uint64_t left = target->size; left;
		left -= rmm_range_len(&range)) {
		err = rmm_allocator_alloc(target->pool,
			left < per_slot ? left : per_slot, &range);
		if (err)
			return err;
		target->slots[target->slot_count++] = (struct slot){
			.start = range.start,
			.length = rmm_range_len(&range),
			.mtime_ns = target->st.st_mtim.tv_sec *
					    INT64_C(1000000000) +
				    target->st.st_mtim.tv_nsec,
			.uid = target->st.st_uid,
			.gid = target->st.st_gid,
			.mode = (uint16_t)(target->st.st_mode & 0666),
			.generation = 1,
			.crc_follows = true,
		};
	}
	return 0;
}

/* A file that is cut takes writes: its space must be there. */
static int prepare_slots(struct target *target, int fd)
{
	int err = rmm_reserve(fd, target->size);

	if (err && err != -EOPNOTSUPP)
		return err;
	err = rmm_allocator_create(
		RMM_POOL, target->size, rmm_map_id(target->map), &target->pool);
	return err ? err : cut(target);
}

static void target_release(struct target **target)
{
	target_close(*target);
}

int target_open(const char *name, int fd, uint64_t slot_size,
	struct parking *parking, struct target **out)
{
	AUTO(target_release) struct target *target = NULL;
	AUTO_FD int owned = fd;
	int err;

	if (posix_memalign(
		    (void **)&target, _Alignof(struct target), sizeof(*target)))
		return -ENOMEM;
	memset(target, 0, sizeof(*target));
	for (int i = 0; i < TARGET_STRIPES; i++)
		pthread_mutex_init(&target->stripes[i].mutex, NULL);
	target->name = strdup(name);
	if (!target->name)
		return -ENOMEM;
	if (fstat(fd, &target->st))
		return -errno;
	target->size = (uint64_t)target->st.st_size;
	target->slot_size = slot_size;
	target->parking = parking;
	err = rmm_map_fdopen(fd, slot_size ? 0 : RMM_RDONLY, &target->map);
	if (err)
		return err;
	(void)KEEP_FD(owned);
	target->base = rmm_map_ptr(target->map);
	if (slot_size) {
		err = prepare_slots(target, fd);
		if (err)
			return err;
	}
	*out = KEEP(target);
	return 0;
}

void target_close(struct target *target)
{
	if (!target)
		return;
	for (uint64_t i = 0; i < target->slot_count; i++)
		slot_fini(&target->slots[i]);
	free(target->slots);
	rmm_allocator_close(target->pool);
	rmm_map_close(target->map);
	for (int i = 0; i < TARGET_STRIPES; i++)
		pthread_mutex_destroy(&target->stripes[i].mutex);
	free(target->name);
	free(target);
}

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

int target_sync(struct target *target)
{
	int err = rmm_map_sync(target->map);

	if (err)
		count(&target->counters.errors, 1);
	return err;
}
