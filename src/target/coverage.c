/*
 * The tail is a table of chunks of 32,768 pages (128 MiB). A chunk is a bitmap
 * of the pages covered whole and a sorted array of those covered in part.
 * A page is in one of the two or in none: a partial page that fills up moves
 * to the bitmap, one that empties is freed, so bytes are counted once.
 */
#include "target/coverage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

enum {
	PAGE_BYTES = 4096,
	WORD_BITS = 64,
	PAGE_WORDS = PAGE_BYTES / WORD_BITS,
	CHUNK_PAGES = 32768,
	CHUNK_WORDS = CHUNK_PAGES / WORD_BITS,
};

#define CHUNK_BYTES ((uint64_t)CHUNK_PAGES * PAGE_BYTES)

/* A page covered in part: 0 < bytes < PAGE_BYTES, one bit each. */
struct partial {
	unsigned page; /* within the chunk */
	unsigned bytes;
	uint64_t bits[PAGE_WORDS];
};

struct chunk {
	uint64_t full[CHUNK_WORDS];
	struct partial **partials; /* sorted by page */
	unsigned partial_count;
	unsigned partial_room;
};

struct coverage_tail {
	uint64_t bytes;
	uint64_t chunk_count;
	struct chunk *chunks[];
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- bits ------------------------------------------------------------------
 * Bits [from, to) of an array of words, a word at a time.
 */

static uint64_t word_mask(unsigned word, unsigned from, unsigned to)
{
	unsigned low = word * WORD_BITS;
	uint64_t mask = ~UINT64_C(0);

	if (from > low)
		mask &= ~UINT64_C(0) << (from - low);
	if (to < low + WORD_BITS)
		mask &= ~UINT64_C(0) >> (low + WORD_BITS - to);
	return mask;
}

/* Set them; returns how many were clear. */
static unsigned bits_set(uint64_t *bits, unsigned from, unsigned to)
{
	unsigned fresh = 0;

	for (unsigned w = from / WORD_BITS; w * WORD_BITS < to; w++) {
		uint64_t mask = word_mask(w, from, to);

		fresh += (unsigned)__builtin_popcountll(mask & ~bits[w]);
		bits[w] |= mask;
	}
	return fresh;
}

/* Clear them; returns how many were set. */
static unsigned bits_clear(uint64_t *bits, unsigned from, unsigned to)
{
	unsigned gone = 0;

	for (unsigned w = from / WORD_BITS; w * WORD_BITS < to; w++) {
		uint64_t mask = word_mask(w, from, to);

		gone += (unsigned)__builtin_popcountll(mask & bits[w]);
		bits[w] &= ~mask;
	}
	return gone;
}

static bool bit_test(const uint64_t *bits, unsigned bit)
{
	return bits[bit / WORD_BITS] >> (bit % WORD_BITS) & 1;
}

/* The first bit in [from, to) that is @value, or @to. */
static unsigned bits_find(
	const uint64_t *bits, unsigned from, unsigned to, bool value)
{
	for (unsigned w = from / WORD_BITS; w * WORD_BITS < to; w++) {
		uint64_t word = value ? bits[w] : ~bits[w];

		word &= word_mask(w, from, to);
		if (word)
			return w * WORD_BITS + (unsigned)__builtin_ctzll(word);
	}
	return to;
}

/* ---- partial pages ---------------------------------------------------------
 */

/* Where @page is among the partials, or would be. */
static unsigned partial_slot(const struct chunk *chunk, unsigned page)
{
	unsigned low = 0, high = chunk->partial_count;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (chunk->partials[mid]->page < page)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct partial *partial_find(const struct chunk *chunk, unsigned page)
{
	unsigned at = partial_slot(chunk, page);

	if (at == chunk->partial_count || chunk->partials[at]->page != page)
		return NULL;
	return chunk->partials[at];
}

static struct partial *partial_insert(struct chunk *chunk, unsigned page)
{
	unsigned at = partial_slot(chunk, page);
	AUTO_FREE struct partial *partial = calloc(1, sizeof(*partial));

	if (!partial)
		return NULL;
	if (chunk->partial_count == chunk->partial_room) {
		unsigned room =
			chunk->partial_room ? chunk->partial_room * 2 : 4;
		void *grown = realloc(
			chunk->partials, room * sizeof(*chunk->partials));

		if (!grown)
			return NULL;
		chunk->partials = grown;
		chunk->partial_room = room;
	}
	partial->page = page;
	memmove(chunk->partials + at + 1, chunk->partials + at,
		(chunk->partial_count - at) * sizeof(*chunk->partials));
	chunk->partials[at] = partial;
	chunk->partial_count++;
	return KEEP(partial);
}

static void partial_delete(struct chunk *chunk, unsigned page)
{
	unsigned at = partial_slot(chunk, page);

	free(chunk->partials[at]);
	chunk->partial_count--;
	memmove(chunk->partials + at, chunk->partials + at + 1,
		(chunk->partial_count - at) * sizeof(*chunk->partials));
}

/* ---- pages: [from, to) are bytes within one page ---------------------------
 */

static int page_add(struct coverage_tail *tail, struct chunk *chunk,
	unsigned page, unsigned from, unsigned to)
{
	struct partial *partial;
	unsigned fresh;

	if (bit_test(chunk->full, page))
		return 0;
	partial = partial_find(chunk, page);
	if (!partial && to - from < PAGE_BYTES) {
		partial = partial_insert(chunk, page);
		if (!partial)
			return -ENOMEM;
	}
	if (partial) {
		fresh = bits_set(partial->bits, from, to);
		partial->bytes += fresh;
		tail->bytes += fresh;
		if (partial->bytes < PAGE_BYTES)
			return 0;
		partial_delete(chunk, page);
	} else {
		tail->bytes += PAGE_BYTES;
	}
	bits_set(chunk->full, page, page + 1);
	return 0;
}

static void page_remove(struct coverage_tail *tail, struct chunk *chunk,
	unsigned page, unsigned from, unsigned to)
{
	struct partial *partial;
	unsigned gone;

	if (bit_test(chunk->full, page)) {
		bits_clear(chunk->full, page, page + 1);
		tail->bytes -= PAGE_BYTES;
		if (to - from == PAGE_BYTES)
			return;
		partial = partial_insert(chunk, page);
		if (!partial)
			return;
		partial->bytes = bits_set(partial->bits, 0, from) +
				 bits_set(partial->bits, to, PAGE_BYTES);
		tail->bytes += partial->bytes;
		return;
	}
	partial = partial_find(chunk, page);
	if (!partial)
		return;
	gone = bits_clear(partial->bits, from, to);
	partial->bytes -= gone;
	tail->bytes -= gone;
	if (!partial->bytes)
		partial_delete(chunk, page);
}

/* ---- the tail --------------------------------------------------------------
 */

static struct chunk *tail_chunk(const struct coverage_tail *tail, uint64_t pos)
{
	uint64_t index = pos / CHUNK_BYTES;

	return index < tail->chunk_count ? tail->chunks[index] : NULL;
}

/* The chunk of @pos, made if it is not there; NULL without memory. */
static struct chunk *tail_chunk_make(struct coverage *cover, uint64_t pos)
{
	struct coverage_tail *tail = cover->tail;
	uint64_t index = pos / CHUNK_BYTES;
	uint64_t count = tail ? tail->chunk_count : 0;

	if (index >= count) {
		uint64_t room = index + 1;
		struct coverage_tail *grown = realloc(
			tail, sizeof(*grown) + room * sizeof(grown->chunks[0]));

		if (!grown)
			return NULL;
		if (!tail)
			grown->bytes = 0;
		memset(grown->chunks + count, 0,
			(room - count) * sizeof(grown->chunks[0]));
		grown->chunk_count = room;
		cover->tail = tail = grown;
	}
	if (!tail->chunks[index])
		tail->chunks[index] = calloc(1, sizeof(struct chunk));
	return tail->chunks[index];
}

/* The piece of [pos, end) that lies in the page of @pos. */
struct piece {
	unsigned page; /* within the chunk */
	unsigned from, to;
};

static struct piece piece_at(uint64_t pos, uint64_t end)
{
	uint64_t base = pos - pos % PAGE_BYTES;

	return (struct piece){
		.page = (unsigned)(pos % CHUNK_BYTES / PAGE_BYTES),
		.from = (unsigned)(pos - base),
		.to = (unsigned)(min_u64(end, base + PAGE_BYTES) - base),
	};
}

static int tail_add(struct coverage *cover, uint64_t pos, uint64_t end)
{
	while (pos < end) {
		struct chunk *chunk = tail_chunk_make(cover, pos);
		struct piece p = piece_at(pos, end);
		int err = chunk ? page_add(cover->tail, chunk, p.page, p.from,
					  p.to)
				: -ENOMEM;

		if (err)
			return err;
		pos += p.to - p.from;
	}
	return 0;
}

static void tail_remove(struct coverage_tail *tail, uint64_t pos, uint64_t end)
{
	end = min_u64(end, tail->chunk_count * CHUNK_BYTES);
	while (pos < end) {
		struct chunk *chunk = tail_chunk(tail, pos);
		struct piece p = piece_at(pos, end);

		if (!chunk) {
			pos += CHUNK_BYTES - pos % CHUNK_BYTES;
			continue;
		}
		page_remove(tail, chunk, p.page, p.from, p.to);
		pos += p.to - p.from;
	}
}

static void tail_free(struct coverage_tail *tail)
{
	if (!tail)
		return;
	for (uint64_t i = 0; i < tail->chunk_count; i++) {
		struct chunk *chunk = tail->chunks[i];

		if (!chunk)
			continue;
		for (unsigned p = 0; p < chunk->partial_count; p++)
			free(chunk->partials[p]);
		free(chunk->partials);
		free(chunk);
	}
	free(tail);
}

static bool tail_test(const struct coverage_tail *tail, uint64_t pos)
{
	const struct chunk *chunk = tail_chunk(tail, pos);
	struct piece p = piece_at(pos, pos + 1);
	const struct partial *partial;

	if (!chunk)
		return false;
	if (bit_test(chunk->full, p.page))
		return true;
	partial = partial_find(chunk, p.page);
	return partial && bit_test(partial->bits, p.from);
}

/* The first byte of the chunk from (@page, @from) on that is not covered. */
static uint64_t chunk_hole(
	const struct chunk *chunk, unsigned page, unsigned from)
{
	while (page < CHUNK_PAGES) {
		const struct partial *partial;

		if (bit_test(chunk->full, page)) {
			page = bits_find(chunk->full, page, CHUNK_PAGES, false);
			from = 0;
			continue;
		}
		partial = partial_find(chunk, page);
		if (partial)
			from = bits_find(
				partial->bits, from, PAGE_BYTES, false);
		if (from < PAGE_BYTES)
			break;
		page++;
		from = 0;
	}
	return (uint64_t)page * PAGE_BYTES + from;
}

/* The first byte of the chunk from (@page, @from) on that is covered. */
static uint64_t chunk_data(
	const struct chunk *chunk, unsigned page, unsigned from)
{
	unsigned full = bits_find(chunk->full, page, CHUNK_PAGES, true);

	for (unsigned i = partial_slot(chunk, page);
		i < chunk->partial_count && chunk->partials[i]->page < full;
		i++) {
		const struct partial *partial = chunk->partials[i];
		unsigned bit = bits_find(partial->bits,
			partial->page == page ? from : 0, PAGE_BYTES, true);

		if (bit < PAGE_BYTES)
			return (uint64_t)partial->page * PAGE_BYTES + bit;
	}
	return (uint64_t)full * PAGE_BYTES + (full == page ? from : 0);
}

/* The first byte in [pos, limit) that is (not) covered by the tail. */
static uint64_t tail_change(const struct coverage_tail *tail, uint64_t pos,
	uint64_t limit, bool covered)
{
	while (pos < limit) {
		const struct chunk *chunk = tail_chunk(tail, pos);
		uint64_t base = pos - pos % CHUNK_BYTES;
		struct piece p = piece_at(pos, pos + 1);

		if (chunk)
			pos = base +
			      (covered ? chunk_hole(chunk, p.page, p.from)
				       : chunk_data(chunk, p.page, p.from));
		else if (!covered)
			pos = base + CHUNK_BYTES;
		if (pos < base + CHUNK_BYTES)
			break;
	}
	return min_u64(pos, limit);
}

/* ---- the whole -------------------------------------------------------------
 */

/*
 * Move the prefix to @end, and over whatever the tail covers from there.
 * What the tail holds up to the new prefix is dropped; that never splits a
 * page covered whole, as the new prefix ends where coverage does.
 */
static void prefix_extend(struct coverage *cover, uint64_t end)
{
	struct coverage_tail *tail = cover->tail;

	if (tail) {
		end = tail_change(tail, end, UINT64_MAX, true);
		tail_remove(tail, cover->prefix, end);
		if (!tail->bytes) {
			tail_free(tail);
			cover->tail = NULL;
		}
	}
	cover->prefix = end;
}

int coverage_add(struct coverage *cover, uint64_t start, uint64_t end)
{
	if (start >= end || end <= cover->prefix)
		return 0;
	if (start > cover->prefix)
		return tail_add(cover, start, end);
	prefix_extend(cover, end);
	return 0;
}

void coverage_remove(struct coverage *cover, uint64_t start, uint64_t end)
{
	uint64_t prefix = cover->prefix;

	if (start >= end)
		return;
	if (cover->tail)
		tail_remove(cover->tail, start, end);
	if (start >= prefix)
		return;
	cover->prefix = start;
	if (end < prefix)
		tail_add(cover, end, prefix);
}

void coverage_clear(struct coverage *cover)
{
	tail_free(cover->tail);
	*cover = (struct coverage){0};
}

uint64_t coverage_bytes(const struct coverage *cover)
{
	return cover->prefix + (cover->tail ? cover->tail->bytes : 0);
}

bool coverage_run(const struct coverage *cover, uint64_t pos, uint64_t limit,
	uint64_t *end)
{
	bool covered = pos < cover->prefix;

	if (covered) {
		*end = min_u64(cover->prefix, limit);
	} else if (!cover->tail) {
		*end = limit;
	} else {
		covered = tail_test(cover->tail, pos);
		*end = tail_change(cover->tail, pos, limit, covered);
	}
	return covered;
}
