/*
 * Files: a map and an allocator that carry the same identity.
 *
 * RMM_WRITE_ONCE keeps a bit for each page of the file. A writer claims the
 * bits of its range front to back, a word at a time and only if none of them
 * is set; of two that overlap, the one that meets a set bit gives back what it
 * claimed and fails. A write that fails gives back its claim too: the bytes
 * are not there, so the range may be written again.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "core/allocator.h"
#include "core/map.h"

struct rmm_file {
	struct rmm_map *map;
	struct rmm_allocator *allocator;
	_Atomic uint64_t *written; /* NULL without RMM_WRITE_ONCE */
	_Atomic unsigned refs;
};

static void file_free(struct rmm_file *file)
{
	int saved = errno;

	if (!file)
		return;
	rmm_allocator_close(file->allocator);
	rmm_map_close(file->map);
	free(file->written);
	free(file);
	errno = saved;
}

static void auto_file_free(struct rmm_file **file)
{
	file_free(*file);
}

/* A file without map and allocator yet. */
static struct rmm_file *file_new(void)
{
	struct rmm_file *file = calloc(1, sizeof(*file));

	if (file)
		atomic_init(&file->refs, 1);
	return file;
}

static int add_bits(struct rmm_file *file, uint64_t size, unsigned flags)
{
	if (!(flags & RMM_WRITE_ONCE))
		return 0;
	file->written =
		calloc(size / RMM_ALIGNMENT / 64 + 1, sizeof(*file->written));
	return file->written ? 0 : -ENOMEM;
}

/* The file itself comes last: once it is there, nothing can fail any more. */
int rmm_file_create(const char *path, uint64_t size,
	enum rmm_allocator_kind kind, unsigned flags, struct rmm_file **out)
{
	AUTO(auto_file_free) struct rmm_file *file = file_new();
	int err;

	if (!file)
		return -ENOMEM;
	err = rmm_allocator_create(kind, size, 0, &file->allocator);
	if (!err)
		err = add_bits(file, size, flags);
	if (!err)
		err = rmm_map_create(
			path, size, flags & ~RMM_WRITE_ONCE, &file->map);
	if (err)
		return err;
	allocator_adopt(file->allocator, rmm_map_id(file->map));
	*out = KEEP(file);
	return 0;
}

int rmm_file_create_default(
	const char *path, uint64_t size, struct rmm_file **out)
{
	return rmm_file_create(path, size, RMM_SEQUENTIAL, 0, out);
}

static int open_parts(struct rmm_file *file, const char *path, unsigned flags)
{
	int err = rmm_map_open(path, flags & ~RMM_WRITE_ONCE, &file->map);

	return err ? err : add_bits(file, rmm_map_size(file->map), flags);
}

int rmm_file_open(const char *path, enum rmm_allocator_kind kind,
	unsigned flags, struct rmm_file **out)
{
	AUTO(auto_file_free) struct rmm_file *file = file_new();
	int err;

	if (!file)
		return -ENOMEM;
	err = open_parts(file, path, flags);
	if (!err)
		err = rmm_allocator_create(kind, rmm_map_size(file->map),
			rmm_map_id(file->map), &file->allocator);
	if (err)
		return err;
	*out = KEEP(file);
	return 0;
}

int rmm_file_open_default(const char *path, struct rmm_file **out)
{
	return rmm_file_open(path, RMM_SEQUENTIAL, 0, out);
}

int rmm_file_resume(const char *path, const char *text, size_t len,
	unsigned flags, struct rmm_file **out)
{
	AUTO(auto_file_free) struct rmm_file *file = file_new();
	int err;

	if (!file)
		return -ENOMEM;
	err = open_parts(file, path, flags);
	if (!err)
		err = rmm_allocator_parse(text, len, &file->allocator);
	if (err)
		return err;
	if (rmm_allocator_file(file->allocator) != rmm_map_id(file->map) ||
		rmm_allocator_total_size(file->allocator) !=
			rmm_map_size(file->map))
		return -EXDEV;
	*out = KEEP(file);
	return 0;
}

struct rmm_file *rmm_file_ref(struct rmm_file *file)
{
	/* Relaxed: the caller's own reference keeps the file. */
	atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
	return file;
}

void rmm_file_close(struct rmm_file *file)
{
	/* Release and acquire: see rmm_map_close, it is the same. */
	if (file && atomic_fetch_sub_explicit(
			    &file->refs, 1, memory_order_acq_rel) == 1)
		file_free(file);
}

uint64_t rmm_file_size(const struct rmm_file *file)
{
	return rmm_map_size(file->map);
}

