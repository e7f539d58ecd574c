/*
 * Which bytes of a slot have been written since it was last reset.
 *
 * Byte-exact for any order of writes. A sequential writer costs one number,
 * the prefix. What lies beyond a hole goes to the tail: one bit per 4096-byte
 * page, and for pages covered in part one bit per byte; so never more than
 * one eighth of the slot, and 1/32768 of it for page-aligned writers.
 *
 * Invariants: [0, prefix) is covered, the byte at prefix is not, and the tail
 * holds only bytes beyond it. So "all of it" is prefix == length, in one
 * comparison.
 *
 * Threads: none of its own; the slot's lock guards it.
 */
#ifndef RMFS_TARGET_COVERAGE_H
#define RMFS_TARGET_COVERAGE_H

#include <stdbool.h>
#include <stdint.h>

struct coverage_tail;

/* All zeros is "nothing covered". */
struct coverage {
	uint64_t prefix;
	struct coverage_tail *tail;
};

/*
 * Cover [start, end).
 * Returns 0, or -ENOMEM: then part of it may be missing, nothing is extra.
 */
int coverage_add(struct coverage *cover, uint64_t start, uint64_t end);

/*
 * Uncover [start, end). Cannot fail: without memory to split a page it
 * uncovers more than asked, never less.
 */
void coverage_remove(struct coverage *cover, uint64_t start, uint64_t end);

/* Uncover everything and free what it took. */
void coverage_clear(struct coverage *cover);

/* Bytes covered. */
uint64_t coverage_bytes(const struct coverage *cover);

/*
 * Is the byte at @pos covered, and for how long does that stay so?
 * @end  set to the first byte in (pos, limit] where it changes, or limit
 */
bool coverage_run(const struct coverage *cover, uint64_t pos, uint64_t limit,
	uint64_t *end);

#endif
