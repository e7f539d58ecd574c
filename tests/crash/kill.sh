#!/usr/bin/env bash
# kill.sh: what kill -9 of the daemon leaves, again and again.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/crash.sh"

writers=(pwrite mmap late late dd cp curl pwrite)

# Everything that has no receipt is written; then the whole file is durable.
finish_job() {
	start_load -f "${from_nginx[@]}" "$MNT/big" "$SCRATCH" "$DIARY" \
		"${writers[@]}"
	wait "$load"
	[ "$(ls "$RECEIPTS")" = "$(ls "$RANGES")" ]
	! grep -r '^state=complete$' "$RECEIPTS" || fail "not durable"
	judge_receipts kill "$DIARY" "$MNT/big" "$SOURCE/big"
}

# Killed while it starts, too: what it does then must not harm.
start_and_kill() {
	rmfs -f "$SOURCE" "$MNT" >>"$W/daemon.log" 2>&1 &
	daemon=$!
	nap 60
	kill_rmfs
}

# After kill -9 under eight writers no receipt is false, none that was seen is
# lost, and the job can be finished.
test_killed_daemon_leaves_only_true_receipts() {
	local round

	from_nginx=()
	mkdir -p "$SCRATCH"
	if [ -x "${NGINX_DIR:-}/nginx" ]; then
		start_nginx "$SCRATCH"
		from_nginx=(-u "$URL")
	fi
	serve 1M 16K
	for ((round = 1; round <= KILLS; round++)); do
		start_load "${from_nginx[@]}" "$MNT/big" "$SCRATCH" "$DIARY" \
			"${writers[@]}"
		nap 600
		kill_rmfs
		load_ends
		((round % 5)) || start_and_kill
		start_rmfs
		judge_receipts kill "$DIARY" "$MNT/big" "$SOURCE/big" ||
			fail "round $round of seed $SEED"
		tail -n 1 "$W/verdict" >>"$W/verdicts"
		((round % 20)) || finish_job
	done
	finish_job
	note "$(add_up "$W/verdicts" kills)"
	note "$(grep -c ' seen ' "$DIARY") receipts seen before a kill"
}

run_case "$1"
