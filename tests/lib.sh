# shellcheck shell=bash disable=SC2034,SC2119,SC2120
# lib.sh: what the shell tests are made of.
#
# A test file sources this, defines cases (functions named test_*), and ends
# with: run_case "$1". A case ends at the first command that fails. Whatever it
# started or mounted is gone afterwards, however it ends.
#
#   $SOURCE  the folder of the targets     $RANGES    big/ranges of the mount
#   $MNT     the mountpoint                $RECEIPTS  big/receipts
#   $W       the private folder            $S         the slots' names, an array
set -eEu -o pipefail
export LC_ALL=C
umask 022

O=$(realpath "${O:-build}")
TESTS=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
PATH=$O:$O/tests/programs:$PATH
export ASAN_OPTIONS=suppressions=$TESTS/asan.supp:${ASAN_OPTIONS-}
export TSAN_OPTIONS=suppressions=$TESTS/tsan.supp:${TSAN_OPTIONS-}
W=$(mktemp -d "${TMPDIR:-/tmp}/rmfs-test.XXXXXX")
SOURCE=$W/source
MNT=$W/mnt
RANGES=$MNT/big/ranges
RECEIPTS=$MNT/big/receipts
S=()
daemon=''
nginx=''

fail() {
	echo "FAILED: $*" >&2
	trace
	exit 1
}

skip() {
	echo "SKIP: $*"
	exit 77
}

