#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Installs the Debian packages that are missing, and only those.

. "$(dirname "$0")/common.sh"
. "$VBRS_SETUP/apt.sh"

lists=()

wanted() {
	sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "${lists[@]}"
}

missing() {
	local installed
	# A package that dpkg has never heard of makes it exit with an error; the list stays right.
	# shellcheck disable=SC2046 # One word a package is what is meant.
	installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' $(wanted) 2>/dev/null |
		awk '$2 == "installed" { print $1 }') || true
	wanted | grep -vxF "${installed:-none}" || true
}

main() {
	need_debian
	lists=("$VBRS_SETUP/packages/common.list")
	if [ "$DEBIAN" -eq 12 ]; then
		lists+=("$VBRS_SETUP/packages/debian-12.list")
	else
		lists+=("$VBRS_SETUP/packages/debian-13.list")
	fi

	local need log=$CACHE/log/packages.log
	mapfile -t need < <(missing)
	if [ ${#need[@]} -eq 0 ]; then
		step packages "nothing missing"
		return
	fi
	need_root "${#need[@]} Debian packages are missing" \
		"apt-get update && apt-get install -y --no-install-recommends ${need[*]}"

	lock_cache
	mkdir -p "$CACHE/log"
	progress "installing ${#need[@]} Debian packages: ${need[*]}"
	# A third-party source that fails is none of our business: what counts is whether the
	# packages can be installed.
	as_root apt-get "${APT_OPTIONS[@]}" update >"$log" 2>&1 </dev/null || true
	as_root "${APT_INSTALL[@]}" "${need[@]}" >>"$log" 2>&1 </dev/null ||
		die_with_log "$log" "apt-get could not install the missing Debian packages (${need[*]}). Is the package archive reachable? The log is $log."
	mapfile -t need < <(missing)
	[ ${#need[@]} -eq 0 ] ||
		die_with_log "$log" "apt-get succeeded, but these packages are still missing: ${need[*]}. The log is $log."
	step packages "installed"
}

main
