#!/usr/bin/env bash
# attributes.sh: modes, owners, times, and what a slot cannot be.
. "$(dirname "$0")/../lib.sh"

start() {
	serve 1M 256K
	random_file "$W/part" 256K
	s=$RANGES/${S[1]}
}

# chmod, touch and chown never commit a slot that is not complete.
test_attributes_never_commit() {
	start
	head -c 262143 "$W/part" >"$s"
	chmod 0444 "$s"
	touch "$s"
	chown "$(id -u):$(id -g)" "$s"
	no_receipt "${S[1]}"
	[ -w "$s" ]
	tail -c 1 "$W/part" >>"$s"
	complete "${S[1]}" "$W/part"
}

# An incomplete slot stays writable for its owner whatever mode is asked for.
test_owner_keeps_the_right_to_write() {
	start
	for mode in 0000 0444 0640 0600; do
		chmod $mode "$s"
		[[ $(stat -c %A "$s") == -?w* ]] || fail "$mode"
	done
}

# On a complete slot they are accepted and the receipt stays, and the mode.
test_attributes_never_revoke() {
	start
	cp "$W/part" "$s"
	cp "$RECEIPTS/${S[1]}" "$W/receipt"
	chmod 0644 "$s"
	chmod u+w "$s"
	touch -d 2001-02-03T04:05:06Z "$s"
	[ "$(stat -c %Y "$s")" = 981173106 ]
	chown "$(id -u):$(id -g)" "$s"
	cmp "$RECEIPTS/${S[1]}" "$W/receipt"
	complete "${S[1]}" "$W/part"
}

# The owner of a slot can be changed by root, and is shown.
test_owner_is_kept() {
	[ "$(id -u)" = 0 ] || skip "only root may give a file away"
	start
	chown 1234:5678 "$s"
	[ "$(stat -c %u:%g "$s")" = 1234:5678 ]
	cp "$W/part" "$s"
	[ "$(stat -c %u:%g "$s")" = 1234:5678 ]
	complete "${S[1]}" "$W/part"
	[ "$(stat -c %u:%g "$RANGES/${S[2]}")" = 0:0 ]
}

# Times that were set stay; a write moves them on.
test_times_are_kept() {
	start
	head -c 1000 "$W/part" >"$s"
	touch -d 2001-02-03T04:05:06.789Z "$s"
	[ "$(stat -c %.3Y "$s")" = 981173106.789 ]
	head -c 1000 "$W/part" >>"$s"
	[ "$(stat -c %Y "$s")" -gt 981173106 ]
}

# Times of the folders can be set: tar restores them.
test_folders_accept_times() {
	start
	touch -d 2001-02-03T04:05:06Z "$RANGES" "$RECEIPTS" "$MNT/big"
}

# symlink, link, mknod and mkfifo are EPERM.
test_other_kinds_of_file_are_eperm() {
	start
	fails_with "$EPERM" ln -s target "$RANGES/symlink"
	fails_with "$EPERM" ln "$s" "$RANGES/link"
	fails_with "$EPERM" mkfifo "$RANGES/fifo"
	[ "$(id -u)" != 0 ] ||
		fails_with "$EPERM" mknod "$RANGES/device" c 1 3
	[ "$(ls "$RANGES" | wc -l)" = 4 ]
}

# Extended attributes are not supported.
test_setfattr_is_eopnotsupp() {
	start
	fails_with "Operation not supported" setfattr -n user.a -v b "$s"
}

# tar unpacks over slots when it may not unlink them first.
test_tar_overwrite_completes() {
	start
	mkdir "$W/archive"
	cp "$W/part" "$W/archive/${S[1]}"
	tar -cf "$W/archive.tar" -C "$W/archive" .
	tar -xf "$W/archive.tar" --overwrite -C "$RANGES"
	complete "${S[1]}" "$W/part"
}

run_case "$1"
