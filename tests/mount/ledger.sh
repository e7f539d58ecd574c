#!/usr/bin/env bash
# ledger.sh: what the next daemon knows of what the last one saw.
. "$(dirname "$0")/../lib.sh"

start() {
	random_file "$W/file" 1M
	make_target 1M 256K
	start_rmfs "$@"
}

fill_slot() {
	range_in "$W/file" "$1" >"$RANGES/$1"
}

# Everything about the slots that a user can see.
appearance() {
	local slot

	for slot in "${S[@]}"; do
		stat -c '%n %s %b %A %u %g %Y' "$RANGES/$slot"
		sum <"$RANGES/$slot"
		cat "$RECEIPTS/$slot" 2>/dev/null || echo none
	done
}

is_durable() {
	[ "$(receipt_value "$1" state)" = durable ]
}

status_value() {
	sed -n "s/^$1 //p" "$MNT/big/status"
}

# A slot that is full, one with a hole, one that is overrun, one untouched; of
# other modes, times and, if that may be, owners.
make_differences() {
	fill_slot "${S[0]}"
	range_in "$W/file" "${S[1]}" >"$W/part"
	head -c 1000 "$W/part" >"$RANGES/${S[1]}"
	dd if="$W/part" of="$RANGES/${S[1]}" bs=1000 seek=100 skip=100 count=1 \
		conv=notrunc status=none
	fails_with "$ENOSPC" cp "$W/file" "$RANGES/${S[2]}"
	chmod 600 "$RANGES/${S[1]}"
	chmod 660 "$RANGES/${S[3]}"
	touch -d 2001-02-03 "$RANGES"/*
	[ "$(id -u)" != 0 ] || chown 12:34 "$RANGES/${S[0]}" "$RANGES/${S[3]}"
	within_seconds is_durable "${S[0]}"
}

# A remount shows the same slots, owners, coverage and receipts.
test_remount_shows_the_same() {
	start
	make_differences
	appearance >"$W/before"
	stop_rmfs
	start_rmfs
	appearance | diff "$W/before" -
	[ "$(status_value slots_complete)" = 1 ]
	[ "$(status_value slots_durable)" = 1 ]
	[ "$(status_value slots_overrun)" = 1 ]
}

# So does a start after kill -9: all of that was recorded when it was closed.
test_start_after_kill_shows_the_same() {
	start
	make_differences
	appearance >"$W/before"
	kill_rmfs
	start_rmfs
	appearance | diff "$W/before" -
}

# What the mark of an overrun and the holes mean is still so after a remount.
test_remount_remembers_what_is_missing() {
	start
	make_differences
	stop_rmfs
	start_rmfs
	dd if="$W/part" of="$RANGES/${S[1]}" bs=1000 count=100 conv=notrunc \
		status=none
	no_receipt "${S[1]}"
	dd if="$W/part" of="$RANGES/${S[1]}" bs=1000 seek=101 skip=101 \
		conv=notrunc status=none
	complete "${S[1]}" "$W/part"
	range_in "$W/file" "${S[2]}" | dd of="$RANGES/${S[2]}" conv=notrunc \
		status=none
	no_receipt "${S[2]}"
	fill_slot "${S[2]}"
	has_receipt "${S[2]}"
}

# A revoked receipt stays revoked, and the slot empty.
test_revoked_receipt_stays_away() {
	start
	fill_slot "${S[0]}"
	fill_slot "${S[1]}"
	within_seconds is_durable "${S[0]}"
	rm "$RECEIPTS/${S[0]}" "$RECEIPTS/${S[1]}"
	kill_rmfs
	start_rmfs
	for slot in "${S[0]}" "${S[1]}"; do
		no_receipt "$slot"
		[ "$(stat -c '%s %b' "$RANGES/$slot")" = "0 0" ]
	done
}

# The generation goes on: an old receipt cannot be taken for a new one.
test_generation_grows_over_remounts() {
	start
	fill_slot "${S[0]}"
	first=$(receipt_value "${S[0]}" generation)
	rm "$RECEIPTS/${S[0]}"
	stop_rmfs
	start_rmfs
	fill_slot "${S[0]}"
	[ "$(receipt_value "${S[0]}" generation)" -gt "$first" ]
}

# ---- complete and durable ---------------------------------------------------

# A receipt becomes durable by itself, also one that was given before kill -9.
test_receipts_become_durable() {
	start
	fill_slot "${S[0]}"
	within_seconds is_durable "${S[0]}"
	fill_slot "${S[1]}"
	kill_rmfs
	start_rmfs
	has_receipt "${S[1]}"
	within_seconds is_durable "${S[1]}"
	[ "$(status_value slots_durable)" = 2 ]
}

# With durability=strict every receipt is durable when close returns.
test_strict_receipts_are_durable_at_once() {
	start -o durability=strict
	for slot in "${S[@]}"; do
		fill_slot "$slot"
		is_durable "$slot"
	done
	stop_rmfs
	printf '[mount]\ndurability = strict\n' >"$W/rmfs.conf"
	start_rmfs -c "$W/rmfs.conf"
	rm "$RECEIPTS/${S[0]}"
	cp "$RANGES/${S[1]}" "$RANGES/${S[0]}"
	is_durable "${S[0]}"
}

# An fsync that finds the slot whole makes its receipt durable by the close.
test_fsync_makes_the_receipt_durable() {
	start
	for slot in "${S[@]}"; do
		range_in "$W/file" "$slot" |
			dd of="$RANGES/$slot" bs=64K conv=fsync status=none
		is_durable "$slot"
	done
}

# ---- resuming a download ----------------------------------------------------

# Serve $W/file by HTTP and, as one slot, a target of its size.
start_download() {
	random_file "$W/file" 4M
	mkdir "$W/www"
	mv "$W/file" "$W/www/file"
	start_nginx "$W/www"
	make_target 4M 4M
	start_rmfs
}

# curl -C - asks only for what is missing: SIZE bytes are there already.
continue_download() {
	local got

	[ "$(stat -c %s "$RANGES/${S[0]}")" = "$1" ]
	got=$(curl -sSf -C - -o "$RANGES/${S[0]}" -w '%{size_download}' \
		"$URL/file")
	[ "$got" = $((4194304 - $1)) ] || fail "$got bytes were sent"
	complete "${S[0]}" "$W/www/file"
}

# A half-written slot is continued after a remount.
test_curl_continues_after_remount() {
	start_download
	head -c 1500001 "$W/www/file" >"$RANGES/${S[0]}"
	stop_rmfs
	start_rmfs
	continue_download 1500001
}

# It is after kill -9 of the daemon, too.
test_curl_continues_after_kill() {
	start_download
	head -c 1500001 "$W/www/file" >"$RANGES/${S[0]}"
	kill_rmfs
	start_rmfs
	continue_download 1500001
}

# And when curl was killed first, in the middle of its work.
test_killed_curl_continues_after_kill() {
	start_download
	curl -sSf -o "$RANGES/${S[0]}" "$URL/slow/file" &
	within_seconds test -s "$RANGES/${S[0]}"
	kill -9 $!
	wait $! || true
	# Its last close is the kernel's, a moment later.
	within_seconds grep -qx "slots_open 0" "$MNT/big/status"
	size=$(stat -c %s "$RANGES/${S[0]}")
	kill_rmfs
	start_rmfs
	continue_download "$size"
}

run_case "$1"
