/*
 * rmfsctl recover: a new ledger for a target whose own is lost or damaged.
 *
 * The data is only read. The old ledger stays until the new one is whole and on
 * disk; a failure before that changes nothing.
 */
#include <getopt.h>
#include <inttypes.h>
#include <ranged_mmap.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/size.h"
#include "ledger/ledger.h"
#include "rmfsctl/command.h"
#include "rmfsctl/place.h"
#include "rmfsctl/progress.h"
#include "target/store.h"

/* The command of the receipts that we give. */
#define COMMAND "recover"

struct request {
	const char *path;
	uint64_t slot_size;
	bool sized, trust, force;
};

static int read_option(struct request *r, int letter, char **argv)
{
	switch (letter) {
	case 'S':
		r->sized = true;
		return take_size("--slot-size", &r->slot_size, optarg);
	case 't':
		r->trust = true;
		return 0;
	case 'f':
		r->force = true;
		return 0;
	default:
		return refuse_option(letter, argv);
	}
}

static int read_request(struct request *r, int argc, char **argv)
{
	static const struct option longs[] = {
		{"slot-size", required_argument, NULL, 'S'},
		{"trust-data", no_argument, NULL, 't'},
		{"force", no_argument, NULL, 'f'},
		{0},
	};
	int letter, status;

	while ((letter = getopt_long(argc, argv, ":S:tf", longs, NULL)) != -1) {
		status = read_option(r, letter, argv);
		if (status)
			return status;
	}
	return take_file(argc, argv, &r->path);
}

/* ---- the old ledger --------------------------------------------------------
 */

static int count_receipts(void *arg, const struct ledger_slot *slot)
{
	uint64_t *receipts = arg;

	*receipts += slot->state != LEDGER_EMPTY;
	return 0;
}

static int skip_coverage(void *arg, const struct ledger_coverage *coverage)
{
	(void)arg;
	(void)coverage;
	return 0;
}

/* A good ledger goes only by force. Takes the slot size from it. */
static int judge_open(
	struct request *r, const struct place *place, struct ledger *ledger)
{
	char why[LEDGER_WHY_SIZE];
	uint64_t receipts = 0;
	int err = place_fits(place, ledger, why);

	if (!err)
		err = ledger_load(
			ledger, count_receipts, skip_coverage, &receipts, why);

	if (!err && !r->force) {
		log_error("%s: its ledger is good, with %" PRIu64
			  " receipts: --force throws it away",
			place->path, receipts);
		return -EEXIST;
	}
	if (!r->sized) {
		r->sized = true;
		r->slot_size = ledger_header(ledger)->slot_size;
	}
	return 0;
}

/* Some ledgers are not good, and still not ours to throw away. */
static int judge_closed(const struct request *r, const struct place *place,
	int err, const char *why)
{
	if (err == -ENOENT || err == -EILSEQ || err == -EIO)
		return 0;
	if (err == -EPROTO && r->force)
		return 0;
	log_error("%s: %s%s", place->path, why,
		err == -EPROTO ? ": --force throws it away" : "");
	return err;
}

static int judge_old(struct request *r, const struct place *place)
{
	char why[LEDGER_WHY_SIZE];
	struct ledger *ledger;
	int err = ledger_open_readonly(place->dirfd, place->name, &ledger, why);

	if (err)
		return judge_closed(r, place, err, why);
	err = judge_open(r, place, ledger);
	ledger_close(ledger);
	return err;
}

/* ---- the new ledger --------------------------------------------------------
 */

struct plan {
	const struct stat *st;
	uint64_t slot_size, slots, next;
	uint32_t *sums; /* owned; NULL: all to be written again */
	int64_t now_ns;
};

static void plan_fini(struct plan *plan)
{
	free(plan->sums);
}

static struct rmm_range slot_range(const struct plan *plan, uint64_t i)
{
	uint64_t size = (uint64_t)plan->st->st_size;
	uint64_t start = i * plan->slot_size;

	return (struct rmm_range){
		.start = start,
		.end = size - start < plan->slot_size ? size
						      : start + plan->slot_size,
	};
}

