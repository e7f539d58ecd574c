/* The examples do what their first lines say; each checks its own result. */
#include "unit.h"

/* Run an example on a new file and compare what it says. */
static void run_example(const char *name, const char *want)
{
	const char *build = getenv("O");
	char out[4096];
	int status;

	status = unit_run(out, sizeof(out), "%s/tests/examples/%s %s/file",
		build ? build : "build", name, unit_folder());
	ck_assert_msg(status == 0, "status %d: %s", status, out);
	ck_assert_str_eq(out, want);
}

/* Eight threads fill a file, the last range shorter than the others. */
START_TEST(parallel_fill_writes_every_byte)
{
	run_example("parallel_fill", "8 threads wrote 26215400 bytes\n");
}
END_TEST

/* A job killed three times goes on from its saved text until it is done. */
START_TEST(resume_finishes_after_kills)
{
	run_example("resume", "20 pieces done, in spite of 3 deaths\n");
}
END_TEST

/* Four processes log into one file; what a killed one logged is there. */
START_TEST(logger_keeps_every_line)
{
	run_example("logger",
		"4 writers, 1 of them killed: all 4000 lines are there\n");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("examples");
	TCase *tcase = unit_case(suite, "examples");

	tcase_add_test(tcase, parallel_fill_writes_every_byte);
	tcase_add_test(tcase, resume_finishes_after_kills);
	tcase_add_test(tcase, logger_keeps_every_line);
	return unit_main(suite);
}
