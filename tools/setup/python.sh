#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# A virtual environment with what the tests and the demo need.

. "$(dirname "$0")/common.sh"
. "$VBRS_SETUP/cache.sh"

MINIMUM=3.10

# The system's Python first: it is the one a guest that shares the host's root has, too.
find_python() {
	local python version
	for python in ${VBRS_HOST_PYTHON:+"$VBRS_HOST_PYTHON"} /usr/bin/python3 "$(command -v python3 || true)"; do
		version=$("$python" -c 'import sys, venv, ensurepip; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue
		version_ge "$version" "$MINIMUM" || continue
		FOUND_HOST_PYTHON=$python
		FOUND_HOST_PYTHON_VERSION=$version
		return
	done
	die "no Python >= $MINIMUM with venv. Install the packages python3 and python3-venv, or set VBRS_HOST_PYTHON."
}

build() {
	local log=$CACHE/log/python.log
	lock_cache
	[ ! -e "$1/$STAMP" ] || return 0
	mkdir -p "$CACHE/log" "$CACHE/venv"
	progress "making Python's virtual environment"
	# A virtual environment cannot be moved, hence the stamp and no rename.
	rm -rf "$1"
	(
		unset PYTHONPATH PYTHONHOME VIRTUAL_ENV
		"$FOUND_HOST_PYTHON" -m venv "$1" &&
			"$1/bin/python" -m pip install --no-input --disable-pip-version-check -r "$VBRS_TOP/tools/requirements.txt"
	) >"$log" 2>&1 </dev/null 9>&- ||
		die_with_log "$log" "pip could not install tools/requirements.txt. Is the Python package index reachable? The log is $log."
	date >"$1/$STAMP"
}

main() {
	local venv
	[ -e "$VBRS_TOP/tools/requirements.txt" ] || die "tools/requirements.txt is missing: is this checkout whole?"
	find_python
	venv=$(venv_dir)
	[ -e "$venv/$STAMP" ] || build "$venv"
	touch "$venv"
	prune "$CACHE/venv/*"
	save_state python "FOUND_HOST_PYTHON=$FOUND_HOST_PYTHON" "FOUND_HOST_PYTHON_VERSION=$FOUND_HOST_PYTHON_VERSION"
	step python "$FOUND_HOST_PYTHON_VERSION in $venv"
}

main
