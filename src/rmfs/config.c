/*
 * The configuration file: [mount], [defaults], [target NAME].
 *
 * inih splits the lines, but it is lenient where an operator is better told:
 * it cuts long lines in two and long section names short, ends a value at
 * " ;", joins indented lines to the one before, takes duplicates, and skips
 * a section without keys. So every line goes through read_line first, which
 * refuses that, counts, and keeps the sections to itself: inih sees keys only.
 * The first complaint ends the reading.
 */
#include "rmfs/config.h"

#include <ctype.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mode.h"
#include "base/size.h"

enum section {
	SECTION_NONE,
	SECTION_MOUNT,
	SECTION_DEFAULTS,
	SECTION_TARGET,
};

/* Keys that a section has said, as bits: the index into keys[]. */
typedef unsigned key_set;

struct entry {
	struct target_spec spec; /* its name is owned */
	unsigned line;
	key_set said;
};

struct parse {
	const char *path;
	FILE *file;
	unsigned line;
	enum section section;
	unsigned sections; /* bits: [mount], [defaults] were there */
	key_set said;      /* in the section under way */
	struct settings found;
	uint64_t slot_size; /* of [defaults] */
	mode_t mode;
	struct entry *entries;
	size_t count;
	int err; /* of the first complaint; the reading ends */
	char *why;
	size_t why_size;
};

