/*
 * Inode numbers are computed: nothing to allocate on lookup, nothing to leak.
 *
 *	63      44 43   40 39                  0
 *	| target  | kind  | slot id            |
 *
 * The root is number 1: no target, no kind, "slot" 1. Ids start at 1 and are
 * never reused.
 */
#ifndef RMFS_FS_INODE_H
#define RMFS_FS_INODE_H

#include <stdint.h>

enum kind {
	KIND_ROOT,
	KIND_TARGET,
	KIND_DATA,
	KIND_STATUS,
	KIND_RANGES,
	KIND_RECEIPTS,
	KIND_SLOT,
	KIND_RECEIPT,
	KIND_CTL,
};

enum { INODE_KIND_SHIFT = 40, INODE_TARGET_SHIFT = 44 };

static inline uint64_t inode_make(
	uint64_t target, enum kind kind, uint64_t slot)
{
	return target << INODE_TARGET_SHIFT |
	       (uint64_t)kind << INODE_KIND_SHIFT | slot;
}

static inline uint64_t inode_target(uint64_t ino)
{
	return ino >> INODE_TARGET_SHIFT;
}

static inline enum kind inode_kind(uint64_t ino)
{
	return (enum kind)(ino >> INODE_KIND_SHIFT & 15);
}

static inline uint64_t inode_slot(uint64_t ino)
{
	return ino & ((UINT64_C(1) << INODE_KIND_SHIFT) - 1);
}

#endif
