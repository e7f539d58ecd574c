# order.awk: hold an strace of rmfs against what DESIGN.md promises of order.
#
#   awk -v source=FOLDER -f order.awk TRACE      (strace -f -y -ttt -s 1500)
#
# Every receipt that was shown as durable comes after a sync of its bytes that
# began after it was given, then a write to the ledger's log, then a sync of
# that; all of them successful. Every change of the folder comes before a sync
# of the folder. Prints what is not so, and how much was looked at.

function starts(text, prefix) {
	return index(text, prefix) == 1
}

# The seconds of the day of 2026-01-31T12:34:56.123456789Z.
function of_day(time) {
	return substr(time, 12, 2) * 3600 + substr(time, 15, 2) * 60 + \
		substr(time, 18, 9)
}

# Is the epoch time a at or after the time of day b? Days pass at midnight.
function after(a, b,    apart) {
	apart = (a - b) % 86400
	return apart < 43200
}

# The path that -y adds to a descriptor.
function path_of(text) {
	return match(text, /<[^>]*>/) ? \
		substr(text, RSTART + 1, RLENGTH - 2) : ""
}

function folder_of(path) {
	sub(/\/[^\/]*$/, "", path)
	return path
}

function value_of(text, key) {
	if (!match(text, "\\\\n" key "=[^\\\\]*"))
		return ""
	return substr(text, RSTART + length(key) + 3, \
		RLENGTH - length(key) - 3)
}

function judge_durable(text,    slot, given, d, w, s) {
	slot = value_of(text, "slot") " " value_of(text, "generation")
	if (slot in shown)
		return
	shown[slot] = 1
	durable++
	given = of_day(value_of(text, "completed"))
	for (d = 1; d <= data_syncs; d++)
		if (after(data_begin[d], given))
			break
	for (w = 1; w <= log_writes; w++)
		if (d <= data_syncs && log_write[w] > data_end[d])
			break
	for (s = 1; s <= log_syncs; s++)
		if (w <= log_writes && log_begin[s] > log_write[w])
			break
	if (s <= log_syncs)
		return
	wrong++
	print "shown as durable too early: " slot ": line " NR ", " \
		(d > data_syncs ? "no sync of the data" : \
		w > log_writes ? "no record after the data" : \
		"no sync of the record")
}

function changed(what, ok) {
	if (!ok)
		return
	changes++
	unsynced[++unsynced_count] = what
}

# A call that has returned, entered at the time and line given.
function done(text, time, line, result,    path) {
	path = path_of(text)
	if (starts(text, "msync(") || starts(text, "fdatasync(") || \
		starts(text, "fsync(")) {
		if (result !~ /^0/ || result ~ /INJECTED/)
			return
		if (starts(text, "msync(") || path == source "/big") {
			data_begin[++data_syncs] = time
			data_end[data_syncs] = NR
		} else if (path == source "/big.rmfs-wal") {
			log_begin[++log_syncs] = line
		} else if (path == source) {
			unsynced_count = 0
		}
	} else if (starts(text, "pwrite64(")) {
		if (path == source "/big.rmfs-wal")
			log_write[++log_writes] = NR
	} else if (starts(text, "openat(")) {
		if (text ~ /O_CREAT/ && folder_of(path_of(result)) == source)
			changed(text, result !~ /^-/)
	} else if (text ~ /^(rename|unlink|link)/) {
		changed(text, starts(result, "0") && index(text, source))
	}
}

{
	pid = $1
	time = $2
	text = $0
	sub(/^[0-9]+ +[0-9.]+ /, "", text)
	if (text ~ /^writev?\(/ && index(text, "</dev/fuse>") && \
		index(text, "\\nstate=durable\\n"))
		judge_durable(text)
	if (text ~ /<unfinished \.\.\.>$/) {
		call[pid] = text
		entered[pid] = time
		entry[pid] = NR
		next
	}
	if (starts(text, "<... ")) {
		sub(/^<\.\.\. [a-z0-9_]+ resumed>/, "", text)
		text = call[pid] text
	} else {
		entered[pid] = time
		entry[pid] = NR
	}
	at = match(text, /\) += [^=]*$/)
	if (at) {
		result = substr(text, at)
		sub(/^\) += /, "", result)
		done(substr(text, 1, at), entered[pid], entry[pid], result)
	}
}

END {
	for (i = 1; i <= unsynced_count; i++) {
		wrong++
		print "no sync of the folder after: " unsynced[i]
	}
	printf "%d durable receipts, %d changes of the folder, %d wrong\n", \
		durable, changes, wrong
	exit wrong > 0
}
