/* The command line of rmfs. */
#include "rmfs/options.h"

#include "unit.h"
#include <errno.h>

static struct settings said;
static char why[WHY_MAX];

/* Parse a command line given as words separated by single blanks. */
static int parse(const char *line)
{
	char *argv[32] = {(char *)"rmfs"};
	char *copy = strdup(line);
	char *rest = copy;
	int argc = 1;
	int err;

	while (rest && *rest)
		argv[argc++] = strsep(&rest, " ");
	settings_fini(&said);
	err = options_parse(argc, argv, &said, why, sizeof(why));
	free(copy);
	return err;
}

static void refused(const char *line, const char *words)
{
	ck_assert_msg(parse(line) == -EINVAL, "%s: taken", line);
	ck_assert_msg(strstr(why, words), "%s: %s", line, why);
	ck_assert_msg(!strchr(why, '\n'), "%s: two lines", line);
}

static void teardown(void)
{
	settings_fini(&said);
}

/* Options stand before, between or after the two folders. */
START_TEST(parse_takes_options_in_any_order)
{
	static const char *const lines[] = {"-f -o threads=3 -c F S M",
		"S M -f -o threads=3 -c F", "S -f M -othreads=3 --config=F",
		"--foreground S -o threads=3 --config F M"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		ck_assert_msg(parse(lines[i]) == 0, "%s: %s", lines[i], why);
		ck_assert_str_eq(said.source, "S");
		ck_assert_str_eq(said.mountpoint, "M");
		ck_assert_str_eq(said.config, "F");
		ck_assert_uint_eq(said.threads, 3);
		ck_assert(said.foreground);
		ck_assert(!said.debug);
	}
}
END_TEST

/* After -- everything is a folder. */
START_TEST(parse_after_dashes_takes_folders)
{
	ck_assert_int_eq(parse("-- -S -M"), 0);
	ck_assert_str_eq(said.source, "-S");
	ck_assert_str_eq(said.mountpoint, "-M");
}
END_TEST

/* Nothing said is nothing said: the configuration may say it. */
START_TEST(parse_of_nothing_says_nothing)
{
	static const struct settings nothing;

	ck_assert_int_eq(parse(""), 0);
	ck_assert_mem_eq(&said, &nothing, sizeof(nothing));
}
END_TEST

/* The short flags do what they are called. */
START_TEST(parse_of_flags_sets_them)
{
	ck_assert_int_eq(parse("-h"), 0);
	ck_assert(said.help);
	ck_assert_int_eq(parse("-V"), 0);
	ck_assert(said.version);
	ck_assert_int_eq(parse("-d S M"), 0);
	ck_assert(said.debug);
	ck_assert_int_eq(parse("-fd S M"), 0);
	ck_assert(said.debug && said.foreground);
}
END_TEST

/* Words of -o are rmfs's own, or libfuse's and go there. */
START_TEST(parse_of_words_sorts_them)
{
	ck_assert_int_eq(parse("-o ro,allow_other,,threads=7 -o noexec,"
			       "clone_fd,fsname=a\\,b,nodev S M"),
		0);
	ck_assert_str_eq(said.fuse_options, "ro,noexec");
	ck_assert_str_eq(said.fsname, "a,b");
	ck_assert_uint_eq(said.threads, 7);
	ck_assert_int_eq(said.access, ACCESS_OTHER);
	ck_assert(said.clone_fd);
	ck_assert_int_eq(parse("-o allow_root,config=F,debug S M"), 0);
	ck_assert_int_eq(said.access, ACCESS_ROOT);
	ck_assert_str_eq(said.config, "F");
	ck_assert(said.debug);
	ck_assert_int_eq(said.strict, STRICT_UNSAID);
}
END_TEST

