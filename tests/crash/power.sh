#!/usr/bin/env bash
# power.sh: what power cuts leave, and that the test would notice.
#
# A device records every write and flush while a load runs on it. Then come
# images of what the disk may hold at random moments; rmfs is started on each as
# after a reboot.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/crash.sh"

# Is every receipt on this image true, and none lost that was durable?
image_is_true() {
	mkdir -p "$SOURCE" "$MNT"
	mount -o loop "$1" "$SOURCE"
	start_rmfs
	judge_receipts cut "$DIARY" "$MNT/big" "$SOURCE/big" "$CUT_AT" \
		"$CUT_UNTIL" || fail "image $CUT_IMAGE, entry $CUT_AT"
	tail -n 1 "$W/verdict"
	stop_rmfs
}

power_cuts() {
	need_images "$1" qemu-storage-daemon
	start_recording "$1"
	write_under_recording
	stop_recording
	judge_images "$1" "$2" >"$W/verdicts" 2>"$W/complaints" || {
		cat "$W/verdicts" "$W/complaints"
		fail "$1, seed $SEED"
	}
	note "$1: $(add_up "$W/verdicts" "power cuts")"
}

# After a power cut on ext4 durable receipts are there, and all are true.
test_power_cut_on_ext4_leaves_only_true_receipts() {
	power_cuts ext4 "$EXT4_IMAGES"
}

# And on xfs.
test_power_cut_on_xfs_leaves_only_true_receipts() {
	power_cuts xfs "$XFS_IMAGES"
}

# rmfs with a bug put in on purpose: some image must show it.
catches() {
	need_images ext4 qemu-storage-daemon
	[ -x "${PLANTED:-}/rmfs" ] || skip "no build with planted bugs"
	PATH=$PLANTED:$PATH
	start_recording ext4
	RMFS_BUG=$1 write_under_recording
	stop_recording
	! judge_images ext4 200 >"$W/verdicts" 2>"$W/complaints" ||
		fail "$1 is not caught"
	grep -q '^false: \|^lost: ' "$W/verdicts" || {
		cat "$W/verdicts" "$W/complaints"
		fail "$1: no verdict"
	}
	note "$1: caught by image $(($(grep -c ' lost$' "$W/verdicts") + 1))"
}

# A durable record before the data is synced would be seen.
test_record_before_data_is_caught() {
	catches record-before-data
}

# Data never synced would be seen.
test_missing_data_sync_is_caught() {
	catches no-data-sync
}

# Rewriting a durable slot without a synced revocation would be seen.
test_missing_revocation_is_caught() {
	catches no-durable-revocation
}

# A ledger never synced would be seen.
test_missing_ledger_sync_is_caught() {
	catches nosync-ledger
}

run_case "$@"
