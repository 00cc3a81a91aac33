# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after common.sh and load_state: names of cache entries, derived from what they are made of.
# An entry counts only once it has its stamp, which is written last; one without is never resumed.

STAMP=.complete
# That of a kernel of which there is only what a module is compiled with; it says which.
PREPARED=.prepared

short_hash() {
	sha256sum | cut -c1-12
}

# kernel_configs FLAVOUR: the configuration fragments, in order.
kernel_configs() {
	case $1 in
	plain) echo "$VBRS_TOP/tools/kernel/plain.config" ;;
	patched) echo "$VBRS_TOP/tools/kernel/plain.config" ;;
	check) echo "$VBRS_TOP"/tools/kernel/{plain,check,patched-kunit}.config ;;
	kasan) echo "$VBRS_TOP"/tools/kernel/{plain,check,patched-kunit,kasan}.config ;;
	variant-*)
		[ -e "$VBRS_TOP/tools/kernel/variants/${1#variant-}.config" ] ||
			die "no kernel variant '${1#variant-}': those of 'make check-variants' are tools/kernel/variants/*.config."
		echo "$VBRS_TOP"/tools/kernel/{plain,slim,variants/"${1#variant-}"}.config
		;;
	arm64) echo "$VBRS_TOP/tools/kernel/arm64.config" ;;
	arm64-64k) echo "$VBRS_TOP"/tools/kernel/{arm64,arm64-64k}.config ;;
	*) die "no kernel flavour '$1': plain, patched, check, kasan, arm64 and arm64-64k are the ones there are." ;;
	esac
}

# merge_configs FILE...: each symbol once, as the last of the fragments has it.
merge_configs() {
	cat "$@" | awk -F= '/^CONFIG_/ { value[$1] = $0 } END { for (name in value) print value[name] }' | sort
}

# kernel_arch FLAVOUR: what the kernel's build system calls its architecture.
kernel_arch() {
	case $1 in
	arm64*) echo arm64 ;;
	*) echo x86_64 ;;
	esac
}

# kernel_image FLAVOUR: what is booted, in its tree.
kernel_image() {
	case $1 in
	arm64*) echo arch/arm64/boot/Image ;;
	*) echo arch/x86/boot/bzImage ;;
	esac
}

# other_source FLAVOUR: variants may be of another kernel, whose source VARIANTS_KERNEL names.
OTHER_SOURCE=
other_source() {
	local version
	[ -n "${VARIANTS_KERNEL:-}" ] && [[ $1 = variant-* ]] || return 0
	FOUND_KSRC=$(realpath -e -- "$VARIANTS_KERNEL" 2>/dev/null) && [ -e "$FOUND_KSRC/Kconfig" ] &&
		version=$(grep -E '^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) =' "$FOUND_KSRC/Makefile" 2>/dev/null) ||
		die "VARIANTS_KERNEL=$VARIANTS_KERNEL is not the source of a kernel. Give the directory of an unpacked one, or leave it out."
	FOUND_KVERSION="$version in $FOUND_KSRC"
	OTHER_SOURCE=y
}

# kernel_patches FLAVOUR: what is changed in its source. The plain kernel is what people have; another source
# than that of the set-up is taken as it is.
kernel_patches() {
	[ "$1" = plain ] || [ -n "$OTHER_SOURCE" ] || ls "$VBRS_TOP"/tools/kernel/patches/*.patch
}

# kernel_source FLAVOUR: where its source is, or is to be put.
kernel_source() {
	local patches
	[ -n "${FOUND_KSRC:-}" ] || return 1
	patches=$(kernel_patches "$1")
	if [ -z "$patches" ]; then
		echo "$FOUND_KSRC"
	else
		# shellcheck disable=SC2086 # One word a file.
		echo "$FOUND_KSRC.patched-$(cat $patches | short_hash)"
	fi
}

# kernel_dir FLAVOUR: the build tree for this source, these compilers and this checkout's configuration.
kernel_dir() {
	local configs patches key
	configs=$(kernel_configs "$1")
	patches=$(kernel_patches "$1")
	[ -n "${FOUND_KVERSION:-}" ] && [ -n "${FOUND_TOOLCHAIN_ID:-}" ] || return 1
	# Only the settings: a better comment is no reason to build a kernel.
	# shellcheck disable=SC2086 # One word a file.
	key=$({
		echo "$FOUND_KVERSION $FOUND_TOOLCHAIN_ID"
		grep -h '^CONFIG_' $configs
		[ -z "$patches" ] || cat $patches
	} | short_hash)
	echo "$CACHE/kernel/$1-$key"
}

# prepared_dir FLAVOUR: the tree of the kernel that was prepared last from the source for FLAVOUR.
prepared_dir() {
	local source
	source=$(kernel_source "$1") && [ -n "${FOUND_TOOLCHAIN_ID:-}" ] || return 1
	echo "$CACHE/kernel/prepared-$(echo "$FOUND_KVERSION $source $FOUND_TOOLCHAIN_ID" | short_hash)"
}

# is_prepared FLAVOUR: was it that one, with this checkout's configuration?
is_prepared() {
	[ "$(cat "$(prepared_dir "$1")/$PREPARED" 2>/dev/null)" = "$(basename "$(kernel_dir "$1")")" ]
}

# venv_dir: the virtual environment for this Python and this checkout's requirements.
venv_dir() {
	local key
	[ -n "${FOUND_HOST_PYTHON:-}" ] || return 1
	key=$({ echo "$FOUND_HOST_PYTHON $FOUND_HOST_PYTHON_VERSION"; cat "$VBRS_TOP/tools/requirements.txt"; } | short_hash)
	echo "$CACHE/venv/$key"
}

# prune PATTERN [KEEP]: entries of other checkouts and older versions are kept, but not without end.
prune() {
	local entry keep=${2:-3}
	# shellcheck disable=SC2012,SC2086 # The pattern is ours; ls sorts by time.
	{ ls -dt $1 2>/dev/null || true; } | tail -n "+$((keep + 1))" | while read -r entry; do
		rm -rf "$entry"
	done
}
