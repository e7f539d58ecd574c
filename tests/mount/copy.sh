#!/usr/bin/env bash
# copy.sh: cp, cat, tee, install, tar and the shell's redirections.
. "$(dirname "$0")/../lib.sh"

start() {
	serve 1M 256K
	random_file "$W/part" 256K
	s=$RANGES/${S[1]}
}

# cp completes a slot.
test_cp_completes() {
	start
	cp "$W/part" "$s"
	complete "${S[1]}" "$W/part"
	others_untouched "${S[1]}"
}

# cp -p keeps the times and, whatever the source's mode, the slot is 0444.
test_cp_p_keeps_times() {
	start
	for mode in 0640 0444; do
		chmod $mode "$W/part"
		touch -d 2001-02-03T04:05:06 "$W/part"
		cp -p "$W/part" "$s"
		complete "${S[1]}" "$W/part"
		[ "$(stat -c %Y "$s")" = "$(stat -c %Y "$W/part")" ]
		rm "$RECEIPTS/${S[1]}"
	done
}

# cp from slot to slot copies it.
test_cp_from_slot_to_slot_completes() {
	start
	cp "$W/part" "$s"
	cp "$s" "$RANGES/${S[3]}"
	complete "${S[3]}" "$W/part"
	complete "${S[1]}" "$W/part"
}

# A cp that is too short earns no receipt, and a further piece does.
test_short_cp_gets_no_receipt() {
	start
	head -c 200000 "$W/part" >"$W/short"
	cp "$W/short" "$s"
	no_receipt "${S[1]}"
	same "$s" "$W/short"
	[ "$(stat -c '%s %A' "$s")" = "200000 -rw-r--r--" ]
	tail -c +200001 "$W/part" >>"$s"
	complete "${S[1]}" "$W/part"
}

# A redirected cat completes a slot.
test_cat_completes() {
	start
	cat "$W/part" >"$s"
	complete "${S[1]}" "$W/part"
}

# Pieces appended by >> complete a slot with the last one.
test_appends_add_up() {
	start
	for at in 0 1 2 3; do
		no_receipt "${S[1]}"
		dd if="$W/part" bs=64K skip=$at count=1 status=none >>"$s"
	done
	complete "${S[1]}" "$W/part"
	others_untouched "${S[1]}"
}

# tee fills two slots at once; tee -a goes on where a slot ends.
test_tee_completes() {
	start
	tee "$s" "$RANGES/${S[2]}" <"$W/part" >/dev/null
	complete "${S[1]}" "$W/part"
	complete "${S[2]}" "$W/part"
	head -c 100000 "$W/part" | tee "$RANGES/${S[0]}" >/dev/null
	tail -c +100001 "$W/part" | tee -a "$RANGES/${S[0]}" >/dev/null
	complete "${S[0]}" "$W/part"
}

# Commands in braces share one handle and complete the slot together.
test_braces_complete() {
	start
	{
		head -c 100000 "$W/part"
		no_receipt "${S[1]}"
		tail -c +100001 "$W/part"
	} >"$s"
	complete "${S[1]}" "$W/part"
}

# A descriptor kept by exec gives the receipt at the last byte's writer's end.
test_exec_descriptor_completes() {
	start
	exec 3>"$s"
	head -c 100000 "$W/part" >&3
	no_receipt "${S[1]}"
	tail -c +100001 "$W/part" >&3
	has_receipt "${S[1]}"
	exec 3>&-
	complete "${S[1]}" "$W/part"
}

# Subshells in parallel, a slot each, complete all.
test_parallel_subshells_complete() {
	start
	for i in 0 1 2 3; do
		random_file "$W/part$i" 256K
		(
			head -c 100000 "$W/part$i"
			sleep 0.1
			tail -c +100001 "$W/part$i"
		) >"$RANGES/${S[i]}" &
		writers[i]=$!
	done
	wait "${writers[@]}"
	for i in 0 1 2 3; do
		complete "${S[i]}" "$W/part$i"
	done
}

# A redirection that writes nothing leaves an empty slot empty.
test_opening_alone_writes_nothing() {
	start
	: >"$s"
	: >>"$s"
	true 3<>"$s"
	others_untouched none
}

# The receipt is there when cp has ended, and cp may be followed at once.
test_receipt_is_there_when_cp_returns() {
	serve 1M 4K
	random_file "$W/part" 4K
	for slot in "${S[@]}"; do
		cp "$W/part" "$RANGES/$slot"
		cat "$RECEIPTS/$slot" >/dev/null
	done
	[ "$(ls "$RECEIPTS")" = "$(ls "$RANGES")" ]
}

run_case "$1"
