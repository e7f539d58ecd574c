/* CRC32C against RFC 3720 and against the definition, bit by bit. */
#include "base/crc32c.h"

#include "unit.h"

/* The definition: shift each bit through the register. */
static uint32_t reference(uint32_t crc, const uint8_t *p, size_t len)
{
	crc = ~crc;
	while (len--) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78 : crc >> 1;
	}
	return ~crc;
}

static void fill(uint8_t *p, size_t len, uint64_t *seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)unit_random(seed);
}

/* The check value, and the examples of RFC 3720 appendix B.4. */
START_TEST(crc_of_published_vectors_is_as_published)
{
	uint8_t buf[32];

	ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283);
	ck_assert_uint_eq(crc32c(0, "", 0), 0);
	memset(buf, 0, sizeof(buf));
	ck_assert_uint_eq(crc32c(0, buf, sizeof(buf)), 0x8a9136aa);
	memset(buf, 0xff, sizeof(buf));
	ck_assert_uint_eq(crc32c(0, buf, sizeof(buf)), 0x62a8ab43);
	for (uint8_t i = 0; i < 32; i++)
		buf[i] = i;
	ck_assert_uint_eq(crc32c(0, buf, sizeof(buf)), 0x46dd794e);
}
END_TEST

/* Any bytes at any alignment, whole or in pieces, give the definition's. */
START_TEST(crc_of_random_pieces_is_the_definition)
{
	static uint8_t buf[20000];
	uint64_t seed = unit_seed();

	for (int round = 0; round < 200; round++) {
		size_t start = unit_random(&seed) % 64;
		size_t len = unit_random(&seed) % (sizeof(buf) - start);
		size_t cut = len ? unit_random(&seed) % len : 0;
		uint32_t whole, parts;

		fill(buf + start, len, &seed);
		whole = crc32c(0, buf + start, len);
		parts = crc32c(0, buf + start, cut);
		parts = crc32c(parts, buf + start + cut, len - cut);
		ck_assert_uint_eq(whole, reference(0, buf + start, len));
		ck_assert_uint_eq(parts, whole);
	}
}
END_TEST

/* Two checksums combine to that of the bytes put together. */
START_TEST(combine_of_random_parts_is_the_whole)
{
	static uint8_t buf[20000];
	uint64_t seed = unit_seed();

	fill(buf, sizeof(buf), &seed);
	for (int round = 0; round < 500; round++) {
		size_t len = unit_random(&seed) % sizeof(buf);
		size_t cut = len ? unit_random(&seed) % len : 0;
		uint32_t a = crc32c(0, buf, cut);
		uint32_t b = crc32c(0, buf + cut, len - cut);

		ck_assert_uint_eq(crc32c_combine(a, b, len - cut),
			reference(0, buf, len));
	}
}
END_TEST

/* Nothing on either side changes nothing. */
START_TEST(combine_with_nothing_is_the_other)
{
	uint32_t crc = crc32c(0, "rmfs", 4);

	ck_assert_uint_eq(crc32c_combine(crc, 0, 0), crc);
	ck_assert_uint_eq(crc32c_combine(0, crc, 4), crc);
}
END_TEST

/*
 * Lengths that no test can walk: appending n zeros twice is appending 2n, and
 * the first step is walked.
 */
START_TEST(combine_of_huge_lengths_doubles)
{
	static const uint8_t zeros[1 << 12];
	uint32_t crc = crc32c(0, "rmfs", 4);
	uint32_t twice = crc32c(crc, zeros, sizeof(zeros));
	uint32_t of_zeros = crc32c(0, zeros, sizeof(zeros));
	uint64_t len = sizeof(zeros);

	ck_assert_uint_eq(crc32c_combine(crc, of_zeros, len), twice);
	for (; len <= UINT64_MAX / 4; len *= 2) {
		uint32_t half = crc32c_combine(crc, of_zeros, len);

		twice = crc32c_combine(half, of_zeros, len);
		of_zeros = crc32c_combine(of_zeros, of_zeros, len);
		ck_assert_uint_eq(
			crc32c_combine(crc, of_zeros, len * 2), twice);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("crc32c");
	TCase *crc = unit_case(suite, "crc");
	TCase *combine = unit_case(suite, "combine");

	tcase_add_test(crc, crc_of_published_vectors_is_as_published);
	tcase_add_test(crc, crc_of_random_pieces_is_the_definition);
	tcase_add_test(combine, combine_of_random_parts_is_the_whole);
	tcase_add_test(combine, combine_with_nothing_is_the_other);
	tcase_add_test(combine, combine_of_huge_lengths_doubles);
	return unit_main(suite);
}
