#!/usr/bin/env bash
# syncs.sh: a sync that fails is final for what it covered.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/crash.sh"

injected() {
	grep -c INJECTED "$W/trace" || true
}

# Write a slot and wait for what becomes of it: durable, or no receipt that
# lasts. A slot hit by the failure must never be durable.
settle() {
	local slot=$1 before now state try none=0

	before=$(injected)
	if [ -n "$(state_of "$slot")" ]; then
		forget "$slot" 2>/dev/null || return 0
	fi
	write_slot "$@" 2>/dev/null || true
	for ((try = 0; try < 100 && none < 12; try++)); do
		state=$(state_of "$slot")
		[ "$state" != durable ] || break
		[ -n "$state" ] || none=$((none + 1))
		sleep 0.05
	done
	now=$(injected)
	if [ "$now" != "$before" ]; then
		[ "$state" != durable ] || fail "$slot is durable"
		hit+=("$slot")
	elif [ "$now" = 0 ]; then
		[ "$state" = durable ] || fail "$slot is not durable: $state"
	fi
	see "$slot"
}

# One job: slots, one of them with fsync, one of them twice.
job() {
	settle "${S[0]}"
	settle "${S[1]}" conv=fsync
	settle "${S[0]}"
	settle "${S[2]}"
	settle "${S[3]}" conv=fsync
}

# What was hit stays without a durable receipt, whatever succeeded since.
hit_stays_hit() {
	local slot

	for slot in "${hit[@]}"; do
		[ "$slot" != "${S[0]}" ] || continue # was written again
		[ "$(state_of "$slot")" != durable ] ||
			fail "$slot became durable"
	done
}

all_durable() {
	local durable

	durable=$(grep -rl '^state=durable$' "$RECEIPTS" | wc -l)
	[ "$durable" = ${#S[@]} ]
}

# After reopening, what is missing is written again, and all is well.
heal() {
	local slot

	start_rmfs
	judge_receipts kill "$DIARY" "$MNT/big" "$SOURCE/big"
	for slot in "${S[@]}"; do
		[ -n "$(state_of "$slot")" ] || write_slot "$slot"
	done
	within_seconds all_durable
	judge_receipts kill "$DIARY" "$MNT/big" "$SOURCE/big"
	stop_rmfs
}

# The N-th sync of a thread fails, for every N; $1 is the system call.
fail_each() {
	local n total=0 names

	need_strace
	for ((n = 1; ; n++)); do
		rm -rf "$SOURCE"
		: >"$DIARY"
		make_target 64K 16K >/dev/null
		names=("${S[@]}")
		hit=()
		if start_traced -e inject="$1:error=EIO:when=$n"; then
			job
			sleep 0.3
			hit_stays_hit
		fi
		end_traced
		[ "$(injected)" != 0 ] || break
		total=$((total + 1))
		S=("${names[@]}")
		heal
	done
	[ $total -gt 0 ] || fail "$1 is never called"
	note "$1: $total places, each failed once"
}

# Whichever fdatasync fails, of the data or of the ledger's log.
test_failed_fdatasync_is_final() {
	fail_each fdatasync
}

# A slot's own sync.
test_failed_msync_is_final() {
	fail_each msync
}

# Syncs of folders and of new files.
test_failed_fsync_is_final() {
	fail_each fsync
}

# ---- a device that goes bad -------------------------------------------------

# A filesystem on a device that fails every write while $W/bad exists.
start_weak_device() {
	mkdir -p "$SOURCE"
	: >"$W/device"
	nbdfuse "$W/device" --command nbdkit -s --exit-with-parent \
		--filter=error memory 64M error-pwrite=EIO \
		error-pwrite-rate=100% error-pwrite-file="$W/bad" &
	servers+=($!)
	disown
	within_seconds mountpoint -q "$W/device"
	loops+=("$(losetup --show -f --direct-io=off "$W/device")")
	mkfs.ext4 -q -E nodiscard "${loops[0]}"
	mount -o commit=60,errors=continue "${loops[0]}" "$SOURCE"
}

# Is the hit slot's receipt gone?
gone() {
	[ -z "$(state_of "$1")" ]
}

seen_durable() {
	[ "$(state_of "$1")" = durable ]
}

fill_all() {
	local slot

	for slot in "${S[@]}"; do
		[ -n "$(state_of "$slot")" ] || write_slot "$slot"
	done
	within_seconds all_durable
	for slot in "${S[@]}"; do
		see "$slot"
	done
}

# The power fails for good, and comes back.
cut_power() {
	umount "$SOURCE"
	mount "${loops[0]}" "$SOURCE"
	export RMFS_BOOT_ID=after
	start_rmfs
	judge_receipts cut "$DIARY" "$MNT/big" "$SOURCE/big" 0 1
}

# Bytes that the device refused are never durable, though later syncs succeed;
# written again they are, and that is true.
test_refused_bytes_are_never_durable() {
	need_images ext4 nbdkit nbdfuse
	start_weak_device
	serve 128K 16K
	write_slot "${S[0]}"
	within_seconds seen_durable "${S[0]}"
	see "${S[0]}"
	write_slot "${S[1]}"
	touch "$W/bad"
	within_seconds gone "${S[1]}"
	rm "$W/bad"
	# The second sync knows nothing of the first one's failure.
	sync -f "$SOURCE" 2>/dev/null || sync -f "$SOURCE"
	sleep 0.5
	gone "${S[1]}" || fail "durable after all"
	write_slot "${S[1]}"
	write_slot "${S[2]}"
	within_seconds seen_durable "${S[1]}"
	within_seconds seen_durable "${S[2]}"
	see "${S[1]}"
	see "${S[2]}"
	kill_rmfs
	cut_power
	fill_all
	stop_rmfs
	cut_power
	stop_rmfs
}

# Linux forgets that a page's blocks were never written, and writes into the
# void while the page stays in its cache (seen on ext4): whoever opens the
# target again must not build on it.
test_refused_bytes_are_healed_by_reopening() {
	need_images ext4 nbdkit nbdfuse
	start_weak_device
	serve 128K 16K
	write_slot "${S[1]}"
	touch "$W/bad"
	within_seconds gone "${S[1]}"
	rm "$W/bad"
	stop_rmfs
	start_rmfs
	fill_all
	stop_rmfs
	cut_power
	stop_rmfs
}

# A device that refuses everything from some moment on: nothing written since is
# durable, all that was durable before is.
test_dead_device_loses_nothing_durable() {
	need_images ext4 nbdkit nbdfuse
	start_weak_device
	serve 128K 16K
	fill_all
	forget "${S[1]}"
	forget "${S[2]}"
	touch "$W/bad"
	write_slot "${S[1]}" 2>/dev/null || true
	write_slot "${S[2]}" conv=fsync 2>/dev/null || true
	sleep 1
	! seen_durable "${S[1]}" || fail "${S[1]} is durable"
	! seen_durable "${S[2]}" || fail "${S[2]} is durable"
	kill_rmfs
	rm "$W/bad"
	cut_power
	fill_all
	stop_rmfs
	cut_power
	stop_rmfs
}

run_case "$@"
