# shellcheck shell=bash
# crash.sh: what the crash tests share; sourced after ../lib.sh.
#
# How much is done comes from the environment: KILLS, EXT4_IMAGES, XFS_IMAGES.
# SEED repeats the choices of a run, but not its timing.
PATH=$O/tests/crash:$PATH
KILLS=${KILLS:-200}
EXT4_IMAGES=${EXT4_IMAGES:-200}
XFS_IMAGES=${XFS_IMAGES:-60}
SEED=${SEED:-$((SRANDOM % 1000000))}
DIARY=${DIARY:-$W/diary}
SCRATCH=$W/scratch
loops=()
servers=()

# Called by clean_up: the daemon has gone, its devices follow.
tear_down() {
	local loop server

	! mountpoint -q "$SOURCE" || umount "$SOURCE" || umount -l "$SOURCE"
	for loop in "${loops[@]}"; do
		losetup -d "$loop"
	done
	for server in "${servers[@]}"; do
		kill "$server"
		within_seconds ended "$server"
	done
	! mountpoint -q "$W/device" || umount -l "$W/device"
} 2>/dev/null

# Say something that is worth reading when all is well, too.
note() {
	echo "NOTE: $*"
}

need() {
	local program

	for program; do
		command -v "$program" >/dev/null || skip "there is no $program"
	done
}

# What mounting a filesystem of kind $1 takes, and more programs.
need_images() {
	[ "$(id -u)" = 0 ] || skip "mounting images takes root"
	need "mkfs.$1" "${@:2}"
	losetup -f >/dev/null 2>&1 || skip "there is no free loop device"
	grep -qw "$1" /proc/filesystems || modprobe -q "$1" 2>/dev/null ||
		skip "the kernel has no $1"
}

need_strace() {
	need strace
	strace -o /dev/null true 2>/dev/null || skip "strace may not trace"
}

# kill -9 of the daemon.
kill_rmfs() {
	local pid=$daemon

	daemon=''
	kill -9 "$pid"
	wait "$pid" 2>/dev/null || true
}

# Sleep a random time of up to $1 milliseconds.
nap() {
	sleep "$(printf '0.%03d' $((SRANDOM % $1)))"
}

# ---- the load ---------------------------------------------------------------

# Start the writers; $load is the first of them.
start_load() {
	mkdir -p "$SCRATCH"
	load -s $((SEED + SRANDOM % 100000)) "$@" &
	load=$!
}

# The mount is dead: they all end, and by themselves.
load_ends() {
	wait "$load" || fail "the load ended with status $?"
}

# Hold the receipts against the bytes and the diary; print what is wrong.
judge_receipts() {
	judge "$@" >"$W/verdict" || {
		cat "$W/verdict"
		return 1
	}
}

# ---- one slot at a time -----------------------------------------------------

# Write new bytes into slot $1, as the diary will remember; more is for dd.
write_slot() {
	local bytes=$W/bytes.$1

	random_file "$bytes" "$(length_of "$1")"
	echo "0 $1 write $(crc32c <"$bytes")" >>"$DIARY"
	dd if="$bytes" of="$RANGES/$1" status=none "${@:2}"
}

# Take the receipt of slot $1 away.
forget() {
	echo "0 $1 revoke 00000000" >>"$DIARY"
	rm "$RECEIPTS/$1"
}

# What the receipt of slot $1 says of its state; nothing when there is none.
state_of() {
	receipt_value "$1" state 2>/dev/null || true
}

# Remember the receipt of slot $1, if there is one.
see() {
	local text

	text=$(cat "$RECEIPTS/$1" 2>/dev/null) || return 0
	sed -n 's/^crc32c=//p; s/^state=//p' <<<"$text" | paste -sd' ' |
		sed "s/^/0 $1 seen /" >>"$DIARY"
}

# ---- system calls -----------------------------------------------------------

TRACED=fdatasync,fsync,msync,pwrite64,write,writev,openat
TRACED+=,rename,renameat,renameat2,unlink,unlinkat,link,linkat

