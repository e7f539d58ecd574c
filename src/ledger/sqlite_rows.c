/*
 * Reading all rows, writing some, and syncing them.
 *
 * A transaction ends in one of three ways. It is committed. The disk is full:
 * it is rolled back, the log is copied home, which gives it its space back, and
 * it is tried once more; the ledger stays good. Anything else is final: the
 * commit may or may not be in the log, and only a new start can tell.
 */
#include "ledger/sqlite.h"

#include <errno.h>
#include <inttypes.h>
#include <ranged_mmap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/planted.h"

int ledger_prepare(struct ledger *ledger)
{
	struct {
		const char *sql;
		sqlite3_stmt **stmt;
	} list[] = {
		{"BEGIN IMMEDIATE", &ledger->begin},
		{"COMMIT", &ledger->commit},
		{"ROLLBACK", &ledger->rollback},
		{"PRAGMA page_count", &ledger->page_count},
		{"REPLACE INTO " LEDGER_SLOT_VALUES, &ledger->put_slot},
		{"REPLACE INTO " LEDGER_COVERAGE_VALUES, &ledger->put_coverage},
		{"DELETE FROM coverage WHERE id = ?1", &ledger->drop_coverage},
		{"UPDATE meta SET boot = ?4, file = ?5, sum = ?6",
			&ledger->put_boot},
	};
	int rc = SQLITE_OK;

	for (size_t i = 0; !rc && i < sizeof(list) / sizeof(list[0]); i++)
		rc = sqlite3_prepare_v3(ledger->db, list[i].sql, -1,
			SQLITE_PREPARE_PERSISTENT, list[i].stmt, NULL);
	return rc;
}

/* ---- transactions -------------------------------------------------------- */

/* The first error is the ledger's from here on. Returns it. */
static int fail(
	struct ledger *ledger, int err, const char *what, const char *text)
{
	int none = 0;

	/* Release, for ledger_error; acquire when somebody was first. */
	if (!atomic_compare_exchange_strong_explicit(&ledger->error, &none, err,
		    memory_order_release, memory_order_acquire))
		return none;
	log_error("%s" LEDGER_SUFFIX
		  ": %s failed: %s; no more receipts until it is opened anew",
		ledger->name, what, text);
	return err;
}

/* The same for one of SQLite's codes, under lock. */
static int fail_sqlite(struct ledger *ledger, int rc, const char *what)
{
	return fail(ledger, ledger_errno(rc), what, sqlite3_errmsg(ledger->db));
}

/* May it be written? */
static int usable(const struct ledger *ledger)
{
	return ledger->readonly ? -EROFS : ledger_error(ledger);
}

