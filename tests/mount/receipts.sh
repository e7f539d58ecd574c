#!/usr/bin/env bash
# receipts.sh: a receipt exists exactly while it is true.
. "$(dirname "$0")/../lib.sh"

start() {
	serve 1M 256K
	random_file "$W/part" 256K
	random_file "$W/other" 256K
	s=$RANGES/${S[1]}
}

# A receipt tells all that is documented.
test_receipt_has_its_lines() {
	start
	before=$(date -u +%Y-%m-%dT%H:%M:%S)
	cp "$W/part" "$s"
	after=$(date -u +%Y-%m-%dT%H:%M:%S)
	complete "${S[1]}" "$W/part"
	for key in target slot offset length crc32c state generation completed \
		uid pid command; do
		[ "$(grep -c "^$key=" "$RECEIPTS/${S[1]}")" = 1 ] ||
			fail "$key: $(cat "$RECEIPTS/${S[1]}")"
	done
	! grep -v '^[a-z0-9]*=.' "$RECEIPTS/${S[1]}" || fail "odd line"
	[ "$(receipt_value "${S[1]}" uid)" = "$(id -u)" ]
	[ "$(receipt_value "${S[1]}" command)" = cp ]
	completed=$(receipt_value "${S[1]}" completed)
	[[ ! $completed < $before && ! ${completed%.*} > $after ]] ||
		fail "$before $completed $after"
}

# The receipt's pid is the writer's.
test_receipt_names_the_writer() {
	start
	dd if="$W/part" of="$s" status=none &
	writer=$!
	wait "$writer"
	[ "$(receipt_value "${S[1]}" pid)" = "$writer" ]
	[ "$(receipt_value "${S[1]}" command)" = dd ]
}

# The checksum is CRC32C by an independent computation, for odd lengths too.
test_checksum_is_crc32c() {
	serve 300001 100000
	for slot in "${S[@]}"; do
		random_file "$W/part" "$(length_of "$slot")"
		cp "$W/part" "$RANGES/$slot"
		complete "$slot" "$W/part"
	done
	head -c 300001 /dev/zero >"$W/zeros"
	for slot in "${S[@]}"; do
		rm "$RECEIPTS/$slot"
		range_in "$W/zeros" "$slot" >"$W/part"
		cat "$W/part" >"$RANGES/$slot"
		complete "$slot" "$W/part"
	done
}

# The checksum is the same whatever order the bytes came in.
test_checksum_ignores_the_order() {
	start
	dd if="$W/part" of="$RANGES/${S[0]}" status=none
	for at in 3 1 0 2; do
		dd if="$W/part" of="$s" bs=64K skip=$at seek=$at count=1 \
			conv=notrunc status=none
	done
	complete "${S[1]}" "$W/part"
	[ "$(receipt_value "${S[0]}" crc32c)" = \
		"$(receipt_value "${S[1]}" crc32c)" ]
}

# Bytes written twice count as they are at the end.
test_checksum_is_of_the_last_bytes() {
	start
	start_handles
	step 0 a open w "$s"
	step 262144 a put 0 "$W/other"
	step 262144 a put 0 "$W/part"
	step 5 a pwrite 1000 5 x
	step 0 a close
	cp "$W/part" "$W/want"
	printf xxxxx | dd of="$W/want" bs=1 seek=1000 conv=notrunc status=none
	complete "${S[1]}" "$W/want"
}

# Before completion there is no such file.
test_incomplete_slot_has_no_receipt() {
	start
	no_receipt "${S[1]}"
	head -c 262143 "$W/part" >"$s"
	no_receipt "${S[1]}"
	no_receipt nonsense
	[ ! -e "$RECEIPTS/${S[1]}" ]
}

# A complete slot may not be opened for writing, by root neither.
test_complete_slot_refuses_writers() {
	start
	cp "$W/part" "$s"
	cp "$RECEIPTS/${S[1]}" "$W/receipt"
	fails_with "$DENIED" cp "$W/other" "$s"
	fails_with "$DENIED" dd if="$W/other" of="$s" conv=notrunc
	fails_with "$DENIED" dd if="$W/other" of="$s" oflag=append
	fails_with "$DENIED" truncate -s 0 "$s"
	cmp "$RECEIPTS/${S[1]}" "$W/receipt"
	complete "${S[1]}" "$W/part"
}

