#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# kernel.sh [--config-only|--prepare-only] plain|patched|check|kasan|arm64|arm64-64k|variant-NAME:
# builds a guest kernel into the cache.
#
# The tree is what the module is built against; it also has the guest's image and the modules,
# the C balloon driver among them. With --prepare-only there is no kernel: the module can be built, but
# whether the kernel exports what it calls is not known. All that are only prepared share one tree, which
# is for the last of them: what they have in common is built once.

. "$(dirname "$0")/common.sh"
. "$VBRS_SETUP/cache.sh"

# The kernel's make, from a clean environment: neither the caller's make flags nor its variables
# (ARCH, LLVM, W, KCFLAGS ...) get in, nor compilers that come first on its PATH.
kernel_make() {
	env -i HOME="${HOME:-/}" LC_ALL=C TMPDIR="${TMPDIR:-/tmp}" \
		PATH="$FOUND_LLVM_BIN:/usr/sbin:/usr/bin:/sbin:/bin" LIBCLANG_PATH="$FOUND_LIBCLANG_PATH" \
		make -C "$SOURCE" O="$TREE" ARCH="$(kernel_arch "$FLAVOUR")" LLVM="$FOUND_LLVM" \
		RUSTC="$FOUND_RUSTC" HOSTRUSTC="$FOUND_RUSTC" RUSTFMT="$FOUND_RUSTFMT" BINDGEN="$FOUND_BINDGEN" "$@"
}

# Kconfig drops what it cannot grant without a word: check every symbol that was asked for. What a
# fragment says overrides what those before it said.
verify_config() {
	local line symbol refused=''
	while read -r line; do
		symbol=${line%%=*}
		case $line in
		CONFIG_*=n) ! grep -q "^$symbol=" "$TREE/.config" || refused+=" $symbol" ;;
		CONFIG_*=*) grep -qxF -- "$line" "$TREE/.config" || refused+=" $symbol" ;;
		esac
	done <"$TREE/requested.config"
	case "$refused " in
	' ') return ;;
	*' CONFIG_RUST '*)
		kernel_make rustavailable >>"$LOG" 2>&1 </dev/null || true
		die_with_log "$LOG" "the $FLAVOUR kernel's configuration refuses CONFIG_RUST: the kernel does not accept the Rust tools. The log is $LOG."
		;;
	esac
	die "the $FLAVOUR kernel's configuration refuses:$refused. Name what they depend on in tools/kernel/*.config."
}

# The source with the patches, beside the one without. The two share the files that no patch changes:
# what git changes it writes anew. The ceiling: else git, run below somebody's repository, would look
# for the files in that.
patch_source() {
	local file scratch=$SOURCE.new
	[ ! -d "$SOURCE" ] || return 0
	progress "patching the kernel's source"
	rm -rf "$scratch"
	cp -al "$FOUND_KSRC" "$scratch" || die "cannot copy $FOUND_KSRC: full disk?"
	for file in $(kernel_patches "$FLAVOUR"); do
		(cd "$scratch" && GIT_CEILING_DIRECTORIES=$scratch git apply --whitespace=nowarn "$file") \
			>>"$LOG" 2>&1 </dev/null ||
			die_with_log "$LOG" "$(basename "$file") does not apply to Linux $FOUND_KVERSION. The log is $LOG."
	done
	mv "$scratch" "$SOURCE"
}

configure() {
	merge_configs "${CONFIGS[@]}" >"$TREE/requested.config"
	kernel_make KCONFIG_ALLCONFIG="$TREE/requested.config" allnoconfig >>"$LOG" 2>&1 </dev/null ||
		die_with_log "$LOG" "cannot configure the $FLAVOUR kernel. The log is $LOG."
	verify_config
}

steps_done() {
	echo "$(grep -c '^  [A-Z]' "$LOG") steps done"
}

