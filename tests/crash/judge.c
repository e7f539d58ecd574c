/*
 * judge: hold the receipts that a crash left against the bytes and the diary.
 *
 *   judge kill DIARY TARGET FILE              after kill -9 of the daemon
 *   judge cut DIARY TARGET FILE AT UNTIL      after a power cut
 *
 * TARGET is the target's folder in the mount, FILE the target itself. Two
 * things may not be:
 *
 *   false   a receipt whose checksum is not that of the bytes in FILE, or that
 *           nobody ever wrote
 *   lost    a receipt that was seen and is gone, or has become another or less,
 *           though nobody set out to take it away. After a power cut only
 *           durable ones count: seen when entry AT of the device's log was
 *           there, and not revoked before entry UNTIL
 *
 * Each is printed; the last line has the numbers. Exit status 1 if there are
 * any, 2 if it could not be found out.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "diary.h"

enum { SLOTS_MAX = 1024 };

struct receipt {
	bool there, durable;
	unsigned crc;
	unsigned long long offset, length;
};

struct slot {
	char name[DIARY_SLOT_SIZE];
	struct receipt receipt;
	struct diary_line due; /* the receipt that must be there */
	bool is_due;
	uint32_t *written; /* checksums of all that was ever on its way */
	size_t written_count;
};

struct numbers {
	unsigned receipts, durable, due, wrong, lost;
};

static struct slot slots[SLOTS_MAX];
static size_t slot_count;
static bool after_cut;
static uint64_t cut_at = UINT64_MAX, cut_until = UINT64_MAX;

__attribute__((noreturn)) static void die(const char *what, const char *name)
{
	fprintf(stderr, "judge: %s %s: %s\n", what, name, strerror(errno));
	exit(2);
}

static struct slot *find(const char *name)
{
	struct slot *slot;

	for (size_t i = 0; i < slot_count; i++)
		if (!strcmp(slots[i].name, name))
			return &slots[i];
	if (slot_count == SLOTS_MAX) {
		errno = E2BIG;
		die("too many slots:", name);
	}
	slot = &slots[slot_count++];
	snprintf(slot->name, sizeof(slot->name), "%s", name);
	return slot;
}

/* ---- what the diary demands ------------------------------------------------
 */

static void add_written(struct slot *slot, uint32_t crc)
{
	size_t n = slot->written_count;

	/* Grows at the powers of two. */
	if ((n & (n - 1)) == 0)
		slot->written =
			realloc(slot->written, (n ? 2 * n : 1) * sizeof(crc));
	if (!slot->written)
		die("remember", slot->name);
	slot->written[n] = crc;
	slot->written_count++;
}

static void demand(struct slot *slot, const struct diary_line *line)
{
	bool counts = line->event == DIARY_DURABLE ||
		      (line->event == DIARY_COMPLETE && !after_cut);

	if (line->event == DIARY_WRITE)
		add_written(slot, line->crc);
	else if (line->event == DIARY_REVOKE && line->position < cut_until)
		slot->is_due = false;
	else if (counts && line->position <= cut_at) {
		slot->due = *line;
		slot->is_due = true;
	}
}

static void read_diary(const char *path)
{
	FILE *in = fopen(path, "re");
	struct diary_line line;
	char text[256];

	if (!in)
		die("open", path);
	while (fgets(text, sizeof(text), in)) {
		errno = EILSEQ;
		if (diary_parse(text, &line))
			die("no line of a diary:", text);
		demand(find(line.slot), &line);
	}
	fclose(in);
}

/* ---- what is there ---------------------------------------------------------
 */

