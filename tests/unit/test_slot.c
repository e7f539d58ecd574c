/* When a slot has a receipt, and what takes it away. */
#include "slot_fixture.h"

/* ---- receipts ----------------------------------------------------------- */

/* Writing every byte in order earns a receipt at flush, and not before. */
START_TEST(in_order_fill_earns_receipt)
{
	struct writer *writer = open_slot(true);

	for (size_t at = 0; at < SLOT; at += 4096) {
		ck_assert_int_eq(flush(writer), 0);
		ck_assert(!complete());
		put(writer, at, 4096);
	}
	ck_assert(!complete());
	ck_assert_int_eq(flush(writer), 0);
	assert_true_receipt(slot);
	slot_release(writer);
	assert_true_receipt(slot);
}
END_TEST

/* Any order does, and then the checksum is read back. */
START_TEST(any_order_fill_earns_receipt)
{
	struct writer *writer = open_slot(true);

	for (size_t at = SLOT; at > 0; at -= 1024)
		put(writer, at - 1024, 1024);
	ck_assert_int_eq(slot_flush(writer), SLOT_UNSETTLED);
	ck_assert(!complete());
	ck_assert_int_eq(slot_settle(writer), 0);
	assert_true_receipt(slot);
	slot_release(writer);
}
END_TEST

/* Overlapping writes leave a checksum of what came last. */
START_TEST(overwritten_bytes_are_summed_as_they_are)
{
	struct writer *writer = open_slot(true);

	put(writer, 0, SLOT / 2);
	ck_assert_int_eq(write_slot(writer, "changed", 7, 100), 7);
	put(writer, SLOT / 2, SLOT / 2);
	close_slot(writer);
	assert_true_receipt(slot);
}
END_TEST

/* A hole filled late makes the prefix jump: the checksum is not carried on. */
START_TEST(hole_filled_late_is_summed_right)
{
	struct writer *writer = open_slot(true);

	put(writer, 0, 1000);
	put(writer, 2000, SLOT - 2000);
	put(writer, 1000, 1000);
	close_slot(writer);
	assert_true_receipt(slot);
}
END_TEST

/* The last slot is complete at the unaligned end of the file. */
START_TEST(last_slot_completes_at_file_end)
{
	struct waiter waiter = {.wake = never};
	struct writer *writer;

	ck_assert_int_eq(
		slot_open(target, last, &alice, true, &waiter, &writer), 0);
	ck_assert_int_eq(write_slot(writer, bytes, LAST - 1, 0), LAST - 1);
	ck_assert_int_eq(flush(writer), 0);
	ck_assert(!slot_complete(target, last));
	ck_assert_int_eq(write_slot(writer, bytes, 1, LAST - 1), 1);
	close_slot(writer);
	assert_true_receipt(last);
}
END_TEST

/* One byte short of complete is not complete. */
START_TEST(missing_byte_earns_nothing)
{
	struct writer *writer = open_slot(true);

	put(writer, 0, 12345);
	put(writer, 12346, SLOT - 12346);
	close_slot(writer);
	ck_assert(!complete());
}
END_TEST

/* A receipt names who wrote, and its generation. */
START_TEST(receipt_names_writer)
{
	struct slot_receipt receipt;

	fill();
	ck_assert(slot_receipt(target, slot, &receipt));
	ck_assert_str_eq(receipt.receipt.who.command, "alice");
	ck_assert_int_eq(receipt.receipt.who.pid, 11);
	ck_assert_uint_eq(receipt.state.generation, 1);
}
END_TEST

/* A late write takes the receipt away first; flush gives one of the new bytes.
 */
START_TEST(late_write_withdraws_receipt)
{
	struct writer *writer = open_slot(true);
	struct slot_write op;

	put(writer, 0, SLOT);
	ck_assert_int_eq(flush(writer), 0);
	ck_assert(complete());
	ck_assert_int_eq(
		unblocked(slot, false, slot_write_begin(writer, 10, 4, &op)),
		0);
	ck_assert(!complete());
	memcpy(op.bytes, "late", 4);
	ck_assert_int_eq(slot_write_end(&op, 4), 4);
	ck_assert(!complete());
	close_slot(writer);
	assert_true_receipt(slot);
}
END_TEST

