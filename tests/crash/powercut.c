/*
 * powercut: what a disk may hold when the power fails, image by image.
 *
 *   powercut entries LOG
 *   powercut images LOG FROM SIZE IMAGE COUNT SEED COMMAND...
 *
 * LOG is what QEMU's blklogwrites filter recorded: every write and flush of a
 * device of SIZE bytes, in the format of the kernel's dm-log-writes. "entries"
 * prints how many there are. "images" picks COUNT random moments from entry
 * FROM on, in order. For each it makes the file IMAGE and runs COMMAND with
 *
 *   CUT_IMAGE   its number, from 1
 *   CUT_AT      entries that are certainly in it: all up to the last flush
 *   CUT_UNTIL   entries that may be in it: a random share of the later ones is,
 *               in random order, one in five torn at a sector
 *
 * and ends at the first COMMAND that fails, with its status.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x6a736677736872)

enum { SECTOR = 512, COPY_SIZE = 1 << 20, TORN_PERCENT = 20 };

enum { FLUSH = 1, FUA = 2, DISCARD = 4 };

/* The format on disk, little-endian. */
struct super {
	uint64_t magic, version, entries;
	uint32_t sector_size;
};

struct disk_entry {
	uint64_t sector, sectors, flags, data_len;
};

struct entry {
	uint64_t at, len; /* on the device, bytes */
	uint64_t flags;
	off_t data; /* in the log */
};

static struct entry *entries;
static size_t entry_count;
static int log_fd, base_fd, image_fd;
static uint64_t device_size, random_state;

__attribute__((noreturn)) static void die(const char *what, const char *name)
{
	fprintf(stderr, "powercut: %s %s: %s\n", what, name, strerror(errno));
	exit(2);
}

/* Steele, Lea, Flood: SplitMix64 (OOPSLA 2014). */
static uint64_t random_below(uint64_t limit)
{
	uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return limit ? (z ^ z >> 31) % limit : 0;
}

static void read_all(int fd, void *buf, size_t len, off_t at)
{
	if (pread(fd, buf, len, at) != (ssize_t)len)
		die("read", "a file shorter than it says");
}

static uint64_t read_super(const char *path, uint32_t *sector_size)
{
	struct super super;

	log_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (log_fd < 0)
		die("open", path);
	read_all(log_fd, &super, sizeof(super), 0);
	if (super.magic != MAGIC || super.version != 1) {
		errno = EILSEQ;
		die("no log of writes:", path);
	}
	*sector_size = super.sector_size;
	return super.entries;
}

static void read_log(const char *path)
{
	uint32_t unit;
	off_t at;

	entry_count = read_super(path, &unit);
	entries = calloc(entry_count + 1, sizeof(*entries));
	if (!entries)
		die("read", path);
	at = unit;
	for (size_t i = 0; i < entry_count; i++) {
		struct disk_entry on_disk;

		read_all(log_fd, &on_disk, sizeof(on_disk), at);
		at += unit;
		entries[i] = (struct entry){
			.at = on_disk.sector * unit,
			.len = on_disk.sectors * unit,
			.flags = on_disk.flags,
			.data = at,
		};
		if (!(on_disk.flags & DISCARD))
			at += (off_t)entries[i].len;
		if (entries[i].at + entries[i].len > device_size) {
			errno = ERANGE;
			die("past the end of the device:", path);
		}
	}
}

/* Copy bytes between files; @from at @in, to @to at @out. */
static void copy(int from, off_t in, int to, off_t out, uint64_t len)
{
	while (len > 0) {
		ssize_t n = copy_file_range(from, &in, to, &out, len, 0);

		if (n <= 0)
			die("copy", "to an image");
		len -= (uint64_t)n;
	}
}

static void apply(int fd, const struct entry *e, uint64_t skip, uint64_t len)
{
	off_t at = (off_t)(e->at + skip);

	if (!(e->flags & DISCARD))
		copy(log_fd, e->data + (off_t)skip, fd, at, len);
	else if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at,
			 (off_t)len))
		die("punch", "an image");
}

