#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs the kernel's checkpatch.pl --strict over our source files.

. "$(dirname "$0")/../setup/common.sh"
. "$VBRS_TOP/tools/checks/sources.sh"

# check FILE-OR-OPTION...
check() {
	# A GIT_DIR that is not there: else checkpatch, seeing our repository, starts the kernel's
	# spdxcheck.py, which only runs inside a clone of the kernel.
	GIT_DIR=/nonexistent perl "$TREE/scripts/checkpatch.pl" --root="$TREE" --strict --no-summary \
		--terse --show-types --quiet --file "$@"
}

main() {
	load_state
	local file files code=() events=() scripts failed=
	TREE=$(kernel_source)
	mapfile -t files < <(sources '*.c' '*.h' '*.rs')
	for file in "${files[@]}"; do
		case $file in
		include/trace/*) events+=("$file") ;;
		*) code+=("$file") ;;
		esac
	done
	mapfile -t scripts < <(sources '*.sh' Kbuild)
	[ ${#code[@]} -gt 0 ] || die "no source files found in $VBRS_TOP."
	cd "$VBRS_TOP"
	# CAMELCASE: it knows the kernel's own names, like __SetPageOffline(), inside a clone only.
	check --ignore CAMELCASE "${code[@]}" || failed=1
	# TRACE_EVENT() is a macro that is laid out like a structure: its parts stand one tab in, and two of
	# them end their first line with the parenthesis. All the kernel's trace headers are like that.
	check --ignore PARENTHESIS_ALIGNMENT,OPEN_ENDED_LINE "${events[@]}" || failed=1
	# LONG_LINE and its kin: a script's messages stay whole so that one can search for them; in C
	# checkpatch knows that such strings are fine, in shell it does not. REPEATED_WORD is for prose,
	# and takes `mount -t proc proc` for it.
	check --ignore LONG_LINE,LONG_LINE_STRING,LONG_LINE_COMMENT,REPEATED_WORD "${scripts[@]}" ||
		failed=1
	[ -z "$failed" ] || die "checkpatch.pl is not content with the files above."
}

main "$@"