/* No receipt while a write is under way, whoever flushes. */
START_TEST(write_under_way_holds_receipt_back)
{
	struct writer *writer = open_slot(true);
	struct slot_write op;

	put(writer, 0, SLOT);
	ck_assert_int_eq(
		unblocked(slot, false, slot_write_begin(writer, 0, 100, &op)),
		0);
	memset(op.bytes, 'x', 50);
	ck_assert_int_eq(flush(writer), 0);
	ck_assert(!complete());
	memset(op.bytes + 50, 'x', 50);
	ck_assert_int_eq(slot_write_end(&op, 100), 100);
	ck_assert_int_eq(slot_flush(writer), SLOT_UNSETTLED);
	ck_assert_int_eq(slot_settle(writer), 0);
	assert_true_receipt(slot);
	slot_release(writer);
}
END_TEST

/* Two writes at once, ending in either order, are summed right. */
START_TEST(parallel_writes_are_summed_right)
{
	struct writer *writer = open_slot(true);
	struct slot_write first, second;

	ck_assert_int_eq(unblocked(slot, false,
				 slot_write_begin(writer, 0, 8192, &first)),
		0);
	ck_assert_int_eq(unblocked(slot, false,
				 slot_write_begin(writer, 4096, 8192, &second)),
		0);
	memcpy(first.bytes, bytes, 8192);
	ck_assert_int_eq(slot_write_end(&first, 8192), 8192);
	memset(second.bytes, 'z', 8192);
	ck_assert_int_eq(slot_write_end(&second, 8192), 8192);
	put(writer, 12288, SLOT - 12288);
	close_slot(writer);
	assert_true_receipt(slot);
}
END_TEST

/* A change while the checksum is read back makes that checksum worthless. */
START_TEST(change_during_sum_gives_no_receipt)
{
	struct writer *writer = open_slot(true);
	uint32_t before;

	put(writer, 4096, SLOT - 4096);
	put(writer, 0, 4096);
	ck_assert_int_eq(slot_flush(writer), SLOT_UNSETTLED);
	before = slot->changes;
	put(writer, 0, 10);
	ck_assert_uint_ne(slot->changes, before);
	close_slot(writer);
	assert_true_receipt(slot);
}
END_TEST

/* Bytes that should have arrived and did not are no longer covered. */
START_TEST(failed_write_uncovers_its_range)
{
	struct writer *writer = open_slot(true);
	struct slot_write op;

	put(writer, 0, SLOT);
	ck_assert_int_eq(unblocked(slot, false,
				 slot_write_begin(writer, 8192, 4096, &op)),
		0);
	memset(op.bytes, 'x', 100);
	ck_assert_int_eq(slot_write_end(&op, -EIO), -EIO);
	close_slot(writer);
	ck_assert(!complete());
	ck_assert_uint_eq(coverage_bytes(&slot->cover), SLOT - 4096);
}
END_TEST

/* A write that was under way when the slot was emptied covers nothing. */
START_TEST(write_across_truncate_covers_nothing)
{
	struct writer *writer = open_slot(true);
	struct slot_write op;

	put(writer, 0, 4096);
	ck_assert_int_eq(unblocked(slot, false,
				 slot_write_begin(writer, 4096, 4096, &op)),
		0);
	ck_assert_int_eq(truncate_slot(writer, 0), 0);
	ck_assert_int_eq(slot_write_end(&op, 4096), 4096);
	ck_assert_uint_eq(coverage_bytes(&slot->cover), 0);
	slot_release(writer);
}
END_TEST