struct rmm_map *rmm_file_map(const struct rmm_file *file)
{
	return file->map;
}

struct rmm_allocator *rmm_file_allocator(const struct rmm_file *file)
{
	return file->allocator;
}

int rmm_file_alloc(struct rmm_file *file, uint64_t len, struct rmm_range *range)
{
	return rmm_allocator_alloc(file->allocator, len, range);
}

/* ---- write once ---- */

/* The bits of the pages of [start, end) that are in word number @word. */
static uint64_t word_mask(const struct rmm_range *range, uint64_t word)
{
	uint64_t first = range->start / RMM_ALIGNMENT;
	uint64_t last = (range->end - 1) / RMM_ALIGNMENT;
	uint64_t mask = ~(uint64_t)0;

	if (word == first / 64)
		mask &= ~(uint64_t)0 << first % 64;
	if (word == last / 64)
		mask &= ~(uint64_t)0 >> (63 - last % 64);
	return mask;
}

static uint64_t word_of(uint64_t offset)
{
	return offset / RMM_ALIGNMENT / 64;
}

/* Give back what was claimed of the words before number @end. */
static void unclaim(
	struct rmm_file *file, const struct rmm_range *range, uint64_t end)
{
	for (uint64_t w = word_of(range->start); w < end; w++)
		/* Release: what was stored before, for the next claim. */
		atomic_fetch_and_explicit(&file->written[w],
			~word_mask(range, w), memory_order_release);
}

static bool claim_word(_Atomic uint64_t *word, uint64_t mask)
{
	uint64_t old = atomic_load_explicit(word, memory_order_relaxed);

	do {
		if (old & mask)
			return false;
		/* Acquire: pairs with the release in unclaim. */
	} while (!atomic_compare_exchange_weak_explicit(word, &old, old | mask,
		memory_order_acquire, memory_order_relaxed));
	return true;
}

static int claim(struct rmm_file *file, const struct rmm_range *range)
{
	if (!file->written)
		return 0;
	for (uint64_t w = word_of(range->start); w <= word_of(range->end - 1);
		w++) {
		if (!claim_word(&file->written[w], word_mask(range, w))) {
			unclaim(file, range, w);
			return -EALREADY;
		}
	}
	return 0;
}

/* ---- ranges ---- */

static int check_range(
	const struct rmm_file *file, const struct rmm_range *range)
{
	if (range->file != rmm_map_id(file->map))
		return -EXDEV;
	if (range->start >= range->end || range->end > rmm_file_size(file))
		return -ERANGE;
	return 0;
}

int rmm_file_write_range(struct rmm_file *file, const struct rmm_range *range,
	const void *buf, size_t len, struct rmm_receipt *receipt)
{
	int err = check_range(file, range);

	if (!err && len != rmm_range_len(range))
		err = -EMSGSIZE;
	if (!err && !file->map->writable)
		err = -EBADF;
	if (!err)
		err = claim(file, range);
	if (err)
		return err;
	err = rmm_map_write_all_at(file->map, buf, len, range->start);
	if (err && file->written)
		unclaim(file, range, word_of(range->end - 1) + 1);
	if (!err && receipt)
		receipt->range = *range;
	return err;
}

int rmm_file_write_range_all(struct rmm_file *file,
	const struct rmm_range *range, const void *buf, size_t len,
	struct rmm_receipt *receipt)
{
	return rmm_file_write_range(file, range, buf, len, receipt);
}

int rmm_file_read_range(struct rmm_file *file, const struct rmm_range *range,
	void *buf, size_t size)
{
	int err = check_range(file, range);
	ssize_t count;

	if (!err && size < rmm_range_len(range))
		err = -ENOBUFS;
	if (err)
		return err;
	count = rmm_map_read_at(
		file->map, buf, (size_t)rmm_range_len(range), range->start);
	return count < 0 ? (int)count : 0;
}

int rmm_file_flush(struct rmm_file *file)
{
	return rmm_map_flush(file->map);
}

int rmm_file_flush_range(
	struct rmm_file *file, const struct rmm_receipt *receipt)
{
	int err = check_range(file, &receipt->range);

	return err ? err
		   : rmm_map_flush_range(file->map, receipt->range.start,
			     rmm_range_len(&receipt->range));
}

int rmm_file_sync(struct rmm_file *file)
{
	return rmm_map_sync(file->map);
}

int rmm_file_sync_range(
	struct rmm_file *file, const struct rmm_receipt *receipt)
{
	int err = check_range(file, &receipt->range);

	return err ? err
		   : rmm_map_sync_range(file->map, receipt->range.start,
			     rmm_range_len(&receipt->range));
}
