#!/bin/sh
# SPDX-License-Identifier: ISC
# make.sh - Debian packages of a tree
#
# usage: contrib/debian/make.sh SRC_DIR DEST_DIR
#
# Works in a copy; DEST_DIR, which must be there, gets the .deb files.
set -eu
src=$(cd "$1" && pwd) dest=$(cd "$2" && pwd)
tmp=$(mktemp -d "${TMPDIR:-/tmp}/emplogd-deb.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/emplogd"
tar -c -C "$src" --exclude=./.git --exclude=./build \
    --exclude=./autom4te.cache . | tar -x -C "$tmp/emplogd" --no-same-owner
cp -R "$src/contrib/debian" "$tmp/emplogd/debian"
rm "$tmp/emplogd/debian/make.sh"
cd "$tmp/emplogd"
export DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS:-nocheck noautodbgsym parallel=2}"
dpkg-buildpackage -b -us -uc
mv ../*.deb "$dest/"
