#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# install.sh check|files|remove KDIR: the part of `make install` and `make uninstall` that is not
# the kernel's own modules_install: depmod, signing, and what makes this driver take the device
# instead of the kernel's.
#
# DESTDIR and INSTALL_MOD_PATH as usual: where everything, and where the module goes, if not to this
# system. Of the two, one stands for both: who installs into the image of a guest wants nothing in
# this system.

. "$(dirname "$0")/../setup/common.sh"

DESTDIR=${DESTDIR:-${INSTALL_MOD_PATH:-}}
MODULES_ROOT=${INSTALL_MOD_PATH:-$DESTDIR}
MODULE=virtio_balloon_rs
TOOL=/usr/sbin/virtio-balloon-driver
MODPROBE_CONF=/usr/lib/modprobe.d/virtio-balloon-rs.conf
UDEV_RULES=/usr/lib/udev/rules.d/60-virtio-balloon-rs.rules
# What the tool writes if the C driver is chosen, and if it is given the device until the next boot.
GIVEN=/run/udev/rules.d/60-virtio-balloon-rs.rules
CHOICES=(/etc/modprobe.d/virtio-balloon-rs.conf /etc/udev/rules.d/60-virtio-balloon-rs.rules)

# Is it this system that is changed, and not a directory that is to be packed?
live() {
	[ -z "$DESTDIR" ]
}

# The directory itself may have to be made.
writable() {
	local dir=$1
	until [ -e "$dir" ]; do
		dir=$(dirname "$dir")
	done
	[ -w "$dir" ]
}

