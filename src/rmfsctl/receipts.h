/* The receipts of a target, from its ledger or from the mount. */
#ifndef RMFS_RMFSCTL_RECEIPTS_H
#define RMFS_RMFSCTL_RECEIPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct place;

struct receipt {
	char *name; /* of the slot; owned */
	uint64_t start, length;
	uint32_t crc;
	uint32_t generation;
	bool durable;
};

struct receipts {
	struct receipt *list; /* owned; by start */
	size_t count, room;
	uint64_t slots; /* there are that many, with a receipt or without */
};

/*
 * Collect what there is now.
 * @receipts  zeroed; to be finished, also after a failure
 * Returns 0 or a negative errno: then a line on stderr has said why.
 */
int receipts_collect(const struct place *place, struct receipts *receipts);

void receipts_fini(struct receipts *receipts);

/*
 * Read the receipt of a slot in a mount.
 * @dirfd    MOUNTPOINT/NAME
 * @receipt  all but its name are set, on success
 * Returns 0, -ENOENT (it has none), -EILSEQ (not a receipt), ...
 */
int receipt_read(int dirfd, const char *name, struct receipt *receipt);

#endif
