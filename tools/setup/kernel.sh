#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# kernel.sh [--config-only] plain|patched|check|kasan: builds a guest kernel into the cache.
#
# The tree is what the module is built against; it also has the guest's bzImage and the modules,
# the C balloon driver among them.

. "$(dirname "$0")/common.sh"
. "$VBRS_SETUP/cache.sh"

# The kernel's make, from a clean environment: neither the caller's make flags nor its variables
# (ARCH, LLVM, W, KCFLAGS ...) get in, nor compilers that come first on its PATH.
kernel_make() {
	env -i HOME="${HOME:-/}" LC_ALL=C TMPDIR="${TMPDIR:-/tmp}" \
		PATH="$FOUND_LLVM_BIN:/usr/sbin:/usr/bin:/sbin:/bin" LIBCLANG_PATH="$FOUND_LIBCLANG_PATH" \
		make -C "$SOURCE" O="$TREE" LLVM="$FOUND_LLVM" \
		RUSTC="$FOUND_RUSTC" HOSTRUSTC="$FOUND_RUSTC" RUSTFMT="$FOUND_RUSTFMT" BINDGEN="$FOUND_BINDGEN" "$@"
}

# Kconfig drops what it cannot grant without a word: check every symbol that was asked for.
verify_config() {
	local line symbol refused=''
	while read -r line; do
		symbol=${line%%=*}
		case $line in
		CONFIG_*=n) ! grep -q "^$symbol=" "$TREE/.config" || refused+=" $symbol" ;;
		CONFIG_*=*) grep -qxF -- "$line" "$TREE/.config" || refused+=" $symbol" ;;
		esac
	done < <(cat "${CONFIGS[@]}")
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
	cat "${CONFIGS[@]}" >"$TREE/requested.config"
	kernel_make KCONFIG_ALLCONFIG="$TREE/requested.config" allnoconfig >>"$LOG" 2>&1 </dev/null ||
		die_with_log "$LOG" "cannot configure the $FLAVOUR kernel. The log is $LOG."
	verify_config
}

steps_done() {
	echo "$(grep -c '^  [A-Z]' "$LOG") steps done"
}

build() {
	local jobs=${VBRS_JOBS:-$(nproc)}
	progress "building the $FLAVOUR kernel with $jobs jobs (about 32 minutes of one core); log: $LOG"
	run_long "$FLAVOUR kernel" steps_done kernel_make -j"$jobs" bzImage modules ||
		die_with_log "$LOG" "the build of the $FLAVOUR kernel failed. The log is $LOG."
	for file in arch/x86/boot/bzImage Module.symvers rust/libkernel.rmeta drivers/virtio/virtio_balloon.ko; do
		[ -e "$TREE/$file" ] ||
			die_with_log "$LOG" "the build of the $FLAVOUR kernel made no $file. The log is $LOG."
	done
}

main() {
	local config_only=
	if [ "${1:-}" = --config-only ]; then
		config_only=1
		shift
	fi
	FLAVOUR=${1:-}
	load_state
	read -ra CONFIGS < <(kernel_configs "$FLAVOUR")
	[ ${#CONFIGS[@]} -gt 0 ] || exit 1
	TREE=$(kernel_dir "$FLAVOUR") ||
		die "the kernel's source or the toolchain is not set up yet: run 'make setup'."
	SOURCE=$(kernel_source "$FLAVOUR")
	LOG=$CACHE/log/kernel-$FLAVOUR.log

	if [ ! -e "$TREE/$STAMP" ]; then
		lock_cache
	fi
	# Somebody else may have built it while this run waited for the lock.
	if [ ! -e "$TREE/$STAMP" ]; then
		[ "$(uname -m)" = x86_64 ] || die "the guest kernels are for x86_64; this machine is $(uname -m)."
		# A half-built entry is of no use to anybody, and its space may be what is lacking.
		rm -rf "$TREE"
		need_disk "$CACHE" 6144 "the $FLAVOUR kernel"
		need_memory 2048 "the build of the $FLAVOUR kernel"
		mkdir -p "$TREE" "$CACHE/log"
		: >"$LOG"
		patch_source
		configure
		if [ -n "$config_only" ]; then
			step "$FLAVOUR config" "every requested symbol is set in $TREE/.config"
			exit 0
		fi
		build
		date >"$TREE/$STAMP"
	fi
	touch "$TREE" "$SOURCE"
	prune "$CACHE/kernel/$FLAVOUR-*"
	# Three kernels of each of the three patched flavours have one each at most.
	prune "$CACHE/src/*.patched-????????????" 9
	step "$FLAVOUR kernel" "$(cat "$TREE/include/config/kernel.release") in $TREE"
}

main "$@"