# Serve under strace with these options. Fails if rmfs does, or if it will not
# have the target written to.
start_traced() {
	local try

	mkdir -p "$MNT"
	strace -f -y -s 1500 -o "$W/trace" -e trace="$TRACED" "$@" \
		rmfs -f "$SOURCE" "$MNT" >>"$W/daemon.log" 2>&1 &
	daemon=$!
	for ((try = 0; try < 200; try++)); do
		! mounted || ! ls "$RANGES" >/dev/null 2>&1 || break
		! ended "$daemon" || return 1
		sleep 0.05
	done
	# shellcheck disable=SC2034 # see lib.sh
	mapfile -t S < <(ls "$RANGES")
	[ ${#S[@]} -gt 0 ]
}

# The end of a daemon that may have good reasons to complain.
end_traced() {
	local pid=$daemon

	daemon=
	unmount
	wait "$pid" || true
}

# ---- a device whose writes are recorded -------------------------------------

DEVICE_LOG=$W/device.log

# xfs will not be made smaller than 300 MiB.
device_size() {
	case $1 in
	ext4) echo $((64 << 20)) ;;
	xfs) echo $((320 << 20)) ;;
	esac
}

make_filesystem() {
	case $1 in
	ext4) mkfs.ext4 -q -E nodiscard "$2" ;;
	xfs) mkfs.xfs -q -K "$2" ;;
	esac
}

# Make a filesystem of kind $1 on a device that records, mounted at $SOURCE.
start_recording() {
	mkdir -p "$SOURCE"
	: >"$DEVICE_LOG"
	: >"$W/device"
	truncate -s "$(device_size "$1")" "$W/disk"
	qemu-storage-daemon \
		--blockdev driver=file,node-name=disk,filename="$W/disk" \
		--blockdev driver=file,node-name=log,filename="$DEVICE_LOG" \
		--blockdev driver=blklogwrites,node-name=both,file=disk,log=log,log-sector-size=512 \
		--export type=fuse,id=out,node-name=both,mountpoint="$W/device",writable=on &
	servers+=($!)
	# Not a job: it must not end before what is mounted on it.
	disown
	within_seconds mountpoint -q "$W/device"
	# Direct I/O would need blocks that the export does not have.
	loops+=("$(losetup --show -f --direct-io=off "$W/device")")
	make_filesystem "$1" "${loops[0]}"
	mount "${loops[0]}" "$SOURCE"
}

# The power fails here, for all that is known. The log stays.
stop_recording() {
	tear_down
	loops=()
	servers=()
}

# Write and rewrite for a while; the daemon is killed now and then.
write_under_recording() {
	local kills

	export RMFS_BOOT_ID=before
	make_target 1M 16K
	first=$(powercut entries "$DEVICE_LOG")
	for ((kills = 0; kills < 6; kills++)); do
		start_rmfs
		start_load -l "$DEVICE_LOG" "$MNT/big" "$SCRATCH" "$DIARY" \
			pwrite pwrite pwrite late late late mmap dd \
			pwrite pwrite pwrite late late late mmap cp
		sleep "1.$((SRANDOM % 10))"
		kill_rmfs
		load_ends
	done
	umount -l "$MNT"
}

# Make images of $2 random moments and judge each: by a bash of its own, which
# cleans up after itself. Prints what they say, up to the first that is wrong.
judge_images() {
	DIARY=$DIARY RMFS_BOOT_ID=after powercut images "$DEVICE_LOG" \
		"$first" "$(device_size "$1")" "$W/image" "$2" "$SEED" \
		bash "$TESTS/crash/power.sh" image_is_true "$W/image"
}

# Add up the last lines of judge in the file $1; each is of a $2.
add_up() {
	awk -v what="$2" '/ receipts, .* lost$/ {
		n++; receipts += $1; durable += $3; due += $5
		wrong += $7; lost += $9
	}
	END {
		printf "%d %s, %d receipts (%d durable), %d due, ", n, what,
			receipts, durable, due
		printf "%d false, %d lost\n", wrong, lost
	}' "$1"
}
