#!/bin/sh
# prototypes.sh: the functions that a header declares or manual pages describe.
#
#   prototypes.sh header FILE     from the declarations of a C header
#   prototypes.sh pages FILE...   from the SYNOPSIS of mdoc(7) pages
#
# One on a line, sorted, all spaces squeezed, so that the two can be compared.
set -eu

squeeze() {
	sed -e 's/[[:space:]][[:space:]]*/ /g' -e 's/( /(/g' -e 's/\* /*/g' \
		-e 's/^ //' -e 's/ $//' | sort
}

# Without comments and directives, what ends in ");" at the outermost level.
from_header() {
	sed -e 's|/\*[^*]*\*/||g' -e '\|/\*|,\|\*/|d' -e '/^#/d' \
		-e '/^extern "C"/d' "$1" |
		tr '\n' ' ' | tr ';' '\n' | sed -n 's/^\(.*)\) *$/\1/p'
}

from_pages() {
	awk '
		/^\.Ft / { type = substr($0, 5) }
		/^\.Fn / && type != "" {
			name = $2
			sub(/^\.Fn [^ ]+ */, "")
			gsub(/" "/, ", ")
			gsub(/"/, "")
			print type (type ~ /\*$/ ? "" : " ") name "(" $0 ")"
			type = ""
		}' "$@"
}

case $1 in
header) from_header "$2" | squeeze ;;
pages) shift && from_pages "$@" | squeeze ;;
esac
