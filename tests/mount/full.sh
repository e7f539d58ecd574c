#!/usr/bin/env bash
# full.sh: a disk that fills up after creation still takes every receipt.
. "$(dirname "$0")/../lib.sh"

# Mount a new filesystem of that type at $SOURCE, from an image of 300 MiB.
make_disk() {
	[ "$(id -u)" = 0 ] || skip "only root may mount an image"
	command -v "mkfs.$1" >/dev/null || skip "no mkfs.$1"
	mkdir -p "$SOURCE" "$MNT"
	truncate -s 300M "$W/image"
	"mkfs.$1" -q "$W/image"
	mount -o loop "$W/image" "$SOURCE" 2>"$W/said" ||
		skip "no $1 can be mounted here: $(cat "$W/said")"
}

tear_down() {
	! mountpoint -q "$SOURCE" || umount "$SOURCE"
}

# Leave not a block free, for root neither.
fill_disk() {
	local size

	for size in 1M 4K 1; do
		! dd if=/dev/zero of="$SOURCE/.filler" bs="$size" \
			oflag=append conv=notrunc,fsync status=none \
			2>"$W/said" || fail "the disk is endless"
		grep -q "$ENOSPC" "$W/said" || fail "$(cat "$W/said")"
	done
	fails_with "$ENOSPC" dd if=/dev/zero of="$SOURCE/.more" bs=4K count=1 \
		status=none
}

# Every slot is written by four writers at once, two rounds, and each receipt
# appears, becomes durable, and is there again after a remount.
take_all_receipts() {
	local slot

	for _ in 1 2; do
		random_file "$W/file" 32M
		for slot in "${S[@]}"; do
			rm -f "$RECEIPTS/$slot"
		done
		printf '%s\n' "${S[@]}" |
			FILE=$W/file RANGES=$RANGES xargs -P4 -I{} bash -c '
			name={}
			first=$((10#${name%-*}))
			dd if="$FILE" of="$RANGES/$name" bs=64K count=1 \
				skip=$((first / 65536)) status=none'
		[ "$(ls "$RECEIPTS")" = "$(ls "$RANGES")" ]
		within_seconds all_durable
	done
	stop_rmfs
	same "$SOURCE/big" "$W/file"
	rmfsctl verify --all "$SOURCE/big"
	start_rmfs
	[ "$(ls "$RECEIPTS")" = "$(ls "$RANGES")" ]
	all_durable
	! grep -v "serving\|ended" "$W/daemon.log" ||
		fail "$(cat "$W/daemon.log")"
	stop_rmfs
}

all_durable() {
	grep -qx "slots_durable ${#S[@]}" "$MNT/big/status"
}

# 512 slots on a full ext4.
test_full_ext4_takes_every_receipt() {
	make_disk ext4
	make_target 32M 64K
	fill_disk
	start_rmfs
	take_all_receipts
}

# The same on xfs.
test_full_xfs_takes_every_receipt() {
	make_disk xfs
	make_target 32M 64K
	fill_disk
	start_rmfs
	take_all_receipts
}

# A disk that fills up while the daemon runs makes no difference.
test_filling_up_while_served_takes_every_receipt() {
	make_disk ext4
	make_target 32M 64K
	start_rmfs
	fill_disk
	take_all_receipts
}

run_case "$1"
