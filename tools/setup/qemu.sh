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

# With the system's own sources plus the backports, in a private copy of both, so that the system
# still knows nothing of backports afterwards.
install_from_backports() {
	local log=$CACHE/log/qemu.log suite=$DEBIAN_CODENAME-backports
	need_root "QEMU $MINIMUM or newer is missing" \
		"apt-get install -y --no-install-recommends -t $suite qemu-system-x86  (with $suite among the package sources)"
	lock_cache
	make_scratch qemu
	mkdir -p "$CACHE/log" "$SCRATCH/sources"
	private_apt "$SCRATCH"
	find /etc/apt/sources.list.d -name '*.sources' -o -name '*.list' |
		while read -r file; do cp "$file" "$SCRATCH/sources"; done
	write_suite "$SCRATCH/sources/$suite.sources" "$suite"
	PRIVATE_APT+=(-o "Dir::Etc::sourceparts=$SCRATCH/sources")

	progress "installing qemu-system-x86 from $suite"
	as_root apt-get "${PRIVATE_APT[@]}" update >"$log" 2>&1 </dev/null || true
	as_root "${APT_INSTALL[@]}" "${PRIVATE_APT[@]}" -t "$suite" qemu-system-x86 >>"$log" 2>&1 </dev/null ||
		die_with_log "$log" "apt-get could not install qemu-system-x86 from $suite. Is the package archive reachable? The log is $log."
	# What root left in the scratch directory only root can remove.
	[ "$(id -u)" -eq 0 ] || as_root chown -R "$(id -u)" "$SCRATCH"
}

main() {
	if ! find_qemu; then
		need_debian
		[ "$DEBIAN" -eq 12 ] ||
			die "no $NAME of version $MINIMUM or newer. Install the package qemu-system-x86, or set VBRS_QEMU."
		install_from_backports
		find_qemu || die "the package qemu-system-x86 is installed, but there is still no $NAME >= $MINIMUM. Set VBRS_QEMU."
	fi
	save_state qemu "FOUND_QEMU=$QEMU"
	step qemu "$QEMU_VERSION in $QEMU"
}

main
