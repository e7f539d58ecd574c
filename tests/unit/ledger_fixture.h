/*
 * A ledger of a few slots in a folder of its own, and the means to look at it
 * and to spoil it.
 */
#ifndef LEDGER_FIXTURE_H
#define LEDGER_FIXTURE_H

#include <errno.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "ledger/ledger.h"
#include "unit.h"

enum { SLOTS = 8, SLOT_SIZE = 8192, ROWS_MAX = 16, RUNS_MAX = 8 };

#define NAME "big.iso"
#define MTIME INT64_C(1700000000123456789)

static int dirfd;
static char dir[128];
static struct ledger *ledger;
static char why[LEDGER_WHY_SIZE];

/* What a ledger says when it is loaded. */
struct content {
	struct ledger_slot rows[ROWS_MAX];
	size_t count;
	struct ledger_coverage coverage; /* the last one */
	struct ledger_run runs[RUNS_MAX];
	size_t coverages;
};

/* The row of slot @i as it is made. */
static inline struct ledger_slot empty_row(unsigned i)
{
	return (struct ledger_slot){
		.id = i + 1,
		.start = (uint64_t)i * SLOT_SIZE,
		.length = SLOT_SIZE,
		.uid = 1000,
		.gid = 100,
		.mode = 0644,
		.mtime_ns = MTIME,
	};
}

/* The row of slot @i with a receipt. */
static inline struct ledger_slot receipt_row(
	unsigned i, enum ledger_state state)
{
	struct ledger_slot row = empty_row(i);

	row.state = state;
	row.crc = 0xfedcba98 + i;
	row.completed_ns = MTIME + 1000000000;
	row.writer_uid = 65534;
	row.writer_pid = 4194304;
	snprintf(row.command, sizeof(row.command), "writer %u", i);
	return row;
}

static inline bool next_row(void *arg, struct ledger_slot *slot)
{
	unsigned *i = arg;

	if (*i == SLOTS)
		return false;
	*slot = empty_row((*i)++);
	return true;
}

static inline int create(const char *name)
{
	struct ledger_header header = {
		.size = (uint64_t)SLOTS * SLOT_SIZE,
		.slot_size = SLOT_SIZE,
	};
	unsigned i = 0;

	return ledger_create(dirfd, name, &header, next_row, &i);
}

static inline void ledger_setup(void)
{
	snprintf(dir, sizeof(dir), "%s", unit_folder());
	ck_assert_int_eq(chmod(dir, 0755), 0);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(dirfd, 0);
	ck_assert_int_eq(setenv("RMFS_BOOT_ID", "the-first", 1), 0);
	ck_assert_int_eq(create(NAME), 0);
}

static inline void ledger_teardown(void)
{
	ledger_close(ledger);
	ledger = NULL;
	close(dirfd);
}

static inline void open_good(void)
{
	int err = ledger_open(dirfd, NAME, &ledger, why);

	ck_assert_msg(err == 0, "%d %s", err, why);
	ck_assert_str_eq(why, "");
}

static inline void close_now(void)
{
	ledger_close(ledger);
	ledger = NULL;
}

static inline int keep_slot(void *arg, const struct ledger_slot *slot)
{
	struct content *content = arg;

	ck_assert_uint_lt(content->count, ROWS_MAX);
	content->rows[content->count++] = *slot;
	return 0;
}

static inline int keep_coverage(
	void *arg, const struct ledger_coverage *coverage)
{
	struct content *content = arg;

	ck_assert_uint_le(coverage->count, RUNS_MAX);
	content->coverage = *coverage;
	for (size_t i = 0; i < coverage->count; i++)
		content->runs[i] = coverage->runs[i];
	content->coverage.runs = content->runs;
	content->coverages++;
	return 0;
}

static inline int load(struct content *content)
{
	memset(content, 0, sizeof(*content));
	return ledger_load(ledger, keep_slot, keep_coverage, content, why);
}

static inline void load_good(struct content *content)
{
	int err = load(content);

	ck_assert_msg(err == 0, "%d %s", err, why);
}

static inline bool same_row(
	const struct ledger_slot *a, const struct ledger_slot *b)
{
	return a->id == b->id && a->start == b->start &&
	       a->length == b->length && a->generation == b->generation &&
	       a->state == b->state && a->crc == b->crc &&
	       a->completed_ns == b->completed_ns &&
	       a->writer_uid == b->writer_uid &&
	       a->writer_pid == b->writer_pid &&
	       !strcmp(a->command, b->command) && a->uid == b->uid &&
	       a->gid == b->gid && a->mode == b->mode &&
	       a->mtime_ns == b->mtime_ns;
}

static inline bool same_content(
	const struct content *a, const struct content *b)
{
	if (a->count != b->count || a->coverages != b->coverages)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!same_row(&a->rows[i], &b->rows[i]))
			return false;
	return !a->coverages ||
	       (a->coverage.id == b->coverage.id &&
		       a->coverage.generation == b->coverage.generation &&
		       a->coverage.overrun == b->coverage.overrun &&
		       a->coverage.size == b->coverage.size &&
		       a->coverage.count == b->coverage.count &&
		       !memcmp(a->runs, b->runs, sizeof(a->runs)));
}

static inline void put_good(const struct ledger_slot *rows, size_t count)
{
	ck_assert_int_eq(ledger_put(ledger, rows, count, NULL, NULL), 0);
}

/* The path of a file of the ledger. The text is static. */
static inline const char *path_of(const char *more)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/" NAME ".rmfs%s", dir, more);
	return path;
}

/* Run SQL on the closed ledger, as somebody with the sqlite3 program would. */
static inline void sql(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

static inline void sql(const char *format, ...)
{
	char text[512], *error = NULL;
	va_list args;
	sqlite3 *db;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	ck_assert_int_eq(sqlite3_open(path_of(""), &db), SQLITE_OK);
	sqlite3_exec(db, text, NULL, NULL, &error);
	ck_assert_msg(!error, "%s: %s", text, error);
	ck_assert_int_gt(sqlite3_total_changes(db), 0);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

/* Do something in a process that ends as kill -9 ends one. */
static inline void in_killed_process(void (*work)(void))
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		work();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

/* A checksum over the names and bytes of everything in the folder. */
static inline uint64_t disk_state(void)
{
	char out[64];

	ck_assert_int_eq(
		unit_run(out, sizeof(out),
			"cd %s && find . -type f | sort | xargs sha256sum | "
			"sha256sum | cut -c-15",
			dir),
		0);
	return strtoull(out, NULL, 16);
}

#endif
