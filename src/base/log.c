/* One line per event, written in one piece. */
#include "base/log.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* A path and some words; what is longer is cut. */
#define LINE_BYTES 4608

static const char *name = "rmfs";
static bool verbose;
static bool to_syslog;

void log_name(const char *program)
{
	name = program;
}

void log_verbose(bool on)
{
	verbose = on;
}

void log_to_syslog(void)
{
	openlog(name, LOG_PID, LOG_DAEMON);
	to_syslog = true;
}

/* Names come from users: a newline in one must not make a second line. */
static void flatten(char *line)
{
	for (; *line; line++)
		if (iscntrl((unsigned char)*line))
			*line = '?';
}

/* Not dprintf, which leaks its buffer when stderr is closed (glibc 2.36). */
static void write_stderr(char *line)
{
	size_t len = strlen(line);

	line[len++] = '\n';
	while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
		;
}

static void write_line(int priority, const char *format, va_list args)
{
	int saved = errno;
	char line[LINE_BYTES];
	int lead = 0;

	if (!to_syslog)
		lead = snprintf(line, sizeof(line) / 2, "%s: ", name);
	errno = saved;
	vsnprintf(line + lead, sizeof(line) - (size_t)lead - 1, format, args);
	flatten(line);
	if (to_syslog)
		syslog(priority, "%s", line);
	else
		write_stderr(line);
	errno = saved;
}

void log_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_line(LOG_ERR, format, args);
	va_end(args);
}

void log_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_line(LOG_WARNING, format, args);
	va_end(args);
}

void log_info(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_line(LOG_INFO, format, args);
	va_end(args);
}

void log_debug(const char *format, ...)
{
	va_list args;

	if (!verbose)
		return;
	va_start(args, format);
	write_line(LOG_DEBUG, format, args);
	va_end(args);
}
