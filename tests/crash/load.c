/*
 * load: eight writers at work on the slots of a target, and their diary.
 *
 *   load [-f] [-l LOG] [-s SEED] [-u URL] TARGET SCRATCH DIARY WRITER...
 *
 *   -f  finish: write what has no receipt, wait until all are durable, end
 *   -l  the log of the device's writes, for the positions in the diary
 *   -u  where curl finds the folder SCRATCH; file://SCRATCH if not given
 *
 * TARGET is the target's folder in the mount; SCRATCH holds what the programs
 * are given to copy; each WRITER is a process with a habit: pwrite (pieces in
 * random order), mmap (stores into a shared mapping; pwrite where that cannot
 * be had), late (writes again through a handle that is still open), dd, cp or
 * curl. Slots are dealt to the writers. A writer fills a slot of its own with
 * new random bytes, looks at the receipt, and if there is one often takes it
 * away and starts again.
 *
 * Without -f it runs until the mount is dead or a SIGTERM. The exit status is 0
 * then; 1 if something else went wrong.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "diary.h"

enum {
	SLOTS_MAX = 1024,
	PIECE_MAX = 9000,
	TROUBLE_MAX = 200, /* failures in a row, each 10 ms apart */
	LOOKS = 250,       /* at a receipt that is to become durable */
	LOOK_MS = 2,
	FINISH_LOOKS = 5000,
};

struct slot {
	char name[DIARY_SLOT_SIZE];
	size_t length;
};

struct options {
	bool finish;
	const char *log, *url, *target, *scratch, *diary;
	uint64_t seed;
};

/* What a receipt was seen to say. */
struct seen {
	bool there, durable;
	unsigned crc;
};

struct writer {
	const char *habit;
	char source[256]; /* where programs find the bytes */
	char *bytes;
};

static struct slot slots[SLOTS_MAX];
static size_t slot_count, longest;
static struct options options;
static uint64_t random_state;
static int diary_fd, log_fd = -1, ranges_fd, receipts_fd;

__attribute__((noreturn)) static void die(const char *what, const char *name)
{
	fprintf(stderr, "load: %s %s: %s\n", what, name, strerror(errno));
	exit(1);
}

