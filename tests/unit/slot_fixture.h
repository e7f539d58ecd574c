/*
 * For tests of slots, without FUSE: a target with two of them, one of 64 KiB
 * and a last one that ends at an unaligned end of file.
 */
#ifndef SLOT_FIXTURE_H
#define SLOT_FIXTURE_H

#include <errno.h>
#include <linux/falloc.h>
#include <ranged_mmap.h>
#include <stdbool.h>

#include "base/crc32c.h"
#include "target/parking.h"
#include "target/target.h"
#include "unit.h"

enum { SLOT = 64 * 1024, LAST = 5000, SIZE = SLOT + LAST };

static struct parking *parking;
static struct target *target;
static struct slot *slot, *last;
static char file[128];
static char bytes[SIZE + 1];

static const struct who alice = {.uid = 1, .pid = 11, .command = "alice"};
static const struct who bob = {.uid = 2, .pid = 22, .command = "bob"};

static inline void setup(void)
{
	struct target_config config = {0};
	int fd;

	snprintf(file, sizeof(file), "%s/target", unit_folder());
	fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, SIZE), 0);
	ck_assert_int_eq(parking_create(&parking), 0);
	config.parking = parking;
	ck_assert_int_eq(
		target_open_forgetful("target", fd, SLOT, &config, &target), 0);
	slot = target_slot(target, 1);
	last = target_slot(target, 2);
	for (int i = 0; i < SIZE; i++)
		bytes[i] = (char)(i * 7 + i / 251);
}

static inline void teardown(void)
{
	target_close(target);
	parking_close(parking);
}

/* ---- shorthand ---------------------------------------------------------- */

static inline void never(struct waiter *waiter, int err)
{
	(void)waiter;
	ck_abort_msg("woken with %d", err);
}

static inline int try_open(
	const struct who *who, bool empty, struct writer **writer)
{
	struct waiter waiter = {.wake = never};

	return slot_open(target, slot, who, empty, &waiter, writer);
}

static inline struct writer *open_slot(bool empty)
{
	struct writer *writer = NULL;

	ck_assert_int_eq(try_open(&alice, empty, &writer), 0);
	return writer;
}

/* A change as the file system makes it: what blocks it is taken back. */
#define unblocked(of, resets, change)                                         \
	({                                                                    \
		ssize_t answer_;                                              \
		while ((answer_ = (change)) == SLOT_BLOCKED)                  \
			ck_assert_int_eq(                                     \
				slot_unblock(target, of, writer, resets), 0); \
		answer_;                                                      \
	})

static inline ssize_t write_slot(
	struct writer *writer, const void *buf, size_t len, uint64_t offset)
{
	return unblocked(
		writer->slot, false, slot_write(writer, buf, len, offset));
}

static inline int truncate_slot(struct writer *writer, uint64_t size)
{
	return (int)unblocked(slot, size < slot->size,
		slot_truncate(target, slot, writer, size, NULL));
}

static inline void put(struct writer *writer, uint64_t offset, size_t len)
{
	ck_assert_int_eq(
		write_slot(writer, bytes + offset, len, offset), (ssize_t)len);
}

/* FLUSH as the file system does it. */
static inline int flush(struct writer *writer)
{
	int err = slot_flush(writer);

	return err == SLOT_UNSETTLED ? slot_settle(writer) : err;
}

static inline void close_slot(struct writer *writer)
{
	ck_assert_int_eq(flush(writer), 0);
	slot_release(writer);
}

static inline void fill(void)
{
	struct writer *writer = open_slot(true);

	put(writer, 0, SLOT);
	close_slot(writer);
}

static inline bool complete(void)
{
	return slot_complete(target, slot);
}

/* There is a receipt, and it is true of the bytes in the file. */
static inline void assert_true_receipt(struct slot *of)
{
	struct slot_receipt receipt;
	char *now = malloc(of->length);
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	ck_assert(slot_receipt(target, of, &receipt));
	ck_assert_int_eq(pread(fd, now, of->length, (off_t)of->start),
		(ssize_t)of->length);
	ck_assert_uint_eq(receipt.state.crc, crc32c(0, now, of->length));
	close(fd);
	free(now);
}

static inline uint64_t size_now(void)
{
	struct stat st;

	slot_stat(target, slot, &st);
	return (uint64_t)st.st_size;
}

/* Add these tests to the suite, each with the fixture. */
static inline void add_case(
	Suite *suite, const char *name, const TTest *const *tests)
{
	TCase *tcase = unit_case(suite, name);

	tcase_add_checked_fixture(tcase, setup, teardown);
	for (; *tests; tests++)
		tcase_add_test(tcase, *tests);
}

#endif
