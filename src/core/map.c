/*
 * Maps: creating, opening, sharing and closing them.
 *
 * A new file is built under a temporary name beside the final one, reserved
 * and mapped, and renamed last. So a failure at any step has one thing to
 * undo, the temporary name, and never touches what was there before.
 */
#include "core/map.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "core/guard.h"
#include "core/space.h"

/* splitmix64's mixer: every bit of the answer depends on every bit of z. */
static uint64_t mix(uint64_t z)
{
	z += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static int identify(int fd, uint64_t *id)
{
	struct statx st;
	uint64_t born = 0;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st) < 0)
		return -errno;
	if (st.stx_mask & STATX_BTIME)
		born = mix((uint64_t)st.stx_btime.tv_sec) ^
		       st.stx_btime.tv_nsec;
	*id = mix((uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor);
	*id = mix(*id ^ st.stx_ino);
	*id = mix(*id ^ born);
	if (*id == 0)
		*id = 1;
	return 0;
}

static void map_free(struct rmm_map *map)
{
	if (!map)
		return;
	if (map->ptr)
		munmap(map->ptr, map->size);
	free(map->warm);
	free(map);
}

static void auto_map_free(struct rmm_map **map)
{
	int saved = errno;

	map_free(*map);
	errno = saved;
}

static int check_mode(int fd, bool writable)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if ((flags & O_ACCMODE) == O_RDWR)
		return 0;
	return !writable && (flags & O_ACCMODE) == O_RDONLY ? 0 : -EACCES;
}

/* Bytes in the largest cache; a guess where nobody tells. */
static uint64_t cache_size(void)
{
	long size = sysconf(_SC_LEVEL3_CACHE_SIZE);

	return size > 0 ? (uint64_t)size : (uint64_t)32 << 20;
}

/* Map @fd, which stays the caller's until it gets 0. */
static int map_fd(int fd, bool writable, struct rmm_map **out)
{
	AUTO(auto_map_free) struct rmm_map *map = calloc(1, sizeof(*map));
	struct stat st;
	void *ptr;
	int err;

	if (!map)
		return -ENOMEM;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size == 0)
		return -ENODATA;
	map->size = (uint64_t)st.st_size;
	map->fd = fd;
	map->writable = writable;
	err = guard_install();
	if (!err)
		err = identify(fd, &map->id);
	if (err)
		return err;
	if (map->size > SIZE_MAX)
		return -ENOMEM;
	map->warm = calloc(map->size / WARM_WORD + 1, sizeof(*map->warm));
	if (!map->warm)
		return -ENOMEM;
	ptr = mmap(NULL, map->size, PROT_READ | (writable ? PROT_WRITE : 0),
		MAP_SHARED, fd, 0);
	if (ptr == MAP_FAILED)
		return -errno;
	map->ptr = ptr;
	map->space = space_promised(fd, map->size);
	map->streams = map->size > cache_size();
	atomic_init(&map->refs, 1);
	*out = KEEP(map);
	return 0;
}

int rmm_map_fdopen(int fd, unsigned flags, struct rmm_map **out)
{
	bool writable = !(flags & RMM_RDONLY);
	int err;

	if (flags & ~RMM_RDONLY)
		return -EINVAL;
	err = check_mode(fd, writable);
	return err ? err : map_fd(fd, writable, out);
}

int rmm_map_open(const char *path, unsigned flags, struct rmm_map **out)
{
	bool writable = !(flags & RMM_RDONLY);
	int err;

	if (flags & ~RMM_RDONLY)
		return -EINVAL;

	/* Non-blocking: a FIFO is refused, not waited for. */
	AUTO_FD int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC |
					    O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	err = map_fd(fd, writable, out);
	if (!err)
		(void)KEEP_FD(fd);
	return err;
}

/* ---- creating ---- */

/* A file in the making: what there is to undo while it has no name. */
struct draft {
	int dir;
	int fd;
	char name[32];   /* temporary; empty when there is no such file */
	struct stat old; /* what has the final name; st_mode 0: nothing */
};

static void draft_fini(struct draft *draft)
{
	int saved = errno;

	if (draft->name[0])
		unlinkat(draft->dir, draft->name, 0);
	auto_close(&draft->fd);
	auto_close(&draft->dir);
	errno = saved;
}

/* What may have the final name now: nothing, or a file to be replaced. */
static int draft_check_name(
	struct draft *draft, const char *name, unsigned flags)
{
	if (fstatat(draft->dir, name, &draft->old, AT_SYMLINK_NOFOLLOW) < 0) {
		draft->old.st_mode = 0;
		return errno == ENOENT ? 0 : -errno;
	}
	if ((flags & RMM_EXCL) || !S_ISREG(draft->old.st_mode))
		return -EEXIST;
	/* Renaming over it asks for less than truncating it would. */
	return faccessat(draft->dir, name, W_OK, AT_EACCESS) < 0 ? -errno : 0;
}

