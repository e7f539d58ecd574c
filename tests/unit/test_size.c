/* Sizes as people write them. */
#include "base/size.h"

#include "unit.h"
#include <errno.h>

static uint64_t parsed(const char *text)
{
	uint64_t bytes = 0;

	ck_assert_msg(size_parse(text, &bytes) == 0, "%s refused", text);
	return bytes;
}

static void refused(const char *text, int err)
{
	uint64_t bytes = 4711;

	ck_assert_msg(size_parse(text, &bytes) == err, "\"%s\"", text);
	ck_assert_msg(bytes == 4711, "\"%s\" changed the result", text);
}

/* A number alone is bytes. */
START_TEST(parse_plain_is_bytes)
{
	ck_assert_uint_eq(parsed("0"), 0);
	ck_assert_uint_eq(parsed("1"), 1);
	ck_assert_uint_eq(parsed("0004096"), 4096);
	ck_assert_uint_eq(parsed("9223372036854775807"), INT64_MAX);
}
END_TEST

/* K, M, G, T and KiB, MiB, GiB, TiB are powers of 1024. */
START_TEST(parse_binary_units_are_powers_of_1024)
{
	ck_assert_uint_eq(parsed("3K"), UINT64_C(3) << 10);
	ck_assert_uint_eq(parsed("3M"), UINT64_C(3) << 20);
	ck_assert_uint_eq(parsed("3G"), UINT64_C(3) << 30);
	ck_assert_uint_eq(parsed("3T"), UINT64_C(3) << 40);
	ck_assert_uint_eq(parsed("5KiB"), UINT64_C(5) << 10);
	ck_assert_uint_eq(parsed("5MiB"), UINT64_C(5) << 20);
	ck_assert_uint_eq(parsed("5GiB"), UINT64_C(5) << 30);
	ck_assert_uint_eq(parsed("5TiB"), UINT64_C(5) << 40);
}
END_TEST

/* KB, MB, GB, TB are powers of 1000. */
START_TEST(parse_decimal_units_are_powers_of_1000)
{
	ck_assert_uint_eq(parsed("7KB"), UINT64_C(7000));
	ck_assert_uint_eq(parsed("7MB"), UINT64_C(7000000));
	ck_assert_uint_eq(parsed("7GB"), UINT64_C(7000000000));
	ck_assert_uint_eq(parsed("7TB"), UINT64_C(7000000000000));
}
END_TEST

/* What is not wholly a size is refused and sets nothing. */
START_TEST(parse_other_text_is_refused)
{
	static const char *const bad[] = {"", " ", "K", "-1", "+1", " 1", "1 ",
		"1 K", "1.5G", "0x10", "1k", "1KK", "1Kib", "1B", "1P", "1\n",
		"1e3", "M1", "1G1"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(bad[i], -EINVAL);
}
END_TEST

/* No size may be over the largest file offset, nor wrap around. */
START_TEST(parse_beyond_a_file_is_out_of_range)
{
	refused("9223372036854775808", -ERANGE);
	refused("18446744073709551616", -ERANGE);
	refused("99999999999999999999999999999999999999", -ERANGE);
	refused("8388608T", -ERANGE);
	refused("16777217T", -ERANGE);
	refused("18446744073709551615K", -ERANGE);
	ck_assert_uint_eq(parsed("8388607T"), UINT64_C(8388607) << 40);
}
END_TEST

/* Sizes read well: whole numbers without a fraction, else one digit. */
START_TEST(format_picks_the_largest_unit)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{0, "0 B"},
		{17, "17 B"},
		{1023, "1023 B"},
		{1024, "1 KiB"},
		{1536, "1.5 KiB"},
		{UINT64_C(64) << 20, "64 MiB"},
		{UINT64_C(3) << 29, "1.5 GiB"},
		{(UINT64_C(1) << 30) - 1, "1023.9 MiB"},
		{UINT64_C(1) << 40, "1 TiB"},
		{INT64_MAX, "7.9 EiB"},
		{UINT64_MAX, "15.9 EiB"},
	};
	char buf[SIZE_TEXT_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_str_eq(
			size_format(buf, cases[i].bytes), cases[i].text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("size");
	TCase *parse = unit_case(suite, "parse");
	TCase *format = unit_case(suite, "format");

	tcase_add_test(parse, parse_plain_is_bytes);
	tcase_add_test(parse, parse_binary_units_are_powers_of_1024);
	tcase_add_test(parse, parse_decimal_units_are_powers_of_1000);
	tcase_add_test(parse, parse_other_text_is_refused);
	tcase_add_test(parse, parse_beyond_a_file_is_out_of_range);
	tcase_add_test(format, format_picks_the_largest_unit);
	return unit_main(suite);
}
