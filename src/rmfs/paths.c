/*
 * SOURCE and MOUNTPOINT: whether they go together, before anything starts.
 *
 * A dead mount is one whose daemon was killed: every request to it fails with
 * ENOTCONN, but mountinfo still knows it. Attributes may come from the
 * kernel's cache for a second, so it is asked with statfs, which never does.
 */
#include "rmfs/paths.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/log.h"

#define TYPE "fuse.rmfs"

/* A mount on a mount on ...: more than this is somebody's mistake. */
#define DEAD_MAX 16

static int refuse(char *why, size_t why_size, int err, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static int refuse(char *why, size_t why_size, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, why_size, format, args);
	va_end(args);
	return err;
}

void paths_fini(struct paths *paths)
{
	free(paths->source);
	free(paths->mountpoint);
	*paths = (struct paths){0};
}

bool path_is_within(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	if (strncmp(path, folder, len) != 0)
		return false;
	return path[len] == '\0' || path[len] == '/' || folder[len - 1] == '/';
}

/* ---- mountinfo ---------------------------------------------------------- */

static bool is_octal(const char *p)
{
	return p[0] >= '0' && p[0] <= '3' && p[1] >= '0' && p[1] <= '7' &&
	       p[2] >= '0' && p[2] <= '7';
}

/* Blanks and backslashes are written as three octal digits. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++, to++) {
		*to = *text;
		if (*text == '\\' && is_octal(text + 1)) {
			*to = (char)((text[1] - '0') << 6 |
				     (text[2] - '0') << 3 | (text[3] - '0'));
			text += 3;
		}
	}
	*to = '\0';
}

void mountinfo_type(
	FILE *mountinfo, const char *path, char *type, size_t type_size)
{
	AUTO_FREE char *line = NULL;
	size_t size = 0;

	*type = '\0';
	while (getline(&line, &size, mountinfo) > 0) {
		char *dash = strstr(line, " - ");
		char *rest = line;
		char *word = NULL;

		/* ID, parent, device, root, then where it is mounted. */
		for (int i = 0; i < 5; i++)
			word = strsep(&rest, " ");
		if (!word || !dash)
			continue;
		unescape(word);
		if (strcmp(word, path) != 0)
			continue;
		rest = dash + strlen(" - ");
		snprintf(type, type_size, "%s", strsep(&rest, " "));
	}
}

static bool is_ours(const char *path)
{
	FILE *mountinfo = fopen("/proc/self/mountinfo", "re");
	char type[64];

	if (!mountinfo)
		return false;
	mountinfo_type(mountinfo, path, type, sizeof(type));
	fclose(mountinfo);
	return strcmp(type, TYPE) == 0;
}

/* ---- a dead mount ------------------------------------------------------- */

static bool is_dead(const char *path)
{
	struct statfs fs;

	/* ECONNABORTED: it died while we asked. */
	return statfs(path, &fs) < 0 &&
	       (errno == ENOTCONN || errno == ECONNABORTED);
}

/* Users may unmount what is theirs, through the helper alone. */
static int detach_by_helper(const char *path)
{
	pid_t pid = fork();
	int status = 0;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		execlp("fusermount3", "fusermount3", "-u", "-z", "--", path,
			(char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

static int detach(const char *path)
{
	if (geteuid() != 0)
		return detach_by_helper(path);
	return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
}

static int clear_dead(const char *path, char *why, size_t why_size)
{
	for (int i = 0; i < DEAD_MAX && is_ours(path); i++) {
		int err;

		if (!is_dead(path))
			return refuse(why, why_size, -EBUSY,
				"%s: an rmfs is mounted there already", path);
		err = detach(path);
		if (err < 0)
			return refuse(why, why_size, err,
				"%s: a dead rmfs is mounted there and cannot "
				"be unmounted: %s",
				path, strerror(-err));
		log_info("%s: unmounted an rmfs whose daemon was gone", path);
	}
	return 0;
}

/* ---- resolving ---------------------------------------------------------- */

/* The folder above is resolved alone: a dead mount cannot be looked at. */
static char *resolve_mountpoint(const char *path)
{
	AUTO_FREE char *copy = strdup(path);
	AUTO_FREE char *folder = NULL;
	char *last, *whole;
	size_t len;

	if (!copy)
		return NULL;
	for (len = strlen(copy); len > 1 && copy[len - 1] == '/'; len--)
		copy[len - 1] = '\0';
	whole = realpath(copy, NULL);
	if (whole || (errno != ENOTCONN && errno != ECONNABORTED))
		return whole;
	last = strrchr(copy, '/');
	if (last)
		*last = '\0';
	folder = realpath(!last ? "." : *copy ? copy : "/", NULL);
	last = last ? last + 1 : copy;
	if (!folder)
		return NULL;
	if (asprintf(&whole, "%s/%s", folder[1] ? folder : "", last) < 0)
		return NULL;
	return whole;
}

static int is_folder(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int check_apart(const struct paths *p, char *why, size_t why_size)
{
	if (strcmp(p->source, p->mountpoint) == 0)
		return refuse(why, why_size, -EINVAL,
			"%s: SOURCE and MOUNTPOINT are the same folder",
			p->source);
	if (path_is_within(p->mountpoint, p->source))
		return refuse(why, why_size, -EINVAL,
			"%s: MOUNTPOINT is inside SOURCE, %s", p->mountpoint,
			p->source);
	if (path_is_within(p->source, p->mountpoint))
		return refuse(why, why_size, -EINVAL,
			"%s: SOURCE is inside MOUNTPOINT, %s", p->source,
			p->mountpoint);
	return 0;
}

int paths_resolve(const char *source, const char *mountpoint,
	struct paths *paths, char *why, size_t why_size)
{
	AUTO(paths_fini) struct paths p = {0};
	int err;

	p.mountpoint = resolve_mountpoint(mountpoint);
	if (!p.mountpoint)
		return refuse(
			why, why_size, -errno, "MOUNTPOINT %s: %m", mountpoint);
	err = clear_dead(p.mountpoint, why, why_size);
	if (err < 0)
		return err;
	err = is_folder(p.mountpoint);
	if (err < 0)
		return refuse(why, why_size, err, "MOUNTPOINT %s: %s",
			mountpoint, strerror(-err));
	p.source = realpath(source, NULL);
	err = p.source ? is_folder(p.source) : -errno;
	if (err < 0)
		return refuse(why, why_size, err, "SOURCE %s: %s", source,
			strerror(-err));
	err = check_apart(&p, why, why_size);
	if (err < 0)
		return err;
	paths->source = KEEP(p.source);
	paths->mountpoint = KEEP(p.mountpoint);
	return 0;
}
