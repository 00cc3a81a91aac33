#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# show.sh NAME: prints one value of the set-up, or says on standard error that it is not there yet.
# Builds nothing.

. "$(dirname "$0")/common.sh"
. "$VBRS_SETUP/cache.sh"

# kernel FLAVOUR HOW: the built kernel's tree.
kernel() {
	local tree
	tree=$(kernel_dir "$1") && [ -e "$tree/$STAMP" ] ||
		die "no built $1 kernel in the cache for this checkout: run '$2'${3:-}."
	echo "$tree"
}

# variant NAME: the tree of a kernel of which there is at least what the module is compiled with.
variant() {
	local tree
	other_source "variant-$1"
	tree=$(kernel_dir "variant-$1") || exit 1
	if [ ! -e "$tree/$STAMP" ]; then
		is_prepared "variant-$1" ||
			die "the kernel variant '$1' is not prepared: run 'make check-variants VARIANTS=$1'."
		tree=$(prepared_dir "variant-$1")
	fi
	echo "$tree"
}

# found PATH WHAT [HOW]: a path that a step recorded, if it is still there.
found() {
	[ -n "$1" ] && [ -e "$1" ] || die "$2 is not set up: run '${3:-make setup}'."
	echo "$1"
}

main() {
	local value
	load_state
	case ${1:-} in
	CACHE) value=$CACHE ;;
	KSRC) value=$(found "${FOUND_KSRC:-}" "the kernel's source") ;;
	QEMU) value=$(found "${FOUND_QEMU:-}" "QEMU") ;;
	QEMU_PATCHED) value=$(found "${FOUND_QEMU_PATCHED:-}" "the patched QEMU") ;;
	QEMU_ARM64) value=$(found "${FOUND_QEMU_ARM64:-}" "QEMU for arm64" 'make check-arm64') ;;
	ROOT_ARM64) value=$(found "${FOUND_ROOT_ARM64:-}" "what guests for arm64 take" 'make check-arm64') ;;
	LLVM_BIN) value=$(found "${FOUND_LLVM_BIN:-}" "LLVM") ;;
	PYTHON)
		value=$(venv_dir) && [ -e "$value/$STAMP" ] ||
			die "Python's virtual environment is not set up for this checkout: run 'make setup'."
		value=$value/bin/python
		;;
	KDIR) value=$(kernel plain 'make setup' ', or give KDIR=<built kernel tree>') ;;
	KDIR_CHECK) value=$(kernel check 'make setup-check') ;;
	KDIR_PATCHED) value=$(kernel patched 'make setup-patched') ;;
	KDIR_KASAN) value=$(kernel kasan 'make setup-kasan') ;;
	KDIR_ANY)
		# Whichever is there; if none is, the message is that for the plain kernel.
		value=$(kernel plain '' 2>/dev/null) || value=$(kernel check '' 2>/dev/null) ||
			value=$(kernel plain 'make setup' ', or give KDIR=<built kernel tree>')
		;;
	KDIR_ARM64) value=$(kernel arm64 'make check-arm64') ;;
	KDIR_ARM64_64K) value=$(kernel arm64-64k 'make check-arm64') ;;
	KDIR_VARIANT_*) value=$(variant "${1#KDIR_VARIANT_}") ;;
	GUEST_KERNEL) value=$(kernel plain 'make setup')/arch/x86/boot/bzImage ;;
	GUEST_KERNEL_CHECK) value=$(kernel check 'make setup-check')/arch/x86/boot/bzImage ;;
	GUEST_KERNEL_PATCHED) value=$(kernel patched 'make setup-patched')/arch/x86/boot/bzImage ;;
	GUEST_KERNEL_KASAN) value=$(kernel kasan 'make setup-kasan')/arch/x86/boot/bzImage ;;
	GUEST_KERNEL_ARM64) value=$(kernel arm64 'make check-arm64')/arch/arm64/boot/Image ;;
	GUEST_KERNEL_ARM64_64K) value=$(kernel arm64-64k 'make check-arm64')/arch/arm64/boot/Image ;;
	*) die "no value named '${1:-}' in the set-up." ;;
	esac
	echo "$value"
}

main "$@"
