#!/usr/bin/env bash
# readme.sh: a reader of README.md who types its lines gets what it says.
. "$(dirname "$0")/../lib.sh"

README=$TESTS/../README.md

# Print the shell block number $1 of the README, for a smaller file.
block() {
	awk -v want="$1" '
		/^```sh$/ { n++; in_block = n == want; next }
		/^```$/ { in_block = 0 }
		in_block' "$README" |
		sed -e "s|^URL=.*|URL=$URL/big.iso|" \
			-e "s/--size 4G --slot-size 64M/--size 10M --slot-size 256K/"
}

# Type a block into the shell that types the others.
type_block() {
	block "$1" >"$W/block"
	[ -s "$W/block" ]
	# shellcheck source=/dev/null
	. "$W/block"
}

# The download and its resumption, as printed, end with the right file.
test_printed_lines_download_a_file() {
	mkdir "$W/www"
	random_file "$W/www/big.iso" 10M
	start_nginx "$W/www"
	cd "$W"
	type_block 1
	[ "$PWD" = "$MNT" ]
	[ "$(ls big.iso/receipts)" = "$(ls big.iso/ranges)" ]
	same "$SOURCE/big.iso" "$W/www/big.iso"
	rm big.iso/receipts/*5
	[ "$(ls big.iso/receipts)" != "$(ls big.iso/ranges)" ]
	type_block 2
	[ "$(ls big.iso/receipts)" = "$(ls big.iso/ranges)" ]
	same "$SOURCE/big.iso" "$W/www/big.iso"
	cd /
	umount "$MNT" || fusermount3 -u "$MNT"
}

# A receipt has the lines that the README shows, in that order.
test_printed_receipt_is_like_a_real_one() {
	serve 1M 256K
	head -c 256K /dev/zero >"$RANGES/${S[0]}"
	sed -n '/^target=big.iso/,/^```/s/=.*//p' "$README" >"$W/printed"
	[ -s "$W/printed" ]
	sed 's/=.*//' "$RECEIPTS/${S[0]}" | cmp - "$W/printed"
}

run_case "$1"
