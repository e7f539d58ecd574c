/*
 * From the page cache to the disk.
 *
 * Flush is sync_file_range: unlike msync(MS_ASYNC), which Linux ignores, it
 * hands the pages to the device. Sync is msync(MS_SYNC), which is a ranged
 * fdatasync in the kernel. Both can fail once and succeed the next time with
 * the data gone (Rebello et al., "Can Applications Recover from fsync
 * Failures?", 2020), so the first error stays with the map.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "core/map.h"

int rmm_map_error(const struct rmm_map *map)
{
	/* Relaxed: the error is the whole message. */
	return atomic_load_explicit(&map->error, memory_order_relaxed);
}

/* Keep the first error. Returns what the map reports from now on. */
static int remember(struct rmm_map *map, int err)
{
	int none = 0;

	/* Relaxed, as above. */
	if (err)
		atomic_compare_exchange_strong_explicit(&map->error, &none, err,
			memory_order_relaxed, memory_order_relaxed);
	return rmm_map_error(map);
}

int rmm_map_flush_range(struct rmm_map *map, uint64_t offset, uint64_t len)
{
	int err = rmm_map_error(map);

	if (!map_holds(map, offset, len))
		return -ERANGE;
	if (err || len == 0)
		return err;
	map_cool(map, offset, len);
	if (sync_file_range(map->fd, (off_t)offset, (off_t)len,
		    SYNC_FILE_RANGE_WRITE) < 0)
		err = -errno;
	return remember(map, err);
}

int rmm_map_flush(struct rmm_map *map)
{
	return rmm_map_flush_range(map, 0, map->size);
}

int rmm_map_sync_range(struct rmm_map *map, uint64_t offset, uint64_t len)
{
	uint64_t start = rmm_align_down(offset);
	int err = rmm_map_error(map);

	if (!map_holds(map, offset, len))
		return -ERANGE;
	if (err || len == 0)
		return err;
	map_cool(map, offset, len);
	while (msync(map->ptr + start, offset + len - start, MS_SYNC) < 0) {
		err = -errno;
		if (err != -EINTR)
			return remember(map, err);
	}
	return remember(map, map_check_size(map));
}

int rmm_map_sync(struct rmm_map *map)
{
	return rmm_map_sync_range(map, 0, map->size);
}
