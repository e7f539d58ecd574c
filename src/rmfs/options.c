/* The command line. One table drives reading it and --help. */
#include "rmfs/options.h"

#include <fuse_opt.h>
#include <getopt.h>
#include <stdarg.h>
#include <string.h>

#include "base/cleanup.h"

struct row;

struct parse {
	struct settings *settings;
	const struct row *row; /* the option under way */
	char *why;
	size_t why_size;
};

struct row {
	char letter; /* 0: a word for -o */
	const char *name;
	const char *value; /* what it is called; NULL: takes none */
	const char *help;  /* NULL: understood, not worth a line */
	int (*apply)(struct parse *p, const char *value);
	size_t flag; /* for set_flag: a bool of struct settings */
};

static int refuse(struct parse *p, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int refuse(struct parse *p, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(p->why, p->why_size, format, args);
	va_end(args);
	return -EINVAL;
}

static int set_flag(struct parse *p, const char *value)
{
	(void)value;
	*(bool *)((char *)p->settings + p->row->flag) = true;
	return 0;
}

static int set_text(char **where, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*where);
	*where = copy;
	return 0;
}

static int set_config(struct parse *p, const char *value)
{
	return set_text(&p->settings->config, value);
}

static int set_fsname(struct parse *p, const char *value)
{
	return set_text(&p->settings->fsname, value);
}

static int set_threads(struct parse *p, const char *value)
{
	if (settings_threads(value, &p->settings->threads) < 0)
		return refuse(p, "-o %s=%s: not a number from 1 to %u",
			p->row->name, value, THREADS_MAX);
	return 0;
}

static int set_durability(struct parse *p, const char *value)
{
	if (settings_durability(value, &p->settings->strict) < 0)
		return refuse(
			p, "-o durability=%s: say strict or normal", value);
	return 0;
}

static int set_access(struct parse *p, const char *value)
{
	enum access *access = &p->settings->access;
	enum access asked = strcmp(p->row->name, "allow_root") == 0
				    ? ACCESS_ROOT
				    : ACCESS_OTHER;

	(void)value;
	if (*access != ACCESS_UNSAID && *access != asked)
		return refuse(p, "-o allow_other, allow_root: choose one");
	*access = asked;
	return 0;
}

/* For libfuse and the kernel, who know what it means. */
static int pass_on(struct parse *p, const char *value)
{
	char **options = &p->settings->fuse_options;

	(void)value;
	return fuse_opt_add_opt(options, p->row->name) < 0 ? -ENOMEM : 0;
}

static int ignore(struct parse *p, const char *value)
{
	(void)p;
	(void)value;
	return 0;
}

static int refuse_auto_unmount(struct parse *p, const char *value)
{
	(void)value;
	return refuse(p,
		"-o auto_unmount: not offered, a bare mountpoint would "
		"swallow what is written next; rmfs clears a dead "
		"mount of its own when it starts");
}

static int refuse_subtype(struct parse *p, const char *value)
{
	(void)value;
	return refuse(p, "-o subtype: it is always rmfs");
}

static int split_words(struct parse *p, const char *list);

#define FLAG(field) set_flag, offsetof(struct settings, field)
/* clang-format off */
static const struct row rows[] = {
	{'f', "foreground", NULL, "stay in the foreground", FLAG(foreground)},
	{'d', "debug", NULL, "as -f, and show every request", FLAG(debug)},
	{'c', "config", "FILE", "read settings and targets, see rmfs.conf(5)",
		set_config, 0},
	{'o', "options", "OPTIONS", "mount options, separated by commas",
		split_words, 0},
	{'h', "help", NULL, "print this help", FLAG(help)},
	{'V', "version", NULL, "print the version", FLAG(version)},
	{0, "allow_other", NULL, "let all users in", set_access, 0},
	{0, "allow_root", NULL, "let root in beside you", set_access, 0},
	{0, "ro", NULL, "nobody writes through this mount", pass_on, 0},
	{0, "threads", "N", "threads that serve; default one a core, at least 2",
		set_threads, 0},
	{0, "durability", "WHEN", "strict: close waits for the disk; or normal",
		set_durability, 0},
	{0, "clone_fd", NULL, "a device descriptor for each thread",
		FLAG(clone_fd)},
	{0, "fsname", "NAME", "what mount(8) shows; default SOURCE",
		set_fsname, 0},
	{0, "config", "FILE", "as -c, for fstab(5)", set_config, 0},
	{0, "debug", NULL, NULL, FLAG(debug)},
	{0, "max_threads", "N", NULL, set_threads, 0},
	{0, "rw", NULL, NULL, pass_on, 0},
	{0, "exec", NULL, NULL, pass_on, 0},
	{0, "noexec", NULL, NULL, pass_on, 0},
	{0, "atime", NULL, NULL, pass_on, 0},
	{0, "noatime", NULL, NULL, pass_on, 0},
	{0, "sync", NULL, NULL, pass_on, 0},
	{0, "async", NULL, NULL, pass_on, 0},
	{0, "dirsync", NULL, NULL, pass_on, 0},
	{0, "default_permissions", NULL, NULL, ignore, 0}, /* always on */
	/* mount.fuse3 says dev and suid for root; rmfs has neither. */
	{0, "dev", NULL, NULL, ignore, 0},
	{0, "nodev", NULL, NULL, ignore, 0},
	{0, "suid", NULL, NULL, ignore, 0},
	{0, "nosuid", NULL, NULL, ignore, 0},
	{0, "auto_unmount", NULL, NULL, refuse_auto_unmount, 0},
	{0, "subtype", "TYPE", NULL, refuse_subtype, 0},
};
/* clang-format on */
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct row *find_letter(int letter)
{
	for (size_t i = 0; i < ROWS; i++)
		if (letter && rows[i].letter == letter)
			return &rows[i];
	return NULL;
}