/* A file that was cut behind our back earns no receipt, and has none. */
START_TEST(shrunk_file_has_no_receipts)
{
	struct slot_receipt receipt;
	struct writer *writer;

	fill();
	slot = last;
	writer = open_slot(true);
	ck_assert_int_eq(write_slot(writer, bytes, LAST, 0), LAST);
	ck_assert_int_eq(truncate(file, 4096), 0);
	ck_assert_int_eq(flush(writer), -EIO);
	ck_assert(!complete());
	ck_assert(!slot_receipt(target, target_slot(target, 1), &receipt));
	ck_assert_int_eq(write_slot(writer, bytes, 10, 0), -EIO);
	slot_release(writer);
}
END_TEST

/* ---- overrun ------------------------------------------------------------ */

/* Of a write across the end what fits arrives; no receipt comes of it. */
START_TEST(write_across_end_overruns)
{
	struct writer *writer = open_slot(true);
	char *more = calloc(1, SLOT + 10);

	ck_assert_int_eq(write_slot(writer, more, SLOT + 10, 0), SLOT);
	ck_assert_int_eq(write_slot(writer, more, 1, SLOT), -ENOSPC);
	ck_assert_uint_eq(slot->cover.prefix, SLOT);
	close_slot(writer);
	ck_assert(!complete());
	free(more);
	fill();
	assert_true_receipt(slot);
}
END_TEST

/* A receipt that is there goes when something is refused past the end. */
START_TEST(write_past_end_withdraws_receipt)
{
	struct writer *writer = open_slot(true);

	put(writer, 0, SLOT);
	ck_assert_int_eq(flush(writer), 0);
	ck_assert(complete());
	ck_assert_int_eq(write_slot(writer, bytes, 1, SLOT), -ENOSPC);
	ck_assert(!complete());
	close_slot(writer);
	ck_assert(!complete());
}
END_TEST

/* cp of a sparse file that is too long ends with a truncate past the end. */
START_TEST(truncate_past_end_overruns)
{
	struct writer *writer = open_slot(true);

	put(writer, 0, SLOT);
	ck_assert_int_eq(truncate_slot(writer, SLOT + 1), -ENOSPC);
	close_slot(writer);
	ck_assert(!complete());
}
END_TEST

/* Offsets near the end of what a number holds are past the end, too. */
START_TEST(huge_offset_overruns)
{
	struct writer *writer = open_slot(true);

	ck_assert_int_eq(
		write_slot(writer, bytes, 10, UINT64_MAX - 4), -ENOSPC);
	ck_assert_int_eq(
		slot_fallocate(writer, 0, INT64_MAX, INT64_MAX), -ENOSPC);
	ck_assert(slot->overrun);
	slot_release(writer);
}
END_TEST

/* ---- truncate and fallocate --------------------------------------------- */

/* Truncating down drops what lies beyond, and only that. */
START_TEST(truncate_down_drops_tail)
{
	struct writer *writer = open_slot(true);

	put(writer, 0, SLOT);
	ck_assert_int_eq(truncate_slot(writer, 5000), 0);
	ck_assert_uint_eq(size_now(), 5000);
	ck_assert_uint_eq(coverage_bytes(&slot->cover), 5000);
	put(writer, 5000, SLOT - 5000);
	close_slot(writer);
	assert_true_receipt(slot);
}
END_TEST

/* Truncating up grows the size and covers nothing. */
START_TEST(truncate_up_covers_nothing)
{
	struct writer *writer = open_slot(true);

	ck_assert_int_eq(truncate_slot(writer, SLOT), 0);
	ck_assert_uint_eq(size_now(), SLOT);
	close_slot(writer);
	ck_assert(!complete());
	ck_assert_uint_eq(coverage_bytes(&slot->cover), 0);
}
END_TEST

/* To the size it has: no change, the receipt stays. */
START_TEST(same_size_truncate_keeps_receipt)
{
	struct writer *writer = open_slot(true);

	put(writer, 0, SLOT);
	ck_assert_int_eq(flush(writer), 0);
	ck_assert_int_eq(truncate_slot(writer, SLOT), 0);
	ck_assert(complete());
	close_slot(writer);
}
END_TEST

