#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# virtio-balloon-driver: says which driver has the virtio balloons, and lets the other one have
# them. Installed as /usr/sbin/virtio-balloon-driver; Documentation/admin-guide/installation.rst is
# about it.

set -eu
export LC_ALL=C
# udev's rules run with hardly any PATH.
PATH=${PATH:-/bin}:/usr/sbin:/usr/bin:/sbin:/bin

RUST=virtio_balloon_rs
C=virtio_balloon
# The virtio device id of a balloon.
BALLOON=0x0005

# Other places are for tests.
SYSFS=${SYSFS:-/sys}
ETC=${ETC:-/etc}
RUN=${RUN:-/run}
BUS=$SYSFS/bus/virtio

# A file in /etc hides the one of the same name that was installed below /usr/lib.
MODPROBE_CONF=$ETC/modprobe.d/virtio-balloon-rs.conf
UDEV_RULES=$ETC/udev/rules.d/60-virtio-balloon-rs.rules
# The same until the next boot: else udev would take what was given back at once.
GIVEN_RULES=$RUN/udev/rules.d/60-virtio-balloon-rs.rules
MARK='# Written by virtio-balloon-driver'

usage() {
	cat <<-'USAGE'
		usage: virtio-balloon-driver COMMAND
		  status          which driver has each virtio balloon, and which is chosen
		  rust            choose the Rust driver, from now on, and let it have the balloons
		  c               choose the kernel's C driver, from now on, and let it have the balloons
		  take [DEVICE]   let the Rust driver have the balloons of the C driver now (or one: virtio0)
		  give [DEVICE]   the reverse
	USAGE
}

say() {
	printf '%s\n' "$*"
}

die() {
	printf 'virtio-balloon-driver: error: %s\n' "$*" >&2
	exit 1
}

need_root() {
	[ "$(id -u)" -eq 0 ] || die "only root can change drivers: run 'sudo virtio-balloon-driver $1'."
}

# The balloons' names, as virtio0.
balloons() {
	for dir in "$BUS"/devices/*; do
		[ -e "$dir/device" ] && [ "$(cat "$dir/device")" = "$BALLOON" ] || continue
		basename "$dir"
	done
}

# driver_of DEVICE: the name of its driver, or nothing.
driver_of() {
	[ -L "$BUS/devices/$1/driver" ] || return 0
	basename "$(readlink "$BUS/devices/$1/driver")"
}

# known DRIVER: can it be loaded into this kernel, or is it there already?
known() {
	[ -d "$BUS/drivers/$1" ] || modprobe -D "$1" >/dev/null 2>&1
}

# load DRIVER: a built-in one is there already.
load() {
	[ -d "$BUS/drivers/$1" ] || modprobe "$1" 2>/dev/null || return 1
	[ -d "$BUS/drivers/$1" ]
}

# move DEVICE OLD NEW: if the new driver does not take the device, the old one gets it back.
move() {
	say "$1" >"$BUS/drivers/$2/unbind" || die "$2 does not let go of $1."
	if { say "$1" >"$BUS/drivers/$3/bind"; } 2>/dev/null; then
		say "$1: $3"
		return
	fi
	# The device may have gone in between.
	[ -e "$BUS/devices/$1" ] || return 0
	say "$1" >"$BUS/drivers/$2/bind" 2>/dev/null || true
	die "$3 does not take $1 (see dmesg); now it has: $(driver_of "$1")."
}

# move_all OLD NEW [DEVICE]
move_all() {
	some=
	for device in ${3:-$(balloons)}; do
		[ "$(driver_of "$device")" = "$1" ] || continue
		some=1
		load "$2" || die "the driver $2 cannot be loaded into $(uname -r) (see dmesg, and 'modprobe $2'); $1 keeps $device."
		move "$device" "$1" "$2"
	done
	[ -n "$some" ] || say "no balloon has the driver $1."
}

take() {
	if [ -L "$GIVEN_RULES" ]; then
		rm -f "$GIVEN_RULES"
		reload_rules
	fi
	move_all "$C" "$RUST" "$@"
}

give() {
	# Where udev runs.
	if [ -d "$RUN/udev" ]; then
		mkdir -p "$(dirname "$GIVEN_RULES")"
		ln -sfn /dev/null "$GIVEN_RULES"
		reload_rules
	fi
	move_all "$RUST" "$C" "$@"
}

# Ours, or a file that somebody else wrote?
check_override() {
	[ ! -e "$MODPROBE_CONF" ] || grep -qF "$MARK" "$MODPROBE_CONF" ||
		die "$MODPROBE_CONF is not this program's. Move what it says into a file of another name there, and remove it."
}

choose_rust() {
	check_override
	rm -f "$MODPROBE_CONF" "$UDEV_RULES"
	reload_rules
	take
	say "chosen: $RUST"
}

choose_c() {
	check_override
	mkdir -p "$(dirname "$MODPROBE_CONF")" "$(dirname "$UDEV_RULES")"
	{
		say "$MARK c; 'virtio-balloon-driver rust' removes it."
		say "blacklist $RUST"
	} >"$MODPROBE_CONF"
	ln -sfn /dev/null "$UDEV_RULES"
	reload_rules
	give
	modprobe -r "$RUST" 2>/dev/null || true
	say "chosen: $C"
}

reload_rules() {
	! command -v udevadm >/dev/null || udevadm control --reload 2>/dev/null || true
}

status() {
	found=
	for device in $(balloons); do
		found=1
		driver=$(driver_of "$device")
		say "$device: ${driver:-no driver}"
	done
	[ -n "$found" ] || say "no virtio balloon here"
	if [ -e "$MODPROBE_CONF" ] && grep -qF "$MARK" "$MODPROBE_CONF"; then
		say "chosen: $C"
	else
		say "chosen: $RUST"
	fi
	if known "$RUST"; then
		say "$RUST: there for $(uname -r)"
	else
		say "$RUST: not there for $(uname -r)"
	fi
}

command=${1:-}
case $command in
status | rust | c) [ $# -eq 1 ] || { usage >&2; exit 2; } ;;
take | give)
	[ $# -le 2 ] || { usage >&2; exit 2; }
	[ $# -eq 1 ] || case $2 in
	*[!a-z0-9]*) die "'$2' is no device of $BUS/devices, as virtio0." ;;
	*) [ -e "$BUS/devices/$2" ] || die "there is no device $2 in $BUS/devices." ;;
	esac
	;;
-h | --help | help)
	usage
	exit
	;;
*)
	usage >&2
	exit 2
	;;
esac
[ "$command" = status ] || need_root "$*"
case $command in
status) status ;;
rust) choose_rust ;;
c) choose_c ;;
take)
	shift
	take "$@"
	;;
give)
	shift
	give "$@"
	;;
esac
