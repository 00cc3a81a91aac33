#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# dkms-build.sh RELEASE KDIR: builds the module in this directory, for DKMS
# (tools/debian/package/dkms.conf). KDIR is the kernel's tree or headers; if those lack the metadata
# of the kernel's Rust crates, as Debian's do, this is built first, and kept for the next time.

set -eu
[ $# -eq 2 ] || {
	echo "usage: dkms-build.sh RELEASE KDIR" >&2
	exit 2
}
cd "$(dirname "$0")/../.."
# DKMS is run by root, from wherever packages are installed.
export XDG_CACHE_HOME=/var/cache
unset MAKEFLAGS MFLAGS KERNELRELEASE KERNEL_SOURCE_DIR CC LD LLVM

kdir=$2
[ -e "$kdir/rust/libkernel.rmeta" ] || kdir=$(bash tools/debian/rust-tree.sh "$1")
# Debian's own compiler, whatever else there is on PATH.
make module KDIR="$kdir" RUSTC="${RUSTC:-/usr/bin/rustc}"
