/* The configuration file: what it says, and what it may not say. */
#include "rmfs/config.h"

#include "unit.h"
#include <ctype.h>
#include <errno.h>

static struct settings said;
static char why[WHY_MAX];
static char path[256];

static void setup(void)
{
	snprintf(path, sizeof(path), "%s/rmfs.conf", unit_folder());
}

static void teardown(void)
{
	settings_fini(&said);
}

static int load_bytes(const char *text, size_t len)
{
	settings_fini(&said);
	why[0] = '\0';
	unit_write(path, text, len);
	return config_load(path, &said, why, sizeof(why));
}

static int load(const char *text)
{
	return load_bytes(text, strlen(text));
}

/* The complaint is "FILE:LINE: what", one line, and nothing is taken. */
static void check_refused(int err, const char *text, int line, const char *what)
{
	static const struct settings nothing;
	char start[300];

	snprintf(start, sizeof(start), "%s:%d: ", path, line);
	ck_assert_msg(err == -EINVAL, "taken: %s", text);
	ck_assert_msg(strncmp(why, start, strlen(start)) == 0,
		"not at line %d: %s", line, why);
	ck_assert_msg(strstr(why, what), "no \"%s\": %s", what, why);
	ck_assert_msg(!strchr(why, '\n'), "two lines: %s", why);
	ck_assert_mem_eq(&said, &nothing, sizeof(nothing));
}

static void refused(const char *text, int line, const char *what)
{
	check_refused(load(text), text, line, what);
}

static void taken(const char *text)
{
	int err = load(text);

	ck_assert_msg(err == 0, "%d: %s", err, why);
}

/* All that may be said, is heard. */
START_TEST(load_of_every_key_takes_it)
{
	taken("# a comment\n"
	      "[mount]\n"
	      "source = /srv/images\n"
	      "mountpoint=/mnt/images\n"
	      "allow_other = yes\n"
	      "threads = 8\n"
	      "durability = strict\n"
	      "\n"
	      "[target big.iso]\n"
	      "size = 10GiB\n"
	      "[defaults]\n"
	      "; another\n"
	      "slot_size = 64M\n"
	      "mode = 0640\n"
	      "[target raw disk]\n"
	      "size = 4096\n"
	      "slot_size = 0\n"
	      "mode = 600\n");
	ck_assert_str_eq(said.source, "/srv/images");
	ck_assert_str_eq(said.mountpoint, "/mnt/images");
	ck_assert_int_eq(said.access, ACCESS_OTHER);
	ck_assert_uint_eq(said.threads, 8);
	ck_assert_int_eq(said.strict, STRICT_YES);
	ck_assert_uint_eq(said.target_count, 2);
	ck_assert_str_eq(said.targets[0].name, "big.iso");
	ck_assert_uint_eq(said.targets[0].size, UINT64_C(10) << 30);
	ck_assert_uint_eq(said.targets[0].slot_size, UINT64_C(64) << 20);
	ck_assert_uint_eq(said.targets[0].mode, 0640);
	ck_assert_str_eq(said.targets[1].name, "raw disk");
	ck_assert_uint_eq(said.targets[1].size, 4096);
	ck_assert_uint_eq(said.targets[1].slot_size, 0);
	ck_assert_uint_eq(said.targets[1].mode, 0600);
}
END_TEST

/* An empty file is a valid one. */
START_TEST(load_of_nothing_says_nothing)
{
	static const struct settings nothing;

	taken("");
	ck_assert_mem_eq(&said, &nothing, sizeof(nothing));
	taken("\n# only this\n");
	ck_assert_mem_eq(&said, &nothing, sizeof(nothing));
}
END_TEST

/* Byte order marks, DOS line ends, indents and a missing last newline. */
START_TEST(load_of_editors_habits_takes_them)
{
	taken("\xef\xbb\xbf[mount]\r\n"
	      "  source = /a\r\n"
	      "\tmountpoint = /b\t \r\n"
	      "[ target  x ]\r\n"
	      "  size = 1M");
	ck_assert_str_eq(said.source, "/a");
	ck_assert_str_eq(said.mountpoint, "/b");
	ck_assert_str_eq(said.targets[0].name, "x");
	ck_assert_uint_eq(said.targets[0].size, 1 << 20);
}
END_TEST

/* The command line's word stands; the file fills in the rest. */
START_TEST(load_after_the_command_line_only_adds)
{
	static const char text[] = "[mount]\nsource=/file\nmountpoint=/m\n"
				   "threads=9\nallow_other=yes\n"
				   "durability=strict\n";

	unit_write(path, text, strlen(text));
	said.source = strdup("/line");
	said.threads = 3;
	said.access = ACCESS_ROOT;
	said.strict = STRICT_NO;
	ck_assert_int_eq(config_load(path, &said, why, sizeof(why)), 0);
	ck_assert_str_eq(said.source, "/line");
	ck_assert_str_eq(said.mountpoint, "/m");
	ck_assert_uint_eq(said.threads, 3);
	ck_assert_int_eq(said.access, ACCESS_ROOT);
	ck_assert_int_eq(said.strict, STRICT_NO);
}
END_TEST

