#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# preflight.sh KDIR: can the module be built against this kernel tree, with the tools in the
# environment variables RUSTC, BINDGEN and LLVM (as for the kernel's make)? Says what is wrong in one
# message, where kbuild would fail late and obscurely.

. "$(dirname "$0")/common.sh"
. "$VBRS_SETUP/cache.sh"

# rust/compat makes up for what the kernel crate of 7.2 lacks.
KERNEL_MINIMUM=7.2
BINDGEN_MINIMUM=0.71.1

# One symbol for each subsystem that the module uses; all are exported where the options below are set.
SYMBOLS=(
	__register_virtio_driver
	virtqueue_add_inbuf_premapped
	page_reporting_register
	register_oom_notifier
	shrinker_alloc
	disable_work_sync
)

config_is_set() {
	grep -qE "^CONFIG_$1=(y|m)$" "$AUTO_CONF"
}

config_text() {
	sed -n -e "s/^CONFIG_$1=//p" "$AUTO_CONF" | sed -e 's/^"//' -e 's/"$//'
}

check_tree() {
	[ -n "$KDIR" ] || die "no kernel tree given. Run 'make setup', or give KDIR=<built kernel tree>."
	[ -d "$KDIR" ] || die "KDIR=$KDIR does not exist. Give KDIR=<built kernel tree>, or leave it out after 'make setup'."
	[ -e "$KDIR/Makefile" ] && [ -e "$AUTO_CONF" ] ||
		die "KDIR=$KDIR is not a built kernel tree (no Makefile or no include/config/auto.conf). Build the kernel there first (make LLVM=1), or give its O= directory."
	case $KDIR in
	"$CACHE"/kernel/*)
		[ -e "$KDIR/$STAMP" ] || [ -e "$KDIR/$PREPARED" ] ||
			die "KDIR=$KDIR is a half-built cache entry. Run 'make setup' ('make setup-check' or 'make setup-kasan' for those kernels), which builds it anew."
		;;
	esac
}

check_version() {
	local release
	release=$(cat "$KDIR/include/config/kernel.release" 2>/dev/null) ||
		die "KDIR=$KDIR is not a built kernel tree (no include/config/kernel.release). Build the kernel there first."
	version_ge "$release" "$KERNEL_MINIMUM" ||
		die "KDIR=$KDIR is Linux $release; $KERNEL_MINIMUM or newer is needed."
}

check_config() {
	config_is_set MODULES ||
		die "the kernel in KDIR=$KDIR has no loadable modules. Set CONFIG_MODULES=y and rebuild it."
	config_is_set RUST ||
		die "the kernel in KDIR=$KDIR is built without Rust. Set CONFIG_RUST=y ('make LLVM=1 rustavailable' there says what is lacking) and rebuild it."
	if config_is_set CC_IS_GCC; then
		[ -z "$LLVM" ] || die "the kernel in KDIR=$KDIR was built with gcc: leave out LLVM=$LLVM."
	else
		LLVM=${LLVM:-1}
	fi
	config_is_set VIRTIO ||
		die "the kernel in KDIR=$KDIR has no virtio. Set CONFIG_VIRTIO (for example through CONFIG_VIRTIO_PCI) and rebuild it."
	config_is_set PAGE_REPORTING ||
		die "the kernel in KDIR=$KDIR has no free page reporting. Set CONFIG_PAGE_REPORTING=y and rebuild it."
	config_is_set BALLOON ||
		die "the kernel in KDIR=$KDIR has no balloon pages. Set CONFIG_VIRTIO_BALLOON=m, which selects CONFIG_BALLOON, and rebuild it."
}

check_rust() {
	local built now
	built=$(config_text RUSTC_VERSION_TEXT)
	now=$("$RUSTC" --version 2>/dev/null) ||
		die "no Rust compiler: '$RUSTC' does not run. Give RUSTC=<the rustc that built the kernel> ($built)."
	[ "$now" = "$built" ] ||
		die "the kernel in KDIR=$KDIR was built by '$built', but RUSTC=$RUSTC is '$now'. Give RUSTC=<that one>, or rebuild the kernel with this one."
	[ -e "$KDIR/rust/libkernel.rmeta" ] ||
		die "KDIR=$KDIR has no rust/libkernel.rmeta: its kernel is not built to the end, or it is a headers package without Rust. Build the kernel there; for one of Debian's kernels, 'make debian' makes what is missing."
}

check_symbols() {
	local symbol missing=''
	# Of a variant of 'make check-variants' it is not known: only its headers are there.
	[ ! -e "$KDIR/$PREPARED" ] || return 0
	[ -e "$KDIR/Module.symvers" ] ||
		die "KDIR=$KDIR has no Module.symvers: its kernel is not built to the end. Build 'vmlinux' and 'modules' there."
	# Where the memory nodes are depends on NUMA.
	if config_is_set NUMA; then
		SYMBOLS+=(node_data)
	else
		SYMBOLS+=(contig_page_data)
	fi
	for symbol in "${SYMBOLS[@]}"; do
		grep -qP "^\S+\t$symbol\t" "$KDIR/Module.symvers" || missing+=" $symbol"
	done
	[ -z "$missing" ] ||
		die "the kernel in KDIR=$KDIR does not export:$missing. It is not built to the end ('vmlinux' and 'modules'), or not Linux $KERNEL_MINIMUM or newer with virtio and page reporting."
}

check_compiler() {
	local clang
	case $LLVM in
	*/) clang=${LLVM}clang ;;
	-*) clang=clang$LLVM ;;
	?*) clang=clang ;;
	# gcc. Debian's headers name the one that they want themselves.
	*)
		[ -e "$KDIR/.kernelvariables" ] || command -v "${CC:-gcc}" >/dev/null ||
			die "no '${CC:-gcc}' on PATH. Install gcc, or say which with CC=."
		return 0
		;;
	esac
	command -v "$clang" >/dev/null ||
		die "no '$clang' on PATH. Install clang, or say which with LLVM= as for the kernel (LLVM=-19, LLVM=/dir/)."
}

check_tools() {
	local version scratch
	version=$("$BINDGEN" --version 2>/dev/null | awk '{ print $2 }') && [ -n "$version" ] ||
		die "no bindgen: '$BINDGEN' does not run. Install bindgen >= $BINDGEN_MINIMUM, or give BINDGEN=<path>."
	version_ge "$version" "$BINDGEN_MINIMUM" ||
		die "bindgen $version ($BINDGEN) is too old: $BINDGEN_MINIMUM or newer is needed. Give BINDGEN=<path>."
	# bindgen loads libclang only when it has something to read.
	scratch=$(mktemp -d)
	trap 'rm -rf "$scratch"' EXIT
	echo 'int probe;' >"$scratch/probe.h"
	"$BINDGEN" "$scratch/probe.h" >/dev/null 2>"$scratch/log" ||
		die_with_log "$scratch/log" "bindgen ($BINDGEN) finds no libclang that it can use. Install libclang, or set LIBCLANG_PATH to its directory."
	rm -rf "$scratch"
	trap - EXIT
}

KDIR=${1:-}
AUTO_CONF=$KDIR/include/config/auto.conf
RUSTC=${RUSTC:-rustc}
BINDGEN=${BINDGEN:-bindgen}
LLVM=${LLVM:-}

check_tree
check_version
check_config
check_rust
check_symbols
check_compiler
check_tools
