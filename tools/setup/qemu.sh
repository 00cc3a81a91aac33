#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Finds a QEMU that is new enough; on Debian 12 installs the one from its backports.
#
# Before 9.0, QEMU loses guest writes when it migrates without KVM, so a migration test could not tell
# the driver's mistakes from QEMU's.

. "$(dirname "$0")/common.sh"
. "$VBRS_SETUP/apt.sh"

MINIMUM=9.0
NAME='qemu-system-x86_64'

qemu_version() {
	"$1" --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9.]*\).*/\1/p'
}

find_qemu() {
	local qemu version
	while read -r qemu; do
		[ -x "$qemu" ] || continue
		version=$(qemu_version "$qemu") || continue
		[ -n "$version" ] && version_ge "$version" "$MINIMUM" || continue
		QEMU=$qemu
		QEMU_VERSION=$version
		return 0
	done < <(printf '%s\n' ${VBRS_QEMU:+"$VBRS_QEMU"}; type -ap "$NAME"; echo "/usr/bin/$NAME")
	return 1
}

main() {
	if ! find_qemu; then
		need_debian
		[ "$DEBIAN" -eq 12 ] ||
			die "no $NAME of version $MINIMUM or newer. Install the package qemu-system-x86, or set VBRS_QEMU."
		install_from_backports qemu-system-x86 qemu "QEMU $MINIMUM or newer is missing"
		find_qemu || die "the package qemu-system-x86 is installed, but there is still no $NAME >= $MINIMUM. Set VBRS_QEMU."
	fi
	save_state qemu "FOUND_QEMU=$QEMU"
	step qemu "$QEMU_VERSION in $QEMU"
}

main
