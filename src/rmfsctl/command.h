/* The subcommands: one file each, named in the table of main.c. */
#ifndef RMFS_RMFSCTL_COMMAND_H
#define RMFS_RMFSCTL_COMMAND_H

#include <stdint.h>

/* Exit statuses beside EXIT_SUCCESS and EXIT_FAILURE. */
#define EXIT_USAGE 2

/* Make a target. @argv  starts with the subcommand's name */
int create_run(int argc, char **argv);

/* Tell how far a target is. */
int status_run(int argc, char **argv);

/* Check the bytes of a target against its receipts. */
int verify_run(int argc, char **argv);

/* Build the ledger of a target anew. */
int recover_run(int argc, char **argv);

/*
 * Take the one FILE that is left of the command line, after getopt_long.
 * Returns 0, EXIT_USAGE (none, or more than one; told).
 */
int take_file(int argc, char **argv, const char **path);

/*
 * Read a size, given to an option.
 * Returns 0, EXIT_USAGE (told).
 */
int take_size(const char *option, uint64_t *size, const char *text);

/*
 * Tell what getopt_long, called with a leading ':' in its letters, stopped at.
 * @letter  what it returned: ':' or '?'
 * Returns EXIT_USAGE.
 */
int refuse_option(int letter, char **argv);

/* Tell what is wrong with the command line. Returns EXIT_USAGE. */
int refuse_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
