#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# kernel-make.sh SOURCE TREE ARGUMENT...: the kernel's make, with the tools of the set-up and a clean
# environment.

. "$(dirname "$0")/../setup/common.sh"

load_state
[ -n "${FOUND_LLVM:-}" ] || die "the toolchain is not set up: run 'make setup'."
SOURCE=$1 TREE=$2
shift 2
exec env -i HOME="${HOME:-/}" LC_ALL=C TMPDIR="${TMPDIR:-/tmp}" \
	PATH="$FOUND_LLVM_BIN:/usr/sbin:/usr/bin:/sbin:/bin" LIBCLANG_PATH="$FOUND_LIBCLANG_PATH" \
	make -C "$SOURCE" O="$TREE" LLVM="$FOUND_LLVM" \
	RUSTC="$FOUND_RUSTC" HOSTRUSTC="$FOUND_RUSTC" RUSTFMT="$FOUND_RUSTFMT" BINDGEN="$FOUND_BINDGEN" "$@"
