/*
 * resume: a job that is killed again and again, and still gets done.
 *
 *   resume FILE
 *
 * After each piece the state of the allocator is saved as text in FILE.state:
 * the bytes are synced first, the text replaces the old one second. So a piece
 * that the text calls taken is on disk, and one whose worker died in between
 * is dealt out and written again.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ranged_mmap.h>

#define PIECE ((size_t)64 << 10)
#define PIECES 20
#define LIFE 6 /* pieces that a worker gets done before it is killed */

static char state[PATH_MAX], new_state[PATH_MAX];

_Noreturn static void die(int err, const char *what)
{
	fprintf(stderr, "resume: %s: %s\n", what, rmm_strerror(err));
	exit(EXIT_FAILURE);
}

static void must(int err, const char *what)
{
	if (err < 0)
		die(err, what);
}

static int byte_of(const struct rmm_range *range)
{
	return (int)(range->start / PIECE + 'A');
}

/* Replace the saved text in one step: it is the old or the new, never half. */
static void save(const struct rmm_file *file)
{
	FILE *out = fopen(new_state, "we");
	char *text;

	must(rmm_allocator_format(rmm_file_allocator(file), &text), "format");
	if (!out || fprintf(out, "%s\n", text) < 0 || fflush(out) != 0 ||
		fsync(fileno(out)) != 0 || fclose(out) != 0 ||
		rename(new_state, state) != 0)
		die(-errno, state);
	free(text);
}

static struct rmm_file *resume(const char *path)
{
	struct rmm_file *file;
	char text[4096];
	FILE *in = fopen(state, "re");
	size_t len;

	if (!in)
		die(-errno, state);
	len = fread(text, 1, sizeof(text), in);
	fclose(in);
	must(rmm_file_resume(path, text, len, 0, &file), state);
	return file;
}

/* One life: goes on where the last one ended, and ends by SIGKILL or done. */
static void work(const char *path)
{
	struct rmm_file *file = resume(path);
	struct rmm_receipt receipt;
	struct rmm_range range;
	char buf[PIECE];

	for (int done = 0; rmm_file_alloc(file, PIECE, &range) == 0; done++) {
		memset(buf, byte_of(&range), sizeof(buf));
		must(rmm_file_write_range(
			     file, &range, buf, sizeof(buf), &receipt),
			"write");
		must(rmm_file_sync_range(file, &receipt), "sync");
		if (done == LIFE)
			raise(SIGKILL);
		save(file);
	}
	exit(EXIT_SUCCESS);
}

/* Let workers live and die until one gets to the end. Returns the deaths. */
static int run(const char *path)
{
	for (int deaths = 0; deaths <= PIECES; deaths++) {
		pid_t pid = fork();
		int status;

		if (pid == 0)
			work(path);
		if (pid < 0 || waitpid(pid, &status, 0) < 0)
			die(-errno, "a worker");
		if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS)
			return deaths;
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
			die(-ECHILD, "a worker failed");
	}
	die(-ETIME, "it gets nowhere");
}

static void verify(const char *path)
{
	struct rmm_file *file;
	struct rmm_range range;
	char buf[PIECE];

	must(rmm_file_open(path, RMM_SEQUENTIAL, RMM_RDONLY, &file), path);
	while (rmm_file_alloc(file, PIECE, &range) == 0) {
		must(rmm_file_read_range(file, &range, buf, PIECE), "read");
		for (size_t i = 0; i < PIECE; i++)
			if (buf[i] != (char)byte_of(&range))
				die(-EBADMSG, "a byte is wrong");
	}
	rmm_file_close(file);
}

int main(int argc, char **argv)
{
	struct rmm_file *file;
	int deaths;

	if (argc != 2 || strlen(argv[1]) > PATH_MAX - 16) {
		fputs("resume FILE\n", stderr);
		return 2;
	}
	sprintf(state, "%s.state", argv[1]);
	sprintf(new_state, "%s.state.new", argv[1]);
	must(rmm_file_create_default(argv[1], PIECES * PIECE, &file), argv[1]);
	save(file);
	rmm_file_close(file);

	deaths = run(argv[1]);
	verify(argv[1]);
	unlink(state);
	printf("%d pieces done, in spite of %d deaths\n", PIECES, deaths);
	return deaths == PIECES / LIFE ? EXIT_SUCCESS : EXIT_FAILURE;
}
