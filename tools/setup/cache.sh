# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after common.sh and load_state: names of cache entries, derived from what they are made of.
# An entry counts only once it has its stamp, which is written last; one without is never resumed.

STAMP=.complete

short_hash() {
	sha256sum | cut -c1-12
}

# kernel_configs FLAVOUR: the configuration fragments, in order.
kernel_configs() {
	case $1 in
	plain) echo "$VBRS_TOP/tools/kernel/plain.config" ;;
	check) echo "$VBRS_TOP"/tools/kernel/{plain,check}.config ;;
	kasan) echo "$VBRS_TOP"/tools/kernel/{plain,check,kasan}.config ;;
	*) die "no kernel flavour '$1': plain, check and kasan are the ones there are." ;;
	esac
}

# kernel_dir FLAVOUR: the build tree for this source, these compilers and this checkout's configuration.
kernel_dir() {
	local configs key
	configs=$(kernel_configs "$1")
	[ -n "${FOUND_KVERSION:-}" ] && [ -n "${FOUND_TOOLCHAIN_ID:-}" ] || return 1
	# Only the settings: a better comment is no reason to build a kernel.
	# shellcheck disable=SC2086 # One word a file.
	key=$({ echo "$FOUND_KVERSION $FOUND_TOOLCHAIN_ID"; grep -h '^CONFIG_' $configs; } | short_hash)
	echo "$CACHE/kernel/$1-$key"
}

# venv_dir: the virtual environment for this Python and this checkout's requirements.
venv_dir() {
	local key
	[ -n "${FOUND_HOST_PYTHON:-}" ] || return 1
	key=$({ echo "$FOUND_HOST_PYTHON $FOUND_HOST_PYTHON_VERSION"; cat "$VBRS_TOP/tools/requirements.txt"; } | short_hash)
	echo "$CACHE/venv/$key"
}

# prune PATTERN: entries of other checkouts and older versions are kept, but not without end.
prune() {
	local entry
	# shellcheck disable=SC2012,SC2086 # The pattern is ours; ls sorts by time.
	ls -dt $1 2>/dev/null | tail -n +4 | while read -r entry; do
		rm -rf "$entry"
	done
}
