/* What is wrong with a command line, in one line. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/size.h"
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

int take_file(int argc, char **argv, const char **path)
{
	if (optind == argc)
		return refuse_usage("which file?");
	if (argc - optind > 1)
		return refuse_usage("%s: one FILE, no more", argv[optind + 1]);
	*path = argv[optind];
	return 0;
}

int take_size(const char *option, uint64_t *size, const char *text)
{
	int err = size_parse(text, size);

	if (err == -ERANGE)
		return refuse_usage(
			"%s %s: too large for a file", option, text);
	if (err < 0)
		return refuse_usage("%s \"%s\": not a size like 64M, 10GiB or "
				    "1000000",
			option, text);
	return 0;
}
