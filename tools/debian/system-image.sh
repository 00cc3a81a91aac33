#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# system-image.sh ROOT INSTALLED RELEASE TARGET: makes a disk of a Debian system (ROOT, a chroot) in
# which our module is installed as INSTALLED has it (make install DESTDIR=), with its kernel and two
# initramfs: `plain`, as Debian makes it, and `early`, which has the C driver in it and loads it.
# For check-debian.sh.

. "$(dirname "$0")/../setup/common.sh"

CHROOT=$VBRS_TOP/tools/debian/chroot.sh

in_system() {
	bash "$CHROOT" run "$SYSTEM" "$@"
}

# Says what there is to say on the serial port, line by line, and ends. See system_trial.py.
write_trial() {
	cat >"$SYSTEM/usr/sbin/trial" <<-'TRIAL'
		#!/bin/sh
		exec >/dev/ttyS0 2>&1
		udevadm settle
		tell() {
			echo "trial: $1:" $(virtio-balloon-driver status)
		}
		echo "trial: loaded:" $(lsmod | awk '/^virtio_balloon/ { print $1 }' | tac)
		tell boot
		virtio-balloon-driver give >/dev/null
		udevadm settle
		tell give
		virtio-balloon-driver take >/dev/null
		udevadm settle
		tell take
		virtio-balloon-driver c >/dev/null
		udevadm settle
		tell c
		virtio-balloon-driver rust >/dev/null
		udevadm settle
		tell rust
		echo "trial: problems:" $(dmesg --level=emerg,alert,crit | wc -l)
		echo "trial: end"
		poweroff -f
	TRIAL
	chmod 755 "$SYSTEM/usr/sbin/trial"
	cat >"$SYSTEM/etc/systemd/system/trial.service" <<-'UNIT'
		[Unit]
		After=systemd-udev-settle.service systemd-modules-load.service
		Wants=systemd-udev-settle.service
		[Service]
		ExecStart=/usr/sbin/trial
		[Install]
		WantedBy=multi-user.target
	UNIT
	# It would hang up the port.
	ln -sfn /dev/null "$SYSTEM/etc/systemd/system/serial-getty@ttyS0.service"
	ln -sfn ../trial.service "$SYSTEM/etc/systemd/system/multi-user.target.wants/trial.service"
}

main() {
	[ $# -eq 4 ] || die "usage: system-image.sh ROOT INSTALLED RELEASE TARGET"
	local root=$1 installed=$2 release=$3 target=$4 scratch
	command -v mkfs.ext4 >/dev/null || die "no mkfs.ext4. Install it: apt-get install e2fsprogs."
	rm -rf "$target"
	mkdir -p "$target"
	scratch=$(mktemp -d "$target/root.XXXXXX")
	SYSTEM=$scratch/system
	# shellcheck disable=SC2064 # Now, as it is local.
	trap "rm -rf '$scratch'" EXIT
	progress "making a disk of Debian"
	cp -a "$root" "$SYSTEM"
	echo debian >"$SYSTEM/etc/hostname"
	: >"$SYSTEM/etc/fstab"

	# Before ours is there, as in a system that has had the C driver all the time.
	in_system update-initramfs -u -k "$release" >/dev/null
	cp "$SYSTEM/boot/initrd.img-$release" "$target/plain"
	echo virtio_balloon >>"$SYSTEM/etc/initramfs-tools/modules"
	in_system update-initramfs -u -k "$release" >/dev/null
	cp "$SYSTEM/boot/initrd.img-$release" "$target/early"
	cp "$SYSTEM/boot/vmlinuz-$release" "$target/vmlinuz"

	# --keep-directory-symlink: /lib is one.
	tar -c -C "$installed" . | tar -x -C "$SYSTEM" --keep-directory-symlink --no-same-owner
	in_system depmod "$release"
	write_trial
	rm -rf "$SYSTEM"/var/cache/apt "$SYSTEM"/var/lib/apt/lists "$SYSTEM"/boot/*
	mkfs.ext4 -q -L system -d "$SYSTEM" "$target/disk" "$(($(du -sm "$SYSTEM" | cut -f1) + 400))M"
}

main "$@"
