# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after common.sh: Debian's packages without touching the system's package configuration.

# The rest of the set-up relies on it, so ask for it first.
need_debian() {
	command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
		die "no apt-get here: this set-up knows Debian 12 and 13. Elsewhere build with your own tools: make LLVM=1 KDIR=<built kernel tree>."
	# In a shell of its own: the file sets names as common as NAME.
	local system
	# shellcheck source=/dev/null
	system=$(. "${VBRS_OS_RELEASE:-/etc/os-release}" && echo "${ID:--} ${VERSION_ID:--} ${VERSION_CODENAME:--}")
	read -r system DEBIAN DEBIAN_CODENAME <<<"$system"
	[ "$system" = debian ] ||
		die "this is '$system', and this set-up knows Debian 12 and 13. Elsewhere build with your own tools: make LLVM=1 KDIR=<built kernel tree>."
	# Testing and unstable have no VERSION_ID: like the newest one known.
	[ "$DEBIAN" != - ] || DEBIAN=13
	[ "$DEBIAN" -ge 12 ] ||
		die "Debian $DEBIAN is too old for a kernel with Rust: Debian 12 or newer is needed."
}

# as_root COMMAND...: the lock's descriptor is closed, for a package may start a daemon that would keep it.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@" 9>&-
	else
		sudo -n "$@" 9>&-
	fi
}

# need_root WHY COMMAND: without root, say which command root has to run.
need_root() {
	[ "$(id -u)" -ne 0 ] || return 0
	command -v sudo >/dev/null && sudo -n true 2>/dev/null && return 0
	die "$1, and installing needs root or passwordless sudo. Run as root: $2 -- then run this again."
}

APT_OPTIONS=(
	-o Acquire::Retries=2
	-o Acquire::http::Timeout=30
	-o Acquire::https::Timeout=30
	-o DPkg::Lock::Timeout=300
)
APT_INSTALL=(env DEBIAN_FRONTEND=noninteractive apt-get "${APT_OPTIONS[@]}" install -y --no-install-recommends)

# The URI of the main archive as this system is configured: a mirror stays a mirror.
debian_archive() {
	# shellcheck disable=SC2016 # apt-get expands these.
	apt-get indextargets --format '$(REPO_URI)|$(RELEASE)|$(COMPONENT)' 'Created-By: Packages' |
		awk -F'|' -v codename="$DEBIAN_CODENAME" '
			$3 == "main" && ($2 == codename || $2 ~ /^(oldstable|stable|testing|unstable|sid)$/) && !uri { uri = $1 }
			END { print uri }'
}

# write_suite FILE SUITE: a sources file for one more suite of that archive.
write_suite() {
	local uri
	uri=$(debian_archive)
	[ -n "$uri" ] ||
		die "no source of Debian's main archive in the system's apt configuration. Add one (see sources.list(5)); it is needed for the suite $2."
	cat >"$1" <<-SOURCES
		Types: deb
		URIs: $uri
		Suites: $2
		Components: main
		Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
	SOURCES
}

# private_apt DIR: sets PRIVATE_APT, options for an apt that keeps its lists and its cache below DIR.
# The download user of apt could not read a cache below a private home.
private_apt() {
	mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
	PRIVATE_APT=(
		"${APT_OPTIONS[@]}"
		-o "Dir::State::lists=$1/lists"
		-o "Dir::Cache=$1/cache"
		-o "APT::Sandbox::User=root"
	)
}

# install_from_backports PACKAGE STEP WHY: with the system's own sources plus the backports, in a private
# copy of both, so that the system still knows nothing of backports afterwards.
install_from_backports() {
	local package=$1 log=$CACHE/log/$2.log suite=$DEBIAN_CODENAME-backports
	need_root "$3" \
		"apt-get install -y --no-install-recommends -t $suite $package  (with $suite among the package sources)"
	lock_cache
	make_scratch "$2"
	mkdir -p "$CACHE/log" "$SCRATCH/sources"
	private_apt "$SCRATCH"
	find /etc/apt/sources.list.d -name '*.sources' -o -name '*.list' |
		while read -r file; do cp "$file" "$SCRATCH/sources"; done
	write_suite "$SCRATCH/sources/$suite.sources" "$suite"
	PRIVATE_APT+=(-o "Dir::Etc::sourceparts=$SCRATCH/sources")

	progress "installing $package from $suite"
	as_root apt-get "${PRIVATE_APT[@]}" update >"$log" 2>&1 </dev/null || true
	as_root "${APT_INSTALL[@]}" "${PRIVATE_APT[@]}" -t "$suite" "$package" >>"$log" 2>&1 </dev/null ||
		die_with_log "$log" "apt-get could not install $package from $suite. Is the package archive reachable? The log is $log."
	# What root left in the scratch directory only root can remove.
	[ "$(id -u)" -eq 0 ] || as_root chown -R "$(id -u)" "$SCRATCH"
}
