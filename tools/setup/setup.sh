#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# setup.sh FLAVOUR...: everything that building, trying out and testing the driver needs, with these
# guest kernels (plain, patched, check, kasan; tools: none of them). Run again, it does only what is not done yet.

. "$(dirname "$0")/common.sh"

CHILD=

# A step, in the background so that this script hears of a request to end at once, and passes it on:
# a make that is told to end only tells this script, and a kernel would go on being built.
run() {
	bash "$VBRS_SETUP/$1.sh" "${@:2}" &
	CHILD=$!
	wait "$CHILD"
}

main() {
	local flavour
	trap 'kill "$CHILD" 2>/dev/null; wait "$CHILD"; exit 130' INT TERM HUP
	[ $# -gt 0 ] || set -- plain
	echo "Set-up, cache in $CACHE:"
	# What fails soon comes first, the kernels last.
	run packages
	lock_cache
	run python
	run qemu
	run bindgen
	run toolchain
	run kernel-source
	run qemu-patched
	for flavour in "$@"; do
		[ "$flavour" = tools ] || run kernel "$flavour"
	done
}

main "$@"
