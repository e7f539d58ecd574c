#!/usr/bin/env bash
# receipts.sh DIR: how fast receipts are given and recorded, and what a ledger
# costs. The kinds take turns; medians of ROUNDS (5). Works in a folder below DIR.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
O=${O:-$here/build}
PATH=$O:$O/tests/bench:$PATH
ROUNDS=${ROUNDS:-5}
W=$(mktemp -d "${1:-$O}/receipts.XXXXXX")
mkdir "$W/source" "$W/mnt"

clean_up() {
	! mountpoint -q "$W/mnt" || umount "$W/mnt"
	[ -z "${daemon:-}" ] || wait "$daemon" || true
	rm -rf "$W"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

start() { # OPTIONS...
	rmfs -f "$@" "$W/source" "$W/mnt" 2>"$W/log" &
	daemon=$!
	until grep -q serving "$W/log"; do sleep 0.01; done
}

stop() {
	umount "$W/mnt"
	wait "$daemon"
	daemon=''
}

median() { # of the numbers on standard input
	sort -g | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'
}

fill() { # NAME SIZE SLOT_SIZE DURABILITY
	rm -f "$W"/source/*
	rmfsctl create --size "$2" --slot-size "$3" "$W/source/t" >/dev/null
	start -o "durability=$4"
	receipts "$W/mnt/t" 8 >>"$W/$1"
	stop
}

for ((round = 0; round < ROUNDS; round++)); do
	fill 4K-normal 40M 4K normal
	fill 4K-strict 8M 4K strict
	fill 1M-normal 512M 1M normal
	fill 1M-strict 512M 1M strict
done
for kind in 4K-normal 4K-strict 1M-normal 1M-strict; do
	printf '%-34s %8s receipts/s\n' \
		"${kind%-*} slots, 8 writers, ${kind#*-}" "$(median <"$W/$kind")"
done

fill last 40M 4K normal
for ((round = 0; round < ROUNDS; round++)); do
	before=${EPOCHREALTIME/./}
	start
	echo $((${EPOCHREALTIME/./} - before)) >>"$W/remount"
	stop
done
printf '%-34s %8s ms\n' 'start with 10,240 receipts' \
	"$(($(median <"$W/remount") / 1000))"
printf '%-34s %8s bytes a slot, and %s of log\n' 'ledger of 10,240 slots' \
	"$(($(stat -c %s "$W/source/t.rmfs") / 10240))" \
	"$(stat -c %s "$W/source/t.rmfs-wal")"
