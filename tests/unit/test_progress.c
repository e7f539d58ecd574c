/* Reading checksums, and the line that shows how far that is. */
#include "rmfsctl/progress.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>

#include "base/crc32c.h"
#include "unit.h"

enum { SIZE = (2 << 20) + 333 };

static char bytes[SIZE];
static int fd;

static void setup(void)
{
	ck_assert_int_eq(chdir(unit_folder()), 0);
	for (int i = 0; i < SIZE; i++)
		bytes[i] = (char)(i * 7 + i / 251);
	unit_write("file", bytes, SIZE);
	fd = open("file", O_RDONLY | O_CLOEXEC);
}

/* Any range, over blocks and to the end, has the checksum of its bytes. */
START_TEST(sum_is_of_the_range)
{
	static const uint64_t ranges[][2] = {{0, 0}, {0, 1}, {1, 1 << 20},
		{4096, (1 << 20) + 1}, {0, SIZE}, {SIZE - 1, 1}};
	struct progress progress;
	uint64_t read_bytes = 0;
	uint32_t crc;

	progress_start(&progress, "file", SIZE);
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		uint64_t start = ranges[i][0], length = ranges[i][1];

		ck_assert_int_eq(
			progress_sum(&progress, fd, start, length, &crc), 0);
		ck_assert_uint_eq(crc, crc32c(0, bytes + start, length));
		read_bytes += length;
	}
	ck_assert_uint_eq(progress.done, read_bytes);
}
END_TEST

/* A file that ends too early is no checksum, and neither is a folder. */
START_TEST(sum_of_what_cannot_be_read_fails)
{
	struct progress progress;
	uint32_t crc;
	int folder = open(".", O_RDONLY | O_CLOEXEC);

	progress_start(&progress, "file", SIZE);
	ck_assert_int_eq(progress_sum(&progress, fd, 1, SIZE, &crc), -ENODATA);
	ck_assert_int_eq(progress_sum(&progress, folder, 0, 1, &crc), -EISDIR);
}
END_TEST

/* Read what arrives until nothing more does. */
static void read_all(int from, char *text, size_t size)
{
	struct pollfd input = {.fd = from, .events = POLLIN};
	size_t len = 0;
	ssize_t n = 1;

	while (n > 0 && len < size - 1 && poll(&input, 1, 200) > 0) {
		n = read(from, text + len, size - 1 - len);
		len += n > 0 ? (size_t)n : 0;
	}
	text[len] = '\0';
}

/* What a run of 40 % and then all writes to its stderr, which is @to. */
static void show_to(int to, char *text, size_t size, int from)
{
	struct progress progress;
	int stderr_fd = dup(STDERR_FILENO);

	dup2(to, STDERR_FILENO);
	progress_start(&progress, "big", 10 << 20);
	usleep(150000);
	progress_add(&progress, 4 << 20);
	progress_add(&progress, 4 << 20);
	usleep(150000);
	progress_add(&progress, 4 << 20);
	progress_clear(&progress);
	dup2(stderr_fd, STDERR_FILENO);
	close(stderr_fd);
	read_all(from, text, size);
}

/* A terminal sees one line grow, not more often than ten times a second. */
START_TEST(progress_on_terminal_is_shown)
{
	int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	char text[1000];
	int side;

	ck_assert_int_eq(grantpt(terminal) | unlockpt(terminal), 0);
	side = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
	ck_assert_int_ge(side, 0);
	show_to(side, text, sizeof(text), terminal);
	ck_assert_msg(
		strstr(text, "\rbig:  40 %  4 MiB of 10 MiB, "), "%s", text);
	ck_assert_ptr_null(strstr(text, "80 %"));
	ck_assert_msg(
		strstr(text, "\rbig: 100 %  12 MiB of 10 MiB"), "%s", text);
	ck_assert_ptr_null(strchr(text, '\n'));
	ck_assert_str_eq(text + strlen(text) - 4, "\r\033[K");
}
END_TEST

/* A file does not. */
START_TEST(progress_elsewhere_is_silent)
{
	char text[1000];
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	show_to(ends[1], text, sizeof(text), ends[0]);
	ck_assert_str_eq(text, "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("progress");
	TCase *all = unit_case(suite, "all");

	tcase_add_checked_fixture(all, setup, NULL);
	tcase_add_test(all, sum_is_of_the_range);
	tcase_add_test(all, sum_of_what_cannot_be_read_fails);
	tcase_add_test(all, progress_on_terminal_is_shown);
	tcase_add_test(all, progress_elsewhere_is_silent);
	return unit_main(suite);
}