/* By path a complete slot is as closed as by open. */
START_TEST(path_truncate_of_complete_is_refused)
{
	struct waiter waiter = {.wake = never};

	fill();
	ck_assert_int_eq(slot_truncate(target, slot, NULL, 0, &waiter), -EPERM);
	assert_true_receipt(slot);
}
END_TEST

/* Old bytes do not come back when a slot is emptied and grown again. */
START_TEST(emptied_bytes_read_as_zeros)
{
	struct writer *writer;
	char back[100], zero[100] = {0};

	fill();
	ck_assert_int_eq(slot_revoke(target, slot), 0);
	writer = open_slot(false);
	ck_assert_int_eq(truncate_slot(writer, SLOT), 0);
	ck_assert_int_eq(slot_read_copy(target, slot, back, 100, 500), 100);
	ck_assert_mem_eq(back, zero, 100);
	slot_release(writer);
}
END_TEST

/* Plain fallocate sizes the file and covers nothing. */
START_TEST(fallocate_reserves_only)
{
	struct writer *writer = open_slot(true);

	ck_assert_int_eq(slot_fallocate(writer, 0, 0, 8192), 0);
	ck_assert_uint_eq(size_now(), 8192);
	ck_assert_int_eq(
		slot_fallocate(writer, FALLOC_FL_KEEP_SIZE, 0, SLOT), 0);
	ck_assert_uint_eq(size_now(), 8192);
	ck_assert_uint_eq(coverage_bytes(&slot->cover), 0);
	slot_release(writer);
}
END_TEST

/* Punched holes and zeroed ranges are zeros that have been written. */
START_TEST(punched_holes_cover)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	struct writer *writer = open_slot(true);
	char back[4096], zero[4096] = {0};

	memset(target->base, 'x', SLOT);
	put(writer, 0, 4096);
	ck_assert_int_eq(slot_fallocate(writer, punch, 4096, 4096), 0);
	ck_assert_uint_eq(size_now(), 4096);
	ck_assert_int_eq(
		slot_fallocate(writer, FALLOC_FL_ZERO_RANGE, 8192, SLOT - 8192),
		0);
	close_slot(writer);
	assert_true_receipt(slot);
	ck_assert_int_eq(slot_read_copy(target, slot, back, 4096, 4096), 4096);
	ck_assert_mem_eq(back, zero, 4096);
}
END_TEST

/* What would move bytes is not supported. */
START_TEST(collapse_range_is_refused)
{
	struct writer *writer = open_slot(true);

	ck_assert_int_eq(
		slot_fallocate(writer, FALLOC_FL_COLLAPSE_RANGE, 0, 4096),
		-EOPNOTSUPP);
	slot_release(writer);
}
END_TEST

int main(void)
{
	const TTest *const receipts[] = {
		in_order_fill_earns_receipt,
		any_order_fill_earns_receipt,
		overwritten_bytes_are_summed_as_they_are,
		hole_filled_late_is_summed_right,
		last_slot_completes_at_file_end,
		missing_byte_earns_nothing,
		receipt_names_writer,
		late_write_withdraws_receipt,
		write_under_way_holds_receipt_back,
		parallel_writes_are_summed_right,
		change_during_sum_gives_no_receipt,
		failed_write_uncovers_its_range,
		write_across_truncate_covers_nothing,
		shrunk_file_has_no_receipts,
		NULL,
	};
	const TTest *const sizes[] = {
		write_across_end_overruns,
		write_past_end_withdraws_receipt,
		truncate_past_end_overruns,
		huge_offset_overruns,
		truncate_down_drops_tail,
		truncate_up_covers_nothing,
		same_size_truncate_keeps_receipt,
		path_truncate_of_complete_is_refused,
		emptied_bytes_read_as_zeros,
		fallocate_reserves_only,
		punched_holes_cover,
		collapse_range_is_refused,
		NULL,
	};
	Suite *suite = suite_create("slot");

	add_case(suite, "receipts", receipts);
	add_case(suite, "sizes", sizes);
	return unit_main(suite);
}
