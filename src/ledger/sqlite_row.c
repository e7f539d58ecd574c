/*
 * Rows to and from statements.
 *
 * SQLite has no checksums: more than a third of the bits of a ledger could flip
 * and only change a row. So each row has the CRC32C of its fields and of the
 * target's uuid, which also tells rows of another ledger, out of a stray log.
 *
 * SQLite stores an integer in as few bytes as it needs. What a receipt changes
 * is therefore padded to the width it can have: a row is overwritten in place
 * for its whole life. 32-bit numbers are stored signed: unsigned ones would
 * need 48 bits.
 */
#include "ledger/sqlite.h"

#include <endian.h>
#include <ranged_mmap.h>
#include <string.h>

#include "base/crc32c.h"

/* What a checksum is of, so that none can pass for another. */
enum kind {
	KIND_META = 'M',
	KIND_SLOT = 'S',
	KIND_COVERAGE = 'C',
};

enum slot_column {
	SLOT_START,
	SLOT_ID,
	SLOT_LENGTH,
	SLOT_GENERATION,
	SLOT_STATE,
	SLOT_CRC,
	SLOT_COMPLETED,
	SLOT_WRITER_UID,
	SLOT_WRITER_PID,
	SLOT_COMMAND,
	SLOT_UID,
	SLOT_GID,
	SLOT_MODE,
	SLOT_MTIME,
	SLOT_SUM,
	SLOT_PAD,
};

/* The bytes of generation, state, crc32c, completed_ns, writer_uid,
 * writer_pid, command, mtime_ns, sum at their widest. */
#define RECEIPT_WIDTH (4 + 1 + 4 + 8 + 4 + 4 + 15 + 8 + 4)

/* Extend a checksum by one number. */
static uint32_t add_number(uint32_t sum, uint64_t number)
{
	number = htole64(number);
	return crc32c(sum, &number, sizeof(number));
}

static uint32_t start_sum(const struct ledger_header *header, enum kind kind)
{
	unsigned char start[1 + LEDGER_UUID_SIZE] = {(unsigned char)kind};

	memcpy(start + 1, header->uuid, LEDGER_UUID_SIZE);
	return crc32c(0, start, sizeof(start));
}

static uint32_t slot_sum(
	const struct ledger_header *header, const struct ledger_slot *slot)
{
	uint64_t fields[] = {
		slot->id,
		slot->start,
		slot->length,
		slot->generation,
		slot->state,
		slot->crc,
		(uint64_t)slot->completed_ns,
		slot->writer_uid,
		(uint64_t)slot->writer_pid,
		slot->uid,
		slot->gid,
		slot->mode,
		(uint64_t)slot->mtime_ns,
		0,
		0,
	};
	size_t n = sizeof(fields) / sizeof(fields[0]);

	_Static_assert(LEDGER_COMMAND_SIZE == 2 * sizeof(fields[0]),
		"the command fills the last two");
	for (size_t i = 0; i < n - 2; i++)
		fields[i] = htole64(fields[i]);
	memcpy(&fields[n - 2], slot->command,
		strnlen(slot->command, LEDGER_COMMAND_SIZE - 1));
	return crc32c(start_sum(header, KIND_SLOT), fields, sizeof(fields));
}

/* The bytes that SQLite stores a number in (its file format, 2.1). */
static int width(int64_t n)
{
	uint64_t u = (uint64_t)(n < 0 ? ~n : n);

	if (n == 0 || n == 1)
		return 0;
	if (u < UINT64_C(1) << 31)
		return u < 1 << 7 ? 1 : u < 1 << 15 ? 2 : u < 1 << 23 ? 3 : 4;
	return u < UINT64_C(1) << 47 ? 6 : 8;
}

/* Bind one of the numbers that a receipt changes; take its width off @pad. */
static int bind_padded(
	sqlite3_stmt *stmt, enum slot_column column, int64_t value, int *pad)
{
	*pad -= width(value);
	return sqlite3_bind_int64(stmt, (int)column + 1, value);
}

static int bind(sqlite3_stmt *stmt, enum slot_column column, uint64_t value)
{
	return sqlite3_bind_int64(stmt, (int)column + 1, (int64_t)value);
}

