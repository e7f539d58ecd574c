/*
 * Alignment, ranges and receipts: arithmetic on values, no state.
 *
 * Invariant of every answer: it never wraps, also for values that no allocator
 * ever handed out.
 */
#include "ranged_mmap.h"

uint64_t rmm_align_down(uint64_t n)
{
	return n & ~(uint64_t)(RMM_ALIGNMENT - 1);
}

uint64_t rmm_align_up(uint64_t n)
{
	if (n > rmm_align_down(UINT64_MAX))
		return UINT64_MAX;
	return rmm_align_down(n + RMM_ALIGNMENT - 1);
}

uint64_t rmm_range_len(const struct rmm_range *range)
{
	return range->start < range->end ? range->end - range->start : 0;
}

bool rmm_range_is_empty(const struct rmm_range *range)
{
	return range->start >= range->end;
}

bool rmm_range_equal(const struct rmm_range *a, const struct rmm_range *b)
{
	return a->start == b->start && a->end == b->end && a->file == b->file;
}

bool rmm_receipt_equal(const struct rmm_receipt *a, const struct rmm_receipt *b)
{
	return rmm_range_equal(&a->range, &b->range);
}

static struct rmm_split cut(const struct rmm_range *range, uint64_t point)
{
	struct rmm_split split = {RMM_SPLIT, *range, *range};

	split.low.end = point;
	split.high.start = point;
	return split;
}

static bool out_of_bounds(const struct rmm_range *range, uint64_t pos)
{
	return range->start > range->end || pos > rmm_range_len(range);
}

struct rmm_split rmm_range_split_up(const struct rmm_range *range, uint64_t pos)
{
	if (out_of_bounds(range, pos))
		return (struct rmm_split){.kind = RMM_SPLIT_OUT_OF_BOUNDS};

	uint64_t point = rmm_align_up(range->start + pos);

	if (point >= range->end)
		return (struct rmm_split){RMM_SPLIT_LOW, .low = *range};
	return cut(range, point);
}

struct rmm_split rmm_range_split_down(
	const struct rmm_range *range, uint64_t pos)
{
	if (out_of_bounds(range, pos))
		return (struct rmm_split){.kind = RMM_SPLIT_OUT_OF_BOUNDS};

	uint64_t point = rmm_align_down(range->start + pos);

	if (point <= range->start)
		return (struct rmm_split){RMM_SPLIT_HIGH, .high = *range};
	return cut(range, point);
}
