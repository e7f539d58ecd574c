/* What a run of rmfs shall do. */
#include "rmfs/settings.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

void settings_fini(struct settings *s)
{
	for (size_t i = 0; i < s->target_count; i++)
		free((char *)s->targets[i].name);
	free(s->targets);
	free(s->source);
	free(s->mountpoint);
	free(s->config);
	free(s->fsname);
	free(s->fuse_options);
	memset(s, 0, sizeof(*s));
}

int settings_threads(const char *text, unsigned *threads)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long n;

	if (digits == 0 || digits > 4 || text[digits])
		return -EINVAL;
	n = strtoul(text, NULL, 10);
	if (n < 1 || n > THREADS_MAX)
		return -EINVAL;
	*threads = (unsigned)n;
	return 0;
}

int settings_durability(const char *text, enum strictness *strict)
{
	if (strcmp(text, "strict") == 0)
		*strict = STRICT_YES;
	else if (strcmp(text, "normal") == 0)
		*strict = STRICT_NO;
	else
		return -EINVAL;
	return 0;
}

void settings_add(struct settings *s, struct settings *more)
{
	if (!s->source)
		s->source = KEEP(more->source);
	if (!s->mountpoint)
		s->mountpoint = KEEP(more->mountpoint);
	if (s->threads == 0)
		s->threads = more->threads;
	if (s->access == ACCESS_UNSAID)
		s->access = more->access;
	if (s->strict == STRICT_UNSAID)
		s->strict = more->strict;
	if (s->target_count == 0) {
		s->targets = KEEP(more->targets);
		s->target_count = more->target_count;
		more->target_count = 0;
	}
	settings_fini(more);
}
