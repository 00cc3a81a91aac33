#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds the QEMU that knows the free page bitmap and extents into the cache.
#
# Its source is Debian's, with tools/qemu/patches. The system's apt configuration is not touched. The
# binary takes its firmware from where the packaged QEMU has it.

. "$(dirname "$0")/common.sh"
. "$VBRS_SETUP/apt.sh"
. "$VBRS_SETUP/cache.sh"

SUITE=trixie
# What the patches are made for, and what else they are tried on once that is gone.
PREFERRED=10.0.13
SERIES='^10\.0\.[0-9]+$'
PATCHES=$VBRS_TOP/tools/qemu/patches
REQUIREMENTS=$VBRS_TOP/tools/qemu/requirements.txt
FIRMWARE=/usr/share/qemu:/usr/share/seabios:/usr/lib/ipxe/qemu
TARGET=qemu-system-x86_64
CONFIGURE=(
	--target-list=x86_64-softmmu
	--without-default-features
	--enable-system
	--enable-tcg
	--enable-kvm
	--enable-fdt=system
	--enable-trace-backends=log
	--disable-debug-info
	--disable-werror
	--disable-install-blobs
	"--firmwarepath=$FIRMWARE"
)

# The version to take among the source packages' on standard input.
choose() {
	local full version best='' best_full=''
	while read -r full; do
		version=${full#*:}
		version=${version%%[+-]*}
		[[ $version =~ $SERIES ]] || continue
		[ "$version" != "$PREFERRED" ] || { echo "$full"; return; }
		[ -n "$best" ] && version_ge "$best" "$version" || { best=$version; best_full=$full; }
	done
	echo "$best_full"
}

# Downloads the source package into $SCRATCH and sets DSC.
download() {
	local log=$CACHE/log/qemu-source.log full
	mkdir -p "$CACHE/log"
	write_suite "$SCRATCH/suite.sources" "$SUITE"
	sed -i 's/^Types: deb$/Types: deb-src/' "$SCRATCH/suite.sources"
	private_apt "$SCRATCH"
	PRIVATE_APT+=(-o "Dir::Etc::sourcelist=$SCRATCH/suite.sources" -o Dir::Etc::sourceparts=/dev/null)

	# Errors show below, by the source not being there.
	apt-get "${PRIVATE_APT[@]}" update >"$log" 2>&1 </dev/null 9>&- || true
	full=$(apt-cache "${PRIVATE_APT[@]}" showsrc --only-source qemu 2>>"$log" |
		awk '$1 == "Version:" { print $2 }' | choose) || true
	[ -n "$full" ] ||
		die_with_log "$log" "no source of QEMU ${PREFERRED%.*} found in the suite $SUITE: is the package archive reachable? The log is $log. Without network: VBRS_QEMU_DSC=<qemu_$PREFERRED*.dsc, its files beside it>."
	progress "downloading the source of qemu $full (40 MB)"
	(cd "$SCRATCH" && apt-get "${PRIVATE_APT[@]}" source --download-only --only-source "qemu=$full") \
		>>"$log" 2>&1 </dev/null 9>&- ||
		die_with_log "$log" "the download of the source of qemu $full failed. Is the package archive reachable? The log is $log."
	DSC=$(echo "$SCRATCH"/qemu_*.dsc)
}

# Checks the archive that DSC names and keeps it. Debian's own changes are about packaging.
keep_source() {
	local name sum version archive
	read -r sum name < <(awk '
		/^[^ ]/ { in_sums = $1 == "Checksums-Sha256:" }
		in_sums && $3 ~ /^qemu_[0-9.]+[^_]*\.orig\.tar\.xz$/ { print $1, $3 }' "$DSC") || true
	[ -n "${name:-}" ] || die "$DSC does not describe a source of QEMU."
	version=${name#qemu_}
	version=${version%%[+-]*}
	version=${version%.orig.tar.xz}
	[[ $version =~ $SERIES ]] ||
		die "$DSC is QEMU $version; the patches are for $PREFERRED."
	archive=$(dirname "$DSC")/$name
	[ -e "$archive" ] || die "$archive, which belongs to $(basename "$DSC"), is missing."
	echo "$sum  $archive" | sha256sum --check --status ||
		die "$archive is not what $(basename "$DSC") says: broken download?"
	mkdir -p "$CACHE/src"
	cp "$archive" "$SCRATCH/qemu.tar.xz"
	mv "$SCRATCH/qemu.tar.xz" "$CACHE/src/qemu-$version.tar.xz"
	save_state qemu-source "FOUND_QEMU_ARCHIVE=$CACHE/src/qemu-$version.tar.xz" "FOUND_QEMU_VERSION=$version"
}

get_source() {
	load_state qemu-source
	[ -z "${FOUND_QEMU_ARCHIVE:-}" ] || [ ! -e "$FOUND_QEMU_ARCHIVE" ] || return 0
	lock_cache
	make_scratch qemu-source
	if [ -n "${VBRS_QEMU_DSC:-}" ]; then
		[ -e "$VBRS_QEMU_DSC" ] || die "VBRS_QEMU_DSC=$VBRS_QEMU_DSC does not exist."
		DSC=$VBRS_QEMU_DSC
	else
		need_debian
		download
	fi
	keep_source
	rm -rf "$SCRATCH"
	load_state qemu-source
}

# tree_dir: the cache entry for this version, these patches and this configuration.
tree_dir() {
	local key
	key=$({ echo "$FOUND_QEMU_VERSION ${CONFIGURE[*]}"; cat "$REQUIREMENTS" "$PATCHES"/*.patch; } | short_hash)
	echo "$CACHE/qemu/$key"
}

unpack() {
	local file
	mkdir -p "$TREE/source"
	# Without the sources of firmware, two thirds of it all.
	tar -xJf "$FOUND_QEMU_ARCHIVE" -C "$TREE/source" --strip-components=1 --no-same-owner --exclude='*/roms/*' ||
		die "cannot unpack $FOUND_QEMU_ARCHIVE: full disk?"
	# Firmware for other machines that Debian's archive lacks. Nothing here uses it, but it has to be there.
	grep -o 'edk2-[A-Za-z0-9_-]*\.fd' "$TREE/source/pc-bios/meson.build" | sort -u |
		while read -r file; do
			[ -e "$TREE/source/pc-bios/$file.bz2" ] || : >"$TREE/source/pc-bios/$file.bz2"
		done
}

# The ceiling: else git, run below somebody's repository, would look for the files in that.
apply_patches() {
	local file
	for file in "$PATCHES"/*.patch; do
		(cd "$TREE/source" && GIT_CEILING_DIRECTORIES=$TREE git apply --whitespace=nowarn "$file") \
			>>"$LOG" 2>&1 </dev/null ||
			die_with_log "$LOG" "$(basename "$file") does not apply to QEMU $FOUND_QEMU_VERSION (the patches are for $PREFERRED). The log is $LOG."
	done
}

# A clean environment: neither the caller's compiler flags nor other tools get in.
clean() {
	env -i HOME="${HOME:-/}" LC_ALL=C TMPDIR="${TMPDIR:-/tmp}" PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

configure() {
	local python=${FOUND_HOST_PYTHON:-/usr/bin/python3}
	(
		unset PYTHONPATH PYTHONHOME VIRTUAL_ENV
		"$python" -m venv "$TREE/venv" &&
			"$TREE/venv/bin/python" -m pip install --no-input --disable-pip-version-check -r "$REQUIREMENTS"
	) >>"$LOG" 2>&1 </dev/null 9>&- ||
		die_with_log "$LOG" "pip could not install tools/qemu/requirements.txt. Is the Python package index reachable? The log is $LOG."
	mkdir -p "$TREE/build"
	(cd "$TREE/build" && clean "$TREE/source/configure" "${CONFIGURE[@]}" --python="$TREE/venv/bin/python") \
		>>"$LOG" 2>&1 </dev/null 9>&- ||
		die_with_log "$LOG" "cannot configure QEMU. Are the packages of tools/setup/packages installed ('make setup')? The log is $LOG."
}

steps_done() {
	grep -o '^\[[0-9]*/[0-9]*\]' "$LOG" | tail -n 1
}

build() {
	local jobs=${VBRS_JOBS:-$(nproc)}
	progress "building QEMU $FOUND_QEMU_VERSION with $jobs jobs (about 6 minutes of one core); log: $LOG"
	run_long QEMU steps_done clean ninja -C "$TREE/build" -j "$jobs" "$TARGET" ||
		die_with_log "$LOG" "the build of QEMU failed. The log is $LOG."
}

# Away from the build's directory, next to which QEMU would look for its firmware.
install_binary() {
	mkdir -p "$TREE/bin"
	cp "$TREE/build/$TARGET" "$BINARY"
	[ "$(version_of "$BINARY")" = "$FOUND_QEMU_VERSION" ] ||
		die_with_log "$LOG" "the QEMU that was built does not run. The log is $LOG."
}

version_of() {
	"$1" --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9.]*\).*/\1/p'
}

# A new system may lack the libraries of the old one.
is_built() {
	[ -e "$TREE/$STAMP" ] && [ "$(version_of "$BINARY")" = "$FOUND_QEMU_VERSION" ]
}

have_firmware() {
	[ -e /usr/share/seabios/bios-256k.bin ] || [ -e /usr/share/qemu/bios-256k.bin ]
}

main() {
	[ -e "$REQUIREMENTS" ] && ls "$PATCHES"/*.patch >/dev/null 2>&1 ||
		die "tools/qemu/patches or tools/qemu/requirements.txt is missing: is this checkout whole?"
	get_source
	TREE=$(tree_dir)
	BINARY=$TREE/bin/$TARGET
	LOG=$CACHE/log/qemu-patched.log

	if ! is_built; then
		lock_cache
		# Somebody else may have built it while this run waited for the lock.
		if ! is_built; then
			[ "$(uname -m)" = x86_64 ] || die "the patched QEMU is for x86_64; this machine is $(uname -m)."
			# The build cannot be moved, hence the stamp and no rename.
			rm -rf "$TREE"
			need_disk "$CACHE" 1024 "the patched QEMU"
			need_memory 1024 "the build of QEMU"
			mkdir -p "$TREE" "$CACHE/log"
			: >"$LOG"
			load_state python
			unpack
			apply_patches
			configure
			build
			install_binary
			date >"$TREE/$STAMP"
		fi
	fi
	have_firmware ||
		die "no firmware for QEMU in ${FIRMWARE//:/ or }. Install the packages qemu-system-x86 and seabios."
	touch "$TREE"
	prune "$CACHE/qemu/*"
	save_state qemu-patched "FOUND_QEMU_PATCHED=$BINARY" "FOUND_QEMU_TREE=$TREE"
	step "patched qemu" "$FOUND_QEMU_VERSION in $BINARY"
}

main "$@"
