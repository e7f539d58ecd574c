/* Text forms: they come back as they were, and nothing else comes in. */
#include "ranged_mmap.h"

#include "core/text.h"
#include "unit.h"
#include <errno.h>

#define A ((uint64_t)RMM_ALIGNMENT)

/* @body with the crc that belongs to it: fields must stand for themselves. */
static const char *sealed(const char *body)
{
	static char text[1024];

	snprintf(text, sizeof(text), "%s crc=%08x", body,
		text_crc(body, strlen(body)));
	return text;
}

static int parse_range(const char *text)
{
	struct rmm_range r;

	return rmm_range_parse(text, strlen(text), &r);
}

static int parse_receipt(const char *text)
{
	struct rmm_receipt r;

	return rmm_receipt_parse(text, strlen(text), &r);
}

static int parse_allocator(const char *text)
{
	struct rmm_allocator *a = NULL;
	int err = rmm_allocator_parse(text, strlen(text), &a);

	ck_assert_int_eq(err == 0, a != NULL);
	rmm_allocator_close(a);
	return err;
}

/* The check value of CRC32C. */
START_TEST(crc_of_check_string_is_published_one)
{
	ck_assert_uint_eq(text_crc("123456789", 9), 0xe3069283);
}
END_TEST

/* A range comes back from its text, whatever its numbers. */
START_TEST(range_text_round_trips)
{
	static const struct rmm_range cases[] = {
		{0, 0, 0},
		{4096, 8192, 42},
		{0, 1, UINT64_MAX},
		{UINT64_MAX, UINT64_MAX, UINT64_MAX},
	};
	char text[RMM_TEXT_SIZE];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rmm_range r;
		size_t len;

		ck_assert_int_eq(
			rmm_range_format(&cases[i], text, sizeof(text)), 0);
		len = strlen(text);
		ck_assert_int_eq(rmm_range_parse(text, len, &r), 0);
		ck_assert(rmm_range_equal(&r, &cases[i]));
		text[len] = '\n';
		ck_assert_int_eq(rmm_range_parse(text, len + 1, &r), 0);
	}
}
END_TEST

/* The text is the documented one. */
START_TEST(range_text_is_as_documented)
{
	struct rmm_range r = {4096, 8192, 0x9c1e44a07b51f2d3};
	char text[RMM_TEXT_SIZE];

	ck_assert_int_eq(rmm_range_format(&r, text, sizeof(text)), 0);
	ck_assert_str_eq(text,
		sealed("range start=4096 end=8192 file=9c1e44a07b51f2d3"));
}
END_TEST

/* A receipt is not a range, nor a range a receipt, nor is an empty one. */
START_TEST(receipt_text_is_its_own)
{
	struct rmm_receipt r = {{4096, 8192, 42}}, back;
	struct rmm_receipt empty = {{4096, 4096, 42}};
	char text[RMM_TEXT_SIZE];

	ck_assert_int_eq(rmm_receipt_format(&r, text, sizeof(text)), 0);
	ck_assert_int_eq(rmm_receipt_parse(text, strlen(text), &back), 0);
	ck_assert(rmm_receipt_equal(&r, &back));
	ck_assert_int_eq(parse_range(text), -EINVAL);
	ck_assert_int_eq(
		rmm_receipt_format(&empty, text, sizeof(text)), -EINVAL);
	ck_assert_int_eq(parse_receipt(sealed("receipt start=4096 end=4096 "
					      "file=0000000000000001")),
		-EINVAL);
	ck_assert_int_eq(rmm_range_format(&r.range, text, sizeof(text)), 0);
	ck_assert_int_eq(parse_receipt(text), -EINVAL);
}
END_TEST

/* What does not fit, or is none, is not written. */
START_TEST(format_of_short_buffer_is_enobufs)
{
	struct rmm_range r = {0, 1, 0}, wrong = {2, 1, 0};
	char text[RMM_TEXT_SIZE];

	ck_assert_int_eq(
		rmm_range_format(&r, text, sizeof(text) - 1), -ENOBUFS);
	ck_assert_int_eq(rmm_range_format(&wrong, text, sizeof(text)), -EINVAL);
}
END_TEST

