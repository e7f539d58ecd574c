#!/usr/bin/env bash
# overrun.sh: what does not fit takes the receipt until the slot is emptied.
. "$(dirname "$0")/../lib.sh"

start() {
	serve 1M 256K
	random_file "$W/part" 256K
	random_file "$W/long" 262145
	s=$RANGES/${S[1]}
}

full_without_receipt() {
	no_receipt "${S[1]}"
	[ "$(stat -c %s "$s")" = 262144 ]
	same "$s" <(head -c 262144 "$W/long")
	others_untouched "${S[1]}"
}

# One byte too many: dd fails, the slot is full, no receipt.
test_too_long_dd_gets_no_receipt() {
	start
	for bs in 512 3000 1M; do
		fails_with "$ENOSPC" dd if="$W/long" of="$s" bs=$bs
		full_without_receipt
	done
}

# One byte too many: cp and cat fail, no receipt.
test_too_long_copies_get_no_receipt() {
	start
	fails_with "$ENOSPC" cp "$W/long" "$s"
	full_without_receipt
	fails_with "$ENOSPC" bash -c 'cat "$1" >"$2"' - "$W/long" "$s"
	full_without_receipt
}

# Rewriting from empty (O_TRUNC) heals.
test_truncating_rewrite_heals() {
	start
	fails_with "$ENOSPC" dd if="$W/long" of="$s" bs=64K
	dd if="$W/part" of="$s" bs=64K status=none
	complete "${S[1]}" "$W/part"
}

# Rewriting over it, without emptying, does not heal.
test_rewrite_in_place_does_not_heal() {
	start
	fails_with "$ENOSPC" dd if="$W/long" of="$s" bs=64K
	dd if="$W/part" of="$s" bs=64K conv=notrunc status=none
	no_receipt "${S[1]}"
	truncate -s 0 "$s"
	[ "$(stat -c %s "$s")" = 0 ]
	dd if="$W/part" of="$s" bs=64K conv=notrunc status=none
	complete "${S[1]}" "$W/part"
}

# A write across the end puts down what fits, no byte of the neighbour's.
test_write_across_the_end_is_short() {
	start
	start_handles
	step 0 a open w "$s"
	step 100 a pwrite 262044 200 x
	step ENOSPC a pwrite 262144 1 x
	step 262144 a put 0 "$W/part"
	step 0 a close
	no_receipt "${S[1]}"
	others_untouched "${S[1]}"
}

# A write that starts past the end is refused and marks the slot too.
test_write_past_the_end_marks_the_slot() {
	start
	start_handles
	step 0 a open w "$s"
	step ENOSPC a pwrite 300000 10 x
	step 262144 a put 0 "$W/part"
	step 0 a close
	no_receipt "${S[1]}"
	others_untouched "${S[1]}"
}

# A complete slot whose open handle overruns loses its receipt.
test_late_overrun_takes_the_receipt() {
	start
	start_handles
	step 0 a open w "$s"
	step 262144 a put 0 "$W/part"
	step 0 a flush
	has_receipt "${S[1]}"
	step ENOSPC a pwrite 262144 1 x
	no_receipt "${S[1]}"
	step 0 a close
	no_receipt "${S[1]}"
	same "$s" "$W/part"
}

# A write of everything and more, in one call, ends at the slot's end.
test_one_huge_write_is_cut() {
	serve 16M 4M
	random_file "$W/long" 6M
	s=$RANGES/${S[1]}
	fails_with "$ENOSPC" dd if="$W/long" of="$s" bs=6M
	no_receipt "${S[1]}"
	same "$s" <(head -c 4M "$W/long")
	others_untouched "${S[1]}"
}

run_case "$1"
