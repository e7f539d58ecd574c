#!/usr/bin/env bash
# packages.sh: the Debian packages that building and testing need.
#
#   packages.sh check GROUP...    exit 1 and name the apt line if one is missing
#   packages.sh install GROUP...  install the missing ones, as root or by sudo
#   packages.sh nginx DIR         unpack nginx into DIR; nothing is installed
#
# GROUP: build, test, crash, demo, lint. Whatever is there already, from a package or
# from elsewhere, is left alone; with nothing missing, apt is not called.
set -u -o pipefail

die() {
	echo "packages.sh: $*" >&2
	exit 1
}

# One line per need: package, kind of proof, what proves that it is there.
needs() {
	case $1 in
	build)
		echo "gcc command ${CC:-cc}"
		cat <<-'END'
			libc6-dev header stdio.h
			pkgconf command pkg-config
			libfuse3-dev module fuse3
			libinih-dev module inih
			libisal-dev module libisal
			libsqlite3-dev module sqlite3
		END
		;;
	test)
		cat <<-'END'
			check module check
			sqlite3 command sqlite3
			fuse3 command fusermount3
			curl command curl
			attr command setfattr
			g++ command c++
			groff-base command groff
			e2fsprogs command mkfs.ext4
			xfsprogs command mkfs.xfs
			btrfs-progs command mkfs.btrfs
		END
		;;
	crash)
		cat <<-'END'
			qemu-system-common command qemu-storage-daemon
			e2fsprogs command mkfs.ext4
			xfsprogs command mkfs.xfs
			mount command losetup
			nbdkit command nbdkit
			libnbd-bin command nbdfuse
			strace command strace
		END
		;;
	demo)
		cat <<-'END'
			fuse3 command fusermount3
			curl command curl
		END
		;;
	lint)
		cat <<-'END'
			clang command clang
			clang-tidy command clang-tidy
			cppcheck command cppcheck
			shellcheck command shellcheck
		END
		;;
	*) die "no such group: $1" ;;
	esac
}

there() {
	local package=$1 kind=$2 what=$3

	case $kind in
	command) command -v "$what" && return ;;
	module) pkg-config --exists "$what" && return ;;
	header) echo "#include <$what>" | "${CC:-cc}" -E - && return ;;
	esac >/dev/null 2>&1
	dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null |
		grep -qx installed
}

# Set $missing to the packages that the groups lack.
find_missing() {
	local group package kind what

	missing=()
	for group; do
		while read -r package kind what; do
			case " ${missing[*]-} " in *" $package "*) continue ;; esac
			there "$package" "$kind" "$what" ||
				missing+=("$package")
		done < <(needs "$group")
	done
}

apt_line() {
	echo "apt-get install -y --no-install-recommends ${missing[*]}"
}

# Set $root to what makes a command run as root; fail if nothing does.
find_root() {
	root=()
	[ "$(id -u)" = 0 ] && return
	command -v sudo >/dev/null || return
	root=(sudo -n)
	sudo -n true 2>/dev/null && return
	[ -t 0 ] && [ -t 2 ] || return
	root=(sudo)
	sudo -v
}

# Run apt-get, once more with fresh lists if it fails: they may be missing.
apt() {
	local log

	log=$(mktemp) || return
	if ! "$@" >"$log" 2>&1; then
		"${root[@]}" apt-get -o DPkg::Lock::Timeout=300 update \
			>>"$log" 2>&1
		if ! "$@" >>"$log" 2>&1; then
			cat "$log" >&2
			rm -f "$log"
			return 1
		fi
	fi
	rm -f "$log"
}

install_missing() {
	find_missing "$@"
	[ ${#missing[@]} -gt 0 ] || return 0
	if ! command -v apt-get >/dev/null || ! find_root; then
		echo "These packages are missing. As root:" >&2
		apt_line >&2
		exit 1
	fi
	echo "installing ${missing[*]}"
	apt "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
		apt-get -o DPkg::Lock::Timeout=300 install -y -q \
		--no-install-recommends --no-upgrade "${missing[@]}" ||
		die "apt-get failed; as root: $(apt_line)"
}

# Fetch a package and unpack it into a folder.
unpack() {
	local package=$1 into=$2

	(cd "$into/deb" && apt apt-get download -q "$package") || return
	dpkg-deb -x "$into"/deb/"$package"_*.deb "$into"
}

# The libraries that a package wants and a program, run with them, still lacks.
lacking_libraries() {
	dpkg-deb -f "$1" Depends | tr ',' '\n' |
		sed -n 's/^ *\(lib[^ |]*\).*/\1/p' | while read -r library; do
		[ "$library" = libc6 ] || there "$library" none none ||
			echo "$library"
	done
}

unpack_nginx() {
	local dir=$1 library new libraries

	[ -x "$dir/nginx" ] && return
	if [ -x /usr/sbin/nginx ]; then
		mkdir -p "$dir"
		ln -sf /usr/sbin/nginx "$dir/nginx"
		return
	fi
	command -v apt-get >/dev/null || die "nginx: no apt-get to fetch it by"
	find_root || root=(false)
	new=$dir.new
	rm -rf "$new"
	mkdir -p "$new/deb" || exit 1
	unpack nginx "$new" || die "nginx could not be fetched"
	libraries=$(lacking_libraries "$new"/deb/nginx_*.deb)
	for library in $libraries; do
		unpack "$library" "$new" || die "$library could not be fetched"
	done
	rm -rf "$new/deb"
	cat >"$new/nginx" <<-'END'
		#!/bin/sh
		here=$(dirname "$(readlink -f "$0")")
		for d in "$here"/usr/lib/*-linux-gnu* "$here"/lib/*-linux-gnu*; do
			[ -d "$d" ] || continue
			LD_LIBRARY_PATH=$d${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
			export LD_LIBRARY_PATH
		done
		exec "$here/usr/sbin/nginx" "$@"
	END
	chmod +x "$new/nginx"
	"$new/nginx" -v 2>/dev/null || die "the unpacked nginx does not run"
	rm -rf "$dir"
	mv "$new" "$dir"
}

case ${1-} in
check)
	find_missing "${@:2}"
	[ ${#missing[@]} -eq 0 ] && exit
	echo "These packages are missing. As root:" >&2
	apt_line >&2
	exit 1
	;;
install) install_missing "${@:2}" ;;
nginx) unpack_nginx "${2:?where to}" ;;
*) die "check, install or nginx?" ;;
esac
