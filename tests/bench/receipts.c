/*
 * receipts TARGET WRITERS: fill all slots of a mounted target by WRITERS
 * processes, each opening, writing, closing a slot and looking for its receipt,
 * and print how many receipts a second came of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, BLOCK = 1 << 20 };

struct job {
	const char *target;
	uint64_t size, slot_size;
	int width; /* digits of a name's numbers */
};

static void die(const char *what)
{
	fprintf(stderr, "receipts: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void read_status(struct job *job)
{
	char path[PATH_SIZE], key[64];
	uint64_t value;
	FILE *status;

	snprintf(path, sizeof(path), "%s/status", job->target);
	status = fopen(path, "re");
	if (!status)
		die(path);
	while (fscanf(status, "%63s", key) == 1) {
		if (fscanf(status, "%" SCNu64, &value) != 1)
			value = 0;
		if (!strcmp(key, "size"))
			job->size = value;
		if (!strcmp(key, "slot_size"))
			job->slot_size = value;
	}
	fclose(status);
	job->width = snprintf(NULL, 0, "%" PRIu64, job->size - 1);
}

/* The path of a slot's file in @folder. */
static void slot_path(
	const struct job *job, const char *folder, uint64_t slot, char *path)
{
	uint64_t first = slot * job->slot_size;
	uint64_t last = first + job->slot_size - 1;

	snprintf(path, PATH_SIZE, "%s/%s/%0*" PRIu64 "-%0*" PRIu64, job->target,
		folder, job->width, first, job->width,
		last < job->size ? last : job->size - 1);
}

static void fill_slot(const struct job *job, uint64_t slot, const char *block)
{
	uint64_t left = job->slot_size;
	char path[PATH_SIZE];
	struct stat st;
	int fd;

	if (left > job->size - slot * job->slot_size)
		left = job->size - slot * job->slot_size;
	slot_path(job, "ranges", slot, path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		die(path);
	while (left) {
		ssize_t n = write(fd, block, left < BLOCK ? left : BLOCK);

		if (n <= 0)
			die(path);
		left -= (uint64_t)n;
	}
	if (close(fd))
		die(path);
	slot_path(job, "receipts", slot, path);
	if (stat(path, &st))
		die(path);
}

static void write_share(const struct job *job, uint64_t first, uint64_t step)
{
	char *block = malloc(BLOCK);

	if (!block)
		die("memory");
	memset(block, 'r', BLOCK);
	for (uint64_t slot = first; slot * job->slot_size < job->size;
		slot += step)
		fill_slot(job, slot, block);
	free(block);
}

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
	struct job job = {.target = argc == 3 ? argv[1] : NULL};
	uint64_t writers = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
	int status, failed = 0;
	uint64_t slots;
	double start;

	if (!writers) {
		fprintf(stderr, "usage: receipts TARGET WRITERS\n");
		return 2;
	}
	read_status(&job);
	if (!job.slot_size)
		die("the target has no slots");
	start = now();
	for (uint64_t i = 0; i < writers; i++) {
		if (fork())
			continue;
		write_share(&job, i, writers);
		exit(0);
	}
	while (wait(&status) > 0)
		failed |= status;
	if (failed)
		return 1;
	slots = (job.size - 1) / job.slot_size + 1;
	printf("%.0f\n", (double)slots / (now() - start));
	return 0;
}
