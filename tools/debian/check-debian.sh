#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# check-debian.sh: builds the module for the newest kernel of Debian's backports as somebody with
# Debian would, in a chroot, and tries it on that kernel as it is: in a small guest, with Secure
# Boot, in a system of Debian that boots with udev, and with the guide's commands for tracing. Takes
# root, debootstrap, the QEMUs of the set-up, and about 15 minutes the first time.

. "$(dirname "$0")/../setup/common.sh"

CHROOT=$VBRS_TOP/tools/debian/chroot.sh
# Where the checkout is in the chroot.
INSIDE=/srv/virtio-balloon-rs
PACKAGES=$VBRS_TOP/tools/debian/packages.list

python() {
	(cd "$VBRS_TOP" && "${PYTHON:-python3}" -m "$@")
}

# A fresh copy each time; the cache of the chroot, beside it, stays.
copy_checkout() {
	rm -rf "$BUILD$INSIDE"
	mkdir -p "$BUILD$INSIDE"
	(cd "$VBRS_TOP" && git ls-files -z --cached --others --exclude-standard |
		while IFS= read -r -d '' file; do [ ! -f "$file" ] || printf '%s\0' "$file"; done |
		tar -c --null -T -) | tar -x -C "$BUILD$INSIDE" --no-same-owner
}

in_build() {
	bash "$CHROOT" run "$BUILD" make -C "$INSIDE" "$@"
}

# That of somebody with modules of their own.
make_key() {
	rm -rf "$BUILD/srv/key"
	mkdir "$BUILD/srv/key"
	bash "$CHROOT" run "$BUILD" openssl req -new -x509 -newkey rsa:2048 -nodes -days 36500 \
		-subj '/CN=our modules/' -outform DER -keyout /srv/key/MOK.priv -out /srv/key/MOK.der 2>/dev/null
}

main() {
	local release series packages tree root signed firmware
	[ "$(id -u)" -eq 0 ] || die "a chroot of Debian takes root: run this as root."
	release=$(bash "$CHROOT" release)
	series=$(cut -d. -f1,2 <<<"$release")
	step "debian kernel" "$release"

	mapfile -t packages < <(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$PACKAGES")
	BUILD=$(bash "$CHROOT" make build "linux-headers-$release" "linux-source-$series" "${packages[@]}")
	copy_checkout
	in_build debian "RELEASE=$release"
	# Another compiler, and other checks of the standard library's.
	(cd "$VBRS_TOP" && "${PYTHON:-python3}" tools/checks/panic_free.py "$BUILD$INSIDE/virtio_balloon_rs.ko")
	tree=$(bash "$CHROOT" run "$BUILD" bash "$INSIDE/tools/debian/rust-tree.sh" "$release")
	rm -rf "$BUILD/srv/installed" "$BUILD/srv/signed"
	in_build install "KDIR=$tree" RUSTC=/usr/bin/rustc DESTDIR=/srv/installed
	make_key
	in_build install "KDIR=$tree" RUSTC=/usr/bin/rustc DESTDIR=/srv/signed \
		SIGN_KEY=/srv/key/MOK.priv SIGN_CERT=/srv/key/MOK.der
	signed=$BUILD/srv/signed/lib/modules/$release/updates/virtio_balloon_rs.ko
	"${PYTHON:-python3}" "$VBRS_TOP/tools/checks/module_signature.py" "$signed" "$BUILD/srv/key/MOK.der"

	root=$(bash "$CHROOT" make system "linux-image-$release" initramfs-tools systemd-sysv udev kmod zstd \
		bpftrace trace-cmd)
	python tools.debian.kernel_trial "$root/boot/vmlinuz-$release" "$BUILD$INSIDE/virtio_balloon_rs.ko" \
		"$(compgen -G "$root/usr/lib/modules/$release/kernel/drivers/virtio/virtio_balloon.ko*")" "$signed"
	firmware=$(bash "$CHROOT" make firmware ovmf sbsigntool python3-virt-firmware openssl)
	bash "$VBRS_TOP/tools/debian/secure-boot.sh" "$firmware" "$root/boot/vmlinuz-$release" \
		"$BUILD/srv/key/MOK.der" "$VBRS_TOP/build/debian-secure-boot"
	python tools.debian.secure_boot_trial "$VBRS_TOP/build/debian-secure-boot" \
		"$BUILD$INSIDE/virtio_balloon_rs.ko" "$signed"
	bash "$VBRS_TOP/tools/debian/system-image.sh" "$root" "$BUILD/srv/installed" "$release" \
		"$VBRS_TOP/build/debian-system"
	python tools.debian.system_trial "$VBRS_TOP/build/debian-system" "$release"
	python tools.debian.tracing_trial "$VBRS_TOP/build/debian-system/disk" "$root" "$release" \
		"$BUILD$INSIDE/virtio_balloon_rs.ko"
	echo "make check-debian: everything passed."
}

main
