/*
 * Text forms of ranges, receipts and allocators.
 *
 * A text has exactly one spelling: single blanks, decimal numbers without
 * leading zeros, 16 and 8 lower-case hexadecimal digits for file and crc. So
 * what parses formats to the same bytes again. The CRC32C comes first in
 * parsing, the fields after it are still not believed: a text can be made.
 */
#include "core/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/allocator.h"
#include "ranged_mmap.h"

#define CRC_FIELD 13 /* " crc=89abcdef" */

static const char *const kind_names[] = {
	[RMM_SEQUENTIAL] = "sequential",
	[RMM_CONCURRENT] = "concurrent",
	[RMM_POOL] = "pool",
};

uint32_t text_crc(const char *text, size_t len)
{
	uint32_t crc = ~(uint32_t)0;

	for (size_t i = 0; i < len; i++) {
		crc ^= (unsigned char)text[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

/* ---- reading: a cursor over bytes, every step says whether it fits ---- */

struct cursor {
	const char *at;
	const char *end;
};

static bool word(struct cursor *c, const char *expected)
{
	size_t len = strlen(expected);

	if ((size_t)(c->end - c->at) < len || memcmp(c->at, expected, len) != 0)
		return false;
	c->at += len;
	return true;
}

static bool decimal(struct cursor *c, uint64_t *n)
{
	const char *first = c->at;

	for (*n = 0; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
		if (__builtin_mul_overflow(*n, 10, n) ||
			__builtin_add_overflow(*n, *c->at - '0', n))
			return false;
	return c->at > first && (*first != '0' || c->at == first + 1);
}

static bool hexadecimal(struct cursor *c, int digits, uint64_t *n)
{
	for (*n = 0; digits > 0; digits--, c->at++) {
		if (c->at == c->end)
			return false;
		if (*c->at >= '0' && *c->at <= '9')
			*n = *n << 4 | (uint64_t)(*c->at - '0');
		else if (*c->at >= 'a' && *c->at <= 'f')
			*n = *n << 4 | (uint64_t)(*c->at - 'a' + 10);
		else
			return false;
	}
	return true;
}

/* Set @c to the text without newline and crc, if the crc is right. */
static bool checked(const char *text, size_t len, struct cursor *c)
{
	uint64_t crc;

	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len < CRC_FIELD)
		return false;
	*c = (struct cursor){text + len - CRC_FIELD, text + len};
	if (!word(c, " crc=") || !hexadecimal(c, 8, &crc))
		return false;
	*c = (struct cursor){text, text + len - CRC_FIELD};
	return crc == text_crc(text, len - CRC_FIELD);
}

static bool read_range(
	const char *text, size_t len, const char *what, struct rmm_range *range)
{
	struct cursor c;

	return checked(text, len, &c) && word(&c, what) &&
	       word(&c, " start=") && decimal(&c, &range->start) &&
	       word(&c, " end=") && decimal(&c, &range->end) &&
	       word(&c, " file=") && hexadecimal(&c, 16, &range->file) &&
	       c.at == c.end && range->start <= range->end;
}

int rmm_range_parse(const char *text, size_t len, struct rmm_range *range)
{
	struct rmm_range read;

	if (!read_range(text, len, "range", &read))
		return -EINVAL;
	*range = read;
	return 0;
}

int rmm_receipt_parse(const char *text, size_t len, struct rmm_receipt *receipt)
{
	struct rmm_range read;

	if (!read_range(text, len, "receipt", &read) ||
		rmm_range_is_empty(&read))
		return -EINVAL;
	receipt->range = read;
	return 0;
}

static bool read_kind(struct cursor *c, enum rmm_allocator_kind *kind)
{
	for (unsigned i = RMM_SEQUENTIAL; i <= RMM_POOL; i++) {
		*kind = (enum rmm_allocator_kind)i;
		if (word(c, kind_names[i]))
			return true;
	}
	return false;
}

/* Read "none", or free places, ascending, with something taken between. */
static int read_places(struct cursor *c, struct rmm_allocator *a)
{
	uint64_t start, end, last = 0, size = rmm_allocator_total_size(a);
	bool first = true;

	if (word(c, "none"))
		return 0;
	do {
		if (!decimal(c, &start) || !word(c, "-") || !decimal(c, &end))
			return -EINVAL;
		if (!range_fits(start, end, size) || (!first && start <= last))
			return -EINVAL;

		int err = pool_release(allocator_pool(a), start, end);

		if (err)
			return err;
		last = end;
		first = false;
	} while (word(c, ","));
	return 0;
}

static int read_allocator(struct cursor *c, struct rmm_allocator **out)
{
	enum rmm_allocator_kind kind;
	uint64_t size, file, next = 0;
	int err;

	if (!word(c, "allocator kind=") || !read_kind(c, &kind) ||
		!word(c, " size=") || !decimal(c, &size) ||
		!word(c, " file=") || !hexadecimal(c, 16, &file))
		return -EINVAL;
	if (kind == RMM_POOL ? !word(c, " free=")
			     : !word(c, " next=") || !decimal(c, &next))
		return -EINVAL;
	if (next > size || (next % RMM_ALIGNMENT != 0 && next != size))
		return -EINVAL;
	err = allocator_create_at(kind, size, file, next, out);
	if (err)
		return err == -EFBIG ? -EINVAL : err;
	if (kind == RMM_POOL)
		err = read_places(c, *out);
	if (!err && c->at != c->end)
		err = -EINVAL;
	if (err)
		rmm_allocator_close(*out);
	return err;
}

int rmm_allocator_parse(
	const char *text, size_t len, struct rmm_allocator **out)
{
	struct rmm_allocator *a;
	struct cursor c;
	int err;

	if (!checked(text, len, &c))
		return -EINVAL;
	err = read_allocator(&c, &a);
	if (!err)
		*out = a;
	return err;
}

/* ---- writing ---- */

static int write_range(
	const struct rmm_range *range, const char *what, char *buf, size_t size)
{
	int len;

	if (size < RMM_TEXT_SIZE)
		return -ENOBUFS;
	if (range->start > range->end)
		return -EINVAL;
	len = snprintf(buf, size,
		"%s start=%" PRIu64 " end=%" PRIu64 " file=%016" PRIx64, what,
		range->start, range->end, range->file);
	snprintf(buf + len, size - (size_t)len, " crc=%08" PRIx32,
		text_crc(buf, (size_t)len));
	return 0;
}

int rmm_range_format(const struct rmm_range *range, char *buf, size_t size)
{
	return write_range(range, "range", buf, size);
}

int rmm_receipt_format(
	const struct rmm_receipt *receipt, char *buf, size_t size)
{
	if (rmm_range_is_empty(&receipt->range))
		return -EINVAL;
	return write_range(&receipt->range, "receipt", buf, size);
}

struct places {
	FILE *out;
	const char *separator;
};

static void write_place(uint64_t start, uint64_t end, void *arg)
{
	struct places *places = arg;

	fprintf(places->out, "%s%" PRIu64 "-%" PRIu64, places->separator, start,
		end);
	places->separator = ",";
}

static void write_allocator(const struct rmm_allocator *a, FILE *out)
{
	struct places places = {out, ""};

	fprintf(out, "allocator kind=%s size=%" PRIu64 " file=%016" PRIx64,
		kind_names[rmm_allocator_kind(a)], rmm_allocator_total_size(a),
		rmm_allocator_file(a));
	if (rmm_allocator_kind(a) != RMM_POOL) {
		fprintf(out, " next=%" PRIu64, rmm_allocator_next_pos(a));
		return;
	}
	fputs(" free=", out);
	pool_each(allocator_pool(a), write_place, &places);
	if (*places.separator == '\0')
		fputs("none", out);
}

int rmm_allocator_format(const struct rmm_allocator *a, char **text)
{
	AUTO_FREE char *buf = NULL;
	size_t len;
	FILE *out = open_memstream(&buf, &len);
	bool failed;

	if (!out)
		return -ENOMEM;
	write_allocator(a, out);
	failed = fflush(out) != 0;
	if (!failed)
		fprintf(out, " crc=%08" PRIx32, text_crc(buf, len));
	failed |= ferror(out) != 0;
	failed |= fclose(out) != 0;
	if (failed)
		return -ENOMEM;
	*text = KEEP(buf);
	return 0;
}
