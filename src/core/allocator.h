/*
 * What the text forms need to know of an allocator.
 */
#ifndef RMM_CORE_ALLOCATOR_H
#define RMM_CORE_ALLOCATOR_H

#include "core/pool.h"
#include "ranged_mmap.h"

/*
 * Make an allocator with @next as the position of a sequential or concurrent
 * one; a pool has nothing free.
 * Returns as rmm_allocator_create.
 */
int allocator_create_at(enum rmm_allocator_kind kind, uint64_t size,
	uint64_t file, uint64_t next, struct rmm_allocator **out);

/* The pool of an allocator of kind RMM_POOL. */
struct pool *allocator_pool(const struct rmm_allocator *a);

/* Make @file the file of all ranges to come, before the first one. */
void allocator_adopt(struct rmm_allocator *a, uint64_t file);

/* Is [start, end) not empty, aligned and within @size? */
bool range_fits(uint64_t start, uint64_t end, uint64_t size);

#endif
