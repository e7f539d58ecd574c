/*
 * How a target is cut into slots: a small text file NAME.rmfs beside it.
 *
 *	rmfs layout 1
 *	size 1073741824
 *	slot_size 67108864
 */
#ifndef RMFS_LEDGER_LAYOUT_H
#define RMFS_LEDGER_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

struct layout {
	uint64_t size; /* of the target, bytes */
	uint64_t
		slot_size; /* multiple of RMM_ALIGNMENT; the last slot is cut */
};

/* Does @name end as the files that belong to a target do? */
bool layout_reserved(const char *name);

/*
 * Write the layout of @target in the folder @dirfd, replacing what is there,
 * whole or not at all; file and folder are synced.
 * Returns 0 or a negative errno; a failure leaves what was there.
 */
int layout_write(int dirfd, const char *target, const struct layout *layout);

/*
 * Read it back.
 * Returns 0, -ENOENT (it has none), -EILSEQ (not a layout; or of a newer
 * version), or what open and read say.
 */
int layout_read(int dirfd, const char *target, struct layout *layout);

/* Remove it, if it is there. */
void layout_remove(int dirfd, const char *target);

#endif
