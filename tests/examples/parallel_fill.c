/*
 * parallel_fill: threads fill one file without asking each other.
 *
 *   parallel_fill FILE
 *
 * Each thread takes the next free range, writes it, starts it on its way to
 * the disk, and takes another until none is left. Then the file is read back.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ranged_mmap.h>

#define THREADS 8
#define PIECE ((size_t)256 << 10)
#define FILE_SIZE (100 * PIECE + 1000) /* the last piece is a short one */

struct worker {
	pthread_t thread;
	struct rmm_file *file;
	uint64_t written;
};

_Noreturn static void die(int err, const char *what)
{
	fprintf(stderr, "parallel_fill: %s: %s\n", what, rmm_strerror(err));
	exit(EXIT_FAILURE);
}

static void must(int err, const char *what)
{
	if (err < 0)
		die(err, what);
}

/* What belongs at the place of a range, different for each. */
static int byte_of(const struct rmm_range *range)
{
	return (int)(range->start / PIECE % 251 + 1);
}

static void *fill(void *arg)
{
	struct worker *me = arg;
	char *buf = malloc(PIECE);
	struct rmm_receipt receipt;
	struct rmm_range range;
	int err;

	if (!buf)
		die(-ENOMEM, "a buffer");
	while ((err = rmm_file_alloc(me->file, PIECE, &range)) == 0) {
		memset(buf, byte_of(&range), PIECE);
		must(rmm_file_write_range(me->file, &range, buf,
			     rmm_range_len(&range), &receipt),
			"write");
		must(rmm_file_flush_range(me->file, &receipt), "flush");
		me->written += rmm_range_len(&receipt.range);
	}
	if (err != -ENOSPC)
		die(err, "allocate");
	free(buf);
	return NULL;
}

/* A new allocator deals out the same ranges again: read each back. */
static void verify(const char *path)
{
	struct rmm_file *file;
	struct rmm_range range;
	char *buf = malloc(PIECE);

	if (!buf)
		die(-ENOMEM, "a buffer");
	must(rmm_file_open(path, RMM_SEQUENTIAL, RMM_RDONLY, &file), path);
	while (rmm_file_alloc(file, PIECE, &range) == 0) {
		must(rmm_file_read_range(file, &range, buf, PIECE), "read");
		for (size_t i = 0; i < rmm_range_len(&range); i++)
			if (buf[i] != (char)byte_of(&range))
				die(-EBADMSG, "a byte is wrong");
	}
	rmm_file_close(file);
	free(buf);
}

int main(int argc, char **argv)
{
	struct worker workers[THREADS] = {0};
	struct rmm_file *file;
	uint64_t written = 0;

	if (argc != 2) {
		fputs("parallel_fill FILE\n", stderr);
		return 2;
	}
	must(rmm_file_create(argv[1], FILE_SIZE, RMM_CONCURRENT, 0, &file),
		argv[1]);
	for (size_t i = 0; i < THREADS; i++) {
		workers[i].file = file;
		must(-pthread_create(
			     &workers[i].thread, NULL, fill, &workers[i]),
			"a thread");
	}
	for (size_t i = 0; i < THREADS; i++) {
		must(-pthread_join(workers[i].thread, NULL), "join");
		written += workers[i].written;
	}
	must(rmm_file_sync(file), "sync");
	rmm_file_close(file);
	if (written != FILE_SIZE)
		die(-EBADMSG, "not all has been written");
	verify(argv[1]);
	printf("%d threads wrote %llu bytes\n", THREADS,
		(unsigned long long)written);
	return EXIT_SUCCESS;
}