/* Half of a write: its beginning or its end, cut between two sectors. */
static void apply_torn(const struct entry *e)
{
	uint64_t cut = SECTOR * (1 + random_below(e->len / SECTOR - 1));

	if (random_below(2))
		apply(image_fd, e, 0, cut);
	else
		apply(image_fd, e, cut, e->len - cut);
}

/* Some of the entries [first, last) reach the disk, in any order. */
static void apply_some(size_t first, size_t last)
{
	size_t n = 0, *order = calloc(last - first + 1, sizeof(*order));
	uint64_t percent = random_below(101);

	if (!order)
		die("allocate", "an image");
	for (size_t i = first; i < last; i++)
		if (entries[i].flags & FUA || random_below(100) < percent)
			order[n++] = i;
	for (; n > 0; n--) {
		size_t pick = random_below(n);
		const struct entry *e = &entries[order[pick]];

		order[pick] = order[n - 1];
		if (e->len > SECTOR && !(e->flags & FUA) &&
			random_below(100) < TORN_PERCENT)
			apply_torn(e);
		else
			apply(image_fd, e, 0, e->len);
	}
	free(order);
}

/* Make the image a copy of the base, holes as holes. */
static void copy_base(void)
{
	off_t data = 0, hole;

	if (ftruncate(image_fd, 0) || ftruncate(image_fd, (off_t)device_size))
		die("truncate", "an image");
	while ((data = lseek(base_fd, data, SEEK_DATA)) >= 0) {
		hole = lseek(base_fd, data, SEEK_HOLE);
		copy(base_fd, data, image_fd, data, (uint64_t)(hole - data));
		data = hole;
	}
}

static void set_number(const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	setenv(name, text, 1);
}

static int run(char **command)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		die("fork", command[0]);
	if (pid == 0) {
		execvp(command[0], command);
		die("run", command[0]);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("wait for", command[0]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

static int by_value(const void *left, const void *right)
{
	const size_t *l = left, *r = right;

	return (*l > *r) - (*l < *r);
}

/* The moments: the number of entries that have been made by then. */
static size_t *choose(size_t from, size_t count)
{
	size_t *moments = calloc(count + 1, sizeof(*moments));

	if (!moments || from > entry_count)
		die("choose", "moments");
	for (size_t i = 0; i < count; i++)
		moments[i] = from + random_below(entry_count - from + 1);
	qsort(moments, count, sizeof(*moments), by_value);
	return moments;
}

static int make_images(
	const char *image, size_t from, size_t count, char **command)
{
	size_t *moments = choose(from, count);
	size_t done = 0;
	int status = 0;

	for (size_t i = 0; i < count && !status; i++) {
		size_t flushed = moments[i];

		while (flushed > done && !(entries[flushed - 1].flags & FLUSH))
			flushed--;
		for (; done < flushed; done++)
			apply(base_fd, &entries[done], 0, entries[done].len);
		image_fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (image_fd < 0)
			die("open", image);
		copy_base();
		apply_some(flushed, moments[i]);
		close(image_fd);
		set_number("CUT_IMAGE", i + 1);
		set_number("CUT_AT", flushed);
		set_number("CUT_UNTIL", moments[i]);
		status = run(command);
	}
	free(moments);
	return status;
}

/* A file without a name, beside the image. */
static int open_base(const char *image)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s.base", image);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || unlink(path) || ftruncate(fd, (off_t)device_size))
		die("open", path);
	return fd;
}

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 0);
}

int main(int argc, char **argv)
{
	uint32_t unit;

	if (argc == 3 && !strcmp(argv[1], "entries")) {
		printf("%" PRIu64 "\n", read_super(argv[2], &unit));
		return 0;
	}
	if (argc < 9 || strcmp(argv[1], "images")) {
		fputs("powercut entries LOG\npowercut images LOG FROM SIZE "
		      "IMAGE COUNT SEED COMMAND...\n",
			stderr);
		return 2;
	}
	device_size = number(argv[4]);
	random_state = number(argv[7]);
	read_log(argv[2]);
	base_fd = open_base(argv[5]);
	return make_images(argv[5], number(argv[3]), number(argv[6]), argv + 8);
}
