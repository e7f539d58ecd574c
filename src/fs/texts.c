/* The files whose text is made when they are opened. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/request.h"
#include "ledger/ledger.h"

bool text_kind(enum kind kind)
{
	return kind == KIND_STATUS || kind == KIND_RECEIPT;
}

static uint64_t get(const _Atomic uint64_t *counter)
{
	/* Relaxed: see struct target_counters. */
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static const char *space_text(const struct target *target)
{
	return rmm_map_space(target->map) == RMM_SPACE_GUARANTEED
		       ? "guaranteed"
		       : "best-effort";
}

static const char *ledger_text(const struct target *target)
{
	if (!target->ledger)
		return "none";
	return ledger_error(target->ledger) ? "failed" : "good";
}

/* docs/status.md describes each key; the order is part of it. */
static int write_status(const struct target *target, FILE *out)
{
	const struct target_counters *n = &target->counters;

	fprintf(out, "target %s\n", target->name);
	fprintf(out, "size %" PRIu64 "\n", target->size);
	fprintf(out, "slot_size %" PRIu64 "\n", target->slot_size);
	fprintf(out, "slots %" PRIu64 "\n", target->slot_count);
	fprintf(out, "slots_complete %" PRIu64 "\n", get(&n->complete));
	fprintf(out, "slots_durable %" PRIu64 "\n", get(&n->durable));
	fprintf(out, "slots_overrun %" PRIu64 "\n", get(&n->overrun));
	fprintf(out, "slots_open %" PRIu64 "\n", get(&n->writers));
	fprintf(out, "bytes_covered %" PRIu64 "\n", get(&n->covered));
	fprintf(out, "bytes_written_total %" PRIu64 "\n", get(&n->written));
	fprintf(out, "receipts_given_total %" PRIu64 "\n", get(&n->receipts));
	fprintf(out, "receipts_withdrawn_total %" PRIu64 "\n",
		get(&n->withdrawn));
	fprintf(out, "busy_total %" PRIu64 "\n", get(&n->refused));
	fprintf(out, "errors_total %" PRIu64 "\n", get(&n->errors));
	fprintf(out, "space %s\n", space_text(target));
	fprintf(out, "ledger %s\n", ledger_text(target));
	return 0;
}

struct timespec text_time(int64_t ns)
{
	return (struct timespec){
		.tv_sec = ns / 1000000000,
		.tv_nsec = ns % 1000000000,
	};
}

static void write_time(int64_t ns, FILE *out)
{
	struct timespec time = text_time(ns);
	struct tm tm;
	char text[32];

	gmtime_r(&time.tv_sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	fprintf(out, "completed=%s.%09ldZ\n", text, time.tv_nsec);
}

static int write_receipt(const struct node *node, FILE *out)
{
	struct slot_receipt r;
	char name[SLOT_NAME_SIZE];

	if (!slot_receipt(node->target, node->slot, &r))
		return -ENOENT;
	target_slot_name(node->target, node->slot, name);
	fprintf(out, "target=%s\n", node->target->name);
	fprintf(out, "slot=%s\n", name);
	fprintf(out, "offset=%" PRIu64 "\n", r.state.start);
	fprintf(out, "length=%" PRIu64 "\n", r.state.length);
	fprintf(out, "reserved=%" PRIu64 "\n", rmm_align_up(r.state.length));
	fprintf(out, "crc32c=%08" PRIx32 "\n", r.state.crc);
	fprintf(out, "state=%s\n", r.receipt.durable ? "durable" : "complete");
	fprintf(out, "generation=%" PRIu32 "\n", r.state.generation);
	write_time(r.receipt.completed_ns, out);
	fprintf(out, "uid=%u\n", r.receipt.who.uid);
	fprintf(out, "pid=%d\n", r.receipt.who.pid);
	fprintf(out, "command=%s\n", r.receipt.who.command);
	return 0;
}

int text_make(const struct node *node, struct text *text)
{
	FILE *out;
	int err;

	*text = (struct text){0};
	out = open_memstream(&text->bytes, &text->len);
	if (!out)
		return -ENOMEM;
	err = node->kind == KIND_STATUS ? write_status(node->target, out)
					: write_receipt(node, out);
	if ((ferror(out) | fclose(out)) && !err)
		err = -ENOMEM;
	if (err)
		free(text->bytes);
	return err;
}
