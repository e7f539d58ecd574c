/*
 * For tests of rmfsctl at ledgers: the target src/big with three slots of
 * 64 KiB and a last one that ends at an unaligned end of file; random bytes.
 */
#ifndef TARGET_FIXTURE_H
#define TARGET_FIXTURE_H

#include <sys/file.h>

#include "base/crc32c.h"
#include "ledger/ledger.h"
#include "rmfsctl_fixture.h"

enum { SLOT = 64 * 1024, SLOTS = 4, LAST = 5000, SIZE = 3 * SLOT + LAST };

static unsigned char bytes[SIZE];
static char why[LEDGER_WHY_SIZE];

static inline void put_bytes(void)
{
	int fd = open("src/big", O_WRONLY | O_CLOEXEC);

	ck_assert_int_eq(write(fd, bytes, SIZE), SIZE);
	close(fd);
}

static inline void setup_target(void)
{
	uint64_t seed = unit_seed();

	setup();
	setenv("RMFS_BOOT_ID", "first", 1);
	ck_assert_msg(run("create -s 201608 -S 64K src/big") == 0, "%s", out);
	for (int i = 0; i < SIZE; i++)
		bytes[i] = (unsigned char)unit_random(&seed);
	put_bytes();
}

static inline uint64_t slot_length(int i)
{
	return i == SLOTS - 1 ? LAST : SLOT;
}

static inline uint32_t sum_of(int i)
{
	return crc32c(0, bytes + i * SLOT, slot_length(i));
}

static inline struct ledger *open_ledger(int *folder)
{
	struct ledger *ledger = NULL;

	*folder = open("src", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_msg(
		ledger_open(*folder, "big", &ledger, why) == 0, "%s", why);
	return ledger;
}

/* Record a receipt of the slot's bytes, as rmfs would. */
static inline void give(int i, enum ledger_state state)
{
	struct ledger_slot row = {
		.id = (uint64_t)i + 1,
		.start = (uint64_t)i * SLOT,
		.length = slot_length(i),
		.generation = 1,
		.state = state,
		.crc = sum_of(i),
		.completed_ns = 1000000000,
		.writer_pid = 7,
		.command = "dd",
		.mode = 0644,
	};
	int folder;
	struct ledger *ledger = open_ledger(&folder);

	ck_assert_int_eq(ledger_put(ledger, &row, 1, NULL, NULL), 0);
	ck_assert_int_eq(ledger_sync(ledger), 0);
	ledger_close(ledger);
	close(folder);
}

/* Change one byte of the target. */
static inline void spoil(uint64_t offset)
{
	unsigned char other = (unsigned char)~bytes[offset];
	int fd = open("src/big", O_WRONLY | O_CLOEXEC);

	ck_assert_int_eq(pwrite(fd, &other, 1, (off_t)offset), 1);
	close(fd);
}

/* Hold the lock of a running rmfs. Returns the descriptor. */
static inline int lock_target(void)
{
	int fd = open("src/big", O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
	return fd;
}

/* A checksum of a whole file; of none, 0. */
static inline uint32_t file_sum(const char *path)
{
	static unsigned char block[8 << 20];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, block, sizeof(block));

	ck_assert_int_ge(n, 0);
	if (fd >= 0)
		close(fd);
	return crc32c(0, block, (size_t)n);
}

/* All that lies in src, so that a change of any byte is seen. */
struct disk {
	uint32_t sums[4]; /* the last one fills up */
	struct timespec data_time;
};

static inline struct disk disk_now(void)
{
	return (struct disk){
		.sums = {file_sum("src/big"), file_sum("src/big.rmfs"),
			file_sum("src/big.rmfs-wal")},
		.data_time = stat_of("src/big").st_mtim,
	};
}

static inline void assert_untouched(const struct disk *before)
{
	struct disk now = disk_now();

	ck_assert_mem_eq(&now, before, sizeof(now));
}

#endif