check() {
	local dir
	for dir in "$DESTDIR" "$MODULES_ROOT"; do
		[[ -z $dir || $dir = /* ]] || die "'$dir' is not an absolute path. Give DESTDIR= or INSTALL_MOD_PATH= one."
	done
	for dir in "$MODULES_ROOT/lib/modules" "$DESTDIR/usr/sbin" "$DESTDIR/usr/lib"; do
		writable "$dir" ||
			die "cannot write to $dir. Run this as root ('sudo make install KDIR=...'), or give DESTDIR=<directory>."
	done
	[ -n "${SIGN_KEY:-}" ] || [ -z "${SIGN_CERT:-}" ] || die "SIGN_CERT= without SIGN_KEY=. Give both."
	[ -z "${SIGN_KEY:-}" ] || {
		[ -n "${SIGN_CERT:-}" ] || die "SIGN_KEY= without SIGN_CERT=. Give both."
		[ -r "$SIGN_KEY" ] || die "cannot read SIGN_KEY=$SIGN_KEY."
		[ -r "$SIGN_CERT" ] || die "cannot read SIGN_CERT=$SIGN_CERT."
		[ -x "$KDIR/scripts/sign-file" ] ||
			die "KDIR=$KDIR has no scripts/sign-file: its kernel has no signed modules (CONFIG_MODULE_SIG)."
		try_key
	}
}

sign_file() {
	local hash
	hash=$(sed -n 's/^CONFIG_MODULE_SIG_HASH="\(.*\)"$/\1/p' "$KDIR/include/config/auto.conf")
	"$KDIR/scripts/sign-file" "${hash:-sha256}" "$SIGN_KEY" "$SIGN_CERT" "$1" </dev/null
}

# On something else, before the build takes its time and a module is there that is not signed.
try_key() {
	SCRATCH=$(mktemp -d)
	trap 'rm -rf "$SCRATCH"' EXIT
	echo module >"$SCRATCH/module"
	sign_file "$SCRATCH/module" >"$SCRATCH/log" 2>&1 ||
		die_with_log "$SCRATCH/log" "nothing can be signed with SIGN_KEY=$SIGN_KEY and SIGN_CERT=$SIGN_CERT. Give the private key (PEM) and its own certificate; KBUILD_SIGN_PIN= if the key has a passphrase."
}

# For those whose kernel tree has not the key: the kernel's modules_install has left it unsigned.
sign() {
	[ -n "${SIGN_KEY:-}" ] || return 0
	sign_file "$MODULES/updates/$MODULE.ko" ||
		die "scripts/sign-file could not sign the module with SIGN_KEY=$SIGN_KEY and SIGN_CERT=$SIGN_CERT."
	# That of an earlier installation without a key: a signed one is not compressed.
	rm -f "$MODULES/updates/$MODULE".ko.{xz,gz,zst}
	step signed "with $SIGN_KEY"
}

# A directory with nothing but our module in it has nothing to depend on.
run_depmod() {
	if [ ! -e "$MODULES/modules.order" ]; then
		step depmod "not run: $MODULES has no modules of the kernel"
	elif [ -n "$MODULES_ROOT" ]; then
		depmod -b "$MODULES_ROOT" "$RELEASE"
	else
		depmod "$RELEASE"
	fi
}

files() {
	compgen -G "$MODULES/updates/$MODULE.ko*" >/dev/null ||
		die "there is no module in $MODULES/updates: run 'make install', which puts it there."
	sign
	install -D -m 0755 "$VBRS_TOP/tools/install/virtio-balloon-driver.sh" "$DESTDIR$TOOL"
	install -D -m 0644 "$VBRS_TOP/tools/install/virtio-balloon-rs.conf" "$DESTDIR$MODPROBE_CONF"
	install -D -m 0644 "$VBRS_TOP/tools/install/60-virtio-balloon-rs.rules" "$DESTDIR$UDEV_RULES"
	step installed "$(compgen -G "$MODULES/updates/$MODULE.ko*")"
	step '' "$DESTDIR$TOOL"
	step '' "$DESTDIR$MODPROBE_CONF"
	step '' "$DESTDIR$UDEV_RULES"
	run_depmod
	! live || next_steps
}

next_steps() {
	! command -v udevadm >/dev/null || udevadm control --reload 2>/dev/null || true
	step next "virtio-balloon-driver rust: takes the balloon over now, else the next boot does"
	! command -v update-initramfs >/dev/null ||
		step '' "update-initramfs -u -k $RELEASE: if your initramfs has virtio_balloon in it"
}

# Directories that nothing else is in.
remove_empty() {
	local dir=$1
	while [ "$dir" != "$2" ] && [ -n "$dir" ] && rmdir "$dir" 2>/dev/null; do
		dir=$(dirname "$dir")
	done
}

remove() {
	local file
	# The C driver gets its device back while there is something to give it back with.
	if live && [ -x "$TOOL" ]; then
		"$TOOL" give || step note "the device has no other driver, and keeps this one until the next boot"
		modprobe -r "$MODULE" 2>/dev/null || true
	fi
	rm -f "$MODULES/updates/$MODULE".ko{,.xz,.gz,.zst}
	remove_empty "$MODULES/updates" "$MODULES_ROOT"
	for file in "$TOOL" "$MODPROBE_CONF" "$UDEV_RULES" "${CHOICES[@]}"; do
		rm -f "$DESTDIR$file"
		# What a system has always had stays.
		live || remove_empty "$(dirname "$DESTDIR$file")" "$DESTDIR"
	done
	! live || rm -f "$GIVEN"
	! live || ! command -v udevadm >/dev/null || udevadm control --reload 2>/dev/null || true
	step removed "the module of $RELEASE, and what made it take the device"
	[ ! -d "$MODULES" ] || run_depmod
}

KDIR=${2:-}
[ -n "$KDIR" ] || die "no kernel tree given. Run 'make setup', or give KDIR=<built kernel tree>."
RELEASE=$(cat "$KDIR/include/config/kernel.release" 2>/dev/null) ||
	die "KDIR=$KDIR is not a built kernel tree (no include/config/kernel.release)."
MODULES=$MODULES_ROOT/lib/modules/$RELEASE
case ${1:-} in
check) check ;;
files) files ;;
remove)
	check
	remove
	;;
*) die "usage: install.sh check|files|remove KDIR" ;;
esac
