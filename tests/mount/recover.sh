#!/usr/bin/env bash
# recover.sh: ledgers that are lost or damaged, and rmfsctl beside the daemon.
. "$(dirname "$0")/../lib.sh"

# A target with the first two of its four slots complete.
start() {
	random_file "$W/file" 1M
	make_target 1M 256K
	start_rmfs
	for slot in "${S[@]:0:2}"; do
		fill_slot "$slot"
	done
}

fill_slot() {
	range_in "$W/file" "$1" >"$RANGES/$1"
}

# Serve a target whose ledger is as the arguments, a command, leave it.
start_damaged() {
	start
	stop_rmfs
	cp "$SOURCE/big" "$W/before"
	: >"$W/daemon.log"
	"$@"
	rmfs -f "$SOURCE" "$MNT" >>"$W/daemon.log" 2>&1 &
	daemon=$!
	within_seconds grep -q serving "$W/daemon.log"
}

# One line says what is wrong, data can be read, nothing be written; recover
# heals it, and the bytes are what they were.
is_read_only_until_recovered() {
	[ "$(grep -c "big.*for reading only" "$W/daemon.log")" = 1 ] ||
		fail "$(cat "$W/daemon.log")"
	same "$MNT/big/data" "$W/before"
	[ -z "$(ls "$RANGES")" ]
	! : >"$RANGES/${S[0]}" || fail "a slot can be written"
	fails_with "is served at $MNT" rmfsctl recover -S 256K "$SOURCE/big"
	stop_rmfs
	same "$SOURCE/big" "$W/before"
	rmfsctl recover -S 256K "$SOURCE/big"
	same "$SOURCE/big" "$W/before"
	start_rmfs
	for slot in "${S[@]}"; do
		no_receipt "$slot"
		fill_slot "$slot"
		has_receipt "$slot"
	done
	same "$SOURCE/big" "$W/file"
}

# A lost ledger.
test_lost_ledger_is_read_only_until_recovered() {
	start_damaged rm "$SOURCE/big.rmfs"
	is_read_only_until_recovered
}

# One that is cut short.
test_truncated_ledger_is_read_only_until_recovered() {
	start_damaged truncate -s 5000 "$SOURCE/big.rmfs"
	is_read_only_until_recovered
}

# An empty file in its place.
test_emptied_ledger_is_read_only_until_recovered() {
	start_damaged truncate -s 0 "$SOURCE/big.rmfs"
	is_read_only_until_recovered
}

# Noise in the middle of it; without its log, which has a copy of that.
make_noise() {
	rm "$SOURCE/big.rmfs-wal"
	dd if=/dev/urandom of="$SOURCE/big.rmfs" bs=1 seek=8192 count=4096 \
		conv=notrunc status=none
}
test_corrupted_ledger_is_read_only_until_recovered() {
	start_damaged make_noise
	is_read_only_until_recovered
}

# The ledger of another target.
test_foreign_ledger_is_read_only_until_recovered() {
	mkdir -p "$SOURCE"
	rmfsctl create -s 2M -S 256K "$SOURCE/other"
	start_damaged cp "$SOURCE/other.rmfs" "$SOURCE/big.rmfs"
	is_read_only_until_recovered
}

# With --trust-data the bytes are adopted: every slot complete and true.
test_trusted_data_is_complete() {
	start
	stop_rmfs
	cp "$W/file" "$W/before"
	dd if="$W/file" of="$SOURCE/big" conv=notrunc status=none
	rm "$SOURCE/big.rmfs"
	rmfsctl recover --trust-data --slot-size 256K "$SOURCE/big"
	start_rmfs
	for slot in "${S[@]}"; do
		range_in "$W/file" "$slot" >"$W/part"
		complete "$slot" "$W/part"
		[ "$(receipt_value "$slot" command)" = recover ]
	done
	rmfsctl verify --all "$MNT/big"
}

# ---- status and verify beside the daemon ------------------------------------

