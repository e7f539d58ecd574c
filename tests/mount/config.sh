#!/usr/bin/env bash
# config.sh: a configuration file makes targets, or nothing at all.
. "$(dirname "$0")/../lib.sh"

# A missing target named there is created at mount, with its slots.
test_named_target_is_created() {
	mkdir -p "$SOURCE" "$MNT"
	cat >"$W/rmfs.conf" <<-END
		[defaults]
		slot_size = 256K

		[target big]
		size = 1M

		[target other.iso]
		size = 1MiB
		slot_size = 64KiB
	END
	start_rmfs -c "$W/rmfs.conf"
	[ ${#S[@]} = 4 ]
	[ "$(ls "$MNT/other.iso/ranges" | wc -l)" = 16 ]
	[ "$(stat -c %s "$SOURCE/other.iso")" = 1048576 ]
	random_file "$W/part" 256K
	cp "$W/part" "$RANGES/${S[3]}"
	complete "${S[3]}" "$W/part"
}

# A target that is there already is served as it is.
test_existing_target_is_kept() {
	make_target 1M 256K
	cp "$SOURCE/big" "$W/before"
	printf '[target big]\nsize = 1M\nslot_size = 256K\n' >"$W/rmfs.conf"
	start_rmfs -c "$W/rmfs.conf"
	same "$SOURCE/big" "$W/before"
	[ ${#S[@]} = 4 ]
}

# Each bad line ends with FILE:LINE: what, status 2 and nothing created.
test_bad_file_leaves_nothing() {
	mkdir -p "$SOURCE" "$MNT"
	for line in "colour = red" "size = 1X" "slot_size = -4" "size = 2M" \
		"[target big]" "[nonsense]" "just words"; do
		printf '[target big]\nsize = 1M\n%s\n' "$line" >"$W/rmfs.conf"
		status=0
		rmfs -c "$W/rmfs.conf" "$SOURCE" "$MNT" 2>"$W/said" ||
			status=$?
		[ $status = 2 ] || fail "$line: status $status"
		grep -q "$W/rmfs.conf:3: ." "$W/said" ||
			fail "$line: $(cat "$W/said")"
		[ -z "$(ls -A "$SOURCE")" ] || fail "$line created something"
		not_mounted
	done
}

# A missing configuration file is said to be missing.
test_missing_file_is_told() {
	make_target 1M 256K
	fails_with "$ENOENT" rmfs -c "$W/none.conf" "$SOURCE" "$MNT"
	not_mounted
}

run_case "$1"
