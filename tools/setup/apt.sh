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
