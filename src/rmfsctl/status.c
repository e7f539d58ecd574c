/*
 * rmfsctl status: how far a target is. While it is served, what the mount says;
 * else the same from its ledger, as far as a ledger knows.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/openat.h"
#include "base/size.h"
#include "ledger/ledger.h"
#include "rmfsctl/command.h"
#include "rmfsctl/place.h"

/* More keys than this are not shown; there are 17. */
#define KEYS_MAX 64

struct request {
	const char *path;
	bool json;
};

static int read_request(struct request *r, int argc, char **argv)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'},
		{0},
	};
	int letter;

	while ((letter = getopt_long(argc, argv, ":j", longs, NULL)) != -1) {
		if (letter != 'j')
			return refuse_option(letter, argv);
		r->json = true;
	}
	return take_file(argc, argv, &r->path);
}

/* ---- from the mount --------------------------------------------------------
 */

/* Copy the status file as it is. */
static int copy_status(const struct place *p, FILE *text)
{
	AUTO_FD int fd = open_beneath(p->dirfd, "status", O_RDONLY, 0);
	char block[4096];
	ssize_t n;

	if (fd < 0)
		return fd;
	while ((n = read(fd, block, sizeof(block))) > 0)
		fwrite(block, 1, (size_t)n, text);
	return n < 0 ? -errno : 0;
}

static int write_served(const struct place *p, FILE *text)
{
	int err = copy_status(p, text);

	if (err) {
		log_error("%s: its status cannot be read: %s", p->path,
			strerror(-err));
		return err;
	}
	fprintf(text, "mount %s\n", p->mount);
	return 0;
}

/* ---- from the ledger -------------------------------------------------------
 */

struct totals {
	uint64_t slots, complete, durable, overrun, covered;
};

static int add_slot(void *arg, const struct ledger_slot *slot)
{
	struct totals *totals = arg;

	totals->slots++;
	totals->complete += slot->state != LEDGER_EMPTY;
	totals->durable += slot->state == LEDGER_DURABLE;
	if (slot->state != LEDGER_EMPTY)
		totals->covered += slot->length;
	return 0;
}

static int add_coverage(void *arg, const struct ledger_coverage *coverage)
{
	struct totals *totals = arg;

	totals->overrun += coverage->overrun;
	for (size_t i = 0; i < coverage->count; i++)
		totals->covered +=
			coverage->runs[i].end - coverage->runs[i].start;
	return 0;
}

static void write_totals(const struct place *p,
	const struct ledger_header *header, const struct totals *totals,
	const char *ledger, FILE *text)
{
	fprintf(text, "target %s\n", p->name);
	fprintf(text, "size %jd\n", (intmax_t)p->st.st_size);
	fprintf(text, "slot_size %" PRIu64 "\n", header->slot_size);
	fprintf(text, "slots %" PRIu64 "\n", totals->slots);
	fprintf(text, "slots_complete %" PRIu64 "\n", totals->complete);
	fprintf(text, "slots_durable %" PRIu64 "\n", totals->durable);
	fprintf(text, "slots_overrun %" PRIu64 "\n", totals->overrun);
	fprintf(text, "bytes_covered %" PRIu64 "\n", totals->covered);
	fprintf(text, "ledger %s\n", ledger);
	fprintf(text, "mount none\n");
}

/* After a reboot rmfs believes only what is durable, and looks at the rest. */
static void warn_rebooted(
	const struct place *p, const struct totals *totals, bool rebooted)
{
	if (rebooted && totals->complete > totals->durable)
		log_warn("%s: the machine was started anew before %" PRIu64
			 " of the receipts were durable: rmfs is going to "
			 "check those",
			p->path, totals->complete - totals->durable);
}

static int write_unserved(const struct place *p, FILE *text)
{
	static const struct ledger_header none;
	struct totals totals = {0};
	char why[LEDGER_WHY_SIZE];
	struct ledger *ledger;
	int err = place_ledger(p, &ledger, why);

	if (err == -ENOENT) {
		write_totals(p, &none, &totals, "none", text);
		return 0;
	}
	if (!err) {
		err = ledger_load(ledger, add_slot, add_coverage, &totals, why);
		if (!err) {
			write_totals(p, ledger_header(ledger), &totals, "good",
				text);
			warn_rebooted(p, &totals, ledger_rebooted(ledger));
		}
		ledger_close(ledger);
	}
	if (err)
		log_error("%s: %s", p->path, why);
	return err;
}

/* ---- printing --------------------------------------------------------------
 */

struct line {
	const char *key, *value;
};

/* Cut "key value" lines in place. Returns how many. */
static size_t split_lines(char *text, struct line *lines)
{
	size_t count = 0;

	while (count < KEYS_MAX && *text) {
		struct line *line = &lines[count++];
		char *end = text + strcspn(text, "\n");
		char *value = text + strcspn(text, " \n");

		line->key = text;
		text = *end ? end + 1 : end;
		*end = '\0';
		line->value = value < end ? value + 1 : end;
		*value = '\0';
	}
	return count;
}

static bool is_number(const struct line *line)
{
	return *line->value && strcmp(line->key, "target") != 0 &&
	       line->value[strspn(line->value, "0123456789")] == '\0';
}

/* A name has neither control bytes nor, in a good tree, other than UTF-8. */
static void print_json_text(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		putchar(*text);
	}
	putchar('"');
}

static void print_json(const struct line *lines, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		fputs(i ? ",\n  " : "{\n  ", stdout);
		print_json_text(lines[i].key);
		fputs(": ", stdout);
		if (is_number(&lines[i]))
			fputs(lines[i].value, stdout);
		else
			print_json_text(lines[i].value);
	}
	puts("\n}");
}

/* Sizes are easier to grasp in units. */
static void print_size(const struct line *line)
{
	char text[SIZE_TEXT_MAX];
	uint64_t bytes = strtoull(line->value, NULL, 10);

	if (bytes < 1024 || !is_number(line))
		return;
	if (strstr(line->key, "size") || strncmp(line->key, "bytes", 5) == 0)
		printf(" (%s)", size_format(text, bytes));
}

static void print_table(const struct line *lines, size_t count)
{
	int width = 0;

	for (size_t i = 0; i < count; i++)
		if ((int)strlen(lines[i].key) > width)
			width = (int)strlen(lines[i].key);
	for (size_t i = 0; i < count; i++) {
		printf("%-*s  %s", width, lines[i].key, lines[i].value);
		print_size(&lines[i]);
		putchar('\n');
	}
}

static void print(const struct request *r, char *text)
{
	struct line lines[KEYS_MAX];
	size_t count = split_lines(text, lines);

	if (r->json)
		print_json(lines, count);
	else
		print_table(lines, count);
}

int status_run(int argc, char **argv)
{
	AUTO(place_fini) struct place place = PLACE_NONE;
	AUTO_FREE char *text = NULL;
	struct request request = {0};
	size_t size = 0;
	FILE *out;
	int err, status = read_request(&request, argc, argv);

	if (status)
		return status;
	err = place_find(&place, request.path, LOCK_SH);
	if (err)
		return EXIT_FAILURE;
	out = open_memstream(&text, &size);
	if (!out) {
		log_error("out of memory");
		return EXIT_FAILURE;
	}
	err = place.mount ? write_served(&place, out)
			  : write_unserved(&place, out);
	if (fclose(out) || err)
		return EXIT_FAILURE;
	print(&request, text);
	return EXIT_SUCCESS;
}
