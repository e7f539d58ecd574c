/*
 * core: the library beside the plain ways to do the same.
 *
 *   core [FOLDER [ROW]]
 *
 * Ways to write: pwrite(2) to a preallocated file; memcpy to a mapping of a
 * file that only ftruncate(2) has sized, which is what the Rust crate
 * ranged-mmap does; this library; and this library with a flush of each range
 * once it is full. Rounds take the ways in turn, each starting with another
 * one, so that what the machine does meanwhile hits all alike. A table is
 * printed: of each way the median, and of each round's ratios the median.
 * ROUNDS in the environment (9) says how many.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <ranged_mmap.h>

#define MIB ((uint64_t)1 << 20)
#define FILE_SIZE (512 * MIB)
#define CHUNK (12 * MIB)
#define PAGE ((uint64_t)RMM_ALIGNMENT)
#define PAGES (FILE_SIZE / PAGE)
#define WORKERS 12
#define THREADS_MAX 16
#define WAYS_MAX 4
#define ROUNDS_MAX 99
#define ALLOCATIONS 32000000 /* by all threads together */

static char path[PATH_MAX];
static char *data; /* what is written: one chunk for each thread */
static uint32_t order[PAGES];

static void must(int err, const char *what)
{
	if (err >= 0)
		return;
	fprintf(stderr, "core: %s: %s\n", what, rmm_strerror(err));
	exit(EXIT_FAILURE);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- ways to write ------------------------------------------------------ */

struct out {
	int fd;
	char *ptr;
	struct rmm_file *file;
	uint64_t id; /* of that file */
};

struct way {
	const char *name;
	void (*create)(struct out *out);
	void (*write)(struct out *out, const struct rmm_range *range,
		const void *buf, size_t len);
	void (*sync)(struct out *out);
	void (*close)(struct out *out);
};

static void plain_create(struct out *out)
{
	out->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (out->fd < 0)
		must(-errno, path);
}

static void pwrite_create(struct out *out)
{
	plain_create(out);
	must(-posix_fallocate(out->fd, 0, (off_t)FILE_SIZE), "preallocate");
}

static void pwrite_write(struct out *out, const struct rmm_range *range,
	const void *buf, size_t len)
{
	if (pwrite(out->fd, buf, len, (off_t)range->start) != (ssize_t)len)
		must(-EIO, "pwrite");
}

static void pwrite_sync(struct out *out)
{
	must(fdatasync(out->fd) < 0 ? -errno : 0, "fdatasync");
}

static void pwrite_close(struct out *out)
{
	close(out->fd);
}

static void mmap_create(struct out *out)
{
	plain_create(out);
	must(ftruncate(out->fd, (off_t)FILE_SIZE) < 0 ? -errno : 0, "truncate");
	out->ptr = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		out->fd, 0);
	if (out->ptr == MAP_FAILED)
		must(-errno, "mmap");
}

static void mmap_write(struct out *out, const struct rmm_range *range,
	const void *buf, size_t len)
{
	memcpy(out->ptr + range->start, buf, len);
}

static void mmap_sync(struct out *out)
{
	must(msync(out->ptr, FILE_SIZE, MS_SYNC) < 0 ? -errno : 0, "msync");
}

static void mmap_close(struct out *out)
{
	munmap(out->ptr, FILE_SIZE);
	close(out->fd);
}

static void rmm_create(struct out *out)
{
	must(rmm_file_create(path, FILE_SIZE, RMM_CONCURRENT, 0, &out->file),
		path);
	out->id = rmm_map_id(rmm_file_map(out->file));
}

static void rmm_write(struct out *out, const struct rmm_range *range,
	const void *buf, size_t len)
{
	struct rmm_receipt receipt;

	must(rmm_file_write_range(out->file, range, buf, len, &receipt),
		"write_range");
}

static void flush_write(struct out *out, const struct rmm_range *range,
	const void *buf, size_t len)
{
	rmm_write(out, range, buf, len);
	must(rmm_map_flush_range(rmm_file_map(out->file), range->start, len),
		"flush_range");
}

static void rmm_sync(struct out *out)
{
	must(rmm_file_sync(out->file), "sync");
}

static void rmm_close(struct out *out)
{
	rmm_file_close(out->file);
}

