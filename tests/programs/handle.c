/*
 * handle: one step at a time on open files, as told on standard input.
 *
 * A line is "H VERB ARGUMENTS", H a letter that names the open file; the answer
 * is one line: what the system call returned, or the name of its error. Shell
 * tests drive it to hold files open across what others do.
 *
 *   H open FLAGS PATH       FLAGS of r w + (read and write) a(ppend) t(runcate)
 *                           c(reate) s(ync) d(sync) D(irect)
 *   H write LEN BYTE        at the file position
 *   H pwrite AT LEN BYTE
 *   H put AT FILE           all of FILE
 *   H read AT LEN           answers what was read, a hole's zeros as '.'
 *   H size                  of fstat
 *   H truncate SIZE
 *   H fallocate MODE AT LEN
 *   H fsync | fdatasync | close
 *   H flush                 close of a duplicate
 *   H map LEN               MAP_SHARED for reading and writing, unmapped again
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUF_SIZE (4 << 20)

static char buf[BUF_SIZE + 1];
static int fds[26];

static int open_flags(const char *text)
{
	int flags = O_CLOEXEC;

	for (; *text; text++) {
		switch (*text) {
		case 'r':
			flags |= O_RDONLY;
			break;
		case 'w':
			flags |= O_WRONLY;
			break;
		case '+':
			flags |= O_RDWR;
			break;
		case 'a':
			flags |= O_APPEND;
			break;
		case 't':
			flags |= O_TRUNC;
			break;
		case 'c':
			flags |= O_CREAT;
			break;
		case 's':
			flags |= O_SYNC;
			break;
		case 'd':
			flags |= O_DSYNC;
			break;
		case 'D':
			flags |= O_DIRECT;
			break;
		}
	}
	return flags;
}

/* The next word of the line as a number; 0 if there is none. */
static long number(char **line)
{
	char *word = strsep(line, " ");

	return word ? strtol(word, NULL, 0) : 0;
}

static size_t length(char **line)
{
	long len = number(line);

	return len < 0 ? 0 : len > BUF_SIZE ? BUF_SIZE : (size_t)len;
}

/* Fill buf with the line's LEN times BYTE. */
static size_t pattern(char **line)
{
	size_t len = length(line);

	memset(buf, *line && **line ? **line : 0, len);
	return len;
}

static ssize_t do_put(int fd, char *line)
{
	off_t at = number(&line);
	int from = open(line, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (from < 0)
		return -1;
	n = read(from, buf, BUF_SIZE);
	close(from);
	return n < 0 ? n : pwrite(fd, buf, (size_t)n, at);
}

static ssize_t do_read(int fd, char *line)
{
	off_t at = number(&line);
	ssize_t n = pread(fd, buf, length(&line), at);

	for (ssize_t i = 0; i < n; i++)
		buf[i] = buf[i] ? buf[i] : '.';
	if (n >= 0)
		printf("%.*s ", (int)n, buf);
	return n;
}

static ssize_t do_map(int fd, char *line)
{
	size_t len = length(&line);
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? -1 : munmap(p, len);
}

static ssize_t do_size(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -1 : st.st_size;
}

static ssize_t do_open(int *fd, char *line)
{
	char *flags = strsep(&line, " ");
	int new = open(line ? line : "", open_flags(flags), 0644);

	if (new < 0)
		return -1;
	*fd = new;
	return 0;
}

/* One verb; -1 and errno when the system call fails. */
static ssize_t step(int *fd, const char *verb, char *line)
{
	if (!strcmp(verb, "open"))
		return do_open(fd, line);
	if (!strcmp(verb, "write"))
		return write(*fd, buf, pattern(&line));
	if (!strcmp(verb, "put"))
		return do_put(*fd, line);
	if (!strcmp(verb, "read"))
		return do_read(*fd, line);
	if (!strcmp(verb, "size"))
		return do_size(*fd);
	if (!strcmp(verb, "truncate"))
		return ftruncate(*fd, number(&line));
	if (!strcmp(verb, "fsync"))
		return fsync(*fd);
	if (!strcmp(verb, "fdatasync"))
		return fdatasync(*fd);
	if (!strcmp(verb, "close"))
		return close(*fd);
	if (!strcmp(verb, "flush"))
		return close(dup(*fd));
	if (!strcmp(verb, "map"))
		return do_map(*fd, line);

	long first = number(&line);

	if (!strcmp(verb, "pwrite"))
		return pwrite(*fd, buf, pattern(&line), first);
	if (!strcmp(verb, "fallocate")) {
		off_t at = number(&line);

		return fallocate(*fd, (int)first, at, number(&line));
	}
	errno = ENOSYS;
	return -1;
}

int main(void)
{
	static char text[8192];

	while (fgets(text, sizeof(text), stdin)) {
		char *line = text;
		char *name, *verb;
		ssize_t r;

		text[strcspn(text, "\n")] = '\0';
		name = strsep(&line, " ");
		verb = strsep(&line, " ");
		if (name[0] < 'a' || name[0] > 'z' || !verb)
			return 2;
		r = step(&fds[name[0] - 'a'], verb, line ? line : text);
		if (r < 0)
			puts(strerrorname_np(errno));
		else
			printf("%zd\n", r);
		fflush(stdout);
	}
	return 0;
}
