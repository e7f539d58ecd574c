#include "ledger/layout.h"

#include <fcntl.h>
#include <inttypes.h>
#include <ranged_mmap.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/openat.h"

#define SUFFIX ".rmfs"
#define FORMAT "rmfs layout 1\nsize %" PRIu64 "\nslot_size %" PRIu64 "\n"

enum { NAME_SIZE = 256, TEXT_SIZE = 128 };

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n >= m && !strcmp(name + n - m, end);
}

bool layout_reserved(const char *name)
{
	static const char *const ends[] = {
		SUFFIX,
		SUFFIX "-wal",
		SUFFIX "-shm",
		SUFFIX "-journal",
		SUFFIX ".new",
	};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (ends_with(name, ends[i]))
			return true;
	return false;
}

/* "TARGET.rmfs" + @more, or -ENAMETOOLONG. */
static int file_name(char *name, const char *target, const char *more)
{
	int n = snprintf(name, NAME_SIZE, "%s" SUFFIX "%s", target, more);

	return n < NAME_SIZE ? 0 : -ENAMETOOLONG;
}

static int write_text(int dirfd, const char *name, const char *text, size_t len)
{
	AUTO_FD int fd =
		open_beneath(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = write(fd, text, len);
	if (n < 0)
		return -errno;
	if ((size_t)n < len)
		return -ENOSPC;
	return fsync(fd) ? -errno : 0;
}

int layout_write(int dirfd, const char *target, const struct layout *layout)
{
	char name[NAME_SIZE], new_name[NAME_SIZE], text[TEXT_SIZE];
	int n = snprintf(
		text, sizeof(text), FORMAT, layout->size, layout->slot_size);
	int err = file_name(new_name, target, ".new");

	if (err)
		return err;
	(void)file_name(name, target, "");
	err = write_text(dirfd, new_name, text, (size_t)n);
	if (!err && renameat(dirfd, new_name, dirfd, name))
		err = -errno;
	if (err)
		unlinkat(dirfd, new_name, 0);
	else if (fsync(dirfd))
		err = -errno;
	return err;
}

int layout_read(int dirfd, const char *target, struct layout *layout)
{
	char name[NAME_SIZE], text[TEXT_SIZE], again[TEXT_SIZE];
	struct layout found;
	ssize_t n;
	int err = file_name(name, target, "");

	if (err)
		return err;
	AUTO_FD int fd = open_beneath(dirfd, name, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	if (sscanf(text, FORMAT, &found.size, &found.slot_size) != 2)
		return -EILSEQ;
	/* One way to write it: what differs in a byte is not ours. */
	snprintf(again, sizeof(again), FORMAT, found.size, found.slot_size);
	if (strcmp(text, again) || strlen(text) != (size_t)n || !found.size ||
		!found.slot_size || found.slot_size % RMM_ALIGNMENT)
		return -EILSEQ;
	*layout = found;
	return 0;
}

void layout_remove(int dirfd, const char *target)
{
	char name[NAME_SIZE];

	if (!file_name(name, target, ""))
		unlinkat(dirfd, name, 0);
}
