/*
 * Touching mapped bytes without dying of it.
 */
#ifndef RMM_CORE_GUARD_H
#define RMM_CORE_GUARD_H

#include <stddef.h>

/*
 * Install the handler, once in the life of the program.
 * Returns 0 or what sigaction(2) said the first time.
 */
int guard_install(void);

/*
 * Run fn(ptr, len, arg); a SIGBUS in [ptr, ptr + len), whole pages, ends it.
 * Returns 0, -EFAULT (it ended so).
 */
int guard_run(void *ptr, size_t len,
	void (*fn)(void *ptr, size_t len, void *arg), void *arg);

/* memcpy(dst, src, len), one of them mapped at @ptr. Returns as guard_run. */
int guard_copy(void *ptr, void *dst, const void *src, size_t len);

/*
 * guard_copy(ptr, ptr, src, len) for bytes that no cache holds and nobody reads
 * soon: long ones go past the caches.
 */
int guard_store(void *ptr, const void *src, size_t len);

#endif
