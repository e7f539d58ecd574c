#!/usr/bin/env bash
# tree.sh: what the mount shows.
. "$(dirname "$0")/../lib.sh"

# A target of 1G in slots of 64M shows the documented tree and names.
test_names_are_as_documented() {
	serve 1G 64M
	for entry in ctl data ranges receipts status; do
		[ -e "$MNT/big/$entry" ] || fail "no $entry"
	done
	[ ${#S[@]} = 16 ]
	[ "${S[0]}" = 0000000000-0067108863 ]
	[ "${S[1]}" = 0067108864-0134217727 ]
	[ "${S[15]}" = 1006632960-1073741823 ]
	[ -z "$(ls "$RECEIPTS")" ]
	[ "$(stat -c %s "$MNT/big/data")" = 1073741824 ]
}

# Creation reserves the whole target on disk.
test_space_is_reserved() {
	serve 8M 1M
	[ "$(stat -c %s "$SOURCE/big")" = 8388608 ]
	[ $(($(stat -c '%b * %B' "$SOURCE/big"))) -ge 8388608 ]
}

# The last slot of a target that is no multiple of the slot size is shorter.
test_last_slot_is_shorter() {
	serve 1000000 256K
	[ ${#S[@]} = 4 ]
	[ "$(first_of "${S[3]}")" = 786432 ]
	[ "$(length_of "${S[3]}")" = 213568 ]
	[ ${#S[3]} = ${#S[0]} ]
	random_file "$W/part" 213568
	dd if="$W/part" of="$RANGES/${S[3]}" status=none
	complete "${S[3]}" "$W/part"
	cmp <(tail -c 213568 "$SOURCE/big") "$W/part"
}

# An empty slot has size 0, no blocks, and may be written by its owner.
test_fresh_slot_is_empty_and_writable() {
	serve 1M 256K
	[ "$(stat -c '%s %b %A' "$RANGES/${S[1]}")" = "0 0 -rw-r--r--" ]
	[ ! -s "$RANGES/${S[1]}" ]
	others_untouched none
}

# status is lines of a key and a value, and follows what is written.
test_status_is_key_value_lines() {
	serve 1M 256K
	! grep -vE '^[a-z0-9_]+ +[^ ]' "$MNT/big/status" || fail "odd line"
	cat "$MNT/big/status" >"$W/before"
	head -c 256K /dev/urandom >"$RANGES/${S[0]}"
	! cmp -s "$W/before" "$MNT/big/status" || fail "status stands still"
}

# data, status and receipts are for reading: writing to them fails.
test_generated_files_refuse_writers() {
	serve 1M 256K
	head -c 256K /dev/urandom >"$RANGES/${S[0]}"
	for file in data status "receipts/${S[0]}"; do
		fails_with "" dd if=/dev/zero of="$MNT/big/$file" bs=1 count=1 \
			conv=notrunc
	done
	fails_with "" touch "$RECEIPTS/${S[1]}"
	no_receipt "${S[1]}"
	has_receipt "${S[0]}"
}

# Several targets of one folder are served side by side.
test_targets_stand_side_by_side() {
	make_target 1M 256K
	rmfsctl create --size 64K --slot-size 16K "$SOURCE/small"
	start_rmfs
	[ "$(ls "$MNT")" = $'big\nsmall' ]
	[ "$(ls "$MNT/small/ranges" | wc -l)" = 4 ]
	slot=$(ls "$MNT/small/ranges" | head -n 1)
	head -c 16K /dev/urandom >"$MNT/small/ranges/$slot"
	[ -e "$MNT/small/receipts/$slot" ]
	others_untouched none
}

# df sees the space of the folder of the targets.
test_statfs_answers() {
	serve 1M 256K
	[ "$(stat -f -c %b "$MNT")" -gt 0 ]
	df "$RANGES/${S[0]}" >/dev/null
}

run_case "$1"
