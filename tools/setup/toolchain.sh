#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Finds one matching set of compilers for the kernel and the module, and names it.

. "$(dirname "$0")/common.sh"

RUST_MINIMUM=1.85.0

# The kernel builds `core` itself. A rustc without its library's source, such as a plain rustup one
# that comes first on PATH, cannot be used.
has_library_source() {
	local sysroot
	sysroot=$("$1" --print sysroot 2>/dev/null) &&
		[ -e "$sysroot/lib/rustlib/src/rust/library/core/src/lib.rs" ]
}

find_rust() {
	local rustc seen=''
	while read -r rustc; do
		[ -x "$rustc" ] || continue
		seen+=" $rustc"
		has_library_source "$rustc" || continue
		version_ge "$("$rustc" --version | awk '{ print $2 }')" "$RUST_MINIMUM" || continue
		RUSTC=$rustc
		RUSTFMT=$(dirname "$rustc")/rustfmt
		CLIPPY_DRIVER=$(dirname "$rustc")/clippy-driver
		[ -x "$RUSTFMT" ] && [ -x "$CLIPPY_DRIVER" ] && return
	done < <(printf '%s\n' ${VBRS_RUSTC:+"$VBRS_RUSTC"} /usr/bin/rustc; type -ap rustc)
	die "no usable Rust: rustc >= $RUST_MINIMUM with its library's source, rustfmt and clippy-driver is needed (looked at:${seen:- nothing}). Run 'make setup', which installs the Debian packages, or set VBRS_RUSTC."
}

# Debian's clang has its version in its name, which kbuild takes as LLVM=-19.
find_llvm() {
	local version tool
	for version in ${VBRS_LLVM:+"${VBRS_LLVM#-}"} 19 20 21 22 18 17; do
		for tool in clang ld.lld llvm-ar llvm-nm llvm-objcopy llvm-strip llvm-readelf; do
			command -v "$tool-$version" >/dev/null || continue 2
		done
		LLVM_BIN=/usr/lib/llvm-$version/bin
		LIBCLANG_PATH=/usr/lib/llvm-$version/lib
		compgen -G "$LIBCLANG_PATH/libclang*.so*" >/dev/null || continue
		LLVM=-$version
		return
	done
	die "no usable LLVM: clang, lld, the llvm tools and libclang of one version (19 preferred) are needed. Run 'make setup', which installs the Debian packages."
}

main() {
	# Not this step's own state: what the caller set counts, and packages may have changed.
	load_state bindgen
	[ -x "${FOUND_BINDGEN:-}" ] || die "no bindgen yet: run 'make setup'."
	find_rust
	find_llvm
	LIBCLANG_PATH=$LIBCLANG_PATH "$FOUND_BINDGEN" --version >/dev/null ||
		die "$FOUND_BINDGEN does not run. Remove it and run 'make setup' again."

	# What a kernel tree depends on: another version of any of these is another kernel.
	local id
	id=$({
		"$RUSTC" --version
		"clang$LLVM" --version
		"ld.lld$LLVM" --version
		"$FOUND_BINDGEN" --version
	} | sha256sum | cut -c1-12)
	save_state toolchain \
		"FOUND_RUSTC=$RUSTC" "FOUND_RUSTFMT=$RUSTFMT" "FOUND_CLIPPY_DRIVER=$CLIPPY_DRIVER" \
		"FOUND_LLVM=$LLVM" "FOUND_LLVM_BIN=$LLVM_BIN" "FOUND_LIBCLANG_PATH=$LIBCLANG_PATH" \
		"FOUND_TOOLCHAIN_ID=$id"
	step toolchain "$("$RUSTC" --version | cut -d' ' -f1,2), clang $("clang$LLVM" -dumpversion), $("$FOUND_BINDGEN" --version)"
}

main