# No more of the kernel than what a module in Rust is compiled with.
prepare() {
	local jobs=${VBRS_JOBS:-$(nproc)}
	progress "preparing the $FLAVOUR kernel with $jobs jobs (3 to 6 minutes of one core); log: $LOG"
	run_long "$FLAVOUR kernel" steps_done kernel_make -j"$jobs" modules_prepare ||
		die_with_log "$LOG" "preparing the $FLAVOUR kernel failed. The log is $LOG."
	[ -e "$TREE/rust/libkernel.rmeta" ] ||
		die_with_log "$LOG" "preparing the $FLAVOUR kernel made no rust/libkernel.rmeta. The log is $LOG."
}

build() {
	local jobs=${VBRS_JOBS:-$(nproc)} minutes=32 image
	image=$(kernel_image "$FLAVOUR")
	[[ $FLAVOUR != variant-* && $FLAVOUR != arm64* ]] || minutes=15
	progress "building the $FLAVOUR kernel with $jobs jobs (about $minutes minutes of one core); log: $LOG"
	run_long "$FLAVOUR kernel" steps_done kernel_make -j"$jobs" "$(basename "$image")" modules ||
		die_with_log "$LOG" "the build of the $FLAVOUR kernel failed. The log is $LOG."
	for file in "$image" Module.symvers rust/libkernel.rmeta drivers/virtio/virtio_balloon.ko; do
		[ -e "$TREE/$file" ] ||
			die_with_log "$LOG" "the build of the $FLAVOUR kernel made no $file. The log is $LOG."
	done
}

# is_done ONLY: a kernel that is built is prepared as well.
is_done() {
	[ -e "$TREE/$STAMP" ] || { [ "$1" = --prepare-only ] && is_prepared "$FLAVOUR"; }
}

main() {
	local only=''
	case ${1:-} in
	--config-only | --prepare-only)
		only=$1
		shift
		;;
	esac
	FLAVOUR=${1:-}
	load_state
	other_source "$FLAVOUR"
	read -ra CONFIGS < <(kernel_configs "$FLAVOUR")
	[ ${#CONFIGS[@]} -gt 0 ] || exit 1
	TREE=$(kernel_dir "$FLAVOUR") ||
		die "the kernel's source or the toolchain is not set up yet: run 'make setup'."
	SOURCE=$(kernel_source "$FLAVOUR")
	LOG=$CACHE/log/kernel-$FLAVOUR.log

	[ "$only" != --prepare-only ] || [ -e "$TREE/$STAMP" ] || TREE=$(prepared_dir "$FLAVOUR")

	is_done "$only" || lock_cache
	# Somebody else may have built it while this run waited for the lock.
	if ! is_done "$only"; then
		[ "$(uname -m)" = x86_64 ] || die "the guest kernels are for x86_64; this machine is $(uname -m)."
		# A half-built entry is of no use to anybody, and its space may be what is lacking.
		[ -e "$TREE/$PREPARED" ] || rm -rf "$TREE"
		rm -f "$TREE/$PREPARED"
		need_disk "$CACHE" 6144 "the $FLAVOUR kernel"
		need_memory 2048 "the build of the $FLAVOUR kernel"
		mkdir -p "$TREE" "$CACHE/log"
		: >"$LOG"
		patch_source
		configure
		case $only in
		--config-only)
			step "$FLAVOUR config" "every requested symbol is set in $TREE/.config"
			exit 0
			;;
		--prepare-only)
			prepare
			basename "$(kernel_dir "$FLAVOUR")" >"$TREE/$PREPARED"
			;;
		*)
			build
			date >"$TREE/$STAMP"
			;;
		esac
	fi
	touch "$TREE"
	[ -n "$OTHER_SOURCE" ] || touch "$SOURCE"
	prune "$CACHE/kernel/$FLAVOUR-????????????"
	prune "$CACHE/kernel/prepared-????????????"
	# Three kernels of each of the three patched flavours have one each at most.
	prune "$CACHE/src/*.patched-????????????" 9
	step "$FLAVOUR kernel" "$(cat "$TREE/include/config/kernel.release") in $TREE"
}

main "$@"
