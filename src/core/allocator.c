/*
 * Allocators: three ways to deal out [0, size), behind one interface.
 *
 * Sequential and concurrent hold one position that only grows. That of the
 * concurrent one counts pages and is advanced by one fetch-and-add, without a
 * look before it: the look would fetch the cache line a second time. So a call
 * that finds nothing left has moved the position past the end, and puts it
 * back to the end, where it says the same. It never wraps: each thread is at
 * most one call of at most 2^41 pages past the end, Linux has at most 2^22
 * threads, and a file at most 2^51 pages: 2^51 + 2^22 * 2^41 < 2^64. Longer
 * requests advance it by compare-and-swap.
 */
#include "core/allocator.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/cleanup.h"

#define CACHE_LINE 64

/* Kept out of line: or the concurrent way would save registers for theirs. */
#define COLD __attribute__((noinline))

#define ADD_MAX_PAGES ((uint64_t)1 << 41)

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): it is meant. */
struct rmm_allocator {
	enum rmm_allocator_kind kind;
	uint64_t size;
	uint64_t pages; /* in size, the last one maybe not whole */
	uint64_t file;
	uint64_t next;     /* sequential: bytes */
	struct pool *pool; /* pool */
	/* Concurrent; can exceed the size. The rest is for all to read. */
	_Alignas(CACHE_LINE) _Atomic uint64_t next_pages;
};

static uint64_t pages_of(uint64_t bytes)
{
	return bytes / RMM_ALIGNMENT + (bytes % RMM_ALIGNMENT != 0);
}

bool range_fits(uint64_t start, uint64_t end, uint64_t size)
{
	return start < end && end <= size && start % RMM_ALIGNMENT == 0 &&
	       (end % RMM_ALIGNMENT == 0 || end == size);
}

int allocator_create_at(enum rmm_allocator_kind kind, uint64_t size,
	uint64_t file, uint64_t next, struct rmm_allocator **out)
{
	if (size == 0 || (unsigned)kind > RMM_POOL)
		return -EINVAL;
	if (size > INT64_MAX)
		return -EFBIG;

	AUTO_FREE struct rmm_allocator *a =
		aligned_alloc(CACHE_LINE, sizeof(*a));

	if (!a)
		return -ENOMEM;
	*a = (struct rmm_allocator){.kind = kind,
		.size = size,
		.pages = pages_of(size),
		.file = file,
		.next = next};
	atomic_init(&a->next_pages, pages_of(next));
	if (kind == RMM_POOL) {
		int err = pool_create(size, &a->pool);

		if (err)
			return err;
	}
	*out = KEEP(a);
	return 0;
}

int rmm_allocator_create(enum rmm_allocator_kind kind, uint64_t size,
	uint64_t file, struct rmm_allocator **out)
{
	struct rmm_allocator *a;
	int err = allocator_create_at(kind, size, file, 0, &a);

	if (err)
		return err;
	if (kind == RMM_POOL)
		err = pool_release(a->pool, 0, size);
	if (err) {
		rmm_allocator_close(a);
		return err;
	}
	*out = a;
	return 0;
}

void rmm_allocator_close(struct rmm_allocator *a)
{
	int saved = errno;

	if (a)
		pool_close(a->pool);
	free(a);
	errno = saved;
}

static COLD int alloc_sequential(
	struct rmm_allocator *a, uint64_t len, struct rmm_range *range)
{
	uint64_t left = a->size - a->next, want = rmm_align_up(len);

	if (left == 0)
		return -ENOSPC;
	range->start = a->next;
	a->next += want < left ? want : left;
	range->end = a->next;
	range->file = a->file;
	return 0;
}

static COLD int alloc_pool(
	struct rmm_allocator *a, uint64_t len, struct rmm_range *range)
{
	int err = pool_alloc(a->pool, len, &range->start, &range->end);

	if (!err)
		range->file = a->file;
	return err;
}