int ledger_slot_bind(sqlite3_stmt *stmt, const struct ledger_header *header,
	const struct ledger_slot *slot)
{
	int len = (int)strnlen(slot->command, LEDGER_COMMAND_SIZE - 1);
	int pad = RECEIPT_WIDTH - len;
	int rc = 0;

	rc |= bind(stmt, SLOT_START, slot->start);
	rc |= bind(stmt, SLOT_ID, slot->id);
	rc |= bind(stmt, SLOT_LENGTH, slot->length);
	rc |= bind(stmt, SLOT_UID, slot->uid);
	rc |= bind(stmt, SLOT_GID, slot->gid);
	rc |= bind(stmt, SLOT_MODE, slot->mode);
	rc |= bind_padded(
		stmt, SLOT_GENERATION, (int32_t)slot->generation, &pad);
	rc |= bind_padded(stmt, SLOT_STATE, slot->state, &pad);
	rc |= bind_padded(stmt, SLOT_CRC, (int32_t)slot->crc, &pad);
	rc |= bind_padded(stmt, SLOT_COMPLETED, slot->completed_ns, &pad);
	rc |= bind_padded(
		stmt, SLOT_WRITER_UID, (int32_t)slot->writer_uid, &pad);
	rc |= bind_padded(stmt, SLOT_WRITER_PID, slot->writer_pid, &pad);
	rc |= bind_padded(stmt, SLOT_MTIME, slot->mtime_ns, &pad);
	rc |= bind_padded(
		stmt, SLOT_SUM, (int32_t)slot_sum(header, slot), &pad);
	rc |= sqlite3_bind_text(
		stmt, SLOT_COMMAND + 1, slot->command, len, SQLITE_STATIC);
	rc |= sqlite3_bind_zeroblob(stmt, SLOT_PAD + 1, pad);
	return rc ? SQLITE_NOMEM : SQLITE_OK;
}

static uint32_t column_u32(sqlite3_stmt *stmt, int column)
{
	return (uint32_t)sqlite3_column_int64(stmt, column);
}

static uint64_t column_u64(sqlite3_stmt *stmt, int column)
{
	return (uint64_t)sqlite3_column_int64(stmt, column);
}

/* Copy a text, cut at @size - 1 bytes; all the rest of @out is zeros. */
static void column_text(sqlite3_stmt *stmt, int column, char *out, size_t size)
{
	const char *text = (const char *)sqlite3_column_text(stmt, column);

	memset(out, 0, size);
	if (text)
		memcpy(out, text, strnlen(text, size - 1));
}

bool ledger_slot_read(sqlite3_stmt *stmt, const struct ledger_header *header,
	struct ledger_slot *slot)
{
	*slot = (struct ledger_slot){
		.id = column_u64(stmt, SLOT_ID),
		.start = column_u64(stmt, SLOT_START),
		.length = column_u64(stmt, SLOT_LENGTH),
		.generation = column_u32(stmt, SLOT_GENERATION),
		.state = (enum ledger_state)column_u32(stmt, SLOT_STATE),
		.crc = column_u32(stmt, SLOT_CRC),
		.completed_ns = sqlite3_column_int64(stmt, SLOT_COMPLETED),
		.writer_uid = column_u32(stmt, SLOT_WRITER_UID),
		.writer_pid = sqlite3_column_int(stmt, SLOT_WRITER_PID),
		.uid = column_u32(stmt, SLOT_UID),
		.gid = column_u32(stmt, SLOT_GID),
		.mode = column_u32(stmt, SLOT_MODE),
		.mtime_ns = sqlite3_column_int64(stmt, SLOT_MTIME),
	};
	column_text(stmt, SLOT_COMMAND, slot->command, sizeof(slot->command));
	return column_u32(stmt, SLOT_SUM) == slot_sum(header, slot);
}

/* ---- the header ---------------------------------------------------------- */

enum meta_column {
	META_UUID,
	META_SIZE,
	META_SLOT_SIZE,
	META_BOOT,
	META_FILE,
	META_SUM,
};

static uint32_t meta_sum(const struct ledger_header *header, const char *boot)
{
	uint32_t sum = start_sum(header, KIND_META);

	sum = add_number(sum, header->size);
	sum = add_number(sum, header->slot_size);
	sum = add_number(sum, header->file);
	return crc32c(sum, boot, strlen(boot));
}

int ledger_meta_bind(sqlite3_stmt *stmt, const struct ledger_header *header,
	const char *boot)
{
	int rc = 0;

	rc |= sqlite3_bind_blob(stmt, META_UUID + 1, header->uuid,
		LEDGER_UUID_SIZE, SQLITE_STATIC);
	rc |= sqlite3_bind_int64(stmt, META_SIZE + 1, (int64_t)header->size);
	rc |= sqlite3_bind_int64(
		stmt, META_SLOT_SIZE + 1, (int64_t)header->slot_size);
	rc |= sqlite3_bind_text(stmt, META_BOOT + 1, boot, -1, SQLITE_STATIC);
	rc |= sqlite3_bind_int64(stmt, META_FILE + 1, (int64_t)header->file);
	rc |= sqlite3_bind_int64(
		stmt, META_SUM + 1, (int32_t)meta_sum(header, boot));
	return rc ? SQLITE_NOMEM : SQLITE_OK;
}

