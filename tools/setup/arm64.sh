#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# arm64.sh: what guests for 64-bit Arm take beside a kernel: QEMU for it, from where the other QEMU is from,
# a static busybox, and what the guest's agent is linked with. Of the packages for arm64 none is installed:
# they are unpacked into a directory of the cache.

. "$(dirname "$0")/common.sh"
. "$VBRS_SETUP/apt.sh"
. "$VBRS_SETUP/cache.sh"

# The second serial port of the machine "virt" is the agent's. It has one since 9.1.
MINIMUM=9.1
NAME=qemu-system-aarch64
PACKAGE=qemu-system-arm
TARGET=aarch64-unknown-linux-gnu

qemu_version() {
	"$1" --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9.]*\).*/\1/p'
}

find_qemu() {
	local qemu version
	for qemu in ${VBRS_QEMU_ARM64:+"$VBRS_QEMU_ARM64"} "$(type -P "$NAME")"; do
		version=$(qemu_version "$qemu") || continue
		[ -n "$version" ] && version_ge "$version" "$MINIMUM" || continue
		QEMU=$qemu
		return 0
	done
	return 1
}

install_qemu() {
	local log=$CACHE/log/arm64-qemu.log
	need_debian
	if [ "$DEBIAN" -eq 12 ]; then
		install_from_backports "$PACKAGE" arm64-qemu "$NAME $MINIMUM or newer is missing"
		return
	fi
	need_root "$NAME $MINIMUM or newer is missing" "apt-get install -y --no-install-recommends $PACKAGE"
	lock_cache
	mkdir -p "$CACHE/log"
	progress "installing $PACKAGE"
	as_root "${APT_INSTALL[@]}" "$PACKAGE" >"$log" 2>&1 </dev/null ||
		die_with_log "$log" "apt-get could not install $PACKAGE. Is the package archive reachable? The log is $log."
}

# Rust's library for arm64 has to be of the very compiler: PACKAGE=VERSION, or nothing if that has it itself.
rust_library() {
	local owner version
	[ ! -e "$("$FOUND_RUSTC" --print sysroot)/lib/rustlib/$TARGET/lib" ] || return 0
	owner=$(dpkg-query -S "$(readlink -f "$FOUND_RUSTC")" 2>/dev/null | cut -d: -f1)
	[ -n "$owner" ] ||
		die "$FOUND_RUSTC has no library for arm64. If it is rustup's: rustup target add $TARGET"
	# rustc, libstd-rust-dev; rustc-web, libstd-rust-web-dev.
	owner=${owner/rustc/libstd-rust}-dev
	version=$(dpkg-query -W -f='${Version}' "$owner") || exit 1
	echo "$owner:arm64=$version"
}

packages() {
	local library gcc
	library=$(rust_library) || exit 1
	# The static libraries of gcc are those of the release's own gcc.
	gcc=$(gcc -dumpversion | cut -d. -f1)
	echo busybox-static:arm64 libc6-dev:arm64 "libgcc-$gcc-dev:arm64" $library
}

# root_dir PACKAGE...: where they are unpacked.
root_dir() {
	echo "$CACHE/tools/arm64-$(echo "$DEBIAN_CODENAME $*" | short_hash)"
}

unpack_root() {
	local log=$CACHE/log/arm64.log deb
	lock_cache
	make_scratch arm64
	mkdir -p "$CACHE/log" "$CACHE/tools" "$SCRATCH/root" "$SCRATCH/debs"
	private_apt "$SCRATCH"
	PRIVATE_APT+=(-o "APT::Architectures::=$(dpkg --print-architecture)" -o APT::Architectures::=arm64)
	progress "downloading $*"
	apt-get "${PRIVATE_APT[@]}" update >"$log" 2>&1 </dev/null 9>&- || true
	(cd "$SCRATCH/debs" && apt-get "${PRIVATE_APT[@]}" download "$@") >>"$log" 2>&1 </dev/null 9>&- ||
		die_with_log "$log" "the download of $* failed. Is the package archive reachable, and what is installed up to date (apt-get update && apt-get upgrade)? The log is $log."
	for deb in "$SCRATCH"/debs/*.deb; do
		dpkg-deb -x "$deb" "$SCRATCH/root" || die "cannot unpack $deb: full disk?"
	done
	mv "$SCRATCH/root" "$ROOT"
}

main() {
	local wanted
	load_state toolchain
	[ -n "${FOUND_RUSTC:-}" ] || die "the toolchain is not set up yet: run 'make check-arm64'."
	if ! find_qemu; then
		install_qemu
		find_qemu || die "$PACKAGE is installed, but there is no $NAME $MINIMUM or newer. Set VBRS_QEMU_ARM64."
	fi
	need_debian
	wanted=$(packages) || exit 1
	ROOT=$(root_dir $wanted)
	# shellcheck disable=SC2086 # One word a package.
	[ -e "$ROOT" ] || unpack_root $wanted
	touch "$ROOT"
	prune "$CACHE/tools/arm64-????????????"
	save_state arm64 "FOUND_QEMU_ARM64=$QEMU" "FOUND_ROOT_ARM64=$ROOT"
	step arm64 "QEMU $(qemu_version "$QEMU") in $QEMU"
}

main
