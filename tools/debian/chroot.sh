#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# chroot.sh COMMAND: chroots of the Debian release whose backports have a kernel with Rust.
#
#   make NAME [PACKAGE...]     prints the directory of one with these packages in it; one is kept in
#                              the cache for each NAME and what is in it
#   new DIR NAME [PACKAGE...]  the same, copied to DIR, to be changed
#   run DIR COMMAND...         runs a command in one
#   release                    prints the backports' newest kernel, as 7.3.4+deb13-amd64
#
# Takes root. For the trials (make check-debian, make check-deb), and for those who run another
# Debian.

. "$(dirname "$0")/../setup/common.sh"
. "$VBRS_SETUP/cache.sh"
. "$VBRS_SETUP/apt.sh"

DEBIAN_RELEASE=trixie
BACKPORTS=$DEBIAN_RELEASE-backports
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

tell() {
	progress "$@" >&2
}

# in_chroot DIR COMMAND...: its mounts go with it. Nothing in it starts a daemon.
in_chroot() {
	local dir=$1
	shift
	# shellcheck disable=SC2016 # The inner shell expands these.
	unshare --mount sh -ec '
		dir=$1; shift
		mount -t proc proc "$dir/proc"
		mount -t tmpfs tmpfs "$dir/tmp"
		exec chroot "$dir" env -i HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive \
			PATH=/usr/sbin:/usr/bin:/sbin:/bin ${VBRS_JOBS:+VBRS_JOBS="$VBRS_JOBS"} VBRS_QUIET=1 "$@"
	' sh "$dir" "$@" 9>&-
}

# The release itself, and the kernel of its backports, from the archive or mirror of this system.
write_sources() {
	local uri
	uri=$(debian_archive)
	[ -n "$uri" ] || die "no source of Debian's main archive in the system's apt configuration."
	rm -f "$1/etc/apt/sources.list"
	write_suite "$1/etc/apt/sources.list.d/debian.sources" "$DEBIAN_RELEASE $BACKPORTS"
	cat >"$1/etc/apt/preferences.d/kernel" <<-PIN
		Package: linux-base* linux-image-* linux-binary-* linux-modules-* linux-headers-* linux-kbuild-* linux-source-*
		Pin: release n=$BACKPORTS
		Pin-Priority: 900
	PIN
	printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
	chmod 755 "$1/usr/sbin/policy-rc.d"
	cp -L /etc/resolv.conf "$1/etc/resolv.conf" 2>/dev/null || true
}

# complete DIR: the stamp is beside it, for nothing in it is ours.
complete() {
	[ -e "$1$STAMP" ]
}

make_base() {
	local base=$CHROOTS/base
	if ! complete "$base"; then
		command -v debootstrap >/dev/null || die "no debootstrap. Install it: apt-get install debootstrap."
		tell "making a chroot of $DEBIAN_RELEASE"
		rm -rf "$base"
		mkdir -p "$base"
		debootstrap --variant=minbase --keyring="$KEYRING" "$DEBIAN_RELEASE" "$base" "$(debian_archive)" \
			>"$LOG" 2>&1 </dev/null 9>&- ||
			die_with_log "$LOG" "debootstrap failed. Is the package archive reachable? The log is $LOG."
		write_sources "$base"
		in_chroot "$base" apt-get "${APT_OPTIONS[@]}" update >>"$LOG" 2>&1 </dev/null ||
			die_with_log "$LOG" "the package lists of $BACKPORTS cannot be had. The log is $LOG."
		date >"$base$STAMP"
	fi
	echo "$base"
}

# install_packages DIR PACKAGE...
install_packages() {
	local dir=$1
	shift
	tell "installing in a chroot of $DEBIAN_RELEASE: $*"
	in_chroot "$dir" apt-get "${APT_OPTIONS[@]}" install -y --no-install-recommends "$@" >>"$LOG" 2>&1 </dev/null ||
		die_with_log "$LOG" "the packages cannot be installed in a chroot of $DEBIAN_RELEASE ($*). The log is $LOG."
}

make_chroot() {
	local name=$1 dir base
	shift
	base=$(make_base)
	dir=$CHROOTS/$name-$({ cat "$base$STAMP"; echo "$*"; } | short_hash)
	if ! complete "$dir"; then
		need_disk "$CACHE" 4096 "a chroot of Debian"
		rm -rf "$dir"
		cp -a "$base" "$dir"
		[ $# -eq 0 ] || install_packages "$dir" "$@"
		in_chroot "$dir" apt-get clean
		date >"$dir$STAMP"
	fi
	echo "$dir"
}

newest_release() {
	local release base
	base=$(make_base)
	release=$(in_chroot "$base" apt-cache depends "linux-image-amd64/$BACKPORTS" |
		sed -n 's/^ *Depends: linux-image-//p' | head -n 1)
	[ -n "$release" ] || die "the suite $BACKPORTS has no kernel."
	echo "$release"
}

main() {
	local command=${1:-} dir
	[ $# -eq 0 ] || shift
	[ "$(id -u)" -eq 0 ] || die "a chroot of Debian takes root: run this as root."
	CHROOTS=$CACHE/debian-chroot
	LOG=$CACHE/log/debian-chroot.log
	case $command in
	run)
		[ $# -ge 2 ] && [ -d "$1/etc/apt" ] || die "usage: chroot.sh run DIR COMMAND..."
		in_chroot "$@"
		return
		;;
	make | new | release) ;;
	*) die "usage: chroot.sh make NAME [PACKAGE...] | new DIR NAME [PACKAGE...] | run DIR COMMAND... | release" ;;
	esac
	need_debian
	lock_cache
	mkdir -p "$CHROOTS" "$CACHE/log"
	case $command in
	make) make_chroot "$@" ;;
	new)
		dir=$1
		shift
		cp -a "$(make_chroot "$@")" "$dir"
		echo "$dir"
		;;
	release) newest_release ;;
	esac
}

main "$@"
