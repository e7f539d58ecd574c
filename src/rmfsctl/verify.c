/*
 * rmfsctl verify: does every receipt tell the truth about the bytes?
 *
 * The receipts come from the ledger, or from the mount while an rmfs serves the
 * target. There a slot may be emptied and written anew while it is read: what
 * does not agree is looked at again, with the receipt it has then.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/size.h"
#include "rmfsctl/command.h"
#include "rmfsctl/place.h"
#include "rmfsctl/progress.h"
#include "rmfsctl/receipts.h"

/* A slot that is rewritten all the time is somebody else's problem. */
#define TRIES 3

struct request {
	const char *path;
	bool all;
};

struct verdict {
	uint64_t good, wrong, bytes;
};

static int read_request(struct request *r, int argc, char **argv)
{
	static const struct option longs[] = {
		{"all", no_argument, NULL, 'a'},
		{0},
	};
	int letter;

	while ((letter = getopt_long(argc, argv, ":a", longs, NULL)) != -1) {
		if (letter != 'a')
			return refuse_option(letter, argv);
		r->all = true;
	}
	return take_file(argc, argv, &r->path);
}

/* ---- one receipt ----------------------------------------------------------
 */

static void tell_unreadable(const struct receipt *receipt, int err)
{
	printf("%s: cannot be read: %s\n", receipt->name,
		err == -ENODATA ? "the file ends before" : strerror(-err));
}

static void tell_wrong(const struct receipt *receipt, uint32_t found)
{
	printf("%s: wrong: its %s receipt has crc32c %08" PRIx32
	       ", its bytes have %08" PRIx32 "\n",
		receipt->name, receipt->durable ? "durable" : "complete",
		receipt->crc, found);
}

/*
 * Has the slot another receipt by now, or none? Then @receipt is set to it.
 * Returns 1, 0 (the same), -ENOENT (none), or the error of reading it.
 */
static int has_changed(const struct place *place, struct receipt *receipt)
{
	struct receipt now = *receipt;
	int err;

	if (!place->mount)
		return 0;
	err = receipt_read(place->dirfd, receipt->name, &now);
	if (err)
		return err;
	if (now.generation == receipt->generation && now.crc == receipt->crc)
		return 0;
	*receipt = now;
	return 1;
}

static void check(const struct place *place, struct progress *progress,
	struct receipt *receipt, struct verdict *verdict)
{
	uint32_t found = 0;
	int err, changed = 1;

	for (int tries = 0; tries < TRIES && changed > 0; tries++) {
		err = progress_sum(progress, place->fd, receipt->start,
			receipt->length, &found);
		if (!err && found == receipt->crc) {
			verdict->good++;
			verdict->bytes += receipt->length;
			return;
		}
		changed = has_changed(place, receipt);
	}
	/* Taken away, or rewritten each time: there is nothing to accuse. */
	if (changed == -ENOENT || changed > 0)
		return;
	verdict->wrong++;
	progress_clear(progress);
	if (err)
		tell_unreadable(receipt, err);
	else
		tell_wrong(receipt, found);
}

/* ---- all of them ----------------------------------------------------------
 */

static uint64_t bytes_of(const struct receipts *receipts)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < receipts->count; i++)
		bytes += receipts->list[i].length;
	return bytes;
}

static void tell(const struct place *place, const struct receipts *receipts,
	const struct verdict *verdict)
{
	uint64_t missing = receipts->slots - verdict->good - verdict->wrong;
	char bytes[SIZE_TEXT_MAX];

	printf("%s: %" PRIu64 " of %" PRIu64 " slots verified (%s)",
		place->name, verdict->good, receipts->slots,
		size_format(bytes, verdict->bytes));
	if (verdict->wrong)
		printf(", %" PRIu64 " wrong", verdict->wrong);
	if (missing)
		printf(", %" PRIu64 " without a receipt", missing);
	putchar('\n');
}

/* Returns the exit status. */
static int verify(const struct request *r, const struct place *place,
	const struct receipts *receipts)
{
	struct progress progress;
	struct verdict verdict = {0};

	progress_start(&progress, place->name, bytes_of(receipts));
	for (size_t i = 0; i < receipts->count; i++)
		check(place, &progress, &receipts->list[i], &verdict);
	progress_clear(&progress);
	tell(place, receipts, &verdict);
	if (verdict.wrong)
		return EXIT_FAILURE;
	if (r->all && (!receipts->slots || verdict.good < receipts->slots))
		return EXIT_FAILURE;
	return EXIT_SUCCESS;
}

int verify_run(int argc, char **argv)
{
	AUTO(place_fini) struct place place = PLACE_NONE;
	AUTO(receipts_fini) struct receipts receipts = {0};
	struct request request = {0};
	int status = read_request(&request, argc, argv);

	if (status)
		return status;
	if (place_find(&place, request.path, LOCK_SH) ||
		receipts_collect(&place, &receipts))
		return EXIT_FAILURE;
	return verify(&request, &place, &receipts);
}
