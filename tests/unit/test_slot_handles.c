/* Who may write a slot, and what reading it shows. */
#include "slot_fixture.h"

/* ---- handles ------------------------------------------------------------ */

/* While the first writer has changes that it has not flushed: EBUSY at once. */
START_TEST(second_writer_is_busy)
{
	struct writer *writer = open_slot(false), *second;

	put(writer, 0, 100);
	ck_assert_int_eq(try_open(&bob, false, &second), -EBUSY);
	close_slot(writer);
}
END_TEST

/* O_TRUNC alone is a change. */
START_TEST(second_writer_after_o_trunc_is_busy)
{
	struct writer *writer = open_slot(true), *second;

	ck_assert_int_eq(try_open(&bob, false, &second), -EBUSY);
	slot_release(writer);
}
END_TEST

/* FSYNC is no flush: a writer that syncs now and then keeps its slot. */
START_TEST(settling_does_not_yield)
{
	struct writer *writer = open_slot(false), *second;

	put(writer, 0, 100);
	ck_assert_int_eq(slot_settle(writer), 0);
	ck_assert_int_eq(try_open(&bob, false, &second), -EBUSY);
	slot_release(writer);
}
END_TEST

struct parked {
	struct waiter waiter;
	atomic_int result; /* 99: not yet */
};

static void note(struct waiter *waiter, int err)
{
	struct parked *parked = (struct parked *)waiter;

	/* Sequential consistency: a test waits for nothing else. */
	atomic_store(&parked->result, err);
}

/* After the first writer's flush the second waits for its release. */
START_TEST(flushed_writer_parks_second)
{
	struct writer *writer = open_slot(true), *second = NULL;
	struct parked parked = {{.wake = note}, 99};

	ck_assert_int_eq(flush(writer), 0);
	ck_assert_int_eq(
		slot_open(target, slot, &bob, false, &parked.waiter, &second),
		SLOT_PARKED);
	ck_assert_int_eq(atomic_load(&parked.result), 99);
	slot_release(writer);
	ck_assert_int_eq(atomic_load(&parked.result), 0);
	ck_assert_int_eq(
		slot_open(target, slot, &bob, false, &parked.waiter, &second),
		0);
	slot_release(second);
}
END_TEST

/* And gives up after 200 ms with EBUSY. */
START_TEST(parked_writer_gives_up)
{
	struct writer *writer = open_slot(false), *second;
	struct parked parked = {{.wake = note}, 99};

	ck_assert_int_eq(
		slot_open(target, slot, &bob, false, &parked.waiter, &second),
		SLOT_PARKED);
	while (atomic_load(&parked.result) == 99)
		usleep(1000);
	ck_assert_int_eq(atomic_load(&parked.result), -EBUSY);
	ck_assert_int_eq(
		slot_open(target, slot, &bob, false, &parked.waiter, &second),
		-EBUSY);
	slot_release(writer);
}
END_TEST

/* A complete slot is not opened for writing. */
START_TEST(complete_slot_is_not_opened)
{
	struct writer *writer;
	struct stat st;

	fill();
	ck_assert_int_eq(try_open(&bob, true, &writer), -EPERM);
	slot_stat(target, slot, &st);
	ck_assert_int_eq(st.st_mode, S_IFREG | 0444);
}
END_TEST

/* An open that was blocked, and comes late to take the record back, leaves
 * alone a slot that another has completed or is writing. */
START_TEST(late_unblock_spares_others)
{
	struct writer *writer = open_slot(true), *second;

	put(writer, 0, SLOT);
	ck_assert_int_eq(flush(writer), 0);
	ck_assert_int_eq(slot_unblock(target, slot, NULL, true), 0);
	ck_assert(complete());
	slot_release(writer);
	ck_assert_int_eq(slot_unblock(target, slot, NULL, true), 0);
	ck_assert(complete());
	ck_assert_int_eq(try_open(&bob, true, &second), -EPERM);
	assert_true_receipt(slot);
}
END_TEST

/* Revoking empties the slot and takes it from the handle that is open. */
START_TEST(revoke_displaces_writer)
{
	struct writer *writer = open_slot(true), *second;

	put(writer, 0, SLOT);
	ck_assert_int_eq(flush(writer), 0);
	ck_assert_int_eq(slot_revoke(target, slot), 0);
	ck_assert_int_eq(slot_revoke(target, slot), -ENOENT);
	ck_assert_uint_eq(size_now(), 0);
	ck_assert_int_eq(write_slot(writer, bytes, 10, 0), -EBUSY);
	ck_assert_int_eq(truncate_slot(writer, 0), -EBUSY);
	ck_assert_int_eq(slot_fallocate(writer, 0, 0, 10), -EBUSY);
	second = open_slot(true);
	put(second, 0, SLOT);
	close_slot(writer);
	ck_assert(!complete());
	close_slot(second);
	assert_true_receipt(slot);
	ck_assert_uint_eq(slot->generation, 2);
}
END_TEST