# rm of the receipt revokes: the slot is empty, its old bytes are not seen, and
# it can be written anew with a higher generation.
test_removing_the_receipt_empties_the_slot() {
	start
	cp "$W/part" "$s"
	generation=$(receipt_value "${S[1]}" generation)
	rm "$RECEIPTS/${S[1]}"
	no_receipt "${S[1]}"
	[ "$(stat -c '%s %A' "$s")" = "0 -rw-r--r--" ]
	[ -z "$(cat "$s")" ]
	cp "$W/other" "$s"
	complete "${S[1]}" "$W/other"
	[ "$(receipt_value "${S[1]}" generation)" -gt "$generation" ]
}

# rm of a receipt that is not there says so.
test_removing_no_receipt_is_enoent() {
	start
	fails_with "$ENOENT" rm "$RECEIPTS/${S[1]}"
	head -c 1000 "$W/part" >"$s"
	fails_with "$ENOENT" rm "$RECEIPTS/${S[1]}"
	[ "$(stat -c %s "$s")" = 1000 ]
}

# A handle that was open while its slot was revoked may change nothing.
test_revoked_handle_gets_ebusy() {
	start
	start_handles
	step 0 a open wa "$s"
	step 262144 a write 262144 x
	step 0 a flush
	has_receipt "${S[1]}"
	rm "$RECEIPTS/${S[1]}"
	step EBUSY a write 10 y
	step EBUSY a pwrite 0 10 y
	step EBUSY a truncate 5
	step EBUSY a fallocate 3 0 4096
	[ "$(stat -c %s "$s")" = 0 ]
	step 0 a close
	no_receipt "${S[1]}"
	cp "$W/part" "$s"
	complete "${S[1]}" "$W/part"
}

# A revoked handle's late close harms a new writer's slot in no way.
test_revoked_handle_closes_beside_the_next_writer() {
	start
	start_handles
	step 0 a open w "$s"
	step 262144 a put 0 "$W/part"
	step 0 a flush
	rm "$RECEIPTS/${S[1]}"
	step 0 b open w "$s"
	step 1000 b pwrite 0 1000 y
	step EBUSY a pwrite 0 1000 x
	step 0 a close
	no_receipt "${S[1]}"
	step 262144 b put 0 "$W/other"
	step 0 b close
	complete "${S[1]}" "$W/other"
}

# A late write through an open handle takes the receipt away before it lands;
# at close a new one comes with another checksum.
test_late_write_renews_the_receipt() {
	start
	start_handles
	step 0 a open + "$s"
	step 262144 a put 0 "$W/part"
	step 0 a flush
	complete "${S[1]}" "$W/part"
	crc=$(receipt_value "${S[1]}" crc32c)
	step 1 a pwrite 4711 1 "$(other_byte 4711)"
	no_receipt "${S[1]}"
	[ "$(stat -c %A "$s")" = -rw-r--r-- ]
	step 0 a close
	cp "$s" "$W/now"
	status_is 1 cmp -s "$W/now" "$W/part"
	complete "${S[1]}" "$W/now"
	[ "$(receipt_value "${S[1]}" crc32c)" != "$crc" ]
}

# A letter that is not the byte of part at $1.
other_byte() {
	if dd if="$W/part" bs=1 skip="$1" count=1 status=none | grep -q x; then
		echo y
	else
		echo x
	fi
}

# fsync of a full slot gives the receipt too, before any close.
test_fsync_gives_the_receipt() {
	start
	start_handles
	step 0 a open w "$s"
	step 262144 a put 0 "$W/part"
	no_receipt "${S[1]}"
	step 0 a fsync
	complete "${S[1]}" "$W/part"
	step 0 a close
	complete "${S[1]}" "$W/part"
}

# A receipt being read stays what it was at its opening.
test_open_receipt_does_not_change() {
	start
	cp "$W/part" "$s"
	receipt=$(cat "$RECEIPTS/${S[1]}")
	exec 5<"$RECEIPTS/${S[1]}"
	rm "$RECEIPTS/${S[1]}"
	mapfile -u 5 lines
	exec 5<&-
	[ "$(printf %s "${lines[@]}")" = "$receipt" ]
}

# Completing, revoking and completing again, 200 times, is never misreported.
test_revocation_cycles_are_exact() {
	start
	for ((i = 0; i < 200; i++)); do
		cp "$W/part" "$s"
		[ -e "$RECEIPTS/${S[1]}" ] || fail "round $i: none"
		rm "$RECEIPTS/${S[1]}"
		[ ! -e "$RECEIPTS/${S[1]}" ] || fail "round $i: still there"
		[ ! -s "$s" ] || fail "round $i: still has bytes"
	done
	others_untouched "${S[1]}"
}

run_case "$1"
