/*
 * Making a target. It is built without a name, so that a crash or a full disk
 * leaves nothing; its ledger goes first, then one link(2) lets it appear.
 * A lock on the folder keeps two makers of one name apart.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <ranged_mmap.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/cleanup.h"
#include "base/openat.h"
#include "base/size.h"
#include "ledger/ledger.h"
#include "target/store.h"

#define PROC_FD "/proc/self/fd/%d"

const char *target_name_refused(const char *name)
{
	if (!name[0])
		return "it is empty";
	if (name[0] == '.')
		return "it starts with a dot";
	if (strlen(name) > TARGET_NAME_MAX)
		return "it is longer than 200 bytes";
	for (const char *c = name; *c; c++) {
		if (*c == '/')
			return "it contains a slash";
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return "it contains a control character";
	}
	if (ledger_reserved(name))
		return "its ending is reserved for rmfs's own files";
	return NULL;
}

/* Say in @why what failed; returns @err. */
static int because(int err, char *why, size_t why_size, const char *what)
{
	snprintf(why, why_size, "%s: %s", what, strerror(-err));
	return err;
}

static int because_full(int dirfd, const struct target_spec *spec, int err,
	char *why, size_t why_size)
{
	char needed[SIZE_TEXT_MAX], left[SIZE_TEXT_MAX];
	struct statvfs fs;
	uint64_t free_bytes = 0;

	if (err == -EOPNOTSUPP)
		return because(err, why, why_size,
			"this file system cannot reserve space");
	if (err != -ENOSPC)
		return because(err, why, why_size, "cannot reserve the space");
	if (!fstatvfs(dirfd, &fs))
		free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	snprintf(why, why_size,
		"no space: %s (%" PRIu64 " bytes) needed, %s (%" PRIu64
		" bytes) free",
		size_format(needed, spec->size), spec->size,
		size_format(left, free_bytes), free_bytes);
	return err;
}

/* A nameless file of that size, reserved and synced. */
static int build(
	int dirfd, const struct target_spec *spec, char *why, size_t why_size)
{
	AUTO_FD int fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC,
		spec->mode ? spec->mode : 0644);
	int err;

	if (fd < 0)
		return because(-errno, why, why_size, "cannot make a file");
	if (fchmod(fd, spec->mode ? spec->mode : 0644))
		return because(-errno, why, why_size, "cannot set the mode");
	err = rmm_reserve(fd, spec->size);
	if (err)
		return because_full(dirfd, spec, err, why, why_size);
	if (fsync(fd))
		return because(-errno, why, why_size, "cannot sync");
	return KEEP_FD(fd);
}

/* The slots of a new target, one after the other. */
struct cutter {
	struct rmm_allocator *allocator;
	uint64_t slot_size;
	uint64_t count;
	struct stat st;
};

static bool next_slot(void *arg, struct ledger_slot *slot)
{
	struct cutter *cutter = arg;
	struct rmm_range range;

	if (!cutter->slot_size || rmm_allocator_alloc(cutter->allocator,
					  cutter->slot_size, &range))
		return false;
	*slot = (struct ledger_slot){
		.id = ++cutter->count,
		.start = range.start,
		.length = rmm_range_len(&range),
		.generation = 1,
		.uid = cutter->st.st_uid,
		.gid = cutter->st.st_gid,
		.mode = cutter->st.st_mode & 0666,
		.mtime_ns = cutter->st.st_mtim.tv_sec * INT64_C(1000000000) +
			    cutter->st.st_mtim.tv_nsec,
	};
	return true;
}

int target_identity(int fd, uint64_t *identity)
{
	struct rmm_map *map;
	int err, copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return -errno;
	err = rmm_map_fdopen(copy, RMM_RDONLY, &map);
	if (err) {
		close(copy);
		return err;
	}
	*identity = rmm_map_id(map);
	rmm_map_close(map);
	return 0;
}

static int write_ledger(int dirfd, int fd, const struct target_spec *spec)
{
	struct ledger_header header = {
		.size = spec->size,
		.slot_size = spec->slot_size,
	};
	struct cutter cutter = {.slot_size = spec->slot_size};
	int err;

	if (fstat(fd, &cutter.st))
		return -errno;
	err = target_identity(fd, &header.file);
	if (err)
		return err;
	err = rmm_allocator_create(
		RMM_SEQUENTIAL, spec->size, 0, &cutter.allocator);
	if (err)
		return err;
	err = ledger_create(dirfd, spec->name, &header, next_slot, &cutter);
	rmm_allocator_close(cutter.allocator);
	return err;
}

/* Give it its ledger and its name. */
static int publish(int dirfd, int fd, const struct target_spec *spec, char *why,
	size_t why_size)
{
	char path[sizeof(PROC_FD) + 12];
	int err = write_ledger(dirfd, fd, spec);
	bool linked;

	if (err == -ENOSPC)
		return because_full(dirfd, spec, err, why, why_size);
	if (err)
		return because(err, why, why_size, "cannot write the ledger");
	snprintf(path, sizeof(path), PROC_FD, fd);
	linked = !linkat(AT_FDCWD, path, dirfd, spec->name, AT_SYMLINK_FOLLOW);
	if (linked && !fsync(dirfd))
		return 0;
	err = -errno;
	if (linked)
		unlinkat(dirfd, spec->name, 0);
	ledger_remove(dirfd, spec->name);
	return because(err, why, why_size, "cannot give it its name");
}

static int check(const struct target_spec *spec, char *why, size_t why_size)
{
	const char *refused = target_name_refused(spec->name);

	if (refused)
		snprintf(why, why_size, "not a name for a target: %s", refused);
	else if (!spec->size)
		snprintf(why, why_size, "the size must not be 0");
	else if (spec->size > INT64_MAX - RMM_ALIGNMENT)
		snprintf(
			why, why_size, "the size is more than a file can have");
	else
		return 0;
	return -EINVAL;
}

int target_create(
	int dirfd, const struct target_spec *given, char *why, size_t why_size)
{
	struct target_spec spec = *given;
	struct stat st;
	int err = check(&spec, why, why_size);

	if (err)
		return err;
	spec.slot_size = rmm_align_up(spec.slot_size);
	AUTO_FD int lock = open_beneath(dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
	if (lock < 0)
		return because(lock, why, why_size, "cannot open the folder");
	if (flock(lock, LOCK_EX))
		return because(-errno, why, why_size, "cannot lock the folder");
	if (!fstatat(dirfd, spec.name, &st, AT_SYMLINK_NOFOLLOW))
		return because(-EEXIST, why, why_size, "cannot create");
	if (errno != ENOENT)
		return because(-errno, why, why_size, "cannot create");
	AUTO_FD int fd = build(dirfd, &spec, why, why_size);
	if (fd < 0)
		return fd;
	return publish(dirfd, fd, &spec, why, why_size);
}
