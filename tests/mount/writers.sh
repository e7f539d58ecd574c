#!/usr/bin/env bash
# writers.sh: who may write a slot when another does, and what the dead leave.
. "$(dirname "$0")/../lib.sh"

start() {
	serve 1M 256K
	random_file "$W/part" 256K
	random_file "$W/other" 256K
	s=$RANGES/${S[1]}
}

# Milliseconds since some time ago.
now() {
	echo $((${EPOCHREALTIME/./} / 1000))
}

# A command fails with EBUSY, and without waiting for the slot: on a machine
# that is busy itself, at least once in ten times.
busy_at_once() {
	local try began ms

	for ((try = 0; try < 10; try++)); do
		began=$(now)
		fails_with "$EBUSY" "$@"
		ms=$(($(now) - began))
		[ $ms -ge 150 ] || return 0
	done
	fail "EBUSY after $ms ms: $*"
}

# While the first writer has unflushed changes the second gets EBUSY at once.
test_second_writer_gets_ebusy_at_once() {
	start
	start_handles
	step 0 a open w "$s"
	step 262143 a pwrite 0 262143 x
	for options in conv=notrunc bs=64K oflag=append; do
		busy_at_once dd if="$W/other" of="$s" $options
	done
	step 1 a pwrite 262143 1 x
	step 0 a close
	complete "${S[1]}" <(head -c 262144 /dev/zero | tr '\0' x)
}

# A truncation is a change as a write is.
test_truncation_counts_as_a_change() {
	start
	start_handles
	step 0 a open w "$s"
	step 0 a truncate 1000
	busy_at_once dd if="$W/other" of="$s"
	step 0 a close
	step 0 a open wt "$s"
	busy_at_once dd if="$W/other" of="$s"
}

# fsync is not a flush: its caller keeps the slot.
test_fsync_does_not_give_the_slot_away() {
	start
	start_handles
	step 0 a open w "$s"
	step 1000 a pwrite 0 1000 x
	step 0 a fsync
	busy_at_once dd if="$W/other" of="$s"
	step 262144 a put 0 "$W/part"
	step 0 a close
	complete "${S[1]}" "$W/part"
}

# When the first has flushed and stays, the second waits 200 ms, then EBUSY.
test_second_writer_waits_for_an_idle_one() {
	start
	start_handles
	step 0 a open w "$s"
	step 1000 a pwrite 0 1000 x
	step 0 a flush
	began=$(now)
	fails_with "$EBUSY" dd if="$W/other" of="$s"
	ms=$(($(now) - began))
	[[ $ms -ge 200 && $ms -lt 3000 ]] || fail "EBUSY after $ms ms"
	step 262144 a put 0 "$W/part"
	step 0 a close
	complete "${S[1]}" "$W/part"
}

# A waiting writer gets the slot as soon as the idle one has closed it.
test_waiting_writer_gets_the_slot_at_close() {
	start
	start_handles
	for ((rounds = 0; rounds < 5; )); do
		step 0 a open wt "$s"
		step 1000 a pwrite 0 1000 x
		step 0 a flush
		began=$(now)
		dd if="$W/part" of="$s" status=none &
		second=$!
		sleep 0.05
		step 0 a close
		if wait "$second"; then
			complete "${S[1]}" "$W/part"
			rm "$RECEIPTS/${S[1]}"
			rounds=$((rounds + 1))
		elif [ $(($(now) - began)) -lt 200 ]; then
			fail "EBUSY though the slot was closed"
		fi
	done
}

# Several waiting writers: one gets the slot, the others an error; the slot is
# one writer's alone.
test_waiting_writers_do_not_mix() {
	start
	start_handles
	step 0 a open w "$s"
	step 1000 a pwrite 0 1000 x
	step 0 a flush
	for i in 1 2 3 4; do
		head -c 262144 /dev/zero | tr '\0' "$i" >"$W/part$i"
		dd if="$W/part$i" of="$s" bs=4K status=none 2>"$W/error$i" &
		writers[i]=$!
	done
	sleep 0.05
	step 0 a close
	for i in 1 2 3 4; do
		wait "${writers[i]}" ||
			grep -qE "$EBUSY|$EPERM|$DENIED" "$W/error$i" ||
			fail "$(cat "$W/error$i")"
	done
	same "$s" "$W/part$(head -c 1 "$s")"
	complete "${S[1]}" "$W/part$(head -c 1 "$s")"
}