static const struct way pwrite_way = {
	"pwrite", pwrite_create, pwrite_write, pwrite_sync, pwrite_close};
static const struct way mmap_way = {
	"mmap", mmap_create, mmap_write, mmap_sync, mmap_close};
static const struct way rmm_way = {
	"rmm", rmm_create, rmm_write, rmm_sync, rmm_close};
static const struct way flush_way = {
	"rmm, flushed", rmm_create, flush_write, rmm_sync, rmm_close};

/* The file has no name for long: an interrupted run leaves none behind. */
static void start(const struct way *way, struct out *out)
{
	way->create(out);
	unlink(path);
}

/* ---- threads ------------------------------------------------------------ */

struct worker {
	pthread_t thread;
	void (*work)(struct worker *me);
	size_t number, count; /* of this one, of all */
	pthread_barrier_t *start;
	const struct way *way;
	struct out *out;
};

static void *run_worker(void *arg)
{
	struct worker *me = arg;

	pthread_barrier_wait(me->start);
	me->work(me);
	return NULL;
}

/* Seconds from the start of all threads to the end of the last. */
static double run_workers(const struct worker *like, size_t count)
{
	struct worker workers[THREADS_MAX];
	pthread_barrier_t start;
	double began;

	pthread_barrier_init(&start, NULL, (unsigned)count + 1);
	for (size_t i = 0; i < count; i++) {
		workers[i] = *like;
		workers[i].number = i;
		workers[i].count = count;
		workers[i].start = &start;
		must(-pthread_create(
			     &workers[i].thread, NULL, run_worker, &workers[i]),
			"a thread");
	}
	began = now();
	pthread_barrier_wait(&start);
	for (size_t i = 0; i < count; i++)
		pthread_join(workers[i].thread, NULL);
	began = now() - began;
	pthread_barrier_destroy(&start);
	return began;
}

/* ---- rows: writing ------------------------------------------------------ */

static struct rmm_range piece(
	const struct out *out, uint64_t start, uint64_t len)
{
	uint64_t end = start + len;

	return (struct rmm_range){
		start, end < FILE_SIZE ? end : FILE_SIZE, out->id};
}

static void fill_chunks(struct worker *me)
{
	for (uint64_t at = me->number * CHUNK; at < FILE_SIZE;
		at += me->count * CHUNK) {
		struct rmm_range range = piece(me->out, at, CHUNK);

		me->way->write(me->out, &range, data + me->number * CHUNK,
			rmm_range_len(&range));
	}
}

static void write_pages(struct worker *me)
{
	for (size_t i = me->number; i < PAGES; i += me->count) {
		struct rmm_range range = piece(me->out, order[i] * PAGE, PAGE);

		me->way->write(me->out, &range,
			data + i % (CHUNK / PAGE) * PAGE, PAGE);
	}
}

/*
 * Nothing of an earlier run on its way to the disk, and memory for the page
 * cache that a virtual machine need not ask its host for: a page that the host
 * has taken back costs ten times what any way here does to it.
 */
static void settle(void)
{
	size_t size = FILE_SIZE + FILE_SIZE / 4;
	void *memory;

	sync();
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (memory == MAP_FAILED)
		must(-errno, "memory");
	munmap(memory, size);
}

static double measure_fill(const struct way *way, size_t threads, bool synced)
{
	struct out out = {0};
	double began;

	settle();
	began = now();
	start(way, &out);
	run_workers(
		&(struct worker){.work = fill_chunks, .way = way, .out = &out},
		threads);
	if (synced)
		way->sync(&out);
	began = now() - began;
	way->close(&out);
	return began;
}

static double fill_synced(const struct way *way, size_t threads)
{
	return measure_fill(way, threads, true);
}

static double fill_alone(const struct way *way, size_t threads)
{
	return measure_fill(way, threads, false);
}

/* Each page once, in random order; @passes before the measured one. */
static double measure_random(const struct way *way, size_t threads, int passes)
{
	struct out out = {0};
	struct worker like = {.work = write_pages, .way = way, .out = &out};
	double seconds;

	settle();
	start(way, &out);
	do
		seconds = run_workers(&like, threads);
	while (passes-- > 0);
	way->close(&out);
	return seconds;
}

static double random_cold(const struct way *way, size_t threads)
{
	return measure_random(way, threads, 0);
}

