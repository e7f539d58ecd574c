/* rmfsctl COMMAND: the tool beside the daemon. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "rmfsctl/command.h"

static int help_run(int argc, char **argv);
static int version_run(int argc, char **argv);

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *arguments;
	const char *help;
} commands[] = {
	{"create", create_run,
		"-s|--size SIZE [-S|--slot-size SIZE] [-m|--mode MODE] "
		"SOURCE/NAME",
		"Reserve the space of a new target and cut it into slots.\n"
		"Sizes: bytes, or with K, M, G, T (powers of 1024, as KiB "
		"...)\nor KB, MB, GB, TB (powers of 1000). Without a slot "
		"size there are no slots yet.\n"},
	{"status", status_run, "[-j|--json] FILE",
		"Tell how far a target is: as its status file in the mount "
		"does or, while no\nrmfs serves it, as its ledger does.\n"
		"FILE: the target in SOURCE, or its folder in the mount.\n"},
	{"verify", verify_run, "[-a|--all] FILE",
		"Read every slot that has a receipt and compare the "
		"checksums.\nFILE: the target in SOURCE, or its folder in the "
		"mount. Exit status 0: all\nreceipts are true, and, with "
		"--all, every slot has one.\n"},
	{"recover", recover_run,
		"[-S|--slot-size SIZE] [-t|--trust-data] [-f|--force] "
		"SOURCE/NAME",
		"Build a new ledger for a target whose own is lost or "
		"damaged. The data is not\ntouched. All slots have to be "
		"written again, unless --trust-data takes them for\ncomplete "
		"as they are. --slot-size is needed when the old ledger "
		"cannot tell it;\n--force throws a good ledger away.\n"},
	{"help", help_run, "[COMMAND]", "Tell how rmfsctl is called.\n"},
	{"version", version_run, "", "Print the version.\n"},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static void print_all(FILE *out)
{
	fputs("Usage: rmfsctl COMMAND ...\n\n", out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %s %s\n", commands[i].name,
			commands[i].arguments);
	fputs("\n`rmfsctl help COMMAND` tells more. Exit status: 0 done, "
	      "1 failed, 2 wrong usage.\n",
		out);
}

static int help_run(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		print_all(stdout);
		return EXIT_SUCCESS;
	}
	command = find(argv[1]);
	if (!command)
		return refuse_usage("no command \"%s\": rmfsctl help", argv[1]);
	printf("Usage: rmfsctl %s %s\n\n%s", command->name, command->arguments,
		command->help);
	return EXIT_SUCCESS;
}

static int version_run(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	puts("rmfsctl " RMFS_VERSION);
	return EXIT_SUCCESS;
}

/* The habits of other tools: --help and --version, also after a command. */
static const char *meant(const char *word)
{
	if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0)
		return "help";
	if (strcmp(word, "-V") == 0 || strcmp(word, "--version") == 0)
		return "version";
	return word;
}

int main(int argc, char **argv)
{
	const struct command *command;

	log_name("rmfsctl");
	opterr = 0;
	if (argc < 2)
		return refuse_usage("which command? rmfsctl help lists them");
	command = find(meant(argv[1]));
	if (!command)
		return refuse_usage("no command \"%s\": rmfsctl help", argv[1]);
	if (argc > 2 && argv[2][0] == '-' &&
		strcmp(meant(argv[2]), "help") == 0)
		return help_run(2, argv);
	return command->run(argc - 1, argv + 1);
}