/* The pages [pos, pos + pages) as far as there are any. */
static int deal_out(const struct rmm_allocator *a, uint64_t pos, uint64_t pages,
	struct rmm_range *range)
{
	range->start = pos * RMM_ALIGNMENT;
	range->end = (pos + pages) * RMM_ALIGNMENT;
	if (pages >= a->pages - pos)
		range->end = a->size;
	range->file = a->file;
	return 0;
}

/* For a request that is too long to be added unseen: lock-free. */
static COLD int alloc_huge(
	struct rmm_allocator *a, uint64_t pages, struct rmm_range *range)
{
	/* Relaxed, as below: the position is all there is to agree on. */
	uint64_t pos =
		atomic_load_explicit(&a->next_pages, memory_order_relaxed);
	uint64_t next;

	do {
		if (pos >= a->pages)
			return -ENOSPC;
		next = pages < a->pages - pos ? pos + pages : a->pages;
	} while (!atomic_compare_exchange_weak_explicit(&a->next_pages, &pos,
		next, memory_order_relaxed, memory_order_relaxed));
	return deal_out(a, pos, pages, range);
}

static inline int alloc_concurrent(
	struct rmm_allocator *a, uint64_t len, struct rmm_range *range)
{
	uint64_t pages = pages_of(len), pos;

	if (pages > ADD_MAX_PAGES)
		return alloc_huge(a, pages, range);
	/*
	 * Relaxed: a range is two numbers, no memory is published with it; who
	 * hands it to another thread synchronises there.
	 */
	pos = atomic_fetch_add_explicit(
		&a->next_pages, pages, memory_order_relaxed);
	if (pos < a->pages)
		return deal_out(a, pos, pages, range);
	/* Relaxed: everything from there on says the same. */
	atomic_store_explicit(&a->next_pages, a->pages, memory_order_relaxed);
	return -ENOSPC;
}

int rmm_allocator_alloc(
	struct rmm_allocator *a, uint64_t len, struct rmm_range *range)
{
	if (len == 0)
		return -EINVAL;
	if (a->kind == RMM_CONCURRENT)
		return alloc_concurrent(a, len, range);
	if (a->kind == RMM_SEQUENTIAL)
		return alloc_sequential(a, len, range);
	return alloc_pool(a, len, range);
}

static int check_pool_range(
	const struct rmm_allocator *a, const struct rmm_range *range)
{
	if (a->kind != RMM_POOL)
		return -ENOTSUP;
	if (range->file != a->file)
		return -EXDEV;
	return range_fits(range->start, range->end, a->size) ? 0 : -EINVAL;
}

int rmm_allocator_take(struct rmm_allocator *a, const struct rmm_range *range)
{
	int err = check_pool_range(a, range);

	return err ? err : pool_take(a->pool, range->start, range->end);
}

int rmm_allocator_release(
	struct rmm_allocator *a, const struct rmm_range *range)
{
	int err = check_pool_range(a, range);

	return err ? err : pool_release(a->pool, range->start, range->end);
}

uint64_t rmm_allocator_next_pos(const struct rmm_allocator *a)
{
	uint64_t pages;

	if (a->kind == RMM_SEQUENTIAL)
		return a->next;
	if (a->kind == RMM_POOL)
		return pool_next_pos(a->pool);
	/* Relaxed: a snapshot, old when it returns. */
	pages = atomic_load_explicit(&a->next_pages, memory_order_relaxed);
	return pages < a->pages ? pages * RMM_ALIGNMENT : a->size;
}

uint64_t rmm_allocator_remaining(const struct rmm_allocator *a)
{
	if (a->kind == RMM_POOL)
		return pool_remaining(a->pool);
	return a->size - rmm_allocator_next_pos(a);
}

uint64_t rmm_allocator_total_size(const struct rmm_allocator *a)
{
	return a->size;
}

enum rmm_allocator_kind rmm_allocator_kind(const struct rmm_allocator *a)
{
	return a->kind;
}

uint64_t rmm_allocator_file(const struct rmm_allocator *a)
{
	return a->file;
}

struct pool *allocator_pool(const struct rmm_allocator *a)
{
	return a->pool;
}

void allocator_adopt(struct rmm_allocator *a, uint64_t file)
{
	a->file = file;
}
