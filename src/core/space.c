/*
 * Disk space: reserving it, giving it back after a failure, and telling what
 * the filesystem promises.
 *
 * fallocate(2) that fails half-way keeps what it got on ext4: blocks behind the
 * end of the file, blocks in its former holes, and a larger size. So the
 * extents are noted before, and after a failure the file is cut to its old
 * size and unwritten extents in former holes are punched out. Written ones
 * stay: somebody stored there meanwhile. Filesystems without extent maps
 * (tmpfs) undo their own failures.
 */
#include "core/space.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "base/cleanup.h"

#define BATCH 64

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

/* One extent: its bytes in the file, and its FIEMAP flags. */
typedef int extent_fn(const struct rmm_range *range, uint32_t flags, void *arg);

/*
 * Call @fn with each extent within [0, size), ascending, until it returns
 * other than 0, and return that; negative errors of the map itself.
 */
static int each_extent(
	int fd, uint64_t size, uint32_t sync, extent_fn *fn, void *arg)
{
	AUTO_FREE struct fiemap *map =
		malloc(sizeof(*map) + BATCH * sizeof(struct fiemap_extent));
	uint64_t at = 0;
	int err = 0;

	if (!map)
		return -ENOMEM;
	while (at < size && err == 0) {
		*map = (struct fiemap){.fm_start = at,
			.fm_length = size - at,
			.fm_flags = sync,
			.fm_extent_count = BATCH};
		if (ioctl(fd, FS_IOC_FIEMAP, map) < 0)
			return -errno;
		if (map->fm_mapped_extents == 0)
			return 0;
		for (uint32_t i = 0; i < map->fm_mapped_extents && !err; i++) {
			const struct fiemap_extent *e = &map->fm_extents[i];

			at = e->fe_logical + e->fe_length;
			err = fn(&(struct rmm_range){e->fe_logical, at, 0},
				e->fe_flags, arg);
		}
	}
	return err;
}

/* The holes of a file as they were. */
struct holes {
	struct rmm_range *list;
	size_t count;
	uint64_t at; /* behind the last extent seen */
};

static void holes_fini(struct holes *holes)
{
	free(holes->list);
}

static int note_hole(struct holes *holes, uint64_t end)
{
	if (holes->at >= end)
		return 0;
	if ((holes->count & (holes->count - 1)) == 0) {
		size_t room = holes->count ? 2 * holes->count : 1;
		void *list = realloc(holes->list, room * sizeof(*holes->list));

		if (!list)
			return -ENOMEM;
		holes->list = list;
	}
	holes->list[holes->count++] = (struct rmm_range){holes->at, end, 0};
	return 0;
}

static int note_extent(const struct rmm_range *range, uint32_t flags, void *arg)
{
	struct holes *holes = arg;
	int err = note_hole(holes, range->start);

	(void)flags;
	holes->at = range->end;
	return err;
}

/* Where the filesystem has no map of extents there is nothing to note. */
static int note_holes(int fd, const struct stat *st, struct holes *holes)
{
	uint64_t size = (uint64_t)st->st_size;
	int err;

	if ((uint64_t)st->st_blocks * 512 >= size)
		return 0;
	err = each_extent(fd, size, 0, note_extent, holes);
	if (err == -EOPNOTSUPP || err == -ENOTTY)
		return 0;
	return err ? err : note_hole(holes, size);
}

struct punch {
	int fd;
	struct rmm_range hole;
};

static int punch_unwritten(
	const struct rmm_range *range, uint32_t flags, void *arg)
{
	const struct punch *punch = arg;
	struct rmm_range r = *range;

	if (r.start < punch->hole.start)
		r.start = punch->hole.start;
	if (r.end > punch->hole.end)
		r.end = punch->hole.end;
	if (!rmm_range_is_empty(&r) && (flags & FIEMAP_EXTENT_UNWRITTEN))
		fallocate(punch->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			(off_t)r.start, (off_t)rmm_range_len(&r));
	return 0;
}

/* Best effort: what this fails to give back, nobody else gives back either. */
static void give_back(int fd, const struct stat *before, struct holes *holes)
{
	struct stat now;

	if (fstat(fd, &now) < 0 || (now.st_size == before->st_size &&
					   now.st_blocks == before->st_blocks))
		return;
	if (ftruncate(fd, before->st_size) < 0)
		return;
	for (size_t i = 0; i < holes->count; i++) {
		struct punch punch = {fd, holes->list[i]};

		each_extent(fd, punch.hole.end, FIEMAP_FLAG_SYNC,
			punch_unwritten, &punch);
	}
}

/*
 * Refuse at once what cannot succeed: fallocate would first take all the space
 * there is away from everybody else.
 */
static int check_free(int fd, const struct stat *st, uint64_t size)
{
	uint64_t has = (uint64_t)st->st_blocks * 512;
	struct statvfs fs;

	if (has >= size || fstatvfs(fd, &fs) < 0 || fs.f_blocks == 0)
		return 0;
	return (size - has) / fs.f_frsize > fs.f_bfree ? -ENOSPC : 0;
}

int rmm_reserve(int fd, uint64_t size)
{
	AUTO(holes_fini) struct holes holes = {NULL, 0, 0};
	struct stat before;
	int err;

	if (size == 0)
		return -EINVAL;
	if (size > INT64_MAX)
		return -EFBIG;
	if (fstat(fd, &before) < 0)
		return -errno;
	err = check_free(fd, &before, size);
	if (!err)
		err = note_holes(fd, &before, &holes);
	if (err)
		return err;
	do
		err = fallocate(fd, 0, 0, (off_t)size) < 0 ? -errno : 0;
	while (err == -EINTR);
	/* A full XFS refuses also what it has reserved already. */
	if (err == -ENOSPC && size <= (uint64_t)before.st_size &&
		space_promised(fd, size) == RMM_SPACE_GUARANTEED)
		return 0;
	if (err)
		give_back(fd, &before, &holes);
	return err == -ENOSYS ? -EOPNOTSUPP : err;
}

/* Filesystems that overwrite a block in place once it is allocated. */
static bool overwrites_in_place(int fd)
{
	struct statfs fs;
	int flags;

	if (fstatfs(fd, &fs) < 0)
		return false;
	switch ((uint32_t)fs.f_type) {
	case EXT4_SUPER_MAGIC: /* ext2 and ext3 too */
	case XFS_SUPER_MAGIC:
	case TMPFS_MAGIC:
		return true;
	case BTRFS_SUPER_MAGIC:
		return ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 &&
		       (flags & FS_NOCOW_FL);
	default:
		return false;
	}
}

static int note_own(const struct rmm_range *range, uint32_t flags, void *arg)
{
	uint64_t *at = arg;

	if (range->start > *at)
		return 1; /* a hole */
	*at = range->end;
	return (flags & (FIEMAP_EXTENT_SHARED | FIEMAP_EXTENT_ENCODED |
				FIEMAP_EXTENT_UNKNOWN)) != 0;
}

enum rmm_space space_promised(int fd, uint64_t size)
{
	struct stat st;
	uint64_t at = 0;
	int err;

	if (!overwrites_in_place(fd) || fstat(fd, &st) < 0 ||
		(uint64_t)st.st_blocks * 512 < size)
		return RMM_SPACE_BEST_EFFORT;
	err = each_extent(fd, size, 0, note_own, &at);
	if (err == -EOPNOTSUPP || err == -ENOTTY) /* tmpfs: it counts blocks */
		return RMM_SPACE_GUARANTEED;
	return err == 0 && at >= size ? RMM_SPACE_GUARANTEED
				      : RMM_SPACE_BEST_EFFORT;
}
