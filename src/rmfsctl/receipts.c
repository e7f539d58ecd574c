/* The receipts of a target. */
#include "rmfsctl/receipts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/openat.h"
#include "ledger/ledger.h"
#include "rmfsctl/place.h"

enum {
	NAME_SIZE = 48,       /* two 64-bit numbers and a dash */
	RECEIPT_SIZE = 4096,  /* a name of 255 bytes, and short lines */
	PATH_SIZE = 16 + 256, /* "receipts/" and a name */
};

void receipts_fini(struct receipts *receipts)
{
	for (size_t i = 0; i < receipts->count; i++)
		free(receipts->list[i].name);
	free(receipts->list);
	*receipts = (struct receipts){0};
}

/* Append a copy; its name, which is copied too, may be anything's. */
static int append(struct receipts *receipts, const struct receipt *receipt)
{
	char *name = strdup(receipt->name);

	if (!name)
		return -ENOMEM;
	if (receipts->count == receipts->room) {
		size_t room = receipts->room ? receipts->room * 2 : 64;
		void *grown =
			realloc(receipts->list, room * sizeof(*receipts->list));

		if (!grown) {
			free(name);
			return -ENOMEM;
		}
		receipts->list = grown;
		receipts->room = room;
	}
	receipts->list[receipts->count] = *receipt;
	receipts->list[receipts->count++].name = name;
	return 0;
}

/* ---- from the ledger -------------------------------------------------------
 */

struct reading {
	struct receipts *receipts;
	int width; /* of the numbers in a slot's name */
};

static int take_row(void *arg, const struct ledger_slot *row)
{
	const struct reading *reading = arg;
	char name[NAME_SIZE];
	struct receipt receipt = {
		.name = name,
		.start = row->start,
		.length = row->length,
		.crc = row->crc,
		.generation = row->generation,
		.durable = row->state == LEDGER_DURABLE,
	};

	reading->receipts->slots++;
	if (row->state == LEDGER_EMPTY)
		return 0;
	snprintf(name, sizeof(name), "%0*" PRIu64 "-%0*" PRIu64, reading->width,
		row->start, reading->width, row->start + row->length - 1);
	return append(reading->receipts, &receipt);
}

static int skip_coverage(void *arg, const struct ledger_coverage *coverage)
{
	(void)arg;
	(void)coverage;
	return 0;
}

static int collect_rows(const struct place *place, struct receipts *receipts)
{
	struct reading reading = {.receipts = receipts};
	char why[LEDGER_WHY_SIZE];
	struct ledger *ledger;
	int err = place_ledger(place, &ledger, why);

	if (!err) {
		reading.width = snprintf(
			NULL, 0, "%jd", (intmax_t)place->st.st_size - 1);
		err = ledger_load(
			ledger, take_row, skip_coverage, &reading, why);
		ledger_close(ledger);
	}
	if (err)
		log_error("%s: %s", place->path, *why ? why : strerror(-err));
	return err;
}

/* ---- from the mount --------------------------------------------------------
 */

/* The value of the first line "@key=...", which is the right one. */
static const char *value_of(const char *text, const char *key)
{
	size_t len = strlen(key);

	while (text) {
		if (strncmp(text, key, len) == 0 && text[len] == '=')
			return text + len + 1;
		text = strchr(text, '\n');
		text += text != NULL;
	}
	return NULL;
}

/* Read a number that ends its line. */
static bool number(
	const char *text, const char *key, int base, uint64_t max, uint64_t *n)
{
	const char *value = value_of(text, key);
	char *end;

	if (!value)
		return false;
	errno = 0;
	*n = strtoull(value, &end, base);
	return !errno && end > value && *end == '\n' && *n <= max;
}

static int parse(const char *text, struct receipt *receipt)
{
	const char *state = value_of(text, "state");
	uint64_t crc, generation;

	if (!number(text, "offset", 10, INT64_MAX, &receipt->start) ||
		!number(text, "length", 10, INT64_MAX, &receipt->length) ||
		!number(text, "crc32c", 16, UINT32_MAX, &crc) ||
		!number(text, "generation", 10, UINT32_MAX, &generation) ||
		!state)
		return -EILSEQ;
	receipt->crc = (uint32_t)crc;
	receipt->generation = (uint32_t)generation;
	receipt->durable = strncmp(state, "durable\n", 8) == 0;
	return 0;
}

int receipt_read(int dirfd, const char *name, struct receipt *receipt)
{
	char path[PATH_SIZE], text[RECEIPT_SIZE];
	struct receipt found = {.name = receipt->name};
	ssize_t n;
	int err;

	snprintf(path, sizeof(path), "receipts/%s", name);
	AUTO_FD int fd = open_beneath(dirfd, path, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	err = parse(text, &found);
	if (!err)
		*receipt = found;
	return err;
}

static void close_folder(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* Call @each for every name in a folder below @dirfd, and count them. */
static int each_name(int dirfd, const char *folder, uint64_t *count,
	int (*each)(int dirfd, const char *name, struct receipts *receipts),
	struct receipts *receipts)
{
	AUTO(close_folder) DIR *dir = NULL;
	struct dirent *entry;
	int err = 0,
	    fd = open_beneath(dirfd, folder, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	for (errno = 0; !err && (entry = readdir(dir)); errno = 0) {
		if (entry->d_name[0] == '.')
			continue;
		++*count;
		if (each)
			err = each(dirfd, entry->d_name, receipts);
	}
	return err ? err : -errno;
}

static int take_receipt(int dirfd, const char *name, struct receipts *receipts)
{
	struct receipt receipt = {.name = (char *)name};
	int err = receipt_read(dirfd, name, &receipt);

	/* Listed a moment ago, and taken away since. */
	if (err == -ENOENT)
		return 0;
	return err ? err : append(receipts, &receipt);
}

static int by_start(const void *a, const void *b)
{
	const struct receipt *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static int collect_served(const struct place *place, struct receipts *receipts)
{
	uint64_t listed = 0;
	int err = each_name(
		place->dirfd, "receipts", &listed, take_receipt, receipts);

	if (!err)
		err = each_name(
			place->dirfd, "ranges", &receipts->slots, NULL, NULL);
	if (err) {
		log_error("%s: its receipts cannot be read: %s", place->path,
			strerror(-err));
		return err;
	}
	if (receipts->count)
		qsort(receipts->list, receipts->count, sizeof(*receipts->list),
			by_start);
	return 0;
}

int receipts_collect(const struct place *place, struct receipts *receipts)
{
	return place->mount ? collect_served(place, receipts)
			    : collect_rows(place, receipts);
}