static double random_warm(const struct way *way, size_t threads)
{
	return measure_random(way, threads, 1);
}

/* ---- rows: allocating --------------------------------------------------- */

#define ALLOCATED ((uint64_t)ALLOCATIONS * PAGE)

static struct rmm_allocator *allocator;
static _Atomic uint64_t counter;
static uint64_t locked;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t length = PAGE; /* that is asked for */

/*
 * The ranges are looked at and the length may change, for all the compiler
 * knows: or it would take the one away and compute with the other.
 */
static void use(const struct rmm_range *range)
{
	__asm__ volatile("" : : "r"(range), "r"(&length) : "memory");
}

static void alloc_locked(struct worker *me)
{
	struct rmm_range range = {0};

	(void)me;
	do {
		pthread_mutex_lock(&lock);
		range.start = locked;
		if (locked < ALLOCATED)
			locked += rmm_align_up(length);
		range.end = locked;
		pthread_mutex_unlock(&lock);
		use(&range);
	} while (range.start < range.end);
}

/* As the crate's concurrent allocator: one addition, also when it fails. */
static void alloc_counter(struct worker *me)
{
	struct rmm_range range = {0};

	(void)me;
	for (;;) {
		uint64_t size = (length + PAGE - 1) & ~(PAGE - 1);

		range.start = atomic_fetch_add_explicit(
			&counter, size, memory_order_relaxed);
		if (range.start >= ALLOCATED)
			return;
		range.end = range.start + size;
		if (range.end > ALLOCATED)
			range.end = ALLOCATED;
		use(&range);
	}
}

static void alloc_rmm(struct worker *me)
{
	struct rmm_range range;

	(void)me;
	while (rmm_allocator_alloc(allocator, length, &range) == 0)
		use(&range);
}

static const struct way locked_way = {.name = "mutex"};
static const struct way counter_way = {.name = "counter"};

static double allocate(const struct way *way, size_t threads)
{
	struct worker like = {.work = alloc_rmm};
	double seconds;

	locked = 0;
	atomic_store_explicit(&counter, 0, memory_order_relaxed);
	must(rmm_allocator_create(RMM_CONCURRENT, ALLOCATED, 0, &allocator),
		"allocator");
	if (way == &locked_way)
		like.work = alloc_locked;
	if (way == &counter_way)
		like.work = alloc_counter;
	seconds = run_workers(&like, threads);
	rmm_allocator_close(allocator);
	return seconds;
}

/* ---- the table ---------------------------------------------------------- */

struct row {
	const char *name;
	double (*measure)(const struct way *way, size_t threads);
	size_t threads;
	double amount; /* of @unit in one run */
	const char *unit;
	const struct way *ways[WAYS_MAX]; /* the second is the crate's */
};

#define GB ((double)FILE_SIZE / 1e9), "GB/s"
#define KPAGES ((double)FILE_SIZE / (double)PAGE / 1e3), "k/s"
#define MALLOCS ((double)ALLOCATIONS / 1e6), "M/s"
#define FILE_WAYS                                            \
	{                                                    \
		&pwrite_way, &mmap_way, &rmm_way, &flush_way \
	}
#define PAGE_WAYS                                \
	{                                        \
		&pwrite_way, &mmap_way, &rmm_way \
	}
#define ALLOC_WAYS                                  \
	{                                           \
		&locked_way, &counter_way, &rmm_way \
	}

