#!/usr/bin/env bash
# demo.sh: the main job from start to end, on real files and a real server.
#
# 8 curls, a dd and a cp download one archive into one file at the same time;
# every part has its receipt, and the file is the archive. Nothing stays behind.
TMPDIR=$(realpath "${O:-build}")
export TMPDIR
. "$(dirname "$0")/lib.sh"

ARCHIVE_SIZE=$((320 << 20))
SLOT_SIZE=4M
MNT=$W/mnt
RANGES=$MNT/archive.tar/ranges
RECEIPTS=$MNT/archive.tar/receipts

if [ -t 1 ]; then
	bold=$'\e[1m' plain=$'\e[0m'
else
	bold='' plain=''
fi

line() {
	printf '%-9s %s\n' "$1" "$2"
}

command_line() {
	echo "$bold\$ $*$plain"
}

# Show a command and run it.
run() {
	command_line "$@"
	"$@"
}

# Milliseconds since some time ago.
now() {
	echo $((${EPOCHREALTIME/./} / 1000))
}

# Milliseconds as seconds.
seconds() {
	printf '%d.%02d s' $(($1 / 1000)) $(($1 % 1000 / 10))
}

# Bytes as MiB.
mib() {
	echo "$(($1 >> 20)) MiB"
}

# Names of files of this machine, one per line, of ARCHIVE_SIZE together.
pick_files() {
	find /usr/lib /usr/share /usr/bin -xdev -type f -size -16M -readable \
		-printf '%s %p\n' 2>/dev/null |
		awk -v want="$ARCHIVE_SIZE" '
			{ size[n] = $1; sub(/^[0-9]+ /, ""); name[n++] = $0 }
			END {
				for (i = 0; n && sum < want; i = (i + 1) % n) {
					sum += size[i]
					print name[i]
				}
			}'
}

# Pack them; tar's status 1 says that a file changed meanwhile, which is fine.
make_archive() {
	mkdir "$W/www"
	pick_files >"$W/names"
	tar -cf "$W/www/archive.tar" -C / --no-recursion -T "$W/names" \
		2>/dev/null || [ $? = 1 ]
	size=$(stat -c %s "$W/www/archive.tar")
	want=$(sum <"$W/www/archive.tar")
}

mount_target() {
	mkdir "$SOURCE" "$MNT"
	cd "$W"
	run rmfsctl create --size "$size" --slot-size $SLOT_SIZE \
		source/archive.tar
	run rmfs source mnt
	cd /
	mapfile -t S < <(ls "$RANGES")
}

# All slots but two by the one line of the README; those by a dd and a cp.
download() {
	local began dd=${S[-2]} cp=${S[-1]} file=archive.tar

	range_in "$W/www/$file" "$cp" >"$W/last-part"
	echo
	command_line "ls $file/ranges | head -n -2 |" \
		"xargs -P8 -I{} curl -sSf -r {} -o $file/ranges/{} URL"
	command_line "dd if=archive.tar of=$file/ranges/$dd ..."
	command_line "cp last-part $file/ranges/$cp"
	began=$(now)
	cd "$MNT"
	dd if="$W/www/$file" of="$file/ranges/$dd" bs=1M status=none \
		iflag=skip_bytes,count_bytes skip="$(first_of "$dd")" \
		count="$(length_of "$dd")" &
	ls $file/ranges | head -n -2 |
		xargs -P8 -I{} curl -sSf -r {} -o $file/ranges/{} "$URL/$file"
	wait $!
	cp "$W/last-part" "$file/ranges/$cp"
	cd /
	took=$(($(now) - began))
	line "" "$(mib "$size") in $(seconds $took): $((size / 1000 / took)) MB/s"
}

show_receipts() {
	echo
	command_line "cat archive.tar/receipts/${S[0]}"
	cat "$RECEIPTS/${S[0]}"
	echo
	command_line "grep -E 'crc|command' archive.tar/receipts/* | tail -n 4"
	(cd "$MNT" && grep -E 'crc|command' archive.tar/receipts/* | tail -n 4)
	echo
	line receipts "$(ls "$RECEIPTS" | wc -l) of ${#S[@]} slots"
	[ "$(ls "$RECEIPTS")" = "$(ls "$RANGES")" ] ||
		fail "some slots have no receipt"
}

compare() {
	[ "$(sum <"$MNT/archive.tar/data")" = "$want" ] ||
		fail "the mounted file is not the archive"
	fusermount3 -u "$MNT"
	[ "$(sum <"$SOURCE/archive.tar")" = "$want" ] ||
		fail "the target is not the archive"
	line sha256 "target and archive are the same: ${want:0:16}..."
}

started=$(now)
echo "8 curls, a dd and a cp write one file at the same time."
echo
make_archive
line archive "$(mib "$size"), $(wc -l <"$W/names") files of /usr"
start_nginx "$W/www"
line server "nginx at $URL"
echo
mount_target
download
show_receipts
compare
stop_nginx
echo
took=$(($(now) - started))
line "done" "in $(seconds $took); unmounted, nothing left behind"
