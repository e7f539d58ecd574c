#!/usr/bin/env bash
# order.sh: what is synced before what, in a trace of whole jobs.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/crash.sh"

# Is the trace $1 as it must be?
in_order() {
	awk -v source="$SOURCE" -f "$TESTS/crash/order.awk" "$1" \
		>"$W/verdict" || {
		cat "$W/verdict"
		return 1
	}
}

seen_durable() {
	[ "$(state_of "$1")" = durable ]
}

# Slots written one after the other, and all at once; some again.
job() {
	local slot

	for slot in "${S[@]:0:3}" "${S[0]}"; do
		rm -f "$RECEIPTS/$slot"
		write_slot "$slot"
		within_seconds seen_durable "$slot"
	done
	for slot in "${S[@]:3}"; do
		write_slot "$slot" conv=fsync &
	done
	wait -n
	for slot in "${S[@]}"; do
		within_seconds seen_durable "$slot"
	done
}

whole_job() {
	need_strace
	mkdir -p "$SOURCE" "$MNT"
	strace -f -y -ttt -o "$W/create" -e trace="$TRACED" \
		rmfsctl create --size 128K --slot-size 16K "$SOURCE/big"
	start_traced -ttt
	job
	stop_rmfs
}

# Every durable receipt comes after its data was synced, then its record; every
# new name before a sync of its folder.
test_durable_receipt_follows_the_syncs() {
	whole_job
	in_order "$W/create"
	note "create: $(cat "$W/verdict")"
	in_order "$W/trace"
	note "job: $(cat "$W/verdict")"
}

# A trace without one of the syncs is found to be wrong.
test_missing_sync_in_a_trace_is_found() {
	local trace lost

	whole_job
	while read -r trace lost; do
		grep -v "$lost" "$W/$trace" >"$W/less"
		! in_order "$W/less" >/dev/null ||
			fail "$trace without $lost seems well"
	done <<-'END'
		create fsync(.*/source>
		trace fdatasync(.*/big>\|msync(
		trace fdatasync(.*/big.rmfs-wal>
		trace pwrite64(.*/big.rmfs-wal>
	END
}

run_case "$@"
