/*
 * Fuzzer of the text parsers: whatever parses formats to the same bytes again,
 * and an allocator that came out of it hands out only what it should.
 *
 * Each input is tried twice: as it is, and as the body of a text with the crc
 * that belongs to it, or no input would ever get past the crc.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "ranged_mmap.h"

#define REQUIRE(condition)        \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require_same(const char *text, size_t len, const char *again)
{
	if (len > 0 && text[len - 1] == '\n')
		len--;
	REQUIRE(strlen(again) == len && memcmp(text, again, len) == 0);
}

static void try_values(const char *text, size_t len)
{
	char again[RMM_TEXT_SIZE];
	struct rmm_range range;
	struct rmm_receipt receipt;

	if (rmm_range_parse(text, len, &range) == 0) {
		REQUIRE(rmm_range_format(&range, again, sizeof(again)) == 0);
		require_same(text, len, again);
	}
	if (rmm_receipt_parse(text, len, &receipt) == 0) {
		REQUIRE(!rmm_range_is_empty(&receipt.range));
		REQUIRE(rmm_receipt_format(&receipt, again, sizeof(again)) ==
			0);
		require_same(text, len, again);
	}
}

static void try_allocator(const char *text, size_t len)
{
	struct rmm_allocator *a;
	struct rmm_range range;
	char *again;
	uint64_t size, left;

	if (rmm_allocator_parse(text, len, &a) != 0)
		return;
	REQUIRE(rmm_allocator_format(a, &again) == 0);
	require_same(text, len, again);
	free(again);
	size = rmm_allocator_total_size(a);
	left = rmm_allocator_remaining(a);
	REQUIRE(left <= size && rmm_allocator_next_pos(a) <= size);
	for (int i = 0; i < 8 && rmm_allocator_alloc(a, 5000, &range) == 0;
		i++) {
		REQUIRE(range.start < range.end && range.end <= size);
		REQUIRE(range.start % RMM_ALIGNMENT == 0);
		left -= rmm_range_len(&range);
		REQUIRE(rmm_allocator_remaining(a) == left);
	}
	rmm_allocator_close(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const size_t crc_size = sizeof(" crc=89abcdef");
	char *text = malloc(size + crc_size);

	REQUIRE(text);
	memcpy(text, data, size);
	try_values(text, size);
	try_allocator(text, size);
	snprintf(text + size, crc_size, " crc=%08x", text_crc(text, size));
	try_values(text, size + crc_size - 1);
	try_allocator(text, size + crc_size - 1);
	free(text);
	return 0;
}