/* Run a statement that has no rows, and make it ready for the next time. */
static int run(sqlite3_stmt *stmt)
{
	int rc = sqlite3_step(stmt), again = sqlite3_reset(stmt);

	return rc == SQLITE_DONE ? again : rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int count_pages(struct ledger *ledger, int64_t *pages)
{
	int rc = sqlite3_step(ledger->page_count);

	if (rc == SQLITE_ROW)
		*pages = sqlite3_column_int64(ledger->page_count, 0);
	sqlite3_reset(ledger->page_count);
	return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int ledger_checkpoint(struct ledger *ledger)
{
	int frames = 0, copied = 0;
	int rc = sqlite3_wal_checkpoint_v2(
		ledger->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &copied);

	if (!rc && frames != copied)
		rc = SQLITE_IOERR;
	if (rc)
		return rc;
	/* Relaxed: a hint for ledger_tidy. */
	atomic_store_explicit(&ledger->frames, 0, memory_order_relaxed);
	ledger->file_pages = 0;
	return SQLITE_OK;
}

/*
 * Give the pages that the transaction added to the database their blocks, where
 * the checkpoint is going to write them. What is left of that after a rollback
 * is cut off by a later checkpoint.
 */
static int grow_file(struct ledger *ledger)
{
	static const char zeros[LEDGER_PAGE_SIZE];
	sqlite3_int64 size = 0;
	sqlite3_file *file;
	int64_t pages = 0;
	int rc = count_pages(ledger, &pages);

	if (rc || pages <= ledger->file_pages)
		return rc;
	rc = sqlite3_file_control(
		ledger->db, "main", SQLITE_FCNTL_FILE_POINTER, (void *)&file);
	if (!rc)
		rc = file->pMethods->xFileSize(file, &size);
	if (!rc)
		ledger->file_pages = size / LEDGER_PAGE_SIZE;
	while (!rc && ledger->file_pages < pages) {
		rc = file->pMethods->xWrite(file, zeros, sizeof(zeros),
			ledger->file_pages * LEDGER_PAGE_SIZE);
		if (!rc)
			ledger->file_pages++;
	}
	return rc;
}

/* What a transaction does between BEGIN and COMMIT. Returns SQLite's code. */
typedef int body_fn(struct ledger *ledger, const void *arg);

static int try_once(struct ledger *ledger, body_fn *body, const void *arg)
{
	int rc = run(ledger->begin);

	if (!rc)
		rc = body(ledger, arg);
	if (!rc)
		rc = grow_file(ledger);
	return rc ? rc : run(ledger->commit);
}

static bool log_over(const struct ledger *ledger, int frames)
{
	/* Relaxed: exact under lock, a hint elsewhere. */
	return atomic_load_explicit(&ledger->frames, memory_order_relaxed) >
	       frames;
}

/* Under lock. */
static int transact(struct ledger *ledger, body_fn *body, const void *arg)
{
	int rc = SQLITE_OK;

	for (int tries = 0; tries < 2; tries++) {
		if (tries || log_over(ledger, LEDGER_LOG_FRAMES / 4 * 3))
			rc = ledger_checkpoint(ledger);
		if (!rc || rc == SQLITE_FULL)
			rc = try_once(ledger, body, arg);
		if (rc != SQLITE_FULL)
			break;
		if (!sqlite3_get_autocommit(ledger->db))
			(void)run(ledger->rollback);
	}
	if (rc == SQLITE_FULL)
		return -ENOSPC;
	if (rc)
		return fail_sqlite(ledger, rc, "a write");
	/* Release: pairs with ledger_sync; the log has been written. */
	atomic_fetch_add_explicit(&ledger->puts, 1, memory_order_release);
	return ledger_error(ledger);
}

static int lock_and_transact(
	struct ledger *ledger, body_fn *body, const void *arg)
{
	int err;

	pthread_mutex_lock(&ledger->lock);
	err = usable(ledger);
	if (!err)
		err = transact(ledger, body, arg);
	pthread_mutex_unlock(&ledger->lock);
	return err;
}

/* ---- slots --------------------------------------------------------------- */

struct batch {
	const struct ledger_slot *slots;
	size_t count;
	uint64_t wanted; /* a bit for each */
};

static int put_slots(struct ledger *ledger, const void *arg)
{
	const struct batch *batch = arg;
	int rc = SQLITE_OK;

	for (size_t i = 0; !rc && i < batch->count; i++) {
		if (!(batch->wanted >> i & 1))
			continue;
		rc = ledger_slot_bind(
			ledger->put_slot, &ledger->header, &batch->slots[i]);
		if (!rc)
			rc = run(ledger->put_slot);
	}
	return rc;
}

int ledger_put(struct ledger *ledger, const struct ledger_slot *slots,
	size_t count, bool (*still)(void *arg, const struct ledger_slot *slot),
	void *arg)
{
	struct batch batch = {.slots = slots, .count = count};
	int err;

	_Static_assert(LEDGER_BATCH_MAX <= 64, "batch.wanted has 64 bits");
	if (count > LEDGER_BATCH_MAX)
		return -EINVAL;
	pthread_mutex_lock(&ledger->lock);
	err = usable(ledger);
	for (size_t i = 0; !err && i < count; i++)
		if (!still || still(arg, &slots[i]))
			batch.wanted |= UINT64_C(1) << i;
	if (!err && batch.wanted)
		err = transact(ledger, put_slots, &batch);
	pthread_mutex_unlock(&ledger->lock);
	return err;
}

/* ---- coverage ------------------------------------------------------------ */

struct coverage_change {
	const struct ledger_coverage *coverage;
	struct ledger_run *runs;
};

static int put_coverage(struct ledger *ledger, const void *arg)
{
	const struct coverage_change *change = arg;
	int rc = ledger_coverage_bind(ledger->put_coverage, &ledger->header,
		change->coverage, change->runs);

	return rc ? rc : run(ledger->put_coverage);
}

static int drop_coverage(struct ledger *ledger, const void *arg)
{
	const struct ledger_coverage *coverage = arg;
	int rc = sqlite3_bind_int64(
		ledger->drop_coverage, 1, (int64_t)coverage->id);

	return rc ? rc : run(ledger->drop_coverage);
}

int ledger_put_coverage(
	struct ledger *ledger, const struct ledger_coverage *coverage)
{
	struct coverage_change change = {.coverage = coverage};
	size_t room = coverage->count < LEDGER_RUNS_MAX ? coverage->count
							: LEDGER_RUNS_MAX;

	if (!coverage->count && !coverage->overrun)
		return lock_and_transact(ledger, drop_coverage, coverage);
	AUTO_FREE struct ledger_run *runs = calloc(room + 1, sizeof(*runs));
	if (!runs)
		return -ENOMEM;
	change.runs = runs;
	return lock_and_transact(ledger, put_coverage, &change);
}

/* ---- boot ---------------------------------------------------------------- */

static int put_boot(struct ledger *ledger, const void *arg)
{
	int rc = ledger_meta_bind(ledger->put_boot, &ledger->header, arg);

	return rc ? rc : run(ledger->put_boot);
}

int ledger_mark_boot(struct ledger *ledger)
{
	char boot[LEDGER_BOOT_SIZE];
	int err;

	ledger_boot_id(boot);
	err = lock_and_transact(ledger, put_boot, boot);
	if (!err)
		err = ledger_sync(ledger);
	/* Relaxed: see ledger_rebooted. */
	if (!err)
		atomic_store_explicit(
			&ledger->rebooted, false, memory_order_relaxed);
	return err;
}

int ledger_adopt(struct ledger *ledger, uint64_t file)
{
	ledger->header.file = file;
	return ledger_mark_boot(ledger);
}

/* ---- syncs --------------------------------------------------------------- */

int ledger_sync(struct ledger *ledger)
{
	/* Acquire, twice: pairs with transact. */
	uint64_t wanted = atomic_load_explicit(
			 &ledger->puts, memory_order_acquire),
		 now;
	int err;

	if (planted("nosync-ledger"))
		return 0;
	/* One at a time: an error is told to one of them only. */
	pthread_mutex_lock(&ledger->sync_lock);
	err = usable(ledger);
	if (!err && ledger->synced < wanted) {
		now = atomic_load_explicit(&ledger->puts, memory_order_acquire);
		if (fdatasync(ledger->log_fd))
			err = fail(ledger, -EIO, "a sync", strerror(errno));
		else
			ledger->synced = now;
	}
	pthread_mutex_unlock(&ledger->sync_lock);
	return err;
}

int ledger_tidy(struct ledger *ledger)
{
	int err, rc;

	if (!log_over(ledger, LEDGER_LOG_FRAMES / 2))
		return usable(ledger);
	/* So that the checkpoint's own sync, under lock, finds little. */
	err = ledger_sync(ledger);
	if (err)
		return err;
	pthread_mutex_lock(&ledger->lock);
	err = usable(ledger);
	if (!err) {
		rc = ledger_checkpoint(ledger);
		if (rc == SQLITE_FULL)
			err = -ENOSPC;
		else if (rc)
			err = fail_sqlite(ledger, rc, "a checkpoint");
	}
	pthread_mutex_unlock(&ledger->lock);
	return err;
}

/* ---- loading ------------------------------------------------------------- */

struct load {
	struct ledger *ledger;
	int (*slot)(void *arg, const struct ledger_slot *slot);
	int (*coverage)(void *arg, const struct ledger_coverage *coverage);
	void *arg;
	char *why;
};

/* Say that the ledger is damaged, and where. Returns -EILSEQ. */
static int damaged(const struct load *load, const char *what, uint64_t start)
{
	snprintf(load->why, LEDGER_WHY_SIZE,
		"%.150s" LEDGER_SUFFIX " is damaged: the slot at %" PRIu64
		" %s",
		load->ledger->name, start, what);
	return -EILSEQ;
}

/* What became of a statement that was stepped to its end. */
static int ended(const struct load *load, int rc)
{
	struct ledger *ledger = load->ledger;
	int err = ledger_errno(rc);

	if (!err)
		return 0;
	snprintf(load->why, LEDGER_WHY_SIZE, "%.150s" LEDGER_SUFFIX " %s: %s",
		ledger->name, err == -EILSEQ ? "is damaged" : "cannot be read",
		sqlite3_errmsg(ledger->db));
	return err == -EIO ? fail_sqlite(ledger, rc, "a read") : err;
}

/* @end is where the slot before it ends. */
static int check_slot(
	const struct load *load, const struct ledger_slot *slot, uint64_t end)
{
	uint64_t size = load->ledger->header.size;

	if (slot->start >= size || slot->length > size - slot->start)
		return damaged(load, "lies past the end", slot->start);
	if (!slot->id || !slot->length || slot->state > LEDGER_DURABLE ||
		slot->start % RMM_ALIGNMENT)
		return damaged(load, "makes no sense", slot->start);
	if (slot->start < end)
		return damaged(load, "overlaps the one before it", slot->start);
	return 0;
}

static int load_slots(const struct load *load)
{
	struct ledger *ledger = load->ledger;
	struct ledger_slot slot;
	sqlite3_stmt *stmt;
	uint64_t end = 0;
	int err = 0;
	int rc = sqlite3_prepare_v2(ledger->db,
		"SELECT " LEDGER_SLOT_COLUMNS " FROM slot ORDER BY start", -1,
		&stmt, NULL);

	while (!rc && !err) {
		rc = sqlite3_step(stmt);
		if (rc != SQLITE_ROW)
			break;
		rc = SQLITE_OK;
		if (!ledger_slot_read(stmt, &ledger->header, &slot))
			err = damaged(load, "has a wrong checksum", slot.start);
		if (!err)
			err = check_slot(load, &slot, end);
		if (!err)
			err = load->slot(load->arg, &slot);
		end = slot.start + slot.length;
	}
	if (!err)
		err = ended(load, rc);
	sqlite3_finalize(stmt);
	return err;
}

/*
 * Read what @sql selects: LEDGER_COVERAGE_COLUMNS, the slot's length, and its
 * start. @count is set to how many there were.
 */
static int scan_coverages(const struct load *load, const char *sql,
	int (*each)(void *arg, const struct ledger_coverage *coverage),
	size_t *count)
{
	struct ledger *ledger = load->ledger;
	struct ledger_coverage coverage;
	sqlite3_stmt *stmt;
	int err = 0, rc;

	AUTO_FREE struct ledger_run *runs =
		calloc(LEDGER_RUNS_MAX, sizeof(*runs));
	if (!runs)
		return -ENOMEM;
	rc = sqlite3_prepare_v2(ledger->db, sql, -1, &stmt, NULL);
	for (*count = 0; !rc && !err; ++*count) {
		rc = sqlite3_step(stmt);
		if (rc != SQLITE_ROW)
			break;
		rc = SQLITE_OK;
		if (!ledger_coverage_read(stmt, &ledger->header, &coverage,
			    runs, (uint64_t)sqlite3_column_int64(stmt, 6)))
			err = damaged(load, "has a damaged coverage",
				(uint64_t)sqlite3_column_int64(stmt, 7));
		else if (each)
			err = each(load->arg, &coverage);
	}
	if (!err)
		err = ended(load, rc);
	sqlite3_finalize(stmt);
	return err;
}

/*
 * All are checked, also those that have no slot: it may be their number that
 * is wrong. CROSS JOIN keeps this order: coverage is found by its key.
 */
static int load_coverages(const struct load *load)
{
	size_t count = 0;
	int err = scan_coverages(load,
		"SELECT " LEDGER_COVERAGE_COLUMNS ", -1, -1 FROM coverage",
		NULL, &count);

	if (err || !count)
		return err;
	return scan_coverages(load,
		"SELECT coverage.id, coverage.generation, overrun,"
		" coverage.size, runs, coverage.sum, length, start"
		" FROM slot CROSS JOIN coverage ON coverage.id = slot.id"
		/* As they are read: a flipped bit can make a 0 a blob. */
		" AND CAST(coverage.generation AS INTEGER)"
		" = CAST(slot.generation AS INTEGER)",
		load->coverage, &count);
}

/* Rows have checksums; what says which rows there are has not. */
static int check_pages(const struct load *load)
{
	struct ledger *ledger = load->ledger;
	sqlite3_stmt *stmt;
	const char *text;
	int err = 0;
	int rc = sqlite3_prepare_v2(
		ledger->db, "PRAGMA quick_check(1)", -1, &stmt, NULL);

	if (!rc)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		text = (const char *)sqlite3_column_text(stmt, 0);
		if (!text || strcmp(text, "ok") != 0) {
			err = -EILSEQ;
			snprintf(load->why, LEDGER_WHY_SIZE,
				"%.100s" LEDGER_SUFFIX " is damaged: %.100s",
				ledger->name, text ? text : "no answer");
		}
	} else {
		err = ended(load, rc);
	}
	sqlite3_finalize(stmt);
	return err;
}

int ledger_load(struct ledger *ledger,
	int (*slot)(void *arg, const struct ledger_slot *slot),
	int (*coverage)(void *arg, const struct ledger_coverage *coverage),
	void *arg, char *why)
{
	struct load load = {ledger, slot, coverage, arg, why};
	int err;

	*why = '\0';
	pthread_mutex_lock(&ledger->lock);
	err = ledger_error(ledger);
	if (!err)
		err = check_pages(&load);
	if (!err)
		err = load_slots(&load);
	if (!err)
		err = load_coverages(&load);
	pthread_mutex_unlock(&ledger->lock);
	return err;
}
