#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# format.sh [--check]: formats our Rust source as the kernel's .rustfmt.toml says, or checks that it is.

. "$(dirname "$0")/../setup/common.sh"
. "$VBRS_TOP/tools/checks/sources.sh"

main() {
	load_state
	local tree rustfmt=${RUSTFMT:-${FOUND_RUSTFMT:-rustfmt}} files
	tree=$(kernel_source)
	mapfile -t files < <(sources '*.rs')
	[ ${#files[@]} -gt 0 ] || die "no Rust source found in $VBRS_TOP."
	cd "$VBRS_TOP"
	# Left to itself, rustfmt colours what goes to a file as well.
	[ -t 1 ] || set -- --color never "$@"
	"$rustfmt" --edition 2021 --config-path "$tree/.rustfmt.toml" "$@" "${files[@]}" ||
		die "rustfmt is not content with these files. Run 'make fmt'."
}

main "$@"