trace() {
	local i

	for ((i = 1; i < ${#FUNCNAME[@]} - 1; i++)); do
		echo "    ${BASH_SOURCE[i]##*/}:${BASH_LINENO[i - 1]}" \
			"in ${FUNCNAME[i]}"
	done >&2
}
trap 'echo "FAILED: $BASH_COMMAND" >&2; trace' ERR

# Try a command for ten seconds until it succeeds.
within_seconds() {
	local try

	for ((try = 0; try < 200; try++)); do
		"$@" && return
		sleep 0.05
	done
	fail "not within ten seconds: $*"
}

mounted() {
	grep -q " ${1:-$MNT} fuse\.rmfs " /proc/mounts
}

not_mounted() {
	! mounted "$@"
}

ended() {
	! kill -0 "$1" 2>/dev/null
}

# ---- the daemon -------------------------------------------------------------

# Make the target big: SIZE, SLOT_SIZE.
make_target() {
	mkdir -p "$SOURCE" "$MNT"
	rmfsctl create --size "$1" --slot-size "$2" "$SOURCE/big"
}

# Serve $SOURCE at $MNT, in the foreground of a job so that its status is seen.
start_rmfs() {
	rmfs -f "$@" "$SOURCE" "$MNT" >>"$W/daemon.log" 2>&1 &
	daemon=$!
	within_seconds serving
	mapfile -t S < <(ls "$RANGES")
}

serving() {
	ended "$daemon" && fail "rmfs ended: $(cat "$W/daemon.log")"
	# Not -d, which the kernel may answer for a daemon that is dead.
	mounted && ls "$RANGES" >/dev/null 2>&1
}

# Unmount and see the daemon end well.
stop_rmfs() {
	local status=0 pid=$daemon

	daemon=
	fusermount3 -u "$MNT" || fusermount3 -uz "$MNT"
	wait "$pid" || status=$?
	[ "$status" = 0 ] || fail "rmfs ended with status $status"
	not_mounted || fail "still mounted"
}

# kill -9 of the daemon; the mount is dead afterwards.
kill_rmfs() {
	local pid=$daemon

	daemon=''
	kill -9 "$pid"
	status_is 137 wait "$pid"
	fails_with "Transport endpoint is not connected" ls "$MNT"
}

# The usual beginning: a target of SIZE in slots of SLOT_SIZE, mounted.
serve() {
	make_target "$@"
	start_rmfs
}

# ---- nginx ------------------------------------------------------------------

# Write the configuration of a server of the folder $1 at port $2 into $3.
nginx_conf() {
	cat >"$3/nginx.conf" <<-END
		$([ "$(id -u)" != 0 ] || echo "user root;")
		daemon off;
		worker_processes 2;
		pid $3/nginx.pid;
		error_log $3/nginx.log;
		events { worker_connections 256; }
		http {
			access_log off;
			sendfile on;
			client_body_temp_path $3/nginx.tmp;
			proxy_temp_path $3/nginx.tmp;
			fastcgi_temp_path $3/nginx.tmp;
			uwsgi_temp_path $3/nginx.tmp;
			scgi_temp_path $3/nginx.tmp;
			server {
				listen 127.0.0.1:$2;
				root $1;
				location /norange/ {
					alias $1/;
					max_ranges 0;
				}
				location /slow/ {
					alias $1/;
					limit_rate 400k;
				}
			}
		}
	END
}

answers() {
	(: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Serve the folder $1 on a free loopback port. Sets $URL and $nginx.
start_nginx() {
	local port try program=${NGINX_DIR:-$TESTS/../build/nginx}/nginx

	[ -x "$program" ] || skip "no nginx: it could not be fetched"
	for ((try = 0; try < 20; try++)); do
		port=$((20000 + RANDOM % 12000))
		! answers "$port" || continue
		nginx_conf "$1" "$port" "$W"
		"$program" -p "$W" -e "$W/nginx.log" -c "$W/nginx.conf" &
		nginx=$!
		URL=http://127.0.0.1:$port
		until answers "$port" || ended "$nginx"; do
			sleep 0.02
		done
		! ended "$nginx" && return
	done
	fail "nginx does not start: $(cat "$W/nginx.log")"
}

stop_nginx() {
	local pid=$nginx

	nginx=
	kill "$pid"
	wait "$pid" || true
}

# ---- what is looked at ------------------------------------------------------

# Make a file of random bytes: FILE, SIZE as head knows it.
random_file() {
	head -c "$2" /dev/urandom >"$1"
}

sum() {
	sha256sum | cut -d' ' -f1
}

same() {
	[ "$(sum <"$1")" = "$(sum <"$2")" ] || fail "$1 and $2 differ"
}

first_of() {
	echo $((10#${1%-*}))
}

length_of() {
	echo $((10#${1#*-} - 10#${1%-*} + 1))
}

# The bytes of a slot's range in a file: FILE, NAME.
range_in() {
	dd if="$1" bs=64K iflag=skip_bytes,count_bytes status=none \
		skip="$(first_of "$2")" count="$(length_of "$2")"
}

receipt_value() {
	sed -n "s/^$2=//p" "$RECEIPTS/$1"
}

# Does ls show the receipt of slot NAME?
listed() {
	local names

	names=$(ls "$RECEIPTS")
	[[ $'\n'$names$'\n' == *$'\n'"$1"$'\n'* ]]
}

has_receipt() {
	[ -e "$RECEIPTS/$1" ] || fail "no receipt for $1"
	listed "$1" || fail "receipt of $1 not listed"
}

no_receipt() {
	local error

	! error=$(cat "$RECEIPTS/$1" 2>&1) || fail "receipt for $1: $error"
	[[ $error == *"No such file or directory" ]] || fail "$error"
	! listed "$1" || fail "receipt of $1 is listed"
}

# Slot NAME holds the bytes of FILE, whole, everywhere one can look, and its
# receipt says so. FILE may be a pipe.
complete() {
	local name=$1 file=$W/.complete

	cat "$2" >"$file"
	has_receipt "$name"
	same "$RANGES/$name" "$file"
	range_in "$MNT/big/data" "$name" | cmp - "$file"
	range_in "$SOURCE/big" "$name" | cmp - "$file"
	[ "$(receipt_value "$name" target)" = big ]
	[ "$(receipt_value "$name" slot)" = "$name" ]
	[ "$(receipt_value "$name" offset)" = "$(first_of "$name")" ]
	[ "$(receipt_value "$name" length)" = "$(stat -c %s "$file")" ]
	[ "$(receipt_value "$name" crc32c)" = "$(crc32c <"$file")" ]
	receipt_value "$name" state | grep -qxE "complete|durable"
	[ "$(stat -c %A "$RANGES/$name")" = -r--r--r-- ]
}

# Nothing was ever written to slot NAME: zeros in the target, size 0.
untouched() {
	no_receipt "$1"
	[ "$(stat -c %s "$RANGES/$1")" = 0 ]
	range_in "$SOURCE/big" "$1" |
		cmp - <(head -c "$(length_of "$1")" /dev/zero)
}

# No slot but NAME was ever written.
others_untouched() {
	local slot

	for slot in "${S[@]}"; do
		[ "$slot" = "$1" ] || untouched "$slot"
	done
}

# A command fails with a message that has TEXT in it.
fails_with() {
	local text=$1 output

	shift
	! output=$("$@" 2>&1 >/dev/null) || fail "succeeded: $*"
	[[ $output == *"$text"* ]] || fail "$*: $output"
}

ENOSPC="No space left on device"
EBUSY="Device or resource busy"
EPERM="Operation not permitted"
ENOENT="No such file or directory"
# What the writer of a slot that has long been complete is told: the kernel sees
# its mode before rmfs sees the request, but for root.
[ "$(id -u)" = 0 ] && DENIED=$EPERM || DENIED="Permission denied"

# A command ends with status WANT.
status_is() {
	local want=$1 status=0

	shift
	"$@" || status=$?
	[ "$status" = "$want" ] || fail "status $status, not $want: $*"
}

# ---- steps on open files ----------------------------------------------------

# Start the program that holds files open; see tests/programs/handle.c.
start_handles() {
	coproc HANDLE { exec handle; }
}

# step WANT LETTER VERB...: one step answers WANT.
step() {
	local want=$1 answer

	shift
	echo "$*" >&"${HANDLE[1]}"
	read -r answer <&"${HANDLE[0]}" || fail "handle ended: $*"
	[ "$answer" = "$want" ] || fail "$*: $answer, not $want"
}

# ---- the life of a case -----------------------------------------------------

# Unmount, lazily if a program in it does not end.
unmount() {
	local try

	for ((try = 0; try < 20; try++)); do
		mounted || return 0
		fusermount3 -u "$MNT" 2>/dev/null || sleep 0.1
	done
	fusermount3 -uz "$MNT"
}

# See the daemon end well, which it should once it is unmounted.
end_daemon() {
	local try

	[ -n "$daemon" ] || return 0
	for ((try = 0; try < 50; try++)); do
		ended "$daemon" && break
		sleep 0.1
	done
	kill "$daemon" 2>/dev/null
	wait "$daemon" || {
		echo "FAILED: rmfs ended with status $?" >&2
		return 1
	}
}

clean_up() {
	local status=$? job

	trap - ERR
	trap '' INT TERM HUP
	set +e
	for job in $(jobs -p); do
		[ "$job" = "$daemon" ] || kill "$job" 2>/dev/null
	done
	for job in $(jobs -p); do
		[ "$job" = "$daemon" ] || wait "$job" 2>/dev/null
	done
	unmount
	end_daemon || status=1
	# For what a test file has below the daemon.
	! declare -F tear_down >/dev/null || tear_down
	if [ "$status" != 0 ] && [ "$status" != 77 ]; then
		head -n 50 "$W/daemon.log" "$W/nginx.log" >&2 2>/dev/null
	fi
	rm -rf --one-file-system "$W"
	exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

run_case() {
	"$@"
}