static int complain_at(struct parse *p, unsigned line, int err,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

static int complain_at(
	struct parse *p, unsigned line, int err, const char *format, ...)
{
	va_list args;
	int n;

	if (p->err)
		return p->err;
	p->err = err;
	n = snprintf(p->why, p->why_size, "%s:%u: ", p->path, line);
	if (n < 0 || (size_t)n >= p->why_size)
		return err;
	va_start(args, format);
	vsnprintf(p->why + n, p->why_size - (size_t)n, format, args);
	va_end(args);
	return err;
}

#define complain(p, ...) complain_at(p, (p)->line, -EINVAL, __VA_ARGS__)
#define no_memory(p) complain_at(p, (p)->line, -ENOMEM, "out of memory")

/* ---- values ------------------------------------------------------------- */

static struct target_spec *spec(struct parse *p)
{
	return &p->entries[p->count - 1].spec;
}

static int take_path(struct parse *p, char **where, const char *value)
{
	if (value[0] != '/')
		return complain(
			p, "\"%s\": give the whole path, from /", value);
	*where = strdup(value);
	return *where ? 0 : no_memory(p);
}

static int set_source(struct parse *p, const char *value)
{
	return take_path(p, &p->found.source, value);
}

static int set_mountpoint(struct parse *p, const char *value)
{
	return take_path(p, &p->found.mountpoint, value);
}

static int set_allow_other(struct parse *p, const char *value)
{
	if (strcmp(value, "yes") == 0 || strcmp(value, "true") == 0)
		p->found.access = ACCESS_OTHER;
	else if (strcmp(value, "no") == 0 || strcmp(value, "false") == 0)
		p->found.access = ACCESS_OWNER;
	else
		return complain(p, "allow_other \"%s\": say yes or no", value);
	return 0;
}

static int set_threads(struct parse *p, const char *value)
{
	if (settings_threads(value, &p->found.threads) < 0)
		return complain(p, "threads \"%s\": not a number from 1 to %u",
			value, THREADS_MAX);
	return 0;
}

static int set_durability(struct parse *p, const char *value)
{
	if (settings_durability(value, &p->found.strict) < 0)
		return complain(
			p, "durability \"%s\": say strict or normal", value);
	return 0;
}

static int take_size(struct parse *p, uint64_t *size, const char *value)
{
	int err = size_parse(value, size);

	if (err == -ERANGE)
		return complain(p, "\"%s\": too large for a file", value);
	if (err < 0)
		return complain(p,
			"\"%s\": not a size like 64M, 10GiB or "
			"1000000",
			value);
	return 0;
}

static int set_size(struct parse *p, const char *value)
{
	int err = take_size(p, &spec(p)->size, value);

	if (!err && spec(p)->size == 0)
		return complain(
			p, "size \"%s\": a target has at least a byte", value);
	return err;
}

static int set_slot_size(struct parse *p, const char *value)
{
	return take_size(p,
		p->section == SECTION_TARGET ? &spec(p)->slot_size
					     : &p->slot_size,
		value);
}

static int set_mode(struct parse *p, const char *value)
{
	mode_t *mode = p->section == SECTION_TARGET ? &spec(p)->mode : &p->mode;

	if (mode_parse(value, mode) < 0)
		return complain(p,
			"mode \"%s\": say 0600 to 0777, octal, "
			"readable and writable by its owner",
			value);
	return 0;
}

/* ---- keys --------------------------------------------------------------- */

static const struct key {
	enum section section;
	const char *name;
	int (*set)(struct parse *p, const char *value);
} keys[] = {
	{SECTION_MOUNT, "source", set_source},
	{SECTION_MOUNT, "mountpoint", set_mountpoint},
	{SECTION_MOUNT, "allow_other", set_allow_other},
	{SECTION_MOUNT, "threads", set_threads},
	{SECTION_MOUNT, "durability", set_durability},
	{SECTION_DEFAULTS, "slot_size", set_slot_size},
	{SECTION_DEFAULTS, "mode", set_mode},
	{SECTION_TARGET, "size", set_size},
	{SECTION_TARGET, "slot_size", set_slot_size},
	{SECTION_TARGET, "mode", set_mode},
};

static key_set key_bit(enum section section, const char *name)
{
	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (keys[i].section == section &&
			strcmp(keys[i].name, name) == 0)
			return 1u << i;
	return 0;
}

/* inih's handler: returns nonzero when all is well. */
static int take_key(
	void *arg, const char *section, const char *name, const char *value)
{
	struct parse *p = arg;
	key_set bit = key_bit(p->section, name);

	(void)section;
	if (p->err)
		return 0;
	if (!bit)
		return !complain(p, "unknown key \"%s\"", name);
	if (p->said & bit)
		return !complain(p, "%s is there twice", name);
	if (!*value)
		return !complain(p, "%s has no value", name);
	p->said |= bit;
	if (p->section == SECTION_TARGET)
		p->entries[p->count - 1].said = p->said;
	return keys[__builtin_ctz(bit)].set(p, value) == 0;
}

static char *strip(char *line)
{
	char *end;

	while (isspace((unsigned char)*line))
		line++;
	end = line + strlen(line);
	while (end > line && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return line;
}

/* ---- sections ----------------------------------------------------------- */

static int open_once(struct parse *p, enum section section, const char *name)
{
	if (p->sections & 1u << section)
		return complain(p, "[%s] is there twice", name);
	p->sections |= 1u << section;
	p->section = section;
	return 0;
}

static int open_target(struct parse *p, const char *name)
{
	const char *refused = target_name_refused(name);
	struct entry *grown;
	char *copy;

	if (refused)
		return complain(p, "target \"%s\": %s", name, refused);
	for (size_t i = 0; i < p->count; i++)
		if (strcmp(p->entries[i].spec.name, name) == 0)
			return complain(p, "[target %s] is there twice", name);
	grown = realloc(p->entries, (p->count + 1) * sizeof(*grown));
	if (!grown)
		return no_memory(p);
	p->entries = grown;
	copy = strdup(name);
	if (!copy)
		return no_memory(p);
	p->entries[p->count++] =
		(struct entry){.spec.name = copy, .line = p->line};
	p->section = SECTION_TARGET;
	return 0;
}

/* @line is "[...]" without blanks around it; left empty, for inih. */
static int open_section(struct parse *p, char *line)
{
	char *end = strchr(line, ']');
	char *name = line + 1;

	if (!end)
		return complain(p, "a ] is missing");
	if (end[1])
		return complain(p, "\"%s\" after the ]", end + 1);
	*end = '\0';
	*line = '\0';
	name = strip(name);
	p->said = 0;
	if (strcmp(name, "mount") == 0)
		return open_once(p, SECTION_MOUNT, name);
	if (strcmp(name, "defaults") == 0)
		return open_once(p, SECTION_DEFAULTS, name);
	if (strcmp(name, "target") == 0 || strncmp(name, "target ", 7) == 0)
		return open_target(p, strip(name + strlen("target")));
	return complain(p, "unknown section [%s]", name);
}

/* ---- lines -------------------------------------------------------------- */

/*
 * Read one line into @line, @size bytes, without its newline.
 * Returns its length, or less than 0: the end of the file, or a complaint.
 */
static int fill_line(struct parse *p, char *line, int size)
{
	int n = 0;
	int c;

	p->line++;
	while ((c = getc(p->file)) != EOF && c != '\n') {
		if (c == '\0')
			return complain(p, "a zero byte: not a text");
		if (n == size - 1)
			return complain(p, "line over %d bytes", n);
		line[n++] = (char)c;
	}
	line[n] = '\0';
	if (ferror(p->file))
		return complain_at(p, p->line, -errno, "cannot be read: %m");
	return c == EOF && n == 0 ? -1 : n;
}

static bool has_tail_comment(const char *line)
{
	for (; *line; line++)
		if (isspace((unsigned char)line[0]) && line[1] == ';')
			return true;
	return false;
}

static int check_line(struct parse *p, char *line)
{
	size_t key = strcspn(line, "=:");

	if (has_tail_comment(line))
		return complain(p, "a comment has a line of its own: \" ;\" "
				   "would end this one");
	if (*line == '[')
		return open_section(p, line);
	if (line[key] != '=')
		return complain(
			p, "\"%s\": neither [section] nor key = value", line);
	if (p->section == SECTION_NONE)
		return complain(p, "a key before the first [section]");
	return 0;
}

/*
 * inih's reader: the next line into @str, @size bytes, NULL to end. Blanks
 * around the line are taken off, or inih joins it to the one before.
 */
static char *read_line(char *str, int size, void *arg)
{
	static const char bom[] = "\xef\xbb\xbf";
	struct parse *p = arg;
	char *line;

	/* "\r\n" and a zero: what inih wants to be left. */
	if (p->err || fill_line(p, str, size - 2) < 0)
		return NULL;
	line = str;
	if (p->line == 1 && strncmp(line, bom, strlen(bom)) == 0)
		line += strlen(bom);
	line = strip(line);
	memmove(str, line, strlen(line) + 1);
	if (*str == '\0' || *str == '#' || *str == ';') {
		strcpy(str, "\n");
		return str;
	}
	if (check_line(p, str) < 0)
		return NULL;
	strcat(str, "\n");
	return str;
}

/* ---- the whole ---------------------------------------------------------- */

/* What [defaults] gives, wherever in the file it stands. */
static int finish_targets(struct parse *p)
{
	for (size_t i = 0; i < p->count; i++) {
		struct entry *e = &p->entries[i];

		if (!(e->said & key_bit(SECTION_TARGET, "size")))
			return complain_at(p, e->line, -EINVAL,
				"target \"%s\" has no size", e->spec.name);
		if (!(e->said & key_bit(SECTION_TARGET, "slot_size")))
			e->spec.slot_size = p->slot_size;
		if (!(e->said & key_bit(SECTION_TARGET, "mode")))
			e->spec.mode = p->mode;
	}
	return 0;
}

static int hand_over(struct parse *p, struct settings *settings)
{
	struct settings *found = &p->found;

	if (p->count) {
		found->targets = calloc(p->count, sizeof(*found->targets));
		if (!found->targets)
			return no_memory(p);
	}
	for (; found->target_count < p->count; found->target_count++) {
		struct target_spec *from =
			&p->entries[found->target_count].spec;

		found->targets[found->target_count] = *from;
		from->name = NULL;
	}
	settings_add(settings, found);
	return 0;
}

static void parse_fini(struct parse *p)
{
	for (size_t i = 0; i < p->count; i++)
		free((char *)p->entries[i].spec.name);
	free(p->entries);
	settings_fini(&p->found);
	if (p->file)
		fclose(p->file);
}

int config_load(
	const char *path, struct settings *settings, char *why, size_t why_size)
{
	AUTO(parse_fini)
	struct parse p = {.path = path, .why = why, .why_size = why_size};
	int line;

	p.file = fopen(path, "re");
	if (!p.file) {
		p.err = -errno;
		snprintf(why, why_size, "%s: %m", path);
		return p.err;
	}
	line = ini_parse_stream(read_line, &p, take_key, &p);
	if (line < 0)
		no_memory(&p);
	if (line > 0 && !p.err)
		complain(&p, "not understood, from line %d on", line);
	if (!p.err)
		finish_targets(&p);
	return p.err ? p.err : hand_over(&p, settings);
}