# A second writer's O_TRUNC does not harm the bytes of the first.
test_refused_truncation_harms_nothing() {
	start
	start_handles
	step 0 a open w "$s"
	step 262144 a put 0 "$W/part"
	fails_with "$EBUSY" dd if="$W/other" of="$s"
	fails_with "$EBUSY" truncate -s 0 "$s"
	fails_with "$EBUSY" fallocate -p -o 0 -l 4096 "$s"
	step 0 a close
	complete "${S[1]}" "$W/part"
}

# `: > s; dd of=s; dd of=s` never meets its own predecessor (RELEASE is late).
test_rewriting_a_thousand_times_is_never_busy() {
	serve 64K 16K
	random_file "$W/part" 16K
	head -c 16383 "$W/part" >"$W/short"
	s=$RANGES/${S[1]}
	for ((i = 0; i < 1000; i++)); do
		: >"$s"
		dd if="$W/short" of="$s" bs=16K status=none
		dd if="$W/part" of="$s" bs=16K status=none
		rm "$RECEIPTS/${S[1]}" || fail "round $i"
	done
	cp "$W/part" "$s"
	complete "${S[1]}" "$W/part"
}

# Slots next to each other have their writers at the same time.
test_writers_of_different_slots_do_not_meet() {
	start
	start_handles
	for i in 0 1 2 3; do
		letter=$(printf %s abcd | cut -c $((i + 1)))
		step 0 "$letter" open w "$RANGES/${S[i]}"
		step 1000 "$letter" pwrite 0 1000 x
	done
	for letter in a b c d; do
		step 262144 "$letter" put 0 "$W/part"
		step 0 "$letter" close
	done
	for slot in "${S[@]}"; do
		complete "$slot" "$W/part"
	done
}

# A writer killed half-way leaves no receipt, its bytes, and a free slot.
test_killed_writer_leaves_no_receipt() {
	start
	mkfifo "$W/pipe"
	for ((i = 0; i < 20; i++)); do
		dd if="$W/pipe" of="$s" bs=4K status=none &
		writer=$!
		exec 4>"$W/pipe"
		head -c 128K "$W/part" >&4
		within_seconds size_is 131072
		kill -9 "$writer"
		exec 4>&-
		status_is 137 wait "$writer"
		no_receipt "${S[1]}"
		same "$s" <(head -c 128K "$W/part")
		cp "$W/other" "$s"
		complete "${S[1]}" "$W/other"
		rm "$RECEIPTS/${S[1]}"
	done
}

size_is() {
	[ "$(stat -c %s "$s")" = "$1" ]
}

# While it is killed a writer still holds the slot: EBUSY, not a mixture.
test_living_writer_keeps_the_slot() {
	start
	mkfifo "$W/pipe"
	dd if="$W/pipe" of="$s" bs=4K status=none &
	writer=$!
	exec 4>"$W/pipe"
	head -c 128K "$W/part" >&4
	within_seconds size_is 131072
	fails_with "$EBUSY" cp "$W/other" "$s"
	tail -c 128K "$W/part" >&4
	exec 4>&-
	wait "$writer"
	complete "${S[1]}" "$W/part"
}

# What a writer has written can be read while it goes on.
test_bytes_are_readable_while_filling() {
	start
	start_handles
	step 0 a open w "$s"
	for at in 0 1 2 3; do
		dd if="$W/part" of="$W/piece" bs=64K skip=$at count=1 status=none
		step 65536 a put $((at * 65536)) "$W/piece"
		same "$s" <(head -c $(((at + 1) * 65536)) "$W/part")
		cmp -n $(((at + 1) * 65536)) \
			<(range_in "$MNT/big/data" "${S[1]}") "$W/part"
	done
	step 0 a close
	complete "${S[1]}" "$W/part"
}

# An open reader sees what a writer adds later.
test_open_reader_follows_the_writer() {
	start
	exec 5<"$s"
	cp "$W/part" "$s"
	[ "$(sum <&5)" = "$(sum <"$W/part")" ]
	exec 5<&-
}

# A child's exit flushes a shared handle: the parent goes on writing.
test_shared_handle_survives_a_child() {
	start
	{
		(head -c 128K "$W/part")
		no_receipt "${S[1]}"
		(tail -c 128K "$W/part")
		has_receipt "${S[1]}"
	} >"$s"
	complete "${S[1]}" "$W/part"
}

run_case "$1"
