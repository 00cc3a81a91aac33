#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# secure-boot.sh CHROOT KERNEL CERTIFICATE TARGET: what a guest with Secure Boot takes: firmware, its
# variables, and the kernel. CHROOT has ovmf, sbsigntool, python3-virt-firmware and openssl. The
# firmware knows a key that is made here, with which the kernel is signed so that it is booted, and
# CERTIFICATE (DER), that of somebody's own key for modules. For check-debian.sh.

. "$(dirname "$0")/../setup/common.sh"

FIRMWARE=/usr/share/OVMF

main() {
	[ $# -eq 4 ] || die "usage: secure-boot.sh CHROOT KERNEL CERTIFICATE TARGET"
	local root=$1 kernel=$2 certificate=$3 target=$4 scratch=$1/srv/secure-boot
	rm -rf "$scratch" "$target"
	mkdir -p "$scratch" "$target"
	cp "$kernel" "$scratch/vmlinuz"
	cp "$certificate" "$scratch/modules.der"
	# shellcheck disable=SC2016 # The inner shell expands these.
	bash "$VBRS_TOP/tools/debian/chroot.sh" run "$root" sh -ec '
		cd /srv/secure-boot
		openssl x509 -inform DER -in modules.der -out modules.pem
		openssl req -new -x509 -newkey rsa:2048 -nodes -days 36500 -subj /CN=firmware/ \
			-keyout firmware.key -out firmware.pem
		sbsign --key firmware.key --cert firmware.pem --output signed vmlinuz
		owner=$(cat /proc/sys/kernel/random/uuid)
		virt-fw-vars --input "$0/OVMF_VARS_4M.fd" --output variables --sb \
			--set-pk "$owner" firmware.pem --add-kek "$owner" firmware.pem \
			--add-db "$owner" firmware.pem --add-db "$owner" modules.pem
	' "$FIRMWARE" >"$scratch/log" 2>&1 || die_with_log "$scratch/log" "the firmware's variables cannot be made."
	cp "$scratch/signed" "$target/vmlinuz"
	cp "$scratch/variables" "$target/variables"
	cp "$root$FIRMWARE/OVMF_CODE_4M.secboot.fd" "$target/firmware"
}

main "$@"