static int draft_open(struct draft *draft)
{
	char name[sizeof(draft->name)];
	uint64_t random;

	do {
		if (getrandom(&random, sizeof(random), 0) < 0)
			return -errno;
		snprintf(name, sizeof(name), ".rmm-%016" PRIx64 ".tmp", random);
		draft->fd = openat(draft->dir, name,
			O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	} while (draft->fd < 0 && errno == EEXIST);
	if (draft->fd < 0)
		return -errno;
	memcpy(draft->name, name, sizeof(name));
	return 0;
}

static int draft_fill(struct draft *draft, uint64_t size, unsigned flags)
{
	int err =
		flags & RMM_SPARSE ? -EOPNOTSUPP : rmm_reserve(draft->fd, size);

	if (err == -EOPNOTSUPP)
		err = ftruncate(draft->fd, (off_t)size) < 0 ? -errno : 0;
	if (err || draft->old.st_mode == 0)
		return err;
	/* Only root can give a file away: others keep what they replace. */
	if (fchown(draft->fd, draft->old.st_uid, draft->old.st_gid) < 0 &&
		errno != EPERM)
		return -errno;
	return fchmod(draft->fd, draft->old.st_mode & 0777) < 0 ? -errno : 0;
}

/* Give it its name: the step after which nothing can fail. */
static int draft_name(struct draft *draft, const char *name)
{
	unsigned how = draft->old.st_mode ? 0 : RENAME_NOREPLACE;
	int err = 0;

	if (renameat2(draft->dir, draft->name, draft->dir, name, how) < 0)
		err = -errno;
	if (err == -EINVAL && how) { /* the filesystem knows no such flag */
		if (linkat(draft->dir, draft->name, draft->dir, name, 0) < 0)
			return -errno;
		return 0; /* draft_fini removes the other name */
	}
	if (!err)
		draft->name[0] = '\0';
	return err;
}

static int create_in(struct draft *draft, const char *name, uint64_t size,
	unsigned flags, struct rmm_map **out)
{
	AUTO(auto_map_free) struct rmm_map *map = NULL;
	int err = draft_check_name(draft, name, flags);

	if (!err)
		err = draft_open(draft);
	if (!err)
		err = draft_fill(draft, size, flags);
	if (!err)
		err = map_fd(draft->fd, true, &map);
	if (!err)
		err = draft_name(draft, name);
	if (err)
		return err;
	draft->fd = -1; /* the map's now */
	*out = KEEP(map);
	return 0;
}

int rmm_map_create(
	const char *path, uint64_t size, unsigned flags, struct rmm_map **out)
{
	if (size == 0 || (flags & ~(RMM_SPARSE | RMM_EXCL)))
		return -EINVAL;
	if (size > INT64_MAX)
		return -EFBIG;
	if (!*path)
		return -ENOENT;

	AUTO_FREE char *for_dir = strdup(path);
	AUTO_FREE char *for_name = strdup(path);
	AUTO(draft_fini) struct draft draft = {.dir = -1, .fd = -1};

	if (!for_dir || !for_name)
		return -ENOMEM;
	draft.dir = open(dirname(for_dir), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (draft.dir < 0)
		return -errno;
	return create_in(&draft, basename(for_name), size, flags, out);
}

/* ---- sharing and closing ---- */

struct rmm_map *rmm_map_ref(struct rmm_map *map)
{
	/* Relaxed: the caller's own reference keeps the map. */
	atomic_fetch_add_explicit(&map->refs, 1, memory_order_relaxed);
	return map;
}

void rmm_map_close(struct rmm_map *map)
{
	/*
	 * Release: what this thread did with the map comes before; acquire, in
	 * whoever finds itself last: all of it comes before the unmapping.
	 */
	if (!map || atomic_fetch_sub_explicit(
			    &map->refs, 1, memory_order_acq_rel) != 1)
		return;
	int saved = errno;

	close(map->fd);
	map_free(map);
	errno = saved;
}

int rmm_map_fd(const struct rmm_map *map)
{
	return map->fd;
}

uint64_t rmm_map_size(const struct rmm_map *map)
{
	return map->size;
}

uint64_t rmm_map_id(const struct rmm_map *map)
{
	return map->id;
}

void *rmm_map_ptr(const struct rmm_map *map)
{
	return map->ptr;
}

enum rmm_space rmm_map_space(const struct rmm_map *map)
{
	return map->space;
}
