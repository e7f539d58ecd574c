/* Permission bits as people write them. */
#include "base/mode.h"

#include "unit.h"
#include <errno.h>

/* Octal, with or without the leading zero. */
START_TEST(parse_of_octal_is_the_mode)
{
	mode_t mode = 0;

	ck_assert_int_eq(mode_parse("0644", &mode), 0);
	ck_assert_uint_eq(mode, 0644);
	ck_assert_int_eq(mode_parse("600", &mode), 0);
	ck_assert_uint_eq(mode, 0600);
	ck_assert_int_eq(mode_parse("0777", &mode), 0);
	ck_assert_uint_eq(mode, 0777);
}
END_TEST

/* No other digits, no special bits, and nothing its owner cannot use. */
START_TEST(parse_of_other_text_is_refused)
{
	static const char *const bad[] = {"", "0", "00", "644x", "888", "0o644",
		"4755", "04755", "00644", "-644", "444", "0200", "rw", "64"};
	mode_t mode = 0123;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(
			mode_parse(bad[i], &mode) == -EINVAL, "%s", bad[i]);
	ck_assert_uint_eq(mode, 0123);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mode");
	TCase *parse = unit_case(suite, "parse");

	tcase_add_test(parse, parse_of_octal_is_the_mode);
	tcase_add_test(parse, parse_of_other_text_is_refused);
	return unit_main(suite);
}
