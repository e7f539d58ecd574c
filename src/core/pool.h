/*
 * A pool: the free places of [0, size), under a lock of its own.
 */
#ifndef RMM_CORE_POOL_H
#define RMM_CORE_POOL_H

#include <stdint.h>

struct pool;

/* Make a pool of [0, @size) with nothing free. */
int pool_create(uint64_t size, struct pool **out);
void pool_close(struct pool *pool);

/*
 * Take the lowest place that holds @len bytes.
 * Returns 0, -ENOSPC; any thread.
 */
int pool_alloc(struct pool *pool, uint64_t len, uint64_t *start, uint64_t *end);
/* Take exactly [start, end). Returns 0, -EEXIST, -ENOMEM. */
int pool_take(struct pool *pool, uint64_t start, uint64_t end);
/* Make [start, end) free. Returns 0, -ENOENT, -ENOMEM. */
int pool_release(struct pool *pool, uint64_t start, uint64_t end);

uint64_t pool_remaining(struct pool *pool);
/* The lowest free byte; the size when there is none. */
uint64_t pool_next_pos(struct pool *pool);

/* Call @fn with each free place, ascending, under the lock. */
void pool_each(struct pool *pool,
	void (*fn)(uint64_t start, uint64_t end, void *arg), void *arg);

#endif