/* Sections and keys that nobody knows are mistakes, not wishes. */
START_TEST(load_of_unknown_names_is_refused)
{
	refused("[mounts]\n", 1, "[mounts]");
	refused("\n[]\n", 2, "unknown section");
	refused("[mount]\nsource=/a\n[extra]\n", 3, "[extra]");
	refused("[mount]\nsorce = /a\n", 2, "\"sorce\"");
	refused("[mount]\nsize = 1M\n", 2, "\"size\"");
	refused("[defaults]\nsize = 1M\n", 2, "\"size\"");
	refused("[target x]\nsize=1M\nthreads = 4\n", 3, "\"threads\"");
	refused("[mount]\n= 5\n", 2, "unknown key");
	refused("[mount]\nSource=/a\n", 2, "\"Source\"");
}
END_TEST

/* inih would take the last, or both. */
START_TEST(load_of_duplicates_is_refused)
{
	refused("[mount]\nsource=/a\nthreads=2\nsource=/b\n", 4, "twice");
	refused("[mount]\n[defaults]\n[mount]\n", 3, "[mount] is there twice");
	refused("[target a]\nsize=1M\n[target b]\nsize=1M\n[target a]\n", 5,
		"[target a] is there twice");
	refused("[target a]\nsize=1M\nsize=1M\n", 3, "twice");
}
END_TEST

/* A bad value is told with what would be a good one. */
START_TEST(load_of_bad_values_is_refused)
{
	refused("[target a]\nsize = 1X\n", 2, "1X");
	refused("[target a]\nsize = 0\n", 2, "at least a byte");
	refused("[target a]\nsize = -4096\n", 2, "-4096");
	refused("[target a]\nsize = 99999999999T\n", 2, "too large");
	refused("[target a]\nsize =\n", 2, "no value");
	refused("[target a]\nsize=1M\nslot_size = 4 K\n", 3, "4 K");
	refused("[target a]\nsize=1M\nmode = 0999\n", 3, "mode");
	refused("[defaults]\nmode = 0\n", 2, "mode");
	refused("[defaults]\nslot_size = big\n", 2, "big");
	refused("[mount]\nthreads = many\n", 2, "many");
	refused("[mount]\nthreads = 0\n", 2, "1 to");
	refused("[mount]\nallow_other = maybe\n", 2, "yes or no");
	refused("[mount]\ndurability = yes\n", 2, "strict or normal");
	refused("[mount]\nsource = images\n", 2, "from /");
	refused("[mount]\nmountpoint = ./m\n", 2, "from /");
}
END_TEST

/* Names of targets are those that the folder may have. */
START_TEST(load_of_bad_target_names_is_refused)
{
	refused("[target]\nsize=1M\n", 1, "target \"\"");
	refused("[target  ]\nsize=1M\n", 1, "target \"\"");
	refused("[target .hidden]\nsize=1M\n", 1, ".hidden");
	refused("[target ../up]\nsize=1M\n", 1, "../up");
	refused("[target a/b]\nsize=1M\n", 1, "a/b");
	refused("[target a\x01z]\nsize=1M\n", 1, "target");
}
END_TEST

/* A target needs a size; the complaint names where the target is. */
START_TEST(load_of_target_without_size_is_refused)
{
	refused("[target a]\nsize=1M\n\n[target b]\nmode=0600\n", 4, "no size");
	refused("[target a]\n", 1, "no size");
}
END_TEST

/* inih cuts a value at a blank and a semicolon: it is refused instead. */
START_TEST(load_of_tail_comments_is_refused)
{
	refused("[mount]\nsource = /a ;b\n", 2, "comment");
	refused("[mount]\nsource = /a\t; b\n", 2, "comment");
	refused("[mount] ; the mount\n", 1, "comment");
	taken("[mount]\nsource = /a;b\n");
	ck_assert_str_eq(said.source, "/a;b");
	taken("[mount]\nsource = /a #b\n");
	ck_assert_str_eq(said.source, "/a #b");
}
END_TEST

/* What is neither a section nor a key has a line number, too. */
START_TEST(load_of_other_lines_is_refused)
{
	refused("source = /a\n", 1, "before the first");
	refused("[mount]\nsource\n", 2, "key = value");
	refused("[mount]\nsource: /a\n", 2, "key = value");
	refused("[mount\nsource=/a\n", 1, "]");
	refused("[mount] x\n", 1, "after the ]");
	refused("[target a]b]\n", 1, "after the ]");
}
END_TEST

