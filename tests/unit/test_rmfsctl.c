/* rmfsctl as it is called from a shell. */
#include "rmfsctl_fixture.h"
#include <sys/statvfs.h>

/* It is refused, and leaves nothing in the folder. */
static void nothing_left(const char *arguments, int status, const char *words)
{
	refused(arguments, status, words);
	ck_assert_msg(rmdir("src") == 0, "%s left something", arguments);
	ck_assert_int_eq(mkdir("src", 0755), 0);
}

/* The file has its size, really reserved, and its mode. */
START_TEST(create_reserves_the_space)
{
	struct stat st;

	ck_assert_msg(run("create --size 3M --slot-size 1M --mode 0600 "
			  "src/big.iso") == 0,
		"%s", out);
	ck_assert_str_eq(
		out, "src/big.iso: 3 MiB reserved, 3 slots of 1 MiB\n");
	st = stat_of("src/big.iso");
	ck_assert_int_eq(st.st_size, 3 << 20);
	ck_assert_int_ge(st.st_blocks * 512, 3 << 20);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
}
END_TEST

/* Options go before or after the name, in every spelling. */
START_TEST(create_takes_options_in_any_order)
{
	ck_assert_msg(run("create src/a -s 5000 -S 4K") == 0, "%s", out);
	ck_assert_str_eq(out, "src/a: 4.8 KiB reserved, 2 slots of 4 KiB\n");
	ck_assert_msg(run("create --size=1M src/b") == 0, "%s", out);
	ck_assert_str_eq(out, "src/b: 1 MiB reserved\n");
	ck_assert_msg(
		run("create -s1M --slot-size=2M -m600 src/c") == 0, "%s", out);
	ck_assert_str_eq(out, "src/c: 1 MiB reserved, one slot\n");
	ck_assert_int_eq(stat_of("src/a").st_size, 5000);
	ck_assert_int_eq(stat_of("src/b").st_size, 1 << 20);
	ck_assert_int_eq(stat_of("src/c").st_size, 1 << 20);
}
END_TEST

/* Inside the folder, a name alone will do. */
START_TEST(create_without_folder_is_here)
{
	ck_assert_int_eq(chdir("src"), 0);
	ck_assert_msg(run("create -s 1M here") == 0, "%s", out);
	ck_assert_int_eq(stat_of("here").st_size, 1 << 20);
}
END_TEST

/* Each mistake on the command line has its own line and status 2. */
START_TEST(create_of_bad_usage_tells_what)
{
	nothing_left("create", 2, "SOURCE/NAME");
	nothing_left("create src/a", 2, "--size 1G");
	nothing_left("create -s 1M", 2, "SOURCE/NAME");
	nothing_left("create -s 1M src/a src/b", 2, "src/b");
	nothing_left("create -s 1X src/a", 2, "\"1X\"");
	nothing_left("create -s '' src/a", 2, "not a size");
	nothing_left("create -s 0 src/a", 2, "at least a byte");
	nothing_left("create -s 99999999T src/a", 2, "too large");
	nothing_left("create -s 1M -S 1.5K src/a", 2, "--slot-size \"1.5K\"");
	nothing_left("create -s 1M -m 999 src/a", 2, "--mode \"999\"");
	nothing_left("create --size", 2, "value is missing");
	nothing_left("create -s", 2, "value is missing");
	nothing_left("create -x -s 1M src/a", 2, "-x: unknown");
	nothing_left("create --nosuch -s 1M src/a", 2, "--nosuch: unknown");
	nothing_left("create -s 1M src/", 2, "cannot name a target");
	nothing_left("create -s 1M src/.a", 2, "cannot name a target");
	nothing_left("create -s 1M src/a.rmfs", 2, "cannot name a target");
}
END_TEST

/* What the system refuses has status 1, and names the place. */
START_TEST(create_that_fails_tells_where)
{
	nothing_left("create -s 1M nosuch/a", 1, "nosuch: No such file");
	unit_write("file", "", 0);
	nothing_left("create -s 1M file/a", 1, "file: Not a directory");
}
END_TEST

/* A file that is there is not touched. */
START_TEST(create_of_existing_file_leaves_it)
{
	struct stat before, after;

	unit_write("src/a", "keep", 4);
	before = stat_of("src/a");
	ck_assert_int_eq(run("create -s 1M src/a"), 1);
	ck_assert_ptr_nonnull(strstr(out, "src/a: is there already"));
	after = stat_of("src/a");
	ck_assert_int_eq(after.st_size, 4);
	ck_assert_uint_eq(after.st_ino, before.st_ino);
	ck_assert_int_eq(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}
END_TEST

/* Larger than the disk: both figures, and nothing left behind. */
START_TEST(create_on_a_full_disk_tells_how_much)
{
	struct statvfs fs;
	char arguments[64], needed[64];
	uint64_t bytes;

	ck_assert_int_eq(statvfs(".", &fs), 0);
	bytes = (uint64_t)fs.f_blocks * fs.f_frsize + (1 << 20);
	snprintf(arguments, sizeof(arguments), "create -s %ju src/a",
		(uintmax_t)bytes);
	snprintf(
		needed, sizeof(needed), "(%ju bytes) needed", (uintmax_t)bytes);
	nothing_left(arguments, 1, "make room");
	ck_assert_msg(strstr(out, needed), "%s", out);
	ck_assert_msg(strstr(out, "bytes) free"), "%s", out);
}
END_TEST

/* Help and version are asked for in every tool's ways. */
START_TEST(help_and_version_are_found)
{
	static const char *const asked[] = {"help", "-h", "--help"};
	static const char *const more[] = {
		"help create", "create -h", "create --help"};

	for (size_t i = 0; i < 3; i++) {
		ck_assert_int_eq(run(asked[i]), 0);
		ck_assert_ptr_nonnull(strstr(out, "create -s|--size SIZE"));
		ck_assert_int_eq(run(more[i]), 0);
		ck_assert_ptr_nonnull(strstr(out, "Reserve the space"));
	}
	ck_assert_int_eq(run("--version"), 0);
	ck_assert_str_eq(out, "rmfsctl " RMFS_VERSION "\n");
}
END_TEST

/* No command, or none of ours, is wrong usage. */
START_TEST(command_that_is_unknown_is_refused)
{
	nothing_left("", 2, "rmfsctl help");
	nothing_left("destroy src", 2, "\"destroy\"");
	nothing_left("help destroy", 2, "\"destroy\"");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rmfsctl");
	TCase *create = unit_case(suite, "create");
	TCase *other = unit_case(suite, "other");

	tcase_add_checked_fixture(create, setup, NULL);
	tcase_add_checked_fixture(other, setup, NULL);
	tcase_add_test(create, create_reserves_the_space);
	tcase_add_test(create, create_takes_options_in_any_order);
	tcase_add_test(create, create_without_folder_is_here);
	tcase_add_test(create, create_of_bad_usage_tells_what);
	tcase_add_test(create, create_that_fails_tells_where);
	tcase_add_test(create, create_of_existing_file_leaves_it);
	tcase_add_test(create, create_on_a_full_disk_tells_how_much);
	tcase_add_test(other, help_and_version_are_found);
	tcase_add_test(other, command_that_is_unknown_is_refused);
	return unit_main(suite);
}