/* Modes, owners and times neither commit nor revoke. */
START_TEST(attributes_change_no_state)
{
	struct slot_attr attr = {
		.set_mode = true,
		.set_uid = true,
		.set_mtime = true,
		.mode = 0600,
		.uid = 77,
		.mtime.tv_sec = 1234,
	};
	struct stat st;

	slot_set_attr(target, slot, &attr);
	slot_stat(target, slot, &st);
	ck_assert_int_eq(st.st_mode, S_IFREG | 0600);
	fill();
	slot_set_attr(target, slot, &attr);
	slot_stat(target, slot, &st);
	ck_assert_int_eq(st.st_mode, S_IFREG | 0444);
	ck_assert_uint_eq(st.st_uid, 77);
	ck_assert_int_eq(st.st_mtim.tv_sec, 1234);
	assert_true_receipt(slot);
}
END_TEST

/* ---- reading ------------------------------------------------------------ */

/* Bytes come back, holes are zeros, nothing beyond the size. */
START_TEST(read_shows_bytes_and_holes)
{
	struct writer *writer = open_slot(true);
	char back[300], want[300] = {0};

	memset(target->base, 'x', SLOT);
	put(writer, 100, 50);
	put(writer, 200, 10);
	memcpy(want + 100, bytes + 100, 50);
	memcpy(want + 200, bytes + 200, 10);
	ck_assert_int_eq(slot_read_copy(target, slot, back, 300, 0), 210);
	ck_assert_mem_eq(back, want, 210);
	ck_assert_int_eq(slot_read_copy(target, slot, back, 300, 210), 0);
	slot_release(writer);
}
END_TEST

/* More runs than one plan can name are still read right. */
START_TEST(read_of_many_runs_is_whole)
{
	struct writer *writer = open_slot(true);
	static char back[8192], want[8192];
	struct slot_read plan;

	memset(target->base, 'x', SLOT);
	for (int at = 1; at < 8192; at += 100) {
		put(writer, (uint64_t)at, 7);
		memcpy(want + at, bytes + at, 7);
	}
	ck_assert_int_eq(slot_read_plan(target, slot, 0, 8192, &plan), -E2BIG);
	ck_assert_int_eq(slot_read_copy(target, slot, back, 8192, 0), 8108);
	ck_assert_mem_eq(back, want, 8108);
	slot_release(writer);
}
END_TEST

/* SEEK_DATA and SEEK_HOLE find the borders. */
START_TEST(seek_finds_data_and_holes)
{
	struct writer *writer = open_slot(true);

	put(writer, 100, 50);
	put(writer, 200, 10);
	ck_assert_int_eq(slot_seek(target, slot, 0, true), 100);
	ck_assert_int_eq(slot_seek(target, slot, 120, true), 120);
	ck_assert_int_eq(slot_seek(target, slot, 120, false), 150);
	ck_assert_int_eq(slot_seek(target, slot, 205, false), 210);
	ck_assert_int_eq(slot_seek(target, slot, 210, false), -ENXIO);
	ck_assert_int_eq(truncate_slot(writer, 1000), 0);
	ck_assert_int_eq(slot_seek(target, slot, 300, true), -ENXIO);
	slot_release(writer);
}
END_TEST

/* The counters of the target follow. */
START_TEST(counters_follow)
{
	struct target_counters *n = &target->counters;
	struct writer *writer = open_slot(true);

	put(writer, 0, 5000);
	put(writer, 0, 5000);
	ck_assert_uint_eq(atomic_load(&n->covered), 5000);
	ck_assert_uint_eq(atomic_load(&n->written), 10000);
	ck_assert_uint_eq(atomic_load(&n->writers), 1);
	put(writer, 5000, SLOT - 5000);
	close_slot(writer);
	ck_assert_uint_eq(atomic_load(&n->complete), 1);
	ck_assert_uint_eq(atomic_load(&n->writers), 0);
	ck_assert_int_eq(slot_revoke(target, slot), 0);
	ck_assert_uint_eq(atomic_load(&n->complete), 0);
	ck_assert_uint_eq(atomic_load(&n->covered), 0);
}
END_TEST

int main(void)
{
	const TTest *const handles[] = {
		second_writer_is_busy,
		second_writer_after_o_trunc_is_busy,
		settling_does_not_yield,
		flushed_writer_parks_second,
		parked_writer_gives_up,
		complete_slot_is_not_opened,
		late_unblock_spares_others,
		revoke_displaces_writer,
		attributes_change_no_state,
		NULL,
	};
	const TTest *const reading[] = {
		read_shows_bytes_and_holes,
		read_of_many_runs_is_whole,
		seek_finds_data_and_holes,
		counters_follow,
		NULL,
	};
	Suite *suite = suite_create("slot_handles");

	add_case(suite, "handles", handles);
	add_case(suite, "reading", reading);
	return unit_main(suite);
}
