#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# check-deb.sh: installs the package of build-deb.sh in a clean chroot of Debian with a kernel of
# its backports, looks at what is there, removes it, and looks whether anything is left. Takes root,
# debootstrap, and about ten minutes of one core.

. "$(dirname "$0")/../setup/common.sh"

CHROOT=$VBRS_TOP/tools/debian/chroot.sh
NAME=virtio-balloon-rs

in_system() {
	bash "$CHROOT" run "$SYSTEM" "$@"
}

# Every file and directory but those that apt, dpkg and DKMS keep of their own accord: lists, logs,
# backups of the package database, and the key that DKMS makes at its first use.
snapshot() {
	(cd "$SYSTEM" && find . -xdev \( -path ./proc -o -path ./tmp -o -path ./var/log -o -path ./var/cache/apt \
		-o -path ./var/lib/dpkg -o -path ./var/lib/apt -o -path ./var/cache/debconf -o -path ./var/cache/ldconfig \
		-o -path './var/lib/dkms/mok.*' \) -prune -o -print | sort)
}

# expect WHAT CONDITION...
expect() {
	local what=$1
	shift
	"$@" >/dev/null || die "after the installation: $what is not so ($*)."
	step '' "$what"
}

loaded_first() {
	in_system modprobe -S "$1" --show-depends virtio_balloon 2>/dev/null |
		grep -o 'virtio_balloon[a-z_]*\.ko' | head -n 1 | grep -qx virtio_balloon_rs.ko
}

main() {
	local release series deb before after version scratch left
	[ "$(id -u)" -eq 0 ] || die "a chroot of Debian takes root: run this as root."
	rm -f "$VBRS_TOP/build/$NAME"-dkms_*.deb
	bash "$VBRS_TOP/tools/debian/build-deb.sh"
	deb=$(compgen -G "$VBRS_TOP/build/$NAME-dkms_*.deb")
	version=$(dpkg-deb -f "$deb" Version)
	release=$(bash "$CHROOT" release)
	series=$(cut -d. -f1,2 <<<"$release")

	mkdir -p "$VBRS_TOP/build"
	scratch=$(mktemp -d "$VBRS_TOP/build/check-deb.XXXXXX")
	# shellcheck disable=SC2064 # Now, as it is local.
	trap "rm -rf '$scratch'" EXIT
	SYSTEM=$scratch/system
	# What the package depends on is in it already, so that nothing but the package makes a
	# difference.
	bash "$CHROOT" new "$SYSTEM" clean "linux-headers-$release" "linux-image-$release" "linux-source-$series" \
		initramfs-tools udev zstd $(dpkg-deb -f "$deb" Depends | tr ',' '\n' | awk '{ print $1 }') >/dev/null
	cp "$deb" "$SYSTEM/srv/package.deb"
	before=$(snapshot)

	progress "installing the package; DKMS builds the module for $release"
	in_system apt-get install -y --no-install-recommends /srv/package.deb >"$scratch/install.log" 2>&1 </dev/null ||
		die_with_log "$scratch/install.log" "the package cannot be installed."
	[ "$(in_system dkms status -m "$NAME" -v "$version" -k "$release" | grep -c ': installed')" -eq 1 ] || {
		cat "$SYSTEM/var/lib/dkms/$NAME/$version/build/make.log" >>"$scratch/install.log" 2>/dev/null || true
		die_with_log "$scratch/install.log" "DKMS has not installed the module."
	}
	step installed "$NAME-dkms $version"
	expect "DKMS has built the module" in_system modinfo -k "$release" virtio_balloon_rs
	expect "it is signed with the key of DKMS" \
		grep -q . <(in_system modinfo -k "$release" -F signer virtio_balloon_rs)
	expect "it is for that kernel" \
		grep -q "^$release " <(in_system modinfo -k "$release" -F vermagic virtio_balloon_rs)
	expect "modprobe loads it before the C driver" loaded_first "$release"
	expect "the program is there, and runs" in_system virtio-balloon-driver status
	expect "the udev rule is right" \
		in_system udevadm verify --no-summary /usr/lib/udev/rules.d/60-virtio-balloon-rs.rules

	# Somebody has chosen the C driver. There is no device in a chroot, and all of it works
	# without.
	in_system virtio-balloon-driver c >/dev/null
	in_system apt-get purge -y "$NAME-dkms" >"$scratch/remove.log" 2>&1 </dev/null ||
		die_with_log "$scratch/remove.log" "the package cannot be removed."
	after=$(snapshot)
	left=$(comm -13 <(echo "$before") <(echo "$after"))
	[ -z "$left" ] || die "the package has left behind: $(echo "$left" | head -n 20 | tr '\n' ' ')"
	left=$(comm -23 <(echo "$before") <(echo "$after"))
	[ -z "$left" ] || die "the package has taken away: $(echo "$left" | head -n 20 | tr '\n' ' ')"
	! loaded_first "$release" || die "modprobe still loads ours first."
	step removed "nothing is left of it"
	echo "make check-deb: everything passed."
}

main
