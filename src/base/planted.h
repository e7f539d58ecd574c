/*
 * Bugs on purpose: builds with -DRMFS_PLANTED_BUGS have the one that RMFS_BUG
 * in the environment names, so that the crash tests can show that they would
 * find it. Other builds have none, and no code for it.
 */
#ifndef RMFS_BASE_PLANTED_H
#define RMFS_BASE_PLANTED_H

#include <stdbool.h>

#ifdef RMFS_PLANTED_BUGS
#include <stdlib.h>
#include <string.h>

static inline bool planted(const char *bug)
{
	const char *wanted = getenv("RMFS_BUG");

	return wanted && !strcmp(wanted, bug);
}
#else
static inline bool planted(const char *bug)
{
	(void)bug;
	return false;
}
#endif

#endif
