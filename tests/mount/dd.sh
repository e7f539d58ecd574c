#!/usr/bin/env bash
# dd.sh: dd in all its ways fills a slot, and only that one.
. "$(dirname "$0")/../lib.sh"

# Write one slot with the dd options given and hold it against the source.
dd_completes() {
	random_file "$W/part" "$(length_of "${S[1]}")"
	dd if="$W/part" of="$RANGES/${S[1]}" status=none "$@"
	complete "${S[1]}" "$W/part"
	others_untouched "${S[1]}"
}

# dd with nothing said completes a slot.
test_plain_dd_completes() {
	serve 1M 256K
	dd_completes
}

# Blocks that no page divides add up.
test_odd_blocks_complete() {
	serve 1M 256K
	dd_completes bs=3000
}

# Single bytes add up.
test_single_bytes_complete() {
	serve 32K 8K
	dd_completes bs=1
}

# Blocks larger than a FUSE request complete a large slot.
test_huge_blocks_complete() {
	serve 24M 8M
	dd_completes bs=8M
}

# conv=notrunc completes a slot.
test_notrunc_completes() {
	serve 1M 256K
	dd_completes conv=notrunc bs=64K
}

# oflag=append completes a slot.
test_append_completes() {
	serve 1M 256K
	dd_completes oflag=append conv=notrunc bs=10000
}

# oflag=direct completes a slot.
test_direct_completes() {
	serve 1M 256K
	dd_completes oflag=direct bs=64K
}

# oflag=dsync and oflag=sync complete a slot.
test_synchronous_writes_complete() {
	serve 1M 256K
	dd_completes oflag=dsync bs=64K
	rm "$RECEIPTS/${S[1]}"
	dd_completes oflag=sync bs=64K
}

# conv=fsync and conv=fdatasync complete a slot.
test_fsync_completes() {
	serve 1M 256K
	dd_completes conv=fsync
	rm "$RECEIPTS/${S[1]}"
	dd_completes conv=fdatasync
}

# Two halves, the second one first, complete a slot; one half does not.
test_halves_in_reverse_complete() {
	serve 1M 256K
	random_file "$W/part" 256K
	dd if="$W/part" of="$RANGES/${S[1]}" bs=128K skip=1 seek=1 \
		conv=notrunc status=none
	no_receipt "${S[1]}"
	dd if="$W/part" of="$RANGES/${S[1]}" bs=128K count=1 conv=notrunc \
		status=none
	complete "${S[1]}" "$W/part"
	others_untouched "${S[1]}"
}

# dd with seek alone truncates at the seek offset: what is before it stays.
test_seek_keeps_the_front() {
	serve 1M 256K
	random_file "$W/part" 256K
	dd if="$W/part" of="$RANGES/${S[1]}" bs=200K count=1 status=none
	dd if="$W/part" of="$RANGES/${S[1]}" bs=128K skip=1 seek=1 status=none
	complete "${S[1]}" "$W/part"
}

# Pieces that overlap, with the same bytes, complete a slot.
test_overlapping_pieces_complete() {
	serve 1M 256K
	random_file "$W/part" 256K
	for at in 200000 0 50001 100000; do
		no_receipt "${S[1]}"
		dd if="$W/part" of="$RANGES/${S[1]}" bs=4K \
			iflag=skip_bytes,count_bytes oflag=seek_bytes \
			skip=$at seek=$at count=100001 conv=notrunc status=none
	done
	complete "${S[1]}" "$W/part"
}

# All but one byte is no receipt, wherever the byte is missing.
test_one_missing_byte_is_no_receipt() {
	serve 1M 256K
	random_file "$W/part" 256K
	for missing in 0 1 4095 4096 131071 262143; do
		: >"$RANGES/${S[1]}"
		head -c $missing "$W/part" >"$RANGES/${S[1]}"
		dd if="$W/part" of="$RANGES/${S[1]}" bs=64K conv=notrunc \
			iflag=skip_bytes oflag=seek_bytes skip=$((missing + 1)) \
			seek=$((missing + 1)) status=none
		no_receipt "${S[1]}"
	done
	dd if="$W/part" of="$RANGES/${S[1]}" bs=1 skip=262143 seek=262143 \
		conv=notrunc status=none
	complete "${S[1]}" "$W/part"
}

run_case "$1"