static const struct row *find_word(const char *name)
{
	for (size_t i = 0; i < ROWS; i++)
		if (!rows[i].letter && strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

static int apply(struct parse *p, const struct row *row, const char *value)
{
	p->row = row;
	return row->apply(p, value ? value : "");
}

/* @word is "name" or "name=value", cut in place. */
static int apply_word(struct parse *p, char *word)
{
	char *value = strchr(word, '=');
	const struct row *row;

	if (value)
		*value++ = '\0';
	row = find_word(word);
	if (!row)
		return refuse(p, "-o %s: unknown option", word);
	if (row->value && (!value || !*value))
		return refuse(p, "-o %s: say %s=%s", word, word, row->value);
	if (!row->value && value)
		return refuse(p, "-o %s: takes no value", word);
	return apply(p, row, value);
}

/* Copy a word up to its comma, "\," being none. Returns what is after it. */
static const char *cut_word(const char *list, char *word)
{
	for (; *list && *list != ','; list++) {
		if (*list == '\\' && list[1])
			list++;
		*word++ = *list;
	}
	*word = '\0';
	return *list ? list + 1 : list;
}

static int split_words(struct parse *p, const char *list)
{
	AUTO_FREE char *word = malloc(strlen(list) + 1);
	int err = 0;

	if (!word)
		return -ENOMEM;
	while (*list && !err) {
		list = cut_word(list, word);
		if (*word)
			err = apply_word(p, word);
	}
	return err;
}

static int take_paths(struct parse *p, int count, char **paths)
{
	struct settings *s = p->settings;
	int err;

	if (count == 0)
		return 0;
	if (count == 1)
		return refuse(
			p, "%s: give SOURCE and MOUNTPOINT, both", paths[0]);
	if (count > 2)
		return refuse(p, "%s: one SOURCE and one MOUNTPOINT, no more",
			paths[2]);
	err = set_text(&s->source, paths[0]);
	if (err < 0)
		return err;
	return set_text(&s->mountpoint, paths[1]);
}

/* getopt's two forms of the lettered rows. */
static void describe(char *letters, struct option *longs)
{
	*letters++ = ':';
	for (size_t i = 0; i < ROWS && rows[i].letter; i++) {
		*letters++ = rows[i].letter;
		if (rows[i].value)
			*letters++ = ':';
		*longs++ = (struct option){.name = rows[i].name,
			.has_arg =
				rows[i].value ? required_argument : no_argument,
			.val = rows[i].letter};
	}
	*letters = '\0';
	*longs = (struct option){0};
}

/* What getopt_long stopped at: an option without its value, or none of ours. */
static int refuse_getopt(struct parse *p, int letter, const char *arg)
{
	const struct row *row = find_letter(optopt);

	if (letter == ':')
		return refuse(p, "-%c, --%s: say %s too", row->letter,
			row->name, row->value);
	if (row)
		return refuse(p, "--%s: takes no value", row->name);
	if (optopt)
		return refuse(p, "-%c: unknown option", optopt);
	return refuse(p, "%s: unknown option", arg);
}

int options_parse(int argc, char **argv, struct settings *settings, char *why,
	size_t why_size)
{
	struct parse p = {settings, NULL, why, why_size};
	struct option longs[ROWS + 1];
	char letters[2 * ROWS + 2];
	int err = 0;

	snprintf(why, why_size, "out of memory");
	describe(letters, longs);
	opterr = 0;
	optind = 0;
	while (!err) {
		int letter = getopt_long(argc, argv, letters, longs, NULL);

		if (letter == -1)
			return take_paths(&p, argc - optind, argv + optind);
		if (letter == ':' || letter == '?')
			return refuse_getopt(&p, letter, argv[optind - 1]);
		err = apply(&p, find_letter(letter), optarg);
	}
	return err;
}

static void help_row(FILE *out, const struct row *row)
{
	char left[64];

	if (!row->help)
		return;
	if (row->letter)
		snprintf(left, sizeof(left), "-%c, --%s%s%s", row->letter,
			row->name, row->value ? " " : "",
			row->value ? row->value : "");
	else
		snprintf(left, sizeof(left), "-o %s%s%s", row->name,
			row->value ? "=" : "", row->value ? row->value : "");
	fprintf(out, "  %-26s %s\n", left, row->help);
}

void options_help(FILE *out)
{
	fputs("Usage: rmfs [OPTION]... SOURCE MOUNTPOINT\n"
	      "       rmfs [OPTION]... -c FILE\n"
	      "Serve the files of the folder SOURCE at MOUNTPOINT: each as a "
	      "folder of slots,\n"
	      "which any programs fill at once. `umount MOUNTPOINT` ends "
	      "it.\n\n",
		out);
	for (size_t i = 0; i < ROWS; i++)
		help_row(out, &rows[i]);
}
