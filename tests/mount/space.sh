#!/usr/bin/env bash
# space.sh: sizes, holes, truncation, fallocate, sync.
. "$(dirname "$0")/../lib.sh"

start() {
	serve 1M 256K
	random_file "$W/part" 256K
	s=$RANGES/${S[1]}
}

# A slot's size is the end of its highest byte, its blocks what is covered.
test_size_and_blocks_follow_the_writes() {
	start
	start_handles
	step 0 a open w "$s"
	step 4096 a pwrite 8192 4096 x
	[ "$(stat -c '%s %b' "$s")" = "12288 8" ]
	step 4096 a pwrite 0 4096 x
	[ "$(stat -c '%s %b' "$s")" = "12288 16" ]
	step 4096 a pwrite 0 4096 y
	[ "$(stat -c '%s %b' "$s")" = "12288 16" ]
	step 0 a close
}

# A hole reads as zeros.
test_holes_read_as_zeros() {
	start
	printf abc | dd of="$s" bs=1 seek=100000 conv=notrunc status=none
	same "$s" <(head -c 100000 /dev/zero && printf abc)
	no_receipt "${S[1]}"
}

# Old bytes stay hidden after truncation to 0, wherever the next write goes.
test_old_bytes_stay_hidden() {
	start
	head -c 200000 "$W/part" >"$s"
	truncate -s 0 "$s"
	[ "$(stat -c '%s %b' "$s")" = "0 0" ]
	printf abc | dd of="$s" bs=1 seek=150000 conv=notrunc status=none
	same "$s" <(head -c 150000 /dev/zero && printf abc)
}

# Old bytes stay hidden after a revocation.
test_revoked_bytes_stay_hidden() {
	start
	cp "$W/part" "$s"
	rm "$RECEIPTS/${S[1]}"
	truncate -s 256K "$s"
	same "$s" <(head -c 262144 /dev/zero)
}

# Truncating down drops the coverage behind; writing it again completes.
test_truncating_down_drops_coverage() {
	start
	head -c 262143 "$W/part" >"$s"
	truncate -s 100001 "$s"
	[ "$(stat -c %s "$s")" = 100001 ]
	same "$s" <(head -c 100001 "$W/part")
	tail -c 1 "$W/part" | dd of="$s" bs=1 seek=262143 conv=notrunc \
		status=none
	no_receipt "${S[1]}"
	same "$s" <(head -c 100001 "$W/part" && head -c 162142 /dev/zero &&
		tail -c 1 "$W/part")
	dd if="$W/part" of="$s" bs=1000 iflag=skip_bytes oflag=seek_bytes \
		skip=100001 seek=100001 conv=notrunc status=none
	complete "${S[1]}" "$W/part"
}

# Truncating down through an open handle takes the receipt away.
test_truncating_down_takes_the_receipt() {
	start
	start_handles
	step 0 a open w "$s"
	step 262144 a put 0 "$W/part"
	step 0 a flush
	has_receipt "${S[1]}"
	step 0 a truncate 262143
	no_receipt "${S[1]}"
	step 0 a close
	no_receipt "${S[1]}"
	tail -c 1 "$W/part" >>"$s"
	complete "${S[1]}" "$W/part"
}

# Truncating up makes the slot longer and covers nothing.
test_truncating_up_covers_nothing() {
	start
	truncate -s 256K "$s"
	[ "$(stat -c '%s %b' "$s")" = "262144 0" ]
	no_receipt "${S[1]}"
	dd if="$W/part" of="$s" bs=1 count=1 conv=notrunc status=none
	no_receipt "${S[1]}"
	dd if="$W/part" of="$s" conv=notrunc status=none
	complete "${S[1]}" "$W/part"
}

# Truncating past the end is ENOSPC and changes nothing.
test_truncating_past_the_end_is_enospc() {
	start
	head -c 1000 "$W/part" >"$s"
	fails_with "$ENOSPC" truncate -s 262145 "$s"
	fails_with "$ENOSPC" truncate -s 1T "$s"
	[ "$(stat -c %s "$s")" = 1000 ]
	others_untouched "${S[1]}"
}

