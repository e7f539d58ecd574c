/* How far a long reading is, and the reading. */
#include "rmfsctl/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/size.h"

enum {
	BLOCK = 1 << 20, /* from 256 KiB on it makes no difference */
	INTERVAL_MS = 100,
};

static int64_t ms_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - start->tv_sec) * 1000 +
	       (now.tv_nsec - start->tv_nsec) / 1000000;
}

void progress_start(struct progress *p, const char *name, uint64_t total)
{
	*p = (struct progress){
		.name = name,
		.total = total,
		.on = isatty(STDERR_FILENO),
	};
	clock_gettime(CLOCK_MONOTONIC, &p->start);
	p->shown = p->start;
}

static void show(const struct progress *p)
{
	char done[SIZE_TEXT_MAX], total[SIZE_TEXT_MAX], rate[SIZE_TEXT_MAX];
	double seconds = (double)(ms_since(&p->start) + 1) / 1000;
	double share = p->done < p->total ? (double)p->done / (double)p->total
					  : 1; /* it may be read twice */

	fprintf(stderr, "\r%s: %3d %%  %s of %s, %s/s\033[K", p->name,
		(int)(share * 100), size_format(done, p->done),
		size_format(total, p->total),
		size_format(rate, (uint64_t)((double)p->done / seconds)));
}

void progress_add(struct progress *p, uint64_t bytes)
{
	p->done += bytes;
	if (!p->on || ms_since(&p->shown) < INTERVAL_MS)
		return;
	show(p);
	clock_gettime(CLOCK_MONOTONIC, &p->shown);
}

void progress_clear(struct progress *p)
{
	if (p->on)
		fputs("\r\033[K", stderr);
}

int progress_sum(struct progress *p, int fd, uint64_t start, uint64_t length,
	uint32_t *crc)
{
	AUTO_FREE char *block = malloc(BLOCK);
	uint64_t done = 0;

	if (!block)
		return -ENOMEM;
	(void)posix_fadvise(
		fd, (off_t)start, (off_t)length, POSIX_FADV_DONTNEED);
	*crc = 0;
	while (done < length) {
		uint64_t left = length - done;
		ssize_t n = pread(fd, block, left < BLOCK ? left : BLOCK,
			(off_t)(start + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		*crc = crc32c(*crc, block, (size_t)n);
		done += (uint64_t)n;
		progress_add(p, (uint64_t)n);
	}
	return 0;
}
