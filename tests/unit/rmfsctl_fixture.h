/* For tests of rmfsctl: it is run as from a shell, in a folder of its own. */
#ifndef RMFSCTL_FIXTURE_H
#define RMFSCTL_FIXTURE_H

#include "unit.h"

static char out[8192];

/* The folder of the targets is src, in the working directory. */
static inline void setup(void)
{
	ck_assert_int_eq(chdir(unit_folder()), 0);
	ck_assert_int_eq(mkdir("src", 0755), 0);
}

/* Returns its exit status; what it said, on both streams, is in out. */
static inline int run(const char *arguments)
{
	return unit_run(out, sizeof(out), "exec '%s' %s",
		unit_program("rmfsctl"), arguments);
}

/* It ended with that status and one line with these words. */
static inline void refused(const char *arguments, int status, const char *words)
{
	ck_assert_msg(run(arguments) == status, "%s: %s", arguments, out);
	ck_assert_msg(strstr(out, words), "%s: %s", arguments, out);
	ck_assert_msg(strncmp(out, "rmfsctl: ", 9) == 0, "%s", out);
	ck_assert_ptr_eq(strchr(out, '\n'), out + strlen(out) - 1);
}

/* It succeeded and said exactly this. */
static inline void says(const char *arguments, const char *words)
{
	ck_assert_msg(run(arguments) == 0, "%s: %s", arguments, out);
	ck_assert_str_eq(out, words);
}

static inline struct stat stat_of(const char *path)
{
	struct stat st;

	ck_assert_msg(stat(path, &st) == 0, "%s", path);
	return st;
}

#endif