static void parse_receipt(struct slot *slot, FILE *in)
{
	struct receipt *r = &slot->receipt;
	char text[256];
	int keys = 0;

	while (fgets(text, sizeof(text), in)) {
		keys += sscanf(text, "offset=%llu", &r->offset) == 1;
		keys += sscanf(text, "length=%llu", &r->length) == 1;
		keys += sscanf(text, "crc32c=%8x", &r->crc) == 1;
		keys += !strncmp(text, "state=", 6);
		if (!strcmp(text, "state=durable\n"))
			r->durable = true;
	}
	errno = EILSEQ;
	if (keys != 4)
		die("half a receipt:", slot->name);
	r->there = true;
}

static void read_receipts(const char *target)
{
	char path[4096];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/receipts", target);
	dir = opendir(path);
	if (!dir)
		die("open", path);
	while ((e = readdir(dir))) {
		int fd;
		FILE *in;

		if (e->d_name[0] == '.')
			continue;
		fd = openat(dirfd(dir), e->d_name, O_RDONLY | O_CLOEXEC);
		in = fd < 0 ? NULL : fdopen(fd, "r");
		if (!in)
			die("open the receipt of", e->d_name);
		parse_receipt(find(e->d_name), in);
		fclose(in);
	}
	closedir(dir);
}

static uint32_t sum_of(int fd, const struct receipt *receipt)
{
	char *bytes = malloc(receipt->length + 1);
	uint32_t crc;

	if (!bytes)
		die("read", "a slot");
	if (pread(fd, bytes, receipt->length, (off_t)receipt->offset) !=
		(ssize_t)receipt->length)
		die("read", "a slot");
	crc = diary_crc(bytes, receipt->length);
	free(bytes);
	return crc;
}

/* ---- judging ---------------------------------------------------------------
 */

static bool was_written(const struct slot *slot)
{
	for (size_t i = 0; i < slot->written_count; i++)
		if (slot->written[i] == slot->receipt.crc)
			return true;
	return false;
}

static void judge_truth(int fd, const struct slot *slot, struct numbers *n)
{
	const struct receipt *r = &slot->receipt;
	uint32_t crc;

	if (!r->there)
		return;
	n->receipts++;
	n->durable += r->durable;
	crc = sum_of(fd, r);
	if (crc == r->crc && was_written(slot))
		return;
	n->wrong++;
	printf("false: %s: receipt %08x %s, bytes %08x%s\n", slot->name, r->crc,
		r->durable ? "durable" : "complete", crc,
		was_written(slot) ? "" : ", never written");
}

static void judge_loss(const struct slot *slot, struct numbers *n)
{
	const struct receipt *r = &slot->receipt;
	bool durable = slot->due.event == DIARY_DURABLE;

	if (!slot->is_due)
		return;
	n->due++;
	if (r->there && r->crc == slot->due.crc && (r->durable || !durable))
		return;
	n->lost++;
	printf("lost: %s: %s receipt %08x, seen at entry %" PRIu64 ", is %s\n",
		slot->name, durable ? "durable" : "complete", slot->due.crc,
		slot->due.position,
		!r->there                 ? "gone"
		: r->crc != slot->due.crc ? "another"
					  : "complete only");
}

static void parse(int argc, char **argv)
{
	if (argc == 7 && !strcmp(argv[1], "cut")) {
		after_cut = true;
		cut_at = strtoull(argv[5], NULL, 10);
		cut_until = strtoull(argv[6], NULL, 10);
	} else if (argc != 5 || strcmp(argv[1], "kill")) {
		fputs("judge kill DIARY TARGET FILE\n"
		      "judge cut DIARY TARGET FILE AT UNTIL\n",
			stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct numbers n = {0};
	int fd;

	parse(argc, argv);
	read_diary(argv[2]);
	read_receipts(argv[3]);
	fd = open(argv[4], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("open", argv[4]);
	for (size_t i = 0; i < slot_count; i++) {
		judge_truth(fd, &slots[i], &n);
		judge_loss(&slots[i], &n);
	}
	printf("%u receipts, %u durable, %u due, %u false, %u lost\n",
		n.receipts, n.durable, n.due, n.wrong, n.lost);
	return n.wrong || n.lost;
}
