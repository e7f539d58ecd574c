#!/usr/bin/env bash
# curl.sh: parallel downloads by the one line of the README.
. "$(dirname "$0")/../lib.sh"

# Serve a file of SIZE by HTTP and a target of that size in SLOT_SIZE slots.
start() {
	mkdir "$W/www"
	random_file "$W/www/big.iso" "$1"
	start_nginx "$W/www"
	serve "$@"
}

# Every slot has its receipt and the target is the file.
all_there() {
	[ "$(ls "$RECEIPTS")" = "$(ls "$RANGES")" ]
	same "$SOURCE/big" "$W/www/big.iso"
	same "$MNT/big/data" "$W/www/big.iso"
	for slot in "${S[@]}"; do
		range_in "$W/www/big.iso" "$slot" >"$W/part"
		complete "$slot" "$W/part"
	done
}

# The one line of the README downloads all slots.
test_one_line_downloads_all() {
	start 16M 256K
	cd "$MNT"
	ls big/ranges | xargs -P8 -I{} \
		curl -sSf -r {} -o big/ranges/{} "$URL/big.iso"
	cd /
	all_there
}

# The last slot of an odd size is downloaded to its last byte.
test_odd_size_downloads() {
	start 5000001 1M
	cd "$MNT"
	ls big/ranges | xargs -P8 -I{} \
		curl -sSf -r {} -o big/ranges/{} "$URL/big.iso"
	cd /
	all_there
}

# The resume line of the README fetches what is missing, only that.
test_resume_fetches_what_is_missing() {
	start 4M 256K
	cd "$MNT"
	ls big/ranges | head -n 5 | xargs -P8 -I{} \
		curl -sSf -r {} -o big/ranges/{} "$URL/big.iso"
	head -c 1000 "$W/www/big.iso" >"big/ranges/${S[9]}"
	[ "$(ls big/receipts | wc -l)" = 5 ]
	cp "big/receipts/${S[0]}" "$W/receipt"
	comm -23 <(ls big/ranges) <(ls big/receipts) | xargs -P8 -I{} \
		curl -sSf -r {} -o big/ranges/{} "$URL/big.iso"
	cmp "big/receipts/${S[0]}" "$W/receipt"
	cd /
	all_there
}

# A killed download resumes, and ends with the right file.
test_killed_download_resumes() {
	start 8M 512K
	cd "$MNT"
	ls big/ranges | xargs -P2 -I{} \
		curl -sSf -r {} -o big/ranges/{} "$URL/slow/big.iso" &
	sleep 0.5
	kill -9 $!
	wait $! || true
	# The curls that xargs left behind still hold their slots.
	until comm -23 <(ls big/ranges) <(ls big/receipts) | xargs -P8 -I{} \
		curl -sSf -r {} -o big/ranges/{} "$URL/big.iso"; do
		sleep 0.2
	done
	cd /
	all_there
}

# A server that ignores Range makes curl fail and earns no receipt, and a good
# server heals the slots, the first one's too.
test_server_without_ranges_gets_no_receipt() {
	start 1M 256K
	for slot in "${S[@]}"; do
		status_is 23 curl -sSf -r "$slot" -o "$RANGES/$slot" \
			"$URL/norange/big.iso"
		no_receipt "$slot"
	done
	[ -z "$(ls "$RECEIPTS")" ]
	for slot in "${S[@]}"; do
		curl -sSf -r "$slot" -o "$RANGES/$slot" "$URL/big.iso"
	done
	all_there
}

# A second run over complete slots fails with 23 and changes nothing.
test_complete_slots_refuse_curl() {
	start 1M 256K
	for round in 0 23; do
		for slot in "${S[@]}"; do
			status_is $round curl -sSf -r "$slot" \
				-o "$RANGES/$slot" "$URL/big.iso"
		done
	done
	all_there
}

# curl -C - goes on where a slot's bytes end.
test_curl_continues_a_slot() {
	start 1M 256K
	cd "$W/www"
	range_in big.iso "${S[0]}" >first
	head -c 100000 first >"$RANGES/${S[0]}"
	curl -sSf -C - -o "$RANGES/${S[0]}" "$URL/first"
	complete "${S[0]}" first
	cd /
}

# A missing page leaves the slot empty under -f.
test_missing_page_writes_nothing() {
	start 1M 256K
	status_is 22 curl -sSf -r "${S[0]}" -o "$RANGES/${S[0]}" "$URL/none"
	others_untouched none
}

run_case "$1"
