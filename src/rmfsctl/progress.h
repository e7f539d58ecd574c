/* How far a long reading is: one line on a terminal, nothing elsewhere. */
#ifndef RMFS_RMFSCTL_PROGRESS_H
#define RMFS_RMFSCTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct progress {
	const char *name; /* of what is read; the caller's */
	uint64_t total, done;
	struct timespec start, shown;
	bool on;
};

/* Start at nothing of @total bytes; stderr is looked at. */
void progress_start(struct progress *p, const char *name, uint64_t total);

/* @bytes more; shown ten times a second. */
void progress_add(struct progress *p, uint64_t bytes);

/* Take the line away; more text may follow, and more bytes. */
void progress_clear(struct progress *p);

/*
 * Read the CRC32C of @length bytes of @fd at @start; of a file on a disk, from
 * there, but for what the kernel has yet to write.
 * @progress  grows by what was read
 * Returns 0, -ENODATA (the file ends before), -EIO, ...
 */
int progress_sum(struct progress *p, int fd, uint64_t start, uint64_t length,
	uint32_t *crc);

#endif