/* How durable a closed slot is has two answers, and the last one counts. */
START_TEST(parse_of_durability_takes_both)
{
	ck_assert_int_eq(parse("-o durability=strict S M"), 0);
	ck_assert_int_eq(said.strict, STRICT_YES);
	ck_assert_int_eq(
		parse("-o durability=strict,durability=normal S M"), 0);
	ck_assert_int_eq(said.strict, STRICT_NO);
}
END_TEST

/* What mount.fuse3 says for a line of fstab is understood. */
START_TEST(parse_of_mount_helper_options_is_taken)
{
	ck_assert_int_eq(parse("S M -o rw,dev,suid,default_permissions"), 0);
	ck_assert_str_eq(said.fuse_options, "rw");
	ck_assert_int_eq(parse("S M -o ro,noexec,nosuid,nodev,noatime"), 0);
	ck_assert_str_eq(said.fuse_options, "ro,noexec,noatime");
}
END_TEST

/* Every refusal is one line that names what is refused. */
START_TEST(parse_of_bad_options_tells_which)
{
	refused("-x S M", "-x: unknown");
	refused("-fx S M", "-x: unknown");
	refused("--nosuch S M", "--nosuch: unknown");
	refused("--help=yes", "--help: takes no value");
	refused("-c", "FILE");
	refused("--config", "FILE");
	refused("-o", "OPTIONS");
	refused("-o nosuch S M", "nosuch: unknown");
	refused("-o ro,nonempty S M", "nonempty: unknown");
	refused("-o ro=1 S M", "ro: takes no value");
	refused("-o threads S M", "threads=N");
	refused("-o threads= S M", "threads=N");
	refused("-o threads=0 S M", "1 to 512");
	refused("-o threads=513 S M", "1 to 512");
	refused("-o threads=4x S M", "1 to 512");
	refused("-o threads=-1 S M", "1 to 512");
	refused("-o durability S M", "durability=WHEN");
	refused("-o durability=Strict S M", "strict or normal");
	refused("-o max_read=4096 S M", "max_read: unknown");
	refused("-o allow_other,allow_root S M", "choose one");
	refused("-o subtype=x S M", "always rmfs");
}
END_TEST

/* auto_unmount is refused with the reason. */
START_TEST(parse_of_auto_unmount_tells_why_not)
{
	refused("-o auto_unmount S M", "swallow");
}
END_TEST

/* One folder, or three, is a mistake. */
START_TEST(parse_of_other_than_two_folders_is_refused)
{
	refused("S", "SOURCE and MOUNTPOINT");
	refused("S M X", "X: ");
}
END_TEST

/* The help names every option that has something to say. */
START_TEST(help_names_the_options)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	options_help(out);
	fclose(out);
	ck_assert_ptr_nonnull(strstr(text, "-c, --config FILE"));
	ck_assert_ptr_nonnull(strstr(text, "-f, --foreground"));
	ck_assert_ptr_nonnull(strstr(text, "-o threads=N"));
	ck_assert_ptr_nonnull(strstr(text, "-o allow_other"));
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options");
	TCase *good = unit_case(suite, "parse");
	TCase *bad = unit_case(suite, "refuse");

	tcase_add_checked_fixture(good, NULL, teardown);
	tcase_add_checked_fixture(bad, NULL, teardown);
	tcase_add_test(good, parse_takes_options_in_any_order);
	tcase_add_test(good, parse_after_dashes_takes_folders);
	tcase_add_test(good, parse_of_nothing_says_nothing);
	tcase_add_test(good, parse_of_flags_sets_them);
	tcase_add_test(good, parse_of_words_sorts_them);
	tcase_add_test(good, parse_of_durability_takes_both);
	tcase_add_test(good, parse_of_mount_helper_options_is_taken);
	tcase_add_test(good, help_names_the_options);
	tcase_add_test(bad, parse_of_bad_options_tells_which);
	tcase_add_test(bad, parse_of_auto_unmount_tells_why_not);
	tcase_add_test(bad, parse_of_other_than_two_folders_is_refused);
	return unit_main(suite);
}
