/*
 * Stores to and loads from a map.
 *
 * All of them go through the guard. A fault says only where; why is asked
 * afterwards: the file is shorter than the map (-EIO), the filesystem has no
 * block for the page (-ENOSPC, -EDQUOT), or the device failed (-EIO).
 *
 * A long store goes piece by piece. Before the first store to a piece its
 * pages are populated for writing in one call, which costs less than their
 * faults one by one; bits remember that, until a sync or a drop makes the
 * kernel take the pages' write permission away.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/cleanup.h"
#include "core/guard.h"
#include "core/map.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

/* Shorter stores are not worth a system call. */
#define LONG_STORE WARM_UNIT

/* A piece: 512 pages, what one entry of the level above can map. */
#define PIECE ((uint64_t)1 << 21)

bool map_holds(const struct rmm_map *map, uint64_t offset, uint64_t len)
{
	return offset <= map->size && len <= map->size - offset;
}

int map_check_size(const struct rmm_map *map)
{
	struct stat st;

	if (fstat(map->fd, &st) < 0)
		return -errno;
	return (uint64_t)st.st_size < map->size ? -EIO : 0;
}

/* Less than this is full: filesystems keep a few blocks for themselves. */
#define FULL ((uint64_t)1 << 20)

static bool is_full(const struct rmm_map *map)
{
	struct statvfs fs;

	return fstatvfs(map->fd, &fs) == 0 && fs.f_blocks &&
	       fs.f_bavail < FULL / fs.f_frsize;
}

/* Why could the bytes not be reached? */
static int why_failed(const struct rmm_map *map)
{
	return map_check_size(map) == 0 && is_full(map) ? -ENOSPC : -EIO;
}

/*
 * A store to [offset, offset + len) has faulted. Ask the filesystem for blocks
 * there: it may have some by now (XFS takes back what it gave ahead of need),
 * and if not it knows the reason.
 * @faults  how many there were before: one more chance is given
 * Returns 0 to try again, -EIO, -ENOSPC, -EDQUOT.
 */
static int mend(const struct rmm_map *map, uint64_t offset, uint64_t len,
	unsigned faults)
{
	off_t start = (off_t)rmm_align_down(offset);

	if (faults > 0 || map_check_size(map) < 0)
		return why_failed(map);
	if (fallocate(map->fd, FALLOC_FL_KEEP_SIZE, start,
		    (off_t)(offset + len) - start) == 0)
		return 0;
	return errno == ENOSPC || errno == EDQUOT ? -errno : why_failed(map);
}

/* ---- populating ---- */

/* The bits of the units that [start, end) touches within word number @word. */
static uint64_t units(uint64_t start, uint64_t end, uint64_t word)
{
	uint64_t mask = ~(uint64_t)0;

	if (word == start / WARM_WORD)
		mask &= ~(uint64_t)0 << start / WARM_UNIT % 64;
	if (word == (end - 1) / WARM_WORD)
		mask &= ~(uint64_t)0 >> (63 - (end - 1) / WARM_UNIT % 64);
	return mask;
}

/* Note a piece as populated. Was it already? */
static bool warm_up(struct rmm_map *map, uint64_t start, uint64_t end)
{
	uint64_t mask = units(start, end, start / WARM_WORD);
	_Atomic uint64_t *word = &map->warm[start / WARM_WORD];

	/* Relaxed: only ever a hint. */
	if ((atomic_load_explicit(word, memory_order_relaxed) & mask) == mask)
		return true;
	atomic_fetch_or_explicit(word, mask, memory_order_relaxed);
	return false;
}

void map_cool(struct rmm_map *map, uint64_t offset, uint64_t len)
{
	uint64_t end = offset + len;

	for (uint64_t w = offset / WARM_WORD; w * WARM_WORD < end; w++)
		/* Relaxed: only ever a hint. */
		atomic_fetch_and_explicit(&map->warm[w], ~units(offset, end, w),
			memory_order_relaxed);
}

/* A failure is none here: the store itself will meet it, guarded. */
static void populate(struct rmm_map *map, uint64_t offset, uint64_t len)
{
	uint64_t start = rmm_align_down(offset);

	if (len >= LONG_STORE && !warm_up(map, offset, offset + len))
		madvise(map->ptr + start, offset + len - start,
			MADV_POPULATE_WRITE);
}

/* ---- stores ---- */

static int copy_once(
	const struct rmm_map *map, void *to, const void *buf, size_t len)
{
	return map->streams ? guard_store(to, buf, len)
			    : guard_copy(to, to, buf, len);
}

static int copy_in(
	struct rmm_map *map, const void *buf, size_t len, uint64_t offset)
{
	unsigned char *to = map->ptr + offset;
	unsigned faults = 0;