bool ledger_meta_read(
	sqlite3_stmt *stmt, struct ledger_header *header, char *boot)
{
	const void *uuid = sqlite3_column_blob(stmt, META_UUID);

	if (!uuid || sqlite3_column_bytes(stmt, META_UUID) != LEDGER_UUID_SIZE)
		return false;
	memcpy(header->uuid, uuid, LEDGER_UUID_SIZE);
	header->size = column_u64(stmt, META_SIZE);
	header->slot_size = column_u64(stmt, META_SLOT_SIZE);
	column_text(stmt, META_BOOT, boot, LEDGER_BOOT_SIZE);
	header->file = column_u64(stmt, META_FILE);
	return column_u32(stmt, META_SUM) == meta_sum(header, boot);
}

/* ---- coverage ------------------------------------------------------------ */

enum coverage_column {
	COVERAGE_ID,
	COVERAGE_GENERATION,
	COVERAGE_OVERRUN,
	COVERAGE_SIZE,
	COVERAGE_RUNS,
	COVERAGE_SUM,
};

/* @runs are as they are on disk: little-endian. */
static uint32_t coverage_sum(const struct ledger_header *header,
	const struct ledger_coverage *coverage, const struct ledger_run *runs,
	size_t count)
{
	uint32_t sum = start_sum(header, KIND_COVERAGE);

	sum = add_number(sum, coverage->id);
	sum = add_number(sum, coverage->generation);
	sum = add_number(sum, coverage->overrun);
	sum = add_number(sum, coverage->size);
	return crc32c(sum, runs, count * sizeof(*runs));
}

int ledger_coverage_bind(sqlite3_stmt *stmt, const struct ledger_header *header,
	const struct ledger_coverage *coverage, struct ledger_run *runs)
{
	size_t count = coverage->count < LEDGER_RUNS_MAX ? coverage->count
							 : LEDGER_RUNS_MAX;
	int rc = 0;

	for (size_t i = 0; i < count; i++)
		runs[i] = (struct ledger_run){
			.start = htole64(coverage->runs[i].start),
			.end = htole64(coverage->runs[i].end),
		};
	rc |= sqlite3_bind_int64(stmt, COVERAGE_ID + 1, (int64_t)coverage->id);
	rc |= sqlite3_bind_int64(
		stmt, COVERAGE_GENERATION + 1, (int32_t)coverage->generation);
	rc |= sqlite3_bind_int(stmt, COVERAGE_OVERRUN + 1, coverage->overrun);
	rc |= sqlite3_bind_int64(
		stmt, COVERAGE_SIZE + 1, (int64_t)coverage->size);
	rc |= sqlite3_bind_blob(stmt, COVERAGE_RUNS + 1, runs,
		(int)(count * sizeof(*runs)), SQLITE_STATIC);
	rc |= sqlite3_bind_int64(stmt, COVERAGE_SUM + 1,
		(int32_t)coverage_sum(header, coverage, runs, count));
	return rc ? SQLITE_NOMEM : SQLITE_OK;
}

bool ledger_coverage_read(sqlite3_stmt *stmt,
	const struct ledger_header *header, struct ledger_coverage *coverage,
	struct ledger_run *runs, uint64_t length)
{
	const void *blob = sqlite3_column_blob(stmt, COVERAGE_RUNS);
	size_t bytes = (size_t)sqlite3_column_bytes(stmt, COVERAGE_RUNS);
	size_t count = bytes / sizeof(*runs);
	uint64_t end = 0;

	if (count > LEDGER_RUNS_MAX || bytes % sizeof(*runs))
		return false;
	*coverage = (struct ledger_coverage){
		.id = column_u64(stmt, COVERAGE_ID),
		.generation = column_u32(stmt, COVERAGE_GENERATION),
		.overrun = sqlite3_column_int(stmt, COVERAGE_OVERRUN),
		.size = column_u64(stmt, COVERAGE_SIZE),
		.runs = runs,
		.count = count,
	};
	if (count)
		memcpy(runs, blob, bytes);
	if (column_u32(stmt, COVERAGE_SUM) !=
		coverage_sum(header, coverage, runs, count))
		return false;
	for (size_t i = 0; i < count; i++) {
		runs[i].start = le64toh(runs[i].start);
		runs[i].end = le64toh(runs[i].end);
		if (runs[i].start >= runs[i].end || runs[i].end > length ||
			(i && runs[i].start <= end))
			return false;
		end = runs[i].end;
	}
	return true;
}
