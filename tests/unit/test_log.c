/* One line per event, on stderr while somebody watches. */
#include "base/log.h"

#include "unit.h"
#include <errno.h>

static char text[16384];

/* Catch stderr in a file; said() reads it back. */
static void listen_here(void)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/stderr", unit_folder());
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	close(fd);
}

static const char *said(void)
{
	ssize_t n = pread(STDERR_FILENO, text, sizeof(text) - 1, 0);

	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	return text;
}

/* A line says who speaks, and errno is what it was. */
START_TEST(error_names_the_program_and_keeps_errno)
{
	listen_here();
	log_name("rmfsctl");
	errno = ENOENT;
	log_error("%s: %m", "here");
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_str_eq(said(), "rmfsctl: here: No such file or directory\n");
}
END_TEST

/* Nobody to tell it to is not the caller's error. */
START_TEST(error_that_cannot_be_written_keeps_errno)
{
	int saved = dup(STDERR_FILENO);

	close(STDERR_FILENO);
	errno = ENOENT;
	log_error("nobody listens");
	ck_assert_int_eq(errno, ENOENT);
	dup2(saved, STDERR_FILENO);
	close(saved);
}
END_TEST

/* Debug lines are for those who asked. */
START_TEST(debug_without_verbose_is_silent)
{
	listen_here();
	log_debug("no");
	ck_assert_str_eq(said(), "");
	log_verbose(true);
	log_debug("yes");
	ck_assert_str_eq(said(), "rmfs: yes\n");
}
END_TEST

/* A name with a newline or an escape cannot forge a line. */
START_TEST(line_with_control_bytes_stays_one_line)
{
	listen_here();
	log_warn("bad name %s", "a\nrmfs: all is well\033[2J");
	ck_assert_str_eq(said(), "rmfs: bad name a?rmfs: all is well?[2J\n");
}
END_TEST

/* What is too long is cut, and is still a line. */
START_TEST(line_of_any_length_ends_once)
{
	static char name[12000];

	listen_here();
	memset(name, 'x', sizeof(name) - 1);
	log_info("%s", name);
	ck_assert_uint_gt(strlen(said()), 4096);
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log");
	TCase *lines = unit_case(suite, "stderr");

	tcase_add_test(lines, error_names_the_program_and_keeps_errno);
	tcase_add_test(lines, error_that_cannot_be_written_keeps_errno);
	tcase_add_test(lines, debug_without_verbose_is_silent);
	tcase_add_test(lines, line_with_control_bytes_stays_one_line);
	tcase_add_test(lines, line_of_any_length_ends_once);
	return unit_main(suite);
}
