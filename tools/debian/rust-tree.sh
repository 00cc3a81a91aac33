#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# rust-tree.sh [RELEASE]: prints a kernel tree to build the module against, for a kernel of Debian
# that has CONFIG_RUST=y (the running one, if no other is named). Debian's headers lack the metadata
# of the kernel's Rust crates, without which no Rust module can be built: it is built here from
# Debian's source of that kernel, with the compilers that Debian built it with, and put beside what
# the headers have. See Documentation/admin-guide/installation.rst.

. "$(dirname "$0")/../setup/common.sh"
. "$VBRS_SETUP/cache.sh"

BUILD_MIB=4096

# Progress goes to standard error: what is printed is the tree.
tell() {
	progress "$@" >&2
}

config_text() {
	sed -n -e "s/^CONFIG_$1=//p" "$HEADERS/.config" | sed -e 's/^"//' -e 's/"$//'
}

packages() {
	sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$VBRS_TOP/tools/debian/packages.list" | tr '\n' ' '
}

# The version of the kernel's package, as 7.3.4-1~bpo13+1, if dpkg knows it.
package_version() {
	dpkg-query -W -f='${Version}' "$1" 2>/dev/null || true
}

check_headers() {
	[ -n "$RELEASE" ] && [[ $RELEASE != */* ]] || die "usage: rust-tree.sh [RELEASE], as $(uname -r)."
	[ -e "$HEADERS/.config" ] && [ -e "$HEADERS/Module.symvers" ] ||
		die "no headers of the kernel $RELEASE in $HEADERS. Install them: apt-get install linux-headers-$RELEASE (from backports if the kernel is: -t $(suite)-backports)."
	grep -qx CONFIG_RUST=y "$HEADERS/.config" ||
		die "the kernel $RELEASE is built without Rust (CONFIG_RUST). Debian's kernels have it from 7.3 on."
	version_ge "$RELEASE" 7.3 || die "the kernel $RELEASE is too old: 7.3 or newer is needed."
}

suite() {
	# shellcheck source=/dev/null
	(. /etc/os-release && echo "${VERSION_CODENAME:-<release>}")
}

# tool NAME HAVE WANTED: the kernel's crates only fit the compiler that built them.
check_tool() {
	[ -n "$2" ] || die "no $1. Install what is needed: apt-get install $(packages)."
	[ "$2" = "$3" ] ||
		die "the kernel $RELEASE was built by '$3', but $1 is '$2'. Install the one of Debian's own release ($(packages)), not of backports, or run this in a chroot that has it (tools/debian/chroot.sh makes one)."
}

check_tools() {
	local gcc wanted
	RUSTC=${RUSTC:-/usr/bin/rustc}
	BINDGEN=${BINDGEN:-/usr/bin/bindgen}
	wanted=$(config_text CC_VERSION_TEXT)
	gcc=${wanted%% *}
	check_tool rustc "$("$RUSTC" --version 2>/dev/null || true)" "$(config_text RUSTC_VERSION_TEXT)"
	check_tool bindgen "$("$BINDGEN" --version 2>/dev/null || true)" "$(config_text BINDGEN_VERSION_TEXT)"
	check_tool gcc "$("$gcc" --version 2>/dev/null | head -n 1 || true)" "$wanted"
	CC=$gcc
}

# Debian's source of this kernel, a tar archive or a tree: VBRS_DEBIAN_SOURCE, else the package
# linux-source-*.
find_source() {
	local series headers source
	series=$(cut -d. -f1,2 <<<"$RELEASE")
	SOURCE=${VBRS_DEBIAN_SOURCE:-/usr/src/linux-source-$series.tar.xz}
	[ -e "$SOURCE" ] ||
		die "no source of the kernel in $SOURCE. Install it: apt-get install linux-source-$series (from the suite that the kernel is from), or set VBRS_DEBIAN_SOURCE."
	headers=$(package_version "linux-headers-$RELEASE")
	source=$(package_version "linux-source-$series")
	[ -n "${VBRS_DEBIAN_SOURCE:-}" ] || [ -z "$headers" ] || [ "$headers" = "$source" ] ||
		die "linux-headers-$RELEASE is of $headers and linux-source-$series of ${source:-nothing}. Install the same version of both: apt-get install linux-source-$series=$headers."
}

kernel_make() {
	env -i HOME="${HOME:-/}" LC_ALL=C TMPDIR="${TMPDIR:-/tmp}" PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		${LIBCLANG_PATH:+LIBCLANG_PATH="$LIBCLANG_PATH"} \
		make -C "$SCRATCH/source" O="$SCRATCH/build" CC="$CC" KERNELRELEASE="$RELEASE" \
		RUSTC="$RUSTC" HOSTRUSTC="$RUSTC" BINDGEN="$BINDGEN" "$@" </dev/null 9>&-
}

unpack() {
	tell "unpacking $SOURCE"
	mkdir "$SCRATCH/source" "$SCRATCH/build"
	if [ -d "$SOURCE" ]; then
		cp -r "$SOURCE/." "$SCRATCH/source"
	else
		tar -xJf "$SOURCE" -C "$SCRATCH/source" --strip-components=1 ||
			die "cannot unpack $SOURCE: full disk?"
	fi
}

# Kconfig asks the compilers what they can do: with others, the configuration is another.
configure() {
	local differs
	cp "$HEADERS/.config" "$SCRATCH/build/.config"
	kernel_make olddefconfig >>"$LOG" 2>&1 || die_with_log "$LOG" "cannot configure the kernel. The log is $LOG."
	differs=$(diff <(grep -v '^#' "$HEADERS/.config" | sort) <(grep -v '^#' "$SCRATCH/build/.config" | sort) |
		grep '^[<>]') || true
	[ -z "$differs" ] ||
		die "with these tools the configuration is not that of the kernel $RELEASE ($(head -n 3 <<<"$differs" | tr '\n' ';')). Are all packages that build it here (apt-get install $(packages))?"
}

steps_done() {
	echo "$(grep -c '^  [A-Z]' "$LOG") steps done"
}

build() {
	local jobs=${VBRS_JOBS:-$(nproc)}
	tell "building the metadata with $jobs jobs (about 4 minutes of one core); log: $LOG"
	run_long metadata steps_done kernel_make -j"$jobs" prepare >&2 ||
		die_with_log "$LOG" "the build of the Rust metadata failed. The log is $LOG."
}

# The names of the crates' functions have a number that depends on the compiler and on how it was
# called. If they are those that Debian's kernel exports, so is the rest.
verify() {
	local file wanted have
	wanted=$(awk -F'\t' '$3 == "vmlinux" && $2 ~ /^_R/ { print $2 }' "$HEADERS/Module.symvers" | sort -u)
	have=$(sed -n 's/^EXPORT_SYMBOL_RUST_GPL(\(_R[^)]*\));$/\1/p' "$SCRATCH"/build/rust/exports_*_generated.h | sort -u)
	[ -n "$wanted" ] || die "$HEADERS/Module.symvers has no symbols of Rust."
	[ "$(comm -23 <(echo "$wanted") <(echo "$have"))" = "" ] ||
		die "what was built does not fit the kernel $RELEASE: it exports $(comm -23 <(echo "$wanted") <(echo "$have") | wc -l) functions of Rust of other names. Another compiler, or another version of the source?"
	for file in libcore libkernel libbindings; do
		[ -e "$SCRATCH/build/rust/$file.rmeta" ] ||
			die_with_log "$LOG" "the build made no rust/$file.rmeta. The log is $LOG."
	done
	VERIFIED=$(wc -l <<<"$wanted")
}

# A directory of its own with all that the headers have and what they lack. Debian's makefile for
# the headers says where the output tree is, so this one has its own.
assemble() {
	local tree=$SCRATCH/tree path
	mkdir -p "$tree/rust" "$tree/scripts"
	for path in "$HEADERS"/* "$HEADERS"/.config "$HEADERS"/.kernelvariables; do
		case $(basename "$path") in
		Makefile | scripts | rust) ;;
		*) [ ! -e "$path" ] || ln -s "$path" "$tree/" ;;
		esac
	done
	ln -s "$HEADERS"/scripts/* "$tree/scripts/"
	cp "$SCRATCH"/build/rust/*.rmeta "$SCRATCH"/build/rust/*.so "$SCRATCH/source/rust/bindgen_parameters" "$tree/rust/"
	# What macros of the kernel crate include where they are used.
	mkdir "$tree/rust/kernel"
	cp "$SCRATCH"/build/rust/kernel/generated_*.rs "$tree/rust/kernel/"
	[ ! -e "$SCRATCH/build/scripts/target.json" ] || cp "$SCRATCH/build/scripts/target.json" "$tree/scripts/"
	sed "s|^KBUILD_OUTPUT=.*|KBUILD_OUTPUT=$TREE|" "$HEADERS/Makefile" >"$tree/Makefile"
	date >"$tree/$STAMP"
	mkdir -p "$(dirname "$TREE")"
	rm -rf "$TREE"
	mv "$tree" "$TREE"
}

main() {
	RELEASE=${1-$(uname -r)}
	HEADERS=${VBRS_DEBIAN_HEADERS:-/usr/src/linux-headers-$RELEASE}
	LOG=$CACHE/log/debian-metadata.log
	check_headers
	# Another version of the package may have the same release.
	TREE=$CACHE/debian/$RELEASE-$({ echo "$HEADERS"; cat "$HEADERS/.config" "$HEADERS/Module.symvers"; } | short_hash)
	if [ ! -e "$TREE/$STAMP" ]; then
		check_tools
		find_source
		lock_cache
	fi
	if [ ! -e "$TREE/$STAMP" ]; then
		need_disk "$CACHE" "$BUILD_MIB" "the Rust metadata"
		mkdir -p "$CACHE/log"
		: >"$LOG"
		make_scratch debian
		unpack
		configure
		build
		verify
		assemble
		tell "the $VERIFIED functions of Rust that $RELEASE exports are those that were built"
	fi
	touch "$TREE"
	prune "$CACHE/debian/*-????????????"
	echo "$TREE"
}

main "$@"