# Plain fallocate reserves and covers nothing, with and without --keep-size.
test_fallocate_covers_nothing() {
	start
	fallocate -n -l 256K "$s"
	[ "$(stat -c %s "$s")" = 0 ]
	fallocate -l 256K "$s"
	[ "$(stat -c %s "$s")" = 262144 ]
	no_receipt "${S[1]}"
	dd if="$W/part" of="$s" bs=262143 count=1 conv=notrunc status=none
	no_receipt "${S[1]}"
	dd if="$W/part" of="$s" conv=notrunc status=none
	complete "${S[1]}" "$W/part"
}

# Punched holes and zeroed ranges are zeros that were written: they cover.
test_punching_and_zeroing_cover() {
	start
	head -c 262144 /dev/zero >"$W/zeros"
	fallocate --zero-range -o 0 -l 256K "$s"
	complete "${S[1]}" "$W/zeros"
	s=$RANGES/${S[2]}
	head -c 100000 "$W/part" >"$s"
	truncate -s 256K "$s"
	fallocate --punch-hole -o 100000 -l 162143 "$s"
	no_receipt "${S[2]}"
	fallocate --punch-hole -o 262143 -l 1 "$s"
	complete "${S[2]}" <(head -c 100000 "$W/part" &&
		head -c 162144 /dev/zero)
}

# A late punch through an open handle renews the receipt.
test_late_punch_renews_the_receipt() {
	start
	start_handles
	step 0 a open w "$s"
	step 262144 a put 0 "$W/part"
	step 0 a flush
	step 0 a fallocate 3 0 1000
	no_receipt "${S[1]}"
	step 0 a close
	complete "${S[1]}" <(head -c 1000 /dev/zero &&
		tail -c +1001 "$W/part")
}

# Other modes of fallocate are not supported, and change nothing.
test_other_fallocate_modes_are_refused() {
	start
	head -c 100000 "$W/part" >"$s"
	start_handles
	step 0 a open w "$s"
	# COLLAPSE_RANGE, INSERT_RANGE, UNSHARE_RANGE
	for mode in 8 32 64; do
		step EOPNOTSUPP a fallocate $mode 0 4096
	done
	step 0 a close
	same "$s" <(head -c 100000 "$W/part")
}

# fallocate past the end is ENOSPC in every mode.
test_fallocate_past_the_end_is_enospc() {
	start
	fails_with "$ENOSPC" fallocate -l 262145 "$s"
	fails_with "$ENOSPC" fallocate --zero-range -o 262144 -l 4096 "$s"
	others_untouched "${S[1]}"
}

# A sparse copy leaves holes: not covered, no receipt; without holes there is.
test_sparse_copy_gets_no_receipt() {
	start
	truncate -s 256K "$W/sparse"
	dd if="$W/part" of="$W/sparse" bs=64K count=1 conv=notrunc status=none
	dd if="$W/sparse" of="$s" bs=64K conv=sparse status=none
	no_receipt "${S[1]}"
	same "$s" "$W/sparse"
	cp --sparse=never "$W/sparse" "$s"
	complete "${S[1]}" "$W/sparse"
}

# cp --sparse=always punches its holes, which covers them.
test_punching_copy_completes() {
	start
	truncate -s 256K "$W/sparse"
	dd if="$W/part" of="$W/sparse" bs=64K count=1 conv=notrunc status=none
	cp --sparse=always "$W/sparse" "$s"
	complete "${S[1]}" "$W/sparse"
}

# fsync and fdatasync return 0 on a slot, empty or not, and on data.
test_sync_succeeds() {
	start
	sync "$s"
	head -c 1000 "$W/part" >"$s"
	sync "$s"
	sync -d "$s"
	sync "$MNT/big/data"
	sync -f "$MNT"
	no_receipt "${S[1]}"
}

# Bytes past the written end cannot be read.
test_reading_past_the_end_gives_nothing() {
	start
	head -c 1000 "$W/part" >"$s"
	start_handles
	step 0 a open r "$s"
	step 1000 a size
	step 0 a read 1000 10
	step 0 a read 262144 10
	step 0 a close
}

run_case "$1"
