/* Where a target is found. */
#include "rmfsctl/place.h"

#include <fcntl.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/openat.h"
#include "ledger/ledger.h"
#include "target/store.h"

#define TYPE "fuse.rmfs"

void place_fini(struct place *p)
{
	if (p->dirfd >= 0)
		close(p->dirfd);
	if (p->fd >= 0)
		close(p->fd);
	free(p->name);
	free(p->mount);
	*p = PLACE_NONE;
}

static int refuse(const struct place *p, int err, const char *why)
{
	log_error("%s: %s", p->path, why);
	return err;
}

static int refuse_errno(const struct place *p, int err)
{
	return refuse(p, err, strerror(-err));
}

/* ---- mounts of rmfs -------------------------------------------------------
 */

/*
 * The mountpoint of the last rmfs that is accepted, owned by the caller; NULL
 * when there is none.
 */
static char *find_mount(
	bool (*accept)(const struct mntent *mount, const void *arg),
	const void *arg)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent entry;
	char *found = NULL;
	char line[8192];

	if (!mounts)
		return NULL;
	while (getmntent_r(mounts, &entry, line, sizeof(line))) {
		if (strcmp(entry.mnt_type, TYPE) != 0 || !accept(&entry, arg))
			continue;
		free(found);
		found = strdup(entry.mnt_dir);
	}
	endmntent(mounts);
	return found;
}

struct spot {
	const char *path;
	dev_t device;
};

/* Is it in this mount, and not in a copy of it elsewhere? */
static bool is_above(const struct mntent *mount, const void *arg)
{
	const struct spot *spot = arg;
	size_t len = strlen(mount->mnt_dir);
	struct stat st;

	return strncmp(spot->path, mount->mnt_dir, len) == 0 &&
	       strchr("/", spot->path[len]) && stat(mount->mnt_dir, &st) == 0 &&
	       st.st_dev == spot->device;
}

/* A mount says where it comes from, unless -o fsname said otherwise. */
static bool is_source(const struct mntent *mount, const void *arg)
{
	const char *folder = arg;

	return strcmp(mount->mnt_fsname, folder) == 0;
}

/* Open MOUNTPOINT/NAME, both known. Returns 0 or a negative errno. */
static int open_served(struct place *p)
{
	AUTO_FD int mount =
		open(p->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (mount < 0)
		return -errno;
	p->dirfd = openat(mount, p->name,
		O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (p->dirfd < 0)
		return -errno;
	p->fd = openat(p->dirfd, "data", O_RDONLY | O_CLOEXEC);
	if (p->fd < 0 || fstat(p->fd, &p->st) < 0)
		return -errno;
	return 0;
}

/* @whole is below p->mount: the target is the first folder on the way. */
static int find_in_mount(struct place *p, const char *whole)
{
	const char *name = whole + strlen(p->mount);
	int err;

	name += strspn(name, "/");
	if (!*name)
		return refuse(p, -EINVAL,
			"is the mountpoint of an rmfs: which of the targets in "
			"it?");
	p->name = strndup(name, strcspn(name, "/"));
	if (!p->name)
		return refuse_errno(p, -ENOMEM);
	err = open_served(p);
	if (err == -ENOENT)
		return refuse(p, err, "is no target");
	return err ? refuse_errno(p, err) : 0;
}

/* ---- files ----------------------------------------------------------------
 */

/* Somebody has locked the file: look at it through his mount. */
static int find_server(struct place *p, const char *folder)
{
	int err;

	p->mount = find_mount(is_source, folder);
	if (!p->mount)
		return refuse(p, -EBUSY,
			"another program has locked it (an rmfs?): name it by "
			"its folder in the mount");
	close(KEEP_FD(p->dirfd));
	close(KEEP_FD(p->fd));
	err = open_served(p);
	if (!err)
		return 0;
	log_error("%s: is served at %s, which cannot be looked at: %s", p->path,
		p->mount, strerror(-err));
	return err;
}

/* What rmfs would not serve is no target. */
static int check_file(const struct place *p)
{
	const char *refused = target_name_refused(p->name);

	if (refused)
		return refuse(p, -EINVAL, refused);
	if (p->st.st_nlink != 1)
		return refuse(p, -EINVAL, "has more than one link");
	if (p->st.st_size == 0)
		return refuse(p, -EINVAL, "is empty");
	return 0;
}

/* @whole is the path of a regular file; cut in two. */
static int find_file(struct place *p, char *whole, int lock)
{
	char *slash = strrchr(whole, '/');
	const char *folder = slash == whole ? "/" : whole;
	int err;

	p->name = strdup(slash + 1);
	*slash = '\0';
	if (!p->name)
		return refuse_errno(p, -ENOMEM);
	p->dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->dirfd < 0)
		return refuse_errno(p, -errno);
	p->fd = open_beneath(p->dirfd, p->name, O_RDONLY | O_NOFOLLOW, 0);
	if (p->fd < 0)
		return refuse_errno(p, p->fd);
	if (fstat(p->fd, &p->st) < 0)
		return refuse_errno(p, -errno);
	err = check_file(p);
	if (err)
		return err;
	if (flock(p->fd, lock | LOCK_NB) == 0)
		return 0;
	return errno == EWOULDBLOCK ? find_server(p, folder)
				    : refuse_errno(p, -errno);
}

int place_find(struct place *p, const char *path, int lock)
{
	AUTO_FREE char *whole = realpath(path, NULL);
	struct stat st;

	p->path = path;
	if (!whole || stat(whole, &st) < 0)
		return refuse_errno(p, -errno);
	p->mount = find_mount(
		is_above, &(struct spot){.path = whole, .device = st.st_dev});
	if (p->mount)
		return find_in_mount(p, whole);
	if (S_ISDIR(st.st_mode))
		return refuse(p, -EISDIR, "is a folder, and not in an rmfs");
	if (!S_ISREG(st.st_mode))
		return refuse(p, -EINVAL, "is not a regular file");
	return find_file(p, whole, lock);
}

int place_fits(const struct place *p, const struct ledger *ledger, char *why)
{
	uint64_t size = (uint64_t)p->st.st_size;
	uint64_t recorded = ledger_header(ledger)->size;

	if (recorded == size)
		return 0;
	snprintf(why, LEDGER_WHY_SIZE,
		"%.150s.rmfs is of a file of %ju bytes, this one has %ju",
		p->name, (uintmax_t)recorded, (uintmax_t)size);
	return -EILSEQ;
}

int place_ledger(const struct place *p, struct ledger **out, char *why)
{
	int err = ledger_open_readonly(p->dirfd, p->name, out, why);

	if (err == -ENOENT)
		snprintf(why, LEDGER_WHY_SIZE, "has no ledger");
	if (err)
		return err;
	err = place_fits(p, *out, why);
	if (err)
		ledger_close(*out);
	return err;
}