static int read_sums(const struct place *place, struct plan *plan)
{
	struct progress progress;
	int err = 0;

	plan->sums = calloc(plan->slots ? plan->slots : 1, sizeof(uint32_t));
	if (!plan->sums)
		return -ENOMEM;
	progress_start(&progress, place->name, (uint64_t)plan->st->st_size);
	for (uint64_t i = 0; i < plan->slots && !err; i++) {
		struct rmm_range range = slot_range(plan, i);

		err = progress_sum(&progress, place->fd, range.start,
			rmm_range_len(&range), &plan->sums[i]);
	}
	progress_clear(&progress);
	return err;
}

static bool next_slot(void *arg, struct ledger_slot *slot)
{
	struct plan *plan = arg;
	const struct stat *st = plan->st;
	struct rmm_range range;

	if (plan->next == plan->slots)
		return false;
	range = slot_range(plan, plan->next);
	*slot = (struct ledger_slot){
		.id = plan->next + 1,
		.start = range.start,
		.length = rmm_range_len(&range),
		.generation = 1,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.mode = st->st_mode & 0666,
		.mtime_ns = st->st_mtim.tv_sec * INT64_C(1000000000) +
			    st->st_mtim.tv_nsec,
	};
	if (plan->sums) {
		slot->state = LEDGER_COMPLETE;
		slot->crc = plan->sums[plan->next];
		slot->completed_ns = plan->now_ns;
		slot->writer_uid = getuid();
		slot->writer_pid = getpid();
		strcpy(slot->command, COMMAND);
	}
	plan->next++;
	return true;
}

static void make_plan(
	struct plan *plan, const struct request *r, const struct place *place)
{
	uint64_t size = (uint64_t)place->st.st_size;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	*plan = (struct plan){
		.st = &place->st,
		.slot_size = rmm_align_up(r->slot_size),
		.now_ns = now.tv_sec * INT64_C(1000000000) + now.tv_nsec,
	};
	if (plan->slot_size)
		plan->slots = (size - 1) / plan->slot_size + 1;
}

static int build(const struct place *place, struct plan *plan)
{
	struct ledger_header header = {
		.size = (uint64_t)place->st.st_size,
		.slot_size = plan->slot_size,
	};
	int err = target_identity(place->fd, &header.file);

	if (!err)
		err = ledger_create(
			place->dirfd, place->name, &header, next_slot, plan);
	if (err)
		log_error("%s: cannot write a ledger: %s", place->path,
			strerror(-err));
	return err;
}

static void tell(const struct place *place, const struct plan *plan)
{
	char size[SIZE_TEXT_MAX];

	printf("%s: new ledger, ", place->path);
	if (!plan->slots)
		puts("no slots yet");
	else
		printf("%" PRIu64 " slot%s of %s, %s\n", plan->slots,
			plan->slots == 1 ? "" : "s",
			size_format(size, plan->slot_size),
			plan->sums ? "all complete, with the bytes as they are"
				   : "all to be written again");
}

static int recover(struct request *r, const struct place *place)
{
	AUTO(plan_fini) struct plan plan = {0};
	int err = judge_old(r, place);

	if (err)
		return err;
	if (!r->sized) {
		log_error("%s: how was it cut? Its ledger cannot tell: say "
			  "--slot-size 64M, for instance",
			place->path);
		return -EINVAL;
	}
	make_plan(&plan, r, place);
	err = r->trust ? read_sums(place, &plan) : 0;
	if (err) {
		log_error(
			"%s: cannot be read: %s", place->path, strerror(-err));
		return err;
	}
	err = build(place, &plan);
	if (!err)
		tell(place, &plan);
	return err;
}

int recover_run(int argc, char **argv)
{
	AUTO(place_fini) struct place place = PLACE_NONE;
	struct request request = {0};
	int status = read_request(&request, argc, argv);

	if (status)
		return status;
	if (place_find(&place, request.path, LOCK_EX))
		return EXIT_FAILURE;
	if (place.mount) {
		log_error("%s: is served at %s: end that rmfs first",
			request.path, place.mount);
		return EXIT_FAILURE;
	}
	return recover(&request, &place) ? EXIT_FAILURE : EXIT_SUCCESS;
}
