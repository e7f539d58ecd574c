#!/usr/bin/env bash
# crash.sh: what a killed daemon leaves, and how the job goes on.
. "$(dirname "$0")/../lib.sh"

start() {
	serve 4M 512K
	random_file "$W/file" 4M
}

fill_slot() {
	range_in "$W/file" "$1" >"$RANGES/$1"
}

# What was written before a kill -9 is in the target; the job can be finished.
test_job_goes_on_after_kill() {
	start
	for slot in "${S[@]:0:3}"; do
		fill_slot "$slot"
	done
	range_in "$W/file" "${S[3]}" >"$W/part"
	head -c 100000 "$W/part" >"$RANGES/${S[3]}"
	kill_rmfs
	same <(head -c $((3 * 524288 + 100000)) "$W/file") \
		<(head -c $((3 * 524288 + 100000)) "$SOURCE/big")
	start_rmfs
	mapfile -t missing < <(comm -23 <(ls "$RANGES") <(ls "$RECEIPTS"))
	for slot in "${missing[@]}"; do
		fill_slot "$slot"
	done
	[ "$(ls "$RECEIPTS")" = "$(ls "$RANGES")" ]
	same "$SOURCE/big" "$W/file"
}

# A writer at work when the daemon dies gets an error, no silence.
test_writer_is_told() {
	start
	start_handles
	step 0 a open w "$RANGES/${S[0]}"
	step 1000 a pwrite 0 1000 x
	kill_rmfs
	step ENOTCONN a pwrite 1000 1000 x
	step ENOTCONN a fsync
	same <(head -c 1000 "$SOURCE/big") <(head -c 1000 /dev/zero | tr '\0' x)
}

# A dead mount of rmfs is cleared by the next start on it, in the background.
test_dead_mount_is_cleared() {
	start
	kill_rmfs
	mounted
	rmfs "$SOURCE" "$MNT"
	[ "$(grep -c " $MNT fuse" /proc/mounts)" = 1 ]
	fill_slot "${S[0]}"
	has_receipt "${S[0]}"
	fusermount3 -u "$MNT"
	within_seconds not_mounted
}

# Killed in the middle of many writers, again and again, nothing false is left.
test_kill_loop_ends_with_the_right_file() {
	start
	for _ in 1 2 3; do
		scatter "$RANGES" "$W/file" 4 >/dev/null 2>&1 &
		writer=$!
		sleep 0.0$((RANDOM % 9 + 1))
		kill_rmfs
		wait "$writer" || true
		start_rmfs
		mapfile -t whole < <(ls "$RECEIPTS")
		for slot in "${whole[@]}"; do
			range_in "$W/file" "$slot" >"$W/part"
			complete "$slot" "$W/part"
		done
	done
	for slot in $(comm -23 <(ls "$RANGES") <(ls "$RECEIPTS")); do
		fill_slot "$slot"
	done
	same "$SOURCE/big" "$W/file"
}

# After a clean end the slots and the bytes are there again.
test_remount_shows_the_same_slots() {
	start
	names=$(ls "$RANGES")
	fill_slot "${S[2]}"
	stop_rmfs
	start_rmfs
	[ "$(ls "$RANGES")" = "$names" ]
	range_in "$SOURCE/big" "${S[2]}" | cmp - <(range_in "$W/file" "${S[2]}")
}

run_case "$1"
