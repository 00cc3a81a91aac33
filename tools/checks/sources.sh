# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after tools/setup/common.sh by the checks that go over source files.

# sources PATTERN...: our files of these kinds, tracked or not yet, one a line.
sources() {
	cd "$VBRS_TOP"
	if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		# A file that is deleted but still in the index is listed, too.
		git ls-files --cached --others --exclude-standard -- "$@" | sort -u |
			while read -r file; do [ ! -f "$file" ] || echo "$file"; done
	else
		local pattern
		for pattern in "$@"; do
			find . -path ./build -prune -o -type f -name "$pattern" ! -name '*_generated.rs' ! -name '*.mod.c' -print
		done | sed 's|^\./||' | sort -u
	fi
}

# The kernel's source tree, for its own tools and their settings: KSRC= or the cached one.
kernel_source() {
	local tree=${KSRC:-${FOUND_KSRC:-}}
	[ -n "$tree" ] && [ -e "$tree/scripts/checkpatch.pl" ] ||
		die "no kernel source tree for its tools and settings: run 'make setup', or set KSRC=<kernel source>."
	echo "$tree"
}
