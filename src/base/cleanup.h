/*
 * Ownership by scope: a variable declared AUTO_* is released when it goes out
 * of scope, in every path; KEEP hands what it holds to somebody else.
 */
#ifndef RMFS_BASE_CLEANUP_H
#define RMFS_BASE_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define AUTO(release) __attribute__((cleanup(release)))
#define AUTO_FREE AUTO(auto_free)
#define AUTO_FD AUTO(auto_close)

#define KEEP(p)                          \
	({                               \
		__auto_type kept_ = (p); \
		(p) = NULL;              \
		kept_;                   \
	})

#define KEEP_FD(fd)               \
	({                        \
		int kept_ = (fd); \
		(fd) = -1;        \
		kept_;            \
	})

static inline void auto_free(void *p)
{
	free(*(void **)p);
}

static inline void auto_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

#endif
