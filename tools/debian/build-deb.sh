#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# build-deb.sh: makes build/virtio-balloon-rs-dkms_VERSION_all.deb, a package that has DKMS build
# the module for the kernels of the machine that it is installed on.
# Documentation/admin-guide/installation.rst is about it.

. "$(dirname "$0")/../setup/common.sh"

NAME=virtio-balloon-rs
# What the module is made of, and what makes it.
SOURCES=(COPYING Kbuild Makefile drivers include rust tools/setup tools/debian tools/install)

# files: of those, what belongs to the project; a build may have left more.
files() {
	if git -C "$VBRS_TOP" rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		git -C "$VBRS_TOP" ls-files --cached --others --exclude-standard -- "${SOURCES[@]}"
	else
		(cd "$VBRS_TOP" && find "${SOURCES[@]}" -type f ! -name '*.o' ! -name '.*.cmd' ! -name '*_generated.rs')
	fi
}

# The day and the commit; a later one is a higher version. VERSION= for any other.
version() {
	local commit
	if commit=$(git -C "$VBRS_TOP" log -1 --date=format:%Y%m%d.%H%M%S --format=%cd.%h 2>/dev/null); then
		echo "0~git$commit"
	else
		echo "0~$(date -u +%Y%m%d.%H%M%S)"
	fi
}

fill_in() {
	sed -e "s/@VERSION@/$VERSION/g" -e "s/@DEPENDS@/$DEPENDS/g" "$VBRS_TOP/tools/debian/package/$1"
}

main() {
	local file top source
	command -v dpkg-deb >/dev/null || die "no dpkg-deb: a Debian package is made on Debian (package dpkg)."
	VERSION=${VERSION:-$(version)}
	[[ $VERSION =~ ^[0-9][A-Za-z0-9.+~]*$ ]] ||
		die "VERSION=$VERSION is no version for a package: digits first, then letters, digits, '.', '+' and '~'."
	DEPENDS=$(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$VBRS_TOP/tools/debian/packages.list" | paste -sd, | sed 's/,/, /g')
	mkdir -p "$VBRS_TOP/build"
	top=$(mktemp -d "$VBRS_TOP/build/deb.XXXXXX")
	# shellcheck disable=SC2064 # Now, as it is local.
	trap "rm -rf '$top'" EXIT
	chmod 755 "$top"

	source=$top/usr/src/$NAME-$VERSION
	files | while read -r file; do
		[ ! -f "$VBRS_TOP/$file" ] || install -D -m 0644 "$VBRS_TOP/$file" "$source/$file"
	done
	fill_in dkms.conf >"$source/dkms.conf"
	chmod 755 "$source"/tools/setup/*.sh
	install -D -m 0755 "$VBRS_TOP/tools/install/virtio-balloon-driver.sh" "$top/usr/sbin/virtio-balloon-driver"
	install -D -m 0644 "$VBRS_TOP/tools/install/virtio-balloon-rs.conf" \
		"$top/usr/lib/modprobe.d/virtio-balloon-rs.conf"
	install -D -m 0644 "$VBRS_TOP/tools/install/60-virtio-balloon-rs.rules" \
		"$top/usr/lib/udev/rules.d/60-virtio-balloon-rs.rules"
	install -D -m 0644 "$VBRS_TOP/README.md" "$top/usr/share/doc/$NAME-dkms/README.md"
	install -d "$top/DEBIAN"
	for file in control postinst prerm postrm; do
		fill_in "$file" >"$top/DEBIAN/$file"
	done
	chmod 755 "$top"/DEBIAN/p*
	# shellcheck disable=SC2046 # A number, or nothing.
	SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$VBRS_TOP" log -1 --format=%ct 2>/dev/null || date +%s)} \
		dpkg-deb --root-owner-group -Zxz --build "$top" "$VBRS_TOP/build/$NAME-dkms_${VERSION}_all.deb" >/dev/null ||
		die "dpkg-deb could not make the package."
	step package "build/$NAME-dkms_${VERSION}_all.deb"
}

main