	while (copy_once(map, to, buf, len) < 0) {
		int err = mend(map, offset, len, faults++);

		if (err)
			return err;
	}
	return 0;
}

/* How much of @len bytes at @offset lies in one piece. */
static size_t in_piece(uint64_t offset, uint64_t len)
{
	uint64_t room = PIECE - offset % PIECE;

	return (size_t)(len < room ? len : room);
}

static int store_long(
	struct rmm_map *map, const char *buf, size_t len, uint64_t offset)
{
	for (size_t done = 0, n; done < len; done += n) {
		int err;

		n = in_piece(offset + done, len - done);
		populate(map, offset + done, n);
		err = copy_in(map, buf + done, n, offset + done);
		if (err)
			return err;
	}
	return map_check_size(map);
}

static int store(
	struct rmm_map *map, const void *buf, size_t len, uint64_t offset)
{
	if (len >= LONG_STORE)
		return store_long(map, buf, len, offset);
	return copy_in(map, buf, len, offset);
}

int rmm_map_write_all_at(
	struct rmm_map *map, const void *buf, size_t len, uint64_t offset)
{
	if (!map->writable)
		return -EBADF;
	if (!map_holds(map, offset, len))
		return -ERANGE;
	return store(map, buf, len, offset);
}

ssize_t rmm_map_write_at(
	struct rmm_map *map, const void *buf, size_t len, uint64_t offset)
{
	int err;

	if (!map->writable)
		return -EBADF;
	if (offset >= map->size)
		return -ERANGE;
	if (len > map->size - offset)
		len = (size_t)(map->size - offset);
	if (len > SSIZE_MAX)
		len = SSIZE_MAX;
	err = store(map, buf, len, offset);
	return err ? err : (ssize_t)len;
}

static void set_bytes(void *ptr, size_t len, void *arg)
{
	memset(ptr, *(const int *)arg, len);
}

static int fill_piece(
	struct rmm_map *map, int byte, uint64_t offset, size_t len)
{
	unsigned faults = 0;

	while (guard_run(map->ptr + offset, len, set_bytes, &byte) < 0) {
		int err = mend(map, offset, len, faults++);

		if (err)
			return err;
	}
	return 0;
}

int rmm_map_fill(struct rmm_map *map, int byte, uint64_t offset, uint64_t len)
{
	if (!map->writable)
		return -EBADF;
	if (!map_holds(map, offset, len))
		return -ERANGE;
	for (uint64_t done = 0, n; done < len; done += n) {
		int err;

		n = in_piece(offset + done, len - done);
		populate(map, offset + done, n);
		err = fill_piece(map, byte, offset + done, n);
		if (err)
			return err;
	}
	return 0;
}

int rmm_map_zero(struct rmm_map *map, uint64_t offset, uint64_t len)
{
	return rmm_map_fill(map, 0, offset, len);
}

/* ---- loads ---- */

ssize_t rmm_map_read_at(
	const struct rmm_map *map, void *buf, size_t len, uint64_t offset)
{
	unsigned char *from;

	if (offset >= map->size)
		return 0;
	if (len > map->size - offset)
		len = (size_t)(map->size - offset);
	if (len > SSIZE_MAX)
		len = SSIZE_MAX;
	from = map->ptr + offset;
	if (guard_copy(from, buf, from, len) < 0)
		return why_failed(map);
	return (ssize_t)len;
}

ssize_t rmm_map_read_slice(
	const struct rmm_map *map, uint64_t offset, size_t len, void **out)
{
	size_t left = offset < map->size ? (size_t)(map->size - offset) : 0;
	size_t room = len < left ? len : left;
	AUTO_FREE void *buf = malloc(room ? room : 1);
	ssize_t count;

	if (!buf)
		return -ENOMEM;
	count = rmm_map_read_at(map, buf, room, offset);
	if (count >= 0)
		*out = KEEP(buf);
	return count;
}

int rmm_map_access(struct rmm_map *map, uint64_t offset, size_t len,
	void (*fn)(void *ptr, size_t len, void *arg), void *arg)
{
	if (!map_holds(map, offset, len))
		return -ERANGE;
	if (guard_run(map->ptr + offset, len, fn, arg) < 0)
		return why_failed(map);
	return 0;
}

int rmm_map_drop_range(struct rmm_map *map, uint64_t offset, uint64_t len)
{
	uint64_t start = rmm_align_up(offset), end = offset + len;

	if (!map_holds(map, offset, len))
		return -ERANGE;
	if (end < map->size)
		end = rmm_align_down(end);
	if (start >= end)
		return 0;
	map_cool(map, start, end - start);
	return madvise(map->ptr + start, end - start, MADV_DONTNEED) < 0
		       ? -errno
		       : 0;
}
