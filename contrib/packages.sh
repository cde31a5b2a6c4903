# SPDX-License-Identifier: ISC
# packages.sh - what Debian 12 must have; read by demo.sh and check.sh
#
# need_packages PACKAGE…: installs what is missing, when this user may.

build_packages="gcc make autoconf automake libtool pkg-config liburing-dev
 libmsgpack-dev libinih-dev libcurl4-openssl-dev libmicrohttpd-dev
 libjansson-dev libxxhash-dev libdeflate-dev libzstd-dev libssl-dev check"
test_packages="$build_packages mandoc groff musl-tools clang libclang-rt-14-dev
 util-linux iproute2 python3 nodejs npm libnode-dev binutils git procps xz-utils
 curl systemd busybox-static dpkg-dev debhelper lintian fakeroot qemu-user
 gcc-aarch64-linux-gnu libc6-dev-arm64-cross spin"

# Of a node that came from elsewhere, beside it.
node_headers() {
	[ -e "$(dirname "$(command -v node || echo /bin/)")/../include/node/node_api.h" ]
}

need_packages() {
	missing=
	for p in "$@"; do
		case $(dpkg-query -W -f='${Status}' "$p" 2>/dev/null) in
		*' installed') ;;
		*)
			# these may have come without a package
			[ "$p" = nodejs ] && command -v node >/dev/null && continue
			[ "$p" = npm ] && command -v npm >/dev/null && continue
			[ "$p" = libnode-dev ] && node_headers && continue
			missing="$missing $p" ;;
		esac
	done
	[ -z "$missing" ] && return 0
	if [ "$(id -u)" != 0 ]; then
		echo "missing packages; run as root: apt-get install -y$missing" >&2
		return 1
	fi
	echo "installing$missing" >&2
	apt-get update -qq >&2 &&
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
	    --no-install-recommends $missing >/dev/null
}