# status reads the mount, by whichever name; unserved, it reads the ledger.
test_status_finds_the_mount() {
	start
	(cd "$MNT" && rmfsctl status big) >"$W/here"
	for path in "$SOURCE/big" "$MNT/big" "$MNT/big/data" \
		"$RANGES/${S[3]}"; do
		rmfsctl status "$path" >"$W/there"
		diff <(grep -v durable "$W/here") <(grep -v durable "$W/there")
	done
	grep -qx "mount  *$MNT" "$W/here"
	grep -qx "slots_complete  *2" "$W/here"
	rmfsctl status --json "$SOURCE/big" | grep -qx '  "slots_complete": 2,'
	fails_with "which of the targets" rmfsctl status "$MNT"
	stop_rmfs
	rmfsctl status "$SOURCE/big" >"$W/there"
	grep -qx "mount  *none" "$W/there"
	grep -qx "slots_complete  *2" "$W/there"
	grep -qx "slots_durable  *2" "$W/there"
}

# A mount that hides where it comes from cannot be found by the file.
test_status_of_hidden_mount_says_so() {
	make_target 1M 256K
	start_rmfs -o fsname=images
	fails_with "another program has locked it" rmfsctl status "$SOURCE/big"
	rmfsctl status "$MNT/big" | grep -qx "slots  *4"
}

# The mount of a daemon that was killed is none: the ledger has the answer.
test_status_after_kill_reads_the_ledger() {
	start
	kill_rmfs
	fails_with "not connected" rmfsctl status "$MNT/big"
	rmfsctl status "$SOURCE/big" | grep -qx "slots_complete  *2"
	rmfsctl verify "$SOURCE/big"
	start_rmfs
}

# verify reads what the mount shows, and sees a byte changed behind its back.
test_verify_checks_what_is_served() {
	start
	rmfsctl verify "$MNT/big" >"$W/said"
	[ "$(cat "$W/said")" = "big: 2 of 4 slots verified (512 KiB), 2 without\
 a receipt" ] || fail "$(cat "$W/said")"
	status_is 1 rmfsctl verify --all "$SOURCE/big"
	printf '\n' | dd of="$SOURCE/big" bs=1 seek=300000 conv=notrunc \
		status=none
	printf x | dd of="$SOURCE/big" bs=1 seek=300000 conv=notrunc \
		status=none
	status_is 1 rmfsctl verify "$MNT/big" >"$W/said"
	grep -q "^${S[1]}: wrong: " "$W/said"
	grep -q "crc32c $(receipt_value "${S[1]}" crc32c)," "$W/said"
	grep -q "$(range_in "$SOURCE/big" "${S[1]}" | crc32c)$" "$W/said"
	stop_rmfs
	status_is 1 rmfsctl verify "$SOURCE/big" >"$W/again"
	diff <(sed 's/complete/durable/' "$W/said") "$W/again"
}

# Write each slot anew, again and again, until told to stop.
rewrite_all() {
	while ! [ -e "$W/stop" ]; do
		for file in a b; do
			for slot in "${S[@]}"; do
				rm -f "$RECEIPTS/$slot"
				cp "$W/$file" "$RANGES/$slot"
			done
		done
	done
}

# Slots that are emptied and written anew meanwhile are no mistake.
test_verify_beside_writers_finds_no_mistake() {
	serve 64M 8M
	random_file "$W/a" 8M
	random_file "$W/b" 8M
	rewrite_all &
	for _ in {1..60}; do
		rmfsctl verify "$MNT/big" >"$W/said" || fail "$(cat "$W/said")"
	done
	: >"$W/stop"
	wait $!
	rmfsctl verify --all "$MNT/big"
}

# recover leaves a good ledger alone, and one that is served.
test_recover_of_good_ledger_is_refused() {
	start
	fails_with "is served at" rmfsctl recover --force "$SOURCE/big"
	fails_with "is served at" rmfsctl recover --force "$MNT/big"
	stop_rmfs
	fails_with "is good, with 2 receipts" rmfsctl recover "$SOURCE/big"
	start_rmfs
	has_receipt "${S[0]}"
}

run_case "$1"
