/*
 * scatter: many processes fill many slots at once, in no order at all.
 *
 *   scatter RANGES SOURCE PROCESSES [SEED]
 *
 * Every file FIRST-LAST in the folder RANGES gets bytes FIRST to LAST of
 * SOURCE. The files are dealt to PROCESSES processes; each opens all of its
 * own, then writes pieces of random length in random order, some of them twice.
 * The seed is printed; giving it again repeats the run.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SLOTS_MAX 4096
#define PIECE_BITS_MAX 16

struct slot {
	char name[64];
	uint64_t first, last;
	int fd;
};

struct piece {
	uint64_t at, len;
	const struct slot *slot;
};

static struct slot slots[SLOTS_MAX];
static size_t slot_count;
static const char *source;
static uint64_t random_state;

__attribute__((noreturn)) static void die(const char *what, const char *name)
{
	fprintf(stderr, "scatter: %s %s: %s\n", what, name, strerror(errno));
	exit(1);
}

/* splitmix64: Steele, Lea, Flood, OOPSLA 2014. */
static uint64_t random_below(uint64_t limit)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (z ^ z >> 31) % limit;
}

static void list_slots(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *e;

	if (!dir)
		die("open", folder);
	while ((e = readdir(dir))) {
		struct slot *s = &slots[slot_count];

		if (sscanf(e->d_name, "%" SCNu64 "-%" SCNu64, &s->first,
			    &s->last) != 2)
			continue;
		snprintf(s->name, sizeof(s->name), "%.63s", e->d_name);
		if (++slot_count == SLOTS_MAX)
			break;
	}
	closedir(dir);
	for (size_t i = slot_count; i > 1; i--) {
		size_t j = random_below(i);
		struct slot swap = slots[i - 1];

		slots[i - 1] = slots[j];
		slots[j] = swap;
	}
}

static uint64_t piece_length(uint64_t left)
{
	uint64_t len = 1 + random_below(1u << random_below(PIECE_BITS_MAX + 1));

	return len < left ? len : left;
}

/* Cut a slot into pieces, every eighth followed by one that overlaps it. */
static size_t cut(const struct slot *slot, struct piece *pieces)
{
	uint64_t len = slot->last - slot->first + 1;
	size_t n = 0;

	for (uint64_t at = 0; at < len; at += pieces[n - 1].len) {
		if (at > 0 && random_below(8) == 0) {
			uint64_t back = random_below(at);

			pieces[n++] = (struct piece){
				back, piece_length(len - back), slot};
		}
		pieces[n++] = (struct piece){at, piece_length(len - at), slot};
	}
	return n;
}

static void write_piece(const struct piece *p)
{
	const char *from = source + p->slot->first + p->at;
	ssize_t n = pwrite(p->slot->fd, from, p->len, (off_t)p->at);

	if (n < 0)
		die("write", p->slot->name);
	if ((uint64_t)n != p->len) {
		errno = EIO;
		die("short write", p->slot->name);
	}
}

/* The life of process @me of @processes. */
static void fill(int dir, size_t me, size_t processes)
{
	size_t n = 0, most = 0;
	struct piece *pieces;

	random_state += me << 32;
	for (size_t i = me; i < slot_count; i += processes)
		most += 2 * (slots[i].last - slots[i].first + 1);
	pieces = mmap(NULL, most * sizeof(*pieces) + 1, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pieces == MAP_FAILED)
		die("allocate", "pieces");
	for (size_t i = me; i < slot_count; i += processes) {
		slots[i].fd = openat(dir, slots[i].name, O_WRONLY | O_CLOEXEC);
		if (slots[i].fd < 0)
			die("open", slots[i].name);
		n += cut(&slots[i], pieces + n);
	}
	for (; n > 0; n--) {
		size_t i = random_below(n);

		write_piece(&pieces[i]);
		pieces[i] = pieces[n - 1];
	}
	for (size_t i = me; i < slot_count; i += processes)
		if (close(slots[i].fd))
			die("close", slots[i].name);
}

static void map_source(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		die("open", path);
	source = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (source == MAP_FAILED)
		die("map", path);
	close(fd);
}

int main(int argc, char **argv)
{
	size_t processes;
	int dir, status, failed = 0;

	if (argc < 4) {
		fputs("scatter RANGES SOURCE PROCESSES [SEED]\n", stderr);
		return 2;
	}
	random_state = (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid();
	if (argc > 4)
		random_state = strtoull(argv[4], NULL, 0);
	printf("seed %" PRIu64 "\n", random_state);
	fflush(stdout);
	processes = strtoul(argv[3], NULL, 0);
	map_source(argv[2]);
	list_slots(argv[1]);
	dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		die("open", argv[1]);
	for (size_t i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork", "a writer");
		if (pid == 0) {
			fill(dir, i, processes);
			exit(0);
		}
	}
	while (wait(&status) > 0)
		failed |= status;
	return failed != 0;
}