static const struct row rows[] = {
	{"fill and sync", fill_synced, WORKERS, GB, FILE_WAYS},
	{"fill", fill_alone, WORKERS, GB, FILE_WAYS},
	{"random 4 KiB, first", random_cold, 1, KPAGES, PAGE_WAYS},
	{"random 4 KiB, first", random_cold, WORKERS, KPAGES, PAGE_WAYS},
	{"random 4 KiB, again", random_warm, 1, KPAGES, PAGE_WAYS},
	{"random 4 KiB, again", random_warm, WORKERS, KPAGES, PAGE_WAYS},
	{"allocate", allocate, 1, MALLOCS, ALLOC_WAYS},
	{"allocate", allocate, 2, MALLOCS, ALLOC_WAYS},
	{"allocate", allocate, 4, MALLOCS, ALLOC_WAYS},
	{"allocate", allocate, 8, MALLOCS, ALLOC_WAYS},
	{"allocate", allocate, 16, MALLOCS, ALLOC_WAYS},
	{0},
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const double *values, size_t count)
{
	double sorted[ROUNDS_MAX];

	memcpy(sorted, values, count * sizeof(*values));
	qsort(sorted, count, sizeof(*sorted), compare);
	return count % 2 ? sorted[count / 2]
			 : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

/* The median over the rounds of how long one way took, relative to another. */
static double ratio(const double *a, const double *b, size_t rounds)
{
	double ratios[ROUNDS_MAX] = {0};

	for (size_t i = 0; i < rounds; i++)
		ratios[i] = a[i] / b[i];
	return median(ratios, rounds);
}

static void print_header(const struct row *row)
{
	printf("\n| what | threads | |");
	for (size_t i = 0; i < WAYS_MAX && row->ways[i]; i++)
		printf(" %s |", row->ways[i]->name);
	for (size_t i = 2; i < WAYS_MAX && row->ways[i]; i++)
		printf(" %s : %s |", row->ways[i]->name, row->ways[1]->name);
	printf("\n|---|---|---|");
	for (size_t i = 0; i < WAYS_MAX && row->ways[i]; i++)
		printf(i < 2 ? "---|" : "---|---|");
	printf("\n");
}

/* In three digits or, from 1000 on, more. */
static void print_speed(double speed)
{
	int digits = speed < 10 ? 2 : speed < 100 ? 1 : 0;

	printf(" %.*f |", digits, speed);
}

static void print_row(const struct row *row, size_t rounds,
	double seconds[WAYS_MAX][ROUNDS_MAX])
{
	printf("| %s | %zu | %s |", row->name, row->threads, row->unit);
	for (size_t i = 0; i < WAYS_MAX && row->ways[i]; i++)
		print_speed(row->amount / median(seconds[i], rounds));
	for (size_t i = 2; i < WAYS_MAX && row->ways[i]; i++)
		printf(" %.2f |", ratio(seconds[i], seconds[1], rounds));
	printf("\n");
	fflush(stdout);
}

static void run_row(const struct row *row, size_t rounds)
{
	double seconds[WAYS_MAX][ROUNDS_MAX];

	for (size_t round = 0; round < rounds; round++) {
		for (size_t i = 0; i < WAYS_MAX; i++) {
			size_t turn = (i + round) % WAYS_MAX;

			if (row->ways[turn])
				seconds[turn][round] = row->measure(
					row->ways[turn], row->threads);
		}
	}
	print_row(row, rounds, seconds);
}

/* Fisher and Yates, by a generator of Knuth's constants: the same each time. */
static void shuffle(void)
{
	uint64_t random = 1;

	for (uint32_t i = 0; i < PAGES; i++)
		order[i] = i;
	for (uint32_t i = PAGES - 1; i > 0; i--) {
		uint32_t j, swap = order[i];

		random = random * 6364136223846793005u + 1442695040888963407u;
		j = (uint32_t)((random >> 32) % (i + 1));
		order[i] = order[j];
		order[j] = swap;
	}
}

int main(int argc, char **argv)
{
	const char *wanted = getenv("ROUNDS");
	size_t rounds = wanted ? strtoul(wanted, NULL, 10) : 9;
	const struct way *const none[WAYS_MAX] = {0}, *const *ways = none;

	if (rounds < 1 || rounds > ROUNDS_MAX) {
		fputs("core: ROUNDS is 1 to 99\n", stderr);
		return 2;
	}
	snprintf(path, sizeof(path), "%s/bench-core.%d",
		argc > 1 ? argv[1] : ".", (int)getpid());
	data = malloc(WORKERS * CHUNK);
	if (!data)
		must(-ENOMEM, "data");
	for (uint64_t i = 0; i < WORKERS * CHUNK; i++)
		data[i] = (char)(i * 31 + i / PAGE);
	shuffle();
	for (const struct row *row = rows; row->name; row++) {
		if (argc > 2 && !strstr(row->name, argv[2]))
			continue;
		if (row->ways[0] != ways[0] || row->ways[3] != ways[3])
			print_header(row);
		ways = row->ways;
		run_row(row, rounds);
	}
	free(data);
	return EXIT_SUCCESS;
}
