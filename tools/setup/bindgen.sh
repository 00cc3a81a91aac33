#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Finds bindgen, new enough for the kernel; builds one into the cache where the distribution's is not.

. "$(dirname "$0")/common.sh"

MINIMUM=0.71.1
VERSION=0.73.2

bindgen_version() {
	"$1" --version 2>/dev/null | awk '{ print $2 }'
}

new_enough() {
	[ -x "$1" ] && version_ge "$(bindgen_version "$1" || echo 0)" "$MINIMUM"
}

# Built aside, renamed when done. With the distribution's compiler, whatever else PATH has.
build() {
	local log=$CACHE/log/bindgen.log cargo=/usr/bin/cargo
	[ -x "$cargo" ] || cargo=$(command -v cargo) ||
		die "no cargo to build bindgen $VERSION with. Install a bindgen >= $MINIMUM, or cargo."
	lock_cache
	make_scratch bindgen
	need_disk "$CACHE" 1024 "building bindgen"
	mkdir -p "$CACHE/log" "$CACHE/tools"
	progress "building bindgen $VERSION with cargo (some minutes)"
	(
		[ "$cargo" != /usr/bin/cargo ] || export RUSTC=/usr/bin/rustc
		unset MAKEFLAGS MFLAGS RUSTFLAGS
		export CARGO_TARGET_DIR=$SCRATCH/target
		"$cargo" install bindgen-cli --version "$VERSION" --locked --root "$SCRATCH/root"
	) >"$log" 2>&1 </dev/null 9>&- ||
		die_with_log "$log" "cargo could not build bindgen $VERSION. Is the crate registry reachable? The log is $log."
	rm -rf "$1"
	mv "$SCRATCH/root" "$1"
}

main() {
	local own=$CACHE/tools/bindgen-$VERSION bindgen
	for bindgen in ${VBRS_BINDGEN:+"$VBRS_BINDGEN"} /usr/bin/bindgen "$own/bin/bindgen"; do
		! new_enough "$bindgen" || break
	done
	if ! new_enough "$bindgen"; then
		build "$own"
		bindgen=$own/bin/bindgen
		new_enough "$bindgen" || die "the bindgen just built, $bindgen, does not run."
	fi
	save_state bindgen "FOUND_BINDGEN=$bindgen"
	step bindgen "$(bindgen_version "$bindgen") in $bindgen"
}

main
