#!/usr/bin/env bash
# lifecycle.sh: how the daemon starts and ends.
. "$(dirname "$0")/../lib.sh"

# Print the process ids of the daemons that serve $MNT.
rmfs_pids() {
	local exe dir

	for exe in /proc/[0-9]*/exe; do
		dir=${exe%/exe}
		[ "$exe" -ef "$O/rmfs" ] || continue
		tr '\0' '\n' <"$dir/cmdline" | grep -qxF -e "$MNT" &&
			echo "${dir#/proc/}"
	done 2>/dev/null
	return 0
}

no_rmfs_left() {
	[ -z "$(rmfs_pids)" ]
}

# rmfs returns 0 from its start only when the mount can be used.
test_background_start_returns_a_working_mount() {
	make_target 1M 256K
	for ((i = 0; i < 20; i++)); do
		rmfs "$SOURCE" "$MNT"
		[ "$(ls "$RANGES" | wc -l)" = 4 ] || fail "round $i"
		mounted
		[ "$(rmfs_pids | wc -l)" = 1 ]
		fusermount3 -u "$MNT"
		within_seconds no_rmfs_left
	done
}

# A daemon in the background holds on to nothing of the terminal it came from.
test_background_daemon_lets_go_of_its_terminal() {
	make_target 1M 256K
	said=$(rmfs "$SOURCE" "$MNT" 2>&1)
	[ -z "$said" ]
	[ "$(readlink "/proc/$(rmfs_pids)/cwd")" = / ]
	for fd in 0 1 2; do
		[ "$(readlink "/proc/$(rmfs_pids)/fd/$fd")" = /dev/null ]
	done
	fusermount3 -u "$MNT"
	within_seconds no_rmfs_left
}

# The mount is of type fuse.rmfs.
test_type_is_fuse_rmfs() {
	serve 1M 256K
	[ "$(awk -v m="$MNT" '$2 == m { print $3 }' /proc/mounts)" = fuse.rmfs ]
}

# fusermount3 -u ends the daemon with status 0.
test_fusermount_ends_it() {
	serve 1M 256K
	stop_rmfs
	no_rmfs_left
}

# umount ends the daemon with status 0.
test_umount_ends_it() {
	serve 1M 256K
	umount "$MNT"
	status_is 0 wait "$daemon"
	daemon=''
	not_mounted
}

# SIGTERM unmounts and ends the daemon with status 0.
test_sigterm_ends_it() {
	serve 1M 256K
	kill -TERM "$daemon"
	status_is 0 wait "$daemon"
	daemon=''
	not_mounted
}

# SIGINT unmounts and ends the daemon with status 0.
test_sigint_ends_it() {
	make_target 1M 256K
	env --default-signal=INT "$O/rmfs" "$SOURCE" "$MNT"
	kill -INT "$(rmfs_pids)"
	within_seconds no_rmfs_left
	not_mounted
}

# A mount in use is not torn down by umount, and ends once it is free.
test_busy_mount_stays() {
	serve 1M 256K
	exec 3<"$MNT/big/data"
	fails_with "" fusermount3 -u "$MNT"
	[ "$(ls "$RANGES" | wc -l)" = 4 ]
	exec 3<&-
	stop_rmfs
}

# A start that cannot work says why in one line and leaves no mount.
test_failed_start_says_why() {
	make_target 1M 256K
	for arguments in "$W/none $MNT" "$SOURCE $W/none" "$SOURCE $SOURCE" \
		"$SOURCE"; do
		# shellcheck disable=SC2086
		! rmfs $arguments >"$W/out" 2>&1 || fail "started: $arguments"
		[ "$(wc -l <"$W/out")" -ge 1 ]
		not_mounted
		no_rmfs_left
	done
	mkdir "$SOURCE/inside"
	fails_with "" rmfs "$SOURCE" "$SOURCE/inside"
}

# A target served by one daemon is refused to a second one.
test_second_daemon_is_refused() {
	serve 1M 256K
	mkdir "$W/mnt2"
	! timeout 10 rmfs "$SOURCE" "$W/mnt2" 2>"$W/said" || fail "two daemons"
	[ -s "$W/said" ]
	not_mounted "$W/mnt2"
	random_file "$W/part" 256K
	cp "$W/part" "$RANGES/${S[0]}"
	complete "${S[0]}" "$W/part"
}

# An unknown option ends with a line about it and mounts nothing.
test_unknown_option_is_refused() {
	make_target 1M 256K
	fails_with nonsense rmfs -o nonsense "$SOURCE" "$MNT"
	not_mounted
}

# The mountpoint's name may hold spaces and commas.
test_odd_names_mount() {
	SOURCE="$W/so,ur ce" MNT="$W/m,n t"
	mkdir -p "$SOURCE" "$MNT"
	rmfsctl create --size 64K --slot-size 16K "$SOURCE/a b,c"
	rmfs "$SOURCE" "$MNT"
	[ "$(ls "$MNT/a b,c/ranges" | wc -l)" = 4 ]
	fusermount3 -u "$MNT"
	within_seconds no_rmfs_left
}

run_case "$1"