/* A range spelled otherwise is no range, even with the right crc. */
START_TEST(range_spelled_otherwise_is_einval)
{
	static const char *const wrong[] = {
		"",
		"range",
		"range start=0 end=4096",
		"range start=0 end=4096 file=1",
		"range start=0 end=4096 file=00000000000000001",
		"range start=0 end=4096 file=000000000000000A",
		"range start=0 end=4096 file=000000000000000g",
		"range  start=0 end=4096 file=0000000000000001",
		" range start=0 end=4096 file=0000000000000001",
		"range start=0 end=4096 file=0000000000000001 ",
		"range start=00 end=4096 file=0000000000000001",
		"range start=+0 end=4096 file=0000000000000001",
		"range start=-1 end=4096 file=0000000000000001",
		"range start= end=4096 file=0000000000000001",
		"range start=0x0 end=4096 file=0000000000000001",
		"range start=0 end=18446744073709551616 file=0000000000000001",
		"range start=0 end=99999999999999999999 file=0000000000000001",
		"range start=4096 end=0 file=0000000000000001",
		"range end=4096 start=0 file=0000000000000001",
	};

	ck_assert_int_eq(parse_range(sealed("range start=0 end=4096 "
					    "file=0000000000000001")),
		0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(parse_range(sealed(wrong[i])) == -EINVAL, "%s",
			wrong[i]);
}
END_TEST

/* An allocator that cannot be is refused, field by field. */
START_TEST(allocator_field_out_of_place_is_einval)
{
#define ID "file=0000000000000001"
	static const char *const right[] = {
		"allocator kind=sequential size=10000 " ID " next=8192",
		"allocator kind=concurrent size=10000 " ID " next=10000",
		"allocator kind=pool size=10000 " ID " free=none",
		"allocator kind=pool size=10000 " ID " free=0-4096,8192-10000",
	};
	static const char *const wrong[] = {
		"allocator kind=other size=10000 " ID " next=8192",
		"allocator kind= size=10000 " ID " next=8192",
		"allocator kind=sequential size=0 " ID " next=0",
		"allocator kind=sequential size=9223372036854775808 " ID
		" next=0",
		"allocator kind=sequential size=10000 " ID " next=10001",
		"allocator kind=sequential size=10000 " ID " next=12288",
		"allocator kind=sequential size=10000 " ID " next=100",
		"allocator kind=sequential size=10000 " ID " free=none",
		"allocator kind=sequential size=10000 " ID " next=",
		"allocator kind=sequential size=10000 next=0 " ID,
		"allocator kind=sequential size=10000 file=1 next=0",
		"allocator kind=concurrent size=10000 " ID " next=8192 ",
		"allocator kind=pool size=10000 " ID " next=0",
		"allocator kind=pool size=10000 " ID " free=",
		"allocator kind=pool size=10000 " ID " free=none,0-4096",
		"allocator kind=pool size=10000 " ID " free=0-4096,",
		"allocator kind=pool size=10000 " ID " free=0-4096,none",
		"allocator kind=pool size=10000 " ID " free=0-0",
		"allocator kind=pool size=10000 " ID " free=4096-0",
		"allocator kind=pool size=10000 " ID " free=0-4095",
		"allocator kind=pool size=10000 " ID " free=1-4096",
		"allocator kind=pool size=10000 " ID " free=0-12288",
		"allocator kind=pool size=10000 " ID " free=0-4096,0-4096",
		"allocator kind=pool size=10000 " ID " free=0-8192,4096-10000",
		"allocator kind=pool size=10000 " ID " free=0-4096,4096-8192",
		"allocator kind=pool size=10000 " ID " free=8192-10000,0-4096",
	};

	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
		ck_assert_msg(
			parse_allocator(sealed(right[i])) == 0, "%s", right[i]);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(parse_allocator(sealed(wrong[i])) == -EINVAL,
			"%s", wrong[i]);
}
END_TEST

/* A text cut or changed anywhere is no text. */
START_TEST(text_damaged_anywhere_is_einval)
{
	struct rmm_allocator *a;
	struct rmm_range r = {4096, 8192, 1};
	char *text;
	size_t len;

	ck_assert_int_eq(rmm_allocator_create(RMM_POOL, 100000, 1, &a), 0);
	ck_assert_int_eq(rmm_allocator_take(a, &r), 0);
	ck_assert_int_eq(rmm_allocator_format(a, &text), 0);
	rmm_allocator_close(a);
	len = strlen(text);
	for (size_t cut = 0; cut < len; cut++)
		ck_assert_int_eq(rmm_allocator_parse(text, cut, &a), -EINVAL);
	for (size_t i = 0; i < len; i++)
		for (int bit = 0; bit < 8; bit++) {
			text[i] ^= (char)(1 << bit);
			ck_assert_int_eq(
				rmm_allocator_parse(text, len, &a), -EINVAL);
			text[i] ^= (char)(1 << bit);
		}
	ck_assert_int_eq(rmm_allocator_parse(text, len, &a), 0);
	rmm_allocator_close(a);
	free(text);
}
END_TEST

/* An allocator goes on where the saved one was. */
START_TEST(allocator_restored_goes_on)
{
	struct rmm_allocator *a, *b;
	struct rmm_range r;
	char *text, *again;

	ck_assert_int_eq(rmm_allocator_create((enum rmm_allocator_kind)_i,
				 10 * A + 1, 7, &a),
		0);
	ck_assert_int_eq(rmm_allocator_alloc(a, 3 * A, &r), 0);
	ck_assert_int_eq(rmm_allocator_format(a, &text), 0);
	ck_assert_int_eq(rmm_allocator_parse(text, strlen(text), &b), 0);
	ck_assert_int_eq(rmm_allocator_format(b, &again), 0);
	ck_assert_str_eq(text, again);
	ck_assert_int_eq(rmm_allocator_kind(b), _i);
	ck_assert_uint_eq(rmm_allocator_total_size(b), 10 * A + 1);
	ck_assert_uint_eq(rmm_allocator_remaining(b), 7 * A + 1);
	ck_assert_int_eq(rmm_allocator_alloc(b, A, &r), 0);
	ck_assert(rmm_range_equal(&r, &(struct rmm_range){3 * A, 4 * A, 7}));
	rmm_allocator_close(a);
	rmm_allocator_close(b);
	free(text);
	free(again);
}
END_TEST

/* One that was asked in vain a million times saves as full, no more. */
START_TEST(allocator_overrun_saves_as_full)
{
	struct rmm_allocator *a;
	struct rmm_range r;
	char *text;

	ck_assert_int_eq(rmm_allocator_create(RMM_CONCURRENT, A + 1, 7, &a), 0);
	ck_assert_int_eq(rmm_allocator_alloc(a, 64 * A, &r), 0);
	ck_assert_int_eq(rmm_allocator_alloc(a, 64 * A, &r), -ENOSPC);
	ck_assert_int_eq(rmm_allocator_format(a, &text), 0);
	ck_assert_str_eq(text, sealed("allocator kind=concurrent size=4097 "
				      "file=0000000000000007 next=4097"));
	rmm_allocator_close(a);
	free(text);
}
END_TEST

/* Errors have words, distinct where the library means something by them. */
START_TEST(strerror_tells_errors_apart)
{
	static const int errs[] = {0, ENODATA, ENOBUFS, EMSGSIZE, EXDEV, ERANGE,
		EALREADY, EEXIST, ENOENT, EBADF, ENOSPC, EIO, EINVAL, ENOMEM};
	size_t count = sizeof(errs) / sizeof(errs[0]);

	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(
				rmm_strerror(-errs[i]), rmm_strerror(-errs[j]));
	ck_assert_str_eq(rmm_strerror(-123456), "Unknown error");
	ck_assert_str_eq(rmm_strerror(0), "Success");
	ck_assert_ptr_nonnull(strchr(rmm_version(), '.'));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rmm_text");
	TCase *value = unit_case(suite, "value");
	TCase *allocator = unit_case(suite, "allocator");
	TCase *words = unit_case(suite, "words");

	tcase_add_test(value, crc_of_check_string_is_published_one);
	tcase_add_test(value, range_text_round_trips);
	tcase_add_test(value, range_text_is_as_documented);
	tcase_add_test(value, receipt_text_is_its_own);
	tcase_add_test(value, format_of_short_buffer_is_enobufs);
	tcase_add_test(value, range_spelled_otherwise_is_einval);
	tcase_add_test(allocator, allocator_field_out_of_place_is_einval);
	tcase_add_test(allocator, text_damaged_anywhere_is_einval);
	tcase_add_loop_test(allocator, allocator_restored_goes_on, 0, 3);
	tcase_add_test(allocator, allocator_overrun_saves_as_full);
	tcase_add_test(words, strerror_tells_errors_apart);
	return unit_main(suite);
}
