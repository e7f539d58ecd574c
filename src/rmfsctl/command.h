/* The subcommands: one file each, named in the table of main.c. */
#ifndef RMFS_RMFSCTL_COMMAND_H
#define RMFS_RMFSCTL_COMMAND_H

/* Exit statuses beside EXIT_SUCCESS and EXIT_FAILURE. */
#define EXIT_USAGE 2

/* Make a target. @argv  starts with the subcommand's name */
int create_run(int argc, char **argv);

/*
 * Tell what getopt_long, called with a leading ':' in its letters, stopped at.
 * @letter  what it returned: ':' or '?'
 * Returns EXIT_USAGE.
 */
int refuse_option(int letter, char **argv);

/* Tell what is wrong with the command line. Returns EXIT_USAGE. */
int refuse_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