/* Steele, Lea, Flood: SplitMix64 (OOPSLA 2014). */
static uint64_t random_next(void)
{
	uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static bool one_in(uint64_t n)
{
	return random_next() % n == 0;
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* Does the daemon no longer answer? */
static bool mount_dead(void)
{
	char path[512];
	int fd;

	/* Not stat, which the kernel may answer itself. */
	snprintf(path, sizeof(path), "%s/status", options.target);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return fd < 0;
}

/* ---- the diary -------------------------------------------------------------
 */

static uint64_t position(void)
{
	uint64_t entries = 0;

	/* Its third number: see powercut.c. */
	if (log_fd >= 0 && pread(log_fd, &entries, sizeof(entries), 16) < 0)
		die("read", options.log);
	return entries;
}

static void note(const struct slot *slot, enum diary_event event, uint32_t crc)
{
	struct diary_line line = {
		.position = position(),
		.event = event,
		.crc = crc,
	};
	char text[160];
	size_t len;

	snprintf(line.slot, sizeof(line.slot), "%s", slot->name);
	len = diary_print(&line, text, sizeof(text));
	if (write(diary_fd, text, len) != (ssize_t)len)
		die("write", options.diary);
}

/* ---- looking at receipts ---------------------------------------------------
 */

static struct seen look(const struct slot *slot)
{
	struct seen seen = {0};
	char text[1024], *at;
	int fd = openat(receipts_fd, slot->name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return seen;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return seen;
	text[n] = '\0';
	at = strstr(text, "\ncrc32c=");
	seen.there = at && sscanf(at, "\ncrc32c=%8x", &seen.crc) == 1;
	seen.durable = strstr(text, "\nstate=durable\n");
	return seen;
}

static struct seen look_and_note(const struct slot *slot)
{
	struct seen seen = look(slot);

	if (seen.there)
		note(slot, seen.durable ? DIARY_DURABLE : DIARY_COMPLETE,
			seen.crc);
	return seen;
}

/* Watch a receipt for a while; note what it becomes. */
static struct seen watch(const struct slot *slot, int looks)
{
	struct seen seen = look_and_note(slot);

	while (seen.there && !seen.durable && looks-- > 0) {
		sleep_ms(LOOK_MS);
		seen = look(slot);
		if (!seen.there || seen.durable)
			seen = look_and_note(slot);
	}
	return seen;
}

/* ---- writing, each in its own way ------------------------------------------
 */

static int open_slot(const struct slot *slot, int flags)
{
	return openat(ranges_fd, slot->name, flags | O_CLOEXEC);
}

static bool write_all(int fd, const char *bytes, size_t len, size_t at)
{
	return pwrite(fd, bytes + at, len, (off_t)at) == (ssize_t)len;
}

/* Pieces of random length from a random place on, and around. */
static bool write_pieces(int fd, const char *bytes, size_t length)
{
	size_t start = random_next() % length, end = length;

	for (int lap = 0; lap < 2; lap++) {
		for (size_t at = lap ? 0 : start; at < end;) {
			size_t len = 1 + random_next() % PIECE_MAX;

			len = len < end - at ? len : end - at;
			if (!write_all(fd, bytes, len, at))
				return false;
			at += len;
		}
		end = start;
	}
	return one_in(2) || !fsync(fd);
}

static bool by_pwrite(const struct writer *w, const struct slot *slot)
{
	int fd = open_slot(slot, O_WRONLY);
	size_t length = slot->length;
	bool good;

	if (fd < 0)
		return false;
	/* Sometimes a part is written, and safe, and then it all starts anew.
	 */
	if (one_in(8))
		length = 1 + random_next() % length;
	good = write_pieces(fd, w->bytes, length);
	if (good && length < slot->length && one_in(2))
		good = write_pieces(fd, w->bytes, slot->length);
	return !close(fd) && good;
}

static bool by_mmap(const struct writer *w, const struct slot *slot)
{
	int fd = open_slot(slot, O_RDWR);
	char *p;

	if (fd < 0)
		return false;
	p = mmap(NULL, slot->length, PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		close(fd);
		return by_pwrite(w, slot);
	}
	memcpy(p, w->bytes, slot->length);
	munmap(p, slot->length);
	return !close(fd);
}

/* Make up the next bytes of the slot, and say that they are coming. */
static void new_bytes(const struct writer *w, const struct slot *slot)
{
	for (size_t i = 0; i + 8 <= longest; i += 8)
		memcpy(w->bytes + i, &(uint64_t){random_next()}, 8);
	note(slot, DIARY_WRITE, diary_crc(w->bytes, slot->length));
}

/* FLUSH without losing the handle. */
static bool flush(int fd)
{
	int copy = dup(fd);

	return copy >= 0 && !close(copy);
}

/* The receipt, durable or not yet, is made false by one more write. */
static bool by_late_write(const struct writer *w, const struct slot *slot)
{
	int fd = open_slot(slot, O_WRONLY);
	bool good;

	if (fd < 0)
		return false;
	good = write_pieces(fd, w->bytes, slot->length) && flush(fd);
	for (int again = 0; good && again < 3; again++) {
		watch(slot, one_in(4) ? 0 : LOOKS);
		note(slot, DIARY_REVOKE, 0);
		new_bytes(w, slot);
		good = write_pieces(fd, w->bytes, slot->length) && flush(fd);
	}
	return !close(fd) && good;
}

static bool by_program(
	const struct writer *w, const struct slot *slot, char **command)
{
	int fd =
		open(w->source, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	posix_spawn_file_actions_t actions;
	int status = 1;
	bool good;
	pid_t pid;

	if (fd < 0)
		die("open", w->source);
	good = write_all(fd, w->bytes, slot->length, 0);
	close(fd);
	/* What it has to say, it says of a daemon that was killed. */
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(
		&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	if (!good || posix_spawnp(&pid, command[0], &actions, NULL, command,
			     environ))
		die("run", command[0]);
	posix_spawn_file_actions_destroy(&actions);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0;
}

static bool fill(const struct writer *w, const struct slot *slot)
{
	char in[512], out[512], url[512];
	const char *base = strrchr(w->source, '/') + 1;

	if (!strcmp(w->habit, "pwrite"))
		return by_pwrite(w, slot);
	if (!strcmp(w->habit, "mmap"))
		return by_mmap(w, slot);
	if (!strcmp(w->habit, "late"))
		return by_late_write(w, slot);
	snprintf(in, sizeof(in), "if=%s", w->source);
	snprintf(out, sizeof(out), "of=%s/ranges/%s", options.target,
		slot->name);
	snprintf(url, sizeof(url), "%s/%s", options.url, base);
	if (!strcmp(w->habit, "dd"))
		return by_program(w, slot,
			(char *[]){"dd", in, out, "bs=3000",
				one_in(2) ? "conv=notrunc,fsync"
					  : "conv=notrunc",
				"status=none", NULL});
	if (!strcmp(w->habit, "cp"))
		return by_program(
			w, slot, (char *[]){"cp", in + 3, out + 3, NULL});
	return by_program(
		w, slot, (char *[]){"curl", "-sf", "-o", out + 3, url, NULL});
}

/* ---- what a writer does all day --------------------------------------------
 */

static bool take_away(const struct slot *slot)
{
	note(slot, DIARY_REVOKE, 0);
	return !unlinkat(receipts_fd, slot->name, 0);
}

/* One turn at a slot. Returns false if something did not work. */
static bool turn(const struct writer *w, const struct slot *slot)
{
	if (look_and_note(slot).there) {
		if (one_in(4))
			watch(slot, LOOKS);
		if (one_in(4))
			return true;
		if (!take_away(slot))
			return false;
		if (one_in(8))
			return true;
	}
	new_bytes(w, slot);
	if (!fill(w, slot))
		return false;
	watch(slot, one_in(3) ? 0 : LOOKS);
	return true;
}

/* Bring a slot to the end. */
static bool complete(const struct writer *w, const struct slot *slot)
{
	for (int tries = 0; tries < TROUBLE_MAX; tries++) {
		if (watch(slot, FINISH_LOOKS).durable)
			return true;
		new_bytes(w, slot);
		if (!fill(w, slot))
			sleep_ms(10);
	}
	fprintf(stderr, "load: %s cannot be finished\n", slot->name);
	return false;
}

static int finish(const struct writer *w, size_t me, size_t writers)
{
	for (size_t i = me; i < slot_count; i += writers)
		if (!complete(w, &slots[i]))
			return 1;
	return 0;
}

static int work(const struct writer *w, size_t me, size_t writers)
{
	size_t mine = (slot_count - me + writers - 1) / writers;
	int trouble = 0;

	while (mine > 0) {
		const struct slot *slot =
			&slots[me + random_next() % mine * writers];

		if (turn(w, slot)) {
			trouble = 0;
			continue;
		}
		if (mount_dead())
			return 0;
		if (++trouble > TROUBLE_MAX)
			die(w->habit, slot->name);
		sleep_ms(10);
	}
	return 0;
}

static int be_writer(const char *habit, size_t me, size_t writers)
{
	struct writer w = {.habit = habit, .bytes = malloc(longest + 8)};

	if (!w.bytes)
		die("allocate", "bytes");
	random_state = options.seed * 1000003 + me;
	snprintf(w.source, sizeof(w.source), "%s/bytes.%zu", options.scratch,
		me);
	return options.finish ? finish(&w, me, writers) : work(&w, me, writers);
}

/* ---- starting --------------------------------------------------------------
 */

static void list_slots(void)
{
	DIR *dir = fdopendir(dup(ranges_fd));
	struct dirent *e;

	if (!dir)
		die("list", options.target);
	while ((e = readdir(dir)) && slot_count < SLOTS_MAX) {
		struct slot *slot = &slots[slot_count];
		unsigned long long first, last;

		if (sscanf(e->d_name, "%llu-%llu", &first, &last) != 2)
			continue;
		snprintf(slot->name, sizeof(slot->name), "%.63s", e->d_name);
		slot->length = last - first + 1;
		longest = slot->length > longest ? slot->length : longest;
		slot_count++;
	}
	closedir(dir);
}

static int open_folder(const char *name)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", options.target, name);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		die("open", path);
	return fd;
}

static void open_all(void)
{
	ranges_fd = open_folder("ranges");
	receipts_fd = open_folder("receipts");
	diary_fd = open(
		options.diary, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (diary_fd < 0)
		die("open", options.diary);
	if (options.log)
		log_fd = open(options.log, O_RDONLY | O_CLOEXEC);
	if (options.log && log_fd < 0)
		die("open", options.log);
	list_slots();
}

static void parse(int argc, char **argv)
{
	static char url[512];
	int c;

	options.seed = (uint64_t)time(NULL) * 65537 + (uint64_t)getpid();
	while ((c = getopt(argc, argv, "fl:s:u:")) != -1) {
		switch (c) {
		case 'f':
			options.finish = true;
			break;
		case 'l':
			options.log = optarg;
			break;
		case 's':
			options.seed = strtoull(optarg, NULL, 0);
			break;
		case 'u':
			options.url = optarg;
			break;
		default:
			exit(2);
		}
	}
	if (argc - optind < 4) {
		fputs("load [-f] [-l LOG] [-s SEED] [-u URL] "
		      "TARGET SCRATCH DIARY WRITER...\n",
			stderr);
		exit(2);
	}
	options.target = argv[optind];
	options.scratch = argv[optind + 1];
	options.diary = argv[optind + 2];
	snprintf(url, sizeof(url), "file://%s", options.scratch);
	options.url = options.url ? options.url : url;
}

static void on_term(int sig)
{
	(void)sig;
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
}

/* SIGTERM to the first process ends them all, and is no failure. */
static int wait_for_all(void)
{
	int status, failed = 0;

	for (;;) {
		if (wait(&status) < 0) {
			if (errno == EINTR)
				continue;
			return failed;
		}
		if (status &&
			!(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM))
			failed = 1;
	}
}

int main(int argc, char **argv)
{
	size_t writers;

	parse(argc, argv);
	open_all();
	argv += optind + 3;
	writers = (size_t)(argc - optind - 3);
	/* Others in the group of a shell are none of our business. */
	setpgid(0, 0);
	signal(SIGTERM, on_term);
	for (size_t i = 0; i < writers; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork", "a writer");
		if (pid == 0) {
			signal(SIGTERM, SIG_DFL);
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			exit(be_writer(argv[i], i, writers));
		}
	}
	return wait_for_all();
}
