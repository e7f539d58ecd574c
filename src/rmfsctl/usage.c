/* What is wrong with a command line, in one line. */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "rmfsctl/command.h"

int refuse_usage(const char *format, ...)
{
	char line[4608];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	log_error("%s", line);
	return EXIT_USAGE;
}

int refuse_option(int letter, char **argv)
{
	const char *arg = argv[optind - 1];

	if (letter == ':')
		return refuse_usage("%s: its value is missing", arg);
	if (optopt && strncmp(arg, "--", 2) != 0)
		return refuse_usage("-%c: unknown option", optopt);
	if (optopt)
		return refuse_usage("%s: takes no value", arg);
	return refuse_usage("%s: unknown option", arg);
}
