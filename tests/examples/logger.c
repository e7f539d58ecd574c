/*
 * logger: several processes append to one file, each to slots of its own.
 *
 *   logger FILE
 *
 * The parent takes the slots and forks; a writer needs no lock and no system
 * call to append a line. A slot ends in zeros where it is not full, and a line
 * never crosses from one to the next. One writer is killed: what it had logged
 * is in the file all the same.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ranged_mmap.h>

#define WRITERS 4
#define SLOTS 3 /* of each writer */
#define SLOT_SIZE 16384u
#define LINES 1000 /* of each writer: more than two slots hold */

struct log {
	struct rmm_map *map;
	struct rmm_range slots[SLOTS];
	size_t slot;   /* that is being filled */
	uint64_t used; /* of that slot */
};

_Noreturn static void die(int err, const char *what)
{
	fprintf(stderr, "logger: %s: %s\n", what, rmm_strerror(err));
	exit(EXIT_FAILURE);
}

static void must(int err, const char *what)
{
	if (err < 0)
		die(err, what);
}

/* Returns 0, -ENOSPC (all slots are full), or what the store says. */
static int append(struct log *log, const char *line)
{
	size_t len = strlen(line);
	int err;

	if (log->used + len > rmm_range_len(&log->slots[log->slot])) {
		if (log->slot + 1 == SLOTS)
			return -ENOSPC;
		log->slot++;
		log->used = 0;
	}
	err = rmm_map_write_all_at(
		log->map, line, len, log->slots[log->slot].start + log->used);
	if (!err)
		log->used += len;
	return err;
}

static void write_log(struct log *log, int me)
{
	char line[64];

	for (int i = 0; i < LINES; i++) {
		sprintf(line, "writer %d, line %d of %d\n", me, i, LINES);
		must(append(log, line), "append");
	}
	if (me == 0)
		raise(SIGKILL);
	exit(EXIT_SUCCESS);
}

/* Count the lines of a writer, in order, over all its slots. */
static int read_log(const struct log *log, int me)
{
	int count = 0, writer, number;

	for (size_t i = 0; i < SLOTS; i++) {
		uint64_t start = log->slots[i].start;
		char text[SLOT_SIZE + 1] = "", *line = text, *end;

		must((int)rmm_map_read_at(log->map, text, SLOT_SIZE, start),
			"read");
		for (; (end = strchr(line, '\n')); line = end + 1, count++)
			if (sscanf(line, "writer %d, line %d", &writer,
				    &number) != 2 ||
				writer != me || number != count)
				die(-EBADMSG, "a line is wrong");
	}
	return count;
}

int main(int argc, char **argv)
{
	uint64_t size = (uint64_t)WRITERS * SLOTS * SLOT_SIZE;
	struct log logs[WRITERS] = {0};
	struct rmm_file *file;
	int status, killed = 0;

	if (argc != 2) {
		fputs("logger FILE\n", stderr);
		return 2;
	}
	must(rmm_file_create_default(argv[1], size, &file), argv[1]);
	for (size_t i = 0; i < (size_t)WRITERS * SLOTS; i++) {
		struct log *log = &logs[i % WRITERS];

		log->map = rmm_file_map(file);
		must(rmm_file_alloc(file, SLOT_SIZE, &log->slots[i / WRITERS]),
			"a slot");
	}
	for (int i = 0; i < WRITERS; i++) {
		pid_t pid = fork();

		if (pid == 0)
			write_log(&logs[i], i);
		if (pid < 0)
			die(-errno, "fork");
	}
	while (wait(&status) > 0) {
		killed += WIFSIGNALED(status);
		if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
			return EXIT_FAILURE;
	}
	for (int i = 0; i < WRITERS; i++)
		if (read_log(&logs[i], i) != LINES)
			die(-EBADMSG, "a line is missing");
	rmm_file_close(file);
	printf("%d writers, %d of them killed: all %d lines are there\n",
		WRITERS, killed, WRITERS * LINES);
	return killed == 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
