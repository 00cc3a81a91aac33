#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Gets the kernel's source from Debian: the package linux-source-7.3, or the newest later one once that
# is gone, from the suite that has it. The system's apt configuration is not touched.

. "$(dirname "$0")/common.sh"
. "$VBRS_SETUP/apt.sh"

SUITE=trixie-backports
PREFERRED=7.3
PACKAGE='^linux-source-[0-9]+\.[0-9]+$'

# The package to take among those on standard input.
choose() {
	local name best=''
	while read -r name; do
		version_ge "${name#linux-source-}" "$PREFERRED" || continue
		[ "${name#linux-source-}" != "$PREFERRED" ] || { echo "$name"; return; }
		[ -n "$best" ] && version_ge "${best#linux-source-}" "${name#linux-source-}" || best=$name
	done
	echo "$best"
}

# Downloads the package into $SCRATCH and sets DEB.
download() {
	local log=$CACHE/log/kernel-source.log name
	mkdir -p "$CACHE/log"
	write_suite "$SCRATCH/suite.sources" "$SUITE"
	private_apt "$SCRATCH"
	PRIVATE_APT+=(-o "Dir::Etc::sourcelist=$SCRATCH/suite.sources" -o Dir::Etc::sourceparts=/dev/null)

	# Errors show below, by the package not being there.
	apt-get "${PRIVATE_APT[@]}" update >"$log" 2>&1 </dev/null 9>&- || true
	# From the lists of this suite only, not from what the system has installed.
	name=$(apt-cache "${PRIVATE_APT[@]}" dumpavail 2>>"$log" | awk '$1 == "Package:" { print $2 }' |
		grep -E "$PACKAGE" | sort -u | choose) || true
	[ -n "$name" ] ||
		die_with_log "$log" "no kernel source $PREFERRED or newer (package linux-source-*) found in the suite $SUITE: is the package archive reachable? The log is $log. Without network: VBRS_KERNEL_DEB=<linux-source-7.3_*.deb> make setup."
	progress "downloading $name (about 170 MB)"
	(cd "$SCRATCH" && apt-get "${PRIVATE_APT[@]}" download "$name") >>"$log" 2>&1 </dev/null 9>&- ||
		die_with_log "$log" "the download of $name failed. Is the package archive reachable? The log is $log."
	DEB=$(echo "$SCRATCH"/linux-source-*.deb)
}

# Unpacks DEB aside and renames: a directory with the final name is whole.
unpack() {
	local package version dir
	package=$(dpkg-deb -f "$DEB" Package) && version=$(dpkg-deb -f "$DEB" Version) ||
		die "$DEB is not a Debian package."
	[[ $package =~ $PACKAGE ]] && version_ge "$version" "$PREFERRED" ||
		die "$DEB holds $package $version; a linux-source-$PREFERRED or newer is needed."
	# The kernel's build system is happier without '~' and '+' in paths.
	dir=$CACHE/src/linux-${version//[^A-Za-z0-9._]/-}
	if [ ! -d "$dir" ]; then
		need_disk "$CACHE" 3072 "the kernel's source"
		progress "unpacking $package $version"
		mkdir -p "$SCRATCH/source" "$CACHE/src"
		dpkg-deb --fsys-tarfile "$DEB" | tar -xO "./usr/src/$package.tar.xz" | tar -xJ -C "$SCRATCH/source" ||
			die "cannot unpack $DEB: broken download or full disk? Run 'make setup' again."
		mv "$SCRATCH/source/$package" "$dir"
	fi
	save_state source "FOUND_KSRC=$dir" "FOUND_KVERSION=$version"
}

main() {
	load_state source
	if [ -z "${FOUND_KSRC:-}" ] || [ ! -e "$FOUND_KSRC/Makefile" ]; then
		lock_cache
		make_scratch kernel-source
		if [ -n "${VBRS_KERNEL_DEB:-}" ]; then
			[ -e "$VBRS_KERNEL_DEB" ] || die "VBRS_KERNEL_DEB=$VBRS_KERNEL_DEB does not exist."
			DEB=$VBRS_KERNEL_DEB
		else
			need_debian
			download
		fi
		unpack
		load_state source
	fi
	step "kernel source" "$FOUND_KVERSION in $FOUND_KSRC"
}

main