/* A zero byte would hide the rest of its line. */
START_TEST(load_of_zero_bytes_is_refused)
{
	static const char text[] = "[mount]\nsource = /a\0/b\n";

	check_refused(load_bytes(text, sizeof(text) - 1), text, 2, "zero byte");
}
END_TEST

/* Of any length: the value comes whole, or the line is refused. */
START_TEST(load_of_long_lines_is_whole_or_refused)
{
	char text[1200] = "[mount]\nsource = /";
	size_t start = strlen(text);
	unsigned whole = 0, cut = 0;

	for (size_t len = 1; len < 1000; len++) {
		memset(text + start, 'x', len);
		text[start + len] = '\0';
		if (load(text) == 0) {
			ck_assert_uint_eq(strlen(said.source), len + 1);
			whole++;
		} else {
			check_refused(-EINVAL, text, 2, "line over");
			cut++;
		}
	}
	ck_assert_uint_gt(whole, 150);
	ck_assert_uint_gt(cut, 500);
}
END_TEST

/* Long names of targets stay whole, though inih would cut them at 49. */
START_TEST(load_of_long_sections_keeps_the_name)
{
	char name[121];
	char text[400];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	snprintf(text, sizeof(text),
		"[target %s1]\nsize=1M\n[target %s2]\nsize=2M\n", name, name);
	taken(text);
	ck_assert_uint_eq(said.target_count, 2);
	ck_assert_uint_eq(strlen(said.targets[1].name), sizeof(name));
	ck_assert_uint_eq(said.targets[1].size, 2 << 20);
}
END_TEST

/* A file that cannot be read is named. */
START_TEST(load_of_unreadable_files_tells_why)
{
	ck_assert_int_eq(
		config_load("/nosuch/rmfs.conf", &said, why, sizeof(why)),
		-ENOENT);
	ck_assert_str_eq(why, "/nosuch/rmfs.conf: No such file or directory");
	ck_assert_int_eq(config_load("/", &said, why, sizeof(why)), -EISDIR);
	ck_assert_ptr_nonnull(strstr(why, "Is a directory"));
	ck_assert_int_eq(
		config_load("/dev/zero", &said, why, sizeof(why)), -EINVAL);
}
END_TEST

/*
 * Whatever bytes a value has, it is heard as it stands between its blanks or
 * the file is refused; never something in between.
 */
START_TEST(load_of_random_values_is_exact_or_refused)
{
	static const char bytes[] = " ;=:#[]\t/ab\\\"'$,";
	uint64_t seed = unit_seed();
	unsigned whole = 0;

	for (int round = 0; round < 3000; round++) {
		char text[100] = "[mount]\nsource = /";
		size_t start = strlen(text) - 1;
		size_t end = start + 1 + unit_random(&seed) % 20;

		for (size_t i = start + 1; i < end; i++)
			text[i] =
				bytes[unit_random(&seed) % (sizeof(bytes) - 1)];
		text[end] = '\0';
		if (load(text) < 0)
			continue;
		while (isspace((unsigned char)text[end - 1]))
			text[--end] = '\0';
		ck_assert_str_eq(said.source, text + start);
		whole++;
	}
	ck_assert_uint_gt(whole, 1000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config");
	TCase *good = unit_case(suite, "take");
	TCase *bad = unit_case(suite, "refuse");

	tcase_add_checked_fixture(good, setup, teardown);
	tcase_add_checked_fixture(bad, setup, teardown);
	tcase_add_test(good, load_of_every_key_takes_it);
	tcase_add_test(good, load_of_nothing_says_nothing);
	tcase_add_test(good, load_of_editors_habits_takes_them);
	tcase_add_test(good, load_after_the_command_line_only_adds);
	tcase_add_test(good, load_of_long_sections_keeps_the_name);
	tcase_add_test(bad, load_of_unknown_names_is_refused);
	tcase_add_test(bad, load_of_duplicates_is_refused);
	tcase_add_test(bad, load_of_bad_values_is_refused);
	tcase_add_test(bad, load_of_bad_target_names_is_refused);
	tcase_add_test(bad, load_of_target_without_size_is_refused);
	tcase_add_test(bad, load_of_tail_comments_is_refused);
	tcase_add_test(bad, load_of_other_lines_is_refused);
	tcase_add_test(bad, load_of_zero_bytes_is_refused);
	tcase_add_test(bad, load_of_long_lines_is_whole_or_refused);
	tcase_add_test(bad, load_of_unreadable_files_tells_why);
	tcase_add_test(bad, load_of_random_values_is_exact_or_refused);
	return unit_main(suite);
}
