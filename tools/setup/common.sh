# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced by every set-up script: where things are, how to speak, how to fail, how to lock.

set -euo pipefail
export LC_ALL=C
umask 022
# Where depmod and others are. Users of Debian do not look there, nor does root after a plain `su`.
PATH=$PATH:/usr/sbin:/sbin

VBRS_SETUP=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
VBRS_TOP=$(cd "$VBRS_SETUP/../.." && pwd)

# A step's result, one line, on standard output.
step() {
	printf '  %-16s %s\n' "$1" "$2"
}

# What is going on while a step takes long.
progress() {
	printf '  %-16s %s\n' '' "$*"
}

# One clear message, then the end.
die() {
	printf 'virtio-balloon-rs: error: %s\n' "$*" >&2
	exit 1
}

# The same after a command whose output went to a file.
die_with_log() {
	local log=$1
	shift
	printf 'virtio-balloon-rs: error: %s\n' "$*" >&2
	printf '%s\n' "--- last lines of $log:" >&2
	tail -n "${VBRS_LOG_LINES:-15}" "$log" >&2 || true
	exit 1
}

if [ -n "${XDG_CACHE_HOME:-}" ]; then
	CACHE=$XDG_CACHE_HOME/virtio-balloon-rs
elif [ -n "${HOME:-}" ]; then
	CACHE=$HOME/.cache/virtio-balloon-rs
else
	die "neither HOME nor XDG_CACHE_HOME is set, so there is no place for the cache. Set one of them."
fi
# The kernel's build system takes neither blanks nor colons in a path.
case $CACHE in
/*) ;;
*) die "the cache directory '$CACHE' is not an absolute path. Set XDG_CACHE_HOME to one." ;;
esac
case $CACHE in
*[[:space:]:]*) die "a kernel cannot be built below '$CACHE': blank or colon in the path. Set XDG_CACHE_HOME." ;;
esac

# Each step leaves what it found in $CACHE/state/STEP.env, as NAME=value lines that both a shell and
# make can read; no value has a blank. The names begin with FOUND_, so that they do not get in the way
# of VBRS_..., which is for the user to set. load_state reads one step's, or all.
load_state() {
	local file
	for file in "$CACHE"/state/${1:-*}.env; do
		# shellcheck source=/dev/null
		[ ! -e "$file" ] || . "$file"
	done
}

# save_state STEP NAME=value...: atomic, so that no reader sees half a file.
save_state() {
	local name=$1 file=$CACHE/state/$1.env
	shift
	mkdir -p "$CACHE/state"
	{
		echo "# Written by tools/setup; describes step '$name'."
		printf '%s\n' "$@"
	} >"$file.$$"
	if cmp -s "$file.$$" "$file"; then
		rm -f "$file.$$"
	else
		mv -f "$file.$$" "$file"
	fi
}

# Two runs on one cache take turns. The lock is held until the outermost script ends; scripts started
# by it inherit it. Some of them print a value to be read by others, so that is not the place to say it.
lock_cache() {
	[ "${VBRS_LOCKED:-}" != "$CACHE" ] || return 0
	mkdir -p "$CACHE" 2>/dev/null && [ -w "$CACHE" ] ||
		die "cannot write to the cache directory $CACHE. Make it writable or set XDG_CACHE_HOME."
	exec 9>>"$CACHE/lock"
	if ! flock -n 9; then
		progress "another set-up is using $CACHE; waiting for it" >&2
		flock 9
	fi
	export VBRS_LOCKED=$CACHE
}

# version_ge A B: is version A at least B?
version_ge() {
	[ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}

# need_disk DIR MIB WHAT: stop before a long build rather than in the middle of it.
need_disk() {
	local need=${VBRS_MIN_DISK_MIB:-$2} free
	free=$(df -Pk "$1" | awk 'NR == 2 { print int($4 / 1024) }')
	[ "$free" -ge "$need" ] ||
		die "not enough disk space for $3: $free MiB free in $1, $need MiB needed. Free some, or point XDG_CACHE_HOME to a larger disk."
}

# need_memory MIB WHAT
need_memory() {
	local need=${VBRS_MIN_MEMORY_MIB:-$1} free
	free=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
	[ "$free" -ge "$need" ] ||
		die "not enough memory for $2: $free MiB available, $need MiB needed. Stop other programs or use a larger machine."
}

# A scratch directory in the cache (same file system as the result, so that a rename is atomic);
# removed at exit.
make_scratch() {
	mkdir -p "$CACHE/tmp"
	SCRATCH=$(mktemp -d "$CACHE/tmp/$1.XXXXXX")
	trap 'rm -rf "$SCRATCH"' EXIT
	trap 'exit 130' INT TERM
}

# run_long NAME STEPS COMMAND...: runs a long COMMAND, whose output goes to $LOG; every now and then a line
# tells what STEPS, a command, makes of that. It is in the background for that; as a process group of its own
# (set -m), so that an interrupt can end all of it: what is left over would keep the lock.
run_long() {
	local name=$1 steps=$2 began=$SECONDS pid status=0
	shift 2
	set -m
	"$@" >>"$LOG" 2>&1 </dev/null &
	pid=$!
	set +m
	trap 'kill -- "-$pid" 2>/dev/null; exit 130' INT TERM HUP
	while kill -0 "$pid" 2>/dev/null; do
		sleep 1
		[ $(((SECONDS - began) % 20)) -ne 0 ] || [ -n "${VBRS_QUIET:-}" ] ||
			progress "$name: $("$steps"), $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s"
	done
	wait "$pid" || status=$?
	trap - INT TERM HUP
	return "$status"
}
