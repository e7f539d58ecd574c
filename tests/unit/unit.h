/*
 * What the unit tests share: one suite a binary, a private folder a test.
 * The folders lie in one that main removes, whatever became of the tests.
 */
#ifndef UNIT_H
#define UNIT_H

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define UNIT_TIMEOUT_S 60

static char unit_top[64];

/* A new empty folder for the calling test. The text is static. */
static inline const char *unit_folder(void)
{
	static char path[sizeof(unit_top) + 16];

	snprintf(path, sizeof(path), "%s/XXXXXX", unit_top);
	ck_assert_ptr_nonnull(mkdtemp(path));
	return path;
}

/* Printed, so that a failure can be had again with UNIT_SEED. */
static inline uint64_t unit_seed(void)
{
	const char *given = getenv("UNIT_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0)
			      : (uint64_t)time(NULL) * 2654435761u;

	printf("UNIT_SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
	return seed;
}

/* Steele, Lea, Flood: SplitMix64 (OOPSLA 2014). */
static inline uint64_t unit_random(uint64_t *seed)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Make a file of exactly these bytes. */
static inline void unit_write(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

/* The program built beside this test. The text is static. */
static inline const char *unit_program(const char *name)
{
	static char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);

	ck_assert_int_gt(n, 0);
	path[n] = '\0';
	for (int up = 0; up < 3; up++)
		*strrchr(path, '/') = '\0';
	strcat(strcat(path, "/"), name);
	return path;
}

/*
 * Run a shell command and keep what it says.
 * @out  set to its output, both streams, cut at @size - 1 bytes
 * Returns its exit status, or -1 when a signal ended it.
 */
static inline int unit_run(char *out, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static inline int unit_run(char *out, size_t size, const char *format, ...)
{
	char command[4096];
	va_list args;
	FILE *pipe;
	size_t n;
	int status;

	strcpy(command, "exec 2>&1; ");
	va_start(args, format);
	n = strlen(command);
	vsnprintf(command + n, sizeof(command) - n, format, args);
	va_end(args);
	pipe = popen(command, "r");
	ck_assert_ptr_nonnull(pipe);
	n = fread(out, 1, size - 1, pipe);
	out[n] = '\0';
	while (fgetc(pipe) != EOF)
		;
	status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline int unit_remove(
	const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

/* Run the suite; main returns this. */
static inline int unit_main(Suite *suite)
{
	const char *tmp = getenv("TMPDIR");
	SRunner *runner = srunner_create(suite);
	int failed;

	snprintf(unit_top, sizeof(unit_top), "%s/rmfs-unit-XXXXXX",
		tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	if (!mkdtemp(unit_top)) {
		perror(unit_top);
		return EXIT_FAILURE;
	}
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	nftw(unit_top, unit_remove, 16, FTW_DEPTH | FTW_PHYS);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* A case with a time limit, in the suite. */
static inline TCase *unit_case(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, UNIT_TIMEOUT_S);
	suite_add_tcase(suite, tcase);
	return tcase;
}

#endif
