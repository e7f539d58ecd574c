#!/usr/bin/env bash
# parallel.sh: many processes, many slots, no order.
. "$(dirname "$0")/../lib.sh"

# $1 processes scatter a random file over slots of size $3 of a target of $2.
scattered() {
	random_file "$W/file" "$2"
	serve "$2" "$3"
	scatter "$RANGES" "$W/file" "$1"
	[ "$(ls "$RECEIPTS")" = "$(ls "$RANGES")" ]
	same "$SOURCE/big" "$W/file"
	for slot in "${S[@]}"; do
		range_in "$W/file" "$slot" >"$W/part"
		complete "$slot" "$W/part"
	done
}

# 64 slots filled at once by 16 processes in random pieces and order are right.
test_sixteen_processes_fill_64_slots() {
	scattered 16 16M 256K
	[ ${#S[@]} = 64 ]
}

# Slots of an unaligned file, one process each.
test_a_process_per_slot_of_an_odd_file() {
	scattered 31 4000003 128K
	[ ${#S[@]} = 31 ]
}

# A slot of one page is complete whoever comes when.
test_page_sized_slots_fill() {
	scattered 8 256K 4K
	[ ${#S[@]} = 64 ]
}

# Two programs write one name: one wins, the other is told, nothing is mixed.
test_two_writers_of_every_slot_do_not_mix() {
	serve 4M 64K
	head -c 64K /dev/zero | tr '\0' a >"$W/a"
	head -c 64K /dev/zero | tr '\0' b >"$W/b"
	writers=()
	for who in a b; do
		for slot in "${S[@]}"; do
			dd if="$W/$who" of="$RANGES/$slot" bs=1K status=none \
				2>>"$W/errors" || true
		done &
		writers+=($!)
	done
	wait "${writers[@]}"
	! grep -vE "$EBUSY|$EPERM|$DENIED" "$W/errors" || fail "another error"
	for slot in "${S[@]}"; do
		complete "$slot" "$W/$(head -c 1 "$RANGES/$slot")"
	done
}

# The target can be read in full while all of it is being written.
test_data_is_readable_under_load() {
	random_file "$W/file" 8M
	serve 8M 256K
	scatter "$RANGES" "$W/file" 8 &
	writer=$!
	until ended "$writer"; do
		[ "$(wc -c <"$MNT/big/data")" = 8388608 ]
		[ "$(wc -c < <(cat "$MNT/big/data"))" = 8388608 ]
		cat "$RANGES"/* >/dev/null
	done
	wait "$writer"
	same "$MNT/big/data" "$W/file"
}

run_case "$1"
