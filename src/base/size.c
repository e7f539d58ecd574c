/* Sizes as people write them. */
#include "base/size.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct unit {
	const char *suffix;
	uint64_t bytes;
} units[] = {
	{"", 1},
	{"K", UINT64_C(1) << 10},
	{"M", UINT64_C(1) << 20},
	{"G", UINT64_C(1) << 30},
	{"T", UINT64_C(1) << 40},
	{"KiB", UINT64_C(1) << 10},
	{"MiB", UINT64_C(1) << 20},
	{"GiB", UINT64_C(1) << 30},
	{"TiB", UINT64_C(1) << 40},
	{"KB", UINT64_C(1000)},
	{"MB", UINT64_C(1000000)},
	{"GB", UINT64_C(1000000000)},
	{"TB", UINT64_C(1000000000000)},
};

static const struct unit *find_unit(const char *suffix)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(units[i].suffix, suffix) == 0)
			return &units[i];
	return NULL;
}

int size_parse(const char *text, uint64_t *bytes)
{
	size_t digits = strspn(text, "0123456789");
	const struct unit *unit = find_unit(text + digits);
	uint64_t n = 0;

	if (digits == 0 || !unit)
		return -EINVAL;
	for (size_t i = 0; i < digits; i++)
		if (__builtin_mul_overflow(n, 10, &n) ||
			__builtin_add_overflow(n, text[i] - '0', &n))
			return -ERANGE;
	if (__builtin_mul_overflow(n, unit->bytes, &n) || n > INT64_MAX)
		return -ERANGE;
	*bytes = n;
	return 0;
}

/* Tenths are cut, not rounded: "1024.0 MiB" cannot come out. */
char *size_format(char *buf, uint64_t bytes)
{
	static const char *const names[] = {
		"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	unsigned power = 0;
	unsigned whole;
	unsigned tenths;

	while (power < 6 && bytes >> (10 * (power + 1)))
		power++;
	whole = (unsigned)(bytes >> (10 * power));
	bytes -= (uint64_t)whole << (10 * power);
	/* Up to 60 bits are left: ten times that fits. */
	tenths = (unsigned)(bytes * 10 >> (10 * power));
	if (tenths)
		snprintf(buf, SIZE_TEXT_MAX, "%u.%u %s", whole, tenths,
			names[power]);
	else
		snprintf(buf, SIZE_TEXT_MAX, "%u %s", whole, names[power]);
	return buf;
}
