#!/usr/bin/env bash
# ctl.sh: commands by echo.
. "$(dirname "$0")/../lib.sh"

# echo sync returns when every receipt that was there is durable, long before
# they would be by themselves.
test_sync_makes_receipts_durable() {
	serve 1M 256K
	for slot in "${S[@]}"; do
		head -c 256K /dev/urandom >"$RANGES/$slot"
		echo sync >"$MNT/big/ctl"
		grep -qx state=durable "$RECEIPTS/$slot"
	done
	grep -qx "slots_durable 4" "$MNT/big/status"
}

# The reply is read from the handle that was written to, once.
test_reply_is_read_from_same_handle() {
	serve 1M 256K
	exec 3<>"$MNT/big/ctl"
	echo sync >&3
	read -r reply <&3
	[ "$reply" = ok ]
	! read -r reply <&3 || fail "there is more: $reply"
	exec 3<&-
}

# What is no command is EINVAL, and the handle says why.
test_unknown_command_is_explained() {
	serve 1M 256K
	exec 3<>"$MNT/big/ctl"
	! echo frobnicate >&3 || fail "accepted"
	read -r reply <&3
	[ "$reply" = "error: 'frobnicate' is not a command; there is: sync" ]
	exec 3<&-
	! head -c 5000 /dev/zero >"$MNT/big/ctl" || fail "too long, and accepted"
}

# A handle with replies that nobody reads does no harm.
test_unread_replies_are_dropped() {
	serve 1M 256K
	exec 3<>"$MNT/big/ctl"
	for ((i = 0; i < 100; i++)); do
		echo sync >&3
	done
	exec 3<&-
	echo sync >"$MNT/big/ctl"
}

run_case "$1"
